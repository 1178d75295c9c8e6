"""Choose held-out rows, and scale these rows and their scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, Index, Mask
from slugline.corpus.splits import make_folds
from slugline.learning.linear.problem import LinearProblem
from slugline.text.sparse import row_lengths, row_offsets, row_slices

# If less than this fraction of the rows is distinct, new rows will also be mostly copies.
_FEW_DIFFERENT = 0.1
# The spread of scores grows with this power of the number of training rows (measured on training
# splits with 20 to 10,000 rows) without making probabilities more reliable.
_SPREAD_POWER = 0.1
# Rows count as normalized if their squared length differs from 1 by less than this.
_NEAR = 1e-3


def scale_heldout_scores(scores: F32, fraction: float) -> F32:
    """Scale scores of a fit to a fraction of the rows to the spread of a fit to all rows."""
    return scores * np.float32(fraction**-_SPREAD_POWER)


def renormalize_rows(X: sp.csr_array, known_columns: Mask) -> sp.csr_array:
    """Rescale rows of length 1 as if only known columns existed.

    A term unseen in training has no column in a new document and doesn't affect the row's length.
    In a held-out training document it has a column, so scores would be too low: with few rows, half
    as high as for new documents.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows with other lengths are not changed.
    known_columns : bool array, shape (n_columns,)
    """
    squares = sp.csr_array((X.data**2, X.indices, X.indptr), shape=X.shape)
    masks = np.stack([np.ones_like(known_columns), known_columns], axis=1).astype(np.float32)
    total, known_squares = (squares @ masks).T
    scale = np.ones_like(total)
    is_unit = (np.abs(total - 1) < _NEAR) & (known_squares > 0)
    scale[is_unit] = 1 / np.sqrt(known_squares[is_unit])
    data = X.data * scale.repeat(row_lengths(X.indptr))
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)


def renormalized_parts(X: sp.csr_array, rows: Index, known_columns: Mask) -> Iterator[sp.csr_array]:
    """Yield some of the rows, a few at a time, scaled by `renormalize_rows`."""
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        yield renormalize_rows(X[rows[part]], known_columns)


def find_columns(X: sp.csr_array, rows: Index) -> Mask:
    """Return a mask of the columns with entries in the given rows."""
    has_entries = np.zeros(X.shape[1], dtype=bool)
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        has_entries[X[rows[part]].nonzero()[1]] = True
    return has_entries


def group_equal_rows(X: sp.csr_array) -> Index:
    """Return a number for each row that is the same for equal rows; shape (n_rows,).

    Used to hold out all copies of a document together. Rows are compared by their product with a
    random vector; different rows collide once in 10^15.
    """
    vector = np.random.default_rng(0).random(X.shape[1])
    products = [X[part] @ vector for part in row_slices(X.indptr)]
    return np.unique(np.concatenate(products), return_inverse=True)[1]


def split_rows(problem: LinearProblem, rows: Index, n_parts: int) -> tuple[I64, int]:
    """Return the part of each row (-1 for other rows) and the number of parts.

    Equal rows are in the same part, so there may be fewer than `n_parts` parts.
    """
    groups = group_equal_rows(problem.X)[rows]
    n_different = len(np.unique(groups))
    if n_different < max(2, _FEW_DIFFERENT * len(rows)):
        groups, n_different = np.arange(len(rows)), len(rows)
    n_parts = min(n_parts, n_different)
    part_of = np.full(len(problem.labels), -1)
    if n_parts > 1:
        topics = problem.labels.take(rows).to_topics()
        part_of[rows] = make_folds(topics, n_parts, problem.context.seed, groups)
    return part_of, n_parts
