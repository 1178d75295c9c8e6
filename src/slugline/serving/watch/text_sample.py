"""A random sample of a day's texts, of bounded size, shared by several processes."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import I64
from slugline.corpus.documents import cells_of

#: Default and maximum number of days to keep texts, and the maximum number of texts per day.
KEEP_DAYS, MAX_KEEP_DAYS, MAX_KEPT = 90, 3660, 10_000
# Upper bound of keys: SQLite's integers have 63 bits without the sign.
_MAX_KEY = 1 << 62
# Maximum length of a kept text, and of its columns.
_MAX_CHARACTERS = 1_000_000


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
