"""Neural networks of dense layers on sparse rows, of any depth and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from slugline import errors
from slugline.base.arrays import F32
from slugline.base.checks import check_choice, check_number, check_whole
from slugline.base.progress import SILENT, Progress
from slugline.errors import OptionError
from slugline.learning.calibration import sigmoid, softmax
from slugline.learning.net.first_layer import InputRows, RowBatch
from slugline.text.sparse import check_csr

if TYPE_CHECKING:
    from slugline.learning.net.optimizers import LossAndAccuracy, LossName, Optimizer, OptimizerName
    from slugline.learning.net.training import EarlyStopping, History, Trainer


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


class Network:
    """A stack of dense layers that returns probabilities of topics.

    Parameters
    ----------
    layers : sequence of Dense
        The last one is `Dense(n_topics, "softmax")`, or "sigmoid" for multilabel rows.
    optimizer : {"rmsprop", "adam", "sgd"} or Optimizer, default "rmsprop"
        Pass an object from `slugline.learning.net.optimizers` to set the learning rate.
    loss : {"sparse_categorical_crossentropy", "categorical_crossentropy", \
"binary_crossentropy"}, optional
        After softmax, the default is "sparse_categorical_crossentropy", which takes integer topics;
        "categorical_crossentropy" takes one-hot rows. After sigmoid, the loss is
        "binary_crossentropy", which takes multi-hot rows.
    seed : int, default 0
        Determines the initial weights, the order of the batches, and dropout.

    Attributes
    ----------
    weights : list of float32 arrays
        Weights (n_inputs, n_outputs) and biases (n_outputs,) of each layer in turn. Empty before
        `build` or `fit`.

    Raises
    ------
    OptionError : if the last layer lacks softmax or sigmoid or has dropout, or another layer has
        one of them.

    Examples
    --------
    >>> net = Network([Dense(64, "relu"), Dense(64, "relu"), Dense(46, "softmax")]).build(10_000)
    >>> print(net.summary())
    layer    units  activation  parameters
    dense 1     64  relu           640,064
    dense 2     64  relu             4,160
    dense 3     46  softmax          2,990
    647,214 parameters, 2.6 MB
    """

    def __init__(
        self,
        layers: Sequence[Dense],
        *,
        optimizer: OptimizerName | Optimizer = "rmsprop",
        loss: LossName | None = None,
        seed: int = 0,
    ) -> None:
        self.layers = tuple(layers)
        self.weights: list[F32] = []
        self._check_layers()
        self.optimizer = optimizer
        default = "binary" if self.multilabel else "sparse_categorical"
        self.loss: Any = loss or f"{default}_crossentropy"
        if self.multilabel != (self.loss == "binary_crossentropy"):
            raise OptionError(
                f"the loss {self.loss} doesn't go with {self.layers[-1].activation} in the last "
                "layer; leave it out."
            )
        self.seed = seed
        self._trainer: Trainer | None = None

    def _check_layers(self) -> None:
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

    def build(self, n_inputs: int) -> Network:
        """Draw initial weights for rows of `n_inputs` columns: Glorot uniform, biases zero."""
        rng = np.random.default_rng([self.seed, 0])
        self.weights = []
        self._trainer = None
        for layer in self.layers:
            self.weights += [
                glorot_uniform(rng, n_inputs, layer.units),
                np.zeros(layer.units, dtype=np.float32),
            ]
            n_inputs = layer.units
        return self

    def start_from(self, weights: Sequence[F32]) -> Network:
        """Set the weights and biases of each layer in turn, and reset the optimizer's averages."""
        self.weights = list(weights)
        self._trainer = None
        return self

    def fresh(self) -> Network:
        """Return an untrained net with the same layers and settings."""
        return Network(self.layers, optimizer=self.optimizer, loss=self.loss, seed=self.seed)

    def fit(
        self,
        X: Any,
        y: npt.ArrayLike,
        *,
        validation_data: tuple[Any, npt.ArrayLike] | None = None,
        sample_weight: npt.ArrayLike | None = None,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        early_stopping: EarlyStopping | None = None,
        progress: Progress = SILENT,
        n_jobs: int | None = None,
    ) -> History:
        """Train the net, starting from its current weights if it has any.

        Ctrl-C ends training after the current epoch, a second Ctrl-C immediately.

        Parameters
        ----------
        X : CSR or dense matrix, shape (n_rows, n_inputs)
        y : integer array, shape (n_rows,), or rows of shape (n_rows, n_topics)
        validation_data : (X, y), optional
            Rows to evaluate on after every epoch.
        sample_weight : float array, shape (n_rows,), optional
            Weight of each row's loss. As in Keras, a batch's loss is divided by its number of rows.
        epochs : int, default 1
        batch_size : int, default 32
        shuffle : bool, default True
            Take the rows in a new random order every epoch.
        early_stopping : EarlyStopping, optional
            When to stop, and which epoch's weights to restore, even after Ctrl-C.
        progress : Progress, optional
        n_jobs : int, optional
            Number of threads for the first layer; by default, one per core. The weights don't
            depend on it.

        Raises
        ------
        DataError : if `X` and `y` don't match each other or the net.
        TrainingError : if the loss is not finite; the weights are useless afterwards.
        """
        from slugline.learning.net.training import FitOptions, fit_loop

        X = check_csr(X, len(self.weights[0]) if self.weights else None)
        if not self.weights:
            self.build(X.shape[1])
        # The weights are changed in place, also by a compiled kernel.
        self.weights = [np.require(array, np.float32, ("C", "A", "W")) for array in self.weights]
        if self._trainer is None:
            self._trainer = self._new_trainer()
        options = FitOptions(epochs, batch_size, shuffle, early_stopping, progress, n_jobs)
        return fit_loop(self._trainer, X, y, sample_weight, validation_data, options)

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

    def evaluate(self, X: Any, y: npt.ArrayLike) -> LossAndAccuracy:
        """Return mean loss and accuracy on labelled rows; `y` as in `fit`."""
        return self._new_trainer().evaluate(X, y)

    def summary(self) -> str:
        """Return a table of the layers and their parameters."""
        rows = [("layer", "units", "activation", "parameters")]
        arrays = self._check_built()
        for number, layer in enumerate(self.layers):
            n_parameters = arrays[2 * number].size + arrays[2 * number + 1].size
            row = f"dense {number + 1}", str(layer.units), layer.activation, f"{n_parameters:,}"
            rows.append(row)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}"
            for a, b, c, d in rows
        ]
        total = sum(array.size for array in arrays)
        return "\n".join([*lines, f"{total:,} parameters, {4 * total / 1e6:.1f} MB"])

    def __repr__(self) -> str:
        widths = "-".join(str(layer.units) for layer in self.layers)
        return f"Network({widths}, optimizer={self.optimizer!r}, loss={self.loss!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A trainer belongs to one net, so a copy starts with new running averages.
        return self.__dict__ | {"_trainer": None}

    def _new_trainer(self) -> Trainer:
        from slugline.learning.net.training import Trainer

        return Trainer(self, loss=self.loss, optimizer=self.optimizer, seed=self.seed)


def glorot_uniform(rng: np.random.Generator, n_inputs: int, n_outputs: int) -> F32:
    """Return weights drawn uniformly from +-limit, limit = sqrt(6 / (n_inputs + n_outputs)).

    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural
    networks, equation 16.
    """
    weights = rng.random((n_inputs, n_outputs), dtype=np.float32)
    limit = np.float32(np.sqrt(6 / (n_inputs + n_outputs)))
    weights *= 2 * limit
    weights -= limit
    return weights
