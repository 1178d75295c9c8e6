"""Thresholds of probability, and sets of topics, that are right as often as asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, F64, I64, Floats, Integers, Mask
from slugline.errors import DataError
from slugline.text.features import UnknownWordRate

# Thresholds of precision --------------------------------------------------------------------------

#: How often a threshold keeps its promise, at least, over sets of documents to choose it by.
CONFIDENCE = 0.9
# Thresholds that are looked at, and from how many of them the search goes down: one that starts
# with the highest alone ends at its few answers if one of these has a wrong topic. Chosen on
# training splits of 21 sets, from 5 labels per topic to all.
_N_LEVELS, _N_STARTS = 100, 5
# Precisions that are tried to find the highest that can be promised; nobody asks for lower ones.
_STEPS = np.concatenate([[0.999, 0.995], np.arange(99, 49, -1) / 100])

# See `ConfidentErrors.suggest_wrong_labels`.
_CONFIDENT_ERROR, _FEWEST_ERRORS = 0.2, 5


class AchievablePrecision(NamedTuple):
    """A precision (0 if not even 0.5 can be promised), and the share of predictions over it."""

    precision: float
    coverage: float


def lowest_threshold(probabilities: Floats, right: Mask, precision: float) -> float:
    """Return the lowest probability at which predictions have a precision, with 90 % confidence.

    Going down from five starting points, it includes more predictions as long as a binomial test
    (the inverse of the lower Clopper-Pearson bound) rejects a lower precision. Each starting point
    has a fifth of the risk.

    Parameters
    ----------
    probabilities : float array, shape (n_predictions,)
        Of held-out predictions.
    right : bool array, shape (n_predictions,)
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
    levels = np.linspace(0, len(n) - 1, min(len(n), _N_LEVELS)).astype(int)
    passes = _p_value(n_right[levels], n[levels], precision) <= risk
    starts = len(levels) * np.arange(_N_STARTS) // _N_STARTS
    lengths = [_count_until_failure(passes[start:]) for start in starts.tolist()]
    ends = [start + length for start, length in zip(starts, lengths, strict=True) if length]
    return float(thresholds[levels[max(ends) - 1]]) if ends else np.inf


def best_precision(probabilities: Floats, right: Mask) -> AchievablePrecision:
    """Return the highest precision that can be promised, and the share of predictions covered."""
    for precision in _STEPS.tolist():
        threshold = lowest_threshold(probabilities, right, precision)
        if threshold < np.inf:
            return AchievablePrecision(precision, float((probabilities >= threshold).mean()))
    return AchievablePrecision(0.0, 0.0)


class ConfidentErrors(NamedTuple):
    """The quarter of held-out predictions with the highest probabilities, and all of them."""

    n_sure: int
    n_wrong: int
    # Of all predictions, the share that is wrong.
    error_rate: float

    @classmethod
    def from_predictions(cls, probabilities: Floats, right: Mask) -> ConfidentErrors:
        """Return how many of the surest predictions are wrong."""
        n_sure = len(right) // 4
        surest = np.argsort(-probabilities, kind="stable")[:n_sure]
        n_wrong = n_sure - int(np.count_nonzero(right[surest]))
        return cls(n_sure, n_wrong, 1 - float(right.mean()) if len(right) else 0.0)

    @property
    def suggest_wrong_labels(self) -> bool:
        """Whether the surest predictions are wrong so often that labels are likely to be wrong.

        Hard documents get low probabilities, wrong labels any: on training splits of eight sets,
        the error rate of the surest quarter is at most 0.14 of that of all predictions, and at
        least 0.21 of it if 5 % of the labels are replaced. Of sets whose topics overlap by nature
        (reviews, diseases, short sentences on anything) it is 0.24 to 0.36 as they are.
        """
        is_common = self.n_wrong > _CONFIDENT_ERROR * self.error_rate * self.n_sure
        return self.n_wrong >= _FEWEST_ERRORS and is_common


def _levels(probabilities: Floats, right: Mask) -> tuple[Integers, Integers, Floats]:
    """Return how many predictions reach each distinct probability, and how many are right."""
    order = np.argsort(-probabilities, kind="stable")
    values = probabilities[order]
    differs = np.append(values[1:] != values[:-1], True)[: len(values)]
    last = np.flatnonzero(differs)
    return last + 1, np.cumsum(right[order], dtype=np.int64)[last], values[last]


def _p_value(n_right: Integers, n: Integers, precision: float) -> F64:
    """Return the probability of so many right predictions or more at a precision."""
    pairs = zip(n_right.tolist(), n.tolist(), strict=True)
    return np.array([_binomial_tail(n_right, n, precision) for n_right, n in pairs])


def _binomial_tail(least: int, n: int, p: float) -> float:
    """Return the probability of `least` successes or more of `n`.

    SciPy's `bdtrc` gives the same, but importing it takes longer than all else that loads a model.
    """
    n_failed = np.arange(1, n - least + 1)
    # Logarithms of the binomial coefficients, each from the one before.
    logs = np.append(0.0, np.log((n + 1 - n_failed) / n_failed).cumsum())
    logs += np.arange(len(logs)) * math.log1p(-p) + (n - np.arange(len(logs))) * math.log(p)
    return min(1.0, float(np.exp(logs).sum()))


def _count_until_failure(passes: Mask) -> int:
    """Return how many pass before the first that does not."""
    return len(passes) if passes.all() else int(passes.argmin())


# Conformal sets -----------------------------------------------------------------------------------

# What each topic after the first one costs, so that long tails of small probabilities stay out of
# sets. Chosen on training splits: sets of few topics grow by less than a tenth over the smallest
# possible ones, and those of doubtful texts are still the larger ones.
_PENALTY = 0.05


def set_scores(proba: Floats) -> F64:
    """Return the conformal score of each topic: the lower, the sooner it belongs to the set.

    The score is the probability of all topics ranked higher, and a penalty for each of them: RAPS
    with 0 in place of its random number. So the same text always gets the same set, no set is
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
    unsorted = np.empty_like(scores)
    np.put_along_axis(unsorted, order, scores, axis=1)
    return unsorted


def highest_score(scores: Floats, coverage: float) -> float:
    """Return the highest score in sets that hold the right topic with probability `coverage`.

    It is a quantile of the right topics' scores in held-out documents; infinite if these are too
    few, so that every topic belongs to each set.
    """
    place = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else math.inf


# Held-out predictions -----------------------------------------------------------------------------

#: As many say whether a precision is reached to within a third of a point.
MAX_PREDICTIONS = 5000
# Of several topics a document, each of which has a threshold of its own. Each takes ten bytes.
_MAX_DECISIONS = 20_000
#: A topic that was answered less often has no threshold of its own: at a precision of 0.95, 76
#: right answers in a row are the fewest that pass. Of several topics a document, the smaller number
#: would leave out more of the true ones, as measured on training splits, and be no more right.
MIN_PER_TOPIC, MIN_PER_TOPIC_OF_SEVERAL = 100, 200
# An answer that is more likely wrong than right is not given alone, however good the others are.
_EVEN = 0.5
# Less likely topics of a document are never given alone; they are not held for it.
_LEAST_LIKELY = 0.25
#: Names of the arrays in a model file.
ARRAYS = ("topics", "probabilities", "scores")
# What no probability reaches, though float32 may miss 1.
_OVER_1 = 1.001


@dataclass(frozen=True, eq=False)
class HeldOutPredictions:
    """Predictions for training documents by models that did not learn from them.

    Attributes
    ----------
    topics : int array, shape (n_predictions,)
        The number of the most likely topic.
    probabilities : float32 array, shape (n_predictions,)
        Its probability.
    right : bool array, shape (n_predictions,)
    scores : float32 array, shape (n_predictions,)
        The conformal score of the document's own topic; see `set_scores`.
    words : UnknownWordRate or None
        How many unknown words are usual; None if that is not checked.
    precision : float or None
        The default precision of thresholds; None if all predictions are given.
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
    def from_proba(
        cls, proba: F32, y: I64, words: UnknownWordRate | None, precision: float | None
    ) -> HeldOutPredictions:
        """Return the predictions for documents of topics `y`, thinned to `MAX_PREDICTIONS`."""
        rows = np.linspace(0, len(y), min(len(y), MAX_PREDICTIONS), endpoint=False).astype(np.intp)
        proba, y = proba[rows], y[rows]
        positions, best = np.arange(len(y)), proba.argmax(axis=1)
        scores = set_scores(proba)[positions, y].astype(np.float32)
        return cls(best, proba[positions, best], best == y, scores, words, precision)

    @classmethod
    def from_decisions(
        cls, proba: F32, y: F32, words: UnknownWordRate | None, precision: float | None
    ) -> HeldOutPredictions:
        """Return a prediction for each topic of a document that is at all likely.

        Their scores are 0 if they are right, else 1: there are no sets that hold the right topic.

        Parameters
        ----------
        proba, y : float32 array, shape (n_documents, n_topics)
            Probabilities, and 1 for each topic of a document.
        """
        documents, topics = np.nonzero(proba >= _LEAST_LIKELY)
        n_chosen = min(len(topics), _MAX_DECISIONS)
        chosen = np.linspace(0, len(topics), n_chosen, endpoint=False).astype(np.intp)
        documents, topics = documents[chosen], topics[chosen]
        right = y[documents, topics] > 0
        scores = (~right).astype(np.float32)
        return cls(topics, proba[documents, topics], right, scores, words, precision)

    @classmethod
    def restore(
        cls,
        arrays: Mapping[str, npt.NDArray[Any]],
        n_topics: int,
        words: UnknownWordRate | None,
        precision: float | None,
    ) -> HeldOutPredictions:
        """Return the predictions from `arrays` of a file; DataError if these are invalid."""
        topics, probabilities, scores = (arrays[name] for name in ARRAYS)
        if not (topics.shape == probabilities.shape == scores.shape == (len(topics),)):
            raise DataError("held-out answers whose topics, probabilities and scores don't match")
        if len(topics) > _MAX_DECISIONS or topics.dtype != np.uint16:
            raise DataError(f"{len(topics):,} held-out answers, of type {topics.dtype}")
        if topics.max(initial=0) >= n_topics:
            raise DataError("held-out answers with a topic that there is not")
        in_range = (probabilities > 0) & (probabilities < _OVER_1) & (scores >= 0)
        if not in_range.all():
            raise DataError("held-out answers with a probability or score out of range")
        return cls(topics.astype(np.int64), probabilities, scores == 0, scores, words, precision)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a model file.

        `right` is not among them: the score is 0 for a right prediction, and for no other.
        """
        columns = (self.topics.astype(np.uint16), self.probabilities, self.scores)
        return dict(zip(ARRAYS, columns, strict=True))

    def thresholds(
        self, precision: float, n_topics: int, per_topic: bool = False, fewest: int = MIN_PER_TOPIC
    ) -> F32:
        """Return the lowest probability at which a prediction of each topic is given alone.

        Parameters
        ----------
        precision : float, over 0 and under 1
        n_topics : int
        per_topic : bool, default False
            Keep the precision for each topic that was predicted often, if that can be promised, and
            for all others together. By default, it holds for all topics together.
        fewest : int, default MIN_PER_TOPIC
            How often that is.

        Returns
        -------
        float32 array, shape (n_topics,): at least 0.5, or the precision if that is lower; infinite
        for topics that are never given alone.
        """
        thresholds = np.full(n_topics, np.inf, dtype=np.float32)
        if per_topic:
            often = np.flatnonzero(np.bincount(self.topics, minlength=n_topics) >= fewest)
            for topic in often.tolist():
                thresholds[topic] = self._threshold(precision, self.topics == topic)
        remaining = np.isinf(thresholds)
        thresholds[remaining] = self._threshold(precision, remaining[self.topics])
        return np.maximum(thresholds, np.float32(min(_EVEN, precision)))

    def precision_at(self, thresholds: F32) -> AchievablePrecision:
        """Return the precision and the share of the predictions over thresholds."""
        alone = self.probabilities >= thresholds[self.topics]
        if not alone.any():
            return AchievablePrecision(0.0, 0.0)
        return AchievablePrecision(float(self.right[alone].mean()), float(alone.mean()))

    def best_precision(self) -> AchievablePrecision:
        """Return the highest precision that can be promised for all topics together."""
        best, _ = best_precision(self.probabilities, self.right)
        if not best:
            return AchievablePrecision(0.0, 0.0)
        n_topics = int(self.topics.max()) + 1
        return self.precision_at(self.thresholds(best, n_topics))._replace(precision=best)

    @cached_property
    def alternative(self) -> AchievablePrecision | None:
        """The highest precision that can be promised if `precision` can't; None if it can."""
        everything = np.ones(len(self), dtype=bool)
        if self.precision is None or self._threshold(self.precision, everything) < np.inf:
            return None
        return self.best_precision()

    @cached_property
    def confident_errors(self) -> ConfidentErrors:
        """How often the predictions with the highest probabilities are wrong."""
        return ConfidentErrors.from_predictions(self.probabilities, self.right)

    def _threshold(self, precision: float, chosen: Mask) -> float:
        return lowest_threshold(self.probabilities[chosen], self.right[chosen], precision)
