"""The net: what it is made of, what it predicts, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import accuracy_score, log_loss

from slugline.errors import DataError, NotFittedError, OptionError
from slugline.learning.calibration import log_softmax, softmax
from slugline.learning.net import layers
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.learning.net.optimizers import RMSprop

N_ROWS, N_COLUMNS, N_TOPICS = 25, 12, 4
RNG = np.random.default_rng(0)
X = sp.random_array((N_ROWS, N_COLUMNS), density=0.3, format="csr", dtype=np.float32, rng=0)
Y = RNG.integers(0, N_TOPICS, N_ROWS)
ONE_HOT = np.eye(N_TOPICS)[Y]


def small_net(**options: Any) -> Network:
    layers = [Dense(8, "relu"), Dense(5), Dense(N_TOPICS, "softmax")]
    return Network(layers, **options).build(N_COLUMNS)


def expected_scores(net: Network, X: np.ndarray) -> np.ndarray:
    """Compute the scores of `small_net` from its weights, in float64."""
    W1, b1, W2, b2, W3, b3 = (array.astype(np.float64) for array in net.weights)
    return (np.maximum(X @ W1 + b1, 0) @ W2 + b2) @ W3 + b3


# What it is made of -----------------------------------------------------------------------------


def test_weights_are_listed_as_in_keras() -> None:
    net = small_net()
    shapes = [(12, 8), (8,), (8, 5), (5,), (5, 4), (4,)]
    assert [array.shape for array in net.weights] == shapes
    assert all(array.dtype == np.float32 for array in net.weights)
    assert all((biases == 0).all() for biases in net.weights[1::2])
    assert (net.n_inputs, net.n_topics) == (12, 4)


def test_fresh_returns_an_untrained_network_with_the_same_options() -> None:
    net = small_net(optimizer="adam", loss="categorical_crossentropy", seed=5)
    fresh = net.fresh()
    assert fresh.weights == []
    assert (fresh.layers, fresh.optimizer, fresh.loss, fresh.seed) == (
        net.layers,
        "adam",
        "categorical_crossentropy",
        5,
    )


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda net: pickle.loads(pickle.dumps(net)), id="pickle"),
    ],
)
def test_copy_of_a_trained_network_learns_independently(copied: Any) -> None:
    net = small_net()
    net.fit(X, Y, batch_size=10)
    twin, before = copied(net), [array.copy() for array in net.weights]
    twin.fit(X, Y, batch_size=10)
    for original, ours, theirs in zip(before, net.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(ours, original)
        assert (theirs != original).any()


# What it predicts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows", [X, X.toarray(), X.toarray().tolist()], ids=["csr", "dense", "list"]
)
def test_predict_and_decision_function_follow_the_formulas(rows: Any) -> None:
    net = small_net()
    scores = expected_scores(net, X.toarray())
    proba = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.decision_function(rows), scores, atol=1e-6)
    np.testing.assert_allclose(net.predict(rows), proba, atol=1e-6)
    np.testing.assert_allclose(net.predict(rows).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("n_at_a_time", [1, 7, 25, 26])
def test_predict_does_not_depend_on_the_batch_size(
    n_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = small_net()
    expected = net.predict(X)
    monkeypatch.setattr(layers, "_PREDICT_ROWS", n_at_a_time)
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-6)


def test_decision_function_of_huge_hidden_outputs_is_finite() -> None:
    net = small_net()
    for weights in net.weights:
        weights[:] = 1e15
    assert np.isfinite(net.decision_function(np.full((1, N_COLUMNS), 1e15))).all()


def test_predict_ignores_dropout() -> None:
    net, dropping = (
        small_net(),
        Network([Dense(8, "relu", dropout=0.5), Dense(5, dropout=0.9), Dense(N_TOPICS, "softmax")]),
    )
    dropping.weights = net.weights
    np.testing.assert_array_equal(dropping.predict(X), net.predict(X))
    assert dropping.evaluate(X, Y) == net.evaluate(X, Y)


@pytest.mark.parametrize(
    ("loss", "y"),
    [("sparse_categorical_crossentropy", Y), ("categorical_crossentropy", ONE_HOT)],
    ids=["integers", "one-hot"],
)
def test_evaluate_returns_loss_and_accuracy_of_scikit_learn(loss: str, y: np.ndarray) -> None:
    net = small_net(loss=loss)
    scores = expected_scores(net, X.toarray())
    result = net.evaluate(X, y)
    assert result.loss == pytest.approx(log_loss(Y, softmax(scores), labels=range(4)), rel=1e-6)
    assert result.accuracy == accuracy_score(Y, scores.argmax(axis=1))


def test_evaluate_adds_penalties_to_the_loss() -> None:
    layers = [Dense(8, "relu", l2=0.1), Dense(5), Dense(N_TOPICS, "softmax", l2=0.02)]
    penalised, plain = Network(layers).build(N_COLUMNS), small_net()
    penalty = 0.1 * (plain.weights[0] ** 2).sum() + 0.02 * (plain.weights[4] ** 2).sum()
    assert penalised.penalty() == pytest.approx(penalty, rel=1e-6)
    expected = plain.evaluate(X, Y).loss + penalty
    assert penalised.evaluate(X, Y).loss == pytest.approx(expected, rel=1e-6)


def test_softmax_takes_scores_of_any_size() -> None:
    scores = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -1e4]], dtype=np.float32)
    third = 1 / 3
    expected = np.array([[1, 0, 0], [third, third, third]])
    np.testing.assert_allclose(softmax(scores), expected, rtol=1e-6)
    expected = np.array([[0, -1e4, -2e4], np.log([third, third, third])])
    np.testing.assert_allclose(log_softmax(scores), expected, rtol=1e-6)


# What it refuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "`units` is 0; give a whole number of at least 1."),
        (
            {"units": 3, "activation": "tanh"},
            "`activation` is 'tanh'; give one of linear, relu, softmax, sigmoid.",
        ),
        ({"units": 3, "l2": -0.1}, "`l2` is -0.1; give a number of at least 0."),
        ({"units": 3, "l2": np.inf}, "`l2` is inf; give a number of at least 0."),
        ({"units": 3, "l2": np.nan}, "`l2` is nan; give a number of at least 0."),
        (
            {"units": 3, "dropout": 1.0},
            "`dropout` is 1.0; give a number of at least 0 and under 1.",
        ),
        (
            {"units": 3, "dropout": -0.5},
            "`dropout` is -0.5; give a number of at least 0 and under 1.",
        ),
    ],
    ids=str,
)
def test_dense_rejects_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Dense(**options)
    assert str(caught.value) == message


NO_PROBABILITIES = (
    'the last layer does not return probabilities; end the stack with Dense(n_topics, "softmax").'
)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], NO_PROBABILITIES),
        ([Dense(8, "relu")], NO_PROBABILITIES),
        (
            [Dense(8, "softmax"), Dense(4, "softmax")],
            'a layer before the last one has softmax; use "relu" there.',
        ),
    ],
    ids=["no layers", "no softmax", "two softmaxes"],
)
def test_network_must_end_in_one_softmax(layers: list[Dense], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Network(layers)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda net: net.n_inputs, id="n_inputs"),
        pytest.param(lambda net: net.predict(X), id="predict"),
        pytest.param(lambda net: net.decision_function(X), id="decision_function"),
        pytest.param(lambda net: net.evaluate(X, Y), id="evaluate"),
        pytest.param(lambda net: net.penalty(), id="penalty"),
        pytest.param(lambda net: net.summary(), id="summary"),
    ],
)
def test_network_without_weights_raises_not_fitted_error(use: Any) -> None:
    with pytest.raises(NotFittedError) as caught:
        use(Network([Dense(N_TOPICS, "softmax")]))
    assert str(caught.value) == "the net has no weights yet; call fit first."


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_network_rejects_rows_of_another_width(method: str) -> None:
    with pytest.raises(DataError, match="`X` has 11 columns, but the model expects 12;"):
        getattr(small_net(), method)(X[:, :11], Y)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_network_rejects_topics_that_do_not_match_the_rows(method: str) -> None:
    with pytest.raises(DataError, match=r"^`y` has shape \(24,\) .* topics of shape \(25,\);"):
        getattr(small_net(), method)(X, Y[:-1])


def test_network_of_several_topics_ends_in_sigmoid_with_its_loss() -> None:
    net = Network([Dense(16, "relu"), Dense(4, "sigmoid")], optimizer=RMSprop(0.01), seed=1)
    assert net.loss == "binary_crossentropy"
    y = np.eye(4, dtype=int)[np.arange(12) % 4] | np.eye(4, dtype=int)[np.arange(12) // 3]
    X = sp.csr_array(y.astype(np.float32))
    history = net.fit(X, y, epochs=300, batch_size=4)
    assert history["loss"][-1] < history["loss"][0] / 4
    assert net.evaluate(X, y).accuracy == 1
    np.testing.assert_array_equal(net.predict(X) > 0.5, y)


@pytest.mark.parametrize(
    ("last", "loss"), [("softmax", "binary_crossentropy"), ("sigmoid", "categorical_crossentropy")]
)
def test_network_rejects_a_loss_that_does_not_match_the_last_layer(last: Any, loss: Any) -> None:
    with pytest.raises(
        OptionError, match=f"loss {loss} is incompatible with output activation {last}"
    ):
        Network([Dense(4, last)], loss=loss)
