"""Charts of the epochs of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slugline.base.chart import Axis, Chart, Key


def epoch_charts(
    metrics: Mapping[str, Sequence[float]],
    best_epoch: int,
    lesson: Mapping[str, Sequence[float]] | None = None,
) -> list[str]:
    """Return charts of the loss and the accuracy by epoch, as SVG elements.

    Parameters
    ----------
    metrics : mapping of str to sequence of float
        `loss` and `accuracy` of each epoch, drawn as dots, and `val_loss` and `val_accuracy`, if
        there are validation data, as a line.
    best_epoch : int
        The best epoch, counted from 1; marked if there are validation data.
    lesson : mapping with `val_loss` and `val_accuracy`, optional
        The lesson's own run, drawn as dashes.
    """
    return [
        _epoch_chart(metrics, name, best_epoch, lesson[f"val_{name}"] if lesson else ())
        for name in ("loss", "accuracy")
    ]


def _epoch_chart(
    metrics: Mapping[str, Sequence[float]], name: str, best_epoch: int, lesson: Sequence[float]
) -> str:
    training, validation = metrics[name], metrics.get(f"val_{name}", [])
    legend = [Key("Training", "training", "dots")]
    if validation:
        legend.append(Key("Validation", "validation"))
    if lesson:
        legend.append(Key("The lesson", "training", "dashes"))
    values = [*training, *validation, *lesson]
    chart = Chart(
        Axis.epochs(max(len(training), len(lesson))),
        Axis.numbers("Loss (lower is better)", values)
        if name == "loss"
        else Axis.fractions("Accuracy", values),
        legend,
    )
    if validation:
        chart.rule(best_epoch, f"best epoch: {best_epoch}", "best")
    chart.line(enumerate(lesson, 1), "training", width=1, dashed=True)
    for point in enumerate(training, 1):
        chart.dot(point, "training")
    chart.line(enumerate(validation, 1), "validation")
    return chart.svg(f"{name.capitalize()} by epoch, on training and validation documents")
