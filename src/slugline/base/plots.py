"""Curves drawn with matplotlib, by epoch and by number of labels, for users and for reports."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = [
    "COLOURS",
    "LabelCurve",
    "Mark",
    "count_epochs",
    "count_percents",
    "plot_epochs",
    "plot_labels",
    "plot_marks",
]

#: Colours of the curves; a report replaces them with those of its page.
COLOURS = {"training": "#7a8794", "validation": "#0b5fa5", "best": "#c2410c"}

_STEPS = [1, 2, 5, 10]


Curves = Mapping[str, Sequence[float]]


def plot_epochs(
    axes: Sequence[Axes],
    curves: Curves,
    best_epoch: int,
    others: Mapping[str, Curves] | None = None,
) -> None:
    """Draw loss and accuracy by epoch: dots for training, a line for validation.

    Parameters
    ----------
    axes : two matplotlib axes
        For loss and for accuracy.
    curves : mapping
        `loss` and `accuracy`, one number per epoch; `val_loss` and `val_accuracy` if there are
        validation data. Losses use natural logarithms.
    best_epoch : int
        Counted from 1; marked if there are validation data.
    others : mapping of names to `val_loss` and `val_accuracy`, optional
        Other runs, drawn as thin dashed lines.
    """
    for ax, name, label in zip(
        axes, ("loss", "accuracy"), ("Loss (lower is better)", "Accuracy"), strict=True
    ):
        _plot_one(ax, curves[name], curves.get(f"val_{name}"), best_epoch)
        for other, run in (others or {}).items():
            _plot_other(ax, run[f"val_{name}"], other)
        ax.set_ylabel(label)
        count_epochs(ax)
        _explain(ax)
    count_percents(axes[1].yaxis)


@dataclass(frozen=True)
class LabelCurve:
    """Accuracy by number of documents: points with intervals, and what is expected of more.

    `expected` is a number of documents, the accuracy, and the ends of its range.
    """

    name: str
    n_documents: Sequence[int]
    accuracies: Sequence[float]
    intervals: Sequence[tuple[float, float]]
    expected: tuple[int, float, float, float] | None = None


def plot_labels(ax: Axes, curves: Sequence[LabelCurve]) -> None:
    """Draw curves by number of documents: lines with bands, and dashes to what is expected."""
    colours = (COLOURS["validation"], COLOURS["best"], COLOURS["training"])
    for curve, colour in zip(curves, itertools.cycle(colours), strict=False):
        _plot_labels(ax, curve, colour)
    ax.set_xscale("log")
    ax.set_xlabel("Documents learned from")
    ax.set_ylabel("Accuracy")
    _count_documents(ax.xaxis)
    count_percents(ax.yaxis)
    ax.legend(frameon=False, loc="lower right")


def _plot_labels(ax: Axes, curve: LabelCurve, colour: str) -> None:
    lows, highs = zip(*curve.intervals, strict=True)
    ax.fill_between(curve.n_documents, lows, highs, color=colour, alpha=0.15, linewidth=0)
    ax.plot(curve.n_documents, curve.accuracies, "o-", markersize=4, color=colour, label=curve.name)
    if curve.expected is not None:
        n, accuracy, low, high = curve.expected
        last = curve.n_documents[-1], curve.accuracies[-1]
        ax.plot([last[0], n], [last[1], accuracy], "--", linewidth=1, color=colour)
        reach = [[accuracy - low], [high - accuracy]]
        style: Any = {"fmt": "o", "markersize": 4, "markerfacecolor": "none", "capsize": 3}
        ax.errorbar([n], [accuracy], yerr=reach, color=colour, linewidth=1, **style)


@dataclass(frozen=True)
class Mark:
    """A model in a picture of accuracy against seconds."""

    name: str
    seconds: float
    accuracy: float
    interval: tuple[float, float]
    is_best: bool = False


def plot_marks(ax: Axes, marks: Sequence[Mark]) -> None:
    """Draw a dot for each model, with its interval and its name: the best are at the top left."""
    for mark in marks:
        low, high = mark.interval
        ax.errorbar(
            [mark.seconds],
            [mark.accuracy],
            # Of an accuracy of 1, rounding may leave the upper end a little below.
            yerr=[[max(0, mark.accuracy - low)], [max(0, high - mark.accuracy)]],
            fmt="o",
            markersize=5,
            linewidth=1,
            color=COLOURS["best" if mark.is_best else "validation"],
        )
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.1)
    ax.set_xlabel("Time to learn")
    ax.set_ylabel("Accuracy")
    _count_seconds(ax.xaxis)
    count_percents(ax.yaxis)
    _name_marks(ax, marks)


# Where a name may be from its dot, in points, and which end of it is there; the first is best.
_PLACES = (
    *((7, 0, "left"), (-7, 0, "right"), (7, 9, "left"), (7, -9, "left")),
    *((-7, 9, "right"), (-7, -9, "right"), (7, 18, "left"), (7, -18, "left")),
)
# Points that a character is wide and high, roughly.
_CHARACTER = (5.0, 10.0)


def _name_marks(ax: Axes, marks: Sequence[Mark]) -> None:
    """Write names beside dots, where no other name or dot is."""
    to_points = 72 / ax.figure.dpi
    dots = [ax.transData.transform((mark.seconds, mark.accuracy)) * to_points for mark in marks]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    for mark, (x, y) in zip(marks, dots, strict=True):
        boxes = [_box(x + dx, y + dy, side, len(mark.name)) for dx, dy, side in _PLACES]
        crossed = [sum(_meet(box, other) for other in taken) for box in boxes]
        place = crossed.index(min(crossed))
        taken.append(boxes[place])
        dx, dy, side = _PLACES[place]
        ax.annotate(
            mark.name,
            (mark.seconds, mark.accuracy),
            xytext=(dx, dy),
            textcoords="offset points",
            horizontalalignment=side,
            verticalalignment="center",
            color=COLOURS["best" if mark.is_best else "validation"],
        )


_Box = tuple[float, float, float, float]


def _box(x: float, y: float, side: str, n_characters: int) -> _Box:
    width, height = n_characters * _CHARACTER[0], _CHARACTER[1]
    left = x if side == "left" else x - width
    return left, y - height / 2, left + width, y + height / 2


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _count_seconds(axis: Axis) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 3), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g} s"))
    axis.set_minor_formatter(NullFormatter())


def _count_documents(axis: Axis) -> None:
    """Mark an axis of logarithms by whole numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def count_epochs(ax: Axes) -> None:
    """Start the axis of epochs at epoch 1, and mark whole epochs only."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("Epoch")
    ax.set_xlim(0.5, ax.dataLim.x1 + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=_STEPS))


def count_percents(axis: Axis) -> None:
    """Mark an axis of shares in percent, with enough digits to tell the marks apart."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=7, steps=_STEPS))
    axis.set_major_formatter(FuncFormatter(_percent))


def _percent(share: float, _: Any) -> str:
    return f"{100 * share:.5g} %"


def _plot_one(
    ax: Axes, training: Sequence[float], validation: Sequence[float] | None, best_epoch: int
) -> None:
    epochs = range(1, len(training) + 1)
    ax.plot(epochs, training, "o", markersize=4, color=COLOURS["training"], label="Training")
    if validation:
        ax.plot(epochs, validation, color=COLOURS["validation"], label="Validation")
        _mark_best(ax, best_epoch)


def _plot_other(ax: Axes, validation: Sequence[float], label: str) -> None:
    epochs = range(1, len(validation) + 1)
    ax.plot(epochs, validation, "--", linewidth=1, color=COLOURS["training"], label=label)


def _explain(ax: Axes) -> None:
    """Put the legend above the line of text that names the best epoch."""
    from matplotlib.transforms import ScaledTranslation

    a_line = ScaledTranslation(0, 0.25, ax.figure.dpi_scale_trans)  # inches
    ax.legend(
        frameon=False,
        ncols=2,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=ax.transAxes + a_line,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.6,
    )


def _mark_best(ax: Axes, best_epoch: int) -> None:
    """Name the best epoch above the picture, where no curve can cross the words."""
    late = best_epoch > sum(ax.dataLim.intervalx) / 2
    ax.axvline(best_epoch, color=COLOURS["best"], linewidth=1, linestyle=":")
    ax.annotate(
        f"best epoch: {best_epoch}",
        (best_epoch, 1),
        xycoords=("data", "axes fraction"),
        xytext=(2 if late else -2, 3),
        textcoords="offset points",
        horizontalalignment="right" if late else "left",
        verticalalignment="bottom",
        color=COLOURS["best"],
    )
