"""Sparse weights of terms for topics: dropping small ones, scoring, and arrays of model files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32
from slugline.errors import DataError
from slugline.text.sparse import SparseRows, boundaries, has_kernel, kernel, row_lengths

# Weights below this share of their root mean square are dropped, a larger share the more weights
# there are: most are near 0, and hardly one prediction in a hundred changes.
_SHARES, _LARGEST_SHARE = {1 << 20: 0.25, 1 << 26: 0.5}, 0.75
# Rounds to 11 binary digits, as in a float16 with a wider exponent.
_ROUND, _CUT = np.uint32(0x1000), np.uint32(0xFFFFE000)
# Weights that are processed at once.
_SLICE_WEIGHTS = 1 << 20
# Up to so many weights make a dense table, which is faster.
_MAX_DENSE = 1 << 24


def drop_threshold(n_weights: int) -> float:
    """Return the share of their root mean square below which so many weights are dropped."""
    return next((share for most, share in _SHARES.items() if n_weights <= most), _LARGEST_SHARE)


def sparsify(weights: F32, share: float) -> sp.csc_array:
    """Return the weights that matter, rounded to 11 binary digits.

    Parameters
    ----------
    weights : float32 array, shape (n_columns, n_topics)
        Those of some of a model's topics.
    share : float
        From `drop_threshold`.
    """
    n_weights = max(1, np.count_nonzero(weights))
    least = share * np.sqrt(np.einsum("ij,ij->", weights, weights, dtype=np.float64) / n_weights)
    step = max(1, _SLICE_WEIGHTS // max(1, weights.shape[1]))
    rows, columns, values = [], [], []
    for start in range(0, len(weights), step):
        part = weights[start : start + step]
        row, column = np.nonzero(np.abs(part) > least)
        rows.append((row + start).astype(np.int32))
        columns.append(column.astype(np.int32))
        bits = np.ascontiguousarray(part[row, column], dtype=np.float32).view(np.uint32)
        values.append(((bits + _ROUND) & _CUT).view(np.float32))
    indices = np.concatenate(rows), np.concatenate(columns)
    return sp.coo_array((np.concatenate(values), indices), shape=weights.shape).tocsc()


def hstack_topics(parts: Sequence[sp.csc_array]) -> sp.csr_array:
    """Return the weights of consecutive batches of topics side by side."""
    return sp.hstack(parts, format="csc").tocsr()


def score_table(weights: sp.csr_array) -> F32 | sp.csr_array:
    """Return the weights in the form that is fastest for scores: dense, unless too large."""
    n_columns, n_topics = weights.shape
    return weights.toarray() if n_columns * n_topics <= _MAX_DENSE else weights


def score_rows(table: F32 | sp.csr_array, X: SparseRows | sp.csr_array) -> F32:
    """Return the sum of the weights of each row's terms, shape (n_rows, n_topics)."""
    if isinstance(X, SparseRows):
        is_float32 = isinstance(table, np.ndarray) and table.dtype == np.float32
        if is_float32 and table.flags.c_contiguous and has_kernel():
            sums = np.zeros((X.n_rows, table.shape[1]), dtype=np.float32)
            values, columns, lengths = X.entries
            lengths = lengths.astype(np.int64, copy=False)
            kernel.add_products(values, columns, lengths, X.n_parts, table, sums)
            return sums
        X = X.csr()
    scores = X @ table
    return scores if isinstance(scores, np.ndarray) else scores.toarray()


def to_arrays(weights: sp.csr_array) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a model file: values and topics by row, and the counts of rows."""
    return {
        "weights.values": weights.data,
        "weights.topics": weights.indices.astype(np.uint16),
        "weights.counts": row_lengths(weights.indptr).astype(np.uint32),
    }


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]], n_topics: int) -> sp.csr_array:
    """Rebuild weights from the untrusted arrays of a model file.

    Raises
    ------
    DataError : if they don't fit together.
    """
    values, topics, counts = (arrays[f"weights.{name}"] for name in ("values", "topics", "counts"))
    if not (values.ndim == topics.ndim == counts.ndim == 1) or len(values) != len(topics):
        raise DataError("weights whose values, topics and counts are not lists that match")
    if topics.dtype != np.uint16 or counts.dtype != np.uint32:
        raise DataError(f"topics of weights are {topics.dtype} and counts {counts.dtype}")
    if counts.sum(dtype=np.uint64) != len(values) or topics.max(initial=0) >= n_topics:
        raise DataError("weights of topics or terms that there are not")
    indptr = boundaries(counts.astype(np.int64)).astype(np.int32)
    parts = values, topics.astype(np.int32), indptr
    weights = sp.csr_array(parts, shape=(len(counts), n_topics))
    if not weights.has_canonical_format:
        raise DataError("weights of a term whose topics are not in ascending order")
    return weights
