"""Neural networks of dense layers on sparse rows, with any depth and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32
from slugline.base.progress import SILENT, Progress
from slugline.errors import OptionError
from slugline.learning.net.layers import Dense, LayerStack
from slugline.text.sparse import check_csr

if TYPE_CHECKING:
    from slugline.learning.net.optimizers import LossAndAccuracy, LossName, Optimizer, OptimizerName
    from slugline.learning.net.training import EarlyStopping, History, Trainer


class Network(LayerStack):
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
        super().__init__(layers)
        self.optimizer = optimizer
        default = "binary" if self.multilabel else "sparse_categorical"
        self.loss: Any = loss or f"{default}_crossentropy"
        if self.multilabel != (self.loss == "binary_crossentropy"):
            raise OptionError(
                f"loss {self.loss} is incompatible with output activation "
                f"{self.layers[-1].activation}; omit the loss."
            )
        self.seed = seed
        self._trainer: Trainer | None = None

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
