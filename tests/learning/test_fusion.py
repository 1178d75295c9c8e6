"""How much each model counts in a sum of scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from slugline.learning.calibration import log_softmax, spread
from slugline.learning.encoder import fusion
from slugline.learning.encoder.fusion import ScoreFusion, fit_score_factors, fuse_scores

Floats = npt.NDArray[np.float32]
RNG = np.random.default_rng(5)
Y = RNG.integers(4, size=2000)
STATE = RNG.bit_generator.state
CONSTANT: Floats = np.ones((2000, 4), dtype=np.float32)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Give each test the same numbers, whichever ran before."""
    RNG.bit_generator.state = STATE


def scores(signal: float) -> Floats:
    """Return noisy scores that are higher by `signal` for the right topic."""
    return (RNG.normal(size=(2000, 4)) + signal * np.eye(4)[Y]).astype(np.float32)


def loss(summed: Floats) -> float:
    return -float(log_softmax(summed)[np.arange(len(Y)), Y].mean())


def best_inverse_temperature(summed: Floats) -> float:
    return min(np.geomspace(0.5, 4, 400), key=lambda factor: loss(np.float32(factor) * summed))


def fused(sparse: Floats, dense: Floats, y: npt.NDArray[np.int64] = Y) -> ScoreFusion:
    """Return the sum with the best factors."""
    return fuse_scores(sparse, dense, fit_score_factors([sparse, dense], y), y)


def test_fit_score_factors_favor_the_better_model_and_improve_on_both() -> None:
    good, bad = scores(2.0), scores(1.0)
    a, b = fit_score_factors([good, bad], Y)
    # For noise of variance 1, the best factor is the signal.
    assert [a, b] == pytest.approx([2, 1], rel=0.25)
    assert loss(a * good + b * bad) < min(loss(2 * good), loss(bad))


@pytest.mark.parametrize("useless", [scores(0), -scores(1.0), CONSTANT])
def test_fit_score_factors_ignore_a_misleading_model(useless: Floats) -> None:
    good = scores(2.0)
    a, b = fit_score_factors([good, useless], Y)
    assert a == pytest.approx(2, rel=0.15)
    assert b < 0.1 or useless.std() == 0


def test_fit_score_factors_do_not_depend_on_the_scale_of_scores() -> None:
    good, bad = scores(2.0), scores(1.0)
    factors = fit_score_factors([good * np.float32(1000), bad / np.float32(1000)], Y)
    plain = fit_score_factors([good, bad], Y)
    assert factors == pytest.approx([plain[0] / 1000, plain[1] * 1000], rel=1e-3)


def test_fit_score_factors_ignore_rows_of_weight_zero() -> None:
    good, other = scores(2.0), scores(1.0)
    weight = np.zeros(2000, dtype=np.float32)
    weight[:1000] = 3
    expected = fit_score_factors([good[:1000], other[:1000]], Y[:1000])
    assert fit_score_factors([good, other], Y, weight) == pytest.approx(expected, rel=1e-3)


def test_fit_score_factors_sample_rows_with_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "_MAX_ROWS", 1000)
    good, weight = scores(2.0), np.ones(2000, dtype=np.float32)
    weight[np.unique(np.linspace(0, 1999, 1000).astype(np.intp))] = 0
    is_weighted = weight > 0
    expected = fit_score_factors([good[is_weighted]], Y[is_weighted])
    assert fit_score_factors([good], Y, weight) == pytest.approx(expected)
    assert expected[0] == pytest.approx(2, rel=0.2)


def test_fit_score_factors_of_few_rows_stay_near_the_best_model() -> None:
    good, bad = scores(2.0), scores(1.0)
    few = fit_score_factors([good[:12], bad[:12]], Y[:12])
    many = fit_score_factors([good, bad], Y)
    assert few[1] < many[1]


def test_fit_score_factors_within_no_standard_error_have_the_lowest_loss() -> None:
    good, bad, few_y = scores(2.0)[:12], scores(1.0)[:12], Y[:12]

    def loss_of_few(a: float, b: float) -> float:
        return -float(log_softmax(a * good + b * bad)[np.arange(12), few_y].mean())

    lowest = loss_of_few(*fit_score_factors([good, bad], few_y, max_errors=0))
    grid = np.linspace(0, 5, 26)
    assert lowest <= min(loss_of_few(a, b) for a in grid for b in grid) + 1e-6
    assert lowest < loss_of_few(*fit_score_factors([good, bad], few_y))


def test_fit_score_factors_add_models_that_complement_each_other() -> None:
    half = np.arange(2000) % 2 == 0
    first = np.where(half[:, None], scores(3.0), scores(0.0))
    second = np.where(half[:, None], scores(0.0), scores(3.0))
    a, b = fit_score_factors([first, second], Y)
    assert 0.7 < a / b < 1.4


def test_fuse_scores_calibrates_the_sum_and_weighs_the_encoder() -> None:
    good, bad = scores(2.0), scores(1.0)
    found = fused(bad, good)
    summed = np.float32(found.sparse_factor) * bad + np.float32(found.dense_factor) * good
    assert best_inverse_temperature(summed) == pytest.approx(1, rel=0.1)
    # The factors are about 2 and 1, and the better scores have a larger spread as well.
    assert found.encoder_weight == pytest.approx(0.71, abs=0.08)
    assert 0 < found.calibration.uniform_weight < 0.02


def test_fuse_scores_keeps_a_uniform_weight_for_wrong_topics() -> None:
    good = scores(6.0)
    wrong = np.where(np.arange(len(Y)) % 10 == 0, (Y + 1) % 4, Y)
    found = fused(CONSTANT, good, wrong)
    assert found.calibration.uniform_weight == pytest.approx(0.1 * 4 / 3, abs=0.03)


@pytest.mark.parametrize("of_no_use", [CONSTANT, -scores(2.0)], ids=["the same", "misleading"])
def test_fuse_scores_ignores_a_useless_model(of_no_use: Floats) -> None:
    found = fused(scores(2.0), of_no_use)
    assert found.encoder_weight == 0
    assert found.sparse_factor == pytest.approx(2, rel=0.15)


def test_fuse_scores_of_few_rows_has_less_spread_than_of_many() -> None:
    """By few rows, scores that are right throughout may be right by chance."""
    separated = 5 * np.eye(4, dtype=np.float32)[Y] + scores(0.0) * np.float32(0.1)
    spreads = [
        found.dense_factor * spread(separated)
        for n in (6, 60, 2000)
        for found in [fused(CONSTANT[:n], separated[:n], Y[:n])]
    ]
    assert 0.5 < spreads[0] < spreads[1] < spreads[2]


def test_fuse_scores_does_not_depend_on_the_scale_of_scores() -> None:
    good, bad = scores(2.0)[:50], scores(1.0)[:50]
    found, plain = fused(bad, np.float32(100) * good, Y[:50]), fused(bad, good, Y[:50])
    assert 100 * found.dense_factor == pytest.approx(plain.dense_factor, rel=0.02)
    assert found.sparse_factor == pytest.approx(plain.sparse_factor, rel=0.05)
