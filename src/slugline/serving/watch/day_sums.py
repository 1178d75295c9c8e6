"""Totals and a random sample of the texts that one version of a model answered on one day."""

from __future__ import annotations

import datetime
import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64, Mask
from slugline.corpus.documents import cells_of
from slugline.counting.concerns import TextTotals
from slugline.counting.shares import LIKELY
from slugline.text.features import UnknownWordRate, WordCounts

# Upper bound of keys: SQLite's integers have 63 bits without the sign.
_MAX_KEY = 1 << 62
# Maximum length of a kept text, and of its columns.
_MAX_CHARACTERS = 1_000_000


def utc_today() -> datetime.date:
    """Return the current day, in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


class SampledText(NamedTuple):
    """A text in a sample.

    Attributes
    ----------
    key : int
        Random number that selects the text.
    text : str
    cells : str
        Columns as a JSON object.
    """

    key: int
    text: str
    cells: str = "{}"

    @classmethod
    def from_text(cls, key: int, text: str) -> SampledText:
        """Create a text with its columns; long texts are cut, long columns dropped."""
        cells = json.dumps(dict(cells_of(text)), default=str)
        return cls(key, text[:_MAX_CHARACTERS], cells if len(cells) <= _MAX_CHARACTERS else "{}")


class TextSample:
    """The texts with the smallest random keys: a uniform random sample.

    Samples can be merged, because the smallest keys of all texts are among the smallest keys of the
    parts.

    Parameters
    ----------
    capacity : int
        Maximum number of texts. A merged sample has the smaller capacity of the two.
    n_texts : int, default 0
        Number of texts sampled from.
    texts : sequence of SampledText, default ()

    References
    ----------
    Cohen and Kaplan (2007), Summarizing data using bottom-k sketches.
    """

    def __init__(self, capacity: int, n_texts: int = 0, texts: Sequence[SampledText] = ()) -> None:
        self.capacity, self.n_texts = capacity, n_texts
        self.texts = [*texts]

    def add_texts(self, texts: Sequence[str], keys: I64) -> None:
        """Add texts with random keys; see `draw_keys`."""
        self.n_texts += len(texts)
        candidates = np.argsort(keys)[: self.capacity].tolist()
        self._keep_smallest(SampledText.from_text(int(keys[row]), texts[row]) for row in candidates)

    def add(self, other: TextSample) -> None:
        """Merge a sample of other texts."""
        self.capacity = min(self.capacity, other.capacity)
        self.n_texts += other.n_texts
        self._keep_smallest(other.texts)

    def _keep_smallest(self, texts: Iterable[SampledText]) -> None:
        self.texts = heapq.nsmallest(self.capacity, [*self.texts, *texts])


def draw_keys(rng: np.random.Generator, n: int) -> I64:
    """Draw a random key for each text."""
    return rng.integers(_MAX_KEY, size=n)


# Probability levels for binning texts. `LIKELY` is an edge, so that the topic of a bin is likely
# for all of its texts or for none.
_EDGES = (0.2, 0.35, LIKELY, 0.65, 0.8, 0.9, 0.97)
# Maximum number of bins per day, and of probabilities in all of them. From half this number on,
# texts are no longer binned by their second most likely topic.
_MAX_BINS, _MAX_VALUES = 512, 1 << 16
# Topic of a bin that mixes topics.
_ANY = -1


class BinKey(NamedTuple):
    """Common properties of the texts in a bin.

    Attributes
    ----------
    first, second : int
        Their two most likely topics; -1 if mixed. For a multi-label model, `first` is the topic
        with the binned probability.
    level : int
        Level of the probability of `first`, from 0.
    """

    first: int
    second: int
    level: int


@dataclass(eq=False)
class ProbabilityBin:
    """Number of texts in a bin, and the sums of their probabilities.

    Attributes
    ----------
    n : int
    sums : float64 array, shape (n_topics,); shape (1,) for a multi-label model
    """

    n: int
    sums: F64


@dataclass(eq=False)
class DaySums:
    """Totals of the texts that one model answered on one day. The size is bounded.

    Attributes
    ----------
    n_topics : int
    multilabel : bool
        True for a multi-label model.
    totals : TextTotals
        Numbers of texts, words and unknown words, as in `slugline count`.
    n_unsure, n_corrections : int
        Numbers of unsure answers and corrections.
    answers : int64 array, shape (n_topics,)
        For each topic, the number of texts with it as the most likely topic or, for a multi-label
        model, as a likely one, as in `slugline count`.
    sums : float64 array, shape (n_topics,)
        Sum of each topic's probabilities.
    bins : dict of BinKey to ProbabilityBin
        Texts binned by similar probabilities. Each text is in one bin, or for a multi-label model
        in one bin per topic.
    sample : TextSample or None
        Random sample of the texts; None if texts aren't kept.
    """

    n_topics: int
    multilabel: bool
    totals: TextTotals = field(default_factory=TextTotals)
    n_unsure: int = 0
    n_corrections: int = 0
    answers: I64 = field(init=False)
    sums: F64 = field(init=False)
    bins: dict[BinKey, ProbabilityBin] = field(default_factory=dict)
    sample: TextSample | None = None

    def __post_init__(self) -> None:
        self.answers = np.zeros(self.n_topics, dtype=np.int64)
        self.sums = np.zeros(self.n_topics)

    @property
    def n_texts(self) -> int:
        """Number of texts."""
        return self.totals.n_texts

    @property
    def max_bins(self) -> int:
        """Maximum number of bins, not counting the one for all other texts."""
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
            Baseline rate of unknown words, if known.
        """
        self.totals = self.totals.add(TextTotals.from_words(words, usual))
        self.sums += proba.sum(axis=0, dtype=np.float64)
        if self.multilabel:
            self.answers += np.count_nonzero(proba >= LIKELY, axis=0)
        else:
            self.answers += np.bincount(proba.argmax(axis=1), minlength=self.n_topics)
        for key, part in _bins(proba, self.multilabel):
            self.add_bin(key, part)

    def add(self, other: DaySums) -> None:
        """Add the totals of other texts of the same model."""
        self.totals = self.totals.add(other.totals)
        self.n_unsure += other.n_unsure
        self.n_corrections += other.n_corrections
        self.answers += other.answers
        self.sums += other.sums
        for key, part in other.bins.items():
            self.add_bin(key, part)
        if other.sample is not None:
            if self.sample is None:
                self.sample = TextSample(other.sample.capacity)
            self.sample.add(other.sample)

    def add_bin(self, key: BinKey, part: ProbabilityBin) -> None:
        """Add a bin of texts, or merge it into a coarser bin if there are too many."""
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
        """Fraction of unknown words; NaN if there are no words."""
        return self.totals.n_unknown / self.totals.n_words if self.totals.n_words else np.nan

    @property
    def has_mixed_bins(self) -> bool:
        """True if a bin mixes texts with different most likely topics."""
        return any(key.first == _ANY for key in self.bins)

    def rows(self, topic: int | None = None) -> tuple[F64, F64]:
        """Return the mean probabilities and the number of texts of each bin.

        Parameters
        ----------
        topic : int, optional
            Topic whose bins to return, for a multi-label model.

        Returns
        -------
        float64 array, shape (n_bins, n_topics); (n_bins, 1) for a multi-label model
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
