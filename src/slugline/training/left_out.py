"""Scores of rows by weights that were not learned from them, and what they say of probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, Index, Mask
from slugline.calibration import Calibration, best_calibration
from slugline.ragged import row_lengths

__all__ = ["USUAL", "LeftOut", "as_new", "as_of_all", "equal_rows"]


#: The calibration where there is nothing to measure on.
USUAL = Calibration(5.5, 0.01, 0.06)
# Scores spread with this power of the number of rows that they are learned from, as measured over
# training splits from 20 rows to 10,000; probabilities get no surer by that.
_SPREAD_POWER = 0.1
# Rows whose length differs from 1 by less have been scaled to it.
_NEAR = 1e-3
# Rows that are compared at once.
_AT_ONCE = 4096


class LeftOut(NamedTuple):
    """Scores that some rows would have had they not been learned from.

    Attributes
    ----------
    rows : int array, shape (n_rows,)
    scores : float32 array, shape (n_rows, n_topics)
    """

    rows: Index
    scores: F32

    def calibration(self, y: I64, costs: F32) -> Calibration:
        """Return what suits the scores, given the topics and costs of all rows."""
        if not len(self.rows):
            return USUAL
        return best_calibration(self.scores, y[self.rows], costs[self.rows])


def as_of_all(scores: F32, share: float) -> F32:
    """Return scores as far apart as if they came of all rows, not of a share of them."""
    return scores * np.float32(share**-_SPREAD_POWER)


def as_new(X: sp.csr_array, known: Mask) -> sp.csr_array:
    """Return rows of length 1 as long as they would be if only the known columns existed.

    In a new document, a term that nothing was learned of has no column and no part in the row's
    length. In a training document it has one, which is why the scores of rows that were left out
    would be too low: half as high as those of new documents if rows are few.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows of another length than 1 stay as they are: they have not been scaled to it.
    known : bool array, shape (n_columns,)
    """
    squares = sp.csr_array((X.data**2, X.indices, X.indptr), shape=X.shape)
    total, of_known = (
        squares @ np.stack([np.ones_like(known), known], axis=1).astype(np.float32)
    ).T
    scale = np.ones_like(total)
    some = (np.abs(total - 1) < _NEAR) & (of_known > 0)
    scale[some] = 1 / np.sqrt(of_known[some])
    data = X.data * scale.repeat(row_lengths(X.indptr))
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)


def equal_rows(X: sp.csr_array) -> Index:
    """Return a number for each row, the same for rows that are equal; shape (n_rows,).

    A copy of a document is not left out while the other one is learned from. Rows are compared by
    their product with a random vector, which makes equal numbers of unequal rows once in 10^15.
    """
    vector = np.random.default_rng(0).random(X.shape[1])
    parts = [X[first : first + _AT_ONCE] @ vector for first in range(0, X.shape[0], _AT_ONCE)]
    return np.unique(np.concatenate(parts), return_inverse=True)[1]
