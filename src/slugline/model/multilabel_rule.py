"""Decides which topics to give to a document that may have several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from slugline.base.arrays import F32, F64, I64, Mask
from slugline.base.checks import is_number, option_error, short_repr
from slugline.base.wording import nearest
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.topic_sets import parent_of
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.calibration import log_odds, softmax
from slugline.learning.labels import Labels

#: The F1 that thresholds maximize: of all decisions together, or the mean over topics or documents.
Average: TypeAlias = Literal["micro", "macro", "samples"]
AVERAGES: tuple[Average, ...] = get_args(Average)
#: Pairs of columns: that of a topic with a parent, and that of its parent, which is further left.
Parents: TypeAlias = tuple[tuple[int, int], ...]
# Thresholds are shrunk: with `_PRIOR_DOCUMENTS` true topics, the common threshold counts as much as
# the usual one, and with `_PRIOR_OF_TOPIC` documents, a topic's own threshold as much as the common
# one. Chosen on training splits, like the thresholds that are tried.
_PRIOR_DOCUMENTS = 20
_PRIOR_OF_TOPIC = {"micro": 50, "macro": 20, "samples": 50}
# If at least this fraction of documents has a topic, documents without topics are exceptions.
_NEARLY_ALL = 0.98
#: The threshold if there are no held-out documents.
USUAL_THRESHOLD = 0.5
# Averages that differ by less than this are considered equal.
_ROUNDING = 1e-12
_TRIED = np.arange(0.2, 0.81, 0.025, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class MultilabelRule:
    """The rule that decides which topics to give, based on their probabilities.

    Attributes
    ----------
    thresholds : float32 array, shape (n_topics,)
        The lowest probability at which each topic is given.
    at_least_one : bool
        Whether a document gets its most likely topic if no topic reaches its threshold. True if all
        training documents have a topic, or so many have one that F1 is higher this way.
    most : int
        The largest number of topics of a training document.
    average : {"micro", "macro", "samples"}
        The F1 that thresholds maximize.
    as_indicator : bool
        Whether predictions are an indicator array, as the topics of training documents were.
    separator : str or None
        The separator in topics that are paths; None if topics are not paths.
    parents : tuple of (int, int)
        The column of each topic with a parent, and the column of its parent, which comes earlier.
    ends : tuple of int
        The columns of the topics at which paths end if every training document has one path; else
        empty. Each document is then given the most likely path, and thresholds only matter if a
        precision is asked for.
    by_hand : tuple of int
        The columns of topics whose threshold a user set.
    """

    thresholds: F32 = field(repr=False)
    at_least_one: bool
    most: int
    average: Average = "micro"
    as_indicator: bool = False
    separator: str | None = None
    parents: Parents = ()
    ends: tuple[int, ...] = ()
    by_hand: tuple[int, ...] = ()

    @classmethod
    def from_proba(
        cls,
        proba: F32,
        y: F32,
        sizes: I64,
        average: Average,
        parents: Parents = (),
        ends: tuple[int, ...] = (),
    ) -> MultilabelRule:
        """Choose thresholds by held-out predictions.

        First, a common threshold is chosen that maximizes the average F1. Then each topic's own
        threshold is chosen to maximize the same average, given the thresholds of the other topics,
        and is shrunk towards the common one; the fewer documents the topic has, the more. If all
        documents have a topic, the most likely topic is always given, so that higher thresholds are
        best.

        Parameters
        ----------
        proba, y : float32 array, shape (n_heldout, n_topics)
            Probabilities, and 1 for each topic of a document.
        sizes : int array, shape (n_documents,)
            Number of topics of each training document.
        average : {"micro", "macro", "samples"}
        parents : tuple of (int, int), optional
        ends : tuple of int, optional
            See `MultilabelRule`; `proba` then follows the parents, in place.

        References
        ----------
        Fan and Lin (2007), A study on threshold selection for multi-label classification: one topic
        after the other. Lewis, Yang, Rose and Li (2004), RCV1: thresholds of rare topics overfit.
        """
        rule = cls(
            np.full(proba.shape[1], USUAL_THRESHOLD, dtype=np.float32),
            len(sizes) > 0 and bool(sizes.min()),
            int(sizes.max(initial=0)),
            average,
            parents=parents,
            ends=ends,
        )
        if ends or not y.any():
            return rule
        proba = rule.make_consistent(proba)
        is_topic = y > 0
        _, best = rule.best_common_threshold(proba, is_topic)
        share = _share(is_topic.sum())
        common = best.with_thresholds(share * best.thresholds + (1 - share) * rule.thresholds)
        return common.with_thresholds(
            rule.raise_to_parents(_thresholds_by_topic(common, proba, is_topic))
        )

    def best_common_threshold(self, proba: F32, y: Mask) -> tuple[float, MultilabelRule]:
        """Return the highest average F1 with one threshold for all topics, and the rule with it."""
        if self.ends:
            return _average_f1(self.decide(proba), y, self.average), self
        choices = [True] if self.at_least_one else [False, True]
        if y.any(axis=1).mean() > _NEARLY_ALL:
            choices.reverse()  # the first of equally good ones
        rules = [
            replace(self, at_least_one=always, thresholds=np.full_like(self.thresholds, threshold))
            for always in choices
            for threshold in _TRIED
        ]
        pairs = ((_average_f1(rule.decide(proba), y, self.average), rule) for rule in rules)
        return max(pairs, key=lambda pair: pair[0])

    def with_thresholds(self, thresholds: F32) -> MultilabelRule:
        """Return this rule with other thresholds."""
        return replace(self, thresholds=thresholds)

    def describe_number(self) -> str:
        """Return a phrase for the number of topics that a text may get."""
        return "one path of topics" if self.ends else "one or several topics"

    @property
    def usual_thresholds(self) -> F32 | None:
        """The thresholds without a precision; None if texts get their most likely path."""
        return None if self.ends else self.thresholds

    @property
    def most_given(self) -> int:
        """The largest number of given topics at which the model is not yet unsure of a document."""
        return 2 * max(self.most, 1)

    def decide(self, proba: F32) -> Mask:
        """Return a mask of the topics that each document gets, shape (n_documents, n_topics)."""
        if self.ends:
            return self._most_likely_path(proba)
        mask: Mask = proba >= self.thresholds
        if self.at_least_one:
            empty = np.flatnonzero(~mask.any(axis=1))
            mask[empty, proba[empty].argmax(axis=1)] = True
        return mask

    def is_surely_none(self, proba: F32, precision: float) -> Mask:
        """Return a mask of documents that have no topic with a probability of at least `precision`.

        Topics are taken as independent. If every document has a topic, the mask is all False.
        """
        none: Mask = (1 - proba.astype(np.float64)).prod(axis=1) >= precision
        return none & (not self.at_least_one)

    def raise_to_parents(self, thresholds: F32) -> F32:
        """Return the thresholds, each raised to at least that of the topic's parent.

        As no topic is more likely than its parent, no topic is then given without its parent.
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
        if not self.ends:
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
        ends = np.array(self.ends)
        mask[np.arange(len(proba)), ends[self.end_proba(proba).argmax(axis=1)]] = True
        for topic, parent in reversed(self.parents):
            mask[:, parent] |= mask[:, topic]
        return mask

    def end_proba(self, proba: F32) -> F32:
        """Return the probability that a document's path ends at each of `ends`."""
        at_end = proba.copy()
        for topic, parent in self.parents:
            at_end[:, parent] -= proba[:, topic]
        return at_end[:, self.ends]

    def make_consistent(self, proba: F32) -> F32:
        """Lower probabilities in place until no topic is more likely than its parent; return them.

        If documents have one path, the probabilities of the topics at which paths end become a
        distribution, and each other topic gets the sum of the topics under it.
        """
        if self.ends:
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
        paths[:, self.ends] = softmax(log_odds(at_end[:, self.ends]))
        for topic, parent in reversed(self.parents):
            paths[:, parent] += paths[:, topic]
        return np.minimum(paths, 1, out=paths)  # rounding may exceed 1

    def deepest(self, mask: Mask) -> Mask:
        """Return a mask of the given topics that have no given topic under them."""
        deepest = mask.copy()
        for topic, parent in self.parents:
            deepest[:, parent] &= ~mask[:, topic]
        return deepest

    def check(self, n_topics: int) -> None:
        """Raise DataError unless the rule, which may come from any file, fits `n_topics` topics."""
        in_range = (self.thresholds > 0) & (self.thresholds <= 1)
        if self.thresholds.shape != (n_topics,) or not in_range.all():
            raise DataError("thresholds that don't fit the topics, or are not probabilities")
        if (self.raise_to_parents(self.thresholds) != self.thresholds).any():
            raise DataError("a threshold of a topic below that of its parent")
        if not all(end < n_topics for end in self.ends) or len({*self.ends}) < len(self.ends):
            raise DataError("paths that end at topics that don't exist, or twice at the same topic")
        if not all(topic < n_topics for topic in self.by_hand):
            raise DataError("a threshold was set by hand for a topic that doesn't exist")


def find_parents(names: Sequence[Topic], separator: str | None) -> Parents:
    """Return `MultilabelRule.parents` for these topics; empty without a separator.

    >>> find_parents(["arts", "sport", "sport/football"], "/")
    ((2, 1),)
    """
    column = {name: number for number, name in enumerate(names)} if separator else {}
    pairs = [(n, column.get(parent_of(name, str(separator)), n)) for name, n in column.items()]
    return tuple((number, parent) for number, parent in pairs if parent < number)


def find_ends(labels: Labels, n_topics: int, parents: Parents) -> tuple[int, ...]:
    """Return `MultilabelRule.ends` for these documents.

    Parameters
    ----------
    labels : Labels
        The topics of documents, with all parents of each.
    n_topics : int
    parents : tuple of (int, int)
        See `MultilabelRule`.

    >>> one_path_each = Labels(np.array([0, 1, 2]), np.array([0, 1, 3]), multilabel=True)
    >>> find_ends(one_path_each, 3, ((2, 1),))
    (0, 2)
    >>> two_paths = Labels(np.array([0, 1, 2, 1, 2]), np.array([0, 3, 5]), multilabel=True)
    >>> find_ends(two_paths, 3, ((2, 1),))
    ()
    """
    sizes = labels.n_each
    if not parents or not len(sizes) or not sizes.min():
        return ()
    depths = np.ones(n_topics, dtype=np.int64)
    for topic, parent in parents:
        depths[topic] = depths[parent] + 1
    # A document has one path if its deepest topic is as deep as it has topics.
    depths_of_documents = depths[labels.topics]
    deepest = np.maximum.reduceat(depths_of_documents, labels.starts[:-1])
    if (deepest != sizes).any():
        return ()
    is_end = depths_of_documents == np.repeat(sizes, sizes)
    return tuple(np.unique(labels.topics[is_end]).tolist())


def _average_f1(predicted: Mask, y: Mask, average: str) -> float:
    """Return the average F1; that of a document without topics that is given none is 1."""
    axis = {"micro": None, "macro": 0, "samples": 1}[average]
    right, total = (predicted & y).sum(axis), predicted.sum(axis) + y.sum(axis)
    f1: F64 = np.where(total > 0, 2 * right / np.maximum(total, 1), average == "samples")
    return float(f1.mean())


def _share(n_documents: int, n_prior: int = _PRIOR_DOCUMENTS) -> np.float32:
    """Return the weight of a value from `n_documents` documents against its prior value."""
    return np.float32(n_documents / (n_documents + n_prior))


def _thresholds_by_topic(rule: MultilabelRule, proba: F32, y: Mask) -> F32:
    """Return thresholds for the best average F1, each chosen given those of the topics before it.

    This is one pass of coordinate ascent. The macro average is highest if the F1 of each topic is.
    """
    thresholds, likeliest = rule.thresholds.copy(), proba.argmax(axis=1)
    is_likeliest_right = y[np.arange(len(y)), likeliest]
    given = proba >= thresholds
    n_given, n_right = given.sum(axis=1), (given & y).sum(axis=1)
    n_true, is_macro = y.sum(axis=1), rule.average == "macro"
    for topic, n_documents in enumerate(y.sum(axis=0).tolist()):
        of_topic, is_true = proba[:, topic], y[:, topic]
        is_over = of_topic >= thresholds[topic]
        n_others, right_others = n_given - is_over, n_right - (is_over & is_true)
        # The most likely topic is given if no other topic is.
        is_alone = rule.at_least_one & (n_others == 0)
        if is_macro:
            is_alone &= likeliest == topic
            without = _Counts(is_alone & is_true, is_alone, is_true)
            given_too = _Counts(is_true, np.ones_like(is_true), is_true)
        else:
            n_right_alone = is_alone & is_likeliest_right
            without = _Counts(right_others + n_right_alone, n_others + is_alone, n_true)
            given_too = _Counts(right_others + is_true, n_others + 1, n_true)
        # The number of thresholds in `_TRIED` at which the topic is given.
        level = np.searchsorted(_TRIED, of_topic, side="right")
        f1 = _f1_by_threshold(given_too, without, level, by_document=rule.average == "samples")
        best = _TRIED[f1 >= f1.max() - _ROUNDING].mean()
        share = _share(n_documents, _PRIOR_OF_TOPIC[rule.average])
        thresholds[topic] += share * (best - thresholds[topic])
        is_over = of_topic >= thresholds[topic]
        n_given, n_right = n_others + is_over, right_others + (is_over & is_true)
    return thresholds


class _Counts(NamedTuple):
    """Numbers of right, given and true topics of documents: int or bool arrays, (n_documents,)."""

    right: I64 | Mask
    given: I64 | Mask
    true: I64 | Mask

    def f1(self) -> F64:
        """Return the F1 of each document, 2 right / (given + true); 1 if both are 0."""
        total = self.given.astype(np.int64) + self.true
        f1: F64 = np.where(total > 0, 2 * self.right / np.maximum(total, 1), 1.0)
        return f1


def _f1_by_threshold(given: _Counts, without: _Counts, level: I64, *, by_document: bool) -> F64:
    """Return the F1 at each threshold in `_TRIED`, over all decisions or averaged by document.

    `given` and `without` are the counts of each document if it is given the topic or not; it is
    given the topic at the first `level` thresholds.
    """
    if by_document:
        return _sums_by_threshold(given.f1(), without.f1(), level) / len(level)
    pairs = zip(given, without, strict=True)
    sums = (
        _sums_by_threshold(one.astype(np.float64), two.astype(np.float64), level)
        for one, two in pairs
    )
    right, n_given, n_true = sums
    return 2 * right / np.maximum(n_given + n_true, 1)


def _sums_by_threshold(given: F64, without: F64, level: I64) -> F64:
    """Return the sum over documents at each threshold, shape (n_thresholds,)."""
    gains = np.bincount(level, given - without, minlength=len(_TRIED) + 1)
    return without.sum() + gains[::-1].cumsum()[::-1][1:]


# Thresholds that people set -----------------------------------------------------------------------


def check_thresholds(thresholds: object, name: str = "thresholds") -> None:
    """Raise OptionError unless this is a mapping of topics to probabilities over 0, up to 1."""
    if not isinstance(thresholds, Mapping):
        raise option_error(name, thresholds, "a probability for each topic: {'grain': 0.7}")
    for topic, threshold in thresholds.items():
        if not is_number(threshold) or not 0 < threshold <= 1:
            raise OptionError(
                Parameter(name),
                f" has {short_repr(threshold)} for {short_repr(topic)}; give a probability "
                "over 0 and up to 1.",
            )


def threshold_columns(topics: Topics, thresholds: Mapping[Any, float]) -> dict[int, float]:
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
    """Raise OptionError for thresholds of unknown topics, or if each text has one topic."""
    if thresholds and not multilabel:
        raise OptionError(
            Parameter("thresholds"),
            " say which of several topics a text gets, and these texts have one each; "
            "leave it out.",
        )
    threshold_columns(topics, thresholds)


def with_own_thresholds(
    decision: MultilabelRule, topics: Topics, thresholds: Mapping[Any, float]
) -> MultilabelRule:
    """Return the rule with these thresholds for some topics, which a user set.

    The thresholds of subtopics that are not among them are raised to those of their parents.

    Raises
    ------
    OptionError : if the rule needs no thresholds, a topic doesn't exist, or a threshold is not a
        probability, or is below that of the topic's parent.
    """
    if not thresholds:
        return decision
    if decision.ends:
        raise OptionError(
            Parameter("thresholds"),
            " say which of several topics a text gets, and here each text gets its "
            "most likely path, as those that were learned from have one each; leave it out.",
        )
    names, by_column = topics.names, threshold_columns(topics, thresholds)
    values = decision.thresholds.copy()
    values[[*by_column]] = [*by_column.values()]
    raised = decision.raise_to_parents(values)
    for topic, parent in decision.parents:
        if topic in by_column and raised[topic] > values[topic]:
            raise OptionError(
                Parameter("thresholds"),
                f" has {values[topic]:g} for {short_repr(names[topic])}, under the "
                f"{raised[parent]:g} of its parent {short_repr(names[parent])}, without which it "
                "is never given; raise it, or lower that of the parent.",
            )
    by_hand = tuple(sorted({*decision.by_hand, *by_column}))
    return replace(decision, thresholds=raised, by_hand=by_hand)
