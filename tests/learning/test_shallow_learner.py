"""The shallow net on weighted rows: how it learns, options, restoring."""

from __future__ import annotations

import math
import signal
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.base.progress import SilentProgress
from slugline.errors import DataError, OptionError
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.learning.net.optimizers import RowAdaGrad
from slugline.learning.shallow import _BATCH_SIZE, _INPUT_SCALE, ShallowLearner

CONTEXT = FitContext(n_topics=3, seed=5)


def make_up(seed: int) -> tuple[sp.csr_array, np.ndarray]:
    """Return rows of length 1 of three topics, which share most of their columns."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=240)
    X = rng.random((240, 40)) < 0.2
    X[:, :9] |= rng.random((240, 9)) < 0.7 * np.eye(3)[y].repeat(3, axis=1)
    rows = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1)
    return sp.csr_array(rows.astype(np.float32)), y


X, Y = make_up(0)


def fit(context: FitContext = CONTEXT, **options: Any) -> ShallowLearner:
    learner = ShallowLearner(**({"units": 16, "epochs": 8} | options))
    learner.fit(X, Labels.from_topics(Y), context)
    return learner


def test_it_learns_topics_of_new_rows() -> None:
    X_new, y_new = make_up(1)
    assert (fit(epochs=20).predict_proba(X_new).argmax(axis=1) == y_new).mean() > 0.75


def test_probabilities_are_the_softmax_of_the_scores() -> None:
    learner = fit()
    scores = np.exp(learner.decision_function(X).astype(np.float64))
    expected = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(learner.predict_proba(X), expected, rtol=1e-4)


def test_rows_are_scaled_topics_smoothed_and_rates_fall_to_nothing_by_the_last_step() -> None:
    layers = [Dense(16, "relu", dropout=0.5), Dense(3, "softmax")]
    optimizer = RowAdaGrad(n_steps=8 * math.ceil(240 / _BATCH_SIZE))
    by_hand = Network(layers, optimizer=optimizer, loss="categorical_crossentropy", seed=5)
    smoothed = 0.7 * np.eye(3, dtype=np.float32)[Y] + np.float32(0.1)
    by_hand.fit(X * _INPUT_SCALE, smoothed, epochs=8, batch_size=_BATCH_SIZE)

    scores = fit(label_smoothing=0.3).decision_function(X)

    np.testing.assert_allclose(scores, by_hand.decision_function(X * _INPUT_SCALE), rtol=1e-3)


def test_smoothed_labels_keep_probabilities_from_certainty() -> None:
    plain = fit(epochs=40).predict_proba(X).max(axis=1).mean()
    smooth = fit(epochs=40, label_smoothing=0.3).predict_proba(X).max(axis=1).mean()
    assert smooth < plain - 0.05


def test_the_seed_decides_everything() -> None:
    first, again = fit(), fit()
    other = fit(FitContext(n_topics=3, seed=6))
    for name, array in first.arrays().items():
        assert np.array_equal(array, again.arrays()[name])
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))


def test_a_row_of_weight_0_teaches_nothing() -> None:
    weight = (Y != 2).astype(np.float32)
    learner = fit(FitContext(n_topics=3, seed=5, sample_weight=weight), epochs=20)
    assert 2 not in learner.predict_proba(X).argmax(axis=1)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_out_of_range_is_refused(smoothing: float) -> None:
    with pytest.raises(OptionError) as caught:
        ShallowLearner(label_smoothing=smoothing)
    assert str(caught.value) == (
        f"`label_smoothing` is {smoothing}; give a number of at least 0 and under 1."
    )


def test_a_learner_restored_from_its_parts_is_the_same() -> None:
    learner = fit(dropout=0.25, label_smoothing=0.1)
    again = ShallowLearner.restore(learner.settings(), learner.arrays())
    assert again.settings() == learner.settings()
    assert np.array_equal(again.predict_proba(X), learner.predict_proba(X))


def test_layers_that_do_not_fit_one_another_are_refused() -> None:
    learner = fit()
    arrays = learner.arrays() | {"hidden.biases": np.zeros(15, dtype=np.float32)}
    with pytest.raises(DataError) as caught:
        ShallowLearner.restore(learner.settings(), arrays)
    assert str(caught.value) == (
        "layers have shapes [(40, 16), (15,), (16, 3), (3,)], but the settings require "
        "[(40, 16), (16,), (16, 3), (3,)]"
    )


def test_several_topics_of_a_row_are_learned_by_sigmoid_and_each_label_is_smoothed() -> None:
    rng = np.random.default_rng(3)
    sets = np.stack([topic == Y for topic in range(3)], axis=1) | (rng.random((240, 3)) < 0.2)
    sets[:9] = False
    layers = [Dense(16, "relu", dropout=0.5), Dense(3, "sigmoid")]
    by_hand = Network(layers, optimizer=RowAdaGrad(n_steps=16), seed=5)
    smoothed = 0.7 * sets + 0.1 * sets.sum(axis=1, keepdims=True)
    by_hand.fit(X * _INPUT_SCALE, smoothed, epochs=8, batch_size=_BATCH_SIZE)

    learner = ShallowLearner(units=16, epochs=8, label_smoothing=0.3)
    learner.fit(X, Labels.from_indicator(sp.csr_array(sets.astype(np.float32))), CONTEXT)

    scores = by_hand.decision_function(X * _INPUT_SCALE)
    np.testing.assert_allclose(learner.decision_function(X), scores, rtol=1e-3, atol=1e-5)
    proba = learner.predict_proba(X)
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-scores)), rtol=1e-3)
    assert learner.multilabel
    again = ShallowLearner.restore(learner.settings(), learner.arrays())
    assert np.array_equal(again.predict_proba(X), proba)
    again.fit(X, Labels.from_topics(Y), CONTEXT)
    assert not again.multilabel
    np.testing.assert_allclose(again.predict_proba(X).sum(axis=1), 1, rtol=1e-5)


def test_ctrl_c_leaves_no_half_trained_net() -> None:
    class Impatient(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if step.startswith("epoch 1/"):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(FitContext(n_topics=3, progress=Impatient()))
