"""Tests of the report on a model of labels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from slugline.base.arrays import F64
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.label_report import (
    DoublingForecast,
    LabelReport,
    TopicAccuracy,
    accuracy_by_topic,
    forecast_doubling,
)
from slugline.labels.labelled_texts import LabelledText

ESTIMATE = AccuracyEstimate(0.8, 0.7, 0.9, 100, 100.0)
UNKNOWN = AccuracyEstimate(math.nan, 0.0, 1.0, 3, 3.0)


def draws(n: int, *topics: str, is_measured: bool = True) -> list[LabelledText]:
    """Return random draws with these topics."""
    weight = 1.0 if is_measured else None
    return [LabelledText(f"no {i}", topics or None, weight) for i in range(n)]


def right_until(n: int) -> F64:
    """Return for each of 100 answers whether it is one of the first."""
    return (np.arange(100) < n).astype(np.float64)


# Topics -------------------------------------------------------------------------------------------


def test_accuracy_by_topic_lists_topics_with_enough_labels_the_lowest_first() -> None:
    labelled = [*draws(40, "grain"), *draws(40, "money"), *draws(5, "metal")]
    is_right = np.arange(85) % 40 < np.repeat([36, 24, 0], [40, 40, 5])
    topics = accuracy_by_topic(labelled, is_right)
    assert [each.topic for each in topics] == ["money", "grain"]
    assert [each.estimate.n_labels for each in topics] == [40, 40]
    assert [each.estimate.accuracy for each in topics] == pytest.approx([0.6, 0.9])
    assert all(each.estimate.low < each.estimate.accuracy for each in topics)


def test_accuracy_by_topic_ignores_skipped_texts_and_those_that_are_not_measured() -> None:
    labelled = [*draws(9), *draws(40, "grain"), *draws(20, "grain", is_measured=False)]
    [grain] = accuracy_by_topic(labelled, np.arange(60) < 40)
    assert (grain.estimate.n_labels, grain.estimate.accuracy) == (40, 1)


def test_accuracy_by_topic_counts_a_text_for_each_of_its_topics() -> None:
    topics = accuracy_by_topic(draws(30, "grain", "money"), np.arange(30) < 15)
    assert [each.topic for each in topics] == ["grain", "money"]
    assert [each.estimate.accuracy for each in topics] == pytest.approx([0.5, 0.5])


def test_accuracy_by_topic_weighs_labels_by_the_inverse_of_their_probability() -> None:
    doubtful = [each._replace(weight=0.25) for each in draws(40, "grain")]
    [grain] = accuracy_by_topic([*draws(40, "grain"), *doubtful], np.arange(80) < 40)
    assert grain.estimate.accuracy == pytest.approx(0.8)


# Twice as many labels -----------------------------------------------------------------------------


def test_forecast_doubling_is_less_than_what_the_second_half_brought() -> None:
    forecast = forecast_doubling(draws(100, "grain"), np.arange(100) < 80, right_until(70), 0.8)
    assert forecast is not None
    assert forecast.n_labels == 200
    assert forecast.gain == pytest.approx(0.06)
    assert 0 <= forecast.low < forecast.gain < forecast.high
    assert not forecast.hardly_pays


def test_forecast_doubling_adds_no_more_than_is_missing() -> None:
    forecast = forecast_doubling(
        draws(100, "grain"), np.ones(100, dtype=bool), right_until(50), 0.9
    )
    assert forecast is not None
    assert [forecast.gain, forecast.high] == pytest.approx([0.1, 0.1])


def test_forecast_doubling_needs_40_measured_labels() -> None:
    right = np.ones(60, dtype=bool)
    labelled = [*draws(39, "grain"), *draws(21, "grain", is_measured=False)]
    assert forecast_doubling(labelled, right, np.ones(60), 0.9) is None
    assert forecast_doubling(draws(60, "grain"), right, np.ones(60), 0.9) is not None


def test_forecast_doubling_needs_more_than_one_label_with_all_the_weight() -> None:
    labelled = [draws(1, "grain")[0]._replace(weight=1e6), *draws(59, "grain")]
    assert forecast_doubling(labelled, np.ones(60, dtype=bool), np.ones(60), 0.9) is None


def test_hardly_pays_needs_a_small_gain_that_is_surely_not_large() -> None:
    assert DoublingForecast(200, 0.005, 0.0, 0.02).hardly_pays
    assert not DoublingForecast(200, 0.005, 0.0, 0.04).hardly_pays
    assert not DoublingForecast(200, 0.015, 0.0, 0.02).hardly_pays


# Reports ------------------------------------------------------------------------------------------


def test_labels_for_accuracy_expects_less_of_each_doubling() -> None:
    report = LabelReport(
        n_labels=100, estimate=ESTIMATE, doubling=DoublingForecast(200, 0.05, 0.0, 0.1)
    )
    assert report.labels_for_accuracy(0.8) == 0
    assert report.labels_for_accuracy(0.85) == 100
    assert report.labels_for_accuracy(0.88) == 300
    assert report.labels_for_accuracy(0.95) is None


def test_to_dict_is_json_without_nan() -> None:
    report = LabelReport(n_labels=3, estimate=UNKNOWN)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == {
        "n_labels": 3,
        "accuracy": None,
        "low": 0.0,
        "high": 1.0,
        "n_measured": 3,
        "n_skipped": 0,
        "topics": [],
        "doubling": None,
        "advice": "",
    }
    complete = LabelReport(
        n_labels=100,
        estimate=ESTIMATE,
        topics=(TopicAccuracy("grain", ESTIMATE),),
        doubling=DoublingForecast(200, 0.01, 0.0, 0.02),
    ).to_dict()
    assert complete["topics"][0]["topic"] == "grain"
    assert complete["doubling"]["hardly_pays"] is False
