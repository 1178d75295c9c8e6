"""Scores to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import special

from slugline.learning import calibration
from slugline.learning.calibration import Calibration, fit_calibration, log_softmax, softmax

SCORES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(SCORES)
def test_softmax_and_log_softmax_equal_those_of_scipy(scores: np.ndarray) -> None:
    exact = scores.astype(np.float64)
    np.testing.assert_allclose(softmax(scores), special.softmax(exact, axis=1), 1e-4, 1e-30)
    np.testing.assert_allclose(
        log_softmax(scores), special.log_softmax(exact, axis=1), rtol=1e-5, atol=1e-5
    )


@given(SCORES)
def test_softmax_returns_float32_rows_that_sum_to_1(scores: np.ndarray) -> None:
    before = scores.copy()
    proba = softmax(scores)
    assert proba.dtype == log_softmax(scores).dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert np.array_equal(scores, before)


def test_log_softmax_of_a_hopeless_topic_is_finite() -> None:
    scores = np.array([[0, -500]], dtype=np.float32)
    assert softmax(scores).tolist() == [[1, 0]]
    assert log_softmax(scores).tolist() == [[0, -500]]


@pytest.mark.filterwarnings("error")
def test_softmax_takes_infinite_scores_for_very_large_ones() -> None:
    inf = np.float32(np.inf)
    largest = np.finfo(np.float32).max
    scores = np.array(
        [[inf, 0], [-inf, 0], [-inf, -inf], [inf, inf], [inf, -inf], [largest, -largest]],
        dtype=np.float32,
    )
    assert softmax(scores).tolist() == [[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]]


# Sharpness and doubt ----------------------------------------------------------------------------


def drawn(planted: Calibration, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, and topics drawn from the probabilities that they should give."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(n, 5)).astype(np.float32)
    bounds = planted.proba(scores).cumsum(axis=1)
    return scores, np.minimum((rng.random((n, 1)) > bounds).sum(axis=1), 4)


@given(SCORES, st.floats(0.1, 50), st.floats(0, 0.5))
def test_calibration_spreads_the_uniform_weight_over_all_topics(
    scores: np.ndarray, sharpness: float, doubt: float
) -> None:
    before = scores.copy()
    sure = special.softmax(scores.astype(np.float64) * np.float32(sharpness), axis=1)
    proba = Calibration(sharpness, doubt).proba(scores)
    expected = (1 - doubt) * sure + doubt / scores.shape[1]
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, expected, rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert np.array_equal(scores, before)


@pytest.mark.parametrize(
    "planted",
    [
        Calibration(3.0, 0.2),
        Calibration(8.0, 0.05),
        Calibration(1.0, 0.0),
        Calibration(6.0, 0.02, 0.3),
    ],
    ids=str,
)
def test_fit_calibration_recovers_a_planted_calibration(planted: Calibration) -> None:
    scores, y = drawn(planted)
    found = fit_calibration(scores, y)
    assert np.abs(found.proba(scores) - planted.proba(scores)).mean() < 0.005


def test_fit_calibration_minimizes_the_weighted_loss() -> None:
    scores, y = drawn(Calibration(4.0, 0.1), 300)
    weights = np.random.default_rng(1).random(300).astype(np.float32) ** 4

    def loss(calibration: Calibration) -> float:
        right = calibration.proba(scores)[np.arange(300), y].astype(np.float64)
        return float(np.average(-np.log(right), weights=weights))

    grid = [Calibration(s, d) for s in np.geomspace(1, 16, 60) for d in np.linspace(0.01, 0.5, 50)]
    found = fit_calibration(scores, y, weights)
    # The prior is at odds with scores that say nearly all, by 13 nats here.
    prior = (found.inverse_temperature / calibration._PRIOR_PART) ** 2 / np.log(5) / 4
    assert loss(found) <= min(map(loss, grid)) + prior / 300
    assert loss(fit_calibration(scores, y)) > loss(found)


def test_fit_calibration_is_bounded_if_all_topics_are_right_or_wrong() -> None:
    scores = np.tile(np.eye(3, dtype=np.float32), (300, 1))
    right, wrong = (
        fit_calibration(scores, np.tile([0, 1, 2], 300)),
        fit_calibration(scores, np.tile([1, 2, 0], 300)),
    )
    assert 5 < right.inverse_temperature < 55
    assert right.uniform_weight < 0.01
    assert wrong.inverse_temperature > 1 / 60
    assert wrong.uniform_weight <= 0.5
    assert np.isfinite(np.log(wrong.proba(scores))).all()


def test_fit_calibration_keeps_a_uniform_weight_if_few_rows_are_right() -> None:
    doubt = {}
    for n_rows in (3, 300, 30_000):
        scores = np.resize(np.eye(3, dtype=np.float32), (n_rows, 3))
        doubt[n_rows] = fit_calibration(scores, np.arange(n_rows) % 3).uniform_weight
    assert doubt[3] > 0.005 > doubt[300] > 0.001 > doubt[30_000] > 0


def test_fit_calibration_of_few_rows_stays_near_the_usual_one() -> None:
    scores, y = drawn(Calibration(20.0, 0.2), 3000)
    far = [
        abs(np.log(fit_calibration(scores[:n], y[:n], usual=5.5).inverse_temperature / 20))
        for n in (3, 30, 3000)
    ]
    assert far[0] > far[1] > far[2]
    of_one = fit_calibration(scores[:1], y[:1], usual=5.5)
    assert of_one.inverse_temperature == pytest.approx(5.5, rel=0.3)


def test_fit_calibration_of_wrong_extreme_scores_is_nearly_uniform() -> None:
    scores = np.tile(np.array([[0, 1e6], [1e6, 0]], dtype=np.float32), (100, 1))
    proba = fit_calibration(scores, np.tile([0, 1], 100)).proba(scores)
    np.testing.assert_allclose(proba, 0.5, atol=0.02)


def test_fit_calibration_of_few_rows_without_information_is_hardly_sure() -> None:
    """Topics that have nothing to do with scores; with 16 rows, some rows agree by chance."""
    sureness = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores, y = rng.normal(size=(16, 2)).astype(np.float32), rng.integers(2, size=16)
        sureness.append(fit_calibration(scores, y).proba(scores).max(axis=1).mean())
    assert np.mean(sureness) < 0.58


def test_fit_calibration_does_not_depend_on_the_scale_of_scores() -> None:
    scores, y = drawn(Calibration(3.0, 0.05), 50)
    small, large = (fit_calibration(scores * np.float32(f), y) for f in (0.25, 16))
    assert small.inverse_temperature == pytest.approx(64 * large.inverse_temperature)


@pytest.mark.parametrize("parameters", [(1.7, -4, -2), (2.5, 1, 0), (0, 2, -5)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("prior_sd", [None, 2.0])
def test_loss_gradient_is_that_of_finite_differences(
    parameters: tuple[float, ...], weighted: bool, prior_sd: float | None
) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 4)).astype(np.float32)
    y = np.where(rng.random(200) < 0.6, scores.argmax(axis=1), rng.integers(4, size=200))
    weights = rng.random(200).astype(np.float32) if weighted else None
    loss = calibration._Loss(scores, y, weights, prior_sd)
    at = np.array(parameters, dtype=np.float64)
    steps = 1e-3 * np.eye(3)
    differences = [(loss(at + step)[0] - loss(at - step)[0]) / 2e-3 for step in steps]
    np.testing.assert_allclose(loss(at)[1], differences, rtol=2e-2, atol=1e-4)


def test_loss_is_that_of_the_probabilities() -> None:
    rng = np.random.default_rng(1)
    scores, y = rng.normal(size=(300, 5)).astype(np.float32), rng.integers(5, size=300)
    found = fit_calibration(scores, y)
    log_odds = [
        np.log(share / (0.5 - share))
        for share in (found.uniform_weight, found.high_temperature_weight)
    ]
    loss, *_ = calibration._Loss(scores, y, None)(
        np.array([np.log(found.inverse_temperature), *log_odds])
    )
    prior = np.square(
        ([np.log(found.inverse_temperature), *log_odds] - calibration._PRIOR_MEANS) / (0.5, 1, 1)
    )
    own = found.proba(scores)[np.arange(300), y]
    assert loss == pytest.approx(-np.log(own).mean() + prior.sum() / 2 / 300, rel=1e-5)
