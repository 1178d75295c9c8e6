"""Report on a model of labels: accuracy, accuracy by topic, and the gain from more labels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64, Mask
from slugline.base.wording import counted, percent
from slugline.evaluation.intervals import Z_95
from slugline.labels.accuracy import (
    MIN_EFFECTIVE,
    AccuracyEstimate,
    MeasuredLabels,
    estimate_accuracy,
)
from slugline.labels.labelled_texts import LabelledText

# The gain is small if doubling the labels is expected to add less than one point of accuracy, with
# an upper bound below three.
_SMALL_GAIN, _LARGE_GAIN = 0.01, 0.03
# Gain from twice as many labels, relative to the gain from the second half of the current labels;
# and its standard error, relative to the standard error from labels alone, since models trained on
# other labels differ as well.
# Both were chosen in simulated annotations of six training splits, from 100 labels to 200 and from
# 200 to 400: forecasts were half a point too high on average, and all 25 intervals held.
_NEXT_GAIN, _SPREAD = 0.6, 2.0
# Minimum number of labels of a topic, in equivalent random draws, to report its accuracy. With
# fewer, the interval covers most of the range from 0 to 1.
_MIN_OF_TOPIC = 25
# Minimum number of labels for a forecast.
_MIN_TO_FORECAST = 40
# Minimum accuracies to use the model unchecked (1 in 20 wrong) and to sort texts (1 in 5 wrong);
# unchecked use also requires the interval to start at `_SURELY` or above.
_UNCHECKED, _SORTABLE, _SURELY = 0.95, 0.8, 0.9
# The next goal is a multiple of `_GOAL_STEP`, at least `_MIN_TO_GOAL` above the accuracy.
_GOAL_STEP, _MIN_TO_GOAL = 0.05, 0.02
# Largest sensible number of labels, as a multiple of the current number.
_MAX_TIMES = 5


class TopicAccuracy(NamedTuple):
    """The accuracy on the texts of one topic.

    Attributes
    ----------
    topic : str
    estimate : AccuracyEstimate
        A multi-label answer is right if all its topics are.
    """

    topic: str
    estimate: AccuracyEstimate


class DoublingForecast(NamedTuple):
    """Expected gain from twice as many labels.

    Attributes
    ----------
    n_labels : int
        Twice the current number of labels.
    gain : float
        Expected gain in accuracy.
    low, high : float
        A 95 % interval of the gain.
    """

    n_labels: int
    gain: float
    low: float
    high: float

    @property
    def hardly_pays(self) -> bool:
        """True if the gain is small, and surely not large."""
        return self.gain < _SMALL_GAIN and self.high < _LARGE_GAIN


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """Accuracy of a model of labels, and the gain from more labels.

    Attributes
    ----------
    n_labels : int
        Number of training labels.
    estimate : AccuracyEstimate
        Accuracy on unlabelled texts.
    topics : tuple of TopicAccuracy
        Topics with enough labels, lowest accuracy first.
    doubling : DoublingForecast or None
        None if there are too few labels.
    """

    n_labels: int
    estimate: AccuracyEstimate
    topics: tuple[TopicAccuracy, ...] = ()
    doubling: DoublingForecast | None = None

    @property
    def advice(self) -> str:
        """A sentence on suitable uses of the model, and on the gain from more labels.

        Empty if the accuracy is unknown.
        """
        accuracy = self.estimate.accuracy
        if math.isnan(accuracy):
            return ""
        if accuracy >= _UNCHECKED and self.estimate.low >= _SURELY:
            use = "Good enough to sort texts without a check"
        elif accuracy >= _SORTABLE:
            n_texts = max(round(1 / (1 - accuracy)), 2)
            use = f"Good enough to count topics, and to sort texts if 1 wrong in {n_texts} is fine"
        else:
            use = "Good enough to count topics, not yet to sort texts"
        if self.doubling is None:
            return f"{use}."
        if self.doubling.hardly_pays:
            return f"{use}; more labels are unlikely to help much."
        goal = (math.floor((accuracy + _MIN_TO_GOAL) / _GOAL_STEP) + 1) * _GOAL_STEP
        n_more = self.labels_for_accuracy(goal)
        if goal >= 1:
            return f"{use}."
        if n_more is None:
            return f"{use}; more labels alone are unlikely to reach {percent(goal, 0)}."
        return f"{use}; about {_rounded(n_more):,} more labels for {percent(goal, 0)}."

    def labels_for_accuracy(self, accuracy: float) -> int | None:
        """Return roughly how many more labels reach an accuracy; None if out of reach.

        Each doubling is expected to gain a fixed fraction of the previous doubling's gain.
        """
        if self.doubling is None:
            return None
        missing, gain = accuracy - self.estimate.accuracy, self.doubling.gain
        if missing <= 0:
            return 0
        left = 1 - (1 - _NEXT_GAIN) * missing / gain if gain > 0 else 0.0
        n_doublings = math.log(left) / math.log(_NEXT_GAIN) if left > 0 else math.inf
        times = 2.0**n_doublings if n_doublings < math.log2(_MAX_TIMES) else math.inf
        return round(self.n_labels * (times - 1)) if math.isfinite(times) else None

    def lines(self) -> Iterator[str]:
        """Yield the report in sentences."""
        estimate = self.estimate
        if math.isnan(estimate.accuracy):
            yield (
                f"{counted(self.n_labels, 'label')}; too few of them are measured to estimate the "
                "accuracy"
            )
            return
        yield (
            f"{counted(self.n_labels, 'label')}: right for {percent(estimate.accuracy, 0)} of the "
            f"other texts ({_interval(estimate)})"
        )
        for topic, of_topic in self.topics:
            yield (
                f"right for {percent(of_topic.accuracy, 0)} of the texts about {topic} "
                f"({_interval(of_topic)})"
            )
        if self.doubling is not None and not self.doubling.hardly_pays:
            _, gain, low, high = self.doubling
            yield (
                f"twice as many labels are expected to add {100 * gain:.1f} points to the accuracy "
                f"({100 * low:.1f} to {100 * high:.1f})"
            )
        yield self.advice[0].lower() + self.advice[1:].removesuffix(".")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data; unknown numbers are None."""
        return {
            "n_labels": self.n_labels,
            **_estimate_dict(self.estimate),
            "topics": [
                {"topic": each.topic} | _estimate_dict(each.estimate) for each in self.topics
            ],
            "doubling": None
            if self.doubling is None
            else self.doubling._asdict() | {"hardly_pays": self.doubling.hardly_pays},
            "advice": self.advice,
        }


def _rounded(n: int) -> int:
    """Return a number rounded up to a multiple of ten, or to two digits if larger."""
    step = 10 ** max(len(str(n)) - 2, 1)
    return math.ceil(n / step) * step


def _interval(estimate: AccuracyEstimate) -> str:
    return f"{percent(estimate.low, 0)} to {percent(estimate.high, 0)}"


def _estimate_dict(estimate: AccuracyEstimate) -> dict[str, Any]:
    accuracy = None if math.isnan(estimate.accuracy) else estimate.accuracy
    return {
        "accuracy": accuracy,
        "low": estimate.low,
        "high": estimate.high,
        "n_measured": estimate.n_labels - estimate.n_skipped,
        "n_skipped": estimate.n_skipped,
    }


def accuracy_by_topic(
    labelled: Sequence[LabelledText], is_right: Mask
) -> tuple[TopicAccuracy, ...]:
    """Return the accuracy by topic, for topics with enough labels, lowest first.

    Skipped texts don't count, because their topics are unknown.

    Parameters
    ----------
    labelled : sequence of LabelledText
    is_right : bool array
        Mask of correct held-out answers to the texts with a label.
    """
    by_topic: defaultdict[str, list[tuple[LabelledText, bool]]] = defaultdict(list)
    answered = [each for each in labelled if each.topics is not None]
    for each, right in zip(answered, is_right.tolist(), strict=True):
        for topic in (each.topics or ()) if each.is_measured else ():
            by_topic[topic].append((each, right))
    found = []
    for topic, pairs in by_topic.items():
        estimate = estimate_accuracy(_measured(pairs), None)
        if estimate.n_effective >= _MIN_OF_TOPIC:
            found.append(TopicAccuracy(topic, estimate))
    return tuple(sorted(found, key=lambda each: each.estimate.accuracy))


def _measured(pairs: Sequence[tuple[LabelledText, bool]]) -> MeasuredLabels:
    return MeasuredLabels(
        is_right=np.array([right for _, right in pairs], dtype=bool),
        is_skipped=np.zeros(len(pairs), dtype=bool),
        confidence=np.zeros(len(pairs)),
        weights=np.array([each.weight for each, _ in pairs], dtype=np.float64),
    )


def forecast_doubling(
    answered: Sequence[LabelledText], is_right: Mask, half_right: F64, accuracy: float
) -> DoublingForecast | None:
    """Return the expected gain from twice as many labels; None if too few are measured.

    The gain is a fixed fraction of the gain from the second half of the labels.

    Parameters
    ----------
    answered : sequence of LabelledText
    is_right : bool array, shape (n_answered,)
        Mask of correct held-out answers.
    half_right : float64 array, shape (n_answered,)
        Fraction of correct models among those trained on half of the labels without that text.
    accuracy : float
        Estimated accuracy of the model of all labels, which limits the gain.
    """
    is_measured = np.array([each.is_measured for each in answered], dtype=bool)
    if is_measured.sum() < _MIN_TO_FORECAST:
        return None
    pairs = zip(answered, is_right.tolist(), strict=True)
    labels = _measured([(each, right) for each, right in pairs if each.is_measured])
    fractions = labels.weights / labels.weights.sum()
    differences = labels.is_right - half_right[is_measured]
    last_gain = float(fractions @ differences)
    n = 1 / float((fractions**2).sum())
    if n < MIN_EFFECTIVE:
        return None
    variance = float(fractions**2 @ (differences - last_gain) ** 2) * n / (n - 1)
    # An error unseen in n labels may affect 3 / n of the texts (the rule of three).
    unseen = 3 / n
    half_width = max(Z_95 * _SPREAD * math.sqrt(variance), unseen)
    gains = np.array([last_gain, last_gain - half_width, last_gain + half_width])
    largest = max(1 - accuracy, _NEXT_GAIN * unseen)
    gain, low, high = np.clip(_NEXT_GAIN * gains, 0.0, largest).tolist()
    return DoublingForecast(n_labels=2 * len(answered), gain=gain, low=low, high=high)
