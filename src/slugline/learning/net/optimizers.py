"""Losses and optimizers of nets, with the arithmetic of Keras."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I32, Mask
from slugline.base.checks import check_choice
from slugline.errors import DataError, Parameter
from slugline.learning.calibration import log_softmax
from slugline.learning.net.first_layer import RowBatch
from slugline.text.sparse import has_kernel


class LossAndAccuracy(NamedTuple):
    """Mean loss in nats (natural-log units) with penalties, and fraction of right answers."""

    loss: float
    accuracy: float


class SparseCategoricalCrossentropy:
    """-log(p[y]) for integer topics `y`."""

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> npt.NDArray[Any]:
        """Return `y` as an integer array of shape (n_rows,) with values below `n_topics`."""
        targets = np.asarray(y)
        if targets.shape != (n_rows,) or targets.dtype.kind not in "iu":
            raise DataError(
                Parameter("y"),
                f" has shape {targets.shape} and type {targets.dtype}, but "
                f"sparse_categorical_crossentropy needs integer topics of shape {(n_rows,)}; "
                "use categorical_crossentropy for one-hot rows.",
            )
        if n_rows and not 0 <= targets.min() <= targets.max() < n_topics:
            raise DataError(
                Parameter("y"),
                f" runs from {targets.min()} to {targets.max()}, but topics run from 0 to "
                f"{n_topics - 1}; give the last layer one unit for each topic.",
            )
        return targets

    def log_proba(self, scores: F32) -> F32:
        """Return log-probabilities by softmax."""
        return log_softmax(scores)

    def hits(self, log_proba: F32, y: npt.NDArray[Any]) -> Mask:
        """Return a mask of the rows whose most likely topic is the true one."""
        topics = y if y.ndim == 1 else y.argmax(axis=1)
        return log_proba.argmax(axis=1) == topics

    def values(self, log_proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the loss of each row in nats."""
        return -log_proba[np.arange(len(y)), y]

    def gradient(self, proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return p - one_hot(y), the derivative with respect to the scores; overwrites `proba`."""
        proba[np.arange(len(y)), y] -= 1
        return proba


class CategoricalCrossentropy(SparseCategoricalCrossentropy):
    """-sum(y * log(p)) for rows `y` that are distributions over topics, such as one-hot rows.

    One-hot rows are converted to integer topics, which gives the same results faster.
    """

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> npt.NDArray[Any]:
        """Return `y` as a float32 array of shape (n_rows, n_topics) whose rows sum to 1.

        If all rows are one-hot, return the topic of each instead, shape (n_rows,).
        """
        targets = np.asarray(y, dtype=np.float32)
        if targets.shape != (n_rows, n_topics):
            raise DataError(
                Parameter("y"),
                f" has shape {targets.shape}, but categorical_crossentropy needs one-hot rows "
                f"of shape {(n_rows, n_topics)}; use one_hot(y, {n_topics}), or "
                "sparse_categorical_crossentropy for integer topics.",
            )
        if not np.allclose(targets.sum(axis=1), 1, atol=1e-3) or targets.min(initial=0) < 0:
            raise DataError(
                "a row of ",
                Parameter("y"),
                " is not a probability distribution; its values must be at least 0 and sum to 1.",
            )
        # Rows sum to 1, so each has a nonzero value.
        if np.count_nonzero(targets) == np.count_nonzero(targets == 1) == n_rows:
            return targets.argmax(axis=1)
        return targets

    def values(self, log_proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the loss of each row."""
        if y.ndim == 1:
            return super().values(log_proba, y)
        # A topic with target 0 adds nothing, even if its loss is infinite.
        return -np.where(y > 0, y * log_proba, 0).sum(axis=1)

    def gradient(self, proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return p - y, the derivative with respect to the scores; overwrites `proba`."""
        if y.ndim == 1:
            return super().gradient(proba, y)
        proba -= y
        return proba


class BinaryCrossentropy:
    """-sum(y * log(p) + (1 - y) * log(1 - p)) for multi-hot rows `y`.

    Targets between 0 and 1 are smoothed labels.
    """

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> npt.NDArray[Any]:
        """Return `y` as an array of shape (n_rows, n_topics): bool, or float32 if smoothed."""
        targets = np.asarray(y)
        if targets.shape != (n_rows, n_topics) or not ((targets >= 0) & (targets <= 1)).all():
            raise DataError(
                Parameter("y"),
                f" has shape {targets.shape}, but binary_crossentropy needs rows of numbers "
                f"from 0 to 1 of shape {(n_rows, n_topics)}.",
            )
        return targets.astype(bool if np.isin(targets, (0, 1)).all() else np.float32)

    def log_proba(self, scores: F32) -> F32:
        """Return log-probabilities by sigmoid, at most -1e-7 as in Keras."""
        logs: F32 = -np.logaddexp(np.float32(0), -scores)
        return np.minimum(logs, np.float32(-1e-7))

    def hits(self, log_proba: F32, y: npt.NDArray[Any]) -> Mask:
        """Return a mask of rows in which exactly the true topics have a probability over 0.5."""
        return ((log_proba > np.log(0.5)) == (y > 0.5)).all(axis=1)

    def values(self, log_proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the loss of each row."""
        log_rest, others = np.log1p(-np.exp(log_proba)), np.subtract(1, y, dtype=np.float32)
        return -(y * log_proba + others * log_rest).sum(axis=1)

    def gradient(self, proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return p - y, the derivative with respect to the scores; overwrites `proba`."""
        proba -= y
        return proba


Loss: TypeAlias = SparseCategoricalCrossentropy | BinaryCrossentropy

LossName = Literal[
    "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"
]
_LOSSES: dict[str, Any] = {
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get_loss(name: str) -> Loss:
    """Return a loss by name, or raise OptionError."""
    check_choice("loss", name, tuple(_LOSSES))
    return _LOSSES[name]()


# Optimizers ---------------------------------------------------------------------------------------

# Initial number of precomputed powers of rho.
_MIN_DECAYS = 1000


@dataclass
class Optimizer:
    """Updates weights in place, with one `begin_step` per batch and one update per array."""

    learning_rate: float
    _step: int = field(default=0, init=False, repr=False)

    def begin_step(self) -> None:
        """Begin the next batch."""
        self._step += 1

    def update(self, key: int, weights: F32, gradient: F32) -> None:
        """Move `weights` downhill.

        Parameters
        ----------
        key : int
            Identifies the array and its running averages.
        gradient : float32 array
            Same shape as `weights`; may be overwritten.
        """
        raise NotImplementedError

    def update_first_layer(self, key: int, weights: F32, batch: RowBatch, delta: F32) -> None:
        """Move the weights of the first layer downhill.

        Parameters
        ----------
        key, weights : see `update`
        batch : RowBatch
        delta : float32 array, shape (n_rows, n_units)
            Derivative of the loss with respect to `batch @ weights`.
        """
        self.update(key, weights, np.asarray(batch.csr().T @ delta))


@dataclass
class SGD(Optimizer):
    """Gradient descent with momentum: m = momentum m - learning_rate g; w += m."""

    learning_rate: float = 0.01
    momentum: float = 0.0
    _velocity: dict[int, F32] = field(default_factory=dict, init=False, repr=False)

    def update(self, key: int, weights: F32, gradient: F32) -> None:
        """Move `weights` downhill."""
        if not self.momentum:
            weights -= np.float32(self.learning_rate) * gradient
            return
        velocity = _average(self._velocity, key, weights)
        velocity *= np.float32(self.momentum)
        velocity -= np.float32(self.learning_rate) * gradient
        weights += velocity


@dataclass
class RMSprop(Optimizer):
    """Gradient over its running root mean square: v = rho v + (1 - rho) g^2; w -= lr g / sqrt(v).

    `epsilon` is added to v under the root, as in Keras 3. Tieleman and Hinton (2012), Lecture 6.5,
    Neural Networks for Machine Learning.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    _mean_square: dict[int, F32] = field(default_factory=dict, init=False, repr=False)
    _last_step: dict[int, I32] = field(default_factory=dict, init=False, repr=False)
    # rho to the power of 0, 1, 2, ..., at least up to the number of steps.
    _decays: F32 = field(
        default_factory=lambda: np.empty(0, np.float32), init=False, repr=False, compare=False
    )

    def begin_step(self) -> None:
        """Count the step; rows without a gradient catch up later."""
        super().begin_step()
        if self._step >= len(self._decays):
            powers = np.arange(2 * self._step + _MIN_DECAYS, dtype=np.float32)
            self._decays = np.float32(self.rho) ** powers

    def update(self, key: int, weights: F32, gradient: F32) -> None:
        """Move `weights` downhill."""
        mean_square = _average(self._mean_square, key, weights)
        mean_square *= np.float32(self.rho)
        mean_square += np.float32(1 - self.rho) * gradient * gradient
        root = np.sqrt(mean_square + np.float32(self.epsilon))
        weights -= np.float32(self.learning_rate) * gradient / root

    def update_first_layer(self, key: int, weights: F32, batch: RowBatch, delta: F32) -> None:
        """Move the weights of the first layer downhill."""
        if not has_kernel():
            super().update_first_layer(key, weights, batch, delta)
            return
        # A zero gradient only shrinks the average, so a row can catch up on all missed steps later.
        mean_square = _average(self._mean_square, key, weights)
        last_step = self._last_step.setdefault(key, np.zeros(len(weights), dtype=np.int32))
        batch.descend(
            delta,
            weights,
            mean_square,
            last_step,
            step=self._step,
            learning_rate=self.learning_rate,
            complement=float(np.float32(1 - self.rho)),
            epsilon=self.epsilon,
            decays=self._decays,
        )


@dataclass
class Adam(Optimizer):
    """Running mean of the gradient over its root mean square, both corrected for starting at 0.

    Kingma and Ba (2015), Adam: a method for stochastic optimization; in the form at the end of
    their section 2, where the step size includes both corrections.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    _mean: dict[int, F32] = field(default_factory=dict, init=False, repr=False)
    _mean_square: dict[int, F32] = field(default_factory=dict, init=False, repr=False)

    def update(self, key: int, weights: F32, gradient: F32) -> None:
        """Move `weights` downhill."""
        mean = _average(self._mean, key, weights)
        mean_square = _average(self._mean_square, key, weights)
        mean += (gradient - mean) * np.float32(1 - self.beta_1)
        mean_square += (gradient * gradient - mean_square) * np.float32(1 - self.beta_2)
        correction = np.sqrt(1 - self.beta_2**self._step) / (1 - self.beta_1**self._step)
        rate = np.float32(self.learning_rate * correction)
        weights -= rate * mean / (np.sqrt(mean_square) + np.float32(self.epsilon))


def _average(averages: dict[int, F32], key: int, weights: F32) -> F32:
    """Return the running average of an array, initially 0."""
    if key not in averages:
        averages[key] = np.zeros_like(weights)
    return averages[key]


OptimizerName = Literal["rmsprop", "adam", "sgd"]
_OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def get_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return a new optimizer by name, or a copy of the one passed; raise OptionError otherwise."""
    if not isinstance(optimizer, str):
        return copy.deepcopy(optimizer)  # each net has its own running averages
    check_choice("optimizer", optimizer, tuple(_OPTIMIZERS))
    return _OPTIMIZERS[optimizer]()
