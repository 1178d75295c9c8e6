"""What learning curves say: each sentence follows from the numbers."""

from __future__ import annotations

from slugline.evaluation.intervals import Interval
from slugline.experiment.curve import CurvePoint, LearningCurve, LearningCurves
from slugline.reports.training_text import curve_rows, describe_forecast

FEW = ((5, 10, 0.2), (50, 100, 0.6), (500, 1000, 0.8))


def curve(
    *points: tuple[int | None, int, float], n_test: int = 20_000, n_draws: int = 1
) -> LearningCurve:
    return LearningCurve(
        "ours",
        tuple(
            CurvePoint(n, size, (share,) * n_draws, n_test, interval if n_draws > 2 else None)
            for n, size, share in points
            for interval in [Interval(share - 0.05, share + 0.05)]
        ),
    )


def curves(*each: LearningCurve) -> LearningCurves:
    return LearningCurves("data", 2, 10_000, 50, each)


def test_describe_forecast_needs_enough_test_documents() -> None:
    few = curve(*FEW, (None, 10_000, 0.5), n_test=2)
    assert few.forecast_of_doubled is None
    assert describe_forecast(few) == (
        "ours: 2 test documents are too few to estimate the gain from more labels; test on more."
    )


def test_describe_forecast_needs_mistakes() -> None:
    assert describe_forecast(curve(*FEW, (None, 10_000, 1.0), n_test=40)) == (
        "ours: no mistake in 40 test documents, so more test documents are needed to measure what "
        "more labels would gain."
    )


def test_describe_forecast_needs_all_labels() -> None:
    assert describe_forecast(curve(*FEW)) == (
        "ours: not measured with all labels, so the gain from more labels can't be estimated."
    )
    assert describe_forecast(curve()) == describe_forecast(curve(*FEW))


def test_describe_forecast_needs_three_points() -> None:
    assert describe_forecast(curve(FEW[0], (None, 12, 0.3))) == (
        "ours: too few points to estimate the gain from more labels; at least three different "
        "numbers of labels are needed."
    )


def test_curve_rows_have_dashes_for_unmeasured_points() -> None:
    both = curves(curve(FEW[0], (None, 1200, 0.5), n_draws=3), LearningCurve("other", ()))
    assert curve_rows(both) == [
        ["labels per topic", "documents", "ours", "95 % interval", "other", "95 % interval"],
        ["5", "10", "20.0 %", "15.0 to 25.0 %", "-", "-"],
        ["all", "1,200", "50.0 %", "45.0 to 55.0 %", "-", "-"],
    ]
    alone = curves(curve(FEW[0], n_draws=2))
    assert curve_rows(alone)[1] == ["5", "10", "20.0 %", "-"]
