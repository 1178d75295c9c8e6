"""Single-label and multilabel rows, and what learning does differently for them.

`label_type` returns the object for the type that `Labels.multilabel` says.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from slugline.base.arrays import F32, Mask
from slugline.learning.calibration import (
    DEFAULT_CALIBRATION,
    USUAL_CURVE,
    AnyCalibration,
    Calibration,
    TopicCalibration,
    binary_log_losses,
    fit_calibration,
    fit_topic_calibration,
    log_losses,
    log_odds,
)
from slugline.learning.labels import Labels

# If each topic has its own curve, probabilities are calibrated on this many times as many scores.
_MORE_SCORES = 16


class LabelType(Protocol):
    """How scores become probabilities and are evaluated; see `SINGLE_LABEL` and `MULTILABEL`."""

    @property
    def multilabel(self) -> bool:
        """Whether rows may have several topics, or none."""

    def to_scores(self, proba: F32) -> F32:
        """Return the scores that `identity` turns into these probabilities."""

    def identity(self, n_topics: int) -> AnyCalibration:
        """Return the calibration of scores from `to_scores`, or from the last layer of a net."""

    def fit_calibration(
        self,
        scores: F32,
        labels: Labels,
        costs: F32 | None = None,
        usual: tuple[float, float] = USUAL_CURVE,
    ) -> AnyCalibration:
        """Return the calibration that fits held-out rows best; the usual one if there are no rows.

        Parameters
        ----------
        scores : float32 array, shape (n_rows, n_topics)
        labels : Labels
        costs : float32 array, shape (n_rows,), optional
        usual : (float, float)
            See `fit_topic_calibration`.
        """

    def max_scores(self, usual: int) -> int:
        """Return how many scores to calibrate on, given their usual number."""

    def log_losses(self, scores: F32, labels: Labels) -> F32:
        """Return the log loss of each row in nats; for multilabel rows, summed over topics."""

    def are_right(self, proba: F32, labels: Labels) -> Mask:
        """Return a mask of the rows whose most likely topic, or set of topics, is right."""


class SingleLabel:
    """Rows of one topic each: probabilities are from softmax and sum to 1."""

    multilabel = False

    def to_scores(self, proba: F32) -> F32:
        """Return finite logarithms of probabilities."""
        return np.log(np.maximum(proba, np.finfo(np.float32).tiny))

    def identity(self, n_topics: int) -> Calibration:  # noqa: ARG002
        """Return softmax."""
        return Calibration(1.0)

    def fit_calibration(
        self,
        scores: F32,
        labels: Labels,
        costs: F32 | None = None,
        usual: tuple[float, float] = USUAL_CURVE,  # noqa: ARG002
    ) -> Calibration:
        """Return the temperature and weights that fit best; see `LabelType`."""
        if not len(labels):
            return DEFAULT_CALIBRATION
        return fit_calibration(scores, labels.topics, costs)

    def max_scores(self, usual: int) -> int:
        """Return the usual number, as all topics share one calibration."""
        return usual

    def log_losses(self, scores: F32, labels: Labels) -> F32:
        """Return -log(p) for the probability p of the true topic by softmax."""
        return log_losses(scores, labels.topics)

    def are_right(self, proba: F32, labels: Labels) -> Mask:
        """Return a mask of the rows whose most likely topic is the true one."""
        right: Mask = proba.argmax(axis=1) == labels.topics
        return right


class Multilabel:
    """Rows of any number of topics: each topic has a separate probability, from a sigmoid."""

    multilabel = True

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
        """Return the curve of each topic that fits best; see `LabelType`."""
        return fit_topic_calibration(scores, labels.indicator(scores.shape[1]), costs, usual)

    def max_scores(self, usual: int) -> int:
        """Return a larger number, as each topic has its own curve."""
        return usual * _MORE_SCORES

    def log_losses(self, scores: F32, labels: Labels) -> F32:
        """Return the sum over topics of -log(p) for the probability p of the truth."""
        return binary_log_losses(scores, labels.indicator(scores.shape[1]))

    def are_right(self, proba: F32, labels: Labels) -> Mask:
        """Return a mask of rows whose topics of at least probability 0.5 are the true ones."""
        right: Mask = ((proba >= 0.5) == (labels.indicator(proba.shape[1]) > 0)).all(axis=1)
        return right


SINGLE_LABEL: LabelType = SingleLabel()
MULTILABEL: LabelType = Multilabel()


def label_type(*, multilabel: bool) -> LabelType:
    """Return the label type for a value of `Labels.multilabel`."""
    return MULTILABEL if multilabel else SINGLE_LABEL
