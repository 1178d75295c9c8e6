"""Compares two classifiers by their predictions for the same documents."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slugline.base.arrays import F64, I64, Mask
from slugline.errors import DataError
from slugline.evaluation.evaluation import count_by_topic, macro_f1
from slugline.evaluation.intervals import Interval, bootstrap
from slugline.evaluation.multilabel import ResampledF1, count_kinds, indicator_matrix


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers' results on the same documents; differences are first less second.

    If documents have several topics, the accuracy is the exact match.
    """

    # Documents that both classifiers, only the first, only the second, and neither get right.
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
    # Only for several topics a document.
    micro_f1_first: float = math.nan
    micro_f1_second: float = math.nan
    micro_f1_interval: Interval | None = None

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
        """Probability that chance alone makes accuracies differ as much, by `mcnemar`."""
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
        The topics that each classifier knows; all by default. The others count as one topic in
        its macro-F1, as in `Evaluation`, and as none where documents have several topics.
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
    if isinstance(y_true[0], tuple):
        return _compare_sets((y_true, first, second), classes, seed)
    numbers = {topic: n for n, topic in enumerate(dict.fromkeys([*y_true, *first, *second]))}
    true, *predicted = np.array([[numbers[topic] for topic in y] for y in (y_true, first, second)])
    seen = [_merge_unknown(true, numbers, topics) for topics in classes or (numbers, numbers)]
    kinds, counts = np.unique([*seen, *predicted], axis=1, return_counts=True)
    is_right = kinds[:2] == kinds[2:]

    def differences(counts: I64) -> F64:
        right = counts @ is_right.T / len(y_true)
        f1 = [_macro_f1(counts, *kinds[i::2]) for i in (0, 1)]
        return np.stack([right[:, 0] - right[:, 1], f1[0] - f1[1]], axis=1)

    accuracy_interval, f1_interval = bootstrap(counts, differences, seed=seed)
    first_f1, second_f1 = (_macro_f1(counts[np.newaxis], *kinds[i::2]) for i in (0, 1))
    return PairedComparison(
        *_count_right(is_right, counts),
        *(float(first_f1[0]), float(second_f1[0])),
        *(accuracy_interval, f1_interval),
    )


def _count_right(is_right: Mask, counts: I64) -> tuple[int, int, int, int]:
    """Return the documents that both, only the first, only the second, and neither get right."""
    one, other = is_right
    parts = one & other, one & ~other, ~one & other, ~one & ~other
    both, first, second, neither = (int(counts[part].sum()) for part in parts)
    return both, first, second, neither


def _compare_sets(
    sets: tuple[Sequence[Any], Sequence[Any], Sequence[Any]],
    classes: tuple[Collection[Any], Collection[Any]] | None,
    seed: int,
) -> PairedComparison:
    """Return the comparison for true topics and two predictions, tuples of topics."""
    names = dict.fromkeys(name for part in sets for topics in part for name in topics)
    numbers = {name: number for number, name in enumerate(names)}
    indicators = [indicator_matrix(part, numbers) for part in sets]
    rows, counts = count_kinds(*indicators)
    true, *predicted = (part[rows] for part in indicators)
    is_right = np.array([np.diff((true != part).tocsr().indptr) == 0 for part in predicted])
    scores = [
        ResampledF1(true, part, np.array([name in known for name in names], dtype=bool))
        for part, known in zip(predicted, classes or (names, names), strict=True)
    ]

    def differences(counts: I64) -> F64:
        right = counts @ is_right.T / len(sets[0])
        f1 = scores[0](counts) - scores[1](counts)
        return np.column_stack([right[:, 0] - right[:, 1], f1[:, :2]])

    accuracy_interval, micro_interval, macro_interval = bootstrap(counts, differences, seed=seed)
    first, second = (score(counts[np.newaxis])[0].tolist() for score in scores)
    return PairedComparison(
        *_count_right(is_right, counts),
        *(first[1], second[1], accuracy_interval, macro_interval),
        *(first[0], second[0], micro_interval),
    )


def _merge_unknown(true: I64, numbers: Mapping[Any, int], classes: Collection[Any]) -> I64:
    """Return the true topics with one number for all that a classifier doesn't know."""
    is_known = np.array([topic in classes for topic in numbers])
    return np.where(is_known[true], true, len(numbers))


def _macro_f1(counts: I64, true: I64, predicted: I64) -> F64:
    """Return the macro-F1 of several test sets; see `count_by_topic` for the parameters."""
    n_topics = int(max(true.max(), predicted.max())) + 1
    return macro_f1(
        count_by_topic(true, counts * (predicted == true), n_topics),
        count_by_topic(true, counts, n_topics),
        count_by_topic(predicted, counts, n_topics),
    )


def mcnemar(n_first: int, n_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    It is the probability of a split at least as uneven if both classifiers were equally good; under
    0.05, chance alone is an unlikely explanation.

    Parameters
    ----------
    n_first, n_second : int
        Documents that only the first, and only the second classifier gets right.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages; with the binomial distribution in place of the normal one.
    """
    from scipy.special import bdtr

    n = n_first + n_second
    return min(1.0, 2 * float(bdtr(min(n_first, n_second), n, 0.5))) if n else 1.0
