"""Pictures for reports: matplotlib figures as SVG, with the colours and fonts of the page.

They are drawn on their own figures, never through pyplot, whose state belongs to the user.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slugline.base.plots import COLOURS, count_epochs, count_percents, plot_epochs
from slugline.learning.net.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from slugline.compare.results import Comparison
    from slugline.experiment.curve import LearningCurves
    from slugline.experiment.lesson import SeedSummary

__all__ = [
    "Curve",
    "accuracy_by_time",
    "accuracy_curves",
    "label_curves",
    "learning_curves",
    "strips",
]

_INK, _RULE = "#1c2126", "#d5d2ca"
_ORDINARY, _MARKED = COLOURS["validation"], COLOURS["best"]
# Each colour is replaced by a variable of colours.css, which has another value in dark mode.
_VARIABLES = {_INK: "--ink", _RULE: "--rule"} | {
    colour: f"--{name}" for name, colour in COLOURS.items()
}
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": _RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "legend.labelcolor": _INK,
    "svg.fonttype": "none",  # keep text as text: in the page's font, selectable, small
    "text.color": _INK,
    "xtick.color": _RULE,
    "xtick.labelcolor": _INK,
    "ytick.color": _RULE,
    "ytick.labelcolor": _INK,
}
_PANEL = (4.4, 3.2)  # inches, for a picture with another one beside it
_ALONE = (5.4, 3.1)


@dataclass(frozen=True)
class Curve:
    """Accuracy of one network by epoch: a line for each seed, and a dashed one for the lesson.

    Its name is above the lines, or below them if it is `marked` with another colour.
    """

    label: str
    seeds: Sequence[Sequence[float]]
    lesson: Sequence[float]
    marked: bool = False


def learning_curves(
    history: History, others: Mapping[str, Mapping[str, Sequence[float]]] | None = None
) -> list[str]:
    """Return pictures of the loss and the accuracy by epoch.

    Parameters
    ----------
    history : History
        Drawn as dots for training and a line for validation; the best epoch is marked.
    others : mapping of names to `val_loss` and `val_accuracy`, optional
        Other runs, drawn as thin dashed lines.

    Returns
    -------
    Two SVG elements, to be placed side by side or one above the other.
    """
    figures = [_figure(_PANEL), _figure(_PANEL)]
    with _style():
        axes = [figure.subplots() for figure in figures]
        plot_epochs(axes, history.history, history.best_epoch, others)
        return [
            _svg(figure, f"{name} by epoch, on training and validation documents")
            for figure, name in zip(figures, ("Loss", "Accuracy"), strict=True)
        ]


def accuracy_curves(curves: Sequence[Curve]) -> str:
    """Return the validation accuracy of several networks by epoch, as one SVG element."""
    figure = _figure(_ALONE)
    with _style():
        ax = figure.subplots()
        for curve in curves:
            _draw_curve(ax, curve)
        ax.set_ylabel("Validation accuracy")
        ax.margins(y=0.12)
        count_epochs(ax)
        count_percents(ax.yaxis)
        return _svg(figure, "Validation accuracy of several networks by epoch")


def label_curves(curves: LearningCurves) -> str:
    """Return the accuracy by number of documents learned from, as one SVG element."""
    figure = _figure(_ALONE)
    with _style():
        curves.plot(figure.subplots())
        return _svg(figure, "Accuracy by number of documents learned from")


def accuracy_by_time(comparison: Comparison) -> str:
    """Return the accuracy of each model against the time of a fit, as one SVG element."""
    figure = _figure(_ALONE)
    with _style():
        comparison.plot(figure.subplots())
        return _svg(figure, "Accuracy of each model by the seconds that it takes to learn")


def strips(rows: Sequence[tuple[str, SeedSummary]], marked: str) -> str:
    """Return test accuracies as one SVG element: a row per network, a dot per seed, a mean."""
    figure = _figure(_ALONE)
    with _style():
        ax = figure.subplots()
        for place, (label, accuracy) in enumerate(rows):
            _draw_row(ax, place, accuracy, _MARKED if label == marked else _ORDINARY)
        ax.set_yticks(range(len(rows)), [label for label, _ in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("Test accuracy")
        ax.set_ylabel("Units in the hidden layers")
        count_percents(ax.xaxis)
        return _svg(figure, "Test accuracy by the number of units in the hidden layers")


def _draw_row(ax: Axes, place: int, accuracy: SeedSummary, colour: str) -> None:
    several = len(accuracy.values) > 1
    height = [place] * len(accuracy.values)
    size, alpha = (18, 0.45) if several else (40, 1)
    ax.scatter(accuracy.values, height, size, color=colour, alpha=alpha, linewidths=0, zorder=3)
    if several:
        ax.plot([accuracy.mean] * 2, [place - 0.28, place + 0.28], color=colour, linewidth=2)


def _draw_curve(ax: Axes, curve: Curve) -> None:
    colour = _MARKED if curve.marked else _ORDINARY
    for number, values in enumerate(curve.seeds):
        # The first seed stands out; the others show how much is chance.
        width, alpha = (0.7, 0.5) if number else (1.8, 1)
        epochs = range(1, len(values) + 1)
        ax.plot(epochs, values, color=colour, linewidth=width, alpha=alpha)
    epochs = range(1, len(curve.lesson) + 1)
    ax.plot(epochs, curve.lesson, "--", linewidth=1, color=COLOURS["training"])
    # The name is next to the last third of the lines, which it should not cross.
    near = [value for run in (*curve.seeds, curve.lesson) for value in run[-len(run) // 3 :]]
    ax.annotate(
        curve.label,
        (len(curve.seeds[0]), min(near) if curve.marked else max(near)),
        xytext=(0, -6 if curve.marked else 6),
        textcoords="offset points",
        horizontalalignment="right",
        verticalalignment="top" if curve.marked else "bottom",
        color=colour,
    )


def _style() -> Any:
    from matplotlib import rc_context

    return rc_context(_STYLE)


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    with _style():
        return Figure(figsize=size, layout="constrained")


def _svg(figure: Figure, label: str) -> str:
    """Return a matplotlib figure as an SVG element that fits into a page with others."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # The salt gives each picture of a page names of its own, which are the same in every run.
    with rc_context({"svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r' id="[a-z0-9_.]*_\d+"', "", svg
    )  # of groups, whose numbers start again in every picture
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
