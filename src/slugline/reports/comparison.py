"""The page on a comparison of models."""

from __future__ import annotations

from typing import NamedTuple

from slugline.base.words import counted
from slugline.compare.results import TEST_NAME, AccuracyDifference, Comparison, ModelResult
from slugline.model.file.content import library_versions
from slugline.reports.page import listed, number, percent, points, render
from slugline.reports.pictures import accuracy_by_time

__all__ = [
    "comparison_page",
    "comparison_rows",
    "failures",
    "model_line",
    "reading",
    "size",
    "verdict",
]


# What a comparison of models says, in words and as a table ----------------------------------------

#: A smaller p-value is taken for a difference.
SURE = 0.05
_HEAD = (
    *("model", "accuracy", "95 % interval", "macro-F1", "behind", "p"),
    *("fit", "documents/s", "memory", "file"),
)


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """Return a table of all models, the best first, with dashes for what isn't known."""
    behind = comparison.behind()
    measured = sorted(comparison.measured, key=lambda m: (m is not comparison.best, -m.accuracy))
    rows = [_row(model, behind.get(model.name)) for model in measured]
    failed = [[m.name, *["-"] * (len(_HEAD) - 1)] for m in comparison.models if m.error is not None]
    return [[*_HEAD], *rows, *failed]


def _row(model: ModelResult, behind: AccuracyDifference | None) -> list[str]:
    low, high = model.interval
    return [
        model.name,
        f"{model.accuracy:.3f}",
        f"{low:.3f} to {high:.3f}",
        "-" if model.macro_f1 is None else f"{model.macro_f1:.3f}",
        "" if behind is None else f"{-behind.accuracy:.3f}",
        "" if behind is None else _p_value(behind.p_value),
        _seconds(model.fit_time),
        number(float(f"{model.documents_per_second:.3g}"), 0),
        "-" if model.peak_mb is None else f"{number(model.peak_mb, 0)} MB",
        size(model.file_bytes),
    ]


def _p_value(p_value: float | None) -> str:
    if p_value is None:
        return "-"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _seconds(seconds: float) -> str:
    if seconds < 0.001:
        return "< 0.001 s"
    return f"{seconds:.2g} s" if seconds < 10 else f"{number(seconds, 0)} s"


def size(n_bytes: int | None) -> str:
    """Return the size of a file.

    >>> size(359967), size(None)
    ('360 kB', '-')
    """
    if n_bytes is None:
        return "-"
    if n_bytes < 1_000_000:
        return f"{number(n_bytes / 1e3, 0 if n_bytes >= 10_000 else 1)} kB"
    return f"{number(n_bytes / 1e6, 1)} MB"


def model_line(model: ModelResult, width: int) -> str:
    """Return one line on a model that was just measured; its name takes `width` characters."""
    name = f"{model.name:<{width}}"
    if model.error is not None:
        return f"{name}  failed: {model.error}"
    low, high = model.interval
    return (
        f"{name}  accuracy {model.accuracy:.3f} ({low:.3f} to {high:.3f}), "
        f"fit {_seconds(model.fit_time)}"
    )


def failures(comparison: Comparison) -> list[str]:
    """Return why each model that failed did so."""
    return [f"{m.name} has no result: {m.error}." for m in comparison.models if m.error is not None]


def verdict(comparison: Comparison) -> str:
    """Return which model is best, and which others are as good for all that is known."""
    best, behind = comparison.best, comparison.behind()
    if best is None:
        return "No model could be measured."
    if not behind:
        return f"Only {best.name} was measured: {percent(best.accuracy)} of its answers are right."
    said = f"{best.name} is right most often: {percent(best.accuracy)}."
    alike = [name for name, d in behind.items() if d.p_value is None or d.p_value >= SURE]
    if not alike:
        runner_up = max(behind, key=lambda name: behind[name].accuracy)
        return (
            f"{said} The next one, {runner_up}, is {points(behind[runner_up].accuracy)} behind, "
            "which is more than chance."
        )
    return (
        f"{said} Chance may be all that tells it from {listed(alike)} (p of {SURE} or more): among "
        "these, choose by time, memory and size."
    )


class Reading(NamedTuple):
    """How the columns of the table are to be read: those on how good models are, and on costs."""

    quality: list[str]
    costs: list[str]


def reading(comparison: Comparison) -> Reading:
    """Return what the numbers of the table are, and how they came about."""
    n, n_learned = comparison.n_documents, comparison.n_documents // comparison.n_folds
    quality = [
        f"Each model learned {counted(comparison.n_folds, 'time')}, from about "
        f"{number(n - n_learned, 0)} documents, and answered the {number(n_learned, 0)} others. "
        "The interval is Wilson's, of the answers to all documents.",
        f"The columns behind and p compare with the best model, fold by fold: {TEST_NAME}. The "
        "smaller p, the less it looks like chance.",
    ]
    costs = [
        "Fit is the median time to learn; memory is the most that the process took, Python and the "
        "documents included; file is the saved model's size, for scikit-learn that of its pickle.",
    ]
    if comparison.jobs > 1:
        costs.append(
            f"{comparison.jobs} models ran at the same time, so that each took longer than it "
            "does alone."
        )
    return Reading(quality, costs)


# The page on a comparison of models ---------------------------------------------------------------


def comparison_page(comparison: Comparison) -> str:
    """Return the table, the picture and the words on a comparison as one page of HTML."""
    head, *rows = comparison_rows(comparison)
    return render(
        "comparison.html.j2",
        comparison=comparison,
        best=comparison.best,
        head=head,
        rows=rows,
        says=verdict(comparison),
        failed=failures(comparison),
        reading=reading(comparison),
        picture=accuracy_by_time(comparison.marks()) if comparison.measured else None,
        versions=library_versions(),
    )
