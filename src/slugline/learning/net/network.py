"""Neural networks of dense layers on sparse rows, of any depth and width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32
from slugline.errors import OptionError
from slugline.learning.calibration import sigmoid, softmax
from slugline.learning.net.layers import Dense, DenseStack, LossAndAccuracy, glorot_uniform
from slugline.text.sparse import check_csr

if TYPE_CHECKING:
    from slugline.learning.net.optimizers import LossName, Optimizer, OptimizerName
    from slugline.learning.net.training import FitKeywords, History, Trainer


class Network(DenseStack):
    """A stack of dense layers that ends in probabilities of topics; see `DenseStack`.

    Parameters
    ----------
    layers : sequence of Dense
    optimizer : {"rmsprop", "adam", "sgd"} or Optimizer, default "rmsprop"
        Pass an object from `slugline.learning.net.optimizers` to set the learning rate.
    loss : {"sparse_categorical_crossentropy", "categorical_crossentropy", \
"binary_crossentropy"}, optional
        "sparse_categorical_crossentropy" is the default after softmax and takes integer topics;
        "categorical_crossentropy" takes one-hot rows. After sigmoid it is "binary_crossentropy",
        which takes rows with a 1 for each of several topics.
    seed : int, default 0
        Determines the initial weights, the order of the batches, and dropout.

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
        usual = "binary" if self.multilabel else "sparse_categorical"
        self.loss: Any = loss or f"{usual}_crossentropy"
        if self.multilabel != (self.loss == "binary_crossentropy"):
            raise OptionError(
                f"the loss {self.loss} doesn't go with {self.layers[-1].activation} in the last "
                "layer; leave it out."
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
        class_weight: Mapping[int, float] | None = None,
        **options: Unpack[FitKeywords],
    ) -> History:
        """Train the net, starting from its current weights if it has any.

        Ctrl-C ends training after the current epoch; a second Ctrl-C ends it at once.

        Parameters
        ----------
        X : CSR or dense matrix, shape (n_rows, n_inputs)
        y : integer array, shape (n_rows,), or rows of shape (n_rows, n_topics)
        validation_data : (X, y), optional
            Rows to evaluate on after every epoch.
        sample_weight : float array, shape (n_rows,), optional
            Weight of each row's loss. As in Keras, a batch's loss is divided by its number of rows.
        class_weight : mapping of int to float, optional
            Weight of each topic's loss, multiplied by the sample weight; 1 for topics not named.
        epochs : int, default 1
        batch_size : int, default 32
        shuffle : bool, default True
            Take the rows in a new random order every epoch.
        early_stopping : EarlyStopping, optional
            When to stop, and which epoch's weights to restore; also after Ctrl-C.
        progress : Progress, optional
        n_jobs : int, optional
            Number of threads for the first layer; by default, one for each core. The weights don't
            depend on it.

        Raises
        ------
        DataError : if `X` and `y` don't match each other or the net.
        TrainingError : if the loss is no longer finite; the weights are then useless.
        """
        from slugline.learning.net.training import FitOptions, fit_loop

        X = check_csr(X, len(self.weights[0]) if self.weights else None)
        if not self.weights:
            self.build(X.shape[1])
        # They are changed in place, also by a compiled kernel.
        self.weights = [np.require(array, np.float32, ("C", "A", "W")) for array in self.weights]
        if self._trainer is None:
            self._trainer = self._new_trainer()
        fit_options = FitOptions(**options)
        weight = self._trainer.check_weights(y, X.shape[0], sample_weight, class_weight)
        return fit_loop(self._trainer, X, y, weight, validation_data, fit_options)

    def predict(self, X: Any) -> F32:
        """Return probabilities, shape (n_rows, n_topics); after softmax, rows sum to 1."""
        scores = self.decision_function(X)
        return sigmoid(scores) if self.multilabel else softmax(scores)

    def evaluate(self, X: Any, y: npt.ArrayLike) -> LossAndAccuracy:
        """Return mean loss and accuracy on rows with labels in the form that the loss expects."""
        return self._new_trainer().evaluate(X, y)

    def summary(self) -> str:
        """Return a small table of the layers and their parameters."""
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
        # A trainer belongs to one net; a copy starts with new running averages.
        return self.__dict__ | {"_trainer": None}

    def _new_trainer(self) -> Trainer:
        from slugline.learning.net.training import Trainer

        return Trainer(self, loss=self.loss, optimizer=self.optimizer, seed=self.seed)
