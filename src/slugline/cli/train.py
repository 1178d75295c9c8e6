"""`slugline train`: learn from labelled texts, test, report, save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from slugline.cli.encoder import Descriptions, EncoderName, advise, check_encoder, told_on_interrupt
from slugline.cli.options import (
    AsJson,
    Baseline,
    Encoding,
    FoldTopics,
    Format,
    MapTopics,
    Mistakes,
    OptionalData,
    Quiet,
    ReadOptions,
    Seed,
    SkipBadRows,
    Test,
    TextColumn,
    Threads,
    TopicColumn,
    Validation,
    make_learner,
    read_parts,
    read_size,
    with_net_options,
)
from slugline.cli.output import (
    name_flags,
    print_json,
    print_table,
    shares,
    show,
    show_progress,
    warn,
)
from slugline.cli.targets import (
    MinPrecision,
    check_distinct_files,
    check_mistakes,
    check_target,
    print_routing,
    routing_entry,
    tested_router,
)
from slugline.cli.train_corrections import (
    Corrections,
    CorrectionsOf,
    CorrectionWeight,
    Force,
    Teaching,
    learn_corrections,
    make_way,
    print_outcome,
    read_teaching,
)
from slugline.cli.train_stream import or_stream
from slugline.errors import OptionError, SluglineError

if TYPE_CHECKING:
    from slugline.classifier import TopicClassifier
    from slugline.corpus.corpus import Corpus
    from slugline.corrections.learning import RetrainingResult
    from slugline.experiment.curve import LearningCurves
    from slugline.experiment.run import Experiment
    from slugline.experiment.smaller_file import SmallerFile
    from slugline.learning.learner import Learner
    from slugline.text.blocks import Block

__all__ = [
    "NUM_WORDS",
    "check_described",
    "check_files",
    "check_free",
    "check_test",
    "choose_blocks",
    "learn_untested",
    "print_experiment",
    "refuse_check",
    "train",
]


# What `slugline train` makes sure of before it reads anything -------------------------------------

#: Words that count if only words are used.
NUM_WORDS = 10_000


def choose_blocks(
    learner: Learner, weighting: str | None, num_words: int | None
) -> list[Block] | None:
    """Return a block of words if the user sets how they count; else None, for the best default."""
    from slugline.text.blocks import Block

    if weighting is None and num_words is None:
        return None
    return [Block("words", weighting or learner.wants, max_terms=num_words or NUM_WORDS)]


def check_free(learner: str, weighting: str | None, num_words: int | None) -> None:
    """Check that no option sets what --tune chooses; OptionError if one does."""
    given = {
        "learner": None if learner == "linear" else learner,
        "weighting": weighting,
        "num-words": num_words,
    }
    for option, value in given.items():
        if value is not None:
            raise OptionError(f"--{option} {value}: --tune chooses it; leave one of them out.")


def refuse_check(model: str | None, sources: Sequence[str]) -> None:
    """Say where `train --check` of earlier releases has gone; OptionError if it is given."""
    if model is not None:
        raise OptionError(
            f"train --check is a command of its own: slugline check {model} {' '.join(sources)}."
        )


def check_described(topics: Path | None, given: Mapping[str, object]) -> None:
    """Check that topics are described where there is no DATA, and nothing needs documents."""
    if topics is None:
        raise OptionError(
            "Missing argument 'DATA': name documents to learn from, or describe topics with "
            "--topics and name an --encoder."
        )
    needing = next(
        (flag for flag, value in given.items() if value is not None and value is not False), None
    )
    if needing is not None:
        raise OptionError(
            f"{needing} needs documents, and --topics has descriptions alone; leave it out, or "
            "name DATA."
        )


def check_files(
    output: Path, report: Path | None, mistakes: Path | None, sources: Sequence[str | Path | None]
) -> Path:
    """Check that files can be written, and none over another; return the path of the report."""
    check_target("--output", output)
    if output.suffix == ".html" and report is None:
        raise OptionError(
            f"--output {output}: the model is no web page; name it like {output.stem}.slug, and "
            f"the report goes to {output.stem}.html."
        )
    # A name such as v1.2 keeps its dots.
    report = report or output.with_name(output.name.removesuffix(".slug") + ".html")
    check_target("--report", report)
    check_distinct_files(output, report, sources)
    check_mistakes(mistakes, [*sources, output, report])
    return report


def check_test(test_fraction: float, curve: bool, baseline: bool, corrections: Path | None) -> None:
    """Check what to test on, and what --curve is compared with; OptionError if it can't be."""
    if baseline and not curve:
        raise OptionError("--baseline is one of the curves of --curve; give both.")
    if curve and corrections is not None:
        raise OptionError("--curve learns from DATA alone; leave it or --corrections out.")
    if not 0 <= test_fraction < 1:
        raise OptionError(
            f"--test-fraction is {test_fraction}; give a number of at least 0 and under 1."
        )


# `slugline train` of all documents, with none set aside to test on --------------------------------


def learn_untested(
    classifier: TopicClassifier,
    parts: dict[str, Corpus],
    output: Path,
    min_precision: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Learn from all documents and save the model; without a test there is nothing to report on."""
    from slugline.base.words import counted
    from slugline.experiment.run import learn_from_all
    from slugline.model.file.container import write
    from slugline.model.file.content import as_model_file

    with told_on_interrupt(classifier), show_progress(quiet) as progress:
        train, validation = parts["train"], parts.get("validation")
        done = learn_from_all(
            classifier, train, validation, min_precision=min_precision, progress=progress
        )
    warnings = tuple(map(name_flags, done.warnings))
    warn(warnings)
    advise(classifier, parts["train"], quiet)
    write(output, as_model_file(done.fitted))
    routing = tested_router(done.fitted, None)
    if as_json:
        found = replace(done, warnings=warnings).to_dict() | routing_entry(routing)
        print_json(found | {"model": str(output)})
        return
    n_topics = counted(len(done.fitted.topics), "topic")
    n_documents = done.fitted.n_documents
    what = f"{'' if n_documents == 1 else 'all '}{counted(n_documents, 'document')}"
    if not n_documents:
        what = "their descriptions, without any document,"
    show(f"{done.name}: learned {n_topics} from {what} in {done.seconds:.1f} s")
    print_routing(routing)
    show("not tested, so there is no report; `slugline evaluate` tests it on other documents")
    show(f"model   {output}")


# What the screen shows of an experiment -----------------------------------------------------------


def print_experiment(
    experiment: Experiment,
    smaller: SmallerFile | None,
    model: Path,
    report: Path,
    curves: LearningCurves | None,
) -> None:
    """Print how good the classifier is, what it learned from, and where the files are."""
    from slugline.base.words import counted
    from slugline.reports.training_text import doubling

    evaluation = experiment.evaluation
    show(
        f"{experiment.name}: learned {counted(len(experiment.fitted.topics), 'topic')} from "
        f"{counted(experiment.n_learned, 'document')} in {experiment.seconds:.1f} s, "
        f"tested on {counted(experiment.n_test, 'other')}"
    )
    print_table(
        [
            *shares(evaluation),
            ("baseline", f"{experiment.majority:.3f}", f"always {experiment.majority_topic!r}"),
            *_learned(experiment),
        ],
        left=(0, 2),
    )
    if smaller:
        show(smaller.summary())
    for each in curves.curves if curves else ():
        show(doubling(each))
    show(f"model   {model}")
    show(f"report  {report}")


def _learned(experiment: Experiment) -> Iterator[tuple[str, str, str]]:
    """Return rows on what was found in the training documents."""
    fitted = experiment.fitted
    if experiment.n_skipped:
        yield "skipped", f"{experiment.n_skipped:,}", "rows that can't be used"
    if experiment.best_epoch is not None:
        yield "epochs", f"{experiment.best_epoch}", "best by validation loss"
    n_left_out = fitted.learner.settings().get("n_left_out", 0)
    if n_left_out:
        yield "left out", f"{n_left_out}", "training documents whose topic looks wrong"
    if fitted.dense is not None:
        yield (
            "encoder",
            f"{fitted.dense.share:.2f}",
            f"share of the scores' spread, from {fitted.dense.encoder.name}",
        )
    if fitted.descriptions:
        yield "described", f"{len(fitted.descriptions)}", "topics, to the encoder"
    if fitted.tuning is not None:
        first, best = fitted.tuning.trials[0], fitted.tuning.best
        yield "tuned", f"{best.accuracy:.3f}", f"by cross-validation, {first.accuracy:.3f} untuned"
        yield "", "", fitted.tuning.outcome


# `slugline train`: learn from labelled texts, test, report, save ----------------------------------

_TEST_FRACTION = 0.2


@or_stream
@with_net_options
def train(
    data: OptionalData = None,
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
    check: Annotated[str | None, typer.Option("--check", hidden=True)] = None,
    text: TextColumn = None,
    topic: TopicColumn = None,
    format_: Format = None,
    test: Test = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            "--test-fraction",
            metavar="SHARE",
            help="Share of DATA to test on without --test; 0 learns from all of it, untested.",
            show_default=str(_TEST_FRACTION),
        ),
    ] = None,
    skip_bad_rows: SkipBadRows = False,
    encoding: Encoding = None,
    fold_topics: FoldTopics = False,
    map_topics: MapTopics = None,
    learner: Annotated[
        str,
        typer.Option(
            "--learner",
            metavar="NAME",
            help="linear, or network, as in the newswire lesson.",
        ),
    ] = "linear",
    encoder: EncoderName = None,
    topics: Descriptions = None,
    weighting: Annotated[
        str | None,
        typer.Option(
            "--weighting",
            metavar="NAME",
            help="Use only words: multi-hot, counts, tf-idf or log-tf-idf.",
            show_default="what suits the learner",
        ),
    ] = None,
    num_words: Annotated[
        int | None,
        typer.Option(
            "--num-words",
            metavar="N",
            min=1,
            help="Use only words: this many of the most frequent.",
            show_default=f"{NUM_WORDS:,}, if only words are used",
        ),
    ] = None,
    validation: Validation = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            metavar="",
            help="First look for better terms and learners by cross-validation, which takes some "
            "fifty times as long; Ctrl-C ends the search and uses the best so far.",
        ),
    ] = False,
    min_precision: MinPrecision = None,
    balanced: Annotated[
        bool, typer.Option("--balanced", metavar="", help="Give every topic the same total weight.")
    ] = False,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            metavar="",
            help="Also learn from fewer labels, and add to the report what more would bring; with "
            "an encoder, also without it.",
        ),
    ] = False,
    baseline: Baseline = False,
    quantize: Annotated[
        str | None,
        typer.Option(
            "--quantize",
            metavar="PRECISION",
            help="Store weights as float16 or int8, and print what that costs.",
            show_default="float32",
        ),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size",
            metavar="SIZE",
            help="Keep MODEL within 5MB or 500kB, say, by dropping the weights nearest to 0, and "
            "print what that costs.",
            show_default="no limit",
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    mistakes: Mistakes = None,
    corrections: Corrections = None,
    corrections_of: CorrectionsOf = None,
    correction_weight: CorrectionWeight = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    **net_options: Any,
) -> None:
    """Learn from labelled texts, test on others, write a report, save the model.

    For example:

      slugline train tickets.csv -o tickets.slug --text body --topic queue

      slugline train reuters -o reuters.slug

      slugline train few.csv --encoder use -o few.slug

      slugline train 'years/*.parquet' --workers 4 --checkpoint kept -o years.slug
    """
    from slugline.classifier import TopicClassifier
    from slugline.corpus.corpus import Corpus
    from slugline.corpus.topics import read_descriptions
    from slugline.model.file.quantization import check_precision

    sources = list(data or [])
    refuse_check(check, sources)
    if not sources:
        check_described(
            topics,
            {
                "--text": text,
                "--topic": topic,
                "--test": test,
                "--test-fraction": test_fraction,
                "--skip-bad-rows": skip_bad_rows,
                "--fold-topics": fold_topics,
                "--validation": validation,
                "--map-topics": map_topics,
                "--balanced": balanced,
                "--report": report,
                "--mistakes": mistakes,
                "--quantize": quantize,
                "--max-size": max_size,
                "--curve": curve,
                "--weighting": weighting,
                "--num-words": num_words,
                "--min-precision": min_precision,
                "--corrections": corrections,
            },
        )
    settings = [learner, encoder, topics, weighting, num_words, validation, tune, min_precision]
    settings += [balanced, quantize, max_size, seed, *net_options.values()]
    teaching = read_teaching(
        corrections,
        corrections_of,
        correction_weight,
        force,
        output,
        settings,
        test,
        test_fraction,
        threads,
    )
    if teaching is not None:
        test_fraction = teaching.test_fraction
    test_fraction = _TEST_FRACTION if test_fraction is None else test_fraction
    chosen = make_learner(learner, validation, net_options)
    check_encoder(encoder, learner)
    if tune:
        check_free(learner, weighting, num_words)
    check_test(test_fraction, curve, baseline, corrections)
    if quantize is not None:
        check_precision(quantize)
    max_bytes = None if max_size is None else read_size("--max-size", max_size)
    inputs = [*sources, validation, test, map_topics, topics, corrections]
    report = check_files(output, report, mistakes, inputs)
    described = read_descriptions(topics, encoding, format_) if topics else {}
    classifier = TopicClassifier(
        learner="linear" if tune else chosen,
        encoder=encoder,
        descriptions=described or None,
        blocks=choose_blocks(chosen, weighting, num_words),
        class_weight="balanced" if balanced else None,
        tune=tune,
        n_jobs=threads,
        random_state=seed,
    )
    if teaching is not None and teaching.before is not None:
        classifier, min_precision, quantize, max_bytes = teaching.before[:4]
    reading = ReadOptions(text, topic, format_, skip_bad_rows, encoding, fold_topics, map_topics)
    if sources:
        parts = read_parts(sources, validation, test, reading, quiet, described)
    else:
        parts = {"train": Corpus([], [], str(topics))}
    if "test" not in parts and (test_fraction == 0 or not sources):
        if curve or any(option is not None for option in (mistakes, quantize, max_size)):
            raise OptionError(
                "--test-fraction 0 leaves nothing to test on, which --mistakes, --quantize, "
                "--max-size and --curve need; leave them out, or give a --test file."
            )
        learn_untested(classifier, parts, output, min_precision, quiet, as_json)
        return
    how: dict[str, Any] = {
        "test_fraction": test_fraction,
        "min_precision": min_precision,
    }
    with told_on_interrupt(classifier), show_progress(quiet) as progress:
        how["progress"] = progress
        experiment, taught = _learn(classifier, parts, teaching, reading, how)
    warn(experiment.warnings)
    advise(classifier, parts["train"], quiet)
    if taught is not None:
        experiment = replace(experiment, fitted=make_way(taught, output, force, as_json))
    experiment, smaller = _save(experiment, output, quantize, max_bytes, taught)
    curves = _curves(classifier, parts, test_fraction, quiet, baseline) if curve else None
    _report(Learned(experiment, smaller, curves, taught), output, report, mistakes, as_json)


class Learned(NamedTuple):
    """What there is to report on."""

    experiment: Experiment
    smaller: SmallerFile | None
    curves: LearningCurves | None
    taught: RetrainingResult | None


def _report(
    learned: Learned, output: Path, report: Path, mistakes: Path | None, as_json: bool
) -> None:
    """Write the report, and print what was found."""
    from slugline.experiment.evidence import gather_evidence, write_mistakes
    from slugline.reports.training import write_training_report

    experiment, smaller, curves, taught = learned
    routing = tested_router(experiment.fitted, experiment.test)
    threshold = routing.threshold if routing else None
    evidence = gather_evidence(experiment)
    try:
        write_training_report(experiment, report, curves, smaller, evidence, threshold, taught)
    except SluglineError as error:
        raise SluglineError(f"{error} The model is safe in {output}.") from error
    if mistakes is not None:
        write_mistakes(mistakes, experiment.fitted, experiment.test)
    if as_json:
        files = {"model": str(output), "report": str(report)}
        found = {"smaller_file": smaller, "curve": curves, "corrections": taught}
        entries = {name: value.to_dict() for name, value in found.items() if value}
        print_json(experiment.to_dict() | entries | routing_entry(routing) | files)
    else:
        print_experiment(experiment, smaller, output, report, curves)
        print_routing(routing)
        print_outcome(taught, output)


def _learn(
    classifier: TopicClassifier,
    parts: dict[str, Corpus],
    teaching: Teaching | None,
    reading: ReadOptions,
    how: dict[str, Any],
) -> tuple[Experiment, RetrainingResult | None]:
    """Learn and test; return also what corrections have changed, if there are any."""
    from slugline.experiment.run import run_experiment

    taught = None
    if teaching is None:
        experiment = run_experiment(
            classifier, parts["train"], parts.get("validation"), parts.get("test"), **how
        )
    else:
        taught = learn_corrections(classifier, parts, teaching, reading, how)
        experiment = taught.experiment
    experiment = replace(
        experiment,
        warnings=tuple(map(name_flags, experiment.warnings)),
        notes=tuple(map(name_flags, experiment.notes)),
    )
    return experiment, taught


def _save(
    experiment: Experiment,
    path: Path,
    quantize: str | None,
    max_size: int | None,
    taught: RetrainingResult | None,
) -> tuple[Experiment, SmallerFile | None]:
    """Save the model; return the experiment with its file's metrics, and what a small one costs."""
    from slugline.experiment.smaller_file import save_smaller
    from slugline.model.file.container import write
    from slugline.model.file.content import as_model_file
    from slugline.model.file.generations import keep_before, kept_before

    notes = taught.card_notes() if taught else ""
    if taught is None and kept_before(path):  # so that `rollback` leads to what was there last
        keep_before(path)
    if quantize is None and max_size is None:
        content = as_model_file(
            experiment.fitted,
            metrics=experiment.metrics,
            test_fraction=experiment.test_fraction,
            card_notes=notes,
        )
        write(path, content)
        return experiment, None
    smaller = save_smaller(experiment, path, quantize=quantize, max_size=max_size, card_notes=notes)
    return smaller.experiment, smaller


def _curves(
    classifier: TopicClassifier,
    parts: dict[str, Corpus],
    test_fraction: float,
    quiet: bool,
    baseline: bool,
) -> LearningCurves:
    """Learn from fewer labels with the same settings, and test on the same documents."""
    from slugline.classifier import TopicClassifier
    from slugline.experiment.curve import classifiers_to_compare, learning_curves

    # What tuning has found is learned again, and not looked for again.
    found = TopicClassifier.from_fitted(classifier.fitted_) if classifier.tune else classifier
    with show_progress(quiet) as progress:
        return learning_curves(
            parts["train"],
            parts.get("test"),
            classifiers_to_compare(found, with_baseline=baseline),
            test_fraction=test_fraction,
            seed=classifier.random_state,
            progress=progress,
        )
