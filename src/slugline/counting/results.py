"""Results of counting: shares of topics with intervals, by group, and changes between groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words, nearest, percent
from slugline.errors import OptionError, Parameter
from slugline.evaluation.intervals import Interval

#: Basis of an estimate: the model's corrected probabilities, labels of some texts, or both; or no
#: estimate.
Method = Literal["model", "labels and model", "labels", "none"]
#: The name of all groups together in tables.
ALL = "(all)"
#: Basis of a change; empty without labels.
Basis = Literal["", "by the model", "by labels"]
# Maximum number of topics listed in a message.
_MAX_NAMED = 30
# Maximum number of groups listed in a message on comparisons.
_MAX_COMPARED = 5


class TopicCount(NamedTuple):
    """Estimated number of texts with a topic.

    Attributes
    ----------
    topic : str
    share : float
        Estimated share of the texts, or NaN.
    interval : Interval
        95 % interval of the share.
    n_texts : int
        Number of texts with and without the topic.
    n_answers : int or None
        Number of texts assigned to the topic: as the most likely one or, in multi-label models,
        with a probability of at least one half; None if the model doesn't have the topic.
    method : {"model", "labels and model", "labels", "none"}
    n_labels : int, default 0
        Number of labels, with and without the topic, used for the estimate.
    """

    topic: str
    share: float
    interval: Interval
    n_texts: int
    n_answers: int | None
    method: Method = "model"
    n_labels: int = 0

    @classmethod
    def unknown(cls, topic: str, n_texts: int, n_answers: int | None) -> TopicCount:
        """Return the count of a topic whose share can't be estimated."""
        return cls(topic, math.nan, Interval(0.0, 1.0), n_texts, n_answers, "none")

    @property
    def is_estimated(self) -> bool:
        """True if the share is estimated."""
        return self.method != "none"

    @property
    def n(self) -> float:
        """Estimated number of texts with the topic."""
        return self.share * self.n_texts

    @property
    def n_low(self) -> int:
        """Lower end of the interval of the number."""
        return math.floor(self.interval.low * self.n_texts + 1e-9)

    @property
    def n_high(self) -> int:
        """Upper end of the interval of the number."""
        return math.ceil(self.interval.high * self.n_texts - 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON and tables; numbers are None without an estimate."""
        estimates = {
            "share": self.share,
            "low": self.interval.low,
            "high": self.interval.high,
            "number": self.n,
            "number_low": self.n_low,
            "number_high": self.n_high,
        }
        return {
            "topic": self.topic,
            **(estimates if self.is_estimated else dict.fromkeys(estimates)),
            "answers": self.n_answers,
            "labels": self.n_labels,
            "method": self.method,
        }


class GroupCount(NamedTuple):
    """Counts of a group of texts.

    Attributes
    ----------
    name : str
        Name of the group; empty for all texts.
    n_texts : int
    topics : tuple of TopicCount
        In the order of the model's topics.
    """

    name: str
    n_texts: int
    topics: tuple[TopicCount, ...]

    @property
    def is_estimated(self) -> bool:
        """True if there are estimates."""
        return any(topic.is_estimated for topic in self.topics)

    @property
    def is_by_model(self) -> bool:
        """True if no label was used."""
        return all(topic.method == "model" for topic in self.topics)

    @property
    def method(self) -> Method:
        """Basis of the estimates; "labels and model" if topics differ."""
        methods = {topic.method for topic in self.topics}
        return methods.pop() if len(methods) == 1 else "labels and model"

    @property
    def n_labels(self) -> int:
        """Number of labels used."""
        return max((topic.n_labels for topic in self.topics), default=0)

    @property
    def widest_margin(self) -> float:
        """Largest margin of error of an estimated share, or 0."""
        widths = (t.interval.high - t.interval.low for t in self.topics if t.is_estimated)
        return max(widths, default=0.0) / 2

    def find(self, name: str) -> TopicCount:
        """Return the count of a topic, without an estimate if the group doesn't have it."""
        found = (topic for topic in self.topics if topic.topic == name)
        return next(found, TopicCount.unknown(name, self.n_texts, None))

    def restrict(self, topics: Sequence[str]) -> GroupCount:
        """Return the counts of `topics`, or of all topics if empty."""
        if not topics:
            return self
        return self._replace(topics=tuple(count for count in self.topics if count.topic in topics))

    def by_share(self) -> list[TopicCount]:
        """Return the topics, most common first."""
        return sorted(self.topics, key=lambda count: -count.share if count.is_estimated else 0.0)


class Change(NamedTuple):
    """A difference between the shares of a topic in two groups.

    Attributes
    ----------
    topic, before, after : str
        Topic and names of the groups.
    difference : float
        Share afterwards minus share before.
    interval : Interval
        95 % interval of the difference.
    p_value : float
        Adjusted for the number of tested changes by Holm's method.
    basis : {"", "by the model", "by labels"}
        Basis of the difference; empty without labels.
    is_time : bool
        True if the groups are periods.
    is_lasting : bool
        True if all periods up to `before` are compared with all periods from `after` on.
    """

    topic: str
    before: str
    after: str
    difference: float
    interval: Interval
    p_value: float
    basis: Basis = ""
    is_time: bool = True
    is_lasting: bool = False

    @property
    def is_significant(self) -> bool:
        """True if the adjusted p-value is below 5 %."""
        return self.p_value < 0.05

    def describe(self) -> str:
        """Return the change as a sentence."""
        sign = 1 if self.difference > 0 else -1
        low, high = sorted(sign * end for end in self.interval)
        basis = f", {self.basis}" if self.basis else ""
        points = f"{100 * abs(self.difference):.1f} points"
        interval = f"(95 % interval {100 * low:.1f} to {100 * high:.1f}{basis})"
        if not self.is_time:
            where = "higher" if sign > 0 else "lower"
            return (
                f"The share of {self.topic} is {points} {where} in {self.after} than in "
                f"{self.before} {interval}"
            )
        if self.is_lasting:
            where = "higher" if sign > 0 else "lower"
            return (
                f"From {self.after} on, the share of {self.topic} is {points} {where} than before "
                f"{interval}"
            )
        verb = "rose" if sign > 0 else "fell"
        return f"{self.topic} {verb} by {points} from {self.before} to {self.after} {interval}"


class LabelPlan(NamedTuple):
    """Number of random texts to label to halve the widest interval.

    Attributes
    ----------
    n_texts : int
        Number of texts to label to halve the widest interval of all texts.
    n_labelled : int
        Number of labelled texts.
    n_by_group : int
        Number of texts to label in each group to halve the widest interval of the groups; 0 without
        groups.
    column : str
        Name of the grouping column, or empty.
    """

    n_texts: int
    n_labelled: int = 0
    n_by_group: int = 0
    column: str = ""

    def describe(self) -> str:
        """Return the plan as a sentence."""
        n_missing = max(self.n_texts - self.n_labelled, 0)
        more = " more" if self.n_labelled else ""
        number = f"about {_round(n_missing)}{more} texts drawn at random"
        by_group = ""
        if self.n_by_group:
            by_group = f"; for each {self.column}, about {_round(self.n_by_group)} of its texts"
        return f"To halve the widest interval, label {number}{by_group}."


def _round(n: int) -> str:
    """Format a number with two significant digits."""
    return f"{float(f'{n:.2g}'):,.0f}"


@dataclass(frozen=True)
class Counts:
    """Estimated number of texts with each topic.

    Attributes
    ----------
    name : str
        Name of the source.
    total : GroupCount
        Counts of all texts.
    groups : tuple of GroupCount
        Counts by group, in order; empty if texts are not grouped.
    column : str or None
        Grouping column, or the name of the period.
    is_time : bool
        True if the groups are periods.
    changes : tuple of Change
        All tested changes, smallest p-value first.
    concerns : tuple of str
        Reasons why the counts may be wrong, as sentences.
    n_bad, n_undated : int
        Number of rows ignored because they have no text, or no date.
    n_labelled : int
        Number of labelled texts used.
    plan : LabelPlan or None
    multilabel : bool
        True for multi-label models, whose shares don't sum to 1.
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
        """Significant changes, with at most one lasting change per topic.

        If a lasting change and a change between periods have the same two periods, only the more
        significant one is kept.
        """
        shown: list[Change] = []
        for change in self.changes:
            is_repeated = any(
                change.topic == each.topic
                and (
                    (change.is_lasting and each.is_lasting)
                    or (change.before, change.after) == (each.before, each.after)
                )
                for each in shown
            )
            if change.is_significant and not is_repeated:
                shown.append(change)
        return tuple(shown)

    @property
    def change_noun(self) -> str:
        """Word for a change between periods, or a difference between other groups."""
        return "change" if self.is_time else "difference"

    def restrict(self, topics: Sequence[str]) -> Counts:
        """Return the counts of some topics; raise OptionError for an unknown topic."""
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
        """Return a row per topic; if texts are grouped, a row per group and topic, totals last."""
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
                    "lasting": change.is_lasting,
                    "basis": change.basis or None,
                }
                for change in self.changes
            ],
            "concerns": [*self.concerns],
            "plan": None if self.plan is None else self.plan._asdict(),
        }


def check_topics(topics: Sequence[str], known: Sequence[str]) -> None:
    """Raise OptionError if one of `topics` is unknown."""
    for topic in topics:
        if topic not in known:
            near = nearest(topic, known)
            advice = f"the topics are {join_words(known, _MAX_NAMED)}."
            if near is not None:
                advice = f"did you mean {short_repr(near)}?"
            raise OptionError(Parameter("topic"), f" {short_repr(topic)} is unknown; {advice}")


def format_share(count: TopicCount) -> str:
    """Return a share with its interval, such as "12.3 % (10.1 to 14.5)"."""
    low, high = count.interval
    return f"{percent(count.share)} ({100 * low:.1f} to {100 * high:.1f})"


def describe_method(count: TopicCount | GroupCount) -> str:
    """Return the basis of an estimate, such as "17 labels and model"."""
    return count.method.replace("labels", counted(count.n_labels, "label"), 1)


def describe_tests(counts: Counts) -> str:
    """Return a sentence that no change is significant, and which groups were compared.

    Empty if a change is significant, or if there are fewer than two groups.
    """
    if counts.significant_changes or len(counts.groups) < 2:
        return ""
    noun = counts.change_noun
    compared = {name for change in counts.changes for name in (change.before, change.after)}
    if not compared:
        return f"No {noun} was tested."
    if len(compared) == len(counts.groups):
        return f"No {noun} is significant."
    names = [group.name for group in counts.groups if group.name in compared]
    unit = counts.column if counts.is_time and counts.column else "group"
    return (
        f"No {noun} is significant between {join_words(names, _MAX_COMPARED)}; "
        f"{counted(len(counts.groups) - len(names), unit)} could not be compared."
    )


def describe_left_out(counts: Counts) -> str:
    """Return the number of rows not counted and the reason, or an empty string."""
    ignored = describe_ignored(counts.n_bad, counts.n_undated)
    return f"ignored {ignored}" if ignored else ""


def describe_ignored(n_bad: int, n_undated: int) -> str:
    """Return the numbers of rows without a text and without a date, or an empty string."""
    parts = [
        f"{counted(n, 'row')} without a {what}"
        for n, what in ((n_bad, "text"), (n_undated, "date"))
        if n
    ]
    return " and ".join(parts)
