"""The layers of a neural network and their forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from slugline import errors
from slugline.base.arrays import F32
from slugline.base.checks import check_choice, check_number, check_whole
from slugline.errors import OptionError
from slugline.learning.calibration import sigmoid, softmax
from slugline.learning.net.first_layer import InputRows, RowBatch
from slugline.text.sparse import check_csr

_PREDICT_ROWS = 4096
#: Hidden outputs are clipped to this in prediction. No real net reaches it, and sums weighted by up
#: to a billion don't overflow float32.
MAX_SIGNAL = np.float32(1e18)
Activation: TypeAlias = Literal["linear", "relu", "softmax", "sigmoid"]
_ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
# The activations of the last layer, for single-label and for multilabel rows.
_OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")


@dataclass(frozen=True, slots=True)
class Dense:
    """A fully connected layer: activation(inputs @ weights + biases).

    Parameters
    ----------
    units : int
    activation : {"linear", "relu", "softmax", "sigmoid"}, default "linear"
        The last layer must have softmax, or sigmoid for multilabel rows; other layers must have
        neither.
    l2 : float, default 0.0
        Penalty added to the loss: l2 * sum(weights ** 2), as in Keras.
    dropout : float, default 0.0
        Fraction of the outputs set to zero at random during training, in [0, 1).

    Examples
    --------
    >>> from slugline import Dense, Network
    >>> net = Network([Dense(64, "relu"), Dense(46, "softmax")])
    """

    units: int
    activation: Activation = "linear"
    l2: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_whole("units", self.units, 1)
        check_choice("activation", self.activation, _ACTIVATIONS)
        check_number("l2", self.l2, least=0)
        check_number("dropout", self.dropout, least=0, under=1)


class LayerStack:
    """A stack of dense layers and their weights; see `Network`."""

    def __init__(self, layers: Sequence[Dense]) -> None:
        self.layers = tuple(layers)
        self.weights: list[F32] = []
        if not self.layers or self.layers[-1].activation not in _OUTPUT_ACTIVATIONS:
            raise OptionError(
                "the last layer does not return probabilities; end the stack with "
                'Dense(n_topics, "softmax").'
            )
        for layer in self.layers[:-1]:
            if layer.activation in _OUTPUT_ACTIVATIONS:
                raise OptionError(
                    f'a layer before the last one has {layer.activation}; use "relu" there.'
                )
        if self.layers[-1].dropout:
            raise OptionError("the last layer has dropout, which would drop topics; remove it.")

    @property
    def multilabel(self) -> bool:
        """True for multilabel rows."""
        return self.layers[-1].activation == "sigmoid"

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return self.layers[-1].units

    @property
    def n_inputs(self) -> int:
        """Number of columns of a row; raises NotFittedError before `build` or `fit`."""
        return len(self._check_built()[0])

    def decision_function(self, X: Any) -> F32:
        """Return scores before softmax, shape (n_rows, n_topics)."""
        csr = check_csr(X, self.n_inputs)
        rows = InputRows(csr)
        if csr.shape[0] <= _PREDICT_ROWS:
            return self._scores(rows.take(slice(None)))
        starts = range(0, csr.shape[0], _PREDICT_ROWS)
        parts = (rows.take(slice(start, start + _PREDICT_ROWS)) for start in starts)
        return np.concatenate([self._scores(part) for part in parts])

    def layer_output(self, number: int, inputs: Any) -> F32:
        """Return the output of a layer; for the last one, the scores before softmax."""
        signal: F32 = inputs @ self.weights[2 * number]
        signal += self.weights[2 * number + 1]
        if self.layers[number].activation == "relu":
            np.maximum(signal, 0, out=signal)
        return signal

    def penalty(self) -> float:
        """Return the sum of the layers' L2 penalties."""
        pairs = zip(self.layers, self._check_built()[0::2], strict=True)
        return sum(layer.l2 * float(np.vdot(W, W)) for layer, W in pairs if layer.l2)

    def _check_built(self) -> list[F32]:
        if not self.weights:
            raise errors.NotFittedError("the net has no weights yet; call fit first.")
        return self.weights

    def _scores(self, batch: RowBatch) -> F32:
        signal: Any = batch
        for number in range(len(self.layers)):
            if number:
                np.minimum(signal, MAX_SIGNAL, out=signal)
            signal = self.layer_output(number, signal)
        return signal

    def predict(self, X: Any) -> F32:
        """Return probabilities, shape (n_rows, n_topics); after softmax, rows sum to 1."""
        scores = self.decision_function(X)
        return sigmoid(scores) if self.multilabel else softmax(scores)
