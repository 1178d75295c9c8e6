"""Rules that turn gradients into smaller losses, with Keras' defaults and arithmetic.

The gradient of a wide first layer is zero in most rows, as a batch of documents names few of all
words. It comes as `rows` and the gradient of those rows alone, and a rule for which a zero gradient
changes no weight touches nothing else.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from slugline.errors import OptionError

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop", "RowAdaGrad", "get_optimizer"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp] | None

# Keeps the first step of a row without gradient from 0 / 0.
_TINY = np.float32(1e-10)


class Optimizer(Protocol):
    """Updates weights in place, one `begin_step` per batch and one `update` per array."""

    learning_rate: float

    def begin_step(self) -> None:
        """Say that the updates from here on belong to the next batch."""
        ...

    def update(self, key: int, weights: Floats, gradient: Floats, rows: Rows = None) -> None:
        """Move `weights` downhill.

        Parameters
        ----------
        key : int
            Names the array, whose running averages are kept under it.
        gradient : float32 array
            Of the shape of `weights` or, with `rows`, of `weights[rows]`; may be overwritten.
        rows : int array, optional
            Distinct rows outside which the gradient is zero.
        """
        ...


@dataclass
class SGD:
    """Gradient descent with momentum: m = momentum m - learning_rate g; w += m."""

    learning_rate: float = 0.01
    momentum: float = 0.0
    _velocity: dict[int, Floats] = field(default_factory=dict, init=False, repr=False)

    def begin_step(self) -> None:
        """Nothing to prepare."""

    def update(self, key: int, weights: Floats, gradient: Floats, rows: Rows = None) -> None:
        """Move `weights` downhill."""
        if not self.momentum:
            weights[... if rows is None else rows] -= np.float32(self.learning_rate) * gradient
            return
        # Momentum moves on where the gradient is zero, so no row may be left out.
        gradient = _all_rows(weights, gradient, rows)
        velocity = self._velocity.setdefault(key, np.zeros_like(weights))
        velocity *= np.float32(self.momentum)
        velocity -= np.float32(self.learning_rate) * gradient
        weights += velocity


@dataclass
class RMSprop:
    """Gradient over its running root mean square: v = rho v + (1 - rho) g^2; w -= lr g / sqrt(v).

    `epsilon` is added to v under the root, as in Keras 3.

    References
    ----------
    Tieleman and Hinton (2012), Lecture 6.5, Neural Networks for Machine Learning.
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    _mean_square: dict[int, Floats] = field(default_factory=dict, init=False, repr=False)
    _last_step: dict[int, npt.NDArray[np.int32]] = field(
        default_factory=dict, init=False, repr=False
    )
    _step: int = field(default=0, init=False, repr=False)

    def begin_step(self) -> None:
        """Count the step, from which rows learn how long they lay untouched."""
        self._step += 1

    def update(self, key: int, weights: Floats, gradient: Floats, rows: Rows = None) -> None:
        """Move `weights` downhill."""
        mean_square = self._mean_square.setdefault(key, np.zeros_like(weights))
        if rows is None:
            mean_square *= np.float32(self.rho)
            mean_square += self._square(gradient)
            weights -= self._change(gradient, mean_square.copy())
            return
        # A zero gradient only shrinks v, so a row makes up for all steps missed when it is met.
        last_step = self._last_step.setdefault(key, np.zeros(len(weights), dtype=np.int32))
        missed = (self._step - last_step[rows]).astype(np.float32)
        last_step[rows] = self._step
        touched = mean_square[rows]
        touched *= (np.float32(self.rho) ** missed)[:, np.newaxis]
        touched += self._square(gradient)
        mean_square[rows] = touched
        weights[rows] -= self._change(gradient, touched)

    def _square(self, gradient: Floats) -> Floats:
        square = gradient * gradient
        square *= np.float32(1 - self.rho)
        return square

    def _change(self, gradient: Floats, mean_square: Floats) -> Floats:
        """Return what to subtract; overwrites both."""
        mean_square += np.float32(self.epsilon)
        np.sqrt(mean_square, out=mean_square)
        gradient *= np.float32(self.learning_rate)
        gradient /= mean_square
        return gradient


@dataclass
class Adam:
    """Running mean of the gradient over its root mean square, both corrected for their start.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization; in the form at the end of
    their section 2, where the step size takes both corrections.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    _mean: dict[int, Floats] = field(default_factory=dict, init=False, repr=False)
    _mean_square: dict[int, Floats] = field(default_factory=dict, init=False, repr=False)
    _step: int = field(default=0, init=False, repr=False)

    def begin_step(self) -> None:
        """Count the step, on which the corrections depend."""
        self._step += 1

    def update(self, key: int, weights: Floats, gradient: Floats, rows: Rows = None) -> None:
        """Move `weights` downhill."""
        # The mean moves weights on where the gradient is zero, so no row may be left out.
        gradient = _all_rows(weights, gradient, rows)
        mean = self._mean.setdefault(key, np.zeros_like(weights))
        mean_square = self._mean_square.setdefault(key, np.zeros_like(weights))
        mean += (gradient - mean) * np.float32(1 - self.beta_1)
        mean_square += (gradient * gradient - mean_square) * np.float32(1 - self.beta_2)
        correction = np.sqrt(1 - self.beta_2**self._step) / (1 - self.beta_1**self._step)
        rate = np.float32(self.learning_rate * correction)
        weights -= rate * mean / (np.sqrt(mean_square) + np.float32(self.epsilon))


@dataclass
class RowAdaGrad:
    """One step size per word, which shrinks with what the word has seen; Adam for all other arrays.

    For the rows of a first layer: s += mean(g^2) over the row; w -= lr g / sqrt(s). A word that few
    documents have keeps a large step, and a row costs one number of state instead of one or two a
    weight.

    Parameters
    ----------
    learning_rate : float, default 0.05
        Of rows.
    above : float, default 0.003
        Learning rate of all other arrays.
    n_steps : int, optional
        Both rates fall along a line, to nothing after so many steps; by default they stay.
    start : float, default 0.0
        Where s starts: above 0, first steps are as small as the first gradients.

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods for online learning and stochastic
    optimization; with one sum for each row in place of one for each weight.
    """

    learning_rate: float = 0.05
    above: float = 0.003
    n_steps: int | None = None
    start: float = 0.0
    _sum: dict[int, Floats] = field(default_factory=dict, init=False, repr=False)
    _adam: Adam = field(default_factory=Adam, init=False, repr=False)
    _fade: float = field(default=1.0, init=False, repr=False)
    _step: int = field(default=0, init=False, repr=False)

    def begin_step(self) -> None:
        """Count the step, with which the rates fall."""
        if self.n_steps is not None:
            self._fade = max(0.0, 1 - self._step / self.n_steps)
        self._step += 1
        self._adam.learning_rate = self.above * self._fade
        self._adam.begin_step()

    def update(self, key: int, weights: Floats, gradient: Floats, rows: Rows = None) -> None:
        """Move `weights` downhill."""
        if rows is None:
            self._adam.update(key, weights, gradient)
            return
        if key not in self._sum:
            self._sum[key] = np.full(len(weights), self.start, dtype=np.float32)
        sums = self._sum[key]
        sums[rows] += np.einsum("ij,ij->i", gradient, gradient) / np.float32(gradient.shape[1])
        rates = np.float32(self.learning_rate * self._fade) / (np.sqrt(sums[rows]) + _TINY)
        gradient *= rates[:, np.newaxis]
        weights[rows] -= gradient


def _all_rows(weights: Floats, gradient: Floats, rows: Rows) -> Floats:
    if rows is None:
        return gradient
    spread = np.zeros_like(weights)
    spread[rows] = gradient
    return spread


_OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def get_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return a new optimizer: of that name with its defaults, or like the one that is passed.

    Raises
    ------
    OptionError : if there is none of that name.
    """
    if not isinstance(optimizer, str):
        return copy.deepcopy(optimizer)  # a net's running averages are its own
    if optimizer not in _OPTIMIZERS:
        raise OptionError(
            f"unknown optimizer {optimizer!r}; choose one of {', '.join(_OPTIMIZERS)}."
        )
    return _OPTIMIZERS[optimizer]()
