"""One step of training: forward, loss, backward, update."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32
from slugline.calibration import log_softmax
from slugline.errors import DataError
from slugline.layers import DenseStack, LossAndAccuracy
from slugline.sample_weights import class_weights, row_weights
from slugline.sparse import row_gradient
from slugline.training.losses import get_loss
from slugline.training.optimizers import Optimizer, get_optimizer

__all__ = ["Trainer"]


class Trainer:
    """Holds what a net needs only for training, and trains it one step at a time.

    Parameters
    ----------
    network : DenseStack
        Layers with weights, which `train_step` changes in place.
    loss, optimizer, seed
        See `Network`.
    """

    def __init__(
        self, network: DenseStack, *, loss: str, optimizer: str | Optimizer, seed: int
    ) -> None:
        # The net holds its trainer: a cycle would keep both alive until garbage collection.
        self.network: DenseStack = weakref.proxy(network)
        self.loss = get_loss(loss)
        self.optimizer = get_optimizer(optimizer)
        self.batch_rng = np.random.default_rng([seed, 1])
        self._dropout_rng = np.random.default_rng([seed, 2])

    def check_weights(
        self,
        y: npt.ArrayLike,
        n_rows: int,
        sample_weight: npt.ArrayLike | None,
        class_weight: Mapping[int, float] | None,
    ) -> F32 | None:
        """Return the product of sample and class weight for each row; None if all are 1."""
        per_row = None
        if class_weight is not None:
            targets = self.loss.check_targets(y, n_rows, self.network.n_topics)
            per_row = class_weights(class_weight, self.network.n_topics)[self.loss.topics(targets)]
        return row_weights(n_rows, sample_weight, per_row)

    def train_step(
        self, X: sp.csr_array, y: npt.NDArray[Any], weight: F32 | None = None
    ) -> tuple[float, int]:
        """Learn from one batch.

        Returns
        -------
        The batch's mean loss with penalties, and how many of its topics were right, both from
        before the update. If the loss is not finite, there is no update.
        """
        signals, masks = self._forward(X)
        log_proba = log_softmax(signals.pop())
        values = self.loss.values(log_proba, y)
        n_right = int(np.count_nonzero(log_proba.argmax(axis=1) == self.loss.topics(y)))
        delta = self.loss.gradient(np.exp(log_proba, out=log_proba), y)
        if weight is not None:
            values = values * weight
            delta *= weight[:, np.newaxis]
        delta /= np.float32(len(delta))
        loss = float(values.mean()) + self.network.penalty()
        if math.isfinite(loss):
            self._backward(signals, masks, delta)
        return loss, n_right

    def evaluate(self, X: Any, y: npt.ArrayLike) -> LossAndAccuracy:
        """Return mean loss and accuracy on labelled rows."""
        scores = self.network.decision_function(X)
        if not len(scores):
            raise DataError("there are no rows to evaluate; give at least one.")
        targets = self.loss.check_targets(y, len(scores), self.network.n_topics)
        values = self.loss.values(log_softmax(scores), targets)
        hits = scores.argmax(axis=1) == self.loss.topics(targets)
        mean = float(values.mean(dtype=np.float64))
        return LossAndAccuracy(mean + self.network.penalty(), float(hits.mean()))

    def _forward(self, X: sp.csr_array) -> tuple[list[Any], list[F32 | None]]:
        """Return each layer's input followed by the scores, and each layer's dropout mask."""
        signals: list[Any] = [X]
        masks: list[F32 | None] = []
        for number, layer in enumerate(self.network.layers):
            signal = self.network.layer_output(number, signals[-1])
            mask = self._dropout_mask(layer.dropout, signal.shape)
            if mask is not None:
                signal *= mask
            masks.append(mask)
            signals.append(signal)
        return signals, masks

    def _dropout_mask(self, share: float, shape: tuple[int, int]) -> F32 | None:
        """Return 0 for dropped units; the rest is scaled up to keep the expected sum the same."""
        if not share:
            return None
        kept = self._dropout_rng.random(shape, dtype=np.float32) >= share
        return kept.astype(np.float32) / np.float32(1 - share)

    def _backward(self, signals: list[Any], masks: list[F32 | None], delta: F32) -> None:
        """Propagate the loss's derivative by the scores down the stack, updating each layer."""
        self.optimizer.begin_step()
        for number in reversed(range(len(self.network.layers))):
            layer = self.network.layers[number]
            W, biases = self.network.weights[2 * number : 2 * number + 2]
            inputs = signals[number]
            mask = masks[number]
            if mask is not None:
                delta *= mask
            if layer.activation == "relu":
                delta *= signals[number + 1] > 0
            below = delta @ W.T if number else None
            self.optimizer.update(2 * number + 1, biases, delta.sum(axis=0))
            if number or layer.l2:
                gradient = inputs.T @ delta
                if layer.l2:
                    gradient += np.float32(2 * layer.l2) * W
                self.optimizer.update(2 * number, W, gradient)
            else:
                rows, gradient = row_gradient(inputs, delta)
                self.optimizer.update(2 * number, W, gradient, rows)
            if below is not None:
                delta = below
