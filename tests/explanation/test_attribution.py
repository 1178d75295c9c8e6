"""What columns add to scores: sums, for every learner, and against answers known otherwise."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from slugline.errors import OptionError
from slugline.explanation.attribution import adjust_to_sum, make_attributor
from slugline.learning.calibration import Calibration, TopicCalibration
from slugline.learning.learner import Capabilities, Learner
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.layers import Dense
from slugline.learning.net.learner import NeuralLearner
from slugline.learning.net.network import Network

N_COLUMNS, N_TOPICS = 12, 4


def linear(seed: int = 0, sharpness: float = 5.0) -> LinearLearner:
    rng = np.random.default_rng(seed)
    learner = LinearLearner()
    learner._set_weights(sp.csr_array(rng.normal(size=(N_COLUMNS, N_TOPICS)).astype("f4")))
    learner.biases = rng.normal(size=N_TOPICS).astype("f4")
    learner.calibration = Calibration(sharpness, 0.02, 0.1)
    return learner


def sure() -> LinearLearner:
    """Return a learner by which some topics have a probability of 0."""
    learner = linear()
    learner._set_weights(learner.weights * np.float32(30))
    learner.calibration = Calibration(20.0)
    return learner


def net(*hidden: int, seed: int = 0, activation: Any = "relu") -> NeuralLearner:
    rng = np.random.default_rng(seed)
    learner = NeuralLearner(hidden=hidden)
    layers = [*(Dense(units, activation) for units in hidden), Dense(N_TOPICS, "softmax")]
    learner.network = Network(layers)
    widths = [N_COLUMNS, *hidden, N_TOPICS]
    for n_in, n_out in itertools.pairwise(widths):
        learner.network.weights += [
            rng.normal(size=(n_in, n_out)).astype("f4"),
            rng.normal(size=n_out).astype("f4"),
        ]
    return learner


def several(learner: Any, seed: int = 0) -> Any:
    """Return a learner that has learned several topics for a text."""
    rng = np.random.default_rng(seed)
    slopes, intercepts = rng.uniform(0.5, 2, (2, N_TOPICS)).astype("f4")
    learner.calibration = TopicCalibration(slopes, intercepts, np.array([0.7, 1.6, 0.1], "f4"))
    return learner


def mixture_of_several(size: float = 1) -> Any:
    inner = Mixture([several(linear()), several(net(8), 1)], inverse_temperature=1.5)
    other = several(linear(2), 3)
    other._set_weights(other.weights * np.float32(size))
    return several(Mixture([several(inner, 2), other], weights=[1, 2]))


LEARNERS: dict[str, Learner] = {
    "linear": linear(),
    "no hidden layer": net(),
    "one hidden layer": net(8),
    "two hidden layers": net(8, 6),
    "three hidden layers": net(5, 4, 3),
    "hidden layers without bends": net(5, 4, activation="linear"),
    "mixture": Mixture([linear(), net(8), linear(1)], weights=[1, 2, 0.5]),
    "sharp mixture": Mixture([linear(sharpness=50.0), net(6, 5)], inverse_temperature=2.0),
    "mixture in which topics are impossible": Mixture([sure(), sure()]),
    "mixture of a mixture": Mixture(
        [Mixture([linear(), net(8)], inverse_temperature=1.5), linear(2)]
    ),
    "mixture of several topics": mixture_of_several(),
    "mixture of several topics that are nearly sure": mixture_of_several(5),
}


def row_of(seed: int, n_values: int = 6) -> Any:
    rng = np.random.default_rng(seed)
    columns = np.sort(rng.choice(N_COLUMNS, n_values, replace=False))
    values = rng.uniform(0, 1, n_values).astype("f4")
    return sp.csr_array((values, (np.zeros(n_values, int), columns)), shape=(1, N_COLUMNS))


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
@given(seed=st.integers(0, 1000), n_values=st.integers(0, N_COLUMNS))
@example(seed=793, n_values=6)
def test_attributions_sum_to_the_score_difference_from_an_empty_row(
    name: str, seed: int, n_values: int
) -> None:
    learner, X = LEARNERS[name], row_of(seed, n_values)
    wanted = np.random.default_rng(seed).normal(size=N_TOPICS)
    found = make_attributor(learner, X.indices, X.data)

    empty = sp.csr_array((1, N_COLUMNS), dtype=np.float32)
    # Scores of about 100 in float32, times 20, are off by up to 4e-4 in the sure learners.
    error = 1e-3 if "impossible" in name else 1e-4
    if "several" in name:
        # Their smallest complement, 2**-20, is that of a mean in float32, and off by up to 2**-23.
        error = 0.14
    assert found.top == pytest.approx(learner.decision_function(X)[0], rel=1e-4, abs=error)
    assert found.base == pytest.approx(learner.decision_function(empty)[0], rel=1e-4, abs=error)
    shares = found.attributions(wanted)
    assert shares.shape == (n_values,)
    assert shares.sum() == pytest.approx((found.top - found.base) @ wanted, abs=1e-6)


def test_attributions_of_a_linear_learner_are_weights_times_values() -> None:
    learner, X = linear(), row_of(0)
    found = make_attributor(learner, X.indices, X.data)
    weights = learner.weights[X.indices].toarray().astype("f8")
    assert found.attributions(np.eye(N_TOPICS)[2]) == pytest.approx(
        X.data * weights[:, 2], abs=1e-12
    )


def test_attributions_of_one_hidden_layer_are_integrated_gradients() -> None:
    learner = net(8)
    weights, biases, outer, _ = (array.astype("f8") for array in learner.network.weights)
    X, topic = row_of(3), 1
    row = X.toarray()[0].astype("f8")
    steps = (np.arange(200_000) + 0.5) / 200_000
    active = (steps[:, np.newaxis] * (row @ weights) + biases > 0).mean(axis=0)
    expected = row * (weights @ (active * outer[:, topic]))
    found = make_attributor(learner, X.indices, X.data).attributions(np.eye(N_TOPICS)[topic])
    assert found == pytest.approx(expected[X.indices], abs=1e-4)


@pytest.mark.parametrize("multilabel", [False, True])
def test_attributions_of_a_linear_mixture_are_integrated_gradients(multilabel: bool) -> None:
    mixture: Any = Mixture([linear(), linear(1)], weights=[1, 3])
    if multilabel:
        mixture = several(Mixture([several(linear()), several(linear(1), 1)], weights=[1, 3]))
    X, topic = row_of(5), 2
    row = X.toarray()[0]
    at = ((np.arange(4000) + 0.5) / 4000).astype("f4")[:, np.newaxis] * row
    step = np.float32(1e-2)
    expected = []
    for column in X.indices:
        change = step * np.eye(N_COLUMNS, dtype="f4")[column]
        up, down = (mixture.decision_function(at + sign * change)[:, topic] for sign in (1, -1))
        expected.append(row[column] * float(np.mean(up - down)) / (2 * step))
    found = make_attributor(mixture, X.indices, X.data).attributions(np.eye(N_TOPICS)[topic])
    assert found == pytest.approx(expected, abs=2e-3)


def test_make_attributor_rejects_an_unknown_learner() -> None:
    class Own:
        weighting, capabilities = "counts", Capabilities()

    with pytest.raises(OptionError, match=r"^`learner` is <.*Own .*>, which can't be explained; "):
        make_attributor(Own(), np.zeros(0, "i4"), np.zeros(0))  # type: ignore[arg-type]


def test_adjust_to_sum_distributes_rounding_errors_only() -> None:
    shares = np.array([3.0, -1.0])
    assert adjust_to_sum(shares, 2 + 4e-5).tolist() == pytest.approx([3 + 3e-5, -1 + 1e-5])
    assert adjust_to_sum(shares, 2.1).tolist() == [3.0, -1.0]
    assert adjust_to_sum(np.zeros(2), 1.0).tolist() == [0.0, 0.0]


def test_attributions_of_a_mixture_may_be_approximate() -> None:
    # Scores so large that the rounding errors of their differences are more than any step corrects.
    huge = linear()
    weights = huge.weights.toarray()
    weights[:, :2] = 1e12 * np.abs(weights[:, :1])
    huge._set_weights(sp.csr_array(weights))
    mixture: Any = Mixture([Mixture([huge, linear(1)]), linear(2)])
    X = row_of(0)

    parts = make_attributor(mixture, X.indices, X.data)

    assert not parts.is_approximate
    began = time.process_time()
    parts.attributions(np.eye(N_TOPICS)[0])
    assert time.process_time() - began < 10
    assert parts.is_approximate


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_attributions_of_usual_mixtures_are_exact(learner: Learner) -> None:
    X = row_of(0)
    parts = make_attributor(learner, X.indices, X.data)
    parts.attributions(np.eye(N_TOPICS)[0])
    assert not parts.is_approximate
