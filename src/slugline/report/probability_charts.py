"""Charts of what probabilities are worth."""

from __future__ import annotations

from collections.abc import Sequence

from slugline.evaluation import Bin, CoverageCurve, CoveragePoint
from slugline.report.chart import Axis, Chart

__all__ = ["coverage_chart", "reliability_diagram"]

#: The accuracy of fewer answers is not drawn: it jumps with each of them.
FEW = 20


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """Return the share of right answers by their probability, as one SVG element."""
    chart = Chart(Axis(0, 1, "Probability of the answer"), Axis(0, 1, "Share that is right"))
    chart.line([(0, 0), (1, 1)], "training", dashed=True)
    for each in bins:
        chart.dot((each.probability, each.share), "validation", each.interval)
    return chart.svg("Share of right answers by their probability")


def coverage_chart(curve: CoverageCurve, chosen: CoveragePoint | None = None) -> str:
    """Return the accuracy of the surest answers by how many they are, as one SVG element.

    Parameters
    ----------
    curve : CoverageCurve
    chosen : CoveragePoint, optional
        What is answered with the threshold that the model has, to be marked.
    """
    points = [p for p in curve.points() if p.n_answered >= FEW] or curve.points()
    intervals = [point.interval for point in points]
    lowest = min(*(point.accuracy for point in points), intervals[-1].low)
    least = max(0.0, lowest - 0.1 * (1 - lowest)) if lowest < 1 else 0.0
    chart = Chart(
        Axis(0, 1, "Share of documents answered, the surest first"),
        Axis(least, 1, "Accuracy of these answers"),
    )
    coverages = [point.coverage for point in points]
    chart.band(coverages, intervals, "validation")
    chart.line([(point.coverage, point.accuracy) for point in points], "validation")
    if chosen is not None and chosen.n_answered:
        chart.dot((chosen.coverage, chosen.accuracy), "best")
        at = chosen.coverage, chosen.accuracy
        chart.note(at, f"threshold {chosen.threshold:.2f}", "best")
    return chart.svg("Accuracy of the surest answers by how many they are")
