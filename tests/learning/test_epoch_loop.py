"""The epoch loop: what the seed decides, which epoch is kept, and how training ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.base.progress import SilentProgress
from slugline.errors import DataError, OptionError, TrainingError
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.learning.net.optimizers import SGD, Adam, RMSprop
from slugline.learning.net.training import EarlyStopping, History

N_COLUMNS, N_TOPICS = 30, 4


def noisy_rows(seed: int, n_rows: int = 80) -> tuple[sp.csr_array, np.ndarray]:
    """Make rows that name their topic's own column more often than not, and much noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, N_TOPICS, n_rows)
    X = rng.random((n_rows, N_COLUMNS)) < 0.15
    X[np.arange(n_rows), y] |= rng.random(n_rows) < 0.6
    return sp.csr_array(X, dtype=np.float32), y


X, Y = noisy_rows(0)
VALIDATION = noisy_rows(1)

# The net below learns fast and overfits: its validation loss is lowest in this epoch.
BEST_EPOCH = 5


def overfitting_net(seed: int = 3, **options: Any) -> Network:
    layers = [Dense(16, "relu"), Dense(N_TOPICS, "softmax")]
    return Network(layers, seed=seed, **{"optimizer": RMSprop(0.02), **options})


def fit(net: Network, epochs: int, **options: Any) -> History:
    return net.fit(X, Y, epochs=epochs, batch_size=16, validation_data=VALIDATION, **options)


def assert_same_weights(ours: Network, others: Network) -> None:
    for array, other in zip(ours.weights, others.weights, strict=True):
        np.testing.assert_array_equal(array, other)


class Watcher(SilentProgress):
    """Writes down what training tells, and does something of its own after an epoch."""

    def __init__(self, after_epoch: Any = lambda number: None) -> None:
        self.events: list[Any] = []
        self.after_epoch = after_epoch

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        is_new = step != "training" and (not self.events or self.events[-1][0] != step)
        self.events.append((step, share, detail))
        if is_new:
            self.after_epoch(int(step.split()[1].split("/")[0]))

    def close(self) -> None:
        self.events.append("end")


# Epochs and batches -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch_size", "n_steps"), [(16, 5), (32, 3), (80, 1), (500, 1), (1, 80)], ids=str
)
def test_progress_is_told_of_every_step_and_epoch_and_the_end(
    batch_size: int, n_steps: int
) -> None:
    watcher = Watcher()
    history = overfitting_net().fit(X, Y, epochs=2, batch_size=batch_size, progress=watcher)
    first, second = (
        "  ".join(f"{name} {values[i]:.4f}" for name, values in history.history.items())
        for i in range(2)
    )
    shares = [n / (2 * n_steps) for n in range(1, 2 * n_steps + 1)]
    assert watcher.events == [
        *(("training", share, "") for share in shares[:n_steps]),
        ("epoch 1/2", 0.5, first),
        *(("epoch 1/2", share, first) for share in shares[n_steps:]),
        ("epoch 2/2", 1.0, second),
        "end",
    ]


def test_history_has_validation_metrics_of_each_epoch() -> None:
    net, shorter = overfitting_net(), overfitting_net()
    history = fit(net, epochs=3)
    fit(shorter, epochs=2)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history["val_loss"][1:] == [net.evaluate(*VALIDATION).loss for net in (shorter, net)]
    assert history["val_accuracy"][2] == net.evaluate(*VALIDATION).accuracy
    assert (history.n_rows, history.batch_size, history.n_epochs) == (80, 16, 3)
    assert (history.restored_epoch, history.stopped_by) == (None, None)


def test_validation_data_do_not_change_training() -> None:
    watched, blind = overfitting_net(), overfitting_net()
    with_validation = fit(watched, epochs=3)
    without = blind.fit(X, Y, epochs=3, batch_size=16)
    assert_same_weights(watched, blind)
    assert without["loss"] == with_validation["loss"]


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), RMSprop(), Adam()], ids=repr)
def test_fit_twice_equals_one_longer_fit(optimizer: Any, shuffle: bool) -> None:
    in_two, in_one = (overfitting_net(optimizer=optimizer) for _ in range(2))
    parts = [fit(in_two, epochs, shuffle=shuffle) for epochs in (2, 3)]
    whole = fit(in_one, 5, shuffle=shuffle)
    assert_same_weights(in_two, in_one)
    assert parts[0]["val_loss"] + parts[1]["val_loss"] == whole["val_loss"]


# Seeds ------------------------------------------------------------------------------------------


def dropping_net(seed: int) -> Network:
    return Network([Dense(16, "relu", dropout=0.5), Dense(N_TOPICS, "softmax")], seed=seed)


def test_seed_fixes_the_weights_exactly() -> None:
    first, second = dropping_net(seed=1), dropping_net(seed=1)
    assert fit(first, epochs=3) == fit(second, epochs=3)
    assert_same_weights(first, second)


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_seed_decides_the_order_of_batches(shuffle: bool) -> None:
    first, second = (overfitting_net(seed=seed).build(N_COLUMNS) for seed in (1, 2))
    second.weights = [array.copy() for array in first.weights]
    losses = [fit(net, epochs=2, shuffle=shuffle)["loss"] for net in (first, second)]
    assert (losses[0] != losses[1]) == shuffle


# The widths are such that two threads of OpenBLAS add up in another order than one.
DIGEST_OF_A_TRAINING = """
import hashlib
import numpy as np
import scipy.sparse as sp
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
X = sp.random_array((600, 500), density=0.05, format="csr", dtype=np.float32, rng=0)
y = np.random.default_rng(0).integers(0, 46, 600)
net = Network([Dense(1000, "relu"), Dense(301, "relu", l2=1e-4), Dense(46, "softmax")])
net.fit(X, y, epochs=2, batch_size=300, validation_data=(X, y))
print(hashlib.sha256(b"".join(array.tobytes() for array in net.weights)).hexdigest())
"""


@pytest.mark.slow
def test_fit_does_not_depend_on_blas_threads() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST_OF_A_TRAINING],
            env=os.environ | {"OPENBLAS_NUM_THREADS": n_threads, "OMP_NUM_THREADS": n_threads},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for n_threads in ("1", "2")
    }
    assert len(digests) == 1


# The best epoch ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patience", "n_epochs", "stopped_by"),
    [
        (None, 12, None),
        (2, BEST_EPOCH + 2, "early stopping"),
        (3, BEST_EPOCH + 3, "early stopping"),
    ],
    ids=str,
)
def test_early_stopping_restores_the_best_epoch(
    patience: int | None, n_epochs: int, stopped_by: str | None
) -> None:
    net, stopped_in_time = overfitting_net(), overfitting_net()
    history = fit(net, epochs=12, early_stopping=EarlyStopping(patience=patience))
    fit(stopped_in_time, epochs=BEST_EPOCH)
    assert history["val_loss"][-1] > history["val_loss"][BEST_EPOCH - 1]
    assert (history.n_epochs, history.stopped_by) == (n_epochs, stopped_by)
    assert history.restored_epoch == history.best_epoch == BEST_EPOCH
    assert_same_weights(net, stopped_in_time)
    assert net.evaluate(*VALIDATION).loss == min(history["val_loss"])


# Ctrl-C -----------------------------------------------------------------------------------------


PressAfter = Callable[..., Watcher]


@pytest.fixture
def press_ctrl_c_after() -> PressAfter:
    """Return a way to press it after an epoch."""

    def press_after(epoch: int, times: int = 1) -> Watcher:
        def press(number: int) -> None:
            for _ in range(times if number == epoch else 0):
                os.kill(os.getpid(), signal.SIGINT)

        return Watcher(press)

    return press_after


def test_ctrl_c_ends_training_after_the_current_epoch(press_ctrl_c_after: PressAfter) -> None:
    net, shorter = overfitting_net(), overfitting_net()
    watcher = press_ctrl_c_after(2)
    history = fit(net, epochs=10, progress=watcher)
    fit(shorter, epochs=2)
    assert (history.n_epochs, history.stopped_by) == (2, "interrupt")
    assert watcher.events[-1] == "end"
    assert_same_weights(net, shorter)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_keeps_the_best_epoch_so_far(press_ctrl_c_after: PressAfter) -> None:
    net, stopped_in_time = overfitting_net(), overfitting_net()
    stopping = EarlyStopping(patience=None)
    history = fit(net, epochs=20, early_stopping=stopping, progress=press_ctrl_c_after(9))
    fit(stopped_in_time, epochs=BEST_EPOCH)
    assert (history.n_epochs, history.stopped_by) == (9, "interrupt")
    assert history.restored_epoch == BEST_EPOCH
    assert_same_weights(net, stopped_in_time)


def test_ctrl_c_twice_ends_training_at_once(press_ctrl_c_after: PressAfter) -> None:
    watcher = press_ctrl_c_after(2, times=2)
    with pytest.raises(KeyboardInterrupt):
        fit(overfitting_net(), epochs=10, progress=watcher)
    assert watcher.events[-1] == "end"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Errors -----------------------------------------------------------------------------------------


def test_fit_raises_at_the_step_where_the_loss_is_not_finite() -> None:
    watcher = Watcher()
    with pytest.raises(TrainingError) as caught:
        fit(overfitting_net(optimizer=SGD(1e30)), epochs=3, progress=watcher)
    assert str(caught.value) == (
        "the loss became nan at step 2 of epoch 1; lower the learning rate (now 1e+30) or the "
        "weights of the rows."
    )
    assert watcher.events == [("training", 1 / 15, ""), "end"]


def test_fit_raises_if_the_validation_loss_is_not_finite() -> None:
    net = overfitting_net(optimizer=SGD(1e30))
    with pytest.raises(TrainingError) as caught:
        net.fit(X, Y, batch_size=80, validation_data=VALIDATION)
    assert str(caught.value) == (
        "the validation loss became nan after epoch 1; lower the learning rate (now 1e+30) or the "
        "weights of the rows."
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, OptionError, "`epochs` is 0; give a whole number of at least 1."),
        ({"batch_size": 0}, OptionError, "`batch_size` is 0; give a whole number of at least 1."),
        ({"early_stopping": EarlyStopping()}, OptionError, "early stopping monitors 'val_loss'"),
        (
            {"validation_data": (X[:, :20], Y)},
            DataError,
            "`X` has 20 columns, but the model expects 30",
        ),
        (
            {"validation_data": (X[:0], Y[:0])},
            DataError,
            "there are no rows to evaluate; give at least one.",
        ),
    ],
    ids=["epochs", "batch_size", "no validation", "validation columns", "validation rows"],
)
def test_fit_rejects_invalid_options(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        overfitting_net().fit(X, Y, **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"optimizer": "adagrad"}, "`optimizer` is 'adagrad'"), ({"loss": "mse"}, "`loss` is 'mse'")],
    ids=["optimizer", "loss"],
)
def test_fit_rejects_unknown_names(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        fit(overfitting_net(**options), epochs=1)
