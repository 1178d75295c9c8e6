"""Linear weights from all documents at once: blocks, threads, large problems, rows left out."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from rows_by_topic import make_up, plant_wrong_topics
from slugline.base.progress import SilentProgress
from slugline.learning.calibration import Calibration
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import fit as linear_fit
from slugline.learning.linear import problem, steps
from slugline.learning.linear.fit import FittedLinear, find_doubtful, fit_linear
from slugline.learning.linear.problem import ABSENT_SCORE, FitLimits, LinearProblem
from slugline.learning.linear.training import Training

N_TOPICS, N_ROWS = 20, 1200
X, Y = make_up(N_ROWS, n_topics=N_TOPICS)
NOISY, WRONG = plant_wrong_topics(Y, 0.1, N_TOPICS)
X_NEW, Y_NEW = make_up(500, seed=2, n_topics=N_TOPICS)


def fit(n_jobs: int = 1, y: np.ndarray = NOISY, **options: Any) -> FittedLinear:
    return fit_linear(X, Labels.from_topics(y), FitContext(N_TOPICS, n_jobs=n_jobs), **options)


def scores(found: FittedLinear, rows: sp.csr_array = X_NEW) -> np.ndarray:
    return (rows @ found.weights).toarray() + found.biases


def assert_same(one: FittedLinear, other: FittedLinear) -> None:
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(one.weights, part), getattr(other.weights, part))
    assert np.array_equal(one.biases, other.biases)
    assert np.array_equal(one.heldout.rows, other.heldout.rows)
    assert np.array_equal(one.heldout.scores, other.heldout.scores)
    assert (one.calibration, one.n_suspect_labels) == (other.calibration, other.n_suspect_labels)


# Blocks and threads -----------------------------------------------------------------------------


# Each of them makes a problem large in its own way.
LARGE = {
    "more topics than a block": FitLimits(max_topics=10),
    "narrow blocks": FitLimits(max_weights=1),
    "weights that are not held": FitLimits(max_topics=10, max_dense=100),
    "weights that are not held, and many rows": FitLimits(
        max_topics=10, max_dense=100, many_rows=1000
    ),
    "no few rows": FitLimits(max_topics=10, few_rows=100),
    "one block at a time": FitLimits(max_topics=10, max_dense_parallel=1),
}


@pytest.mark.parametrize("limits", LARGE.values(), ids=LARGE)
def test_fit_linear_does_not_depend_on_threads(limits: FitLimits) -> None:
    one = fit(limits=limits)
    assert one.n_suspect_labels > 0
    for n_jobs in (2, 5):
        assert_same(fit(n_jobs, limits=limits), one)


def test_map_batches_stops_other_threads_after_an_error() -> None:
    problem = LinearProblem.from_rows(
        X, Labels.from_topics(Y), FitContext(N_TOPICS, n_jobs=2), limits=FitLimits(max_topics=5)
    )
    training, is_running = (Training.from_problem(problem, np.arange(len(Y)), 1), threading.Event())

    def work(topics: slice) -> None:
        if topics.start == 0:
            assert is_running.wait(60)
            raise KeyboardInterrupt
        is_running.set()
        while True:  # many passes
            training.report(0.0)

    with pytest.raises(KeyboardInterrupt):
        problem.map_batches(work)


FEW = FitLimits(max_topics=10, few_rows=N_ROWS)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("limits", [*LARGE.values(), FEW], ids=[*LARGE, "few rows"])
def test_fit_linear_reports_progress_up_to_the_end_of_each_step(
    limits: FitLimits, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.base.progress._SHORT", 0.0)
    shares: dict[str, list[float]] = {}

    class Steps(SilentProgress):
        n_ends = 0

        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            assert share is not None
            shares.setdefault(step, []).append(share)

        def close(self) -> None:
            self.n_ends += 1

    steps = Steps()
    fit_linear(
        X, Labels.from_topics(Y), FitContext(N_TOPICS, n_jobs=jobs, progress=steps), limits=limits
    )
    assert steps.n_ends == 1
    assert f"learning from {len(Y):,} documents" in shares
    assert any(step.startswith("calibrating: learning from ") for step in shares)
    for step, parts in shares.items():
        assert parts == sorted(parts) or step.startswith("calibrating"), step
        assert parts[-1] == pytest.approx(1) or step == f"learning from {len(Y):,} documents"


@pytest.mark.parametrize("limits", LARGE.values(), ids=LARGE)
def test_fit_linear_of_a_large_problem_predicts_like_a_small_one(limits: FitLimits) -> None:
    small, large = fit(), fit(limits=limits)
    one, other = scores(small), scores(large)
    assert (one.argmax(axis=1) == other.argmax(axis=1)).mean() > 0.99
    assert np.abs(small.calibration.proba(one) - large.calibration.proba(other)).mean() < 0.01
    assert large.n_suspect_labels == pytest.approx(small.n_suspect_labels, rel=0.4)


@pytest.mark.parametrize("y", [Y, NOISY], ids=["right", "noisy"])
def test_fit_linear_relearns_weights_that_exceed_memory(y: np.ndarray) -> None:
    held = fit(y=y, limits=FitLimits(max_topics=3))
    assert_same(fit(y=y, limits=FitLimits(max_topics=3, max_dense=100)), held)


def test_fit_linear_looks_for_doubtful_rows_in_a_sample_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = FitLimits(max_dense=100, many_rows=500)
    looked_at: list[int] = []
    first_scores = Training.first_scores

    def note(training: Training, rows: np.ndarray) -> Any:
        looked_at.append(len(rows))
        return first_scores(training, rows)

    monkeypatch.setattr(Training, "first_scores", note)
    assert fit(y=Y, limits=limits).n_suspect_labels == 0
    assert looked_at == [400]
    assert fit(y=NOISY, limits=limits).n_suspect_labels > 0
    assert looked_at == [400, 400, 1200]


def test_rates_of_many_rows_are_equal_and_smaller() -> None:
    usual = LinearProblem.from_rows(X, Labels.from_topics(Y), FitContext(N_TOPICS))
    few = usual.rates(np.arange(500))
    problem = LinearProblem.from_rows(
        X, Labels.from_topics(Y), FitContext(N_TOPICS), limits=FitLimits(many_rows=500)
    )
    assert np.array_equal(problem.rates(np.arange(500)), few)
    assert len(few) == X.shape[1] + 1
    assert few[:-1].max() > 1.5 * few[:-1].min()
    many = problem.rates(np.arange(501))
    assert many.dtype == few.dtype == np.float32
    assert (many == many[-1]).all()
    assert many[-1] < few[-1]


# Doubtful rows ----------------------------------------------------------------------------------


def test_find_doubtful_keeps_a_topic_of_which_most_rows_are_doubtful() -> None:
    highest = np.full(7, 2, dtype=np.float32)
    right = np.array([0, 0, 2, 0, 0, 2, 2], dtype=np.float32)
    found = find_doubtful(highest, right, np.array([0, 0, 0, 1, 1, 1, 1]))
    assert found.tolist() == [False, False, False, True, True, False, False]


def test_fit_linear_calibrates_by_rows_it_does_not_learn_from() -> None:
    found = fit()
    assert 0.7 * WRONG.sum() < found.n_suspect_labels <= WRONG.sum()
    # How often topics are wrong shows in how much doubt is left.
    assert 0.05 < np.mean(WRONG[found.heldout.rows]) < 0.15
    likeliest = found.calibration.proba(scores(found)).max(axis=1).mean()
    assert likeliest == pytest.approx(0.9, abs=0.03)


# Calibration ------------------------------------------------------------------------------------


def unit(rows: sp.csr_array) -> sp.csr_array:
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    return sp.csr_array(rows.multiply(1 / lengths[:, np.newaxis]), dtype=np.float32)


@pytest.mark.parametrize("few_rows", [2000, 3000], ids=["one part", "folds"])
def test_heldout_scores_are_spread_like_those_of_new_rows(
    few_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, y = make_up(2500, n_topics=N_TOPICS)
    y, _ = plant_wrong_topics(y, 0.1, N_TOPICS)
    # As in texts, most terms of a row are in no other one; of a new row's, none has a column.
    unique = sp.csr_array(sp.eye_array(2500, dtype=np.float32) * 4 * plain.data.max())
    rows = unit(sp.csr_array(sp.hstack([plain, unique], format="csr")))
    new = sp.csr_array(sp.hstack([X_NEW, sp.csr_array((500, 2500), dtype=np.float32)]))

    how: dict[str, Any] = {"clean": False, "limits": FitLimits(few_rows=few_rows)}
    found = fit_linear(rows, Labels.from_topics(y), FitContext(N_TOPICS), **how)

    left_out, on_new = found.heldout.scores, scores(found, unit(new))
    assert np.median(top_gap(left_out)) == pytest.approx(np.median(top_gap(on_new)), rel=0.15)
    # Had the terms of their own kept their part in the rows' length, they would lie nearer.
    monkeypatch.setattr(problem, "renormalize_rows", lambda X, known: X)
    short = fit_linear(rows, Labels.from_topics(y), FitContext(N_TOPICS), **how).heldout.scores
    assert np.median(top_gap(short)) < 0.8 * np.median(top_gap(on_new))


def top_gap(scores: np.ndarray) -> np.ndarray:
    """Give how far the highest score of each row lies over the mean one."""
    gap: np.ndarray = scores.max(axis=1) - scores.mean(axis=1)
    return gap


def test_heldout_rows_are_all_of_few_and_two_thirds_of_more() -> None:
    assert len(fit().heldout.rows) == N_ROWS * 2 / 3
    few = fit(limits=FitLimits(few_rows=N_ROWS))
    assert few.heldout.rows.tolist() == list(range(N_ROWS))


def test_heldout_scores_of_few_rows_do_not_depend_on_batches_of_topics() -> None:
    limits = FEW, replace(FEW, max_weights=1)
    together, apart = (fit(clean=False, limits=each).heldout.scores for each in limits)
    np.testing.assert_array_equal(together, apart)


def test_heldout_rows_leave_out_the_only_row_of_a_topic() -> None:
    y = np.where(Y == 3, 4, Y)
    y[17] = 3
    heldout = fit(y=y, limits=FitLimits(few_rows=N_ROWS)).heldout
    assert heldout.rows.tolist() == [row for row in range(N_ROWS) if row != 17]


def test_heldout_rows_leave_out_a_topic_never_learned() -> None:
    y = np.where(Y == 3, 4, Y)
    y[[17, 18]] = 3  # of two, one at most is in the third that is learned from
    found = fit(y=y).heldout
    judged = {17, 18} & set(found.rows.tolist())
    assert bool(judged) == bool((found.scores[:, 3] > ABSENT_SCORE).all())


def test_fit_linear_without_heldout_rows_has_the_usual_calibration() -> None:
    eye = sp.csr_array(np.eye(3, dtype=np.float32))
    found = fit_linear(eye, Labels.from_topics(np.arange(3)), FitContext(4))
    assert found.calibration == Calibration(5.5, 0.01, 0.06)
    assert found.heldout.scores.shape == (0, 4)
    assert found.biases[3] == ABSENT_SCORE


# True scores of rows that were not learned from ---------------------------------------------------


def test_cross_validate_scores_rows_by_weights_that_have_not_seen_them() -> None:
    found = fit_linear(X, Labels.from_topics(NOISY), FitContext(N_TOPICS, cross_validate=True))
    rows, judged, _ = found.heldout

    # Those that look wrong have taught nothing, and yet they show how often topics are wrong.
    assert found.n_suspect_labels > 0
    assert rows.tolist() == list(range(N_ROWS))
    right = judged.argmax(axis=1) == NOISY[rows]
    on_new = np.mean(scores(found).argmax(axis=1) == Y_NEW)
    assert np.mean(right[~WRONG]) == pytest.approx(on_new, abs=0.08)
    assert np.mean(right[WRONG]) < 0.1


def test_cross_validate_stops_after_the_fold_in_which_scores_are_enough() -> None:
    labels, few = Labels.from_topics(NOISY), FitLimits(few_rows=0)
    context = FitContext(N_TOPICS, cross_validate=True)
    of_all = fit_linear(X, labels, context, limits=few).heldout
    context = replace(context, n_enough=N_ROWS // 3)
    rows, heldout_scores, training = fit_linear(X, labels, context, limits=few).heldout
    assert N_ROWS // 3 <= len(rows) < 0.6 * N_ROWS  # two of four folds
    assert np.array_equal(heldout_scores, of_all.scores[rows])
    assert training is None


def test_cross_validate_of_random_topics_is_right_by_chance_only() -> None:
    y = np.random.default_rng(5).integers(0, N_TOPICS, N_ROWS)
    rows, judged, _ = fit_linear(
        X, Labels.from_topics(y), FitContext(N_TOPICS, cross_validate=True), clean=False
    ).heldout
    assert np.mean(judged.argmax(axis=1) == y[rows]) < 3 / N_TOPICS


def test_cross_validate_of_many_topics_learns_from_part_of_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    class Counted(steps.Minibatches):
        def __init__(self, X: Any, rows: np.ndarray, *rest: Any) -> None:
            sizes.append(len(rows))
            super().__init__(X, rows, *rest)

    monkeypatch.setattr(steps, "Minibatches", Counted)
    limits = FitLimits(max_topics=1, negatives_per_positive=3)
    rows, judged, _ = fit(y=Y, limits=limits).heldout

    assert len(sizes) == 2 * N_TOPICS  # for all rows, and for a third
    assert max(sizes) < N_ROWS / 3
    assert np.mean(judged.argmax(axis=1) == Y[rows]) > 0.9


# Samples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fraction", "tried"), [(0.0, [50]), (0.01, [50, 100])])
def test_small_sample_with_next_to_no_doubtful_rows_is_enough(
    fraction: float, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def find_fraction(_problem: Any, _rows: Any, n_tried: int) -> float:
        sizes.append(n_tried)
        return fraction

    monkeypatch.setattr(linear_fit, "_fraction_doubtful", find_fraction)
    monkeypatch.setattr(linear_fit, "_FEW_TRIED", 50)
    monkeypatch.setattr(linear_fit, "_MIN_TRIED_PER_TOPIC", 1)
    X = sp.random_array((300, 20), density=0.3, format="csr", dtype=np.float32, rng=0)
    limits = FitLimits(few_rows=0, many_rows=100, max_dense=0)
    labels = Labels.from_topics(np.arange(300) % 4)
    fit_linear(X, labels, FitContext(4), limits=limits)
    assert sizes == tried
