"""Which topics to give a document that may have several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from slugline.base.arrays import F32, F64, I64, Floats, Mask
from slugline.errors import DataError

#: The F1 that thresholds are chosen for: over all decisions, the mean of topics', or of documents'.
Average = Literal["micro", "macro", "samples"]
AVERAGES: tuple[Average, ...] = ("micro", "macro", "samples")
# A topic's F1 by so many documents counts as much as the mean of all topics'.
_PRIOR_DOCUMENTS = 8
# Thresholds without held-out predictions, and those that are tried for documents' F1.
_USUAL, _TRIED = 0.4, np.arange(0.1, 0.71, 0.025)


@dataclass(frozen=True, eq=False)
class TopicDecision:
    """The rule that gives topics by their probabilities.

    Attributes
    ----------
    thresholds : float32 array, shape (n_topics,)
        The probability from which on each topic is given.
    at_least_one : bool
        Whether a document gets its most likely topic if none reaches its threshold, as all
        documents that were learned from have a topic.
    most : int
        The largest number of topics of a document that was learned from.
    average : {"micro", "macro", "samples"}
        The F1 that thresholds are chosen for.
    as_indicator : bool
        Whether predictions are an indicator array, like the topics that were learned from.
    """

    thresholds: F32 = field(repr=False)
    at_least_one: bool
    most: int
    average: Average = "micro"
    as_indicator: bool = False

    @classmethod
    def from_proba(cls, proba: F32, y: F32, sizes: I64, average: Average) -> TopicDecision:
        """Choose thresholds by held-out predictions.

        The threshold that maximises F1 is half of that maximum, if probabilities are calibrated:
        of F1 over all decisions for "micro", of each topic for "macro". That is less random than
        the threshold that did best.

        Parameters
        ----------
        proba, y : float32 array, shape (n_held_out, n_topics)
            Probabilities, and 1 for each topic of a document.
        sizes : int array, shape (n_documents,)
            Number of topics of all documents that were learned from.
        average : {"micro", "macro", "samples"}

        References
        ----------
        Lipton, Elkan and Naryanaswamy (2014), Optimal thresholding of classifiers to maximize F1
        measure. Fan and Lin (2007), A study on threshold selection for multi-label classification,
        and Lewis, Yang, Rose and Li (2004), RCV1, for what unshrunk thresholds do to rare topics.
        """
        rule = cls(
            np.full(proba.shape[1], _USUAL, dtype=np.float32),
            len(sizes) > 0 and bool(sizes.min()),
            int(sizes.max(initial=0)),
            average,
        )
        if not y.any():
            return rule
        if average == "samples":
            rules = [rule.with_thresholds(np.full_like(rule.thresholds, t)) for t in _TRIED]
            return max(rules, key=lambda rule: _document_f1(rule.given(proba), y))
        if average == "micro":
            return rule.with_thresholds(np.full_like(rule.thresholds, _best_f1(proba, y) / 2))
        counts = y.sum(axis=0)
        f1 = np.array([_best_f1(proba[:, i], y[:, i]) for i in range(len(counts))])
        mean = f1[counts > 0].mean()
        shrunk = (counts * f1 + _PRIOR_DOCUMENTS * mean) / (counts + _PRIOR_DOCUMENTS)
        return rule.with_thresholds((shrunk / 2).astype(np.float32))

    def with_thresholds(self, thresholds: F32) -> TopicDecision:
        """Return the rule with other thresholds."""
        return TopicDecision(
            thresholds, self.at_least_one, self.most, self.average, self.as_indicator
        )

    def given(self, proba: F32) -> Mask:
        """Return which topics each document gets, shape (n_documents, n_topics)."""
        mask: Mask = proba >= self.thresholds
        if self.at_least_one:
            empty = np.flatnonzero(~mask.any(axis=1))
            mask[empty, proba[empty].argmax(axis=1)] = True
        return mask

    def check(self, n_topics: int) -> None:
        """Raise DataError unless it fits so many topics; files are not trusted."""
        in_range = (self.thresholds > 0) & (self.thresholds <= 1)
        if self.thresholds.shape != (n_topics,) or not in_range.all():
            raise DataError("thresholds that don't fit the topics, or are no probabilities")


def _best_f1(proba: Floats, y: F32) -> float:
    """Return the highest F1 that a threshold reaches."""
    order = np.argsort(-proba, axis=None, kind="stable")
    right = y.ravel()[order].cumsum(dtype=np.float64)
    f1: F64 = 2 * right / (np.arange(1, len(right) + 1) + right[-1])
    return float(f1.max())


def _document_f1(given: Mask, y: F32) -> Any:
    """Return the mean F1 of documents; 1 for one without topics that gets none."""
    right, total = (given * y).sum(axis=1), given.sum(axis=1) + y.sum(axis=1)
    return np.where(total > 0, 2 * right / np.maximum(total, 1), 1).mean()
