"""Linear weights learned in batches, against the formulas in float64."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import scipy.sparse as sp

from reference_descent import ReferenceDescent, costs_of
from rows_by_topic import make_up, plant_wrong_topics
from slugline.learning import heldout, label_types
from slugline.learning.calibration import Calibration, fit_calibration
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import batches as linear_stream
from slugline.learning.linear import steps
from slugline.learning.linear.batches import LinearStream
from slugline.learning.linear.fit import fit_linear
from slugline.learning.linear.learner import LinearLearner

# A batch of so few rows is one step in each pass.
N_ROWS, N_COLUMNS, N_TOPICS, N_PASSES = 40, 9, 3, 6
RATE, FRESH, LEARNED = 0.15, 0.3, 3.0
RNG = np.random.default_rng(0)
X = sp.random_array((N_ROWS, N_COLUMNS), density=0.4, format="csr", dtype=np.float32, rng=1)
Y = RNG.choice(N_TOPICS, N_ROWS, p=[0.6, 0.3, 0.1])
WEIGHT = RNG.uniform(0.5, 2, N_ROWS).astype(np.float32)
FIRST, SECOND = slice(0, 25), slice(25, N_ROWS)


def context(rows: slice = slice(None)) -> FitContext:
    return FitContext(N_TOPICS, sample_weight=WEIGHT[rows])


def new_stream() -> LinearStream:
    return LinearStream.empty(N_COLUMNS, N_TOPICS)


def learned(*batches: slice) -> LinearStream:
    stream = new_stream()
    for rows in batches:
        stream.learn(X[rows], Labels.from_topics(Y[rows]), context(rows))
    return stream


def new_reference() -> ReferenceDescent:
    nothing = np.zeros((N_COLUMNS, N_TOPICS)), np.full(N_TOPICS, -1)
    return ReferenceDescent(*nothing, FRESH, RATE)


def descend(reference: ReferenceDescent, rows: slice, costs: np.ndarray) -> None:
    for _ in range(N_PASSES):
        reference.step(X[rows].toarray().astype(np.float64), Y[rows], costs)


def assert_scores_are(stream: LinearStream, reference: ReferenceDescent) -> None:
    assert stream.decision_function(X).dtype == np.float32
    np.testing.assert_allclose(
        stream.decision_function(X), reference.scores(X.toarray()), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(stream.biases, reference.weights[-1], rtol=1e-4)


# Weights ----------------------------------------------------------------------------------------


def test_linear_stream_follows_the_formulas_from_batch_to_batch() -> None:
    stream, reference = new_stream(), new_reference()
    totals = np.zeros(N_TOPICS)
    for rows in (FIRST, SECOND):
        totals += np.bincount(Y[rows], WEIGHT[rows], N_TOPICS)
        stream.learn(X[rows], Labels.from_topics(Y[rows]), context(rows))
        descend(reference, rows, costs_of(Y[rows], WEIGHT[rows], totals))
        assert_scores_are(stream, reference)


def test_linear_stream_keeps_the_users_weights_of_rare_topics() -> None:
    stream, reference = new_stream(), new_reference()
    stream.learn(X, Labels.from_topics(Y), FitContext(N_TOPICS, weighted_topics=True))
    descend(reference, slice(None), np.ones((N_ROWS, N_TOPICS)))
    assert_scores_are(stream, reference)


def test_linear_stream_moves_fitted_weights_less_and_copies_them() -> None:
    fitted = fit_linear(X, Labels.from_topics(Y), context())
    before = fitted.weights.toarray(), fitted.biases.copy()
    stream = LinearStream(fitted.weights, fitted.biases, fitted.calibration)

    stream.learn(X, Labels.from_topics(Y), context())

    reference = ReferenceDescent(*before, LEARNED, RATE)
    totals = np.bincount(Y, WEIGHT).astype(np.float64)
    descend(reference, slice(None), costs_of(Y, WEIGHT, totals))
    assert_scores_are(stream, reference)
    assert np.array_equal(fitted.weights.toarray(), before[0])
    assert np.array_equal(fitted.biases, before[1])


def test_widen_starts_new_columns_at_0_and_keeps_the_others() -> None:
    moved = np.array([0, 1, 2, 4, 5, 6, 8, 9, 10])
    stream = learned(FIRST)
    stream.widen(moved, 12)
    wide = sp.csr_array((X.data, moved[X.indices], X.indptr), shape=(N_ROWS, 12))
    assert stream.n_columns == 12
    before = learned(FIRST)
    assert np.array_equal(stream.decision_function(wide), before.decision_function(X))
    stream.learn(wide[SECOND], Labels.from_topics(Y[SECOND]), context(SECOND))
    before.learn(X[SECOND], Labels.from_topics(Y[SECOND]), context(SECOND))
    assert np.array_equal(stream.decision_function(wide), before.decision_function(X))
    # A new column learns as a fresh one does.
    new = sp.csr_array(([1], ([0], [3])), shape=(1, 12), dtype=np.float32)
    stream.learn(new, Labels.from_topics(Y[:1]), context(slice(0, 1)))
    assert stream.sparse_weights()[[3], :].nnz > 0


def test_linear_stream_is_as_accurate_as_a_fit() -> None:
    rows, y = make_up(1200)
    y, _ = plant_wrong_topics(y, 0.1)
    rows_new, y_new = make_up(500, seed=2)
    stream = LinearStream.empty(rows.shape[1], 8)
    for first in range(0, 1200, 100):
        batch = slice(first, first + 100)
        stream.learn(rows[batch], Labels.from_topics(y[batch]), FitContext(8))
    scores = stream.decision_function(rows_new)
    assert (scores.argmax(axis=1) == y_new).mean() > 0.99
    # And it says how often topics are wrong.
    assert stream.calibration.proba(scores).max(axis=1).mean() == pytest.approx(0.9, abs=0.04)


def test_sparse_weights_drops_small_weights_that_the_stream_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "_THRESHOLDS", {1 << 20: 0.25})  # as of many weights
    stream = learned(FIRST)
    slim = stream.sparse_weights()
    assert slim.shape == (N_COLUMNS, N_TOPICS)
    assert 0 < slim.nnz < N_COLUMNS * N_TOPICS
    close = (X @ slim).toarray() + stream.biases
    np.testing.assert_allclose(close, stream.decision_function(X), atol=0.2)
    again = learned(FIRST)
    again.sparse_weights()
    again.learn(X[SECOND], Labels.from_topics(Y[SECOND]), context(SECOND))
    expected = learned(FIRST, SECOND).decision_function(X)
    assert np.array_equal(again.decision_function(X), expected)


@pytest.mark.parametrize("most_topics", [64, 3])
def test_linear_stream_is_the_same_for_any_number_of_threads(
    most_topics: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_stream, "_TOPICS_AT_A_TIME", most_topics)
    rows, y = make_up(300, n_topics=10)
    found = []
    for n_jobs in (1, 3):
        stream = LinearStream.empty(rows.shape[1], 10, seed=5)
        for batch in (slice(0, 200), slice(200, 300)):
            stream.learn(rows[batch], Labels.from_topics(y[batch]), FitContext(10, n_jobs=n_jobs))
        found.append((stream.decision_function(rows).tolist(), stream.calibration))
    assert found[0] == found[1]


def test_linear_stream_draws_the_order_of_rows_by_the_seed() -> None:
    rows, y = make_up(300)

    def scores(seed: int) -> list[list[float]]:
        stream = LinearStream.empty(rows.shape[1], 8, seed=seed)
        stream.learn(rows, Labels.from_topics(y), FitContext(8))
        found: list[list[float]] = stream.decision_function(rows).tolist()
        return found

    assert scores(0) == scores(0)
    assert scores(0) != scores(1)


# Topics that come later -------------------------------------------------------------------------


def test_linear_stream_predicts_a_topic_only_after_its_first_batch() -> None:
    rows, y = make_up(400)
    early, late = np.flatnonzero(y != 2), np.arange(400)
    stream = LinearStream.empty(rows.shape[1], 8)
    stream.learn(rows[early], Labels.from_topics(y[early]), FitContext(8))
    assert stream.biases[2] == -10
    assert 2 not in stream.decision_function(rows).argmax(axis=1)
    stream.learn(rows[late], Labels.from_topics(y[late]), FitContext(8))
    assert stream.decision_function(rows).argmax(axis=1).tolist() == y.tolist()


# Calibration ------------------------------------------------------------------------------------


def test_linear_stream_calibrates_the_first_batch_as_fit_does() -> None:
    stream = new_stream()
    stream.learn(X, Labels.from_topics(Y), FitContext(N_TOPICS))
    found = fit_linear(X, Labels.from_topics(Y), FitContext(N_TOPICS), clean=False)
    # The fewer rows there are, the nearer it stays to a usual one.
    share = N_ROWS / 50
    assert isinstance(found.calibration, Calibration)
    assert isinstance(stream.calibration, Calibration)
    assert stream.calibration.uniform_weight == pytest.approx(
        share * found.calibration.uniform_weight + (1 - share) * 0.01, rel=1e-3
    )
    assert stream.calibration.inverse_temperature == pytest.approx(
        found.calibration.inverse_temperature**share * 5.5 ** (1 - share), rel=1e-3
    )


@pytest.mark.parametrize("n_rows", [500, 1500], ids=["folds", "one part"])
def test_linear_stream_is_calibrated_after_the_first_batch(n_rows: int) -> None:
    rows, y = make_up(n_rows)
    rows_new, _ = make_up(500, seed=2)
    stream = LinearStream.empty(rows.shape[1], 8)
    stream.learn(rows, Labels.from_topics(plant_wrong_topics(y, 0.2)[0]), FitContext(8))
    proba = stream.calibration.proba(stream.decision_function(rows_new))
    assert proba.max(axis=1).mean() == pytest.approx(0.8, abs=0.05)


def test_linear_stream_calibrates_by_scores_from_before_learning() -> None:
    fitted = fit_linear(X, Labels.from_topics(Y), FitContext(N_TOPICS))
    first = fitted.calibration
    stream = LinearStream(fitted.weights, fitted.biases, first)
    scores = stream.decision_function(X)
    stream.learn(X, Labels.from_topics(Y), context())
    found, share = fit_calibration(scores, Y, WEIGHT), N_ROWS / 50
    assert isinstance(first, Calibration)
    assert isinstance(stream.calibration, Calibration)
    assert stream.calibration.inverse_temperature == pytest.approx(
        found.inverse_temperature**share * first.inverse_temperature ** (1 - share), rel=1e-3
    )
    assert stream.calibration.uniform_weight == pytest.approx(
        found.uniform_weight * share + first.uniform_weight * (1 - share), rel=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 50])
def test_linear_stream_is_calibrated_for_batches_of_any_size(size: int) -> None:
    rows, y = make_up(400)
    y, _ = plant_wrong_topics(y, 0.2)
    rows_new, _ = make_up(500, seed=2)
    stream = LinearStream.empty(rows.shape[1], 8)
    for first in range(0, 400, size):
        batch = slice(first, first + size)
        stream.learn(rows[batch], Labels.from_topics(y[batch]), FitContext(8))
    proba = stream.calibration.proba(stream.decision_function(rows_new))
    assert proba.max(axis=1).mean() == pytest.approx(0.8, abs=0.05)


def test_linear_stream_calibrates_by_single_rows_of_known_topics_only() -> None:
    stream = learned(FIRST)
    before = stream.calibration
    stream.learn(X[:1], Labels.from_topics(Y[:1]), context(slice(0, 1)))
    assert stream.calibration != before
    new = LinearStream.empty(N_COLUMNS, N_TOPICS)
    for topic in range(N_TOPICS):
        (row,) = np.flatnonzero(topic == Y)[:1]
        new.learn(X[[row]], Labels.from_topics(Y[[row]]), FitContext(N_TOPICS))
        assert new.calibration == Calibration(5.5, 0.01, 0.06)


def test_recent_scores_calibrate_by_the_latest_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heldout, "MAX_SCORES", 30 * N_TOPICS)
    monkeypatch.setattr(heldout, "_ENOUGH_ROWS", 30)
    fitted = fit_linear(X, Labels.from_topics(Y), FitContext(N_TOPICS))
    stream = LinearStream(fitted.weights, fitted.biases, Calibration(2.0, 0.3))
    scores = []
    for rows in (slice(0, 20), slice(20, 40)):
        scores.append(stream.decision_function(X[rows]))
        stream.learn(X[rows], Labels.from_topics(Y[rows]), context(rows))
    expected = fit_calibration(np.concatenate(scores)[-30:], Y[-30:], WEIGHT[-30:])
    assert isinstance(stream.calibration, Calibration)
    assert asdict(stream.calibration) == pytest.approx(asdict(expected), rel=1e-3)


# Batches that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_partial_fit_keeps_the_weights_if_a_batch_fails(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Calibration:
        raise error

    def assert_same() -> None:
        assert np.array_equal(one.decision_function(X), other.decision_function(X))
        assert np.array_equal(one.biases, other.biases)
        assert one.calibration == other.calibration

    one, other = LinearLearner(), LinearLearner()
    for learner in (one, other):
        learner.partial_fit(X[:20], Labels.from_topics(Y[:20]), FitContext(N_TOPICS, first=True))
    monkeypatch.setattr(label_types, "fit_calibration", fail)
    with pytest.raises(error):
        one.partial_fit(X[10:30], Labels.from_topics(2 - Y[10:30]), FitContext(N_TOPICS))
    monkeypatch.undo()
    assert_same()
    for learner in (one, other):
        learner.partial_fit(X[20:], Labels.from_topics(Y[20:]), FitContext(N_TOPICS))
    assert_same()


@pytest.mark.parametrize("passes", [None, 1])
def test_linear_learner_passes_options_and_seed_to_the_stream(passes: int | None) -> None:
    rows, y = make_up(300)
    learner = LinearLearner(passes)
    learner.partial_fit(rows, Labels.from_topics(y), FitContext(8, first=True, seed=7))
    stream = LinearStream.empty(rows.shape[1], 8, passes=passes, seed=7)
    stream.learn(rows, Labels.from_topics(y), FitContext(8, seed=7))
    assert np.array_equal(learner.decision_function(rows), stream.decision_function(rows))
    assert learner.calibration == stream.calibration
