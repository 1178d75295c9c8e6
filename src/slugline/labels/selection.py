"""Selects texts to label at random, with probabilities that are known.

A fraction of them are random draws, each text with the same probability. The others are drawn with
a probability that grows with the doubt of the present model, or, before there is one, with the
distance from what was selected before. As every text may be drawn, and with which probability is
known, all labels count in an estimate of accuracy (`slugline.labels.accuracy`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, Index, Mask

# The power of doubt, which is 1 minus the margin between the two likeliest topics. In simulated
# annotations of training splits, models learned as much as from the most doubtful texts; with a
# lower power they learned less, and with a higher one, labels said less about accuracy.
_DOUBT_POWER = 4
#: The largest number of texts whose doubt is compared; they are drawn at random if there are more.
MAX_COMPARED = 5000


class SelectedText(NamedTuple):
    """A text that was selected.

    Attributes
    ----------
    row : int
    is_random : bool
        Whether it is a random draw.
    probability : float
        The probability with which this text was selected: by either kind of draw, or by its own
        kind if the label may depend on that.
    n_candidates : int
        The number of texts among which it was selected.
    """

    row: int
    is_random: bool
    probability: float
    n_candidates: int


class TextPool:
    """The texts that may still be selected.

    Parameters
    ----------
    rows : int array, shape (n_texts,)
        Distinct rows of texts, ascending.
    rng : numpy.random.Generator
    """

    def __init__(self, rows: Index, rng: np.random.Generator) -> None:
        self._rows, self._rng = rows, rng
        self._is_free: Mask = np.ones(len(rows), dtype=bool)
        self.n_free = len(rows)

    def take(self, row: int) -> None:
        """Take a row out of the pool; nothing happens if it isn't in it."""
        place = int(np.searchsorted(self._rows, row))
        if place < len(self._rows) and self._rows[place] == row and self._is_free[place]:
            self._is_free[place] = False
            self.n_free -= 1

    def free_rows(self) -> Index:
        """Return the rows in the pool."""
        return self._rows[self._is_free]

    def is_free(self, rows: Index) -> Mask:
        """Return a mask of the rows, all of them rows of texts, that are in the pool."""
        return self._is_free[np.searchsorted(self._rows, rows)]

    def draw(self) -> int:
        """Return a row that is drawn at random; the pool must not be empty."""
        for _ in range(32):  # as long as most rows are free, one is found at once
            place = int(self._rng.integers(len(self._rows)))
            if self._is_free[place]:
                return int(self._rows[place])
        return int(self._rng.choice(self.free_rows()))

    def sample(self, n: int) -> Index:
        """Return up to `n` rows that are drawn at random, in order."""
        free = self.free_rows()
        if len(free) <= n:
            return free
        return np.sort(self._rng.choice(free, n, replace=False))


class TextSelector:
    """Selects texts from a pool.

    Parameters
    ----------
    pool : TextPool
    rng : numpy.random.Generator
    random_fraction : float, default 1 / 3
        The probability of a random draw.
    """

    def __init__(
        self, pool: TextPool, rng: np.random.Generator, random_fraction: float = 1 / 3
    ) -> None:
        self.pool, self._rng, self.random_fraction = pool, rng, random_fraction
        self._weigh: Callable[[Index], F64] | None = None
        self._compared: Index = np.zeros(0, dtype=np.intp)
        self._weights: F64 = np.zeros(0)

    def compare(self, rows: Index, weigh: Callable[[Index], F64]) -> None:
        """Let texts be selected by new weights.

        Parameters
        ----------
        rows : int array, shape (n_rows,)
            A sample of the pool, in order; texts that are not random draws are selected from these.
        weigh : callable
            Returns the weight of each of some rows, at least 0.
        """
        self._weigh, self._compared, self._weights = weigh, rows, weigh(rows)

    def select(self, *, is_blind: bool = True) -> SelectedText | None:
        """Take a text out of the pool and return it; None if there is none.

        Parameters
        ----------
        is_blind : bool, default True
            Whether the label will not depend on how the text was selected. If the model's guess is
            to be shown with texts that aren't random draws, only random draws can count.
        """
        pool = self.pool
        if not pool.n_free:
            return None
        is_free = pool.is_free(self._compared)
        self._compared, self._weights = self._compared[is_free], self._weights[is_free]
        total = float(self._weights.sum())
        fraction = self.random_fraction if total > 0 else 1.0
        is_random = self._rng.random() < fraction
        if is_random:
            row = pool.draw()
        else:
            row = int(self._rng.choice(self._compared, p=self._weights / total))
        relative = 0.0
        if total > 0 and (is_blind or not is_random):
            # Texts that weren't compared could have been, each with the same probability.
            relative = self._weight(row) * len(self._compared) / total
        probability = (1 - fraction) * relative
        if is_blind or is_random:
            probability += fraction
        selected = SelectedText(row, is_random, probability / pool.n_free, pool.n_free)
        pool.take(row)
        return selected

    def _weight(self, row: int) -> float:
        """Return the weight of a row."""
        place = int(np.searchsorted(self._compared, row))
        if place < len(self._compared) and self._compared[place] == row:
            return float(self._weights[place])
        assert self._weigh is not None  # noqa: S101 - some weights are over 0
        return float(self._weigh(np.array([row], dtype=np.intp))[0])


def doubt_weights(doubt: F64) -> F64:
    """Return weights of texts from the doubts of a model, each from 0 to 1 (or above)."""
    return (doubt + 0.02) ** _DOUBT_POWER


def distance_weights(vectors: F64, selected: F64) -> F64:
    """Return the squared distance of each row from the nearest of the selected ones.

    Parameters
    ----------
    vectors : float array, shape (n_rows, n_columns)
        Rows of unit length, or of zeros.
    selected : float array, shape (n_selected, n_columns)

    References
    ----------
    Arthur and Vassilvitskii (2007), k-means++: the advantages of careful seeding.
    """
    if not len(selected):
        return np.ones(len(vectors))
    nearest = (vectors @ selected.T).max(axis=1)
    return np.maximum(1 - nearest, 0.0) ** 2
