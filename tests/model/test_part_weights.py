"""Linear weights learned in parts, against dense weights that are pruned after each part."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import steps
from slugline.learning.linear.batches import LinearStream
from slugline.learning.linear.problem import LinearProblem
from slugline.model.parts import training
from slugline.model.parts.training import PartWeights

N_ROWS, N_COLUMNS, N_TOPICS = 120, 30, 40  # in two batches of topics
RNG = np.random.default_rng(0)
X = sp.random_array((N_ROWS, N_COLUMNS), density=0.2, format="csr", dtype=np.float32, rng=1)
X.sort_indices()
Y = RNG.integers(0, N_TOPICS, N_ROWS)
PARTS = [slice(0, 10), slice(10, 60), slice(60, N_ROWS)]


def learned_parts() -> PartWeights:
    weights, rng = PartWeights(N_COLUMNS, N_TOPICS), np.random.default_rng(0)
    totals = np.zeros(N_TOPICS)
    for rows in PARTS:
        part, columns = weights.take_columns(X[rows])
        labels = Labels.from_topics(Y[rows])
        problem = LinearProblem.from_rows(part, labels, FitContext(N_TOPICS), weights.batches)
        totals = totals + problem.totals(problem.counted_rows)
        minibatches = steps.Minibatches(part, problem.counted_rows, rng, 1)
        weights.learn(problem, columns, totals, minibatches)
    return weights


def prune(weights: np.ndarray, columns: np.ndarray) -> None:
    """Round the weights of columns, without small ones."""
    weights[columns] = steps.sparsify(weights[columns], training._STORED).toarray()


def test_part_weights_learn_as_a_stream_of_pruned_weights_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "_FINAL_FACTOR", 0.0)
    stream = LinearStream.empty(N_COLUMNS, N_TOPICS, passes=1)
    for rows in PARTS:
        stream.biases[stream.biases < -5] = -1  # absent topics have no other bias between parts
        stream.learn(X[rows], Labels.from_topics(Y[rows]), FitContext(N_TOPICS))
        for weights in stream._weights:
            prune(weights, np.unique(X[rows].indices))
    parts = learned_parts()
    np.testing.assert_array_equal(
        parts.is_learned(np.arange(N_COLUMNS, dtype=np.int32)), np.bincount(X.indices) > 0
    )
    scores = parts.score(X, np.arange(N_COLUMNS, dtype=np.int32))
    found = parts.weights()
    assert found.indptr.dtype == np.int32
    expected = np.concatenate(stream._weights, axis=1)
    np.testing.assert_allclose(found.toarray(), expected, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(parts.biases, stream.biases, rtol=1e-4)
    np.testing.assert_allclose(scores, X @ found.toarray() + parts.biases, rtol=1e-3, atol=1e-5)


def test_part_weights_learn_the_same_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = []
    for setting in ("1", "0"):
        monkeypatch.setenv("SLUGLINE_KERNEL", setting)
        learned.append(learned_parts().weights().toarray())
    np.testing.assert_allclose(learned[0], learned[1], rtol=2e-3, atol=1e-6)


def test_weights_drops_small_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = learned_parts().weights()
    monkeypatch.setattr(training, "_FINAL_FACTOR", 4.0)
    weights = learned_parts().weights()
    assert weights.has_sorted_indices
    assert 0 < weights.nnz < stored.nnz
    kept = weights.toarray()
    assert np.array_equal(kept[kept != 0], stored.toarray()[kept != 0])
