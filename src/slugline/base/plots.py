"""Plots drawn with matplotlib, for users; reports draw theirs with `slugline.reports.chart`."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from slugline.base.lazy import import_extra
from slugline.base.wording import format_seconds
from slugline.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


_TRAINING, _VALIDATION, _BEST = "#7a8794", "#0b5fa5", "#c2410c"
_PAPER, _INK, _RULE = "#fbfaf7", "#1c2126", "#d5d2ca"
_STEPS = [1, 2, 5, 10]


# Files --------------------------------------------------------------------------------------------


def figure_class() -> type[Figure]:
    """Return matplotlib's class of figures; raise OptionError if matplotlib is not installed."""
    module = import_extra("matplotlib.figure", "PNG files and `plot`", "plot", OptionError)
    return cast("type[Figure]", module.Figure)


def draw_png(plot: Callable[[Axes], None]) -> bytes:
    """Return the bytes of a PNG file with one plot, drawn by a function on its axes."""
    figure, content = figure_class()(figsize=(6.4, 4), layout="constrained"), io.BytesIO()
    figure.set_facecolor(_PAPER)
    axes = figure.subplots()
    plot(axes)
    _style(axes)
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()


def _style(ax: Axes) -> None:
    """Draw axes as in reports: faint grid lines below the curves, none above and at the right."""
    ax.set_facecolor(_PAPER)
    ax.grid(color=_RULE, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.tick_params(which="both", length=0, labelcolor=_INK)
    for name, spine in ax.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(_RULE)


# By epoch -----------------------------------------------------------------------------------------


def plot_epochs(
    axes: Sequence[Axes], curves: Mapping[str, Sequence[float]], best_epoch: int
) -> None:
    """Draw loss and accuracy by epoch: dots for training, a line for validation.

    `curves` has `loss` (in nats) and `accuracy`, one number per epoch, and `val_loss` and
    `val_accuracy` if there are validation data. Then `best_epoch`, from 1, is marked.
    """
    labels = {"loss": "Loss (lower is better)", "accuracy": "Accuracy"}
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
        training, validation = curves[name], curves.get(f"val_{name}")
        epochs = range(1, len(training) + 1)
        ax.plot(epochs, training, "o", markersize=4, color=_TRAINING, label="Training")
        if validation:
            ax.plot(epochs, validation, color=_VALIDATION, label="Validation")
            _mark_best(ax, best_epoch)
        ax.set_ylabel(label)
        _mark_epochs(ax)
        _add_legend(ax)
    _mark_percents(axes[1].yaxis)


def _mark_best(ax: Axes, best_epoch: int) -> None:
    """Name the best epoch above the plot, where no curve can cross the text."""
    late = best_epoch > sum(ax.dataLim.intervalx) / 2
    ax.axvline(best_epoch, color=_BEST, linewidth=1, linestyle=":")
    ax.annotate(
        f"best epoch: {best_epoch}",
        (best_epoch, 1),
        xycoords=("data", "axes fraction"),
        xytext=(2 if late else -2, 3),
        textcoords="offset points",
        horizontalalignment="right" if late else "left",
        verticalalignment="bottom",
        color=_BEST,
    )


def _mark_epochs(ax: Axes) -> None:
    """Start the axis at epoch 1, and mark whole epochs only."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("Epoch")
    ax.set_xlim(0.5, ax.dataLim.x1 + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=_STEPS))


def _add_legend(ax: Axes) -> None:
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


# By number of labels ------------------------------------------------------------------------------


def plot_labels(ax: Axes, curves: Sequence[Any], score: str) -> None:
    """Draw lines with bands by number of documents, and dashes to the forecasts.

    `curves` are like `slugline.experiment.curve.LearningCurve`, with points.
    """
    colours = itertools.cycle((_VALIDATION, _BEST, _TRAINING))
    for curve, colour in zip(curves, colours, strict=False):
        n_documents = [point.n_documents for point in curve.points]
        accuracies = [point.accuracy for point in curve.points]
        bands = [(p.n_documents, *p.interval) for p in curve.points if p.interval is not None]
        if bands:
            sizes, lows, highs = zip(*bands, strict=True)
            ax.fill_between(sizes, lows, highs, color=colour, alpha=0.15, linewidth=0)
        ax.plot(n_documents, accuracies, "o-", markersize=4, color=colour, label=curve.name)
        if (doubled := curve.doubled) is not None:
            ends = [n_documents[-1], doubled.n_documents], [accuracies[-1], doubled.accuracy]
            ax.plot(*ends, "--", linewidth=1, color=colour)
            error = [[doubled.accuracy - doubled.low], [doubled.high - doubled.accuracy]]
            style: Any = {"fmt": "o", "markersize": 4, "markerfacecolor": "none", "capsize": 3}
            ax.errorbar(ends[0][1], ends[1][1], yerr=error, color=colour, linewidth=1, **style)
    ax.set_xscale("log")
    ax.set_xlabel("Training documents")
    ax.set_ylabel(score)
    _mark_powers(ax.xaxis, (1, 2, 5))
    _mark_percents(ax.yaxis)
    ax.legend(frameon=False, loc="lower right")


# By model -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelMark:
    """A model in a plot of scores, such as accuracies."""

    name: str
    seconds: float
    score: float
    interval: tuple[float, float]
    is_best: bool = False


def plot_models(ax: Axes, models: Sequence[ModelMark], score: str = "Accuracy") -> None:
    """Draw the score and interval of each model in a row of its own, the first on top."""
    for row, model in enumerate(models):
        low, high = model.interval
        ax.errorbar(
            [model.score],
            [row],
            # At a score of 1, rounding may leave the upper end a little below.
            xerr=[[max(0, model.score - low)], [max(0, high - model.score)]],
            fmt="o",
            markersize=5,
            linewidth=1,
            color=_BEST if model.is_best else _VALIDATION,
        )
    ax.set_yticks(range(len(models)), [f"{m.name}, {format_seconds(m.seconds)}" for m in models])
    ax.set_ylim(len(models) - 0.4, -0.6)
    ax.set_ylabel("Model, time to train")
    ax.set_xlabel(score)
    _mark_percents(ax.xaxis)


# Axes ---------------------------------------------------------------------------------------------


def _mark_powers(axis: Axis, factors: Sequence[int]) -> None:
    """Mark a logarithmic axis by factors of powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=factors, numticks=12))
    axis.set_major_formatter("{x:,.0f}")
    axis.set_minor_formatter(NullFormatter())


def _mark_percents(axis: Axis) -> None:
    """Mark an axis of fractions in percent, with enough digits to tell the marks apart."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=7, steps=_STEPS))
    axis.set_major_formatter(FuncFormatter(lambda fraction, _: f"{100 * fraction:.5g} %"))
