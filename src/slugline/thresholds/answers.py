"""Answers to documents that were not learned from: what tells how far to trust new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64, Mask
from slugline.errors import DataError
from slugline.text.known_words import UsualWords
from slugline.thresholds.precision import Reach, best_precision, lowest_threshold
from slugline.thresholds.sets import highest_score, set_scores

__all__ = ["ARRAYS", "MOST_ANSWERS", "LeftOutAnswers"]


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
        The score of the document's own topic; see `slugline.thresholds.sets`.
    words : UsualWords or None
        How many unknown words are usual; None if that is not looked at.
    precision : float or None
        The one to choose thresholds for, if no other is asked.
    """

    topics: I64
    probabilities: F32
    right: Mask
    scores: F32
    words: UsualWords | None = None
    precision: float | None = None

    def __len__(self) -> int:
        return len(self.topics)

    @classmethod
    def of(
        cls, proba: F32, y: I64, words: UsualWords | None, precision: float | None
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
        words: UsualWords | None,
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
