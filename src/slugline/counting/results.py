"""Results of counting: shares of topics with intervals, by group, and changes between groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words, percent
from slugline.errors import OptionError, Parameter
from slugline.evaluation.intervals import Interval

#: What an estimate is from: the model's probabilities, corrected; these and labels of some of the
#: texts; or the labels alone.
Method = Literal["model", "labels and model", "labels"]
#: The name of all groups together in tables.
ALL = "(all)"
#: What a change was estimated from; empty without labels.
Basis = Literal["", "by the model", "by labels"]


class TopicCount(NamedTuple):
    """How many texts have a topic.

    Attributes
    ----------
    topic : str
    share : float
        The estimated share of the texts.
    interval : Interval
        The 95 % interval of the share.
    n_texts : int
        The number of texts, with this topic and without.
    n_answers : int or None
        The number of texts of which it is the most likely topic or, if texts may have several
        topics, likely; None if the model doesn't know it.
    method : {"model", "labels and model", "labels"}
    """

    topic: str
    share: float
    interval: Interval
    n_texts: int
    n_answers: int | None
    method: Method = "model"

    @property
    def n(self) -> float:
        """The estimated number of texts with the topic."""
        return self.share * self.n_texts

    @property
    def n_low(self) -> int:
        """The lower end of the interval of the number."""
        return math.floor(self.interval.low * self.n_texts + 1e-9)

    @property
    def n_high(self) -> int:
        """The upper end of the interval of the number."""
        return math.ceil(self.interval.high * self.n_texts - 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON and tables."""
        return {
            "topic": self.topic,
            "share": self.share,
            "low": self.interval.low,
            "high": self.interval.high,
            "number": self.n,
            "number_low": self.n_low,
            "number_high": self.n_high,
            "answers": self.n_answers,
            "method": self.method,
        }


class GroupCount(NamedTuple):
    """The counts of a group of texts.

    Attributes
    ----------
    name : str
        The name of the group; empty for all texts.
    n_texts : int
    topics : tuple of TopicCount
        In the order of the model's topics.
    """

    name: str
    n_texts: int
    topics: tuple[TopicCount, ...]

    @property
    def is_by_model(self) -> bool:
        """Whether no label was used."""
        return all(topic.method == "model" for topic in self.topics)

    def restrict(self, topics: Sequence[str]) -> GroupCount:
        """Return the counts of some topics."""
        return self._replace(topics=tuple(count for count in self.topics if count.topic in topics))

    def by_share(self) -> list[TopicCount]:
        """Return the topics, the most common first."""
        return sorted(self.topics, key=lambda count: -count.share)


class Change(NamedTuple):
    """A difference between the shares of a topic in two groups.

    Attributes
    ----------
    topic, before, after : str
        The topic and the names of the groups.
    difference : float
        The share afterwards minus the share before.
    interval : Interval
        The 95 % interval of the difference.
    p_value : float
        Adjusted for the number of all changes, by Holm's method.
    basis : {"", "by the model", "by labels"}
        What the difference was estimated from; empty without labels.
    """

    topic: str
    before: str
    after: str
    difference: float
    interval: Interval
    p_value: float
    basis: Basis = ""

    @property
    def is_significant(self) -> bool:
        """Whether the change is more than chance."""
        return self.p_value < 0.05

    def describe(self) -> str:
        """Return a sentence."""
        verb = "rose" if self.difference > 0 else "fell"
        low, high = sorted(abs(end) for end in self.interval)
        basis = f", {self.basis}" if self.basis else ""
        return (
            f"{self.topic} {verb} by {100 * abs(self.difference):.1f} points from {self.before} to "
            f"{self.after} (95 % interval {100 * low:.1f} to {100 * high:.1f}{basis})"
        )


class LabelPlan(NamedTuple):
    """How many random texts to label for an interval of a width.

    Attributes
    ----------
    margin : float
        Half the width of the interval.
    n_texts : int
        Number of texts to label, so that no topic has a wider interval.
    topic : str
        The topic that needs them.
    n_without_model : int
        Number of texts to label if the model's answers are not used.
    """

    margin: float
    n_texts: int
    topic: str
    n_without_model: int

    def describe(self) -> str:
        """Return a sentence."""
        return (
            f"To know each share to within {100 * self.margin:g} points either way (95 % "
            f"interval), label {counted(self.n_texts, 'text')} drawn at random; {self.topic} needs "
            f"the most. Without the model, it would be {self.n_without_model:,}."
        )


@dataclass(frozen=True)
class Counts:
    """How many texts have each topic.

    Attributes
    ----------
    name : str
        The name of the texts' source.
    total : GroupCount
        The counts of all texts.
    groups : tuple of GroupCount
        The counts by group, in order; empty if texts were not grouped.
    column : str or None
        The column of the groups, or the name of the period.
    is_time : bool
        Whether groups are periods.
    changes : tuple of Change
        All changes that were tested, the smallest p-value first.
    concerns : tuple of str
        Sentences that say why the counts may be wrong.
    n_bad, n_undated : int
        Number of rows that were left out because they have no text, or no date.
    n_labelled : int
        Number of labelled texts that were used.
    plan : LabelPlan or None
    multilabel : bool
        Whether a text may have several topics, so that shares don't sum to 1.
    """

    name: str
    total: GroupCount
    groups: tuple[GroupCount, ...] = ()
    column: str | None = None
    is_time: bool = False
    changes: tuple[Change, ...] = ()
    concerns: tuple[str, ...] = ()
    n_bad: int = 0
    n_undated: int = 0
    n_labelled: int = 0
    plan: LabelPlan | None = None
    multilabel: bool = False

    @property
    def n_texts(self) -> int:
        """Number of texts."""
        return self.total.n_texts

    @property
    def significant_changes(self) -> tuple[Change, ...]:
        """The changes that are more than chance."""
        return tuple(change for change in self.changes if change.is_significant)

    @property
    def n_left_out(self) -> int:
        """Number of rows that were not counted."""
        return self.n_bad + self.n_undated

    def restrict(self, topics: Sequence[str]) -> Counts:
        """Return the counts of some topics; OptionError for an unknown one."""
        if not topics:
            return self
        check_topics(topics, [count.topic for count in self.total.topics])
        return replace(
            self,
            total=self.total.restrict(topics),
            groups=tuple(group.restrict(topics) for group in self.groups),
            changes=tuple(change for change in self.changes if change.topic in topics),
        )

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each topic; if texts are grouped, of each group, and then of all."""
        if not self.groups:
            return [count.to_dict() for count in self.total.topics]
        column = self.column or "group"
        return [
            {column: group.name, "texts": group.n_texts, **count.to_dict()}
            for group in (*self.groups, self.total._replace(name=ALL))
            for count in group.topics
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {
            "name": self.name,
            "n_texts": self.n_texts,
            "n_bad": self.n_bad,
            "n_undated": self.n_undated,
            "n_labelled": self.n_labelled,
            "multilabel": self.multilabel,
            "topics": [count.to_dict() for count in self.total.topics],
            "by": self.column,
            "groups": [
                {
                    "name": group.name,
                    "n_texts": group.n_texts,
                    "topics": [count.to_dict() for count in group.topics],
                }
                for group in self.groups
            ],
            "changes": [
                {
                    "topic": change.topic,
                    "before": change.before,
                    "after": change.after,
                    "difference": change.difference,
                    "low": change.interval.low,
                    "high": change.interval.high,
                    "p_value": change.p_value,
                }
                for change in self.changes
            ],
            "concerns": [*self.concerns],
            "plan": None if self.plan is None else self.plan._asdict(),
        }


def check_topics(topics: Sequence[str], known: Sequence[str]) -> None:
    """Raise OptionError if one of the topics to show is unknown."""
    for topic in topics:
        if topic not in known:
            raise OptionError(
                Parameter("topic"),
                f" {short_repr(topic)} is no topic; the topics are {join_words(known)}.",
            )


def format_share(count: TopicCount) -> str:
    """Return a share with its interval, such as "12.3 % (10.1 to 14.5)"."""
    low, high = count.interval
    return f"{percent(count.share)} ({100 * low:.1f} to {100 * high:.1f})"


def describe_left_out(counts: Counts) -> str:
    """Return how many rows were not counted, and why; empty if all were."""
    parts = [
        f"{counted(n, 'row')} without a {what}"
        for n, what in ((counts.n_bad, "text"), (counts.n_undated, "date"))
        if n
    ]
    return f"left out {' and '.join(parts)}" if parts else ""
