"""How many answers there are over a probability, and how many of them are right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, I64
from slugline.errors import DataError
from slugline.evaluation.intervals import Interval, wilson

__all__ = ["CoverageCurve", "CoveragePoint", "coverage_curve"]


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
