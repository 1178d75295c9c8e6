"""The report on a comparison of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slugline.base.wording import format_seconds, join_words
from slugline.comparison.results import TEST_NAME, AccuracyDifference, Comparison, ModelResult
from slugline.model.file.content import library_versions
from slugline.reports.pictures import score_by_model
from slugline.reports.render import number, render, sentence

# Sentences and tables -----------------------------------------------------------------------------

#: Significance level.
ALPHA = 0.05
_QUALITY = ("model", "accuracy", "95 % interval", "macro-F1", "behind", "p")
_MULTILABEL_QUALITY = (_QUALITY[0], "micro-F1", *_QUALITY[2:4], "per document", *_QUALITY[4:])
_COSTS = ("fit", "documents/s", "memory", "file")


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """Return a table of all models, best first, with dashes for unknown values."""
    differences, has_baseline = comparison.differences(), comparison.baseline is not None
    head = [*(_MULTILABEL_QUALITY if comparison.multilabel else _QUALITY), *_COSTS]
    if has_baseline:
        head[head.index("behind")] = "difference"
    format_difference = _difference_to_baseline if has_baseline else _distance_behind
    rows = [
        _row(model, differences.get(model.name), format_difference) for model in comparison.measured
    ]
    failed = [[m.name, *["-"] * (len(head) - 1)] for m in comparison.models if m.error is not None]
    return [head, *rows, *failed]


def _row(
    model: ModelResult,
    difference: AccuracyDifference | None,
    format_difference: Callable[[AccuracyDifference], str],
) -> list[str]:
    """Return a model's table row."""
    low, high = model.interval
    samples_f1 = [] if model.evaluation is None else [f"{model.evaluation.samples.f1:.3f}"]
    return [
        model.name,
        f"{model.score:.3f}",
        f"{low:.3f} to {high:.3f}",
        "-" if model.macro_f1 is None else f"{model.macro_f1:.3f}",
        *samples_f1,
        "" if difference is None else format_difference(difference),
        "" if difference is None else _p_value(difference.p_value),
        format_seconds(model.fit_time),
        number(float(f"{model.documents_per_second:.3g}"), 0),
        "-" if model.peak_mb is None else f"{number(model.peak_mb, 0)} MB",
        format_size(model.file_bytes),
    ]


def _distance_behind(difference: AccuracyDifference) -> str:
    return f"{0 - difference.accuracy:.3f}"


def _difference_to_baseline(difference: AccuracyDifference) -> str:
    interval = difference.interval
    half = "" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.3f}"
    return f"{difference.accuracy:+z.3f}{half}"


def _p_value(p_value: float | None) -> str:
    if p_value is None:
        return "-"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def format_size(n_bytes: int | None) -> str:
    """Return the size of a file.

    >>> format_size(359967), format_size(None)
    ('360 kB', '-')
    """
    if n_bytes is None:
        return "-"
    if n_bytes < 1_000_000:
        return f"{number(n_bytes / 1e3, 0 if n_bytes >= 10_000 else 1)} kB"
    return f"{number(n_bytes / 1e6, 1)} MB"


def format_model(model: ModelResult, width: int) -> str:
    """Describe a measured model on one line, with its name padded to `width` characters."""
    name = f"{model.name:<{width}}"
    if model.error is not None:
        return f"{name}  failed: {model.error}"
    low, high = model.interval
    return (
        f"{name}  {'micro-F1' if model.evaluation else 'accuracy'} {model.score:.3f} "
        f"({low:.3f} to {high:.3f}), "
        f"fit {format_seconds(model.fit_time)}"
    )


def failures(comparison: Comparison) -> list[str]:
    """Return a sentence for each failed model, with the reason."""
    return [
        sentence("comparison.txt.j2", "failure", name=model.name, error=model.error.rstrip("."))
        for model in comparison.models
        if model.error is not None
    ]


def verdict(comparison: Comparison) -> str:
    """State which model is best, or which models differ from the baseline."""
    all_differences, same = comparison.differences(), comparison.same_answers()
    differences = {n: d for n, d in all_differences.items() if n not in same}
    alike = [name for name, d in differences.items() if (d.p_value or 0) >= ALPHA]
    significant = {name: d for name, d in differences.items() if name not in alike}
    better = [name for name, d in significant.items() if d.accuracy > 0]
    worse = [name for name, d in significant.items() if d.accuracy < 0]
    return sentence(
        "comparison.txt.j2",
        "verdict" if comparison.baseline is None else "against_baseline",
        comparison=comparison,
        best=comparison.best,
        reference=comparison.reference,
        differences=all_differences,
        second=max(differences, key=lambda name: differences[name].accuracy, default=""),
        alpha=ALPHA,
        n_same=len(same),
        same=_join(same),
        alike=_join(alike),
        better=_join(better),
        worse=_join(worse),
    )


def _join(names: Sequence[str]) -> str:
    return join_words(names) if names else ""


def table_notes(comparison: Comparison) -> dict[str, str]:
    """Explain the table's columns and how they were measured."""
    values = {"comparison": comparison, "test_name": TEST_NAME}
    names = ("folds", "test", "costs")
    return {name: sentence("comparison.txt.j2", name, **values) for name in names}


# The page -----------------------------------------------------------------------------------------


def comparison_page(comparison: Comparison) -> str:
    """Return a comparison as a self-contained HTML page."""
    head, *rows = comparison_rows(comparison)
    return render(
        "comparison.html.j2",
        comparison=comparison,
        best=comparison.best,
        head=head,
        rows=rows,
        verdict=verdict(comparison),
        failed=failures(comparison),
        notes=table_notes(comparison),
        picture=score_by_model(comparison.marks(), comparison.score_name)
        if comparison.measured
        else None,
        versions=library_versions(),
    )
