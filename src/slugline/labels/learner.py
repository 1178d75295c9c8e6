"""Train a model on the current labels, to select texts, make guesses and estimate accuracy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, Index, Mask
from slugline.classifier import TopicClassifier, to_fitted
from slugline.corpus.label_database.records import ModelGuess
from slugline.corpus.topic_sets import split_rows
from slugline.experiment.suggest import doubt
from slugline.labels.accuracy import (
    MIN_EFFECTIVE,
    AccuracyEstimate,
    MeasuredLabels,
    estimate_accuracy,
)
from slugline.labels.label_report import (
    DoublingForecast,
    LabelReport,
    accuracy_by_topic,
    forecast_doubling,
)
from slugline.labels.labelled_texts import LabelledText
from slugline.labels.selection import doubt_weights
from slugline.learning.encoder.vectors import WordVectorEncoder
from slugline.model.fitted import Fitted

# Minimum number of labels per topic; training needs two such topics.
_MIN_PER_TOPIC = 2
# Number of cross-validation folds for accuracy. A fit's own held-out predictions are 3 to 10 points
# too optimistic with 30 labels of 20 topics: they were used to choose settings, and a topic with a
# single label can't attract texts of other topics.
_N_FOLDS = 10
# Number of random halvings for the forecast, and minimum number of labels to halve.
_N_HALVINGS, _MIN_TO_HALVE = 3, 40

# With fewer labels per description, models are also trained on descriptions: with random labels of
# ten training splits, descriptions added 3 to 37 points at 10 labels, and helped on nearly all sets
# up to this number.
_FEW_PER_DESCRIPTION = 10
# With more, descriptions aren't tried: they gained nothing, and fits take time.
_MANY_PER_DESCRIPTION = 50

#: Returns a new classifier with the settings of a model of labels.
MakeClassifier = Callable[[], TopicClassifier]


class LabelFitter(NamedTuple):
    """Fits models to labels, and to descriptions of topics while labels are few.

    Attributes
    ----------
    make_classifier : callable
    descriptions : mapping of str to str
        Descriptions by topic.
    is_multilabel : bool
        True if models may assign several topics to a text, or none.
    """

    make_classifier: MakeClassifier
    descriptions: Mapping[str, str]
    is_multilabel: bool

    def fit(self, texts: Sequence[str], answers: Sequence[tuple[str, ...]]) -> Fitted | None:
        """Return a model; None if there are neither labels nor descriptions.

        Parameters
        ----------
        texts : sequence of str
        answers : sequence of tuple of str
            The topics of each text.
        """
        n_described, n_labels = len(self.descriptions), len(answers)
        by_labels = None
        can_answer = _has_two_topics(answers) if n_described else n_labels
        if can_answer and n_labels >= _FEW_PER_DESCRIPTION * n_described:
            by_labels = self._fit(texts, answers, {})
        if by_labels is not None and n_labels >= _MANY_PER_DESCRIPTION * n_described:
            return by_labels
        if not n_described:
            return None
        by_both = self._fit(texts, answers, self.descriptions)
        if by_labels is not None and _is_better(by_labels, by_both, answers):
            return by_labels
        return by_both

    def _fit(
        self,
        texts: Sequence[str],
        answers: Sequence[tuple[str, ...]],
        descriptions: Mapping[str, str],
    ) -> Fitted:
        y = answers if self.is_multilabel else [answer[0] for answer in answers]
        classifier = self.make_classifier()
        if descriptions:
            classifier.set_params(descriptions=descriptions)
        return to_fitted(classifier.fit(texts, y))


def _is_better(fitted: Fitted, other: Fitted, answers: Sequence[tuple[str, ...]]) -> bool:
    """Return True if a model has a lower log loss than another on rows held out by both.

    Always true for multi-label models, which use descriptions only while labels are few.
    """
    rows, proba = _proba_of_answers(fitted, answers)
    other_rows, other_proba = _proba_of_answers(other, answers)
    _, places, other_places = np.intersect1d(rows, other_rows, return_indices=True)
    return bool(np.log(proba[places]).sum() >= np.log(other_proba[other_places]).sum())


def _proba_of_answers(fitted: Fitted, answers: Sequence[tuple[str, ...]]) -> tuple[Index, F64]:
    """Return a model's held-out rows, and the probabilities of their single topics."""
    heldout = fitted.heldout_predictions
    if heldout is None or heldout.rows is None or fitted.multilabel_rule is not None:
        return np.zeros(0, dtype=np.intp), np.zeros(0)
    columns = {str(name): column for column, name in enumerate(fitted.topics.names)}
    of_answers = [columns[answers[row][0]] for row in heldout.rows.tolist()]
    proba = heldout.dense_proba()[np.arange(len(of_answers)), of_answers]
    return heldout.rows, np.maximum(proba.astype(np.float64), 1e-6)


def find_known_descriptions(
    descriptions: Mapping[str, str], texts: Sequence[str]
) -> dict[str, str]:
    """Return descriptions covered by word vectors; none if only one, or if texts aren't covered.

    Word vectors measure how close texts are to descriptions, so they must cover the language of
    both.
    """
    descriptions = {topic: text for topic, text in descriptions.items() if text.strip()}
    encoder = WordVectorEncoder()
    if not descriptions or not texts or not encoder.knows_language(texts):
        return {}
    is_known = encoder.encode([*descriptions.values()]).any(axis=1)
    topics = [*descriptions]
    known = {topics[place]: descriptions[topics[place]] for place in np.flatnonzero(is_known)}
    return known if len(known) >= 2 else {}


@dataclass(frozen=True, eq=False)
class HeldoutAnswers:
    """Held-out answers for labelled texts.

    Attributes
    ----------
    is_right : bool array, shape (n_answered,)
    confidence : float64 array, shape (n_answered,)
        The probability that each answer is right; NaN if there is no answer.
    """

    is_right: Mask
    confidence: F64


@dataclass(frozen=True, eq=False)
class LabelModel:
    """A model of labels.

    Attributes
    ----------
    fitted : Fitted
    n_labels : int
        Number of training labels.
    estimate : AccuracyEstimate
        Accuracy on unlabelled texts.
    sample_weights : float64 array, shape (n_sample,)
        The weight of each text of the sample, for `slugline.labels.selection`.
    labelled : sequence of LabelledText
    heldout : HeldoutAnswers
    fitter : LabelFitter
        Fits models with the same settings.
    """

    fitted: Fitted
    n_labels: int
    estimate: AccuracyEstimate
    sample_weights: F64
    labelled: Sequence[LabelledText]
    heldout: HeldoutAnswers
    fitter: LabelFitter

    def weigh(self, texts: Sequence[str]) -> F64:
        """Return the weights of texts, which grow with the model's doubt."""
        return _weights(self.fitted, self.fitted.predict_proba(texts))

    def guess(self, text: str) -> ModelGuess:
        """Return the model's answer for a text, and the probability that it is right."""
        proba = self.fitted.predict_proba([text])
        [topics], [confidence] = _answers(self.fitted, proba), _confidence(self.fitted, proba)
        return ModelGuess(topics, float(confidence))


def learn_labels(
    labelled: Sequence[LabelledText],
    sample: Sequence[str],
    make_classifier: MakeClassifier = TopicClassifier,
    *,
    is_multilabel: bool = False,
    descriptions: Mapping[str, str] | None = None,
    unmeasured_fraction: float = 0.0,
) -> LabelModel | None:
    """Return a model of labels, or None if there are too few labels and no descriptions.

    Parameters
    ----------
    labelled : sequence of LabelledText
    sample : sequence of str
        Random sample of the unlabelled texts, whose weights are returned.
    make_classifier : callable
    is_multilabel : bool, default False
        True if texts may have several topics, or none.
    descriptions : mapping of str to str, optional
        Descriptions by topic, used in training while labels are few; see
        `find_known_descriptions`.
    unmeasured_fraction : float, default 0.0
        See `estimate_accuracy`.
    """
    answered, answers = _split_answers(labelled)
    texts = [each.text for each in answered]
    fitter = LabelFitter(make_classifier, descriptions or {}, is_multilabel)
    fitted = fitter.fit(texts, answers) if descriptions or _has_two_topics(answers) else None
    if fitted is None:
        return None
    is_measured = len(answered) >= MIN_EFFECTIVE
    heldout = _predict_heldout(texts, answers, fitter, _N_FOLDS if is_measured else 0)
    mean_confidence, weights = None, np.zeros(0)
    if len(sample):
        proba = fitted.predict_proba(sample)
        mean_confidence = float(_confidence(fitted, proba).mean())
        weights = _weights(fitted, proba)
    estimate = estimate_accuracy(
        _measure(heldout, labelled), mean_confidence, unmeasured_fraction=unmeasured_fraction
    )
    return LabelModel(fitted, len(answered), estimate, weights, labelled, heldout, fitter)


def report_labels(model: LabelModel) -> LabelReport:
    """Return a report on a model of labels; needs a few more fits."""
    return LabelReport(
        n_labels=model.n_labels,
        estimate=model.estimate,
        topics=accuracy_by_topic(model.labelled, model.heldout.is_right),
        doubling=_forecast(model),
    )


def _has_two_topics(answers: Sequence[tuple[str, ...]]) -> bool:
    """Return True if two topics have enough labels."""
    counts = Counter(topic for answer in answers for topic in answer)
    return sum(n >= _MIN_PER_TOPIC for n in counts.values()) >= 2


# Fits ---------------------------------------------------------------------------------------------


def _split_answers(
    labelled: Sequence[LabelledText],
) -> tuple[list[LabelledText], list[tuple[str, ...]]]:
    """Return the texts that have an answer, and the answers."""
    answered = [each for each in labelled if each.topics is not None]
    return answered, [each.topics for each in answered if each.topics is not None]


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
    # All decisions about topics must be right; assume that they are independent.
    right = np.where(rule.decide(proba), proba, 1 - proba)
    return np.exp(np.log(np.maximum(right, 1e-6)).sum(axis=1, dtype=np.float64))


def _weights(fitted: Fitted, proba: F32) -> F64:
    return doubt_weights(doubt(proba, fitted.multilabel_rule))


# Held-out answers ---------------------------------------------------------------------------------


def _predict_heldout(
    texts: Sequence[str], answers: Sequence[tuple[str, ...]], fitter: LabelFitter, n_folds: int
) -> HeldoutAnswers:
    """Predict each fold with a model trained on the other folds; empty without folds."""
    is_right = np.zeros(len(texts), dtype=bool)
    confidence = np.full(len(texts), np.nan)
    order = np.random.default_rng(0).permutation(len(texts))
    for fold in np.array_split(order, n_folds) if n_folds else ():
        others = np.setdiff1d(order, fold)
        fitted = fitter.fit([texts[row] for row in others], [answers[row] for row in others])
        if fitted is not None:
            proba = fitted.predict_proba([texts[row] for row in fold])
            confidence[fold] = _confidence(fitted, proba)
            given = [answers[row] for row in fold]
            is_right[fold] = _is_same_answer(_answers(fitted, proba), given)
    return HeldoutAnswers(is_right, confidence)


def _is_same_answer(
    predicted: Sequence[tuple[str, ...]], answers: Sequence[tuple[str, ...]]
) -> Mask:
    pairs = zip(predicted, answers, strict=True)
    return np.array([{*topics} == {*answer} for topics, answer in pairs], dtype=bool)


def _measure(heldout: HeldoutAnswers, labelled: Sequence[LabelledText]) -> MeasuredLabels:
    """Return the measurable labels, with held-out answers of the model."""
    is_answered = np.array([each.topics is not None for each in labelled], dtype=bool)
    is_right = np.zeros(len(labelled), dtype=bool)
    is_right[is_answered] = heldout.is_right
    # Use the mean confidence for texts without an answer or a held-out prediction.
    is_known = ~np.isnan(heldout.confidence)
    mean = float(heldout.confidence[is_known].mean()) if is_known.any() else 0.5
    confidence = np.full(len(labelled), mean)
    confidence[is_answered] = np.where(is_known, heldout.confidence, mean)
    is_measured = np.array([each.is_measured for each in labelled], dtype=bool)
    return MeasuredLabels(
        is_right=is_right[is_measured],
        is_skipped=~is_answered[is_measured],
        confidence=confidence[is_measured],
        weights=np.array([each.weight for each in labelled if each.is_measured], dtype=np.float64),
    )


# Twice as many labels -----------------------------------------------------------------------------


def _forecast(model: LabelModel) -> DoublingForecast | None:
    """Forecast the gain from twice as many labels; None if there are too few."""
    answered, answers = _split_answers(model.labelled)
    if len(answered) < _MIN_TO_HALVE or math.isnan(model.estimate.accuracy):
        return None
    texts = [each.text for each in answered]
    right = np.zeros(len(texts))
    rng = np.random.default_rng(0)
    for _ in range(_N_HALVINGS):
        halves = np.array_split(rng.permutation(len(texts)), 2)
        for half, other in (halves, halves[::-1]):
            fitted = model.fitter.fit([texts[row] for row in half], [answers[row] for row in half])
            if fitted is None:
                return None
            predicted = _answers(fitted, fitted.predict_proba([texts[row] for row in other]))
            right[other] += _is_same_answer(predicted, [answers[row] for row in other])
    return forecast_doubling(
        answered, model.heldout.is_right, right / _N_HALVINGS, model.estimate.accuracy
    )
