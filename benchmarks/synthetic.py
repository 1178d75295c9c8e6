"""Synthetic labelled texts of any number: words by Zipf's law, some of them a topic's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Distinct words, and the exponent of how much rarer each is than the one before.
N_WORDS, EXPONENT = 300_000, 1.05
# Words of a text, and the share of these that are drawn from the topic's own.
SHORTEST, LONGEST, OWN_SHARE = 8, 39, 0.15
# Words of a topic's own, and the commonest one that may be one of them.
N_OWN, FIRST_OWN = 400, 500
_CHUNK = 10_000


def texts(n: int, n_topics: int, seed: int, n_each: int | None = None) -> Iterator[tuple[str, str]]:
    """Yield texts with their topics, the same for the same arguments.

    Parameters
    ----------
    n, n_topics, seed : int
    n_each : int, optional
        How many of the first texts each topic gets in turn; topics are drawn at random by default.
    """
    rng = np.random.default_rng(seed)
    words = _words(rng)
    weights = 1 / np.arange(1, N_WORDS + 1) ** EXPONENT
    steps = np.cumsum(weights / weights.sum())
    own = rng.integers(FIRST_OWN, N_WORDS, (n_topics, N_OWN))
    for start in range(0, n, _CHUNK):
        n_here = min(_CHUNK, n - start)
        topics = rng.integers(0, n_topics, n_here)
        if n_each is not None:
            in_turn = np.arange(start, start + n_here)
            topics = np.where(in_turn < n_each * n_topics, in_turn % n_topics, topics)
        lengths = rng.integers(SHORTEST, LONGEST + 1, n_here)
        rows = np.repeat(np.arange(n_here), lengths)
        numbers = np.minimum(np.searchsorted(steps, rng.random(len(rows))), N_WORDS - 1)
        mine = rng.random(len(rows)) < OWN_SHARE
        numbers[mine] = own[topics[rows[mine]], rng.integers(0, N_OWN, mine.sum())]
        ends = np.cumsum(lengths)
        for end, length, topic in zip(ends, lengths, topics, strict=True):
            yield " ".join(words[numbers[end - length : end]]), f"t{topic:04d}"


def _words(rng: np.random.Generator) -> np.ndarray:
    """Return random words of 3 to 13 letters, the common ones shorter."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    ranks = np.arange(N_WORDS)
    lengths = 3 + (1.6 * np.log10(ranks + 10)).astype(int) + rng.integers(0, 3, N_WORDS)
    drawn = letters[rng.integers(0, 26, lengths.sum())]
    ends = np.cumsum(lengths)
    return np.array(
        ["".join(drawn[e - k : e]) for e, k in zip(ends, lengths, strict=True)], dtype=object
    )
