"""Linear weights learned in batches, against the formulas in plain loops and float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.calibration import best_sharpness
from slugline.learners.linear import LinearLearner
from slugline.training import linear_stream
from slugline.training.context import FitContext
from slugline.training.linear import topic_rarity

N_ROWS, N_COLUMNS, N_TOPICS, C = 40, 9, 3, 0.7
RNG = np.random.default_rng(0)
X = sp.random_array((N_ROWS, N_COLUMNS), density=0.4, format="csr", dtype=np.float32, rng=1)
Y = RNG.choice(N_TOPICS, N_ROWS, p=[0.6, 0.3, 0.1])
WEIGHT = RNG.uniform(0.5, 2, N_ROWS).astype(np.float32)


class Reference:
    """AdaGrad down the squared hinge loss, all rows at a time, with one step size a column."""

    def __init__(self, weights: np.ndarray, biases: np.ndarray, start: float) -> None:
        self.weights = np.vstack([weights, biases]).astype(np.float64)
        self.sums = np.full(len(self.weights), start)

    def learn(self, X: sp.csr_array, y: np.ndarray, costs: np.ndarray) -> np.ndarray:
        """Go through the rows; give their scores from before. Costs: one for each row and topic."""
        rows = np.hstack([X.toarray(), np.ones((len(y), 1))])  # the bias is the last column's
        signs = 2 * np.eye(N_TOPICS)[y] - 1
        before = rows @ self.weights
        for _ in range(linear_stream._PASSES):
            errors = np.maximum(0, 1 - signs * (rows @ self.weights))
            gradient = rows.T @ (-2 * C * costs * signs * errors)
            self.sums += (gradient**2).mean(axis=1)
            rates = linear_stream._LEARNING_RATE / np.sqrt(self.sums)
            self.weights -= rates[:, np.newaxis] * gradient
        return before


def costs_of(y: np.ndarray, weight: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Give what an error costs: more for the row's own topic if that is rare."""
    costs = np.repeat(weight[:, np.newaxis], N_TOPICS, axis=1).astype(np.float64)
    costs[np.arange(len(y)), y] *= topic_rarity(totals)[y]
    return costs


def assert_weights_are(learner: LinearLearner, reference: Reference) -> None:
    np.testing.assert_allclose(learner.weights, reference.weights[:-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(learner.biases, reference.weights[-1], rtol=1e-4)


def test_weights_follow_the_formulas_from_batch_to_batch() -> None:
    learner = LinearLearner(C=C)
    nothing = np.zeros((N_COLUMNS, N_TOPICS)), np.full(N_TOPICS, -1.0)
    reference = Reference(*nothing, linear_stream._SUM_AT_FIRST)
    totals = np.zeros(N_TOPICS)
    for rows in (slice(0, 25), slice(25, N_ROWS)):
        totals += np.bincount(Y[rows], WEIGHT[rows], N_TOPICS)
        context = FitContext(N_TOPICS, sample_weight=WEIGHT[rows], first=rows.start == 0)
        learner.partial_fit(X[rows], Y[rows], context)
        reference.learn(X[rows], Y[rows], costs_of(Y[rows], WEIGHT[rows], totals))
        assert_weights_are(learner, reference)


def test_rare_topics_count_no_more_where_the_user_says_what_topics_count() -> None:
    learner = LinearLearner(C=C)
    learner.partial_fit(X, Y, FitContext(N_TOPICS, weighted_topics=True, first=True))
    nothing = np.zeros((N_COLUMNS, N_TOPICS)), np.full(N_TOPICS, -1.0)
    reference = Reference(*nothing, linear_stream._SUM_AT_FIRST)
    reference.learn(X, Y, np.ones((N_ROWS, N_TOPICS)))
    assert_weights_are(learner, reference)


def test_weights_that_were_fitted_are_moved_less_and_the_fitted_arrays_stay() -> None:
    learner = LinearLearner(C=C)
    learner.fit(X, Y, FitContext(N_TOPICS))
    weights, biases = learner.weights, learner.biases
    before = weights.copy(), biases.copy()

    learner.partial_fit(X, Y, FitContext(N_TOPICS))

    reference = Reference(*before, linear_stream._SUM_OF_LEARNED)
    ones = np.ones(N_ROWS)
    reference.learn(X, Y, costs_of(Y, ones, np.bincount(Y).astype(np.float64)))
    assert_weights_are(learner, reference)
    assert np.array_equal(weights, before[0])
    assert np.array_equal(biases, before[1])


def test_a_long_batch_is_learned_in_steps() -> None:
    twice = sp.vstack([X] * 4, format="csr"), np.tile(Y, 4)
    stepwise, at_once = LinearLearner(C=C), LinearLearner(C=C)
    stepwise.partial_fit(*twice, FitContext(N_TOPICS, first=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_stream, "_ROWS_PER_STEP", 4 * N_ROWS)
        at_once.partial_fit(*twice, FitContext(N_TOPICS, first=True))
    assert not np.allclose(stepwise.weights, at_once.weights, atol=1e-3)


# Sharpness --------------------------------------------------------------------------------------


def test_sharpness_is_told_by_scores_from_before_and_by_the_more_the_more_there_are() -> None:
    learner = LinearLearner(C=C)
    learner.fit(X, Y, FitContext(N_TOPICS))
    first, scores = learner.sharpness, learner.decision_function(X)
    learner.partial_fit(X, Y, FitContext(N_TOPICS, sample_weight=WEIGHT))
    share = N_ROWS / linear_stream._N_RECENT
    found = best_sharpness(scores, Y, WEIGHT)
    assert learner.sharpness == pytest.approx(found**share * first ** (1 - share), rel=1e-3)


def test_sharpness_is_that_of_the_latest_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_stream, "_N_RECENT", 30)
    learner = LinearLearner(C=C)
    learner.fit(X, Y, FitContext(N_TOPICS))
    scores = [learner.decision_function(X[:20])]
    learner.partial_fit(X[:20], Y[:20], FitContext(N_TOPICS, sample_weight=WEIGHT[:20]))
    scores.append(learner.decision_function(X[20:]))
    learner.partial_fit(X[20:], Y[20:], FitContext(N_TOPICS, sample_weight=WEIGHT[20:]))
    expected = best_sharpness(np.concatenate(scores)[-30:], Y[-30:], WEIGHT[-30:])
    assert learner.sharpness == pytest.approx(expected, rel=1e-3)


# Batches that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_of_a_batch_that_fails_nothing_is_learned(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        raise error

    one, other = LinearLearner(C=C), LinearLearner(C=C)
    for learner in (one, other):
        learner.partial_fit(X[:20], Y[:20], FitContext(N_TOPICS, first=True))
    monkeypatch.setattr(linear_stream, "best_sharpness", fail)
    with pytest.raises(error):
        one.partial_fit(X[10:30], 2 - Y[10:30], FitContext(N_TOPICS))
    monkeypatch.undo()
    assert np.array_equal(one.weights, other.weights)
    assert np.array_equal(one.biases, other.biases)
    for learner in (one, other):
        learner.partial_fit(X[20:], Y[20:], FitContext(N_TOPICS))
    assert np.array_equal(one.weights, other.weights)
    assert np.array_equal(one.biases, other.biases)
    assert one.sharpness == other.sharpness
