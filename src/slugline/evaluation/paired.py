"""Paired comparison of two classifiers on the same documents."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64, Mask
from slugline.base.lazy import to_frame
from slugline.base.wording import TitledRows, counted
from slugline.corpus.documents import Topics
from slugline.corpus.topic_sets import is_multilabel, is_same_answer
from slugline.errors import DataError
from slugline.evaluation.evaluation import count_by_topic, macro_f1
from slugline.evaluation.intervals import Interval, bootstrap
from slugline.evaluation.multilabel import ResampledF1, count_kinds, equal_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class PairedMetric(NamedTuple):
    """A metric of both classifiers on the same documents."""

    first: float
    second: float
    #: 95 % interval of the difference, by a bootstrap of documents.
    interval: Interval

    @property
    def difference(self) -> float:
        """First classifier's value minus the second's."""
        return self.first - self.second


@dataclass(frozen=True, repr=False)
class PairedComparison(TitledRows):
    """Results of two classifiers on the same documents.

    Attributes
    ----------
    n_both, n_first, n_second, n_neither : int
        Number of documents that both classifiers, only the first, only the second, and neither
        classify correctly.
    n_different : int
        Number of documents with different predictions.
    accuracy : PairedMetric
        Exact match for multi-label documents.
    macro_f1 : PairedMetric
        See `Evaluation`.
    micro_f1 : PairedMetric or None
        None for single-label documents.
    """

    n_both: int
    n_first: int
    n_second: int
    n_neither: int
    n_different: int
    accuracy: PairedMetric
    macro_f1: PairedMetric
    micro_f1: PairedMetric | None = None

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return self.n_both + self.n_first + self.n_second + self.n_neither

    @property
    def p_value(self) -> float:
        """P-value of the difference in accuracy; see `mcnemar`."""
        return mcnemar(self.n_first, self.n_second)

    def metrics(self) -> dict[str, PairedMetric]:
        """Return the metrics by name, most important first."""
        micro_f1 = {} if self.micro_f1 is None else {"micro_f1": self.micro_f1}
        return micro_f1 | {"accuracy": self.accuracy, "macro_f1": self.macro_f1}

    def to_records(self) -> list[dict[str, Any]]:
        """Return each metric of both models, the difference, its 95 % interval and the p-value.

        The p-value is for the difference in accuracy, by McNemar's exact test.
        """
        return [
            {
                "metric": name,
                "first": metric.first,
                "second": metric.second,
                "difference": metric.difference,
                "low": metric.interval.low,
                "high": metric.interval.high,
                "p_value": self.p_value if name == "accuracy" else None,
            }
            for name, metric in self.metrics().items()
        ]

    def to_frame(self) -> Any:
        """Return the metrics as a pandas data frame, or a polars one if pandas is missing.

        Raises OptionError if neither is installed.
        """
        return to_frame(self.to_records())

    def lines(self) -> list[str]:
        """Return a line for each metric."""
        if not self.n_different:
            return [f"nothing: same answers to all {counted(self.n_documents, 'document')}"]
        return [
            f"{record['difference']:+.3f} {record['metric']}, 95 % interval {record['low']:+.3f} "
            f"to {record['high']:+.3f}" + _format_p_value(record["p_value"])
            for record in self.to_records()
        ]

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        title = f"Two models on {counted(self.n_documents, 'document')}"
        return title, [("better by", line) for line in self.lines()]

    def to_dict(self) -> dict[str, Any]:
        """Return counts, differences and the test as plain data for JSON."""
        metrics: dict[str, Any] = {}
        for name, metric in self.metrics().items():
            metrics |= {
                name: [metric.first, metric.second],
                f"{name}_difference": metric.difference,
                f"{name}_difference_interval": list(metric.interval),
            }
        return {
            "n_documents": self.n_documents,
            "n_both_right": self.n_both,
            "n_only_first_right": self.n_first,
            "n_only_second_right": self.n_second,
            "n_neither_right": self.n_neither,
            "n_different": self.n_different,
            **metrics,
            "mcnemar_p": self.p_value,
        }


def _format_p_value(p_value: float | None) -> str:
    if p_value is None:
        return ""
    return ", p < 0.001" if p_value < 0.001 else f", p = {p_value:.3f}"


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
        Predictions of each classifier.
    classes : pair of collections of topics, optional
        Topics known to each classifier; all by default. Its macro-F1 merges unknown topics into
        one, as in `Evaluation`; for multi-label documents, the mean excludes them.
    seed : int, default 0
        Seed of the bootstrap.

    Raises
    ------
    DataError : if there are no documents, or lengths differ.
    """
    if not len(y_true) or not len(y_true) == len(first) == len(second):
        raise DataError(
            f"there are {len(y_true)} topics, but {len(first)} and {len(second)} answers; "
            "pass one answer of each classifier per topic, and at least one topic."
        )
    group = _group_multilabel if is_multilabel(y_true) else _group_single_label
    counts, by_first, by_second = group(y_true, (first, second), classes)
    is_first, is_second = by_first.is_right, by_second.is_right

    def differences(counts: I64) -> F64:
        return by_first.scores(counts) - by_second.scores(counts)

    accuracy, macro_f1, *micro_f1 = map(
        PairedMetric,
        by_first.scores(counts[np.newaxis])[0].tolist(),
        by_second.scores(counts[np.newaxis])[0].tolist(),
        bootstrap(counts, differences, seed=seed),
    )
    return PairedComparison(
        n_both=int(counts[is_first & is_second].sum()),
        n_first=int(counts[is_first & ~is_second].sum()),
        n_second=int(counts[~is_first & is_second].sum()),
        n_neither=int(counts[~is_first & ~is_second].sum()),
        n_different=sum(not is_same_answer(*pair) for pair in zip(first, second, strict=True)),
        accuracy=accuracy,
        macro_f1=macro_f1,
        micro_f1=micro_f1[0] if micro_f1 else None,
    )


class TopicDifference(NamedTuple):
    """Difference in recall of a topic between two classifiers, first minus second."""

    topic: Any
    difference: float
    interval: Interval  # 95 %, by a bootstrap of the topic's documents
    p_value: float  # by `mcnemar`


def compare_by_topic(
    y_true: Sequence[Any], first: Sequence[Any], second: Sequence[Any], *, seed: int = 0
) -> list[TopicDifference]:
    """Return the difference in recall of each topic, for single-label documents."""
    counts_by_topic = {topic: np.zeros(3, dtype=np.int64) for topic in sorted(set(y_true))}
    for true, first_answer, second_answer in zip(y_true, first, second, strict=True):
        is_first, is_second = first_answer == true, second_answer == true
        if is_first == is_second:
            counts_by_topic[true][_BOTH_OR_NEITHER] += 1
        else:
            counts_by_topic[true][_ONLY_FIRST if is_first else _ONLY_SECOND] += 1

    def difference(counts: I64) -> F64:
        n_more = counts[:, [_ONLY_FIRST]] - counts[:, [_ONLY_SECOND]]
        return n_more / counts.sum(axis=1, keepdims=True)

    differences = []
    for topic, counts in counts_by_topic.items():
        [interval] = bootstrap(counts, difference, seed=seed)
        mean = float(difference(counts[np.newaxis])[0, 0])
        p_value = mcnemar(int(counts[_ONLY_FIRST]), int(counts[_ONLY_SECOND]))
        differences.append(TopicDifference(topic, mean, interval, p_value))
    return differences


# Columns of a topic's counts: which classifiers are right.
_ONLY_FIRST, _ONLY_SECOND, _BOTH_OR_NEITHER = range(3)


# Documents of one kind have the same true topics and the same answers from both classifiers. A
# resample of the documents is then a row of counts, one per kind.

# Topics known to the first and the second classifier.
_Classes = tuple[Collection[Any], Collection[Any]] | None


class _KindAnswers(NamedTuple):
    """One classifier's answers to each kind of document."""

    # Shape (n_kinds,).
    is_right: Mask
    # Returns macro-F1 and, for multi-label documents, micro-F1, shape (n_sets, n_scores), from
    # counts, shape (n_sets, n_kinds).
    f1: Callable[[I64], F64]

    def scores(self, counts: I64) -> F64:
        """Return accuracy, macro-F1 and, for multi-label documents, micro-F1 of test sets."""
        accuracy = counts @ self.is_right / counts.sum(axis=1)
        return np.column_stack([accuracy, self.f1(counts)])


# The number of documents of each kind, shape (n_kinds,), and both classifiers' answers to them.
_Kinds = tuple[I64, _KindAnswers, _KindAnswers]


def _group_single_label(
    y_true: Sequence[Any], answers: tuple[Sequence[Any], Sequence[Any]], classes: _Classes
) -> _Kinds:
    columns = (y_true, *answers)
    codes = {topic: n for n, topic in enumerate(dict.fromkeys(itertools.chain(*columns)))}
    true, *predicted = np.array([[codes[topic] for topic in column] for column in columns])
    true_by_classifier = [_merge_unknown(true, codes, known) for known in classes or (codes, codes)]
    kinds, counts = np.unique([*true_by_classifier, *predicted], axis=1, return_counts=True)
    true_first, true_second, predicted_first, predicted_second = kinds
    first = _single_label_answers(true_first, predicted_first)
    return counts, first, _single_label_answers(true_second, predicted_second)


def _single_label_answers(true: I64, predicted: I64) -> _KindAnswers:
    def f1(counts: I64) -> F64:
        return macro_f1(*count_by_topic(true, predicted, counts))[:, np.newaxis]

    return _KindAnswers(true == predicted, f1)


def _group_multilabel(
    y_true: Sequence[Any], answers: tuple[Sequence[Any], Sequence[Any]], classes: _Classes
) -> _Kinds:
    columns = (y_true, *answers)
    names = dict.fromkeys(name for column in columns for topics in column for name in topics)
    indicators = [Topics([*names]).encode_sets(column, bool) for column in columns]
    rows, counts = count_kinds(*indicators)
    true, first, second = (indicator[rows] for indicator in indicators)
    known_first, known_second = (
        np.array([name in known for name in names], dtype=bool)
        for known in classes or (names, names)
    )
    by_first = _multilabel_answers(true, first, known_first)
    return counts, by_first, _multilabel_answers(true, second, known_second)


def _multilabel_answers(true: csr_array, predicted: csr_array, is_known: Mask) -> _KindAnswers:
    resampled = ResampledF1(true, predicted, is_known)

    def f1(counts: I64) -> F64:
        micro, macro, _ = resampled(counts).T
        return np.stack([macro, micro], axis=1)

    return _KindAnswers(equal_rows(true, predicted), f1)


def _merge_unknown(true: I64, codes: Mapping[Any, int], known: Collection[Any]) -> I64:
    """Return the codes of true topics, with one code for all topics unknown to a classifier."""
    is_known = np.array([topic in known for topic in codes])
    return np.where(is_known[true], true, len(codes))


def mcnemar(n_first: int, n_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    This is the probability of a split at least as uneven if both classifiers were equally good.

    Parameters
    ----------
    n_first, n_second : int
        Number of documents that only the first, or only the second, classifier gets right.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages; here with the binomial instead of the normal distribution.
    """
    from scipy.special import bdtr

    n = n_first + n_second
    return min(1.0, 2 * float(bdtr(min(n_first, n_second), n, 0.5))) if n else 1.0
