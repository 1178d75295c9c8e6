"""The lesson's way as a learner: the best epoch is found, and a fresh net learns from all rows."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.base.progress import SilentProgress
from slugline.corpus.splits import hold_out
from slugline.errors import DataError, OptionError, TrainingError
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.net.layers import Dense
from slugline.learning.net.learner import NeuralLearner
from slugline.learning.net.network import Network

N_TOPICS = 4


def make_up(n_rows: int, seed: int) -> tuple[sp.csr_array, np.ndarray]:
    """Return multi-hot rows whose topics show in a third of their columns only."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % N_TOPICS
    X = (rng.random((n_rows, 60)) < 0.1).astype(np.float32)
    for row, topic in enumerate(y):
        X[row, 5 * topic + rng.integers(5, size=2)] = 1
    return sp.csr_array(X), y


X, Y = make_up(200, seed=0)
X_OTHER, Y_OTHER = make_up(80, seed=1)


def fit(learner: NeuralLearner, **context: Any) -> Any:
    return learner.fit(X, Labels.from_topics(Y), FitContext(n_topics=N_TOPICS, **context))


def same_weights(a: Network, b: Network) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))


# The best epoch ---------------------------------------------------------------------------------


def test_neural_learner_stops_after_patience_and_keeps_the_best_epoch() -> None:
    learner = NeuralLearner(patience=2, batch_size=8, learning_rate=0.02)
    history = fit(learner)
    losses = history.history["val_loss"]
    assert learner.n_epochs == history.best_epoch == 1 + int(np.argmin(losses))
    assert len(losses) == learner.n_epochs + 2 < 40


@pytest.mark.slow
def test_neural_learner_trains_anew_on_all_rows_for_the_best_epochs() -> None:
    learner = NeuralLearner(hidden=(8,), batch_size=16)
    fit(learner, seed=3)

    net = Network([Dense(8, "relu"), Dense(N_TOPICS, "softmax")], seed=3)
    net.fit(X, Y, epochs=learner.n_epochs, batch_size=16)

    assert same_weights(learner.network, net)


def test_neural_learner_searches_on_rows_that_are_not_heldout() -> None:
    learner = NeuralLearner(hidden=(8,), epochs=3, validation_fraction=0.25)
    history = fit(learner, seed=3)

    held = hold_out(Y.tolist(), 0.25, 3)
    net = Network([Dense(8, "relu"), Dense(N_TOPICS, "softmax")], seed=3)
    by_hand = net.fit(
        X[~held], Y[~held], epochs=3, batch_size=128, validation_data=(X[held], Y[held])
    )

    assert history.history == by_hand.history


def test_validation_data_choose_the_epoch_and_all_rows_are_learned() -> None:
    learner = NeuralLearner(hidden=(8,), batch_size=8, learning_rate=0.02)
    history = fit(learner, validation_data=(X_OTHER, Labels.from_topics(Y_OTHER)), seed=3)
    losses = history.history["val_loss"]
    assert learner.n_epochs == 1 + int(np.argmin(losses)) < len(losses)
    kept = learner.network.evaluate(X_OTHER, Y_OTHER)
    assert kept.loss == pytest.approx(min(losses), rel=1e-5)

    alone = NeuralLearner(hidden=(8,), batch_size=8, learning_rate=0.02, epochs=learner.n_epochs)
    fit(alone, validation_data=(X_OTHER[:4], Labels.from_topics(Y_OTHER[:4])), seed=3)
    if alone.n_epochs == learner.n_epochs:
        assert same_weights(alone.network, learner.network)


def test_validation_data_decide_only_the_epoch() -> None:
    one, two = (NeuralLearner(hidden=(8,), epochs=1) for _ in range(2))
    fit(one, validation_data=(X_OTHER, Labels.from_topics(Y_OTHER)))
    fit(two, validation_data=(X_OTHER[:8], Labels.from_topics(3 - Y_OTHER[:8])))
    assert same_weights(one.network, two.network)


def test_sample_weight_reaches_search_and_training() -> None:
    plain, weighted = NeuralLearner(epochs=2), NeuralLearner(epochs=2)
    weight = np.where(Y == 0, np.float32(5), np.float32(1))
    histories = [fit(plain), fit(weighted, sample_weight=weight)]
    assert histories[0].history["loss"] != histories[1].history["loss"]
    assert not same_weights(plain.network, weighted.network)
    share = [learner.predict_proba(X)[:, 0].mean() for learner in (plain, weighted)]
    assert share[1] > share[0]


# Make of the net --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "n_topics", "widths"),
    [(None, 4, [64, 4]), (None, 90, [90, 90]), ((7, 5), 4, [7, 5, 4]), ((), 4, [4])],
    ids=["default", "as wide as topics", "chosen", "none"],
)
def test_hidden_sets_the_widths_of_layers(
    hidden: tuple[int, ...] | None, n_topics: int, widths: list[int]
) -> None:
    learner = NeuralLearner(hidden, epochs=1)
    learner.fit(X, Labels.from_topics(Y), FitContext(n_topics=n_topics))
    assert [layer.units for layer in learner.network.layers] == widths


def test_options_reach_the_layers_and_the_optimizer() -> None:
    learner = NeuralLearner(
        (6, 5), epochs=1, dropout=0.25, l2=0.001, optimizer="adam", learning_rate=0.5
    )
    fit(learner, seed=9)
    net = learner.network
    assert [(layer.l2, layer.dropout) for layer in net.layers] == [(0.001, 0.25)] * 2 + [(0, 0)]
    assert type(net.optimizer).__name__ == "Adam"
    assert net.optimizer.learning_rate == 0.5  # type: ignore[union-attr]
    assert net.seed == 9


def test_predict_proba_is_the_softmax_of_scores() -> None:
    learner = NeuralLearner(epochs=2)
    fit(learner)
    exp = np.exp(learner.decision_function(X_OTHER))
    np.testing.assert_allclose(
        learner.predict_proba(X_OTHER), exp / exp.sum(axis=1, keepdims=True), rtol=1e-5
    )


def test_seed_decides_all_weights() -> None:
    one, same, other = (NeuralLearner(epochs=2, dropout=0.5) for _ in range(3))
    for learner, seed in ((one, 1), (same, 1), (other, 2)):
        fit(learner, seed=seed)
    assert same_weights(one.network, same.network)
    assert not same_weights(one.network, other.network)


# What can't be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adagrad"}, "`optimizer` is 'adagrad'; give one of rmsprop, adam, sgd."),
        (
            {"hidden": (0,)},
            "`hidden` is (0,); give a sequence whose items are each a whole number of at least 1, "
            "or None.",
        ),
        ({"dropout": 1}, "`dropout` is 1; give a number of at least 0 and under 1."),
        (
            {"validation_fraction": 1},
            "`validation_fraction` is 1; give a number over 0 and under 1.",
        ),
    ],
    ids=["optimizer", "hidden", "dropout", "validation_fraction"],
)
def test_neural_learner_rejects_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        NeuralLearner(**options)
    assert str(caught.value) == message


def test_neural_learner_needs_a_topic_with_two_documents() -> None:
    with pytest.raises(DataError, match="no topic has two documents"):
        NeuralLearner().fit(X[:4], Labels.from_topics(Y[:4]), FitContext(n_topics=N_TOPICS))


# Parts ------------------------------------------------------------------------------------------


def test_restore_returns_the_same_neural_learner() -> None:
    learner = NeuralLearner((6, 5), epochs=2, optimizer="adam", learning_rate=0.01)
    fit(learner)
    again = NeuralLearner.restore(learner.settings(), learner.arrays())
    assert again.settings() == learner.settings()
    assert np.array_equal(again.predict_proba(X_OTHER), learner.predict_proba(X_OTHER))


def test_restore_rejects_layers_that_do_not_match() -> None:
    learner = NeuralLearner((6,), epochs=1)
    fit(learner)
    with pytest.raises(DataError) as caught:
        NeuralLearner.restore(learner.settings() | {"hidden": [5]}, learner.arrays())
    assert str(caught.value) == (
        "layers have shapes [(60, 6), (6,), (6, 4), (4,)], but the settings require "
        "[(60, 5), (5,), (5, 4), (4,)]"
    )


# Ctrl-C -----------------------------------------------------------------------------------------


class InterruptAt(SilentProgress):
    """Presses Ctrl-C in an epoch of one of the runs: first the search, then the new training."""

    def __init__(self, run: int, epoch: int) -> None:
        self._at = (run, epoch)
        self._run, self._step = 0, ""

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        run, epoch = self._at
        self._run += step == "training" != self._step
        if self._run == run and step.startswith(f"epoch {epoch}/") and step != self._step:
            os.kill(os.getpid(), signal.SIGINT)
        self._step = step


@pytest.mark.parametrize(("run", "epoch"), [(1, 3), (2, 2)], ids=["search", "training anew"])
def test_ctrl_c_keeps_the_best_epoch_of_the_search(run: int, epoch: int) -> None:
    options: dict[str, Any] = {"hidden": (8,), "batch_size": 16, "learning_rate": 0.01}
    learner = NeuralLearner(**options)
    history = fit(learner, progress=InterruptAt(run, epoch))
    assert history.stopped_by == "interrupt"
    assert learner.n_epochs == history.best_epoch

    held = hold_out(Y.tolist(), learner.validation_fraction, 0)
    searched = learner.network.fresh()
    searched.fit(X[~held], Y[~held], epochs=learner.n_epochs, batch_size=16)
    assert same_weights(learner.network, searched)


def test_ctrl_c_in_the_last_epoch_of_the_search_keeps_its_best() -> None:
    learner = NeuralLearner((8,), epochs=3, batch_size=16)
    history = fit(learner, progress=InterruptAt(1, 3))
    assert history.stopped_by == "interrupt"
    assert history.n_epochs == 3
    held = hold_out(Y.tolist(), learner.validation_fraction, 0)
    searched = learner.network.fresh()
    searched.fit(X[~held], Y[~held], epochs=history.best_epoch, batch_size=16)
    assert same_weights(learner.network, searched)


def test_ctrl_c_between_search_and_training_keeps_the_best_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner, undisturbed = (NeuralLearner((8,), epochs=3, batch_size=16) for _ in range(2))
    train_anew = NeuralLearner._train_anew

    def pressed(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        train_anew(*args)

    with monkeypatch.context() as patch:
        patch.setattr(NeuralLearner, "_train_anew", pressed)
        history = fit(learner)
    fit(undisturbed, progress=InterruptAt(1, 3))
    assert history.stopped_by == "interrupt"
    assert same_weights(learner.network, undisturbed.network)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Batches ----------------------------------------------------------------------------------------


def test_partial_fit_continues_with_a_copy_of_the_network() -> None:
    learner = NeuralLearner((8,), epochs=2)
    fit(learner)
    fitted, before = learner.network, [array.copy() for array in learner.network.weights]
    n_epochs = learner.n_epochs
    learner.partial_fit(X, Labels.from_topics(Y), FitContext(n_topics=N_TOPICS))
    own = learner.network
    learner.partial_fit(X, Labels.from_topics(Y), FitContext(n_topics=N_TOPICS))
    assert learner.network is own is not fitted
    assert learner.n_epochs == n_epochs + 2
    assert all(np.array_equal(a, b) for a, b in zip(fitted.weights, before, strict=True))
    assert not same_weights(own, fitted)


def test_partial_fit_that_fails_learns_nothing() -> None:
    learner = NeuralLearner((8,), batch_size=20)
    learner.partial_fit(X, Labels.from_topics(Y), FitContext(n_topics=N_TOPICS, first=True))
    before = [array.copy() for array in learner.network.weights]
    weight = np.ones(len(Y), dtype=np.float32)
    weight[-20:] = 1e38  # the loss of some steps, not of all, is infinite
    with pytest.raises(TrainingError):
        learner.partial_fit(
            X, Labels.from_topics(Y), FitContext(n_topics=N_TOPICS, sample_weight=weight)
        )
    assert learner.n_epochs == 1
    assert all(np.array_equal(a, b) for a, b in zip(learner.network.weights, before, strict=True))


def test_partial_fit_takes_the_steps_of_one_network() -> None:
    learner = NeuralLearner((8,), batch_size=20)
    by_hand = Network([Dense(8, "relu"), Dense(N_TOPICS, "softmax")], seed=4)
    weight = np.linspace(0.5, 2, 100).astype(np.float32)
    for half in (slice(0, 100), slice(100, 200)):
        context = FitContext(N_TOPICS, sample_weight=weight, seed=4, first=half.start == 0)
        learner.partial_fit(X[half], Labels.from_topics(Y[half]), context)
        by_hand.fit(X[half], Y[half], batch_size=20, sample_weight=weight)
    assert same_weights(learner.network, by_hand)
