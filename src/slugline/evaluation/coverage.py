"""How many answers there are over a probability, and how many of them are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slugline.errors import DataError

__all__ = ["CoverageCurve", "coverage_curve"]


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

    thresholds: npt.NDArray[np.float64]
    n_answered: npt.NDArray[np.int64]
    n_right: npt.NDArray[np.int64]

    @property
    def n_documents(self) -> int:
        """Number of documents, answered or not."""
        return int(self.n_answered[-1])

    @property
    def coverage(self) -> npt.NDArray[np.float64]:
        """Share of the documents that is answered, shape (n_thresholds,)."""
        shares: npt.NDArray[np.float64] = self.n_answered / self.n_documents
        return shares

    @property
    def accuracy(self) -> npt.NDArray[np.float64]:
        """Share of the answers that is right, shape (n_thresholds,)."""
        shares: npt.NDArray[np.float64] = self.n_right / self.n_answered
        return shares

    def at(self, threshold: float) -> tuple[int, int]:
        """Return how many answers have at least a probability, and how many of them are right."""
        n = int(np.count_nonzero(self.thresholds >= threshold))
        return (int(self.n_answered[n - 1]), int(self.n_right[n - 1])) if n else (0, 0)

    def widest(self, accuracy: float) -> int | None:
        """Return the place of the lowest threshold with such an accuracy; None if there is none."""
        places = np.flatnonzero(self.n_right >= accuracy * self.n_answered)
        return int(places[-1]) if len(places) else None


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
