"""A random sample of the texts of a day, of bounded size, to which several processes may add."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import I64
from slugline.corpus.documents import cells_of

#: The number of days after which kept texts are deleted, by default and at most, and the largest
#: number of texts of a day.
KEEP_DAYS, MAX_KEEP_DAYS, MAX_KEPT = 90, 3660, 10_000
# Keys are below this one: SQLite's integers have 63 bits without the sign.
_MAX_KEY = 1 << 62
# The largest number of characters of a text, and of its other columns, that are kept.
_MAX_CHARACTERS = 1_000_000


class SampledText(NamedTuple):
    """A text in a sample.

    Attributes
    ----------
    key : int
        The random number by which it is in the sample.
    text : str
    cells : str
        Its other columns, as a JSON object.
    """

    key: int
    text: str
    cells: str = "{}"

    @classmethod
    def from_text(cls, key: int, text: str) -> SampledText:
        """Return a text with its columns; what is too long is cut off or left out."""
        cells = json.dumps(dict(cells_of(text)), default=str)
        return cls(key, text[:_MAX_CHARACTERS], cells if len(cells) <= _MAX_CHARACTERS else "{}")


class TextSample:
    """The texts with the smallest of random keys: a uniform random sample.

    Samples of several parts of the texts add up to one of all of them, as the smallest keys of all
    texts are among the smallest keys of the parts.

    Parameters
    ----------
    capacity : int
        The largest number of texts; that of the sum of two samples is the smaller one.
    n_texts : int, default 0
        The number of texts that the sample is drawn from.
    texts : sequence of SampledText, default ()

    References
    ----------
    Cohen and Kaplan (2007), Summarizing data using bottom-k sketches.
    """

    def __init__(self, capacity: int, n_texts: int = 0, texts: Sequence[SampledText] = ()) -> None:
        self.capacity, self.n_texts = capacity, n_texts
        self.texts = [*texts]

    def add_texts(self, texts: Sequence[str], keys: I64) -> None:
        """Add texts with their random keys; see `draw_keys`."""
        self.n_texts += len(texts)
        candidates = np.argsort(keys)[: self.capacity].tolist()
        self._keep_smallest(SampledText.from_text(int(keys[row]), texts[row]) for row in candidates)

    def add(self, other: TextSample) -> None:
        """Add a sample of other texts."""
        self.capacity = min(self.capacity, other.capacity)
        self.n_texts += other.n_texts
        self._keep_smallest(other.texts)

    def _keep_smallest(self, texts: Iterable[SampledText]) -> None:
        self.texts = heapq.nsmallest(self.capacity, [*self.texts, *texts])


def draw_keys(rng: np.random.Generator, n: int) -> I64:
    """Return random keys of some texts."""
    return rng.integers(_MAX_KEY, size=n)
