"""`slugline train`: learn from labelled texts, test, report, save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slugline.cli.check import check_model
from slugline.cli.net_options import make_learner, net_option, widths
from slugline.cli.options import (
    AsJson,
    Data,
    FoldTopics,
    Format,
    MapTopics,
    Quiet,
    Reading,
    Seed,
    SkipBadRows,
    TextColumn,
    Threads,
    TopicColumn,
    load_parts,
)
from slugline.cli.output import print_json, print_table, say, warn
from slugline.cli.targets import check_apart, check_target
from slugline.errors import OptionError, SluglineError

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus
    from slugline.experiment.quantized import Quantized
    from slugline.experiment.run import Experiment
    from slugline.learners import Learner
    from slugline.text.block import Block

__all__ = ["train"]

_NUM_WORDS = 10_000
# What may be said beside --check: how to read, not how to learn.
_WITH_CHECK = (
    *("data", "check", "text", "topic", "format_", "skip_bad_rows", "fold_topics"),
    *("map_topics", "validation", "test", "threads", "quiet", "as_json"),
)


def _choose_blocks(
    learner: Learner, weighting: str | None, num_words: int | None
) -> list[Block] | None:
    """Let words alone count if the user says how they should; else None, for what suits best."""
    from slugline.text.block import Block

    if weighting is None and num_words is None:
        return None
    return [Block("words", weighting or learner.wants, max_terms=num_words or _NUM_WORDS)]


def _check_free(learner: str, weighting: str | None, num_words: int | None) -> None:
    """See to it that nothing is said of what --tune chooses."""
    given = {
        "learner": None if learner == "linear" else learner,
        "weighting": weighting,
        "num-words": num_words,
    }
    for option, value in given.items():
        if value is not None:
            raise OptionError(f"--{option} {value}: --tune chooses it; leave one of them out.")


def _check_fraction(test_fraction: float) -> None:
    if not 0 < test_fraction < 1:
        raise OptionError(f"--test-fraction is {test_fraction}; give a number over 0 and under 1.")


def _read_parts(
    data: str, validation: str | None, test: str | None, reading: Reading, quiet: bool
) -> dict[str, Corpus]:
    """Read the documents to learn from and, if there are files or parts of them, the others."""
    parts = load_parts(data, reading)
    for part, source in (("validation", validation), ("test", test)):
        if source is not None:
            found = load_parts(source, reading, parts["train"].topics)
            parts[part] = found.get(part, found["train"])
    for corpus in parts.values():
        for note in corpus.notes:
            say(f"{corpus.name}: {note}", quiet=quiet)
    return parts


def _refuse_settings(ctx: typer.Context) -> None:
    """See to it that --check has no options beside it that say how to learn, or where to write."""
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if name in _WITH_CHECK or source is None or source.name != "COMMANDLINE":
            continue
        why = "writes nothing" if name in ("output", "report") else "has it from the model"
        raise OptionError(f"{parameter.opts[0]}: --check {why}; leave it out.")


def train(
    ctx: typer.Context,
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL", help="Where to save the model.")
    ] = Path("model.slug"),
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="HTML",
            help="Where to write the report.",
            show_default="beside MODEL",
        ),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="MODEL",
            help="Train again as MODEL was, write nothing, and say whether the result is the same, "
            "byte for byte.",
        ),
    ] = None,
    text: TextColumn = None,
    topic: TopicColumn = None,
    format_: Format = None,
    test: Annotated[
        str | None,
        typer.Option(
            "--test",
            metavar="FILE",
            help="Labelled texts to test on.",
            show_default="a part of DATA",
        ),
    ] = None,
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", help="Share of DATA to test on without --test.")
    ] = 0.2,
    skip_bad_rows: SkipBadRows = False,
    fold_topics: FoldTopics = False,
    map_topics: MapTopics = None,
    learner: Annotated[
        str,
        typer.Option(
            "--learner",
            help="linear, or network, as in the newswire lesson.",
        ),
    ] = "linear",
    weighting: Annotated[
        str | None,
        typer.Option(
            "--weighting",
            help="Words alone count: multi-hot, counts, tf-idf or log-tf-idf.",
            show_default="what suits the learner",
        ),
    ] = None,
    num_words: Annotated[
        int | None,
        typer.Option(
            "--num-words",
            min=1,
            help="Words alone count: the most frequent.",
            show_default=f"{_NUM_WORDS:,}, if words alone count",
        ),
    ] = None,
    validation: Annotated[
        str | None,
        net_option(
            "--validation",
            "Labelled texts to find the best epoch on.",
            "a tenth of DATA",
            metavar="FILE",
        ),
    ] = None,
    hidden: Annotated[
        str | None,
        net_option(
            "--hidden",
            "Widths of the hidden layers, such as 64 or 128,64.",
            "64, or as many as topics",
            metavar="WIDTHS",
        ),
    ] = None,
    epochs: Annotated[
        int | None, net_option("--epochs", "The most epochs to try.", "100", min=1)
    ] = None,
    batch_size: Annotated[
        int | None, net_option("--batch-size", "Documents a step.", "128", min=1)
    ] = None,
    patience: Annotated[
        int | None,
        net_option(
            "--patience", "Epochs to wait for the validation loss to fall by 0.001.", "3", min=0
        ),
    ] = None,
    dropout: Annotated[
        float | None, net_option("--dropout", "Of the hidden layers, from 0 to under 1.", "0.0")
    ] = None,
    l2: Annotated[float | None, net_option("--l2", "Penalty on large weights.", "0.0")] = None,
    optimizer: Annotated[
        str | None, net_option("--optimizer", "rmsprop, adam or sgd.", "rmsprop")
    ] = None,
    learning_rate: Annotated[
        float | None, net_option("--learning-rate", "Size of a step.", "the optimizer's own")
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="First look for better terms and learners by cross-validation, which takes some "
            "fifty times as long; Ctrl-C ends the search and takes the best so far.",
        ),
    ] = False,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Give every topic the same total weight.")
    ] = False,
    quantize: Annotated[
        str | None,
        typer.Option(
            "--quantize",
            metavar="PRECISION",
            help="Store weights as float16 or int8, and say what it cost.",
            show_default="float32",
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Learn from labelled texts, test on others, write a report, save the model.

    For example:

      slugline train tickets.csv -o tickets.slug --text body --topic queue

      slugline train reuters -o reuters.slug

      slugline train reuters --check reuters.slug
    """
    from slugline.classifier import TopicClassifier
    from slugline.experiment.run import run_experiment
    from slugline.progress import progress_on
    from slugline.report import write_training_report
    from slugline.saving.quantization import check_precision

    reading = Reading(text, topic, format_, skip_bad_rows, fold_topics, map_topics)
    if check is not None:
        _refuse_settings(ctx)
        parts = _read_parts(data, validation, test, reading, quiet)
        check_model(check, parts, threads, quiet, as_json)
        return
    net_options = {
        "hidden": None if hidden is None else widths(hidden),
        "epochs": epochs,
        "batch_size": batch_size,
        "patience": patience,
        "dropout": dropout,
        "l2": l2,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
    }
    chosen = make_learner(learner, validation, net_options)
    if tune:
        _check_free(learner, weighting, num_words)
    classifier = TopicClassifier(
        learner="linear" if tune else chosen,
        blocks=_choose_blocks(chosen, weighting, num_words),
        class_weight="balanced" if balanced else None,
        tune=tune,
        n_jobs=threads,
        random_state=seed,
    )
    _check_fraction(test_fraction)
    if quantize is not None:
        check_precision(quantize)
    check_target("--output", output)
    # A name such as v1.2 keeps its dots.
    report = report or output.with_name(output.name.removesuffix(".slug") + ".html")
    check_target("--report", report)
    check_apart(output, report, [data, validation, test, map_topics])
    parts = _read_parts(data, validation, test, reading, quiet)
    experiment = run_experiment(
        classifier,
        parts["train"],
        parts.get("validation"),
        parts.get("test"),
        test_fraction=test_fraction,
        progress=None if quiet else progress_on(),
    )
    warn(experiment.warnings)
    experiment, cost = _save(experiment, output, quantize)
    try:
        write_training_report(experiment, report)
    except SluglineError as error:
        raise SluglineError(f"{error} The model is safe in {output}.") from error
    if as_json:
        files = {"model": str(output), "report": str(report)}
        quantization = {"quantization": cost.to_dict()} if cost else {}
        print_json(experiment.to_dict() | quantization | files)
    else:
        _print(experiment, cost, output, report)


def _save(
    experiment: Experiment, path: Path, quantize: str | None
) -> tuple[Experiment, Quantized | None]:
    """Save the model; give the experiment with the figures of the file, and what bits cost."""
    from slugline.experiment.quantized import save_quantized
    from slugline.saving.classifier_file import as_model_file
    from slugline.saving.container import write

    if quantize is None:
        content = as_model_file(
            experiment.fitted, metrics=experiment.metrics, test_fraction=experiment.test_fraction
        )
        write(path, content)
        return experiment, None
    quantized = save_quantized(experiment, path, quantize)
    return quantized.experiment, quantized


def _learned(experiment: Experiment) -> Iterator[tuple[str, str, str]]:
    """Give rows of what was found out on the training documents."""
    fitted = experiment.fitted
    if experiment.best_epoch is not None:
        yield "epochs", f"{experiment.best_epoch}", "best by validation loss"
    n_left_out = fitted.learner.settings().get("n_left_out", 0)
    if n_left_out:
        yield "left out", f"{n_left_out}", "to learn from, as their topic looks wrong"
    if fitted.tuning is not None:
        first, best = fitted.tuning.trials[0], fitted.tuning.best
        yield "tuned", f"{best.accuracy:.3f}", f"by cross-validation, {first.accuracy:.3f} untuned"
        yield "", "", fitted.tuning.outcome


def _print(experiment: Experiment, cost: Quantized | None, model: Path, report: Path) -> None:
    from slugline.report.words import counted

    evaluation = experiment.evaluation
    low, high = evaluation.interval
    typer.echo(
        f"{experiment.name}: learned {counted(len(experiment.fitted.topics), 'topic')} from "
        f"{counted(experiment.n_learned, 'document')} in {experiment.seconds:.1f} s, "
        f"tested on {counted(experiment.n_test, 'other')}"
    )
    print_table(
        [
            ("accuracy", f"{evaluation.accuracy:.3f}", f"95 % interval {low:.3f} to {high:.3f}"),
            ("macro-F1", f"{evaluation.macro_f1:.3f}", "every topic counts the same"),
            ("baseline", f"{experiment.majority:.3f}", f"always {experiment.majority_topic!r}"),
            *_learned(experiment),
        ],
        left=(0, 2),
    )
    if cost:
        typer.echo(
            f"{cost.precision}: accuracy {cost.accuracy_before:.4f} before, "
            f"{cost.accuracy_after:.4f} after; {cost.bytes_before / 1000:,.0f} kB before, "
            f"{cost.bytes_after / 1000:,.0f} kB after"
        )
    typer.echo(f"model   {model}")
    typer.echo(f"report  {report}")
