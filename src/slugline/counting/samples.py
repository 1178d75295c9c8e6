"""Bounded samples of texts and their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slugline.base.arrays import F32, F64
from slugline.model.text_profile import MAX_CHARACTERS

#: Multi-label models assign the topics with at least this probability.
LIKELY = 0.5


class SampledRows:
    """Bounded, weighted random sample of texts' probabilities.

    Weights of texts with the same most likely topic sum to the exact number of such texts.

    Parameters
    ----------
    n_topics : int
    capacity : int
        Maximum number of texts.
    seed : int

    Attributes
    ----------
    n_answers : int64 array, shape (n_topics,)
        Number of texts whose most likely topic is each topic.
    n_likely : int64 array, shape (n_topics,)
        Number of texts with a probability of at least one half, for each topic.
    sums : float64 array, shape (n_topics,)
        Sums of probabilities over all texts.
    """

    def __init__(self, n_topics: int, capacity: int, seed: int = 0) -> None:
        self.n_answers = np.zeros(n_topics, dtype=np.int64)
        self.n_likely = np.zeros(n_topics, dtype=np.int64)
        self.sums = np.zeros(n_topics)
        self._rng = np.random.default_rng(seed)
        self._capacity = capacity
        # Each text gets a random key; the texts with the largest keys are kept.
        self._parts: list[F32] = []
        self._keys: list[F64] = []
        self._n_kept, self._least_key = 0, 0.0

    def __len__(self) -> int:
        return int(self.n_answers.sum())

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.sums)

    def add(self, proba: F32) -> None:
        """Add texts, shape (n_texts, n_topics)."""
        self.n_answers += np.bincount(proba.argmax(axis=1), minlength=self.n_topics)
        self.n_likely += np.count_nonzero(proba >= LIKELY, axis=0)
        self.sums += proba.sum(axis=0, dtype=np.float64)
        keys = self._rng.random(len(proba))
        is_kept = keys >= self._least_key
        self._append(proba[is_kept], keys[is_kept])
        if self._n_kept > 2 * self._capacity:
            self._shrink()

    def limit(self, capacity: int) -> None:
        """Reduce the maximum number of texts to `capacity`."""
        if capacity < self._capacity:
            self._capacity = capacity
            self._shrink()

    def rows(self) -> tuple[F64, F64]:
        """Return the sampled rows, shape (n_rows, n_topics), and their weights."""
        self._shrink()
        if not self._parts:
            return np.zeros((0, self.n_topics)), np.zeros(0)
        rows = np.concatenate(self._parts)
        answers = rows.argmax(axis=1)
        n_kept = np.bincount(answers, minlength=self.n_topics)
        weights = (self.n_answers / np.maximum(n_kept, 1))[answers]
        # Spread answers without a sampled text over the others.
        return rows.astype(np.float64), weights * (len(self) / weights.sum())

    def _append(self, proba: F32, keys: F64) -> None:
        self._parts.append(proba)
        self._keys.append(keys)
        self._n_kept += len(keys)

    def _shrink(self) -> None:
        if self._n_kept <= self._capacity:
            return
        rows, keys = np.concatenate(self._parts), np.concatenate(self._keys)
        chosen = np.sort(np.argpartition(-keys, self._capacity)[: self._capacity])
        self._parts, self._keys, self._n_kept = [], [], 0
        self._append(rows[chosen], keys[chosen])
        self._least_key = float(keys[chosen].min())


class SampledTexts:
    """Bounded random sample of texts, each truncated.

    Parameters
    ----------
    capacity : int
        Maximum number of texts.
    seed : int
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        self._capacity = capacity
        self._rng = np.random.default_rng(seed)
        # Each text gets a random key; the texts with the largest keys are kept.
        self._kept: list[tuple[float, str]] = []
        self._least_key = 0.0

    def add(self, texts: Sequence[str]) -> None:
        """Add texts."""
        keys = self._rng.random(len(texts))
        chosen = np.flatnonzero(keys >= self._least_key).tolist()
        self._kept += [(float(keys[i]), texts[i][:MAX_CHARACTERS]) for i in chosen]
        if len(self._kept) > 2 * self._capacity:
            self._shrink()

    def limit(self, capacity: int) -> None:
        """Reduce the maximum number of texts to `capacity`."""
        self._capacity = min(self._capacity, capacity)
        self._shrink()

    def texts(self) -> list[str]:
        """Return the sampled texts."""
        self._shrink()
        return [text for _, text in self._kept]

    def _shrink(self) -> None:
        if len(self._kept) > self._capacity:
            self._kept = sorted(self._kept, reverse=True)[: self._capacity]
            self._least_key = self._kept[-1][0] if self._kept else 1.0
