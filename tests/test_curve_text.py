"""What learning curves say: each sentence follows from the numbers."""

from __future__ import annotations

from slugline.experiment.curve import CurvePoint, LearningCurve, LearningCurves
from slugline.reports.training_text import curve_rows, doubling, intervals

FEW = ((5, 10, 0.2), (50, 100, 0.6), (500, 1000, 0.8))


def curve(
    *points: tuple[int | None, int, float], n_test: int = 20_000, n_draws: int = 1
) -> LearningCurve:
    return LearningCurve(
        "ours", tuple(CurvePoint(n, size, (share,) * n_draws, n_test) for n, size, share in points)
    )


def curves(*each: LearningCurve) -> LearningCurves:
    return LearningCurves("data", 2, 10_000, 50, each)


def test_twice_the_labels_in_words() -> None:
    assert doubling(curve(*FEW, (None, 10_000, 0.9))) == (
        "ours: twice as many labels (20,000 documents) would probably bring 91.9 %, 1.9 points "
        "more than now. The range is from 91.6 % to 92.2 %. The same rule (errors fall as a power "
        "of the number of documents), not told of 10,000 documents, expected 90.0 % there, and "
        "90.0 % came out."
    )


def test_a_wide_range_is_called_a_guess_and_three_points_are_too_few_to_check() -> None:
    assert doubling(curve(*FEW[:2], (None, 1000, 0.8), n_test=60)) == (
        "ours: twice as many labels (2,000 documents) would probably bring 83.8 %, 3.8 points more "
        "than now. That is hardly more than a guess, from 76.6 % to 91.0 %; there are only three "
        "points to judge by."
    )


def test_where_labels_bring_nothing_other_things_limit() -> None:
    steady = [(n, size, 0.8) for n, size, _ in FEW]
    assert doubling(curve(*steady, (None, 10_000, 0.8))).endswith(
        " came out. So other things than labels limit it: look at the mistakes, or at the topics."
    )


def test_where_there_are_no_mistakes_labels_can_not_mend_them() -> None:
    assert doubling(curve(*FEW, (None, 10_000, 1.0), n_test=40)) == (
        "ours: no mistake is left in 40 test documents for more labels to mend; only more "
        "documents to test on can show any."
    )


def test_a_curve_that_was_cut_short_says_nothing_of_more_labels() -> None:
    assert doubling(curve(*FEW)) == (
        "ours: not measured with all labels, so more of them can't be judged."
    )
    assert doubling(curve()) == doubling(curve(*FEW))


def test_two_points_are_too_few() -> None:
    assert doubling(curve(FEW[0], (None, 12, 0.3))) == (
        "ours: too few points to say what more labels would bring; it takes three different "
        "numbers of labels."
    )


def test_a_row_for_each_number_of_labels_with_dashes_for_what_was_not_measured() -> None:
    both = curves(curve(FEW[0], (None, 1200, 0.5), n_test=100), LearningCurve("other", ()))
    assert curve_rows(both) == [
        ["labels a topic", "documents", "ours", "95 % interval", "other", "95 % interval"],
        ["5", "10", "0.200", "0.133 to 0.289", "-", "-"],
        ["all", "1,200", "0.500", "0.404 to 0.596", "-", "-"],
    ]


def test_intervals_say_what_they_are_of() -> None:
    assert intervals(curves(curve(FEW[0]))) == (
        "The intervals show how much chance there is in 50 test documents (Wilson)."
    )
    assert intervals(curves(curve(FEW[0], n_draws=3))) == (
        "The intervals show how much it matters which documents have labels (Student's t over 3 "
        "draws); with all labels, where there is nothing to draw, how much chance there is in 50 "
        "test documents (Wilson)."
    )
