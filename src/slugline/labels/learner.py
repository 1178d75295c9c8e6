"""Learns a model of the present labels: its doubts, its guesses and its accuracy so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, Index, Mask
from slugline.classifier import TopicClassifier, to_fitted
from slugline.corpus.documents import Topic
from slugline.corpus.topic_sets import split_rows
from slugline.experiment.suggest import doubt
from slugline.labels.accuracy import AccuracyEstimate, MeasuredLabels, estimate_accuracy
from slugline.labels.selection import MAX_COMPARED, TextSelector, doubt_weights
from slugline.model.fitted import Fitted

# The number of labels that two topics need at least.
_MIN_PER_TOPIC = 2


class LabelledText(NamedTuple):
    """A text that was selected and decided about.

    Attributes
    ----------
    row : int
        Its row among all texts.
    topics : tuple of str, or None
        The answer; None if it was skipped.
    probability : float or None
        The probability with which it was selected; None if that is unknown.
    n_candidates : int or None
        The number of texts among which it was selected.
    is_measured : bool
        Whether it may count in an estimate of accuracy: nobody saw a guess, and its probability is
        known.
    """

    row: int
    topics: tuple[str, ...] | None
    probability: float | None = None
    n_candidates: int | None = None
    is_measured: bool = False


@dataclass(frozen=True, eq=False)
class LabelModel:
    """A model of labels.

    Attributes
    ----------
    fitted : Fitted
    n_labels : int
        Number of labels that it has learned from.
    estimate : AccuracyEstimate
        Its accuracy on texts without a label.
    """

    fitted: Fitted
    n_labels: int
    estimate: AccuracyEstimate

    def guess(self, text: str) -> tuple[tuple[Topic, ...], float]:
        """Return the topics that the model gives to a text, and the likeliest one's probability."""
        proba = self.fitted.predict_proba([text])
        if (rule := self.fitted.multilabel_rule) is None:
            return (self.fitted.topics.names[int(proba.argmax())],), float(proba.max())
        [topics] = split_rows(rule.deepest(rule.decide(proba)), self.fitted.topics.names, proba)
        return tuple(topics), float(proba.max())


def learn_labels(
    texts: Sequence[str],
    labelled: Sequence[LabelledText],
    selector: TextSelector,
    classifier: TopicClassifier,
) -> LabelModel | None:
    """Return a model of the labels, and let the selector prefer the texts that it doubts.

    None is returned if there are too few labels to learn from.

    Parameters
    ----------
    texts : sequence of str
    labelled : sequence of LabelledText
        In the order in which they were selected.
    selector : TextSelector
    classifier : TopicClassifier
        It is fitted, and has the settings.
    """
    answered = [each for each in labelled if each.topics is not None]
    answers = [each.topics for each in answered if each.topics is not None]
    if not _can_learn(answers):
        return None
    is_multilabel = any(len(answer) != 1 for answer in answers)
    y = answers if is_multilabel else [answer[0] for answer in answers]
    classifier.fit([texts[each.row] for each in answered], y)
    fitted = to_fitted(classifier)
    rows = selector.pool.sample(MAX_COMPARED)
    if not len(rows):
        return None
    proba = fitted.predict_proba([texts[row] for row in rows.tolist()])
    weights = doubt_weights(doubt(proba, fitted.multilabel_rule))

    def weigh(some: Index) -> F64:
        if some is rows:
            return weights
        others = fitted.predict_proba([texts[row] for row in some.tolist()])
        return doubt_weights(doubt(others, fitted.multilabel_rule))

    selector.compare(rows, weigh)
    measured = _measure(fitted, labelled)
    estimate = estimate_accuracy(measured, float(_confidence(fitted, proba).mean()))
    return LabelModel(fitted, len(answered), estimate)


def _can_learn(answers: Sequence[tuple[str, ...]]) -> bool:
    """Whether two topics have enough labels."""
    counts = Counter(topic for answer in answers for topic in answer)
    return sum(n >= _MIN_PER_TOPIC for n in counts.values()) >= 2


def _confidence(fitted: Fitted, proba: F32) -> F64:
    """Return the probability that each answer is right, shape (n_texts,)."""
    if (rule := fitted.multilabel_rule) is None:
        return proba.max(axis=1).astype(np.float64)
    # All decisions about topics have to be right; they are taken as independent.
    right = np.where(rule.decide(proba), proba, 1 - proba)
    return np.exp(np.log(np.maximum(right, 1e-6)).sum(axis=1, dtype=np.float64))


def _measure(fitted: Fitted, labelled: Sequence[LabelledText]) -> MeasuredLabels:
    """Return the labels that may be measured, with held-out answers of the model.

    A text whose topic no other text has, has no held-out answer: it can't be right without it.
    """
    is_right, confidence = _heldout_answers(fitted)
    n_answered = len(is_right)
    answered = np.array([each.topics is not None for each in labelled])
    place = np.where(answered, np.cumsum(answered) - 1, n_answered)
    is_counted = np.array([each.is_measured and bool(each.probability) for each in labelled])
    counted = [each for each, use in zip(labelled, is_counted.tolist(), strict=True) if use]
    usual = float(np.nanmean(confidence)) if not np.isnan(confidence).all() else 0.5
    all_right = np.append(is_right, False)[place][is_counted]
    all_confidence = np.append(confidence, usual)[place][is_counted]
    return MeasuredLabels(
        is_right=all_right,
        is_skipped=~answered[is_counted],
        confidence=np.where(np.isnan(all_confidence), usual, all_confidence),
        probability=np.array([each.probability for each in counted], dtype=np.float64),
        n_candidates=np.array([each.n_candidates for each in counted], dtype=np.float64),
    )


def _heldout_answers(fitted: Fitted) -> tuple[Mask, F64]:
    """Return whether each training text's held-out answer is right, and its confidence or NaN."""
    is_right = np.zeros(fitted.n_documents, dtype=bool)
    confidence = np.full(fitted.n_documents, np.nan)
    heldout = fitted.heldout_predictions
    if heldout is None or heldout.rows is None:
        return is_right, confidence
    proba = heldout.dense_proba()
    confidence[heldout.rows] = _confidence(fitted, proba)
    if (rule := fitted.multilabel_rule) is None:
        is_right[heldout.rows] = proba.argmax(axis=1) == heldout.labels.topics
    else:
        expected = heldout.labels.indicator(proba.shape[1]) > 0
        is_right[heldout.rows] = (rule.decide(proba) == expected).all(axis=1)
    return is_right, confidence
