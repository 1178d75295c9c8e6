"""What learning curves say: each sentence follows from the numbers."""

from __future__ import annotations

from slugline.evaluation.intervals import Interval
from slugline.experiment.curve import CurvePoint, LearningCurve, LearningCurves
from slugline.reports.training_text import curve_rows, describe_forecast, describe_intervals

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


def test_twice_the_labels_in_words() -> None:
    assert describe_forecast(curve(*FEW, (None, 10_000, 0.9))) == (
        "ours: twice as many labels (20,000 documents) would probably bring 91.9 %, 1.9 points "
        "more than now. It may be anything from 91.5 % to 92.3 %. To check: from fewer documents, "
        "the same rule (errors fall as a power of the number of documents) forecasts 90.0 % for "
        "10,000 documents, and 90.0 % were measured."
    )


def test_a_wide_range_is_called_a_guess_and_three_points_are_too_few_to_check() -> None:
    assert describe_forecast(curve(*FEW[:2], (None, 1000, 0.8), n_test=60)) == (
        "ours: twice as many labels (2,000 documents) would probably bring 83.8 %, 3.8 points more "
        "than now. It may be anything from 72.0 % to 91.9 %, so this is hardly more than a guess; "
        "three points are too few to check the forecast."
    )


def test_labels_that_bring_nothing_are_called_so() -> None:
    steady = [(n, size, 0.8) for n, size, _ in FEW]
    assert describe_forecast(curve(*steady, (None, 10_000, 0.8))).endswith(
        " 80.0 % were measured. More labels would hardly help: look at the mistakes, or at the "
        "topics."
    )


def test_a_result_that_may_be_anything_is_no_ground_for_a_forecast() -> None:
    few = curve(*FEW, (None, 10_000, 0.5), n_test=2)
    assert few.doubled is None
    assert describe_forecast(few) == (
        "ours: 2 test documents are too few to say what more labels would bring; test on more."
    )


def test_without_mistakes_it_takes_more_test_documents() -> None:
    assert describe_forecast(curve(*FEW, (None, 10_000, 1.0), n_test=40)) == (
        "ours: no mistake in 40 test documents, so it takes more test documents to measure what "
        "more labels would bring."
    )


def test_a_curve_that_was_cut_short_says_nothing_of_more_labels() -> None:
    assert describe_forecast(curve(*FEW)) == (
        "ours: not measured with all labels, so more of them can't be judged."
    )
    assert describe_forecast(curve()) == describe_forecast(curve(*FEW))


def test_two_points_are_too_few() -> None:
    assert describe_forecast(curve(FEW[0], (None, 12, 0.3))) == (
        "ours: too few points to say what more labels would bring; it takes at least three "
        "different numbers of labels."
    )


def test_a_row_for_each_number_of_labels_with_dashes_for_what_was_not_measured() -> None:
    both = curves(curve(FEW[0], (None, 1200, 0.5), n_draws=3), LearningCurve("other", ()))
    assert curve_rows(both) == [
        ["labels per topic", "documents", "ours", "95 % interval", "other", "95 % interval"],
        ["5", "10", "20.0 %", "15.0 to 25.0 %", "-", "-"],
        ["all", "1,200", "50.0 %", "45.0 to 55.0 %", "-", "-"],
    ]
    alone = curves(curve(FEW[0], n_draws=2))
    assert curve_rows(alone)[1] == ["5", "10", "20.0 %", "-"]


def test_intervals_say_what_they_are_of() -> None:
    assert describe_intervals(curves(curve(FEW[0]))) == (
        "There are no intervals: how much depends on which documents have labels shows from "
        "3 draws on."
    )
    assert describe_intervals(curves(curve(FEW[0], n_draws=3))) == (
        "With other documents, as many as here, expect a result within the interval: it allows for "
        "chance in which documents have labels (3 draws) and in which ones are tested "
        "(50 test documents)."
    )
