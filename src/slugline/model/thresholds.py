"""Answers to documents that were not learned from: what tells how far to trust new ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, F64, I64, Floats, Integers, Mask
from slugline.errors import DataError
from slugline.text.features import UnknownWordRate

__all__ = [
    "ARRAYS",
    "CONFIDENCE",
    "MOST_ANSWERS",
    "LeftOutAnswers",
    "Reach",
    "best_precision",
    "highest_score",
    "lowest_threshold",
    "set_scores",
]


# The lowest probability from which on answers are right as often as asked, as far as data ---------

#: How often a threshold keeps its promise, at least, over sets of documents to choose it by.
CONFIDENCE = 0.9
# Thresholds that are looked at, and from how many of them the search goes down: one that starts
# with the highest alone ends at its few answers if one of these has a wrong topic. Chosen on
# training splits of 21 sets, from 5 labels a topic to all.
_N_LEVELS, _N_STARTS = 100, 5
# Precisions that are tried to find the highest that can be promised; nobody asks for lower ones.
_STEPS = np.concatenate([[0.999, 0.995], np.arange(99, 49, -1) / 100])


class Reach(NamedTuple):
    """What can be promised.

    Attributes
    ----------
    precision : float
        0 if not even 0.5 can.
    coverage : float
        Share of the answers that reach the threshold for it.
    """

    precision: float
    coverage: float


def lowest_threshold(probabilities: Floats, right: Mask, precision: float) -> float:
    """Return the probability from which on answers are right so often, with 90 % confidence.

    Going down from five thresholds, it takes in more and more answers while so many right ones
    among them would be rare, were the precision lower than asked: a binomial test, which is the
    lower Clopper-Pearson bound turned round. Each of the five ways has a fifth of the risk.

    Parameters
    ----------
    probabilities : float array, shape (n_answers,)
        Of answers to documents that were not learned from.
    right : bool array, shape (n_answers,)
        Which of them are right.
    precision : float, over 0 and under 1

    Returns
    -------
    float; infinite if no threshold passes.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan and Lei (2021), Learn then test: fixed-sequence testing with
    several starts. Clopper and Pearson (1934), The use of confidence or fiducial limits.
    """
    n, n_right, thresholds = _levels(probabilities, right)
    risk = (1 - CONFIDENCE) / _N_STARTS
    # With fewer answers, not even all of them right would pass.
    enough = n >= np.log(risk) / np.log(precision)
    n, n_right, thresholds = n[enough], n_right[enough], thresholds[enough]
    if not len(n):
        return np.inf
    some = np.unique(np.linspace(0, len(n) - 1, _N_LEVELS).astype(int))
    passes = _chance(n_right[some], n[some], precision) <= risk
    starts = len(some) * np.arange(_N_STARTS) // _N_STARTS
    lengths = [_run_length(passes[start:]) for start in starts.tolist()]
    ends = [start + length for start, length in zip(starts, lengths, strict=True) if length]
    return float(thresholds[some[max(ends) - 1]]) if ends else np.inf


def best_precision(probabilities: Floats, right: Mask) -> Reach:
    """Return the highest precision that can be promised, and for how many of the answers."""
    for precision in _STEPS.tolist():
        threshold = lowest_threshold(probabilities, right, precision)
        if threshold < np.inf:
            return Reach(precision, float((probabilities >= threshold).mean()))
    return Reach(0.0, 0.0)


def _levels(probabilities: Floats, right: Mask) -> tuple[Integers, Integers, Floats]:
    """Return how many answers reach each probability that occurs, and how many of them are right.

    Answers of the same probability come all or none.
    """
    order = np.argsort(-probabilities, kind="stable")
    values = probabilities[order]
    differs = np.append(values[1:] != values[:-1], True)[: len(values)]
    last = np.flatnonzero(differs)
    return last + 1, np.cumsum(right[order], dtype=np.int64)[last], values[last]


def _chance(n_right: Integers, n: Integers, precision: float) -> F64:
    """Return how probable so many right answers or more are, if each is right so often."""
    from scipy.special import bdtrc

    found: F64 = bdtrc(np.maximum(n_right - 1, 0), n, precision)
    return np.where(n_right > 0, found, 1.0)


def _run_length(passes: Mask) -> int:
    """Return how many pass before the first that does not."""
    return len(passes) if passes.all() else int(passes.argmin())


# Sets of topics that hold the right one as often as asked: conformal prediction -------------------

# What each topic after the first one costs, so that long tails of small probabilities stay out of
# sets. Chosen on training splits: sets of few topics grow by less than a tenth over the smallest
# possible ones, and those of doubtful texts are still the larger ones.
_PENALTY = 0.05


def set_scores(proba: Floats) -> F64:
    """Return how far down each topic stands: the lower, the sooner it belongs to the set.

    The score of a topic is the probability of all topics before it, and a penalty for each of them:
    RAPS, with 0 in place of its random number. So the same text always gets the same set, no set is
    empty, and the surer a text, the fewer topics it has.

    Parameters
    ----------
    proba : float array, shape (n_documents, n_topics)

    Returns
    -------
    float64 array, shape (n_documents, n_topics)

    References
    ----------
    Romano, Sesia and Candès (2020), Classification with valid and adaptive coverage, and
    Angelopoulos, Bates, Malik and Jordan (2021), Uncertainty sets for image classifiers using
    conformal prediction.
    """
    order = np.argsort(-proba, axis=1, kind="stable")
    sorted_proba = np.take_along_axis(proba, order, axis=1).astype(np.float64)
    scores = sorted_proba.cumsum(axis=1) - sorted_proba
    scores[:, 0] = 0
    scores += _PENALTY * np.arange(proba.shape[1])
    found = np.empty_like(scores)
    np.put_along_axis(found, order, scores, axis=1)
    return found


def highest_score(scores: Floats, coverage: float) -> float:
    """Return the score up to which topics belong to sets that hold the right one so often.

    Parameters
    ----------
    scores : float array, shape (n_answers,)
        The score of the right topic of each document, none of which was learned from.
    coverage : float, over 0 and under 1

    Returns
    -------
    float; infinite if documents are too few, so that every topic belongs to each set.
    """
    place = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf


# Answers to documents that were not learned from: what tells how far to trust new ones ------------

#: As many say whether a precision is reached to within a third of a point.
MOST_ANSWERS = 5000
# A topic that was answered less often has no threshold of its own: at a precision of 0.95, 76 right
# answers in a row are the fewest that pass.
_ENOUGH = 100
# An answer that is more likely wrong than right is not given alone, however good the others are.
_EVEN = 0.5
#: Names of the arrays in a model file.
ARRAYS = ("topics", "probabilities", "scores")
# What no probability reaches, though float32 may miss 1.
_OVER_1 = 1.001


@dataclass(frozen=True, eq=False)
class LeftOutAnswers:
    """The most likely topic of some training documents, by what was learned from others.

    Attributes
    ----------
    topics : int array, shape (n_answers,)
        The number of the most likely topic.
    probabilities : float32 array, shape (n_answers,)
        Its probability.
    right : bool array, shape (n_answers,)
        Whether it is the document's own topic.
    scores : float32 array, shape (n_answers,)
        The score of the document's own topic; see `slugline.model.thresholds`.
    words : UnknownWordRate or None
        How many unknown words are usual; None if that is not looked at.
    precision : float or None
        The one to choose thresholds for, if no other is asked.
    """

    topics: I64
    probabilities: F32
    right: Mask
    scores: F32
    words: UnknownWordRate | None = None
    precision: float | None = None

    def __len__(self) -> int:
        return len(self.topics)

    @classmethod
    def of(
        cls, proba: F32, y: I64, words: UnknownWordRate | None, precision: float | None
    ) -> LeftOutAnswers:
        """Return the answers by probabilities of documents, evenly thinned if they are very many.

        Parameters
        ----------
        proba : float32 array, shape (n_documents, n_topics)
        y : int array, shape (n_documents,)
            Their topics.
        words, precision
        """
        some = np.linspace(0, len(y), min(len(y), MOST_ANSWERS), endpoint=False).astype(np.intp)
        proba, y = proba[some], y[some]
        own, best = np.arange(len(y)), proba.argmax(axis=1)
        scores = set_scores(proba)[own, y].astype(np.float32)
        return cls(best, proba[own, best], best == y, scores, words, precision)

    @classmethod
    def restore(
        cls,
        arrays: Mapping[str, npt.NDArray[Any]],
        n_topics: int,
        words: UnknownWordRate | None,
        precision: float,
    ) -> LeftOutAnswers:
        """Return what `arrays` gave, from a file.

        Raises
        ------
        DataError : if they can't be such arrays; they may come from anywhere.
        """
        topics, probabilities, scores = (arrays[name] for name in ARRAYS)
        if not (topics.shape == probabilities.shape == scores.shape == (len(topics),)):
            raise DataError("answers left out whose topics, probabilities and scores don't match")
        if len(topics) > MOST_ANSWERS or topics.dtype != np.uint16:
            raise DataError(f"{len(topics):,} answers left out, of type {topics.dtype}")
        if topics.max(initial=0) >= n_topics:
            raise DataError("answers left out with a topic that there is not")
        in_range = (probabilities > 0) & (probabilities < _OVER_1) & (scores >= 0)
        if not in_range.all():
            raise DataError("answers left out with a probability or score out of range")
        return cls(topics.astype(np.int64), probabilities, scores == 0, scores, words, precision)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return them for a model file.

        Which are right is not among them: the score of a topic in the first place, and of no other,
        is 0.
        """
        columns = (self.topics.astype(np.uint16), self.probabilities, self.scores)
        return dict(zip(ARRAYS, columns, strict=True))

    def thresholds(self, precision: float, n_topics: int, per_topic: bool = False) -> F32:
        """Return the probability from which on an answer of each topic is given alone.

        Parameters
        ----------
        precision : float, over 0 and under 1
            How often answers that are given alone are to be right.
        n_topics : int
        per_topic : bool, default False
            Keep that promise for each topic that was answered a hundred times, if that can be
            promised, and for all others together. By default, it is kept for all answers together.

        Returns
        -------
        float32 array, shape (n_topics,): at least 0.5, or the precision if that is lower; infinite
        for topics that are never answered alone.
        """
        found = np.full(n_topics, np.inf, dtype=np.float32)
        if per_topic:
            often = np.flatnonzero(np.bincount(self.topics, minlength=n_topics) >= _ENOUGH)
            for topic in often.tolist():
                found[topic] = self._threshold(precision, self.topics == topic)
        rest = np.isinf(found)
        found[rest] = self._threshold(precision, rest[self.topics])
        return np.maximum(found, np.float32(min(_EVEN, precision)))

    def reach(self, thresholds: F32) -> Reach:
        """Return how often left-out answers over thresholds are right, and how many these are."""
        alone = self.probabilities >= thresholds[self.topics]
        if not alone.any():
            return Reach(0.0, 0.0)
        return Reach(float(self.right[alone].mean()), float(alone.mean()))

    def best_precision(self) -> Reach:
        """Return the highest precision that can be promised for all topics together."""
        best, _ = best_precision(self.probabilities, self.right)
        if not best:
            return Reach(0.0, 0.0)
        n_topics = int(self.topics.max()) + 1
        return Reach(best, self.reach(self.thresholds(best, n_topics)).coverage)

    def highest_score(self, coverage: float) -> float:
        """Return the score up to which topics belong to sets that hold the right one so often."""
        return highest_score(self.scores, coverage)

    def _threshold(self, precision: float, chosen: Mask) -> float:
        return lowest_threshold(self.probabilities[chosen], self.right[chosen], precision)
