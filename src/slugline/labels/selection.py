"""Selects texts to label at random, with probabilities that are known.

A fraction of them are random draws, each text with the same probability. The others are drawn with
a probability that grows with the doubt of the present model, or, before there is one, with the
distance from what was selected before. As every text may be drawn, and with which probability is
known, all labels count in an estimate of accuracy (`slugline.labels.accuracy`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, Index, Mask
from slugline.learning.encoder.vectors import WordVectorEncoder

# The power of doubt, which is 1 minus the margin between the two likeliest topics. In simulated
# annotations of training splits, models learned as much as from the most doubtful texts; with a
# lower power they learned less, and with a higher one, labels said less about accuracy.
_DOUBT_POWER = 4
# Added to each doubt, so that every text may be drawn.
_MIN_DOUBT = 0.02
#: The largest number of texts whose doubt is compared; they are drawn at random if there are more.
MAX_COMPARED = 5000
# Vectors of at most so many selected texts are compared with those of others.
_MAX_SPREAD = 500


class Draw(NamedTuple):
    """A text that was selected.

    Attributes
    ----------
    row : int
    is_random : bool
        Whether it is a random draw.
    probability : float
        The probability of selecting this text by any kind of draw; only by its own kind unless
        no guess is shown: see `WeightedSampler.select`.
    n_candidates : int
        The number of texts among which it was selected.
    """

    row: int
    is_random: bool
    probability: float
    n_candidates: int

    @property
    def weight(self) -> float:
        """The inverse of the probability, relative to that of a random draw."""
        return 1 / (self.probability * self.n_candidates)


class SelectionWeights(NamedTuple):
    """Weights of texts, by which those that aren't random draws are selected.

    Attributes
    ----------
    rows : int array, shape (n_rows,)
        A random sample of the texts that may be selected, ascending.
    values : float64 array, shape (n_rows,)
        The weight of each row, at least 0.
    weigh : callable
        Returns the weight of each of some rows.
    """

    rows: Index
    values: F64
    weigh: Callable[[Index], F64]


class WeightedSampler:
    """Draws rows at random, some uniformly and the others by weight.

    All texts are random draws until there are weights, or if all weights are 0.

    Parameters
    ----------
    rng : numpy.random.Generator
    random_fraction : float, default 1 / 3
        The probability of a random draw.
    """

    def __init__(self, rng: np.random.Generator, random_fraction: float = 1 / 3) -> None:
        self._rng, self._random_fraction = rng, random_fraction
        self._weights: SelectionWeights | None = None

    @property
    def random_fraction(self) -> float:
        """The present probability of a random draw."""
        return self._random_fraction

    def set_weights(self, weights: SelectionWeights, random_fraction: float | None = None) -> None:
        """Let texts be selected by other weights from now on, and another fraction at random.

        Either may depend on labels: each text has the probability that it had at its moment. The
        caller sees to it that no other thread selects a text meanwhile.
        """
        self._weights = weights
        if random_fraction is not None:
            self._random_fraction = random_fraction

    def sample(self, free: Index, n: int = MAX_COMPARED) -> Index:
        """Return up to `n` of the rows, drawn at random, ascending."""
        if len(free) <= n:
            return free
        return np.sort(self._rng.choice(free, n, replace=False, shuffle=False))

    def select(self, free: Index, *, shows_guess: bool = False) -> Draw | None:
        """Return one of the rows; None if there is none.

        Parameters
        ----------
        free : int array, shape (n_free,)
            The rows that may be selected, ascending.
        shows_guess : bool, default False
            Whether the coder sees what the model would say of weighted draws, whose labels don't
            count towards the accuracy then; the probability is that of the kind of draw. Otherwise,
            it is that of either kind.
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
            # Texts that weren't compared could have been, each with the same probability.
            relative = _weight(weights, row) * len(rows) / total
        probability = (1 - fraction) * relative
        if is_random or not shows_guess:
            probability += fraction
        return Draw(row, is_random, min(probability / n_free, 1.0), n_free)


def _is_in(rows: Index, others: Index) -> Mask:
    """Return which rows are among others, both ascending."""
    places = np.searchsorted(others, rows)
    return others[np.minimum(places, len(others) - 1)] == rows


def _weight(weights: SelectionWeights, row: int) -> float:
    """Return the weight of a row."""
    place = int(np.searchsorted(weights.rows, row))
    if place < len(weights.rows) and weights.rows[place] == row:
        return float(weights.values[place])
    return float(weights.weigh(np.array([row], dtype=np.intp))[0])


def doubt_weights(doubt: F64) -> F64:
    """Return weights of texts from the doubts of a model about them, at least 0."""
    return (doubt + _MIN_DOUBT) ** _DOUBT_POWER


def distance_weights(vectors: F32, selected: F32) -> F64:
    """Return the squared cosine distance of each row from the nearest of the selected ones.

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
    """Weighs a sample of texts by how far their word vectors are from those that were selected.

    Parameters
    ----------
    texts : sequence of str
        All texts.
    rows : int array, shape (n_rows,)
        Those of the sample, ascending.
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
        """Add a text that was selected."""
        if self._n_selected < _MAX_SPREAD:
            vector = self._encoder.encode([text])
            weights = distance_weights(self._vectors, vector)
            self._weights = np.minimum(self._weights, weights) if self._n_selected else weights
            self._selected[self._n_selected] = vector
            self._n_selected += 1

    def weights(self) -> SelectionWeights:
        """Return the present weights."""
        selected = self._selected[: self._n_selected]

        def weigh(rows: Index) -> F64:
            return distance_weights(self._encode(rows), selected)

        return SelectionWeights(self._rows, self._weights, weigh)
