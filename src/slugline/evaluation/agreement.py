"""Inter-coder agreement: Krippendorff's alpha, and agreement on a topic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64
from slugline.evaluation.intervals import Interval, wilson

# Number of topic sets compared with all others at a time.
_BATCH_SETS = 1000


class Coefficient(NamedTuple):
    """A measure of agreement with a 95 % interval.

    Attributes
    ----------
    value : float
        NaN if undefined, for example if all documents have the same topic.
    interval : Interval
        NaN if the value is NaN.
    n_documents : int
        Number of documents used.
    """

    value: float
    interval: Interval
    n_documents: int

    @property
    def is_defined(self) -> bool:
        """True if there is a value."""
        return not math.isnan(self.value)


@dataclass(frozen=True, eq=False)
class Ratings:
    """Units rated by several coders, and the similarity of the ratings.

    Units with a single rating must be excluded.

    Attributes
    ----------
    n_by_unit : float64 array, shape (n_units,)
        Number of ratings, at least 2.
    observed : float64 array, shape (n_units,)
        Mean similarity of two ratings of the unit, from 0 to 1.
    equal : float64 array, shape (n_units,)
        Fraction of rating pairs that are equal.
    similar : float64 array, shape (n_units,)
        Sum of the similarities between the unit's ratings and every rating of all units, including
        themselves.
    documents : int array, shape (n_units,)
        Index of each unit's document. Units of one document are correlated.
    """

    n_by_unit: F64
    observed: F64
    equal: F64
    similar: F64
    documents: I64

    @classmethod
    def from_topic_sets(
        cls, units: Sequence[Sequence[frozenset[str]]], documents: Sequence[int] | None = None
    ) -> Ratings:
        """Return ratings by topic sets, compared with `TopicSetSimilarity`.

        Unless `documents` is given, each unit is a separate document. Units with fewer than two
        sets are excluded.
        """
        if documents is None:
            documents = range(len(units))
        rated = [(unit, number) for unit, number in zip(units, documents, strict=True) if unit[1:]]
        sets = [topics for unit, _ in rated for topics in unit]
        numbers = {topics: n for n, topics in enumerate(dict.fromkeys(sets))}
        similarity = TopicSetSimilarity([*numbers])
        values = np.array([numbers[topics] for topics in sets], np.int64)
        n_by_unit = np.array([len(unit) for unit, _ in rated], np.int64)
        totals = np.bincount(values, minlength=len(numbers)).astype(np.float64)
        similar = similarity.sum_weighted(totals)
        unit_of_rating = np.repeat(np.arange(len(rated)), n_by_unit)
        first, second = _pairs_within(n_by_unit)
        unit_of_pair, n_pairs = unit_of_rating[first], n_by_unit * (n_by_unit - 1) / 2
        pair_similarity = similarity.of_pairs(values[first], values[second])
        n = len(rated)
        return cls(
            n_by_unit.astype(np.float64),
            np.bincount(unit_of_pair, pair_similarity, n) / n_pairs,
            np.bincount(unit_of_pair, values[first] == values[second], n) / n_pairs,
            np.bincount(unit_of_rating, similar[values], n).astype(np.float64),
            _number_documents([number for _, number in rated]),
        )

    @classmethod
    def from_binary_counts(cls, n_given: F64, n_by_unit: F64, documents: I64) -> Ratings:
        """Return binary ratings: whether each coder assigned a topic.

        Parameters
        ----------
        n_given, n_by_unit : float64 array, shape (n_units,)
            Number of coders who assigned the topic, and number of all coders, at least 2.
        documents : int array, shape (n_units,)
        """
        n_other = n_by_unit - n_given
        n_equal = n_given * (n_given - 1) + n_other * (n_other - 1)
        equal = n_equal / (n_by_unit * (n_by_unit - 1))
        similar = n_given * n_given.sum() + n_other * n_other.sum()
        return cls(n_by_unit, equal, equal, similar, _number_documents(documents))

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return int(self.documents.max(initial=-1)) + 1


def _number_documents(documents: Sequence[int] | I64) -> I64:
    """Renumber documents from 0."""
    return np.unique(np.asarray(documents, np.int64), return_inverse=True)[1].astype(np.int64)


def _pairs_within(n_by_unit: I64) -> tuple[I64, I64]:
    """Return the indices of both ratings of each pair within a unit; units are contiguous."""
    starts = np.cumsum(n_by_unit) - n_by_unit
    pairs = [np.empty((2, 0), np.int64)]
    for n in np.unique(n_by_unit):
        offsets = np.array(np.triu_indices(int(n), 1), np.int64)
        places = starts[n_by_unit == n]
        pairs.append((offsets[:, :, np.newaxis] + places).reshape(2, -1))
    first, second = np.concatenate(pairs, axis=1)
    return first, second


class TopicSetSimilarity:
    """MASI similarity of topic sets (measuring agreement on set-valued items).

    The Jaccard similarity, times 1 if the sets are equal, 2/3 if one contains the other, 1/3 if
    they overlap, and 0 if they are disjoint. Two empty sets are equal. Single-topic sets have
    similarity 1 if equal, else 0.

    Parameters
    ----------
    sets : sequence of frozenset of str
        Methods refer to sets by index.

    References
    ----------
    Passonneau (2006), Measuring agreement on set-valued items (MASI) for semantic and pragmatic
    annotation.
    """

    def __init__(self, sets: Sequence[frozenset[str]]) -> None:
        from scipy.sparse import csr_array

        topics = {topic: n for n, topic in enumerate(dict.fromkeys(itertools.chain(*sets)))}
        columns = [topics[topic] for each in sets for topic in each]
        self._sizes = np.array([len(each) for each in sets], np.float64)
        ends = np.concatenate([[0], np.cumsum(self._sizes)]).astype(np.int64)
        shape = (len(sets), max(len(topics), 1))
        self._members = csr_array((np.ones(len(columns)), columns, ends), shape=shape)

    def of_pairs(self, first: I64, second: I64) -> F64:
        """Return the similarity of each pair of sets."""
        shared = self._members[first].multiply(self._members[second]).sum(axis=1)
        return self._similarity(np.asarray(shared, np.float64).ravel(), first, second)

    def sum_weighted(self, weights: F64) -> F64:
        """Return the weighted sum of each set's similarities with all sets."""
        n = len(self._sizes)
        sums = np.where(self._sizes == 0, weights[self._sizes == 0].sum(), 0.0)
        for start in range(0, n, _BATCH_SETS):
            # Disjoint sets have similarity 0, unless both are empty.
            shared = (self._members[start : start + _BATCH_SETS] @ self._members.T).tocoo()
            first = shared.row.astype(np.int64) + start
            second = shared.col.astype(np.int64)
            similarity = self._similarity(shared.data, first, second)
            sums += np.bincount(first, similarity * weights[second], n)
        return sums

    def _similarity(self, shared: F64, first: I64, second: I64) -> F64:
        """Return the similarity of sets from the number of shared topics."""
        sizes, other_sizes = self._sizes[first], self._sizes[second]
        smaller, larger = np.minimum(sizes, other_sizes), np.maximum(sizes, other_sizes)
        factor = np.where(shared < smaller, 1 / 3, np.where(smaller < larger, 2 / 3, 1.0))
        union = sizes + other_sizes - shared
        return np.where(union > 0, factor * shared / np.maximum(union, 1), 1.0)


def krippendorff_alpha(ratings: Ratings) -> Coefficient:
    """Return Krippendorff's alpha: 1 for perfect agreement, 0 for agreement by chance.

    The interval is Wilson's for the observed agreement at the effective number of documents, chosen
    so that its variance equals the linearised variance of alpha, including expected agreement. In
    simulations of two coders and 20 to 150 documents, it covers the true alpha in 92 to 100 % of
    the runs (83 % for a topic in 5 % of the documents). A percentile bootstrap covers it in only 21
    to 96 %, because its interval has zero width if coders agree on all of a few documents.

    References
    ----------
    Krippendorff (2018), Content analysis, chapter 12; Korn and Graubard (1998), Confidence
    intervals for proportions with small expected number of positive counts (the effective number);
    Gwet (2021), Large-sample variance of Fleiss generalized kappa (linearised variances).
    """
    if not ratings.n_documents:
        return undefined(0)
    n_by_unit = ratings.n_by_unit
    n = float(n_by_unit.sum())
    observed = float(n_by_unit @ ratings.observed) / n
    expected = float(ratings.similar.sum() - n) / (n * (n - 1))
    if math.isclose(expected, 1.0):
        return undefined(ratings.n_documents)
    expected_by_unit = 2 * (ratings.similar / n - n_by_unit * expected)
    ratio = (1 - observed) / (1 - expected)
    influence = (n_by_unit * (ratings.observed - observed) - ratio * expected_by_unit) / n
    n_pairs = float(n_by_unit @ (n_by_unit - 1)) / 2
    low, high = _interval(observed, influence, ratings.documents, n_pairs)
    low, high = (max(1 - (1 - end) / (1 - expected), -1.0) for end in (low, high))
    alpha = (observed - expected) / (1 - expected)
    return Coefficient(alpha, Interval(low, high), ratings.n_documents)


def exact_agreement(ratings: Ratings) -> Coefficient:
    """Return the frequency with which two coders assign exactly the same topics to a document."""
    if not ratings.n_documents:
        return undefined(0)
    return agreement_ratio(ratings.equal * ratings.n_by_unit, ratings.n_by_unit, ratings.documents)


def agreement_ratio(agreements: F64, totals: F64, documents: I64) -> Coefficient:
    """Return the ratio of two sums over units, from 0 to 1; ignores units with a total of 0.

    Parameters
    ----------
    agreements, totals : float64 array, shape (n_units,)
    documents : int array, shape (n_units,)
        Index of each unit's document.
    """
    is_used = totals > 0
    agreements, totals, documents = agreements[is_used], totals[is_used], documents[is_used]
    if not len(totals):
        return undefined(0)
    clusters = _number_documents(documents)
    ratio = float(agreements.sum() / totals.sum())
    influence = (agreements - ratio * totals) / totals.sum()
    n_documents = int(clusters.max()) + 1
    return Coefficient(ratio, _interval(ratio, influence, clusters, n_documents), n_documents)


def undefined(n_documents: int) -> Coefficient:
    """Return a coefficient without a value."""
    return Coefficient(math.nan, Interval(math.nan, math.nan), n_documents)


def _interval(fraction: float, influence: F64, documents: I64, max_effective: float) -> Interval:
    """Return Wilson's interval of a fraction at the effective number of documents.

    `influence` is each unit's contribution to the estimate; `max_effective` limits the number.
    """
    by_document = np.bincount(documents, influence)
    n = len(by_document)
    variance = float(by_document @ by_document) * n / max(n - 1, 1)
    n_effective = float(n)
    if variance > 1e-12 and 0 < fraction < 1:
        n_effective = min(fraction * (1 - fraction) / variance, max_effective)
    return wilson(min(max(fraction, 0.0), 1.0) * n_effective, n_effective)
