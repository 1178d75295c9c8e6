"""Whether one classifier is better than another, by their answers to the same documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slugline.base.arrays import F64, I64
from slugline.errors import DataError
from slugline.evaluation.evaluation import count_by_topic, macro_f1
from slugline.evaluation.intervals import Interval, bootstrap

__all__ = ["PairedComparison", "compare_paired", "mcnemar"]


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers' answers to the same documents, side by side.

    Differences are of the first less the second. Their intervals are those of a paired bootstrap:
    both classifiers answer the same drawn documents.

    Attributes
    ----------
    n_both, n_first, n_second, n_neither : int
        Documents that both get right, that only the first or only the second gets right, and that
        both get wrong.
    macro_f1_first, macro_f1_second : float
        Each over the topics that are true or that the classifier gave, as in `Evaluation`.
    accuracy_interval, macro_f1_interval : Interval
        95 % intervals of the differences.
    """

    n_both: int
    n_first: int
    n_second: int
    n_neither: int
    macro_f1_first: float
    macro_f1_second: float
    accuracy_interval: Interval
    macro_f1_interval: Interval

    @property
    def n_documents(self) -> int:
        """Number of documents that both answered."""
        return self.n_both + self.n_first + self.n_second + self.n_neither

    @property
    def accuracy_first(self) -> float:
        """Share that the first gets right."""
        return (self.n_both + self.n_first) / self.n_documents

    @property
    def accuracy_second(self) -> float:
        """Share that the second gets right."""
        return (self.n_both + self.n_second) / self.n_documents

    @property
    def accuracy_difference(self) -> float:
        """Accuracy of the first less that of the second."""
        return (self.n_first - self.n_second) / self.n_documents

    @property
    def macro_f1_difference(self) -> float:
        """Macro-F1 of the first less that of the second."""
        return self.macro_f1_first - self.macro_f1_second

    @property
    def p_value(self) -> float:
        """By `mcnemar`: how often luck alone would make accuracies differ at least as much."""
        return mcnemar(self.n_first, self.n_second)

    def to_dict(self) -> dict[str, Any]:
        """Return counts, differences and the test as plain data for JSON."""
        return {
            "n_documents": self.n_documents,
            "n_both_right": self.n_both,
            "n_only_first_right": self.n_first,
            "n_only_second_right": self.n_second,
            "n_neither_right": self.n_neither,
            "accuracy": [self.accuracy_first, self.accuracy_second],
            "accuracy_difference": self.accuracy_difference,
            "accuracy_difference_interval": list(self.accuracy_interval),
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
    known: tuple[Collection[Any], Collection[Any]] | None = None,
    seed: int = 0,
) -> PairedComparison:
    """Return the comparison of two classifiers' answers to the same documents.

    Parameters
    ----------
    y_true : sequence of topics, one for each document
    first, second : sequences of topics, in the same order
        What each classifier answered; they need not know the same topics.
    known : pair of collections of topics, optional
        The topics that each classifier knows. All others are one topic in its macro-F1, as in
        `Evaluation.of`. By default, it knows all.
    seed : int, default 0
        Of the bootstrap.

    Raises
    ------
    DataError : if there are no documents, or not an answer of both to each.
    """
    if not len(y_true) or not len(y_true) == len(first) == len(second):
        raise DataError(
            f"there are {len(y_true)} topics and {len(first)} and {len(second)} answers; "
            "give an answer of both classifiers for each topic, and at least one."
        )
    numbers = {topic: n for n, topic in enumerate(dict.fromkeys([*y_true, *first, *second]))}
    answers = np.array([[numbers[topic] for topic in of] for of in (y_true, first, second)])
    seen = [_merged(answers[0], numbers, of) for of in known or (numbers, numbers)]
    kinds, counts = np.unique([*seen, *answers[1:]], axis=1, return_counts=True)
    is_right = kinds[:2] == kinds[2:]
    both, only_first, only_second, neither = (
        int(counts[(is_right[0] == a) & (is_right[1] == b)].sum())
        for a, b in ((True, True), (True, False), (False, True), (False, False))
    )
    n = len(y_true)

    def differences(drawn: I64) -> F64:
        right = [drawn[:, right].sum(axis=1) / n for right in is_right]
        f1 = [_macro_f1(drawn, *kinds[which::2]) for which in (0, 1)]
        return np.stack([right[0] - right[1], f1[0] - f1[1]], axis=1)

    of_accuracy, of_f1 = bootstrap(counts, differences, seed=seed)
    one_f1, other_f1 = (_macro_f1(counts[np.newaxis], *kinds[which::2]) for which in (0, 1))
    return PairedComparison(
        *(both, only_first, only_second, neither),
        *(float(one_f1[0]), float(other_f1[0])),
        *(of_accuracy, of_f1),
    )


def _merged(true: I64, numbers: Mapping[Any, int], known: Collection[Any]) -> I64:
    """Return the true topics as a classifier sees them: unknown ones have one number together."""
    is_known = np.array([topic in known for topic in numbers])
    return np.where(is_known[true], true, len(numbers))


def _macro_f1(counts: I64, true: I64, given: I64) -> F64:
    """Return the macro-F1 of a classifier for several test sets.

    Parameters
    ----------
    counts : int array, shape (n_sets, n_kinds)
    true, given : int arrays, shape (n_kinds,)
        The true topic and the answer of each kind of document.
    """
    n_topics = int(max(true.max(), given.max())) + 1
    right = count_by_topic(true, counts * (given == true), n_topics)
    return macro_f1(
        right, count_by_topic(true, counts, n_topics), count_by_topic(given, counts, n_topics)
    )


def mcnemar(n_first: int, n_second: int) -> float:
    """Return the two-sided p-value of McNemar's test, exact.

    If two classifiers were equally good, a document that only one of them gets right would be as
    likely the first one's as the second one's. The p-value is the probability of a split at least
    as uneven as the one found; under 0.05, luck alone is no good explanation.

    Parameters
    ----------
    n_first, n_second : int
        Documents that only the first, and only the second classifier gets right.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages; with the binomial distribution in the place of the normal one.
    """
    from scipy.special import bdtr

    n = n_first + n_second
    return min(1.0, 2 * float(bdtr(min(n_first, n_second), n, 0.5))) if n else 1.0
