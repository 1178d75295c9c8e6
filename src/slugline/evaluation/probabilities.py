"""Calibration of probabilities, and accuracy as a function of coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, I64, Floats, Mask
from slugline.base.checks import check_whole
from slugline.errors import DataError
from slugline.evaluation.intervals import Interval, wilson

#: Number of bins.
N_BINS = 15
# Maximum excess of a probability over 1 after rounding to float32.
_MAX_ROUNDING_ERROR = 1e-5


class Bin(NamedTuple):
    """Predictions with similar probabilities."""

    n_documents: int
    probability: float  # mean probability
    # Number of right predictions; may be fractional, because predictions of equal probability are
    # averaged across bins.
    n_right: float

    @property
    def fraction_right(self) -> float:
        """Fraction of right predictions."""
        return self.n_right / self.n_documents

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval of the fraction of right predictions."""
        return wilson(self.n_right, self.n_documents)


def reliability_curve(
    proba_top: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = N_BINS
) -> list[Bin]:
    """Return the mean probability and fraction of right predictions in bins of equal size.

    Parameters
    ----------
    proba_top : float array, shape (n_documents,)
        Probability of each document's predicted topic.
    correct : bool array, shape (n_documents,)
        True if the prediction is right.
    n_bins : int, default 15
        With fewer documents, each has its own bin.

    Raises
    ------
    DataError : if there are no documents, shapes differ, or a probability is not between 0 and 1.

    References
    ----------
    Nixon et al. (2019), Measuring calibration in deep learning (bins of equal mass).
    """
    check_whole("n_bins", n_bins, 1)
    proba, right = _check_arrays(proba_top, correct)
    check_probabilities(proba)
    _, codes, counts = np.unique(proba, return_inverse=True, return_counts=True)
    # Average over predictions of equal probability, so that the order of documents doesn't matter.
    fraction_right = (np.bincount(codes, right) / counts)[codes]
    order = np.argsort(proba, kind="stable")
    return [
        Bin(len(rows), float(proba[rows].mean()), float(fraction_right[rows].sum()))
        for rows in np.array_split(order, min(n_bins, proba.size))
    ]


def check_probabilities(proba: Floats) -> None:
    """Raise DataError unless all probabilities are between 0 and 1."""
    if not ((proba >= 0) & (proba <= 1 + _MAX_ROUNDING_ERROR)).all():
        raise DataError(
            "a probability is not between 0 and 1; pass the probabilities of `predict_proba`."
        )


def _check_arrays(proba_top: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[F64, Mask]:
    proba = np.asarray(proba_top, dtype=np.float64)
    right = np.asarray(correct, dtype=bool)
    if proba.ndim != 1 or proba.shape != right.shape or not proba.size:
        raise DataError(
            f"the probabilities have shape {proba.shape}, but the answers have shape "
            f"{right.shape}; pass one probability per answer, and at least one."
        )
    return proba, right


def calibration_error(
    proba_top: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = N_BINS
) -> float:
    """Return the mean absolute difference between probability and fraction of right predictions.

    The mean is over bins, weighted by their number of documents. See `reliability_curve` for bins,
    parameters and errors.
    """
    bins = reliability_curve(proba_top, correct, n_bins)
    gaps = (abs(b.n_documents * b.probability - b.n_right) for b in bins)
    return sum(gaps) / sum(b.n_documents for b in bins)


def chance_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error of perfect probabilities.

    On average, the fraction of right predictions in a bin of n documents differs from its
    probability p by sqrt(2 p (1 - p) / (pi n)): the mean absolute deviation of a binomial
    distribution, approximated by a normal one.
    """
    n_documents = sum(b.n_documents for b in bins)
    variances = (max(0.0, b.probability * (1 - b.probability)) * b.n_documents for b in bins)
    return sum(math.sqrt(2 / math.pi * variance) for variance in variances) / n_documents


# Coverage -----------------------------------------------------------------------------------------


class CoveragePoint(NamedTuple):
    """Number of answers and right answers at a threshold, the minimum probability to answer."""

    threshold: float
    n_documents: int
    n_answered: int
    n_right: int

    @property
    def coverage(self) -> float:
        """Fraction of documents with an answer."""
        return self.n_answered / self.n_documents

    @property
    def accuracy(self) -> float:
        """Fraction of right answers, or NaN if there are no answers."""
        return self.n_right / self.n_answered if self.n_answered else math.nan

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval of the accuracy; requires at least one answer."""
        return wilson(self.n_right, self.n_answered)


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """Number of answers and right answers at every threshold."""

    # Shape (n_thresholds,): distinct probabilities of predictions, highest first.
    thresholds: F64
    # Shape (n_thresholds,).
    n_answered: I64
    n_right: I64

    @property
    def n_documents(self) -> int:
        """Number of documents, answered or not."""
        return int(self.n_answered[-1])

    def at(self, threshold: float) -> CoveragePoint:
        """Return the point at a threshold."""
        n = int(np.count_nonzero(self.thresholds >= threshold))
        counts = (int(self.n_answered[n - 1]), int(self.n_right[n - 1])) if n else (0, 0)
        return CoveragePoint(threshold, self.n_documents, *counts)

    def with_accuracy(self, accuracy: float) -> CoveragePoint | None:
        """Return the point with the most answers and at least this accuracy, if any."""
        indices = np.flatnonzero(self.n_right >= accuracy * self.n_answered)
        return self._point(int(indices[-1])) if len(indices) else None

    def with_coverage(self, coverage: float) -> CoveragePoint:
        """Return the point with the fewest answers and at least this coverage."""
        return self._point(int(np.searchsorted(self.n_answered, coverage * self.n_documents)))

    def points(self, max_points: int = 200) -> list[CoveragePoint]:
        """Return points at evenly spaced coverages, fewest answers first."""
        n_answered = np.linspace(self.n_documents, 1, min(max_points, self.n_documents))
        indices = np.unique(np.searchsorted(self.n_answered, n_answered))
        return [self._point(index) for index in indices.tolist()]

    def _point(self, index: int) -> CoveragePoint:
        counts = self.n_documents, int(self.n_answered[index]), int(self.n_right[index])
        return CoveragePoint(float(self.thresholds[index]), *counts)


def coverage_curve(proba_top: npt.ArrayLike, correct: npt.ArrayLike) -> CoverageCurve:
    """Return coverage and accuracy for every threshold.

    See `reliability_curve` for the parameters.

    Raises
    ------
    DataError : if there are no documents, or shapes differ.

    References
    ----------
    El-Yaniv and Wiener (2010), On the foundations of noise-free selective classification. This
    curve is the complement of their risk-coverage curve.
    """
    proba, right = _check_arrays(proba_top, correct)
    values, codes = np.unique(-proba, return_inverse=True)
    n_answered = np.cumsum(np.bincount(codes, minlength=len(values)))
    n_right = np.cumsum(np.bincount(codes[right], minlength=len(values)))
    return CoverageCurve(-values, n_answered, n_right)
