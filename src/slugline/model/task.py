"""The single-label and the multilabel task, and the steps of a fit that differ between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from slugline.base.arrays import F32, I64, Index
from slugline.base.checks import short_repr
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.topic_sets import sets_with_parents
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.calibration import (
    LEAST_LOG_ODDS,
    LOG_ODDS_CURVE,
    fit_topic_calibration,
    log_odds,
    sigmoid,
)
from slugline.learning.labels import Labels
from slugline.learning.learner import BatchLearner, Learner, learns_in_batches
from slugline.model.dense import (
    EncodedDocuments,
    EncoderFit,
    HeldOutProba,
    add_multilabel_encoder,
    add_single_label_encoder,
)
from slugline.model.f1_thresholds import USUAL_THRESHOLD, best_common_threshold, choose_rule
from slugline.model.fitted import Fitted
from slugline.model.heldout import HeldOutPredictions
from slugline.model.multilabel_rule import (
    MultilabelRule,
    check_own_thresholds,
    find_parents,
    find_path_ends,
    with_own_thresholds,
)
from slugline.model.settings import FitSettings
from slugline.text.features import UnknownWordRate

if TYPE_CHECKING:
    from slugline.learning.tuning import Metric


@dataclass(frozen=True)
class _Task:
    """The topics of documents, and the steps of a fit that depend on the task.

    Attributes
    ----------
    topics : Topics
        All topics, including those that are only described.
    labels : Labels
        The labels of the training documents.
    settings : FitSettings
    """

    topics: Topics
    labels: Labels
    settings: FitSettings

    def encode(self, names: Sequence[Any]) -> Labels:
        """Return the labels of other documents; raise DataError for an unknown topic."""
        return Labels.encode(self.topics, names, multilabel=self.labels.multilabel)

    @property
    def topic_counts(self) -> I64:
        """Number of documents of each topic, shape (n_topics,)."""
        return self.labels.totals(len(self.topics)).astype(np.int64)

    def predictable_rows(self, rows: Index, training: Index) -> Index:  # noqa: ARG002
        """Return the rows among `rows` that a model of the training rows can predict."""
        return rows

    def recalibrate(
        self,
        learner: Learner,  # noqa: ARG002
        heldout: HeldOutProba,
        weight: F32 | None,  # noqa: ARG002
    ) -> HeldOutProba:
        """Calibrate a learner on cross-validated probabilities, and return them calibrated.

        Does nothing if learners already calibrate their probabilities.
        """
        return heldout

    def next_rule(self, before: Fitted, learner: BatchLearner) -> MultilabelRule | None:  # noqa: ARG002
        """Return the decision rule after another batch, or None if the task needs no rule."""
        return None


def choose_task(
    names: Sequence[Any],
    settings: FitSettings,
    *,
    multilabel: bool,
    topics: Topics | None = None,
    columns: Sequence[Topic] | None = None,
) -> ClassificationTask:
    """Return the task for documents with these topics.

    Parameters
    ----------
    names : sequence of topics, or of tuples of topics
    settings : FitSettings
    multilabel : bool
        True if `names` are tuples.
    topics : Topics, optional
        All topics; by default, the topics of documents and descriptions.
    columns : sequence of topics, optional
        Topic of each column if topics were given as an indicator array.

    Raises
    ------
    DataError : if a described topic has no column in the indicator.
    OptionError : if the learner or a threshold does not suit the task.
    """
    if multilabel:
        return MultilabelTask.create(names, settings, topics, columns)
    return SingleLabelTask.create(names, settings, topics)


#: A task, as returned by `choose_task`.
ClassificationTask: TypeAlias = "SingleLabelTask | MultilabelTask"


# Single-label task --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SingleLabelTask(_Task):
    """Each document has one topic; the most likely topic is the answer."""

    @classmethod
    def create(
        cls, names: Sequence[Topic], settings: FitSettings, topics: Topics | None
    ) -> SingleLabelTask:
        """Return the task; see `choose_task`."""
        topics = topics or Topics.fit([*names, *settings.descriptions])
        check_own_thresholds(topics, settings.thresholds, multilabel=False)
        return cls(topics, Labels.encode(topics, names, multilabel=False), settings)

    def described_labels(self) -> Labels:
        """Return the labels of descriptions."""
        return self.encode(list(self.settings.descriptions))

    def tuning_metric(self) -> Metric:
        """Return accuracy."""
        from slugline.learning.tuning import ACCURACY

        return ACCURACY

    def add_encoder(self, encoded: EncodedDocuments) -> EncoderFit:
        """Return a head with softmax probabilities."""
        return add_single_label_encoder(encoded)

    def predictable_rows(self, rows: Index, training: Index) -> Index:
        """Return the rows whose topic occurs in the training rows."""
        topics = self.labels.topics
        return rows[np.isin(topics[rows], topics[training])]

    def needs_cross_validation(self, fitted: Fitted) -> bool:
        """Return True if thresholds for a precision must be chosen."""
        return self.settings.min_precision is not None and not fitted.interrupted

    def complete(
        self,
        fitted: Fitted,
        heldout: HeldOutProba | None,
        given_rows: Index,
        words: UnknownWordRate | None,
    ) -> Fitted:
        """Return `fitted` with held-out predictions, unless the fit was interrupted.

        `given_rows` are the documents' rows in the original order; see `TrainingDocuments`.
        """
        if heldout is None or fitted.interrupted:
            return fitted
        rows, proba = heldout
        predictions = HeldOutPredictions.from_proba(
            proba,
            self.labels.take(rows),
            given_rows[rows],
            words=_usual_words(fitted, words),
            precision=self.settings.min_precision,
        )
        return replace(fitted, heldout_predictions=predictions)


def _usual_words(fitted: Fitted, words: UnknownWordRate | None) -> UnknownWordRate | None:
    """Return the normal rate of unknown words; None if a sentence encoder may know these words.

    Words found only in the table of word vectors count as unknown: texts with unusually many of
    them are mostly off-topic, and held-out documents don't show how accurate the model is on such
    texts.
    """
    return words if fitted.encoder is None or fitted.encoder.summing_encoder is not None else None


# Multilabel task ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class MultilabelTask(_Task):
    """Each document has any number of topics; a rule chosen on held-out documents assigns them.

    Attributes
    ----------
    as_indicator : bool
        True if topics are given and predicted as an indicator array.
    """

    as_indicator: bool

    @classmethod
    def create(
        cls,
        names: Sequence[tuple[Topic, ...]],
        settings: FitSettings,
        topics: Topics | None,
        columns: Sequence[Topic] | None,
    ) -> MultilabelTask:
        """Return the task; see `choose_task`."""
        if not settings.learner.capabilities.multilabel:
            raise OptionError(
                Parameter("learner"),
                f" is a {type(settings.learner).__name__}, which is single-label, but "
                "these texts are multi-label; leave it at its default.",
            )
        if topics is None and columns is not None:
            topics = _topics_of_columns(columns, settings)
        elif topics is None:
            described = described_sets(settings)
            topics = Topics.fit(itertools.chain.from_iterable([*names, *described]))
        check_own_thresholds(topics, settings.thresholds, multilabel=True)
        labels = Labels.encode(topics, names, multilabel=True)
        return cls(topics, labels, settings, as_indicator=columns is not None)

    def described_labels(self) -> Labels:
        """Return the labels of descriptions, with the parents of topics that are paths."""
        return self.encode(described_sets(self.settings))

    def tuning_metric(self) -> Metric:
        """Return the average F1 at the best common threshold."""
        from slugline.learning.tuning import Metric

        n_topics = len(self.topics)
        none = np.zeros((0, n_topics), dtype=np.float32)
        rule = self._choose_rule(none, none)

        def f1(scores: F32, labels: Labels, weights: F32) -> float:
            counts = weights > 0
            proba, y = sigmoid(scores[counts]), labels.take(counts).indicator(n_topics) > 0
            return best_common_threshold(rule, rule.make_consistent(proba), y)[0]

        return Metric(f"{self.settings.optimize}-F1", f1)

    def add_encoder(self, encoded: EncodedDocuments) -> EncoderFit:
        """Return a head with a separate probability for each topic."""
        return add_multilabel_encoder(encoded)

    def needs_cross_validation(self, fitted: Fitted) -> bool:
        """Return True if there are no held-out scores."""
        if fitted.interrupted or not self.settings.cross_validate:
            return False
        learner = fitted.learner
        return not learns_in_batches(learner) or learner.recent_ is None

    def recalibrate(
        self, learner: Learner, heldout: HeldOutProba, weight: F32 | None
    ) -> HeldOutProba:
        """Fit a calibration curve for each topic to cross-validated probabilities."""
        rows, proba = heldout
        # Topics missing from a fold's training documents have probability 0; all other
        # probabilities are larger.
        scores = np.where(proba > 0, np.maximum(log_odds(proba), LEAST_LOG_ODDS), log_odds(proba))
        calibration = fit_topic_calibration(
            scores,
            self.labels.take(rows).indicator(len(self.topics)),
            None if weight is None else weight[rows],
            LOG_ODDS_CURVE,
        )
        calibrated: Any = learner
        calibrated.calibration = calibration
        return rows, calibration.proba(scores)

    def complete(
        self,
        fitted: Fitted,
        heldout: HeldOutProba | None,
        given_rows: Index,
        words: UnknownWordRate | None,
    ) -> Fitted:
        """Return `fitted` with its decision rule and held-out predictions."""
        n_topics = len(self.topics)
        rows: Index | None = None
        if heldout is None:
            proba, labels = _recent_proba(fitted.learner, n_topics)
        else:
            rows, proba = heldout
            labels = self.labels.take(rows)
        # Topics that are only described have no documents for choosing thresholds.
        has_documents = self.topic_counts > 0
        rule = self._choose_rule(np.where(has_documents, proba, 0), labels.indicator(n_topics))
        thresholds = np.where(has_documents, rule.thresholds, np.float32(USUAL_THRESHOLD))
        rule = rule.with_thresholds(rule.raise_to_parents(thresholds))
        rule = with_own_thresholds(rule, self.topics, self.settings.thresholds)
        proba = rule.make_consistent(proba)
        predictions = HeldOutPredictions.from_decisions(
            proba,
            labels,
            None if rows is None else given_rows[rows],
            may_be_given=rule.likeliest_siblings(proba),
            words=_usual_words(fitted, words),
            precision=self.settings.min_precision,
        )
        rule = replace(rule, as_indicator=self.as_indicator, separator=self.settings.topic_path)
        return replace(fitted, multilabel_rule=rule, heldout_predictions=predictions)

    def _choose_rule(self, proba: F32, truth: F32) -> MultilabelRule:
        """Choose the rule for topics, or paths of topics, from held-out probabilities."""
        parents = find_parents(self.topics.names, self.settings.topic_path)
        everything = Labels.concatenate(self.labels, self.described_labels())
        path_ends = find_path_ends(everything, len(self.topics), parents)
        sizes = self.labels.n_each
        return choose_rule(
            proba, truth, sizes, self.settings.optimize, parents=parents, path_ends=path_ends
        )

    def next_rule(self, before: Fitted, learner: BatchLearner) -> MultilabelRule:
        """Return the rule after another batch; it hardly changes with few recent scores."""
        rule, sizes = before.multilabel_rule, self.labels.n_each
        proba, labels = _recent_proba(learner, len(self.topics))
        truth = labels.indicator(len(self.topics))
        weight = 0.0 if learner.recent_ is None else learner.recent_.weight
        if rule is None:
            first = choose_rule(proba, truth, sizes, self.settings.optimize)
            first = replace(first, as_indicator=self.as_indicator)
            return with_own_thresholds(first, self.topics, self.settings.thresholds)
        sizes = np.append(sizes, [rule.at_least_one * rule.max_topics, rule.max_topics])
        is_same = (
            learns_in_batches(before.learner) and learner.calibration is before.learner.calibration
        )
        if is_same:  # too few new scores
            weight, proba, truth = 0.0, proba[:0], truth[:0]
        latest = choose_rule(proba, truth, sizes, self.settings.optimize)
        moved = np.float32(weight) * (latest.thresholds - rule.thresholds)
        latest = replace(
            latest.with_thresholds(rule.thresholds + moved),
            at_least_one=latest.at_least_one if weight == 1 else rule.at_least_one,
            as_indicator=rule.as_indicator,
        )
        return with_own_thresholds(latest, self.topics, self.settings.thresholds)


def described_sets(settings: FitSettings) -> list[Any]:
    """Return the topic set of each description: its topic and all parents."""
    return sets_with_parents([(t,) for t in settings.descriptions], settings.topic_path)


def _topics_of_columns(columns: Sequence[Topic], settings: FitSettings) -> Topics:
    topics = Topics(columns)
    if absent := settings.descriptions.keys() - topics.names:
        raise DataError(
            Parameter("descriptions"),
            f" has the topic {short_repr(min(absent))}, but ",
            Parameter("y"),
            " has no column for it; add one, with zeros if no document has the topic.",
        )
    return topics


def _recent_proba(learner: Learner, n_topics: int) -> tuple[F32, Labels]:
    """Return probabilities of rows computed before training on them, and their labels."""
    if not learns_in_batches(learner) or learner.recent_ is None:
        return np.zeros((0, n_topics), dtype=np.float32), Labels.empty(multilabel=True)
    recent = learner.recent_
    return learner.calibration.proba(recent.scores), recent.labels
