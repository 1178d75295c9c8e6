"""The lesson's way as a learner: find the epoch where a net overfits, then train anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from slugline.errors import DataError
from slugline.layers import Dense
from slugline.learners.network import Network
from slugline.learners.options import Options

if TYPE_CHECKING:
    from slugline.training.context import FitContext
    from slugline.training.history import History
    from slugline.training.optimizers import Optimizer

__all__ = ["MAX_WIDTH", "NeuralLearner", "NeuralOptions"]

Floats = npt.NDArray[np.float32]

# A validation loss that falls by less, in nats, is as good as level.
_PROGRESS = 1e-3
#: Of a hidden layer. Wider ones are slips of the finger.
MAX_WIDTH = 100_000


@dataclass(eq=False, repr=False)
class NeuralOptions(Options):
    """What a `NeuralLearner` can be told."""

    hidden: Annotated[
        Sequence[Annotated[int, Meta(ge=1, le=MAX_WIDTH)]] | None,
        Meta(description="Widths of the hidden layers, such as 64 or 128,64."),
    ] = None
    epochs: Annotated[int, Meta(ge=1, description="The most epochs to try.")] = 100
    batch_size: Annotated[int, Meta(ge=1, description="Documents a step.")] = 128
    patience: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Epochs to wait for the validation loss to fall by 0.001."),
    ] = 3
    validation_fraction: Annotated[
        float, Meta(gt=0, lt=1, description="Share of the documents to find the best epoch on.")
    ] = 0.1
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Of the hidden layers, from 0 to under 1.")
    ] = 0.0
    l2: Annotated[float, Meta(ge=0, description="Penalty on large weights.")] = 0.0
    optimizer: Annotated[
        Literal["rmsprop", "adam", "sgd"], Meta(description="rmsprop, adam or sgd.")
    ] = "rmsprop"
    learning_rate: Annotated[float, Meta(gt=0, description="Size of a step.")] | None = None


class NeuralLearner(NeuralOptions):
    """A net of dense layers, trained for its best number of epochs.

    Part of the rows is held out to find the epoch from which on the net overfits; then a fresh net
    learns from all rows for as many. With validation rows of the user's, the net learns from all
    others, and keeps the weights of the epoch that is best on those. Ctrl-C keeps the best epoch of
    the search.

    Parameters
    ----------
    hidden : sequence of int, optional
        Widths of the hidden layers; by default one of 64, or as wide as there are topics if that is
        more. A layer narrower than that loses information that no later one can bring back.
    epochs : int, default 100
        The most epochs to try.
    batch_size : int, default 128
        Rows per step.
    patience : int, default 3
        Stop looking for the best epoch after so many in which the validation loss has not fallen by
        a thousandth of a nat.
    validation_fraction : float, default 0.1
        Share of the rows held out to find the best epoch.
    dropout, l2 : float, default 0.0
        Of the hidden layers; see `Dense`.
    optimizer : {"rmsprop", "adam", "sgd"}, default "rmsprop"
    learning_rate : float, optional
        The optimizer's own default if not given.

    Attributes
    ----------
    network : Network
    n_epochs : int
        For how many epochs it was trained; each call of `partial_fit` is one.
    """

    wants = "multi-hot"
    has_epochs = True

    network: Network
    n_epochs: int
    _in_batches = False

    def fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> History:
        """Learn from rows and their topics; give the history of the search for the best epoch."""
        self._in_batches = False
        if context.validation_data is not None:
            self.network = self._network(context)
            history = self._search(X, y, context.sample_weight, context.validation_data, context)
            self.n_epochs = history.best_epoch
            return history
        from slugline.splits import hold_out

        held = hold_out(y.tolist(), self.validation_fraction, context.seed)
        weight = context.sample_weight
        self.network = self._network(context)
        history = self._search(
            X[~held],
            y[~held],
            None if weight is None else weight[~held],
            (X[held], y[held]),
            context,
        )
        self.n_epochs = history.best_epoch
        if history.stopped_by != "interrupt":
            self._train_anew(X, y, history, context)
        return history

    def partial_fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> None:
        """Learn one epoch more, from one more batch of rows, with the net as it is.

        The optimizer's averages are kept from call to call, but not in a model file.
        """
        if context.first:
            self.network = self._network(context)
            self.n_epochs = 0
        elif not self._in_batches:
            # What `fit` or a file has made may be in use elsewhere.
            self.network = copy.deepcopy(self.network)
        self._in_batches = True
        self.network.optimizer = self._optimizer()
        before = [array.copy() for array in self.network.weights]
        try:
            self.network.fit(X, y, batch_size=self.batch_size, sample_weight=context.sample_weight)
        except BaseException:
            self.network.start_from(before)
            raise
        self.n_epochs += 1

    def decision_function(self, X: Any) -> Floats:
        """Scores before softmax, shape (n_rows, n_topics)."""
        return self.network.decision_function(X)

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities, shape (n_rows, n_topics)."""
        return self.network.predict(X)

    def settings(self) -> dict[str, Any]:
        """Plain data that makes it again."""
        hidden = [layer.units for layer in self.network.layers[:-1]]
        options = self.options() | {"hidden": hidden}
        return {"kind": "network", **options, "n_epochs": self.n_epochs}

    def arrays(self) -> dict[str, Floats]:
        """What it has learned: weights and biases of each layer in turn."""
        return {str(number): array for number, array in enumerate(self.network.weights)}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], arrays: Mapping[str, Floats]) -> NeuralLearner:
        """Make a fitted learner of its parts, as a model file holds them."""
        learner = cls(**cls.options_in(settings))
        learner.n_epochs = settings["n_epochs"]
        n_layers = 2 if learner.hidden is None else len(learner.hidden) + 1
        if len(arrays) != 2 * n_layers:
            raise DataError(f"{len(arrays)} arrays where a net of {n_layers} layers has two each")
        learner.network = Network(learner._layers(len(arrays[str(len(arrays) - 1)])))
        learner.network.start_from([arrays[str(number)] for number in range(len(arrays))])
        _check_shapes(learner.network)
        return learner

    def _train_anew(
        self, X: Any, y: npt.NDArray[np.int64], history: History, context: FitContext
    ) -> None:
        """Train a fresh net on all rows; interrupted, keep the one that the search has found."""
        anew = self.network.fresh()
        done = anew.fit(
            X,
            y,
            epochs=self.n_epochs,
            batch_size=self.batch_size,
            sample_weight=context.sample_weight,
            progress=context.progress,
        )
        if done.stopped_by == "interrupt":
            history.stopped_by = "interrupt"
        else:
            self.network = anew

    def _search(
        self,
        X: Any,
        y: npt.NDArray[np.int64],
        weight: Floats | None,
        validation_data: tuple[Any, npt.NDArray[np.int64]],
        context: FitContext,
    ) -> History:
        from slugline.training.stopping import EarlyStopping

        return self.network.fit(
            X,
            y,
            epochs=self.epochs,
            batch_size=self.batch_size,
            validation_data=validation_data,
            sample_weight=weight,
            early_stopping=EarlyStopping(patience=self.patience, min_delta=_PROGRESS),
            progress=context.progress,
        )

    def _network(self, context: FitContext) -> Network:
        layers = self._layers(context.n_topics)
        return Network(layers, optimizer=self._optimizer(), seed=context.seed)

    def _layers(self, n_topics: int) -> list[Dense]:
        widths = (max(64, n_topics),) if self.hidden is None else self.hidden
        hidden = [Dense(units, "relu", self.l2, self.dropout) for units in widths]
        return [*hidden, Dense(n_topics, "softmax")]

    def _optimizer(self) -> Optimizer:
        from slugline.training.optimizers import get_optimizer

        optimizer = get_optimizer(self.optimizer)
        if self.learning_rate is not None:
            optimizer.learning_rate = self.learning_rate
        return optimizer


def _check_shapes(network: Network) -> None:
    n_inputs = network.n_inputs
    expected: list[tuple[int, ...]] = []
    for layer in network.layers:
        expected += [(n_inputs, layer.units), (layer.units,)]
        n_inputs = layer.units
    found = [array.shape for array in network.weights]
    if found != expected:
        raise DataError(f"layers of shape {found} where the settings want {expected}")
