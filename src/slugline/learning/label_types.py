"""Scores, probabilities and losses of single-label and multilabel rows; see `label_type`."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from slugline.base.arrays import F32, Mask
from slugline.learning.calibration import (
    DEFAULT_CALIBRATION,
    USUAL_CURVE,
    Calibration,
    TopicCalibration,
    binary_log_losses,
    fit_calibration,
    fit_topic_calibration,
    log_losses,
    log_odds,
)
from slugline.learning.labels import Labels


class SingleLabel:
    """Rows with one topic each: probabilities are from softmax and sum to 1."""

    multilabel = False
    #: Calibrate on this many times `heldout.MAX_SCORES` scores.
    score_factor = 1

    def to_scores(self, proba: F32) -> F32:
        """Return the scores that `identity` turns into these probabilities."""
        return np.log(np.maximum(proba, np.finfo(np.float32).tiny))

    def identity(self, n_topics: int) -> Calibration:  # noqa: ARG002
        """Return softmax, the calibration of scores from `to_scores` or a net's last layer."""
        return Calibration(1.0)

    def fit_calibration(
        self,
        scores: F32,
        labels: Labels,
        costs: F32 | None = None,
        usual: tuple[float, float] = USUAL_CURVE,  # noqa: ARG002
    ) -> Calibration:
        """Return the calibration that fits held-out rows best; the default without rows.

        Parameters
        ----------
        scores : float32 array, shape (n_rows, n_topics)
        labels : Labels
        costs : float32 array, shape (n_rows,), optional
        usual : (float, float)
            Ignored; for multilabel rows, see `fit_topic_calibration`.
        """
        if not len(labels):
            return DEFAULT_CALIBRATION
        return fit_calibration(scores, labels.topics, costs)

    def log_losses(self, scores: F32, labels: Labels) -> F32:
        """Return the log loss of each row in nats."""
        return log_losses(scores, labels.topics)

    def are_right(self, proba: F32, labels: Labels) -> Mask:
        """Return a mask of the rows whose most likely topic is the true one."""
        right: Mask = proba.argmax(axis=1) == labels.topics
        return right


class Multilabel:
    """Rows with any number of topics: each has a separate probability, from a sigmoid.

    See `SingleLabel` for the methods.
    """

    multilabel = True
    score_factor = 16  # since each topic has its own curve

    def to_scores(self, proba: F32) -> F32:
        """Return the log-odds of probabilities."""
        return log_odds(proba)

    def identity(self, n_topics: int) -> TopicCalibration:
        """Return a sigmoid for each topic."""
        return TopicCalibration.of_log_odds(n_topics)

    def fit_calibration(
        self,
        scores: F32,
        labels: Labels,
        costs: F32 | None = None,
        usual: tuple[float, float] = USUAL_CURVE,
    ) -> TopicCalibration:
        """Return the curve of each topic that fits held-out rows best."""
        return fit_topic_calibration(scores, labels.indicator(scores.shape[1]), costs, usual)

    def log_losses(self, scores: F32, labels: Labels) -> F32:
        """Return the log loss of each row in nats, summed over topics."""
        return binary_log_losses(scores, labels.indicator(scores.shape[1]))

    def are_right(self, proba: F32, labels: Labels) -> Mask:
        """Return a mask of rows where exactly the true topics have a probability of 0.5 or more."""
        right: Mask = ((proba >= 0.5) == (labels.indicator(proba.shape[1]) > 0)).all(axis=1)
        return right


LabelType: TypeAlias = SingleLabel | Multilabel
SINGLE_LABEL, MULTILABEL = SingleLabel(), Multilabel()


def label_type(*, multilabel: bool) -> LabelType:
    """Return the label type for a value of `Labels.multilabel`."""
    return MULTILABEL if multilabel else SINGLE_LABEL
