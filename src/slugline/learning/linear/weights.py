"""Sparse weights of terms for topics: which matter, and side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32

# Weights below this share of their root mean square are dropped, a larger share the more weights
# there are: most are near 0, and hardly one prediction in a hundred changes.
_SHARES, _LARGEST_SHARE = {1 << 20: 0.25, 1 << 26: 0.5}, 0.75
# Rounds to 11 binary digits, as in a float16 with a wider exponent.
_ROUND, _CUT = np.uint32(0x1000), np.uint32(0xFFFFE000)
# Weights that are processed at once.
_SLICE_WEIGHTS = 1 << 20


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
