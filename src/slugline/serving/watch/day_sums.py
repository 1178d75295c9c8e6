"""Sums over the texts that one version of a model answered on one day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64, Mask
from slugline.counting.concerns import TextTotals
from slugline.counting.samples import LIKELY
from slugline.serving.watch.text_sample import TextSample
from slugline.text.features import UnknownWordRate, WordCounts

# Edges of the levels of probabilities by which texts are binned. `LIKELY` is one of them, so that
# the topic of a bin is likely for all of its texts, or for none.
_EDGES = (0.2, 0.35, LIKELY, 0.65, 0.8, 0.9, 0.97)
# The largest number of bins of a day, and of the probabilities of all of them. Above half the
# number, texts are no longer binned by their second most likely topic.
_MAX_BINS, _MAX_VALUES = 512, 1 << 16
# The topic of a bin in which topics are not distinguished.
_ANY = -1


class BinKey(NamedTuple):
    """What the texts of a bin have in common.

    Attributes
    ----------
    first, second : int
        Their most likely topics; -1 if they may differ. For a multilabel model, `first` is the
        topic whose probability is meant.
    level : int
        The level of the probability of `first`, from 0.
    """

    first: int
    second: int
    level: int


@dataclass(eq=False)
class ProbabilityBin:
    """The number of texts of a bin, and the sums of their probabilities.

    Attributes
    ----------
    n : int
    sums : float64 array, shape (n_topics,); for a multilabel model, shape (1,)
    """

    n: int
    sums: F64


@dataclass(eq=False)
class DaySums:
    """Sums over the texts that one model answered on one day; bounded, however many there are.

    Attributes
    ----------
    n_topics : int
    multilabel : bool
        Whether the model gives a text several topics.
    n_texts, n_unsure, n_corrections : int
        Numbers of texts, of those that the model was unsure of, and of corrections.
    n_unusual : int
        Number of texts with more unknown words than usual, as `slugline count` counts them.
    n_words, n_unknown : int
        Numbers of words, and of words that the model doesn't know.
    answers : int64 array, shape (n_topics,)
        Number of texts of which each topic is the most likely one or, for a multilabel model,
        likely; as `slugline count` counts answers.
    sums : float64 array, shape (n_topics,)
        Sums of the probabilities of each topic.
    bins : dict of BinKey to ProbabilityBin
        The texts in bins with similar probabilities. Each text of a single-label model is in one
        bin; each text of a multilabel model is in one for each topic.
    sample : TextSample or None
        A random sample of the texts; None if none are kept.
    """

    n_topics: int
    multilabel: bool
    n_texts: int = 0
    n_unsure: int = 0
    n_corrections: int = 0
    n_unusual: int = 0
    n_words: int = 0
    n_unknown: int = 0
    answers: I64 = field(init=False)
    sums: F64 = field(init=False)
    bins: dict[BinKey, ProbabilityBin] = field(default_factory=dict)
    sample: TextSample | None = None

    def __post_init__(self) -> None:
        self.answers = np.zeros(self.n_topics, dtype=np.int64)
        self.sums = np.zeros(self.n_topics)

    @property
    def max_bins(self) -> int:
        """The largest number of bins, apart from one for all other texts."""
        if self.multilabel:
            return self.n_topics * (len(_EDGES) + 1)
        return max(8, min(_MAX_BINS, _MAX_VALUES // self.n_topics))

    def add_texts(
        self, proba: F32, words: WordCounts, usual: UnknownWordRate | None = None
    ) -> None:
        """Add texts.

        Parameters
        ----------
        proba : float32 array, shape (n_texts, n_topics)
        words : WordCounts
        usual : UnknownWordRate, optional
            The usual rate of unknown words, if it is known.
        """
        totals = TextTotals.from_words(words, usual)
        self.n_texts += totals.n_texts
        self.n_unusual += totals.n_unusual
        self.n_words += totals.n_words
        self.n_unknown += totals.n_unknown
        self.sums += proba.sum(axis=0, dtype=np.float64)
        if self.multilabel:
            self.answers += np.count_nonzero(proba >= LIKELY, axis=0)
        else:
            self.answers += np.bincount(proba.argmax(axis=1), minlength=self.n_topics)
        for key, part in _bins(proba, self.multilabel):
            self.add_bin(key, part)

    def add(self, other: DaySums) -> None:
        """Add the sums of other texts of the same model."""
        self.n_texts += other.n_texts
        self.n_unsure += other.n_unsure
        self.n_corrections += other.n_corrections
        self.n_unusual += other.n_unusual
        self.n_words += other.n_words
        self.n_unknown += other.n_unknown
        self.answers += other.answers
        self.sums += other.sums
        for key, part in other.bins.items():
            self.add_bin(key, part)
        if other.sample is not None:
            if self.sample is None:
                self.sample = TextSample(other.sample.capacity)
            self.sample.add(other.sample)

    def add_bin(self, key: BinKey, part: ProbabilityBin) -> None:
        """Add a bin of texts, to a coarser bin if there are too many already."""
        n_bins = len(self.bins)
        if key not in self.bins and n_bins >= self.max_bins // 2 and not self.multilabel:
            key = BinKey(key.first, _ANY, key.level)
            if key not in self.bins and n_bins >= self.max_bins:
                key = BinKey(_ANY, _ANY, 0)
        known = self.bins.get(key)
        if known is None:
            self.bins[key] = ProbabilityBin(part.n, part.sums.copy())
        else:
            known.n += part.n
            known.sums += part.sums

    @property
    def unknown_fraction(self) -> float:
        """The fraction of words that are unknown; NaN without words."""
        return self.n_unknown / self.n_words if self.n_words else np.nan

    @property
    def totals(self) -> TextTotals:
        """The sums as those of a count of the texts."""
        return TextTotals(
            n_texts=self.n_texts,
            n_words=self.n_words,
            n_unknown=self.n_unknown,
            n_unusual=self.n_unusual,
        )

    @property
    def has_mixed_bins(self) -> bool:
        """Whether the texts of a bin differ in their most likely topic."""
        return any(key.first == _ANY for key in self.bins)

    def rows(self, topic: int | None = None) -> tuple[F64, F64]:
        """Return the mean probabilities of each bin, and its number of texts.

        Parameters
        ----------
        topic : int, optional
            For a multilabel model, the topic whose bins are meant.

        Returns
        -------
        float64 array, shape (n_bins, n_topics); (n_bins, 1) for a multilabel model
        float64 array, shape (n_bins,)
        """
        bins = [each for key, each in self.bins.items() if topic is None or key.first == topic]
        if not bins:
            return np.zeros((0, 1 if self.multilabel else self.n_topics)), np.zeros(0)
        sizes = np.array([part.n for part in bins], dtype=np.float64)
        return np.stack([part.sums for part in bins]) / sizes[:, np.newaxis], sizes


def _bins(proba: F32, multilabel: bool) -> Iterator[tuple[BinKey, ProbabilityBin]]:
    """Yield bins of texts with similar probabilities."""
    if not len(proba):
        return
    if multilabel:
        yield from _bins_by_topic(proba)
        return
    documents = np.arange(len(proba))
    first = proba.argmax(axis=1)
    highest = proba[documents, first]
    others = proba.copy()
    others[documents, first] = -1
    second = others.argmax(axis=1) if proba.shape[1] > 1 else np.full(len(proba), _ANY)
    keys = np.stack([first, second, np.searchsorted(_EDGES, highest, "right")], axis=1)
    order = np.lexsort(keys.T)
    is_first = np.any(np.diff(keys[order], axis=0, prepend=-2), axis=1)
    starts = np.flatnonzero(is_first)
    sums = np.add.reduceat(proba[order], starts, axis=0, dtype=np.float64)
    sizes = np.diff(starts, append=len(proba))
    for key, n, values in zip(keys[order][starts].tolist(), sizes.tolist(), sums, strict=True):
        yield BinKey._make(key), ProbabilityBin(n, values)


def _bins_by_topic(proba: F32) -> Iterator[tuple[BinKey, ProbabilityBin]]:
    levels = np.searchsorted(_EDGES, proba, "right")
    for level in range(len(_EDGES) + 1):
        is_level: Mask = levels == level
        counts = is_level.sum(axis=0)
        sums = np.where(is_level, proba, 0).sum(axis=0, dtype=np.float64)
        for topic in np.flatnonzero(counts).tolist():
            key = BinKey(topic, _ANY, level)
            yield key, ProbabilityBin(int(counts[topic]), sums[topic : topic + 1])
