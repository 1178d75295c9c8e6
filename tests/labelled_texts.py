"""Texts made of words that topics prefer, some with a topic that is not theirs."""

from __future__ import annotations

import numpy as np

WORDS = {
    "bank": ["rate", "loan", "bond", "fed", "credit", "yield", "dollar", "deposit", "branch"],
    "grain": ["wheat", "corn", "crop", "export", "tonnes", "barley", "silo", "harvest", "seed"],
    "sport": ["goal", "match", "team", "coach", "league", "striker", "cup", "penalty", "fans"],
}
COMMON = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "was",
    "for",
    "on",
    "with",
    "at",
    "by",
    "from",
    "new",
    "said",
]
COMMON += ["a", "year", "more", "than", "it", "had"]


def labelled(n: int, n_wrong: int, seed: int = 0) -> tuple[list[str], list[str], list[int]]:
    """Return different texts, their topics, and which of these are wrong."""
    rng = np.random.default_rng(seed)
    names = list(WORDS)
    texts, topics = [], []
    for number in range(n):
        topic = names[number % len(names)]
        words = [*rng.choice(WORDS[topic], 5), *rng.choice(COMMON, 7), f"n{number}"]
        texts.append(" ".join(rng.permutation(words).tolist()))
        topics.append(topic)
    wrong = sorted(rng.choice(n, n_wrong, replace=False).tolist())
    for row in wrong:
        topics[row] = str(rng.choice([name for name in names if name != topics[row]]))
    return texts, topics, wrong
