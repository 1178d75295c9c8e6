"""One step of training: gradients are those of finite differences, whatever the net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax

from slugline.errors import DataError
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.learning.net.optimizers import SGD

N_ROWS, N_COLUMNS, N_TOPICS = 9, 7, 3
RNG = np.random.default_rng(0)
X = sp.random_array((N_ROWS, N_COLUMNS), density=0.4, format="csr", dtype=np.float32, rng=1)
Y = RNG.integers(0, N_TOPICS, N_ROWS)
ONE_HOT = np.eye(N_TOPICS)[Y]
WEIGHTS = RNG.uniform(0, 3, N_ROWS)

SOFTMAX = Dense(N_TOPICS, "softmax")
STACKS = [
    pytest.param([SOFTMAX], id="1 layer"),
    pytest.param([Dense(5, "relu"), SOFTMAX], id="2 layers"),
    pytest.param([Dense(5, "relu"), Dense(4, "relu"), SOFTMAX], id="3 layers"),
    pytest.param([Dense(5), Dense(4, "relu"), SOFTMAX], id="linear layer"),
    pytest.param([Dense(N_TOPICS, "softmax", l2=0.1)], id="1 layer, l2"),
    pytest.param(
        [Dense(5, "relu", l2=0.3), Dense(4, "relu"), Dense(N_TOPICS, "softmax", l2=0.1)],
        id="3 layers, l2",
    ),
]


def random_net(layers: Sequence[Dense], **options: Any) -> Network:
    """Make a net whose biases aren't zero, and whose step is minus the gradient."""
    net = Network(layers, optimizer=SGD(learning_rate=1.0), **options).build(N_COLUMNS)
    rng = np.random.default_rng(2)
    net.weights = [rng.normal(size=W.shape).astype(np.float32) for W in net.weights]
    return net


def gradients_of_one_step(net: Network, X: Any, y: np.ndarray, **options: Any) -> list[np.ndarray]:
    before = [array.copy() for array in net.weights]
    net.fit(X, y, batch_size=X.shape[0], shuffle=False, **options)
    return [old - new for old, new in zip(before, net.weights, strict=True)]


def loss_in_float64(
    layers: Sequence[Dense],
    weights: Sequence[np.ndarray],
    row_weights: np.ndarray | float = 1.0,
    masks: dict[int, np.ndarray] | None = None,
    rows: sp.csr_array = X,
    targets: np.ndarray = ONE_HOT,
) -> float:
    """Compute the mean loss of a batch from its definition; `masks` go on layers' outputs."""
    signal, penalty = rows.toarray().astype(np.float64), 0.0
    for number, layer in enumerate(layers):
        W, biases = weights[2 * number : 2 * number + 2]
        signal = signal @ W + biases
        if layer.activation == "relu":
            signal = np.maximum(signal, 0)
        signal = signal * (masks or {}).get(number, 1)
        penalty += layer.l2 * (W**2).sum()
    losses = -(targets * log_softmax(signal, axis=1)).sum(axis=1)
    return (row_weights * losses).mean() + penalty


def finite_differences(layers: Sequence[Dense], weights: Any, **options: Any) -> list[np.ndarray]:
    """Differentiate `loss_in_float64` by every weight, a step up and a step down at a time."""
    weights = [array.astype(np.float64) for array in weights]
    gradients = [np.empty_like(array) for array in weights]
    for array, gradient in zip(weights, gradients, strict=True):
        for place in np.ndindex(array.shape):
            value, losses = array[place], []
            for shift in (1e-6, -1e-6):
                array[place] = value + shift
                losses.append(loss_in_float64(layers, weights, **options))
            array[place] = value
            gradient[place] = (losses[0] - losses[1]) / 2e-6
    return gradients


def assert_all_close(arrays: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-6)


# Gradients --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "y"),
    [("sparse_categorical_crossentropy", Y), ("categorical_crossentropy", ONE_HOT)],
    ids=["integers", "one-hot"],
)
@pytest.mark.parametrize("layers", STACKS)
def test_step_gradients_are_those_of_finite_differences(
    layers: list[Dense], loss: str, y: np.ndarray
) -> None:
    net = random_net(layers, loss=loss)
    expected = finite_differences(layers, net.weights)
    assert_all_close(gradients_of_one_step(net, X, y), expected)


@pytest.mark.parametrize("layers", STACKS)
def test_step_gradients_of_weighted_rows_are_those_of_differences(layers: list[Dense]) -> None:
    net = random_net(layers)
    expected = finite_differences(layers, net.weights, row_weights=WEIGHTS)
    assert_all_close(gradients_of_one_step(net, X, Y, sample_weight=WEIGHTS), expected)


def test_step_gradients_of_soft_targets_are_those_of_differences() -> None:
    targets = RNG.dirichlet(np.ones(N_TOPICS), N_ROWS)
    net = random_net([Dense(5, "relu"), SOFTMAX], loss="categorical_crossentropy")
    expected = finite_differences(net.layers, net.weights, targets=targets)
    assert_all_close(gradients_of_one_step(net, X, targets), expected)


def test_step_counts_a_repeated_column_twice() -> None:
    twice = sp.csr_array((np.ones(3, "f4"), [1, 1, 4], [0, 3]), shape=(1, N_COLUMNS))
    once = sp.csr_array(([2.0, 1.0], [1, 4], [0, 2]), shape=(1, N_COLUMNS), dtype=np.float32)
    of_twice, of_once = (
        gradients_of_one_step(random_net([Dense(5, "relu"), SOFTMAX]), rows, Y[:1])
        for rows in (twice, once)
    )
    assert_all_close(of_twice, of_once)


# The loss that is reported ----------------------------------------------------------------------


@pytest.mark.parametrize("layers", STACKS)
def test_step_loss_is_weighted_penalised_and_from_before_the_update(layers: list[Dense]) -> None:
    net = random_net(layers)
    expected = loss_in_float64(layers, net.weights, row_weights=WEIGHTS)
    accuracy = net.evaluate(X, Y).accuracy
    history = net.fit(X, Y, batch_size=N_ROWS, sample_weight=WEIGHTS)
    assert history["loss"] == [pytest.approx(expected, rel=1e-5)]
    assert history["accuracy"] == [accuracy]


@pytest.mark.parametrize(
    ("sample_weight", "message"),
    [
        ([1.0, 2.0], "`sample_weight` has shape (2,)"),
        ([-1.0] * N_ROWS, "`sample_weight` is -1 in row 0"),
    ],
    ids=["shape", "negative"],
)
def test_fit_rejects_invalid_weights(sample_weight: list[float], message: str) -> None:
    with pytest.raises(DataError) as caught:
        random_net([SOFTMAX]).fit(X, Y, sample_weight=sample_weight)
    assert str(caught.value).startswith(message)


# Dropout ----------------------------------------------------------------------------------------


def one_row_net(share: float, seed: int, n_units: int = 6) -> Network:
    return random_net([Dense(n_units, "linear", dropout=share), SOFTMAX], seed=seed)


def mask_of_first_step(net: Network, gradients: list[np.ndarray]) -> np.ndarray:
    """Tell the mask of one row's hidden units from what they passed on to the last layer."""
    outputs = net.weights[0] + gradients[0]  # the weights from before the step
    hidden = X[:1].toarray()[0] @ outputs + net.weights[1] + gradients[1]
    topic = abs(gradients[3]).argmax()
    return gradients[2][:, topic] / (gradients[3][topic] * hidden)


def test_dropout_drops_its_fraction_and_scales_the_rest() -> None:
    net = one_row_net(share=0.25, seed=0, n_units=2000)
    mask = mask_of_first_step(net, gradients_of_one_step(net, X[:1], Y[:1]))
    dropped = mask == 0
    np.testing.assert_allclose(mask[~dropped], 4 / 3, rtol=0.05)
    assert 0.22 < dropped.mean() < 0.28


def test_dropout_passes_gradients_only_through_kept_units() -> None:
    net = one_row_net(share=0.5, seed=1)
    before = [array.copy() for array in net.weights]
    gradients = gradients_of_one_step(net, X[:1], Y[:1])
    mask = mask_of_first_step(net, gradients).round(3)
    assert set(mask) == {0, 2}
    options = {"rows": X[:1], "targets": ONE_HOT[:1], "masks": {0: mask}}
    assert_all_close(gradients, finite_differences(net.layers, before, **options))


def test_dropout_depends_on_the_seed() -> None:
    masks = []
    for seed in (3, 3, 4):
        net = one_row_net(share=0.5, seed=seed, n_units=50)
        masks.append(mask_of_first_step(net, gradients_of_one_step(net, X[:1], Y[:1])) == 0)
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()
