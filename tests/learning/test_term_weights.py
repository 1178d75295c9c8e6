"""Weights of terms that matter: which stay, how they are rounded, and what a file may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slugline.errors import DataError
from slugline.learning.calibration import Calibration
from slugline.learning.linear import learner as linear_learner
from slugline.learning.linear.learner import LinearLearner, _restore_weights
from slugline.learning.linear.steps import sparsify

RNG = np.random.default_rng(0)
DENSE = RNG.normal(size=(300, 7)).astype(np.float32)
DENSE[[0, 17, 299]] = 0


def assert_same(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    for part in ("data", "indices", "indptr"):
        assert getattr(found, part).dtype == getattr(expected, part).dtype
        assert getattr(found, part).tolist() == getattr(expected, part).tolist()


# slim -------------------------------------------------------------------------------------------


def test_sparsify_keeps_only_weights_above_a_part_of_their_rms() -> None:
    weights = sparsify(DENSE, 0.5)
    # Those that are 0 were never learned.
    least = 0.5 * np.sqrt((DENSE[DENSE != 0].astype(np.float64) ** 2).mean())
    assert np.array_equal(weights.toarray() != 0, np.abs(DENSE) > least)
    assert 0.3 * DENSE.size < weights.nnz < 0.7 * DENSE.size
    assert (weights.data.dtype, weights.indices.dtype) == (np.float32, np.int32)
    assert weights.has_canonical_format


def test_sparsify_rounds_weights_to_11_binary_digits() -> None:
    weights = sparsify(DENSE, 0)
    mantissas, exponents = np.frexp(DENSE.astype(np.float64))
    nearest = np.ldexp(np.rint(mantissas * 2**11) / 2**11, exponents)
    assert np.array_equal(weights.toarray(), nearest)
    assert np.array_equal(weights.data.astype(np.float16), weights.data)


# table ------------------------------------------------------------------------------------------


def fitted(weights: Any) -> LinearLearner:
    biases = np.zeros(weights.shape[1], dtype=np.float32)
    return LinearLearner().learned(weights, biases, Calibration(1.0))


def test_score_table_is_dense_unless_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = sparsify(DENSE, 0.25)
    dense = fitted(weights)._score_table()
    assert isinstance(dense, np.ndarray)
    assert np.array_equal(dense, weights.toarray())
    monkeypatch.setattr(linear_learner, "_MAX_DENSE", DENSE.size - 1)
    assert_same(fitted(weights)._score_table(), weights)


# Model files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.5, 9], ids=["all", "some", "none"])
def test_arrays_restore_the_weights(share: float) -> None:
    weights = sparsify(DENSE, share)
    arrays = fitted(weights).arrays()
    arrays.pop("biases")
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "weights.values": "float32",
        "weights.topics": "uint16",
        "weights.counts": "uint32",
    }
    assert arrays["weights.counts"].tolist() == (weights.toarray() != 0).sum(axis=1).tolist()
    assert_same(_restore_weights(arrays, 7).csr(), weights)


GOOD: dict[str, np.ndarray] = {
    "values": np.array([1, 2, 3], dtype=np.float32),
    "topics": np.array([0, 2, 1], dtype=np.uint16),
    "counts": np.array([2, 0, 1], dtype=np.uint32),
}
NO_LISTS = "values, topics and counts of weights of different lengths"
NOT_THERE = "weights of unknown topics or terms"
NOT_ASCENDING = "weights of a term that are not sorted by topic"

DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "a value too few": ({"values": GOOD["values"][1:]}, NO_LISTS),
    "a topic too few": ({"topics": GOOD["topics"][1:]}, NO_LISTS),
    "values as a table": ({"values": GOOD["values"].reshape(3, 1)}, NO_LISTS),
    "topics as a table": ({"topics": GOOD["topics"].reshape(3, 1)}, NO_LISTS),
    "counts as a table": ({"counts": GOOD["counts"].reshape(3, 1)}, NO_LISTS),
    "one value of no dimension": ({"values": np.float32(1).reshape(())}, NO_LISTS),
    "one count of no dimension": ({"counts": np.uint32(3).reshape(())}, NO_LISTS),
    "signed topics": (
        {"topics": GOOD["topics"].astype(np.int16)},
        "topics of weights are int16 and counts uint32",
    ),
    "counts of 64 bits": (
        {"counts": GOOD["counts"].astype(np.uint64)},
        "topics of weights are uint16 and counts uint64",
    ),
    "counts as numbers with points": (
        {"counts": GOOD["counts"].astype(np.float32)},
        "topics of weights are uint16 and counts float32",
    ),
    "counts of fewer values": ({"counts": np.array([2, 0], np.uint32)}, NOT_THERE),
    "counts of more values": ({"counts": np.array([2, 1, 1], np.uint32)}, NOT_THERE),
    "no counts": ({"counts": np.zeros(0, np.uint32)}, NOT_THERE),
    # In 32 bits, their sum is 3.
    "counts that overflow": ({"counts": np.array([2**32 - 1, 4], np.uint32)}, NOT_THERE),
    "a topic that there is not": ({"topics": np.array([0, 3, 1], np.uint16)}, NOT_THERE),
    "the last topic there may be": ({"topics": np.array([0, 2**16 - 1, 1], np.uint16)}, NOT_THERE),
    "a topic twice after a term without any": (
        {"topics": np.array([1, 1, 1], np.uint16), "counts": np.array([0, 1, 2], np.uint32)},
        NOT_ASCENDING,
    ),
    "topics that descend": ({"topics": np.array([2, 0, 1], np.uint16)}, NOT_ASCENDING),
    "a topic twice": ({"topics": np.array([2, 2, 1], np.uint16)}, NOT_ASCENDING),
}


@pytest.mark.parametrize(("changes", "message"), DAMAGE.values(), ids=DAMAGE)
def test_restore_rejects_arrays_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    def arrays(parts: dict[str, Any]) -> dict[str, Any]:
        return {f"weights.{name}": array for name, array in parts.items()}

    assert _restore_weights(arrays(GOOD), 3).toarray().tolist() == [[1, 0, 2], [0, 0, 0], [0, 3, 0]]
    with pytest.raises(DataError) as caught:
        _restore_weights(arrays(GOOD | changes), 3)
    assert str(caught.value) == message
