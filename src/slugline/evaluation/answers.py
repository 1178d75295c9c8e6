"""What a classifier said of each test document, in a few numbers each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, I64, Floats, Integers, Mask
from slugline.errors import DataError
from slugline.evaluation.reliability import ROUNDED

__all__ = ["Answers"]


# Probabilities that are looked at at once.
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to documents whose topics are known, all arrays of shape (n_documents,).

    Attributes
    ----------
    true : int array
        Number of the document's topic; -1 for one that the classifier does not know.
    predicted : int array
        Number of the topic it was given: the most likely one, the first of several.
    probability : float array
        That of the predicted topic.
    given : float array
        Probability that the true topic was given; 0 for an unknown one.
    n_above : int array
        How many topics came before the true one; all of them for an unknown one.
    squared_error : float array
        Sum over topics of the squares of probability less 1 for the true topic and less 0 for the
        others: 0 to 2. An unknown topic counts as one more, of probability 0.
    """

    true: I64
    predicted: I64
    probability: F64
    given: F64
    n_above: I64
    squared_error: F64

    @classmethod
    def of(cls, y_true: Integers, proba: Floats) -> Answers:
        """Return the answers that probabilities are.

        Parameters
        ----------
        y_true : int array, shape (n_documents,)
            See `true`.
        proba : float array, shape (n_documents, n_topics)

        Raises
        ------
        DataError : if shapes differ, a topic has no column, or a probability is not from 0 to 1.
        """
        if proba.ndim != 2 or y_true.shape != (len(proba),):
            raise DataError(
                f"there are topics of shape {y_true.shape} and probabilities of shape "
                f"{proba.shape}; give a topic and a row of probabilities for each document."
            )
        if not ((y_true >= -1) & (y_true < proba.shape[1])).all():
            raise DataError(
                f"the topics go from {y_true.min()} to {y_true.max()}, for "
                f"{proba.shape[1]} columns; give each as the number of its column, or -1."
            )
        parts = [_of_part(*part) for part in _parts(np.asarray(y_true, dtype=np.int64), proba)]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @property
    def right(self) -> Mask:
        """Whether each document got its topic."""
        same: Mask = self.true == self.predicted
        return same

    def n_in_top(self, k: int) -> int:
        """Return how many documents have one of their `k` likeliest topics."""
        return int(np.count_nonzero((self.n_above < k) & (self.true >= 0)))


def _parts(y_true: I64, proba: Floats) -> Iterator[tuple[I64, F64]]:
    step = max(1, _AT_ONCE // max(1, proba.shape[1]))
    for first in range(0, len(y_true), step):
        rows = slice(first, first + step)
        yield y_true[rows], proba[rows].astype(np.float64)


def _of_part(true: I64, proba: F64) -> tuple[npt.NDArray[np.generic], ...]:
    if not ((proba >= 0) & (proba <= 1 + ROUNDED)).all():
        raise DataError("a probability is not between 0 and 1; give those of `predict_proba`.")
    rows, known = np.arange(len(true)), true >= 0
    predicted = proba.argmax(axis=1)
    given = np.where(known, proba[rows, true], 0.0)
    # As in a stable sort, the first of equally likely topics comes first.
    before = np.arange(proba.shape[1]) < true[:, np.newaxis]
    above = (proba > given[:, np.newaxis]) | ((proba == given[:, np.newaxis]) & before)
    n_above = np.where(known, above.sum(axis=1), proba.shape[1])
    squared_error = np.einsum("ij,ij->i", proba, proba) - 2 * given + 1
    return true, predicted, proba[rows, predicted], given, n_above, squared_error
