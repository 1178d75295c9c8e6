"""Learns a model of the present labels: its doubts, its guesses and its accuracy so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slugline.base.arrays import F32, F64, Index, Mask
from slugline.classifier import TopicClassifier, to_fitted
from slugline.corpus.topic_sets import split_rows
from slugline.experiment.suggest import doubt
from slugline.labels.accuracy import AccuracyEstimate, MeasuredLabels, estimate_accuracy
from slugline.labels.label_report import (
    DoublingForecast,
    LabelReport,
    accuracy_by_topic,
    forecast_doubling,
)
from slugline.labels.labelled_texts import LabelledText
from slugline.labels.selection import doubt_weights
from slugline.model.fitted import Fitted

# The number of labels that two topics need at least.
_MIN_PER_TOPIC = 2
# Where a fit makes no held-out predictions of all its texts, as with many labels, so many fits
# make them: in eight simulated annotations of 1,000 texts of training splits, their accuracy was
# that on other texts on average, and differed by 1.5 points from it.
_N_FOLDS = 10
# How often labels are halved to see what the second half brought, and the fewest labels for that.
_N_HALVINGS, _MIN_TO_HALVE = 3, 40

#: Returns a new classifier with the settings of a model of labels.
MakeClassifier = Callable[[], TopicClassifier]


@dataclass(frozen=True, eq=False)
class HeldoutAnswers:
    """Answers to labelled texts, of models that did not learn from them.

    Attributes
    ----------
    is_right : bool array, shape (n_answered,)
    confidence : float64 array, shape (n_answered,)
        The probability that each answer is right; NaN if there is no answer.
    topics : list of tuple of str
        The answers; empty if there is none.
    """

    is_right: Mask
    confidence: F64
    topics: list[tuple[str, ...]]


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
    sample_weights : float64 array, shape (n_sample,)
        The weight of each text of the sample, for `slugline.labels.selection`.
    labelled : sequence of LabelledText
    heldout : HeldoutAnswers
    """

    fitted: Fitted
    n_labels: int
    estimate: AccuracyEstimate
    sample_weights: F64
    labelled: Sequence[LabelledText]
    heldout: HeldoutAnswers

    def weigh(self, texts: Sequence[str]) -> F64:
        """Return the weights of texts, which grow with the model's doubt."""
        return _weights(self.fitted, self.fitted.predict_proba(texts))

    def guess(self, text: str) -> tuple[tuple[str, ...], float]:
        """Return the topics that the model gives to a text, and the likeliest one's probability."""
        proba = self.fitted.predict_proba([text])
        return _answers(self.fitted, proba)[0], float(proba.max())


def learn_labels(
    labelled: Sequence[LabelledText],
    sample: Sequence[str],
    make_classifier: MakeClassifier = TopicClassifier,
    *,
    unmeasured_fraction: float = 0.0,
) -> LabelModel | None:
    """Return a model of labels; None if there are too few to learn from.

    Parameters
    ----------
    labelled : sequence of LabelledText
    sample : sequence of str
        A random sample of the texts without a label, whose weights are returned.
    make_classifier : callable
    unmeasured_fraction : float, default 0.0
        The fraction of texts without a label that labels say nothing about.
    """
    answered, answers = _split_answers(labelled)
    if not can_learn(answers):
        return None
    texts = [each.text for each in answered]
    fitted = _fit(texts, answers, make_classifier)
    heldout = _heldout_answers(fitted, texts, answers, make_classifier)
    mean_confidence, weights = None, np.zeros(0)
    if len(sample):
        proba = fitted.predict_proba(sample)
        mean_confidence = float(_confidence(fitted, proba).mean())
        weights = _weights(fitted, proba)
    estimate = estimate_accuracy(
        _measure(heldout, labelled), mean_confidence, unmeasured_fraction=unmeasured_fraction
    )
    return LabelModel(fitted, len(answered), estimate, weights, labelled, heldout)


def report_labels(
    model: LabelModel, make_classifier: MakeClassifier = TopicClassifier
) -> LabelReport:
    """Return what is known of a model of labels; it takes a few more fits."""
    return LabelReport(
        n_labels=model.n_labels,
        estimate=model.estimate,
        topics=accuracy_by_topic(model.labelled, model.heldout.is_right),
        doubling=_forecast(model, make_classifier),
    )


def can_learn(answers: Sequence[tuple[str, ...]]) -> bool:
    """Return whether two topics have enough labels."""
    counts = Counter(topic for answer in answers for topic in answer)
    return sum(n >= _MIN_PER_TOPIC for n in counts.values()) >= 2


# Fits ---------------------------------------------------------------------------------------------


def _split_answers(
    labelled: Sequence[LabelledText],
) -> tuple[list[LabelledText], list[tuple[str, ...]]]:
    """Return the texts that have an answer, and the answers."""
    answered = [each for each in labelled if each.topics is not None]
    return answered, [each.topics for each in answered if each.topics is not None]


def _fit(
    texts: Sequence[str], answers: Sequence[tuple[str, ...]], make_classifier: MakeClassifier
) -> Fitted:
    is_multilabel = any(len(answer) != 1 for answer in answers)
    y = answers if is_multilabel else [answer[0] for answer in answers]
    return to_fitted(make_classifier().fit(texts, y))


def _answers(fitted: Fitted, proba: F32) -> list[tuple[str, ...]]:
    """Return the topics of each row of probabilities."""
    names = fitted.topics.names
    if (rule := fitted.multilabel_rule) is None:
        return [(str(names[best]),) for best in proba.argmax(axis=1).tolist()]
    answers = split_rows(rule.deepest(rule.decide(proba)), names, proba)
    return [tuple(map(str, answer)) for answer in answers]


def _confidence(fitted: Fitted, proba: F32) -> F64:
    """Return the probability that each answer is right, shape (n_texts,)."""
    if (rule := fitted.multilabel_rule) is None:
        return proba.max(axis=1).astype(np.float64)
    # All decisions about topics have to be right; they are taken as independent.
    right = np.where(rule.decide(proba), proba, 1 - proba)
    return np.exp(np.log(np.maximum(right, 1e-6)).sum(axis=1, dtype=np.float64))


def _weights(fitted: Fitted, proba: F32) -> F64:
    return doubt_weights(doubt(proba, fitted.multilabel_rule))


# Held-out answers ---------------------------------------------------------------------------------


def _heldout_answers(
    fitted: Fitted,
    texts: Sequence[str],
    answers: Sequence[tuple[str, ...]],
    make_classifier: MakeClassifier,
) -> HeldoutAnswers:
    """Return held-out answers, from the fit if it made them, else from fits without a fold.

    A text whose topic no other text has, has no held-out answer: it can't be right without it.
    """
    heldout = fitted.heldout_predictions
    counts = Counter(topic for answer in answers for topic in answer)
    n_alone = sum(any(counts[topic] == 1 for topic in answer) for answer in answers)
    if heldout is None or heldout.rows is None or len(heldout.rows) < len(texts) - n_alone:
        return _collect_answers(answers, _fold_answers(texts, answers, make_classifier))
    return _collect_answers(answers, [(heldout.rows, fitted, heldout.dense_proba())])


def _fold_answers(
    texts: Sequence[str], answers: Sequence[tuple[str, ...]], make_classifier: MakeClassifier
) -> Iterator[tuple[Index, Fitted, F32]]:
    """Yield the rows of each fold, a model of the others, and its probabilities for the fold."""
    order = np.random.default_rng(0).permutation(len(texts))
    for fold in np.array_split(order, min(_N_FOLDS, len(texts))):
        others = np.setdiff1d(order, fold)
        if not can_learn([answers[row] for row in others]):
            continue
        fitted = _fit(
            [texts[row] for row in others], [answers[row] for row in others], make_classifier
        )
        yield fold, fitted, fitted.predict_proba([texts[row] for row in fold])


def _collect_answers(
    answers: Sequence[tuple[str, ...]], parts: Iterable[tuple[Index, Fitted, F32]]
) -> HeldoutAnswers:
    """Return the answers of models to rows of texts, whose right answers are given."""
    topics: list[tuple[str, ...]] = [()] * len(answers)
    confidence = np.full(len(answers), np.nan)
    for rows, fitted, proba in parts:
        confidence[rows] = _confidence(fitted, proba)
        for row, answer in zip(rows.tolist(), _answers(fitted, proba), strict=True):
            topics[row] = answer
    return HeldoutAnswers(_equal(topics, answers) & ~np.isnan(confidence), confidence, topics)


def _equal(some: Sequence[tuple[str, ...]], others: Sequence[tuple[str, ...]]) -> Mask:
    pairs = zip(some, others, strict=True)
    return np.array([{*answer} == {*other} for answer, other in pairs], dtype=bool)


def _measure(heldout: HeldoutAnswers, labelled: Sequence[LabelledText]) -> MeasuredLabels:
    """Return the labels that may be measured, with held-out answers of the model."""
    confidence = heldout.confidence
    usual = float(np.nanmean(confidence)) if not np.isnan(confidence).all() else 0.5
    answered = np.array([each.topics is not None for each in labelled])
    place = np.where(answered, np.cumsum(answered) - 1, len(confidence))
    is_measured = np.array([each.is_measured for each in labelled])
    measured = [each for each in labelled if each.is_measured]
    all_confidence = np.append(np.where(np.isnan(confidence), usual, confidence), usual)
    return MeasuredLabels(
        is_right=np.append(heldout.is_right, False)[place][is_measured],
        is_skipped=~answered[is_measured],
        confidence=all_confidence[place][is_measured],
        weights=np.array([each.weight for each in measured], dtype=np.float64),
    )


# Twice as many labels -----------------------------------------------------------------------------


def _forecast(model: LabelModel, make_classifier: MakeClassifier) -> DoublingForecast | None:
    """Return what twice as many labels would bring; None if there are too few to tell."""
    answered, answers = _split_answers(model.labelled)
    if len(answered) < _MIN_TO_HALVE:
        return None
    texts = [each.text for each in answered]
    right = np.zeros(len(texts))
    rng = np.random.default_rng(0)
    for _ in range(_N_HALVINGS):
        halves = np.array_split(rng.permutation(len(texts)), 2)
        for half, other in (halves, halves[::-1]):
            half_answers = [answers[row] for row in half]
            if not can_learn(half_answers):
                return None
            fitted = _fit([texts[row] for row in half], half_answers, make_classifier)
            found = _answers(fitted, fitted.predict_proba([texts[row] for row in other]))
            right[other] += _equal(found, [answers[row] for row in other])
    return forecast_doubling(answered, model.heldout.is_right, right / _N_HALVINGS)
