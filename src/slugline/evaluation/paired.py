"""Compares two classifiers by their predictions for the same documents."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64, Mask
from slugline.corpus.documents import Topics
from slugline.corpus.topic_sets import is_multilabel
from slugline.errors import DataError
from slugline.evaluation.evaluation import count_by_topic, macro_f1
from slugline.evaluation.intervals import Interval, bootstrap
from slugline.evaluation.multilabel import ResampledF1, count_kinds, equal_rows


@dataclass(frozen=True)
class PairedComparison:
    """The results of two classifiers on the same documents; differences are first minus second.

    If documents have several topics, the accuracy is the exact match.
    """

    # Numbers of documents for which both classifiers, only the first, only the second, and neither
    # are right.
    n_both: int
    n_first: int
    n_second: int
    n_neither: int
    # see `Evaluation`.
    macro_f1_first: float
    macro_f1_second: float
    # 95 % intervals of the differences, by a bootstrap of documents.
    accuracy_interval: Interval
    macro_f1_interval: Interval
    # Only for multilabel documents.
    micro_f1_first: float = math.nan
    micro_f1_second: float = math.nan
    micro_f1_interval: Interval | None = None
    #: Number of documents to which the classifiers give different answers.
    n_different: int = 0

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return self.n_both + self.n_first + self.n_second + self.n_neither

    @property
    def accuracy_first(self) -> float:
        """Accuracy of the first classifier."""
        return (self.n_both + self.n_first) / self.n_documents

    @property
    def accuracy_second(self) -> float:
        """Accuracy of the second classifier."""
        return (self.n_both + self.n_second) / self.n_documents

    @property
    def accuracy_difference(self) -> float:
        """Difference of the accuracies."""
        return (self.n_first - self.n_second) / self.n_documents

    @property
    def macro_f1_difference(self) -> float:
        """Difference of the macro-F1 scores."""
        return self.macro_f1_first - self.macro_f1_second

    @property
    def micro_f1_difference(self) -> float:
        """Difference of the micro-F1 scores."""
        return self.micro_f1_first - self.micro_f1_second

    @property
    def p_value(self) -> float:
        """The p-value of the difference in accuracy; see `mcnemar`."""
        return mcnemar(self.n_first, self.n_second)

    def to_dict(self) -> dict[str, Any]:
        """Return counts, differences and the test as plain data for JSON."""
        micro_f1: dict[str, Any] = {}
        if self.micro_f1_interval is not None:
            micro_f1 = {
                "micro_f1": [self.micro_f1_first, self.micro_f1_second],
                "micro_f1_difference": self.micro_f1_difference,
                "micro_f1_difference_interval": list(self.micro_f1_interval),
            }
        return {
            "n_documents": self.n_documents,
            "n_both_right": self.n_both,
            "n_only_first_right": self.n_first,
            "n_only_second_right": self.n_second,
            "n_neither_right": self.n_neither,
            "n_different": self.n_different,
            "accuracy": [self.accuracy_first, self.accuracy_second],
            "accuracy_difference": self.accuracy_difference,
            "accuracy_difference_interval": list(self.accuracy_interval),
            **micro_f1,
            "macro_f1": [self.macro_f1_first, self.macro_f1_second],
            "macro_f1_difference": self.macro_f1_difference,
            "macro_f1_difference_interval": list(self.macro_f1_interval),
            "mcnemar_p": self.p_value,
        }


def compare_paired(
    y_true: Sequence[Any],
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    classes: tuple[Collection[Any], Collection[Any]] | None = None,
    seed: int = 0,
) -> PairedComparison:
    """Return the comparison of two classifiers' predictions for the same documents.

    Parameters
    ----------
    y_true : sequence of topics, or of tuples of topics
    first, second : sequences of topics, or of tuples of topics
        The predictions of each classifier.
    classes : pair of collections of topics, optional
        The topics that each classifier knows; all by default. Topics that a classifier doesn't know
        are merged into one in its macro-F1, as in `Evaluation`; for multilabel documents, they are
        left out of the mean.
    seed : int, default 0
        Of the bootstrap.

    Raises
    ------
    DataError : if there are no documents, or lengths differ.
    """
    if not len(y_true) or not len(y_true) == len(first) == len(second):
        raise DataError(
            f"there are {len(y_true)} topics and {len(first)} and {len(second)} answers; "
            "give an answer of both classifiers for each topic, and at least one."
        )
    count = _count_sets if is_multilabel(y_true) else _count_topics
    is_right, counts, scores = count((y_true, first, second), classes)

    def differences(counts: I64) -> F64:
        right = counts @ is_right.T / len(y_true)
        return np.column_stack([right[:, 0] - right[:, 1], scores[0](counts) - scores[1](counts)])

    accuracy_interval, *f1_intervals = bootstrap(counts, differences, seed=seed)
    f1_first, f1_second = (score(counts[np.newaxis])[0].tolist() for score in scores)
    is_first, is_second = is_right
    comparison = PairedComparison(
        n_both=int(counts[is_first & is_second].sum()),
        n_first=int(counts[is_first & ~is_second].sum()),
        n_second=int(counts[~is_first & is_second].sum()),
        n_neither=int(counts[~is_first & ~is_second].sum()),
        macro_f1_first=f1_first[0],
        macro_f1_second=f1_second[0],
        accuracy_interval=accuracy_interval,
        macro_f1_interval=f1_intervals[0],
        n_different=sum(not _is_same(*pair) for pair in zip(first, second, strict=True)),
    )
    if len(f1_intervals) == 1:
        return comparison
    return replace(
        comparison,
        micro_f1_first=f1_first[1],
        micro_f1_second=f1_second[1],
        micro_f1_interval=f1_intervals[1],
    )


class TopicDifference(NamedTuple):
    """The difference in recall of a topic between two classifiers, first minus second."""

    topic: Any
    difference: float
    interval: Interval  # 95 %, by a bootstrap of the topic's documents
    p_value: float  # by `mcnemar`


def compare_by_topic(
    y_true: Sequence[Any], first: Sequence[Any], second: Sequence[Any], *, seed: int = 0
) -> list[TopicDifference]:
    """Return the difference in recall of each topic, for single-label documents."""
    kinds: dict[Any, I64] = {topic: np.zeros(3, dtype=np.int64) for topic in sorted(set(y_true))}
    for true, one, other in zip(y_true, first, second, strict=True):
        first_is_right, second_is_right = one == true, other == true
        if first_is_right == second_is_right:
            kinds[true][2] += 1
        else:
            kinds[true][0 if first_is_right else 1] += 1

    def difference(counts: I64) -> F64:
        return (counts[:, [0]] - counts[:, [1]]) / counts.sum(axis=1, keepdims=True)

    differences = []
    for topic, counts in kinds.items():
        [interval] = bootstrap(counts, difference, seed=seed)
        mean = float((counts[0] - counts[1]) / counts.sum())
        p_value = mcnemar(int(counts[0]), int(counts[1]))
        differences.append(TopicDifference(topic, mean, interval, p_value))
    return differences


def _is_same(first: Any, second: Any) -> bool:
    """Return whether two answers are the same topic, or the same topics in any order."""
    if isinstance(first, tuple) and isinstance(second, tuple):
        return set(first) == set(second)
    return bool(first == second)


# A function of the counts of each kind of document, shape (n_sets, n_kinds), that returns scores,
# shape (n_sets, n_scores): the macro-F1 and, for multilabel documents, the micro-F1. Documents with
# the same topic and the same answers are of one kind.
_F1 = Callable[[I64], F64]


def _count_topics(
    topics: Sequence[Sequence[Any]], classes: tuple[Collection[Any], Collection[Any]] | None
) -> tuple[Mask, I64, list[_F1]]:
    """Return the kinds that each classifier gets right, the kinds' counts, and F1 functions.

    The first row of `topics` has the true topics, the other rows the predictions.
    """
    numbers = {topic: n for n, topic in enumerate(dict.fromkeys(itertools.chain(*topics)))}
    true, *predicted = np.array([[numbers[topic] for topic in y] for y in topics])
    seen = [_merge_unknown(true, numbers, names) for names in classes or (numbers, numbers)]
    kinds, counts = np.unique([*seen, *predicted], axis=1, return_counts=True)
    return kinds[:2] == kinds[2:], counts, [partial(_macro_f1, *kinds[i::2]) for i in (0, 1)]


def _count_sets(
    sets: Sequence[Sequence[Any]], classes: tuple[Collection[Any], Collection[Any]] | None
) -> tuple[Mask, I64, list[_F1]]:
    """Return the same as `_count_topics` for multilabel documents."""
    names = dict.fromkeys(name for part in sets for topics in part for name in topics)
    indicators = [Topics([*names]).encode_sets(part, bool) for part in sets]
    rows, counts = count_kinds(*indicators)
    true, *predicted = (part[rows] for part in indicators)
    is_right = np.array([equal_rows(true, part) for part in predicted])
    scores = [
        ResampledF1(true, part, np.array([name in model_topics for name in names], dtype=bool))
        for part, model_topics in zip(predicted, classes or (names, names), strict=True)
    ]
    return is_right, counts, [partial(_macro_and_micro_f1, score) for score in scores]


def _macro_f1(true: I64, predicted: I64, counts: I64) -> F64:
    return macro_f1(*count_by_topic(true, predicted, counts))[:, np.newaxis]


def _macro_and_micro_f1(scores: ResampledF1, counts: I64) -> F64:
    return scores(counts)[:, [1, 0]]


def _merge_unknown(true: I64, numbers: Mapping[Any, int], classes: Collection[Any]) -> I64:
    """Return the true topics with one number for all topics that a classifier doesn't know."""
    is_known = np.array([topic in classes for topic in numbers])
    return np.where(is_known[true], true, len(numbers))


def mcnemar(n_first: int, n_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    It is the probability of a split at least as uneven if both classifiers were equally good; under
    0.05, chance alone is an unlikely explanation.

    Parameters
    ----------
    n_first, n_second : int
        Number of documents for which only the first, or only the second, classifier is right.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages; with the binomial distribution in place of the normal one.
    """
    from scipy.special import bdtr

    n = n_first + n_second
    return min(1.0, 2 * float(bdtr(min(n_first, n_second), n, 0.5))) if n else 1.0
