"""Select texts to label at random, with known probabilities.

A fraction are random draws with equal probabilities. The others are drawn with a probability that
grows with the current model's doubt or, before there is a model, with the distance from selected
texts. Every text has a known, positive probability, so all labels count in the accuracy estimate
(`slugline.labels.accuracy`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, Index, Mask
from slugline.learning.encoder.vectors import WordVectorEncoder

# Exponent of the doubt, which is 1 minus the margin between the top two topics. In simulated
# annotations of training splits, models learned as much as from only the most doubtful texts. A
# lower exponent made them learn less; a higher one made the accuracy estimate less precise.
_DOUBT_POWER = 4
# Added to each doubt, to make every probability positive.
_MIN_DOUBT = 0.02
#: Maximum number of texts whose weights are compared; a random sample of more.
MAX_COMPARED = 5000
# Maximum number of selected texts whose vectors are compared with other texts.
_MAX_SPREAD = 500


class Draw(NamedTuple):
    """A selected text.

    Attributes
    ----------
    row : int
    is_random : bool
        True for a random draw.
    probability : float
        Probability of selecting this text by either kind of draw; by its own kind only if guesses
        are shown: see `WeightedSampler.select`.
    n_candidates : int
        Number of texts that could be selected.
    """

    row: int
    is_random: bool
    probability: float
    n_candidates: int


class SelectionWeights(NamedTuple):
    """Weights for selecting texts other than random draws.

    Attributes
    ----------
    rows : int array, shape (n_rows,)
        A random sample of the unassigned texts, ascending.
    values : float64 array, shape (n_rows,)
        Nonnegative weight of each row.
    weigh : callable
        Returns the weights of given rows.
    """

    rows: Index
    values: F64
    weigh: Callable[[Index], F64]


class WeightedSampler:
    """Draws rows at random, some uniformly and others by weight.

    All draws are uniform until weights are set, or if all weights are 0.

    Parameters
    ----------
    rng : numpy.random.Generator
    random_fraction : float, default 1 / 3
        Probability of a uniform draw.
    """

    def __init__(self, rng: np.random.Generator, random_fraction: float = 1 / 3) -> None:
        self._rng, self._random_fraction = rng, random_fraction
        self._weights: SelectionWeights | None = None

    @property
    def random_fraction(self) -> float:
        """Current probability of a uniform draw."""
        return self._random_fraction

    def set_weights(self, weights: SelectionWeights, random_fraction: float | None = None) -> None:
        """Set the weights, and optionally the fraction of uniform draws, for later draws.

        Both may depend on labels, because the probability of a text is recorded when it is drawn.
        The caller must prevent other threads from selecting a text at the same time.
        """
        self._weights = weights
        if random_fraction is not None:
            self._random_fraction = random_fraction

    def sample(self, free: Index, n: int = MAX_COMPARED) -> Index:
        """Return a random sample of up to `n` rows, ascending."""
        if len(free) <= n:
            return free
        return np.sort(self._rng.choice(free, n, replace=False, shuffle=False))

    def select(self, free: Index, *, shows_guess: bool = False) -> Draw | None:
        """Draw one of the rows, or None if there are none.

        Parameters
        ----------
        free : int array, shape (n_free,)
            The rows that may be selected, ascending.
        shows_guess : bool, default False
            True if the coder sees the model's guess for weighted draws, which then don't count in
            the accuracy. The probability then refers to this kind of draw, else to either kind.
        """
        n_free = len(free)
        if not n_free:
            return None
        weights = self._weights
        if weights is not None:
            is_free = _is_in(weights.rows, free)
            rows, values = weights.rows[is_free], weights.values[is_free]
            total = float(values.sum())
        if weights is None or not total > 0:
            return Draw(int(self._rng.choice(free)), True, 1 / n_free, n_free)
        fraction = self._random_fraction
        is_random = self._rng.random() < fraction
        if is_random:
            row = int(self._rng.choice(free))
        else:
            row = int(self._rng.choice(rows, p=values / total))
        relative = 0.0
        if not (shows_guess and is_random):
            # Only a sample was compared, in which each text was equally likely.
            relative = _weight(weights, row) * len(rows) / total
        probability = (1 - fraction) * relative
        if is_random or not shows_guess:
            probability += fraction
        return Draw(row, is_random, min(probability / n_free, 1.0), n_free)


def _is_in(rows: Index, others: Index) -> Mask:
    """Return a mask of rows that are among others, both ascending."""
    places = np.searchsorted(others, rows)
    return others[np.minimum(places, len(others) - 1)] == rows


def _weight(weights: SelectionWeights, row: int) -> float:
    place = int(np.searchsorted(weights.rows, row))
    if place < len(weights.rows) and weights.rows[place] == row:
        return float(weights.values[place])
    return float(weights.weigh(np.array([row], dtype=np.intp))[0])


def doubt_weights(doubt: F64) -> F64:
    """Return weights of texts from a model's doubts."""
    return (doubt + _MIN_DOUBT) ** _DOUBT_POWER


def distance_weights(vectors: F32, selected: F32) -> F64:
    """Return the squared cosine distance of each row from the nearest selected row.

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
    return np.maximum(1 - nearest.astype(np.float64), 0.0) ** 2


class DistanceWeigher:
    """Weights a sample of texts by the distance of their word vectors from selected texts.

    Parameters
    ----------
    texts : sequence of str
        All texts.
    rows : int array, shape (n_rows,)
        Rows of the sample, ascending.
    """

    def __init__(self, texts: Sequence[str], rows: Index) -> None:
        self._texts, self._rows, self._encoder = texts, rows, WordVectorEncoder()
        self._vectors = self._encode(rows)
        self._selected = np.zeros((_MAX_SPREAD, self._vectors.shape[1]), dtype=np.float32)
        self._n_selected = 0
        self._weights = np.ones(len(rows))

    def _encode(self, rows: Index) -> F32:
        return self._encoder.encode([self._texts[row] for row in rows.tolist()])

    def add(self, text: str) -> None:
        """Add a selected text."""
        if self._n_selected < _MAX_SPREAD:
            vector = self._encoder.encode([text])
            weights = distance_weights(self._vectors, vector)
            self._weights = np.minimum(self._weights, weights) if self._n_selected else weights
            self._selected[self._n_selected] = vector
            self._n_selected += 1

    def weights(self) -> SelectionWeights:
        """Return the current weights."""
        selected = self._selected[: self._n_selected]

        def weigh(rows: Index) -> F64:
            return distance_weights(self._encode(rows), selected)

        return SelectionWeights(self._rows, self._weights, weigh)
