"""Probabilities of several topics for a document."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.errors import DataError
from slugline.learning.calibration import TopicCalibration, fit_topic_calibration

N_ROWS, N_TOPICS = 8000, 6


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, topics that each have with the probability of its own curve, and these."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(-0.8, 0.7, (N_ROWS, N_TOPICS)).astype(np.float32)
    logits = scores * np.linspace(2, 6, N_TOPICS) + np.linspace(-2, 1, N_TOPICS)
    proba = 0.97 / (1 + np.exp(-logits)) + 0.01
    return scores, (rng.random(proba.shape) < proba).astype(np.float32), proba


def calibration_error(proba: np.ndarray, y: np.ndarray) -> float:
    likely = proba > 0.05
    bins = np.digitize(proba[likely], np.arange(0.1, 1, 0.1))
    gaps = [(bins == i).sum() * abs((proba - y)[likely][bins == i].mean()) for i in np.unique(bins)]
    return float(sum(gaps) / likely.sum())


def test_topic_calibration_is_right_as_often_as_it_says() -> None:
    scores, y, _ = made()
    curves = fit_topic_calibration(scores, y)
    new_scores, new_y, true = made(1)
    proba = curves.proba(new_scores)
    assert proba.dtype == np.float32
    assert proba.shape == (N_ROWS, N_TOPICS)
    assert calibration_error(proba, new_y) < 0.02
    likely = true > 0.05
    assert np.abs(proba - true)[likely].mean() < 0.03


def test_topic_calibration_is_monotonic() -> None:
    curves = fit_topic_calibration(*made()[:2])
    scores = np.linspace(-20, 20, 200, dtype=np.float32)[:, np.newaxis].repeat(N_TOPICS, axis=1)
    proba = curves.proba(scores)
    assert (np.diff(proba, axis=0) >= 0).all()
    assert np.isfinite(proba).all()
    assert 0 <= proba.min() < 0.001
    assert 0.95 < proba.max() <= 1


def test_topic_calibration_of_a_rare_topic_is_near_the_common_curve() -> None:
    scores, y, _ = made()
    y[:, 0] = 0
    y[scores[:, 0].argmax(), 0] = 1
    few = fit_topic_calibration(scores, y)
    scores_of_few = np.full((1, N_TOPICS), 0.5, dtype=np.float32)
    assert few.slopes[0] == pytest.approx(np.median(few.slopes), rel=0.5)
    assert few.proba(scores_of_few)[0, 0] < few.proba(scores_of_few)[0, 1:].min()


def test_topic_calibration_ignores_topics_never_learned() -> None:
    scores, y, _ = made()
    curves = fit_topic_calibration(scores, y)
    absent = np.full((N_ROWS, 1), -10, dtype=np.float32)
    more = fit_topic_calibration(np.hstack([scores, absent]), np.hstack([y, np.zeros_like(absent)]))
    np.testing.assert_allclose(more.slopes[:-1], curves.slopes, atol=1e-4)
    np.testing.assert_allclose(more.bend, curves.bend, atol=1e-4)
    assert more.proba(np.full((1, N_TOPICS + 1), -10, dtype=np.float32))[0, -1] < 1e-4


def test_topic_calibration_counts_rows_by_weight() -> None:
    scores, y, _ = made()
    weights = np.repeat([1, 0], N_ROWS // 2).astype(np.float32)
    half = fit_topic_calibration(scores[: N_ROWS // 2], y[: N_ROWS // 2])
    weighted = fit_topic_calibration(scores, y, weights)
    np.testing.assert_allclose(weighted.slopes, half.slopes, atol=1e-3)
    np.testing.assert_allclose(weighted.bend, half.bend, atol=1e-3)


def test_topic_calibration_of_no_rows_is_a_usual_one() -> None:
    none = np.zeros((0, 2), dtype=np.float32)
    curves = fit_topic_calibration(none, none)
    proba = curves.proba(np.array([[-1, 1]], dtype=np.float32))
    assert proba[0, 0] < 0.1
    assert proba[0, 1] > 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        {"slopes": np.ones(3, dtype=np.float32)},
        {"slopes": np.array([1, -1], dtype=np.float32)},
        {"bend": np.ones(2, dtype=np.float32)},
        {"bend": np.array([1, 0, 0], dtype=np.float32)},
    ],
)
def test_topic_calibration_restore_rejects_invalid_arrays(wrong: dict[str, np.ndarray]) -> None:
    ones = np.ones(2, dtype=np.float32)
    arrays = {"slopes": ones, "intercepts": ones, "bend": np.ones(3, dtype=np.float32)}
    assert TopicCalibration.restore(arrays, ones).proba(np.zeros((1, 2), np.float32)).shape == (
        1,
        2,
    )
    with pytest.raises(DataError, match="curves"):
        TopicCalibration.restore(arrays | wrong, ones)
