"""Where output goes: data to standard output, messages to standard error."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from slugline.base.words import printable, printable_json

if TYPE_CHECKING:
    import logging

    from slugline.base.progress import Progress
    from slugline.evaluation.evaluation import Evaluation
    from slugline.evaluation.intervals import Interval
    from slugline.evaluation.multilabel import MultilabelEvaluation
    from slugline.evaluation.paired import PairedComparison
    from slugline.experiment.run import AnyEvaluation


# Flags in messages --------------------------------------------------------------------------------

#: Flags named like their parameter, apart from dashes.
_ALIKE = """
    batch_size checkpoint correction_weight corrections_of coverage dropout encoder encoding epochs
    fold_topics format hidden id jobs l2 learn_every learn_from learner learning_rate max_size
    min_precision models num_words optimize optimizer output overwrite patience per_topic quantize
    report resume seeds skip_bad_rows strict test test_fraction text timeout to top topic
    topic_columns topic_path topic_separator tune validation validation_fraction weighting
""".split()  # noqa: SIM905
#: The flag of each parameter.
FLAGS = {name: "--" + name.replace("_", "-") for name in _ALIKE} | {
    "against": "--not",
    "class_weight": "--balanced",
    "columns": "--column",
    "descriptions": "--topics",
    "first_seed": "--seed",
    "max_terms": "--num-words",
    "n_draws": "--draws",
    "n_folds": "--folds",
    "n_jobs": "--threads",
    "n_seeds": "--seeds",
    "n_threads": "--threads",
    "n_workers": "--workers",
    "random_state": "--seed",
    "topic_map": "--map-topics",
    "validation_data": "--validation",
}

_PARAMETER = re.compile(r"`(\w+)(?:=([^`]*))?`")
# Values that the flag alone implies.
_SILENT = ("True", '"balanced"', "'balanced'")


def name_flags(message: str) -> str:
    """Return a message of the library in the command line's words.

    >>> name_flags("`dropout` is 3; for more, pass `tune=True` or `hidden=64`, not `classes`.")
    '--dropout is 3; for more, pass --tune or --hidden 64, not `classes`.'
    """
    return _PARAMETER.sub(_flag, message)


def _flag(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name not in FLAGS:
        return match[0]
    return FLAGS[name] if value is None or value in _SILENT else f"{FLAGS[name]} {value}"


# Output -------------------------------------------------------------------------------------------

#: The exit status after Ctrl-C.
INTERRUPTED = 130
#: Where click's context says whether --quiet was given.
QUIET = "slugline.quiet"


def is_quiet() -> bool:
    """Whether the command that runs prints nothing on standard error but warnings."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(QUIET, False)


def log_to_standard_error(
    noisy: Iterable[str] = (), formatter: logging.Formatter | None = None
) -> logging.Logger:
    """Log to standard error, or warnings alone; of the libraries named, these in any case.

    Returns the logger of the package.
    """
    import logging

    logging.basicConfig(
        level=logging.WARNING if is_quiet() else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    for name in noisy:
        logging.getLogger(name).setLevel(logging.WARNING)
    [handler, *_] = logging.getLogger().handlers
    if formatter is not None:
        handler.setFormatter(formatter)
    else:
        handler.addFilter(_escape_record)
    return logging.getLogger("slugline")


def _escape_record(record: logging.LogRecord) -> bool:
    """Have a message on one line of the log, whatever names are in it."""
    record.msg, record.args = printable(record.getMessage(), keep=""), None
    return True


def show(*lines: str) -> None:
    """Print lines that are a result, an empty one by default; names in them add no lines."""
    for line in lines or ("",):
        click.echo(printable(line, keep="\t"))


def say(message: str) -> None:
    """Print a message that is not a result."""
    if not is_quiet():
        click.echo(printable(name_flags(message), keep=""), err=True)


def warn(messages: Iterable[str]) -> None:
    """Print what may be wrong; not even --quiet suppresses a warning."""
    # Off a terminal click drops colours by itself.
    colour = False if os.environ.get("NO_COLOR") else None
    for message in messages:
        click.secho(
            f"warning: {printable(name_flags(message), keep='')}",
            fg="yellow",
            err=True,
            color=colour,
        )


def print_json(value: Any) -> None:
    """Print one JSON value; NaN, which JSON lacks, is an error here."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    click.echo(printable_json(text))


def print_table(rows: Sequence[Sequence[str]], left_aligned: Container[int] = (0,)) -> None:
    """Print rows in columns, right-aligned unless their number is in `left_aligned`."""
    rows = [[printable(cell, keep="") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if number in left_aligned else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def exit_if_interrupted(*results: Any) -> None:
    """End with 130 if a result stopped early, so that no script takes it for the whole one."""
    if any(result is not None and result.interrupted for result in results):
        raise click.exceptions.Exit(INTERRUPTED)


# Progress -----------------------------------------------------------------------------------------


@contextmanager
def show_progress(
    *, hidden: bool = False, bar_only: bool = False, delay: float = 0.0
) -> Iterator[Progress]:
    """Yield what shows progress on standard error, in the command line's words.

    Parameters
    ----------
    hidden : bool, default False
        Show warnings alone, as with --quiet.
    bar_only : bool, default False
        For a command that prints answers as it goes: nothing off a terminal, and no bar on one that
        shows the answers too.
    delay : float, default 0
        Seconds before anything is shown.
    """
    from slugline.base.progress import progress_on

    quiet = hidden or is_quiet() or (bar_only and not has_onlooker())
    with closing(progress_on(quiet=quiet, wording=name_flags, delay=delay)) as progress:
        yield progress


@contextmanager
def explain_interrupt(message: Callable[[], str]) -> Iterator[None]:
    """Say after Ctrl-C what there is, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        say(message())
        raise


def has_onlooker() -> bool:
    """Whether somebody would see a bar that doesn't run into answers on standard output."""
    from slugline.base.progress import can_erase

    return can_erase(sys.stderr) and not sys.stdout.isatty()


# Evaluations --------------------------------------------------------------------------------------

# Under this p-value, chance is no good explanation.
_RARE = 0.05
_N_MISTAKES = 5
# With three places, smaller values would look like 0.
_LEAST_SHOWN = 0.001

Row = tuple[str, str, str]


def shares(evaluation: AnyEvaluation) -> Iterator[Row]:
    """Return the rows of accuracy and F1, each with its 95 % interval."""
    from slugline.evaluation.multilabel import MultilabelEvaluation

    if isinstance(evaluation, MultilabelEvaluation):
        micro, macro, samples = evaluation.f1_intervals
        of_samples = "mean F1 of documents, 1 for a right answer of no topic"
        of_all = "documents given exactly their topics"
        yield _metric("micro-F1", evaluation.micro.f1, micro, "every decision counts the same")
        yield _metric("macro-F1", evaluation.macro_f1, macro, "every topic counts the same")
        yield _metric("per document", evaluation.samples.f1, samples, of_samples)
        yield _metric("exact match", evaluation.accuracy, evaluation.interval, of_all)
        return
    macro, weighted = evaluation.macro_f1_interval, evaluation.weighted_f1_interval
    yield _metric("accuracy", evaluation.accuracy, evaluation.interval)
    yield _metric("macro-F1", evaluation.macro_f1, macro, "every topic counts the same")
    yield _metric("weighted F1", evaluation.weighted_f1, weighted, "every document counts the same")


def _metric(name: str, value: float, interval: Interval, meaning: str = "") -> Row:
    return name, _share(value), "; ".join(filter(None, [_ends(interval), meaning]))


def print_evaluation(evaluation: AnyEvaluation) -> None:
    """Print all metrics, those of every topic, and the most common mistakes."""
    from slugline.evaluation.multilabel import MultilabelEvaluation

    if isinstance(evaluation, MultilabelEvaluation):
        more, cases = _of_rankings(evaluation), "decisions over 5 %"
    else:
        more, cases = _of_probabilities(evaluation), "documents"
    print_table(
        [
            ("documents", f"{evaluation.n_documents:,}", ""),
            *shares(evaluation),
            *more,
            _calibration(evaluation, cases),
        ],
        left_aligned=(0, 2),
    )
    show()
    by_size = sorted(evaluation.per_topic(), key=lambda figures: -figures.n_documents)
    rows = [("topic", "documents", "precision", "recall", "F1")]
    rows += [
        (f.topic, str(f.n_documents), _share(f.precision), _share(f.recall), _share(f.f1))
        for f in by_size
    ]
    if isinstance(evaluation, MultilabelEvaluation):
        thresholds = dict(zip(evaluation.topics, evaluation.thresholds.tolist(), strict=False))
        ends = [_share(thresholds.get(row[0], math.nan)) for row in rows[1:]]
        print_table([(*row, end) for row, end in zip(rows, ["given from", *ends], strict=True)])
        print_levels(evaluation)
        if pairs := evaluation.pairs(_N_MISTAKES):
            show("", "most common pairs")
        for pair in pairs:
            show(
                f"  {pair.first} and {pair.second}: {pair.n_true} in the data, "
                f"{pair.n_predicted} in answers"
            )
        return
    print_table(rows)
    mistakes = evaluation.confusions(_N_MISTAKES)
    if mistakes:
        show("", "most common mistakes")
        for true, predicted, n in mistakes:
            show(f"  {true} taken for {predicted}: {n}")


def print_levels(evaluation: Any) -> None:
    """Print the micro-averages of each depth of topics that are paths, if they are."""
    levels: Any = getattr(evaluation, "levels", list)()
    if levels:
        heads = ("depth of topics", "topics", "precision", "recall", "micro-F1")
        cells = [(str(n), f"{size:,}", *map(_share, scores)) for n, size, scores in levels]
        show()
        print_table([heads, *cells])


def print_paired(paired: PairedComparison, first: str, second: str) -> None:
    """Print both models' metrics side by side, and whether chance may explain the difference."""
    show("", f"{first} and {second} on the same documents")
    names = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
    if paired.micro_f1_interval is not None:
        names = {"micro_f1": "micro-F1", "accuracy": "exact match", "macro_f1": "macro-F1"}
    rows = [("", first, second, "difference", "")]
    for metric, name in names.items():
        parts = ("first", "second", "difference", "interval")
        ours, theirs, difference, ends = (getattr(paired, f"{metric}_{part}") for part in parts)
        rows.append((name, _share(ours), _share(theirs), f"{difference:+z.3f}", _ends(ends)))
    n_first, n_second = paired.n_first, paired.n_second
    counts = (f"{n_first:,}", f"{n_second:,}", f"{n_first - n_second:+,}")
    rows.append(("right, other wrong", *counts, f"{_p(paired.p_value)} by McNemar's exact test"))
    print_table(rows, left_aligned=(0, 4))
    show(_verdict(paired, first, second))


def _verdict(paired: PairedComparison, first: str, second: str) -> str:
    if paired.p_value >= _RARE:
        return "neither is shown to be more accurate: the difference may be luck"
    better = first if paired.n_first > paired.n_second else second
    return f"{better} is more accurate: luck alone would rarely make such a difference"


def _p(value: float) -> str:
    return "p < 0.001" if value < _LEAST_SHOWN else f"p = {value:.3f}"


def _of_probabilities(evaluation: Evaluation) -> Iterator[Row]:
    for k in evaluation.top_ks[:3]:
        yield f"top {k}", _share(evaluation.top_k(k)), f"the topic is among the {k} likeliest"
    yield "log loss", _share(evaluation.log_loss), "nats; lower is better"
    yield "Brier score", _share(evaluation.brier_score), "from 0 to 2; lower is better"


def _of_rankings(evaluation: MultilabelEvaluation) -> Iterator[Row]:
    ranking = evaluation.ranking
    for k in evaluation.top_ks:
        likeliest = "likeliest topic is right" if k == 1 else f"{k} likeliest topics are right"
        words = f"how often the {likeliest}; nDCG@{k} {_share(ranking.ndcg_at(k))}"
        yield f"precision@{k}", _share(ranking.precision_at(k)), words
    yield "ranking", _share(ranking.average_precision), "label ranking average precision"
    yield "Hamming loss", f"{evaluation.hamming_loss:.4f}", "share of all decisions that are wrong"


def _calibration(evaluation: AnyEvaluation, cases: str) -> Row:
    n_bins = len(evaluation.reliability())
    bins = "1 bin" if n_bins == 1 else f"{n_bins} bins of equally many {cases}"
    return (
        "calibration",
        _share(evaluation.calibration_error),
        f"mean gap between probability and share right, in {bins}; "
        f"chance alone makes {_share(evaluation.chance_error)}",
    )


def _ends(interval: Interval) -> str:
    return f"95 % interval {interval.low:.3f} to {interval.high:.3f}"


def _share(value: float) -> str:
    """Return a number with three places, or a dash if it is not defined."""
    return "-" if value != value else f"{value:.3f}"
