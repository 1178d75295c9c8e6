"""Whether answers are right as often as their probabilities say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, I64
from slugline.base.checks import check_whole
from slugline.errors import DataError
from slugline.evaluation.intervals import Interval, wilson

__all__ = [
    "N_BINS",
    "ROUNDED",
    "Bin",
    "CoverageCurve",
    "CoveragePoint",
    "calibration_error",
    "chance_error",
    "coverage_curve",
    "reliability_curve",
]


#: How many bins answers are divided into.
N_BINS = 15
#: By how much float32 may miss the 1 that probabilities sum to.
ROUNDED = 1e-5


class Bin(NamedTuple):
    """Answers of about the same probability.

    Attributes
    ----------
    n_documents : int
    probability : float
        Their mean probability.
    n_right : float
        How many are right. Of answers of the same probability that end up in several bins, each bin
        gets its share, which need not be whole.
    """

    n_documents: int
    probability: float
    n_right: float

    @property
    def share(self) -> float:
        """Share of the answers that is right."""
        return self.n_right / self.n_documents

    @property
    def interval(self) -> Interval:
        """95 % interval of the share, by Wilson."""
        return wilson(self.n_right, self.n_documents)


def reliability_curve(
    proba_top: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = N_BINS
) -> list[Bin]:
    """Return the probability and the share of right answers, bin by bin.

    Answers are sorted by probability and divided into bins with the same number of answers. Answers
    of the same probability count alike, so that the order of the documents doesn't matter.

    Parameters
    ----------
    proba_top : float array, shape (n_documents,)
        Probability that each document's most likely topic was given.
    correct : bool array, shape (n_documents,)
        Whether that topic is the true one.
    n_bins : int, default 15
        With fewer documents than that, each has a bin of its own.

    Raises
    ------
    DataError : if there are no documents, not one of both for each, or a number out of 0 to 1.

    References
    ----------
    Nixon et al. (2019), Measuring calibration in deep learning: bins of equal mass.
    """
    check_whole("n_bins", n_bins, 1)
    proba = np.asarray(proba_top, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if proba.ndim != 1 or proba.shape != right.shape or not proba.size:
        raise DataError(
            f"there are probabilities of shape {proba.shape} and answers of shape {right.shape}; "
            "give one probability for each answer, and at least one."
        )
    if not ((proba >= 0) & (proba <= 1 + ROUNDED)).all():
        raise DataError("a probability is not between 0 and 1; give those of `predict_proba`.")
    values, alike, counts = np.unique(proba, return_inverse=True, return_counts=True)
    right = (np.bincount(alike, right) / counts)[alike]
    order = np.argsort(proba, kind="stable")
    return [
        Bin(len(rows), float(values[alike][rows].mean()), float(right[rows].sum()))
        for rows in np.array_split(order, min(n_bins, proba.size))
    ]


def calibration_error(
    proba_top: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = N_BINS
) -> float:
    """Return how far probabilities are from the share of right answers, on average.

    Parameters
    ----------
    proba_top, correct, n_bins
        See `reliability_curve`, which also tells how answers are put into bins.

    Returns
    -------
    float from 0 to 1: the mean of the absolute differences between the mean probability of a bin
    and the share of it that is right, each bin weighed by its documents.

    Raises
    ------
    DataError : if there are no documents, not one of both for each, or a number out of 0 to 1.
    """
    bins = reliability_curve(proba_top, correct, n_bins)
    gaps = (abs(b.n_documents * b.probability - b.n_right) for b in bins)
    return sum(gaps) / sum(b.n_documents for b in bins)


def chance_error(bins: Sequence[Bin]) -> float:
    """Return the calibration error that probabilities without any error would have by chance.

    The share of right answers in a bin of n documents misses its probability p by
    sqrt(2 p (1 - p) / (pi n)) on average: the mean absolute deviation of a normal distribution in
    the place of the binomial one. So the fewer documents, the larger the calibration error.
    """
    n_documents = sum(b.n_documents for b in bins)
    variances = (max(0.0, b.probability * (1 - b.probability)) * b.n_documents for b in bins)
    return sum(math.sqrt(2 / math.pi * variance) for variance in variances) / n_documents


# How many answers there are over a probability, and how many of them are right --------------------


class CoveragePoint(NamedTuple):
    """What is answered and what is right with one threshold.

    Attributes
    ----------
    threshold : float
        Answers with at least this probability are given.
    n_documents, n_answered, n_right : int
    """

    threshold: float
    n_documents: int
    n_answered: int
    n_right: int

    @property
    def coverage(self) -> float:
        """Share of the documents that is answered."""
        return self.n_answered / self.n_documents

    @property
    def accuracy(self) -> float:
        """Share of the answers that is right; NaN if there are none."""
        return self.n_right / self.n_answered if self.n_answered else math.nan

    @property
    def interval(self) -> Interval:
        """95 % interval of the accuracy, by Wilson; there must be an answer."""
        return wilson(self.n_right, self.n_answered)


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """What a classifier gets right if it answers only when it is sure enough.

    Attributes
    ----------
    thresholds : float array, shape (n_thresholds,)
        All probabilities that an answer had, the highest first.
    n_answered, n_right : int arrays, shape (n_thresholds,)
        Answers with at least that probability, and how many of them are right.
    """

    thresholds: F64
    n_answered: I64
    n_right: I64

    @property
    def n_documents(self) -> int:
        """Number of documents, answered or not."""
        return int(self.n_answered[-1])

    def at(self, threshold: float) -> CoveragePoint:
        """Return what is answered and right with a threshold."""
        n = int(np.count_nonzero(self.thresholds >= threshold))
        found = (int(self.n_answered[n - 1]), int(self.n_right[n - 1])) if n else (0, 0)
        return CoveragePoint(threshold, self.n_documents, *found)

    def reaching(self, accuracy: float) -> CoveragePoint | None:
        """Return the point of the most answers of which such a share is right, if there is one."""
        places = np.flatnonzero(self.n_right >= accuracy * self.n_answered)
        return self._point(int(places[-1])) if len(places) else None

    def covering(self, share: float) -> CoveragePoint:
        """Return the point of the fewest answers that are at least a share of all documents."""
        return self._point(int(np.searchsorted(self.n_answered, share * self.n_documents)))

    def points(self, most: int = 200) -> list[CoveragePoint]:
        """Return points that are spread over all coverages, the fewest answers first."""
        wanted = np.linspace(self.n_documents, 1, min(most, self.n_documents))
        places = np.unique(np.searchsorted(self.n_answered, wanted))
        return [self._point(place) for place in places.tolist()]

    def _point(self, place: int) -> CoveragePoint:
        return CoveragePoint(
            float(self.thresholds[place]),
            *(self.n_documents, int(self.n_answered[place]), int(self.n_right[place])),
        )


def coverage_curve(proba_top: npt.ArrayLike, correct: npt.ArrayLike) -> CoverageCurve:
    """Return coverage and accuracy for every threshold.

    Parameters
    ----------
    proba_top : float array, shape (n_documents,)
        Probability that each document's most likely topic was given. Documents of the same
        probability are answered together or not at all.
    correct : bool array, shape (n_documents,)
        Whether that topic is the true one.

    Raises
    ------
    DataError : if there are no documents, or not one of both for each.

    References
    ----------
    El-Yaniv and Wiener (2010), On the foundations of noise-free selective classification: the
    risk-coverage curve, of which this is the complement.
    """
    proba = np.asarray(proba_top, dtype=np.float64)
    right = np.asarray(correct, dtype=bool)
    if proba.ndim != 1 or proba.shape != right.shape or not proba.size:
        raise DataError(
            f"there are probabilities of shape {proba.shape} and answers of shape {right.shape}; "
            "give one probability for each answer, and at least one."
        )
    values, alike = np.unique(-proba, return_inverse=True)
    n_answered = np.cumsum(np.bincount(alike, minlength=len(values)))
    n_right = np.cumsum(np.bincount(alike[right], minlength=len(values)))
    return CoverageCurve(-values, n_answered, n_right)
