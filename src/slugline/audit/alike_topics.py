"""Topics that may be one: names that differ in case, and topics that can't be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, I64

__all__ = ["AlikeTopics", "alike_topics"]

# Topics can't be told apart if so many of their documents look more like the other one; by chance,
# it would be a half.
_MIXED = 0.3
_FEWEST_DOCUMENTS = 5


class AlikeTopics(NamedTuple):
    """Two topics that may be one.

    Attributes
    ----------
    topic, other : str
    why : str
    mixed : float or None
        The share of their documents that look more like the other topic, as the mean of both;
        None if their names tell.
    """

    topic: str
    other: str
    why: str
    mixed: float | None


def alike_topics(names: Sequence[str], y: I64, scores: F32) -> list[AlikeTopics]:
    """Return pairs of topics that differ in case or spaces alone, or can't be told apart.

    Parameters
    ----------
    names : sequence of str
    y : int array, shape (n_rows,)
    scores : float32 array, shape (n_rows, n_topics)
        Of each row, by what was learned from others.
    """
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(" ".join(name.casefold().split()), []).append(name)
    spelled = [
        AlikeTopics(group[0], other, "their names differ in case or spaces alone", None)
        for group in by_key.values()
        for other in group[1:]
    ]
    known = {(each.topic, each.other) for each in spelled}
    mixed = [each for each in _mixed(names, y, scores) if (each.topic, each.other) not in known]
    return spelled + sorted(mixed, key=lambda each: -(each.mixed or 0))


def _mixed(names: Sequence[str], y: I64, scores: F32) -> list[AlikeTopics]:
    counts = np.bincount(y, minlength=len(names))
    over = np.zeros((len(names), len(names)))
    order = np.argsort(y, kind="stable")
    for topic, rows in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        if len(rows) >= _FEWEST_DOCUMENTS:
            over[topic] = (scores[rows] > scores[rows, topic][:, np.newaxis]).mean(axis=0)
    both = (over + over.T) / 2
    enough = counts >= _FEWEST_DOCUMENTS
    found = np.argwhere(np.triu(both >= _MIXED, 1) & enough & enough[:, np.newaxis])
    return [
        AlikeTopics(
            names[first],
            names[second],
            f"{100 * both[first, second]:.0f} % of their documents look more like the other",
            float(both[first, second]),
        )
        for first, second in found.tolist()
    ]
