"""What learning curves say, in words."""

from __future__ import annotations

from slugline.curve import Curve, LearningCurves
from slugline.displays import counted
from slugline.report.words import number, percent, points
from slugline.trend import Forecast

__all__ = ["curve_rows", "doubling", "intervals"]

#: A forecast with a wider range is called a guess.
WIDE = 0.1
#: A smaller gain is hardly worth the labels.
LITTLE = 0.005


def curve_rows(curves: LearningCurves) -> list[list[str]]:
    """Return a table: labels a topic, documents, and each curve's accuracy with its interval."""
    rows = [["labels a topic", "documents"]]
    for curve in curves.curves:
        rows[0] += [curve.name, "95 % interval"]
    longest = max((curve.points for curve in curves.curves), key=len)
    for place, point in enumerate(longest):
        labels = "all" if point.n_labels is None else number(point.n_labels, 0)
        row = [labels, number(point.n_documents, 0)]
        for curve in curves.curves:
            row += _cells(curve, place)
        rows.append(row)
    return rows


def _cells(curve: Curve, place: int) -> list[str]:
    if place >= len(curve.points):  # not yet measured
        return ["-", "-"]
    point = curve.points[place]
    low, high = point.interval
    return [f"{point.accuracy:.3f}", f"{low:.3f} to {high:.3f}"]


def intervals(curves: LearningCurves) -> str:
    """Return what the intervals are intervals of."""
    n_draws = max(len(p.accuracies) for curve in curves.curves for p in curve.points)
    single = f"how much chance there is in {counted(curves.n_test, 'test document')} (Wilson)"
    if n_draws == 1:
        return f"The intervals show {single}."
    return (
        f"The intervals show how much it matters which documents have labels (Student's t over "
        f"{n_draws} draws); with all labels, where there is nothing to draw, {single}."
    )


def doubling(curve: Curve) -> str:
    """Return what twice as many labels would bring, and how sure that is."""
    if not curve.points or curve.points[-1].n_labels is not None:
        return f"{curve.name}: not measured with all labels, so more of them can't be judged."
    now = curve.points[-1]
    if now.accuracy == 1:
        return (
            f"{curve.name}: no mistake is left in {counted(now.n_test, 'test document')} for more "
            "labels to mend; only more documents to test on can show any."
        )
    forecast = curve.doubled
    if forecast is None:
        return (
            f"{curve.name}: too few points to say what more labels would bring; it takes three "
            "different numbers of labels."
        )
    gain = forecast.accuracy - now.accuracy
    return (
        f"{curve.name}: twice as many labels ({number(forecast.n_documents, 0)} documents) would "
        f"probably bring {percent(forecast.accuracy)}, {points(gain)} more than now. "
        f"{_how_sure(forecast)}{_worth(forecast, gain)}"
    )


def _worth(forecast: Forecast, gain: float) -> str:
    if gain >= LITTLE or forecast.high - forecast.low > WIDE:
        return ""
    return " So other things than labels limit it: look at the mistakes, or at the topics."


def _how_sure(forecast: Forecast) -> str:
    reach = f"from {percent(forecast.low)} to {percent(forecast.high)}"
    said = f"The range is {reach}"
    if forecast.high - forecast.low > WIDE:
        said = f"That is hardly more than a guess, {reach}"
    if forecast.checked is None:
        return f"{said}; there are only three points to judge by."
    n, expected, measured = forecast.checked
    return (
        f"{said}. The same rule (errors fall as a power of the number of documents), not told of "
        f"{number(n, 0)} documents, expected {percent(expected)} there, and {percent(measured)} "
        "came out."
    )
