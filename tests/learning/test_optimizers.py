"""Optimizers: the formulas of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from slugline.errors import OptionError
from slugline.learning.net.optimizers import SGD, Adam, Optimizer, RMSprop, get_optimizer

SHAPE = (12, 3)
N_STEPS = 60

Rule = Callable[[np.ndarray, Iterator[np.ndarray]], np.ndarray]


# Keras' update rules, written out in float64 from its documentation -----------------------------


def sgd(learning_rate: float = 0.01, momentum: float = 0.0) -> Rule:
    def run(w: np.ndarray, gradients: Iterator[np.ndarray]) -> np.ndarray:
        velocity = np.zeros_like(w)
        for g in gradients:
            velocity = momentum * velocity - learning_rate * g
            w = w + velocity
        return w

    return run


def rmsprop(learning_rate: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Rule:
    def run(w: np.ndarray, gradients: Iterator[np.ndarray]) -> np.ndarray:
        velocity = np.zeros_like(w)
        for g in gradients:
            velocity = rho * velocity + (1 - rho) * g**2
            w = w - learning_rate * g / np.sqrt(velocity + epsilon)
        return w

    return run


def adam(
    learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> Rule:
    def run(w: np.ndarray, gradients: Iterator[np.ndarray]) -> np.ndarray:
        m, v = np.zeros_like(w), np.zeros_like(w)
        for t, g in enumerate(gradients, start=1):
            alpha = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            m = m + (g - m) * (1 - beta_1)
            v = v + (g**2 - v) * (1 - beta_2)
            w = w - alpha * m / (np.sqrt(v) + epsilon)
        return w

    return run


CASES = [
    pytest.param(SGD(), sgd(), id="sgd"),
    pytest.param(SGD(0.05, momentum=0.9), sgd(0.05, momentum=0.9), id="momentum"),
    pytest.param(RMSprop(), rmsprop(), id="rmsprop"),
    pytest.param(RMSprop(0.01, rho=0.8, epsilon=1e-3), rmsprop(0.01, 0.8, 1e-3), id="rmsprop set"),
    pytest.param(Adam(), adam(), id="adam"),
    pytest.param(Adam(0.01, 0.8, 0.99, 1e-3), adam(0.01, 0.8, 0.99, 1e-3), id="adam set"),
]


# What they are fed ------------------------------------------------------------------------------


def first_weights() -> np.ndarray:
    return np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)


def sparse_gradients() -> Iterator[np.ndarray]:
    """Return gradients with most rows zero, some rows for long, and values of many sizes."""
    rng = np.random.default_rng(2)
    for _ in range(N_STEPS):
        gradient = rng.normal(size=SHAPE) * 10.0 ** rng.integers(-4, 2)
        gradient[rng.random(SHAPE[0]) < np.linspace(0.1, 0.97, SHAPE[0])] = 0
        yield gradient.astype(np.float32)


def train(optimizer: Optimizer) -> np.ndarray:
    optimizer, weights = get_optimizer(optimizer), first_weights()
    for gradient in sparse_gradients():
        optimizer.begin_step()
        optimizer.update(0, weights, gradient)
    return weights


# What they do -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "rule"), CASES)
def test_optimizers_follow_the_formulas_of_keras(optimizer: Optimizer, rule: Rule) -> None:
    expected = rule(first_weights().astype(np.float64), sparse_gradients())
    weights = train(optimizer)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam()], ids=repr)
def test_momentum_moves_rows_after_their_gradient(optimizer: Optimizer) -> None:
    weights = np.zeros(SHAPE, dtype=np.float32)
    for row in (0, 1):
        gradient = np.zeros(SHAPE, dtype=np.float32)
        gradient[row] = 1
        after_one = weights.copy()
        optimizer.begin_step()
        optimizer.update(0, weights, gradient)
    assert (weights[0] < after_one[0]).all()
    assert (weights[2:] == 0).all()


@pytest.mark.parametrize("optimizer", [param.values[0] for param in CASES], ids=repr)
def test_optimizer_keeps_averages_of_each_array(optimizer: Optimizer) -> None:
    together, alone = get_optimizer(optimizer), get_optimizer(optimizer)
    weights, others, expected = first_weights(), first_weights(), first_weights()
    for gradient in sparse_gradients():
        together.begin_step()
        together.update(0, weights, gradient.copy())
        together.update(1, others, 7 * gradient + 1)
        alone.begin_step()
        alone.update(0, expected, gradient.copy())
    np.testing.assert_array_equal(weights, expected)


def test_get_optimizer_rejects_an_unknown_name() -> None:
    with pytest.raises(OptionError) as caught:
        get_optimizer("adagrad")
    assert str(caught.value) == "`optimizer` is 'adagrad'; give one of sgd, rmsprop, adam."
