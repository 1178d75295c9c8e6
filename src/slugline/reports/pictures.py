"""The charts of all reports, as SVG elements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from slugline.base.chart import Axis, Chart, Key
from slugline.base.wording import format_seconds
from slugline.comparison.results import ModelMark
from slugline.evaluation.probabilities import Bin, CoverageCurve, CoveragePoint
from slugline.experiment.curve import LearningCurves
from slugline.experiment.lesson import SeedSummary
from slugline.reports.render import shorten

_COLOURS = ("validation", "best", "training")
# Maximum length of a model's name and time.
_MODEL_LENGTH = 26
#: Minimum number of answers for drawing their accuracy; with fewer, it is too noisy.
_MIN_ANSWERS = 20


class NetworkCurves(NamedTuple):
    """Validation accuracy of a network by epoch, for each seed and in the lesson."""

    label: str
    seeds: Sequence[Sequence[float]]
    lesson: Sequence[float]
    colour: str


def accuracy_curves(networks: Sequence[NetworkCurves]) -> str:
    """Return a chart of validation accuracy by epoch; each network's first seed stands out."""
    runs = [run for network in networks for run in (*network.seeds, network.lesson)]
    chart = Chart(
        Axis.epochs(max(map(len, runs))),
        Axis.fractions("Validation accuracy", itertools.chain(*runs)),
        [
            *(Key(network.label, network.colour) for network in networks),
            Key("the lesson", "training", "dashes"),
        ],
    )
    for network in networks:
        chart.line(enumerate(network.lesson, 1), "training", width=1, dashed=True)
        for i, run in reversed([*enumerate(network.seeds)]):
            width, opacity = (0.75, 0.6) if i else (1.75, 1)
            chart.line(enumerate(run, 1), network.colour, width=width, opacity=opacity)
    return chart.svg("Validation accuracy of several networks by epoch")


def accuracy_by_network(networks: Sequence[tuple[str, SeedSummary]], marked: str) -> str:
    """Return a chart with a row per network: a dot per seed and a bar for the mean."""
    accuracies = [value for _, summary in networks for value in summary.values]
    chart = Chart(
        Axis.fractions("Test accuracy", accuracies, max_steps=5),
        Axis.names("Units in the hidden layers", [label for label, _ in networks]),
    )
    for i, (label, accuracy) in enumerate(networks):
        colour = "best" if label == marked else "validation"
        has_seeds = len(accuracy.values) > 1
        for value in accuracy.values:
            chart.dot((value, -i), colour, opacity=0.5 if has_seeds else 1)
        if has_seeds:
            chart.line([(accuracy.mean, -i - 0.28), (accuracy.mean, -i + 0.28)], colour, width=2)
    return chart.svg("Test accuracy by the number of units in the hidden layers")


def accuracy_by_labels(curves: LearningCurves) -> str:
    """Return a chart of accuracy by number of documents, with a dashed line to the forecast."""
    measured = [curve for curve in curves.curves if curve.points]
    forecasts = [curve.forecast_of_doubled for curve in measured]
    points = [point for curve in measured for point in curve.points]
    intervals = [point.interval or (point.accuracy, point.accuracy) for point in points]
    intervals += [(forecast.low, forecast.high) for forecast in forecasts if forecast]
    sizes = [point.n_documents for point in points]
    sizes += [forecast.n_documents for forecast in forecasts if forecast]
    colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(measured))]
    chart = Chart(
        Axis.logarithms("Training documents", sizes),
        Axis.fractions(curves.score_name, itertools.chain(*intervals)),
        [Key(c.name, colour) for c, colour in zip(measured, colours, strict=True)],
    )
    dodge = 1.0
    for curve, forecast, colour in zip(measured, forecasts, colours, strict=True):
        bands = {p.n_documents: p.interval for p in curve.points if p.interval is not None}
        if bands:
            chart.band([*bands], [*bands.values()], colour)
        measurements = [(point.n_documents, point.accuracy) for point in curve.points]
        if forecast is not None:
            # All forecasts are for the same number of documents, so they are drawn side by side.
            point = dodge * forecast.n_documents, forecast.accuracy
            dodge *= 1.04
            chart.line([measurements[-1], point], colour, width=1, dashed=True)
            chart.dot(point, colour, (forecast.low, forecast.high), hollow=True)
        chart.line(measurements, colour)
        for measurement in measurements:
            chart.dot(measurement, colour)
    return chart.svg(f"{curves.score_name} by number of training documents")


def score_by_model(models: Sequence[ModelMark], score: str = "Accuracy") -> str:
    """Return a chart with a row per model: its score and interval."""
    times = [format_seconds(model.seconds) for model in models]
    names = [
        f"{shorten(model.name, _MODEL_LENGTH - len(time))}, {time}"
        for model, time in zip(models, times, strict=True)
    ]
    chart = Chart(
        Axis.fractions(score, [end for model in models for end in model.interval], max_steps=3),
        Axis.names("Model, time to train", names),
    )
    for i, model in enumerate(models):
        colour = "best" if model.is_best else "validation"
        chart.line([(end, -i) for end in model.interval], colour, width=1.25)
        chart.dot((model.score, -i), colour)
    return chart.svg(f"{score} of each model, and the seconds that training takes")


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """Return a chart of accuracy by predicted probability, with 95 % intervals."""
    chart = Chart(
        Axis.fractions("Probability of the answer"), Axis.fractions("Fraction that is right")
    )
    chart.line([(0, 0), (1, 1)], "training", width=1, dashed=True)
    for group in bins:
        chart.dot((group.probability, group.fraction_right), "validation", group.interval)
    return chart.svg("Fraction of right answers by their probability")


def coverage_chart(
    curve: CoverageCurve,
    threshold: CoveragePoint | None = None,
    *,
    answers: str = "documents answered",
) -> str:
    """Return a chart of the accuracy of the surest answers by coverage, with 95 % intervals.

    Parameters
    ----------
    curve : CoverageCurve
    threshold : CoveragePoint, optional
        The model's threshold, to mark on the curve.
    answers : str, default "documents answered"
        Axis label for what the curve counts.
    """
    points = [p for p in curve.points() if p.n_answered >= _MIN_ANSWERS] or curve.points()
    accuracies = [point.accuracy for point in points]
    chart = Chart(
        Axis.fractions(f"Fraction of {answers}, the surest first"),
        Axis.fractions("Accuracy of these answers", [1, *accuracies, points[-1].interval.low]),
    )
    coverages = [point.coverage for point in points]
    chart.band(coverages, [point.interval for point in points], "validation")
    if threshold is not None and threshold.n_answered:
        chart.rule(threshold.coverage, f"threshold {threshold.threshold:.2f}", "best")
    chart.line(zip(coverages, accuracies, strict=True), "validation")
    if threshold is not None and threshold.n_answered:
        chart.dot((threshold.coverage, threshold.accuracy), "best")
    return chart.svg("Accuracy of the surest answers by their fraction")
