"""Tests whether a new model may replace the old one, topic by topic and person by person."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.checks import short_repr
from slugline.base.wording import join_words
from slugline.corpus.documents import Topics
from slugline.corpus.topic_sets import as_sets
from slugline.corrections.doubts import FEWEST_OF_TOPIC
from slugline.evaluation.multilabel import count_decisions, equal_rows

#: How often, at most, a new model that is no worse in any topic is held back.
ALPHA = 0.05
#: By how much a probability must change to count.
MARGIN = 0.1
#: New topics with few corrections that may come at a time.
MAX_THIN_TOPICS = 5
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


@dataclass(frozen=True, slots=True)
class ProbabilityChange:
    """How the probabilities of a topic changed on the test documents that have it.

    Attributes
    ----------
    topic : str
        "" for all topics together.
    n_documents : int
    mean_before, mean_after : float
        Mean probability of the right topics.
    n_risen, n_fallen : int
        Documents of which it rose, or fell, by more than `MARGIN`.
    is_worse : bool
        See `clearly_worse`.
    """

    topic: str
    n_documents: int
    mean_before: float
    mean_after: float
    n_risen: int
    n_fallen: int
    is_worse: bool

    def why_not(self) -> str:
        """Return in words what got clearly worse; empty if nothing did."""
        if not self.is_worse:
            return ""
        of = f" of topic {short_repr(self.topic)}" if self.topic else ""
        return (
            f"probabilities{of} fell, though answers may be the same: on the test documents, the "
            f"right topic is {self.mean_after:.2f} probable on average and was "
            f"{self.mean_before:.2f}; it fell by more than {MARGIN:g} for {self.n_fallen:,} of "
            f"{self.n_documents:,}, and rose for {self.n_risen:,}"
        )


def probability_changes(
    topics: Sequence[Any], before: ProbabilityTable, after: ProbabilityTable
) -> list[ProbabilityChange]:
    """Return the changes of probabilities: of all topics together, then of each by its name.

    Parameters
    ----------
    topics : sequence of str, or of tuples of str
        The right ones of each test document.
    before, after : ProbabilityTable
        The probabilities by the old and the new model, in the documents' order.
    """
    sets = as_sets(topics)
    pairs = [(row, topic) for row, names in enumerate(sets) for topic in names]
    old, new = (np.array([table.of(row, name) for row, name in pairs]) for table in (before, after))
    names = np.array([topic for _, topic in pairs], dtype=object)
    groups = {"": np.ones(len(pairs), dtype=bool)}
    groups |= {topic: names == topic for topic in sorted({*names.tolist()})}
    fallen, risen = old - new > MARGIN, new - old > MARGIN
    counts = [(int((risen & rows).sum()), int((fallen & rows).sum())) for rows in groups.values()]
    changes = []
    for (topic, rows), (n_risen, n_fallen), is_worse in zip(
        groups.items(), counts, clearly_worse(counts), strict=True
    ):
        means = [float(table[rows].mean()) if rows.any() else 0.0 for table in (old, new)]
        changes.append(
            ProbabilityChange(
                topic, int(rows.sum()), means[0], means[1], n_risen, n_fallen, is_worse
            )
        )
    return changes


class ProbabilityTable(NamedTuple):
    """Probabilities, shape (n_documents, n_topics), and the column of each topic."""

    values: npt.NDArray[np.float32]
    columns: Mapping[str, int]

    def of(self, row: int, topic: str) -> float:
        """Return the probability of a topic; 0 of one that the model doesn't know."""
        column = self.columns.get(topic)
        return 0.0 if column is None else float(self.values[row, column])


@dataclass(frozen=True, slots=True)
class PersonContradictions:
    """How many of a person's corrections a model that learned from everybody else contradicts.

    Attributes
    ----------
    person : str
        "" for all who have no token of their own.
    n_corrections, n_contradicted : int
        Those that were learned from without anybody's approval.
    """

    person: str
    n_corrections: int
    n_contradicted: int

    def why_not(self) -> str:
        """Return in words what speaks against them; empty if nothing does."""
        if self.n_contradicted < FEWEST or 2 * self.n_contradicted <= self.n_corrections:
            return ""
        person = self.person or "people without a token of their own"
        return (
            f"of the {self.n_corrections:,} unapproved corrections by {person}, a model that "
            f"learned from everybody else is sure of other topics for {self.n_contradicted:,}"
        )


def thin_topics_why_not(n_corrections: Mapping[str, int]) -> str:
    """Return in words that too many new topics have too few corrections; empty if few have.

    Parameters
    ----------
    n_corrections : mapping of str to int
        The number of unapproved corrections to each new topic that nobody approved.
    """
    thin = sorted(topic for topic, n in n_corrections.items() if n < FEWEST_OF_TOPIC)
    if len(thin) <= MAX_THIN_TOPICS:
        return ""
    listed = join_words(list(map(short_repr, thin)), 3, last=None)
    return (
        f"{len(thin):,} new topics, such as {listed}, have fewer than {FEWEST_OF_TOPIC} "
        f"corrections each, and {MAX_THIN_TOPICS} may be added at a time"
    )


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
