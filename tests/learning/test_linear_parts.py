"""Linear weights learned in parts, against dense weights that are pruned after each part."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.calibration import Calibration
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import parts as linear_parts
from slugline.learning.linear.batches import LinearStream
from slugline.learning.linear.parts import LinearParts

N_ROWS, N_COLUMNS, N_TOPICS = 120, 30, 40  # in two batches of topics
RNG = np.random.default_rng(0)
X = sp.random_array((N_ROWS, N_COLUMNS), density=0.2, format="csr", dtype=np.float32, rng=1)
X.sort_indices()
Y = RNG.integers(0, N_TOPICS, N_ROWS)
# In each part, columns are inserted among those of the part before.
PARTS = [slice(0, 60), slice(60, 90), slice(90, N_ROWS)]
COLUMNS = [np.arange(0, N_COLUMNS, 3), np.flatnonzero(np.arange(N_COLUMNS) % 3 < 2), np.arange(30)]


def rows_of(number: int) -> tuple[sp.csr_array, Labels]:
    rows = PARTS[number]
    return X[rows][:, COLUMNS[number]].tocsr(), Labels.from_topics(Y[rows])


def moved_to(number: int) -> np.ndarray:
    """Return where the columns of the part before stand among those of a part."""
    return np.searchsorted(COLUMNS[number], COLUMNS[number - 1])


def learned_parts(n_parts: int) -> LinearParts:
    parts = LinearParts(len(COLUMNS[0]), N_TOPICS, multilabel=False)
    for number in range(n_parts):
        part, labels = rows_of(number)
        if number:
            parts.widen(moved_to(number), part.shape[1])
        parts.learn(part, labels, FitContext(N_TOPICS))
    return parts


def prune(weights: np.ndarray, columns: np.ndarray) -> None:
    """Round the weights of columns to half precision, without small ones."""
    part = weights[columns]
    least = linear_parts._STORED * np.sqrt(np.square(part[part != 0], dtype=np.float64).mean())
    weights[columns] = np.where(np.abs(part) >= least, part.astype(np.float16), 0)


def test_parts_learn_as_a_stream_of_pruned_weights_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_parts, "_FINAL", 0.0)
    stream = LinearStream.empty(len(COLUMNS[0]), N_TOPICS, passes=1)
    for number in range(len(PARTS)):
        part, labels = rows_of(number)
        if number:
            stream.widen(moved_to(number), part.shape[1])
        stream.learn(part, labels, FitContext(N_TOPICS))
        for weights in stream._weights:
            prune(weights, np.unique(part.indices))
    parts = learned_parts(len(PARTS))
    weights = parts.pop_weights(N_COLUMNS, None)
    assert weights.indptr.dtype == np.int32
    expected = np.concatenate(stream._weights, axis=1)
    np.testing.assert_allclose(weights.toarray(), expected, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(parts.biases, stream.biases, rtol=1e-4)
    np.testing.assert_allclose(parts.recent.scores, stream.recent.scores, rtol=1e-3, atol=1e-4)
    assert isinstance(parts.calibration, Calibration)
    assert isinstance(stream.calibration, Calibration)
    assert asdict(parts.calibration) == pytest.approx(asdict(stream.calibration), rel=1e-3)


def test_parts_learn_the_same_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = []
    for setting in ("1", "0"):
        monkeypatch.setenv("SLUGLINE_KERNEL", setting)
        learned.append(learned_parts(len(PARTS)).pop_weights(N_COLUMNS, None).toarray())
    np.testing.assert_allclose(learned[0], learned[1], rtol=2e-3, atol=1e-6)


def test_pop_weights_drops_small_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = learned_parts(2).pop_weights(len(COLUMNS[1]), None)
    monkeypatch.setattr(linear_parts, "_FINAL", 4.0)
    weights = learned_parts(2).pop_weights(len(COLUMNS[1]), None)
    assert weights.has_sorted_indices
    assert 0 < weights.nnz < stored.nnz
    kept = weights.toarray()
    assert np.array_equal(kept[kept != 0], stored.toarray()[kept != 0])


def test_pop_weights_leaves_out_columns_inserted_since() -> None:
    n_columns = len(COLUMNS[0])
    expected = learned_parts(1).pop_weights(n_columns, None)
    wider = learned_parts(1)
    wider.widen(moved_to(1), len(COLUMNS[1]))
    assert (wider.pop_weights(n_columns, moved_to(1)) != expected).nnz == 0
    # Columns that could not be inserted yet are nothing to leave out.
    assert (learned_parts(1).pop_weights(n_columns, moved_to(1)) != expected).nnz == 0


def test_learn_gives_absent_topics_no_chance() -> None:
    present = np.flatnonzero(np.bincount(Y[PARTS[0]], minlength=N_TOPICS))
    biases = learned_parts(1).biases
    assert (np.delete(biases, present) == -10).all()
    assert (biases[present] > -10).all()
