"""The statistical tests that a new model must pass to replace the old one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from slugline.corpus.documents import Topics
from slugline.corpus.topic_sets import as_sets
from slugline.evaluation.multilabel import count_decisions, equal_rows

#: Maximum probability of rejecting a new model that is not worse for any topic.
ALPHA = 0.05
#: Minimum number of changed documents that is significant if all got worse: 1 / 2^5 < `ALPHA`.
MIN_CHANGED = 5


@dataclass(frozen=True, slots=True)
class TopicChange:
    """Changes of the answers for one topic on the test documents.

    Attributes
    ----------
    topic : str
    n_documents, n_corrections : int
        Test documents and corrections with this topic.
    n_true_positives_before, n_true_positives_after : int
        Number of test documents correctly assigned this topic.
    n_predicted_before, n_predicted_after : int
        Number of test documents assigned this topic.
    n_better, n_worse : int
        Number of documents on which only the new model, or only the old one, is right about this
        topic.
    lost_to : str or None
        The topic now assigned to most of the lost documents.
    is_worse : bool
        See `clearly_worse`.
    """

    topic: str
    n_documents: int
    n_corrections: int
    n_true_positives_before: int
    n_true_positives_after: int
    n_predicted_before: int
    n_predicted_after: int
    n_better: int
    n_worse: int
    lost_to: str | None
    is_worse: bool

    @property
    def f1_before(self) -> float:
        """F1 before; NaN if the topic neither occurs nor was predicted."""
        return _f1(self.n_true_positives_before, self.n_documents + self.n_predicted_before)

    @property
    def f1_after(self) -> float:
        """F1 after; NaN if the topic neither occurs nor was predicted."""
        return _f1(self.n_true_positives_after, self.n_documents + self.n_predicted_after)

    @property
    def p_value(self) -> float:
        """P-value of a change for the worse; see `sign_test_p_value`."""
        return sign_test_p_value(self.n_better, self.n_worse)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return asdict(self) | {"p_value": self.p_value}


class TopicChanges(NamedTuple):
    """Changes of all topics, of accuracy and of coverage.

    Attributes
    ----------
    topics : list of TopicChange
    is_accuracy_worse, is_coverage_worse : bool
        True if clearly fewer documents are assigned exactly their topics, or are answered; see
        `clearly_worse`.
    """

    topics: list[TopicChange]
    is_accuracy_worse: bool
    is_coverage_worse: bool


@dataclass(frozen=True, slots=True)
class PromiseChange:
    """Changes of the promised precision and of the number of answered test documents.

    Attributes
    ----------
    precision_before, precision_after : float
        The promised precision; 0 without a promise, or if no threshold reaches it.
    n_answered_before, n_answered_after : int
        Number of answered test documents.
    is_coverage_worse : bool
        True if clearly fewer documents are answered; see `clearly_worse`.
    """

    precision_before: float
    precision_after: float
    n_answered_before: int
    n_answered_after: int
    is_coverage_worse: bool

    def why_not(self) -> str:
        """Describe what got clearly worse; empty if nothing did."""
        if self.precision_after < self.precision_before:
            promise = "no precision can be promised"
            if self.precision_after:
                promise = f"only {self.precision_after:g} can be promised"
            return (
                "the model to be replaced promises answers with a precision of "
                f"{self.precision_before:g}, but now {promise}"
            )
        if self.is_coverage_worse:
            return (
                f"clearly fewer texts are answered: {self.n_answered_after:,} of the test "
                f"documents, instead of {self.n_answered_before:,} before"
            )
        return ""


def topic_changes(
    topics: Sequence[Any],
    before: Sequence[Any],
    after: Sequence[Any],
    corrected: Sequence[str],
    *,
    n_newly_answered: int,
    n_no_longer_answered: int,
) -> TopicChanges:
    """Return the changes of answers by topic, most common first, and overall.

    Parameters
    ----------
    topics, before, after : sequences of str, or of tuples of str, one for each test document
        True topics, and the answers of the old and the new model.
    corrected : sequence of str
        Topics of all corrections.
    n_newly_answered, n_no_longer_answered : int
        Number of test documents that only the new model, or only the old one, answers.
    """
    topics, before, after = as_sets(topics), as_sets(before), as_sets(after)
    flatten = itertools.chain.from_iterable
    occurring = Counter(flatten(topics))
    n_corrections = Counter(corrected)
    all_topics = {*occurring, *flatten(before), *flatten(after), *n_corrections}
    order = sorted(all_topics, key=lambda topic: (-occurring[topic], topic))
    encode = partial(Topics(order).encode_sets, dtype=bool)
    true, old, new = encode(topics), encode(before), encode(after)
    hits_before, n_documents, n_predicted_before = count_decisions(true, old, axis=0)
    hits_after, _, n_predicted_after = count_decisions(true, new, axis=0)
    # For sparse boolean arrays, `a > b` means `a & ~b`.
    was_wrong, is_wrong = true != old, true != new
    n_better, n_worse = (was_wrong > is_wrong).sum(axis=0), (is_wrong > was_wrong).sum(axis=0)
    was_right, is_right = equal_rows(old, true), equal_rows(new, true)
    by_topic = zip(n_better.tolist(), n_worse.tolist(), strict=True)
    accuracy = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
    coverage = n_newly_answered, n_no_longer_answered
    # One family of tests: each topic, then accuracy, then coverage.
    *topic_is_worse, is_accuracy_worse, is_coverage_worse = clearly_worse(
        [*by_topic, accuracy, coverage]
    )
    replacements: list[Counter[str]] = [Counter() for _ in order]
    is_lost = true.multiply(old) > new
    for row, column in zip(*is_lost.nonzero(), strict=True):
        replacements[column].update(name for name in after[row] if name not in before[row])
    changes = [
        TopicChange(
            topic=topic,
            n_documents=int(n_documents[column]),
            n_corrections=n_corrections[topic],
            n_true_positives_before=int(hits_before[column]),
            n_true_positives_after=int(hits_after[column]),
            n_predicted_before=int(n_predicted_before[column]),
            n_predicted_after=int(n_predicted_after[column]),
            n_better=int(n_better[column]),
            n_worse=int(n_worse[column]),
            lost_to=next((name for name, _ in replacements[column].most_common(1)), None),
            is_worse=topic_is_worse[column],
        )
        for column, topic in enumerate(order)
    ]
    return TopicChanges(changes, is_accuracy_worse, is_coverage_worse)


def clearly_worse(changes: Sequence[tuple[int, int]]) -> list[bool]:
    """Return a boolean for each change: True if it is significantly for the worse.

    One-sided sign tests with the family-wise error rate `ALPHA`. Changes with too few documents to
    reach significance don't count in the correction.

    Parameters
    ----------
    changes : sequence of (int, int)
        Number of documents that got better, and worse, by each change.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages; Tarone (1990), A modified Bonferroni method for discrete data.
    """
    min_p_values = np.array([0.5 ** (better + worse) for better, worse in changes])
    # By Tarone, the smallest k for which at most k of the tests could reach ALPHA / k.
    n_tested = next(k for k in range(1, len(changes) + 2) if np.sum(min_p_values <= ALPHA / k) <= k)
    return [sign_test_p_value(better, worse) <= ALPHA / n_tested for better, worse in changes]


def sign_test_p_value(n_better: int, n_worse: int) -> float:
    """Return the p-value of a one-sided sign test.

    This is the probability of at least `n_worse` changes for the worse if both directions are
    equally likely.
    """
    from scipy.special import bdtr

    return float(bdtr(n_better, n_better + n_worse, 0.5)) if n_worse else 1.0


def _f1(n_true_positives: int, n_true_and_predicted: int) -> float:
    return 2 * n_true_positives / n_true_and_predicted if n_true_and_predicted else float("nan")
