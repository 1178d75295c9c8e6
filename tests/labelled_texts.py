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


def labelled_sets(n: int, n_wrong: int) -> tuple[list[str], list[tuple[str, ...]], dict[int, str]]:
    """Return texts of no, one or two topics, and rows with a topic dropped or added: which one."""
    rng = np.random.default_rng(1)
    names = list(WORDS)
    texts, sets = [], []
    for number in range(n):
        n_topics = 1 + number % 2 if number % 10 else 0
        topics = rng.choice(names, n_topics, replace=False).tolist()
        words = [word for topic in topics for word in rng.choice(WORDS[topic], 5)]
        texts.append(" ".join(rng.permutation([*words, *rng.choice(COMMON, 7), f"n{number}"])))
        sets.append(tuple(topics))
    changed: dict[int, str] = {}
    for row in rng.choice(np.flatnonzero([len(s) > 0 for s in sets]), n_wrong, replace=False):
        if len(changed) % 2:
            changed[int(row)], *others = sets[row]
            sets[row] = tuple(others)
        else:
            changed[int(row)] = next(name for name in names if name not in sets[row])
            sets[row] += (changed[int(row)],)
    return texts, sets, changed
