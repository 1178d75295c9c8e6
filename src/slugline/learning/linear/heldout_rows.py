"""Rows that are held out: which ones, and how they and their scores are scaled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, Index, Mask
from slugline.corpus.splits import make_folds
from slugline.learning.linear.problem import LinearProblem
from slugline.text.sparse import row_lengths, row_offsets, row_slices

# If less than this fraction of the rows is distinct, new rows will mostly be copies as well.
_FEW_DIFFERENT = 0.1
# The spread of scores grows with this power of the number of rows that they are learned from, as
# measured on training splits with 20 to 10,000 rows, without making probabilities surer.
_SPREAD_POWER = 0.1
# Rows whose squared length differs from 1 by less have been scaled to it.
_NEAR = 1e-3


def scale_heldout_scores(scores: F32, fraction: float) -> F32:
    """Scale scores learned from a fraction of the rows to the spread of scores learned from all."""
    return scores * np.float32(fraction**-_SPREAD_POWER)


def renormalize_rows(X: sp.csr_array, known_columns: Mask) -> sp.csr_array:
    """Scale rows of length 1 to the length that they would have if only known columns existed.

    In a new document, a term that training has not seen has no column and no part in the row's
    length. In a held-out training document it has one, so the scores would be too low: half as high
    as those of new documents if rows are few.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows whose length is not 1 are not changed.
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
    """Yield some of the rows, a few at a time, as `renormalize_rows` scales them."""
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        yield renormalize_rows(X[rows[part]], known_columns)


def find_columns(X: sp.csr_array, rows: Index) -> Mask:
    """Return a mask of the columns in which some of the rows have entries."""
    has_entries = np.zeros(X.shape[1], dtype=bool)
    for part in row_slices(row_offsets(row_lengths(X.indptr)[rows])):
        has_entries[X[rows[part]].nonzero()[1]] = True
    return has_entries


def group_equal_rows(X: sp.csr_array) -> Index:
    """Return a number for each row, which is the same for equal rows; shape (n_rows,).

    Used to hold out all copies of a document together. Rows are compared by their product with a
    random vector, which is the same for different rows once in 10^15.
    """
    vector = np.random.default_rng(0).random(X.shape[1])
    products = [X[part] @ vector for part in row_slices(X.indptr)]
    return np.unique(np.concatenate(products), return_inverse=True)[1]


def split_rows(problem: LinearProblem, rows: Index, n_parts: int) -> tuple[I64, int]:
    """Return the part of each row, -1 for other rows, and the number of parts.

    Equal rows are in one part, so that there may be fewer parts than `n_parts`.
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
