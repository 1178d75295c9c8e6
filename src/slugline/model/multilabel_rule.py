"""Decides which topics to give to a document in multilabel models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from slugline.base.arrays import F32, Count, Mask
from slugline.base.checks import is_number, option_error, short_repr
from slugline.base.wording import nearest
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.layout import check_separator
from slugline.corpus.topic_sets import parent_of
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.calibration import log_odds, softmax
from slugline.learning.labels import Labels

#: The F1 that thresholds maximize: of all decisions together, or the mean over topics or documents.
Average: TypeAlias = Literal["micro", "macro", "samples"]
AVERAGES: tuple[Average, ...] = get_args(Average)
#: Pairs of columns: a topic, and its parent, which is further left.
Parents: TypeAlias = tuple[tuple[Count, Count], ...]


@dataclass(frozen=True, slots=True, eq=False)
class MultilabelRule:
    """The rule that decides which topics to give, based on their probabilities.

    Attributes
    ----------
    thresholds : float32 array, shape (n_topics,)
        The lowest probability at which each topic is given.
    at_least_one : bool
        True if a document gets its most likely topic when no topic reaches its threshold. Set if
        all training documents have a topic, or enough of them that F1 is higher this way.
    max_topics : int
        Maximum number of topics of a training document.
    average : {"micro", "macro", "samples"}
        The F1 that thresholds maximize.
    as_indicator : bool
        True if predictions are an indicator array, like the topics of training documents.
    separator : str or None
        The separator in topics that are paths; None if topics are not paths.
    parents : tuple of (int, int)
        The column of each topic with a parent, and the column of its parent, which comes earlier.
    path_ends : tuple of int
        Columns of the topics at which paths end if every training document has one path, else
        empty. If set, each document gets the most likely path, and thresholds only matter with a
        required precision.
    manual_thresholds : tuple of int
        Columns of topics whose threshold was set by a user.
    """

    thresholds: F32 = field(repr=False)
    at_least_one: bool
    max_topics: Count
    average: Average = "micro"
    as_indicator: bool = False
    separator: str | None = None
    parents: Parents = ()
    path_ends: tuple[Count, ...] = ()
    manual_thresholds: tuple[Count, ...] = ()

    def with_thresholds(self, thresholds: F32) -> MultilabelRule:
        """Return this rule with other thresholds."""
        return replace(self, thresholds=thresholds)

    def describe_number(self) -> str:
        """Describe the possible number of topics of a text."""
        return "one path of topics" if self.path_ends else "one or several topics"

    @property
    def usual_thresholds(self) -> F32 | None:
        """Thresholds without a required precision; None if the most likely path is assigned."""
        return None if self.path_ends else self.thresholds

    @property
    def max_given(self) -> int:
        """Maximum number of topics to give before the model is unsure of a document."""
        return 2 * max(self.max_topics, 1)

    def decide(self, proba: F32) -> Mask:
        """Return a mask of each document's topics, shape (n_documents, n_topics)."""
        if self.path_ends:
            return self._most_likely_path(proba)
        mask: Mask = proba >= self.thresholds
        if self.at_least_one:
            empty = np.flatnonzero(~mask.any(axis=1))
            mask[empty, proba[empty].argmax(axis=1)] = True
        return mask

    def is_surely_none(self, proba: F32, precision: float) -> Mask:
        """Return a mask of documents without topics with a probability of at least `precision`.

        Topics are assumed to be independent. If every document has a topic, the mask is all False.
        """
        none: Mask = (1 - proba.astype(np.float64)).prod(axis=1) >= precision
        return none & (not self.at_least_one)

    def raise_to_parents(self, thresholds: F32) -> F32:
        """Raise each threshold to at least the threshold of the topic's parent.

        No topic is more likely than its parent, so none is given without its parent.
        """
        thresholds = thresholds.copy()
        for topic, parent in self.parents:
            thresholds[topic] = max(thresholds[topic], thresholds[parent])
        return thresholds

    def decide_by(self, thresholds: F32, proba: F32) -> Mask:
        """Return a mask of the topics that reach thresholds, shape (n_documents, n_topics).

        If documents have one path, only topics on the path of likeliest siblings are given.
        """
        return (proba >= thresholds) & self.likeliest_siblings(proba)

    def likeliest_siblings(self, proba: F32) -> Mask:
        """Return a mask of the topics on the path that follows the likeliest topic at each depth.

        If documents may have several paths, the mask is all True.
        """
        mask = np.ones(proba.shape, dtype=bool)
        if not self.path_ends:
            return mask
        parent_of_topic = dict(self.parents)
        siblings: dict[int, list[int]] = {}
        for topic in range(proba.shape[1]):
            siblings.setdefault(parent_of_topic.get(topic, -1), []).append(topic)
        for parent, topics in siblings.items():  # parents are further left
            best = proba[:, topics].argmax(axis=1)
            mask[:, topics] = best[:, np.newaxis] == np.arange(len(topics))
            if parent >= 0:
                mask[:, topics] &= mask[:, parent, np.newaxis]
        return mask

    def _most_likely_path(self, proba: F32) -> Mask:
        """Return a mask of the topics on the most likely path of each document."""
        mask = np.zeros(proba.shape, dtype=bool)
        ends = np.array(self.path_ends)
        mask[np.arange(len(proba)), ends[self.end_proba(proba).argmax(axis=1)]] = True
        for topic, parent in reversed(self.parents):
            mask[:, parent] |= mask[:, topic]
        return mask

    def end_proba(self, proba: F32) -> F32:
        """Return the probability that a document's path ends at each of `path_ends`."""
        at_end = proba.copy()
        for topic, parent in self.parents:
            at_end[:, parent] -= proba[:, topic]
        return at_end[:, self.path_ends]

    def make_consistent(self, proba: F32) -> F32:
        """Lower probabilities in place so that no topic exceeds its parent, and return them.

        If documents have one path, the probabilities of path ends are normalized to a distribution,
        and each other topic gets the sum of the topics below it.
        """
        if self.path_ends:
            proba[:] = self._path_proba(proba)
            return proba
        for topic, parent in self.parents:
            np.minimum(proba[:, topic], proba[:, parent], out=proba[:, topic])
        return proba

    def _path_proba(self, proba: F32) -> F32:
        """Return the probabilities of independent topics, given that exactly one path is true.

        If exactly one of several independent events happens, the probability of each is
        proportional to its odds.
        """
        at_end = proba.copy()
        for topic, parent in self.parents:
            at_end[:, parent] *= 1 - proba[:, topic]
        paths = np.zeros_like(proba)
        paths[:, self.path_ends] = softmax(log_odds(at_end[:, self.path_ends]))
        for topic, parent in reversed(self.parents):
            paths[:, parent] += paths[:, topic]
        return np.minimum(paths, 1, out=paths)  # may exceed 1 by rounding

    def deepest(self, mask: Mask) -> Mask:
        """Return a mask of the given topics without given subtopics."""
        deepest = mask.copy()
        for topic, parent in self.parents:
            deepest[:, parent] &= ~mask[:, topic]
        return deepest

    def check(self, topics: Sequence[Topic]) -> None:
        """Raise DataError unless the rule, possibly from an untrusted file, fits the topics."""
        n_topics = len(topics)
        check_separator("topic_path", self.separator)
        if self.parents != find_parents(topics, self.separator):
            raise DataError("the parents of topics don't match their names")
        in_range = (self.thresholds > 0) & (self.thresholds <= 1)
        if self.thresholds.shape != (n_topics,) or not in_range.all():
            raise DataError("thresholds don't match the topics, or are not probabilities")
        if (self.raise_to_parents(self.thresholds) != self.thresholds).any():
            raise DataError("a topic's threshold is below its parent's")
        if not all(end < n_topics for end in self.path_ends) or len({*self.path_ends}) < len(
            self.path_ends
        ):
            raise DataError("paths end at unknown or duplicate topics")
        if not all(topic < n_topics for topic in self.manual_thresholds):
            raise DataError("a threshold was set by hand for an unknown topic")


def find_parents(names: Sequence[Topic], separator: str | None) -> Parents:
    """Compute `MultilabelRule.parents` for these topics; empty without a separator.

    >>> find_parents(["arts", "sport", "sport/football"], "/")
    ((2, 1),)
    """
    column = {name: number for number, name in enumerate(names)} if separator else {}
    pairs = [(n, column.get(parent_of(name, str(separator)), n)) for name, n in column.items()]
    return tuple((number, parent) for number, parent in pairs if parent < number)


def find_path_ends(labels: Labels, n_topics: int, parents: Parents) -> tuple[int, ...]:
    """Compute `MultilabelRule.path_ends` for these documents.

    Parameters
    ----------
    labels : Labels
        Topics of documents, including all parents.
    n_topics : int
    parents : tuple of (int, int)
        See `MultilabelRule`.

    >>> one_path_each = Labels(np.array([0, 1, 2]), np.array([0, 1, 3]), multilabel=True)
    >>> find_path_ends(one_path_each, 3, ((2, 1),))
    (0, 2)
    >>> two_paths = Labels(np.array([0, 1, 2, 1, 2]), np.array([0, 3, 5]), multilabel=True)
    >>> find_path_ends(two_paths, 3, ((2, 1),))
    ()
    """
    sizes = labels.n_each
    if not parents or not len(sizes) or not sizes.min():
        return ()
    depths = np.ones(n_topics, dtype=np.int64)
    for topic, parent in parents:
        depths[topic] = depths[parent] + 1
    # A document has one path if the depth of its deepest topic equals its number of topics.
    depths_of_documents = depths[labels.topics]
    deepest = np.maximum.reduceat(depths_of_documents, labels.starts[:-1])
    if (deepest != sizes).any():
        return ()
    is_end = depths_of_documents == np.repeat(sizes, sizes)
    return tuple(np.unique(labels.topics[is_end]).tolist())


# Thresholds set by a user -------------------------------------------------------------------------


def check_thresholds(thresholds: object, name: str = "thresholds") -> None:
    """Raise OptionError unless topics are mapped to probabilities over 0 and up to 1."""
    if not isinstance(thresholds, Mapping):
        raise option_error(name, thresholds, "a probability for each topic: {'grain': 0.7}")
    for topic, threshold in thresholds.items():
        if not is_number(threshold) or not 0 < threshold <= 1:
            raise OptionError(
                Parameter(name),
                f" has {short_repr(threshold)} for {short_repr(topic)}; give a probability "
                "over 0 and up to 1.",
            )


def _threshold_columns(topics: Topics, thresholds: Mapping[Any, float]) -> dict[int, float]:
    """Return thresholds by column; raise OptionError if a topic doesn't exist."""
    check_thresholds(thresholds)
    names = topics.names
    if unknown := [topic for topic in thresholds if topic not in names]:
        near = nearest(str(unknown[0]), [str(name) for name in names], 0.5)
        advice = f"it has {short_repr(names)}" if near is None else f"did you mean {near!r}?"
        raise OptionError(
            Parameter("thresholds"),
            f" has {short_repr(unknown[0])}, which is not a topic of the model; {advice}",
        )
    return {names.index(topic): value for topic, value in thresholds.items()}


def check_own_thresholds(
    topics: Topics, thresholds: Mapping[Any, float], *, multilabel: bool
) -> None:
    """Raise OptionError for thresholds of unknown topics or for single-label texts."""
    if thresholds and not multilabel:
        raise OptionError(
            Parameter("thresholds"),
            " require multi-label texts, and these are single-label; leave them out.",
        )
    _threshold_columns(topics, thresholds)


def with_own_thresholds(
    rule: MultilabelRule, topics: Topics, thresholds: Mapping[Any, float]
) -> MultilabelRule:
    """Return the rule with user-defined thresholds for some topics.

    Other subtopics have their thresholds raised to at least the threshold of their parent.

    Raises
    ------
    OptionError : if the rule needs no thresholds, a topic doesn't exist, or a threshold is not a
        probability or is below the threshold of the topic's parent.
    """
    if not thresholds:
        return rule
    if rule.path_ends:
        raise OptionError(
            Parameter("thresholds"),
            " have no effect: each training document has one path, so each text gets its most "
            "likely path; leave them out.",
        )
    names, by_column = topics.names, _threshold_columns(topics, thresholds)
    values = rule.thresholds.copy()
    values[[*by_column]] = [*by_column.values()]
    raised = rule.raise_to_parents(values)
    for topic, parent in rule.parents:
        if topic in by_column and raised[topic] > values[topic]:
            raise OptionError(
                Parameter("thresholds"),
                f" has {values[topic]:g} for {short_repr(names[topic])}, under the "
                f"{raised[parent]:g} of its parent {short_repr(names[parent])}; topics are never "
                "given without their parents, so raise it, or lower the parent's.",
            )
    manual = tuple(sorted({*rule.manual_thresholds, *by_column}))
    return replace(rule, thresholds=raised, manual_thresholds=manual)
