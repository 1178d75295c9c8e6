"""Tests whether a topic got clearly worse, allowing for the number of topics."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from slugline.corpus.documents import Topics
from slugline.corpus.topic_sets import as_sets
from slugline.evaluation.multilabel import count_decisions, equal_rows

#: How often, at most, a new model that is no worse in any topic is held back.
ALPHA = 0.05
#: Documents that must have changed, at the least, all of them for the worse: 1 / 2^5 is under 0.05.
FEWEST = 5


@dataclass(frozen=True, slots=True)
class TopicChange:
    """How the answers for one topic changed on the test documents.

    Attributes
    ----------
    topic : str
    n_documents, n_corrections : int
        Test documents and corrections with this topic.
    n_found_before, n_found_after : int
        True positives.
    n_given_before, n_given_after : int
        All test documents that got this topic.
    n_better, n_worse : int
        Documents on which only the new model is right about this topic, or only the old one.
    taken_by : str or None
        The topic that most of the lost documents got instead.
    is_worse : bool
        See `clearly_worse`.
    """

    topic: str
    n_documents: int
    n_corrections: int
    n_found_before: int
    n_found_after: int
    n_given_before: int
    n_given_after: int
    n_better: int
    n_worse: int
    taken_by: str | None
    is_worse: bool

    @property
    def f1_before(self) -> float:
        """F1 before; NaN if the topic neither occurs nor was given."""
        return _f1(self.n_found_before, self.n_documents + self.n_given_before)

    @property
    def f1_after(self) -> float:
        """F1 after; NaN if the topic neither occurs nor was given."""
        return _f1(self.n_found_after, self.n_documents + self.n_given_after)

    @property
    def chance(self) -> float:
        """The p-value of the change for the worse; see `sign_test_p_value`."""
        return sign_test_p_value(self.n_better, self.n_worse)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return asdict(self) | {"chance": self.chance}


@dataclass(frozen=True, slots=True)
class PromiseChange:
    """How the precision that models promise changed, and how many test documents they answer.

    Attributes
    ----------
    precision_before, precision_after : float
        0 without a promise, or if no threshold reaches it.
    n_before, n_after : int
        Number of test documents that are answered.
    is_smaller : bool
        Whether clearly fewer are answered; see `clearly_worse`.
    """

    precision_before: float
    precision_after: float
    n_before: int
    n_after: int
    is_smaller: bool

    def why_not(self) -> str:
        """Return in words what got clearly worse; empty if nothing did."""
        if self.precision_after < self.precision_before:
            instead = f"only {self.precision_after:g}" if self.precision_after else "nothing"
            return (
                f"answers were promised to be right with a precision of {self.precision_before:g}, "
                f"and now {instead} can be promised"
            )
        if self.is_smaller:
            return (
                f"clearly fewer texts are answered: {self.n_after:,} of the test documents, and "
                f"{self.n_before:,} were before"
            )
        return ""


def topic_changes(
    topics: Sequence[Any],
    before: Sequence[Any],
    after: Sequence[Any],
    corrected: Sequence[str],
    answered: tuple[int, int],
) -> tuple[list[TopicChange], bool, bool]:
    """Return the change of each topic, the most common first, and two things that may be worse.

    These are the accuracy (the exact match), and the share of documents that are answered.

    Parameters
    ----------
    topics, before, after : sequences of str, or of tuples of str, one for each test document
        Its topic or topics, and the answers of the old and the new model.
    corrected : sequence of str
        The topics of all corrections.
    answered : (int, int)
        How many test documents only the new model answers, and how many only the old one.
    """
    topics, before, after = as_sets(topics), as_sets(before), as_sets(after)
    flat = itertools.chain.from_iterable
    occurring = Counter(flat(topics))
    n_corrections = Counter(corrected)
    all_topics = {*occurring, *flat(before), *flat(after), *n_corrections}
    order = sorted(all_topics, key=lambda topic: (-occurring[topic], topic))
    encode = partial(Topics(order).encode_sets, dtype=bool)
    true, old, new = map(encode, (topics, before, after))
    found_before, n_documents, given_before = count_decisions(true, old, axis=0)
    found_after, _, given_after = count_decisions(true, new, axis=0)
    was_wrong, is_wrong = true != old, true != new
    n_better, n_worse = (was_wrong > is_wrong).sum(axis=0), (is_wrong > was_wrong).sum(axis=0)
    was_right, is_right = equal_rows(old, true), equal_rows(new, true)
    overall = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
    by_topic = zip(n_better.tolist(), n_worse.tolist(), strict=True)
    worse = clearly_worse([*by_topic, overall, answered])
    takers: list[Counter[str]] = [Counter() for _ in order]
    for row, column in zip(*(true.multiply(old) > new).nonzero(), strict=True):
        takers[column].update(name for name in after[row] if name not in before[row])
    counts = found_before, found_after, given_before, given_after, n_better, n_worse
    fields = (
        *(order, n_documents.tolist(), [n_corrections[topic] for topic in order]),
        *(count.tolist() for count in counts),
        [counter.most_common(1)[0][0] if counter else None for counter in takers],
    )
    changes = [TopicChange(*values) for values in zip(*fields, worse[:-2], strict=True)]
    return changes, worse[-2], worse[-1]


def clearly_worse(changes: Sequence[tuple[int, int]]) -> list[bool]:
    """Return which changes for the worse are significant.

    One-sided sign tests at a family-wise error rate of `ALPHA`, corrected for the number of changes
    that could be significant at all: those of five documents or more.

    Parameters
    ----------
    changes : sequence of (int, int)
        How many documents each made better, and how many worse.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages; Tarone (1990), A modified Bonferroni method for discrete data.
    """
    rarest = np.array([0.5 ** (better + worse) for better, worse in changes])
    n_tested = next(k for k in range(1, len(changes) + 2) if np.sum(rarest <= ALPHA / k) <= k)
    return [sign_test_p_value(better, worse) <= ALPHA / n_tested for better, worse in changes]


def sign_test_p_value(n_better: int, n_worse: int) -> float:
    """Return the probability of at least so many changes for the worse by chance."""
    from scipy.special import bdtr

    return float(bdtr(n_better, n_better + n_worse, 0.5)) if n_worse else 1.0


def _f1(n_found: int, n_named: int) -> float:
    return 2 * n_found / n_named if n_named else float("nan")
