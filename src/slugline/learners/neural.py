"""The lesson's way as a learner: find the epoch where a net overfits, then train anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline.errors import DataError
from slugline.layers import Dense
from slugline.learners.network import Network
from slugline.options import check_number, check_whole, illegal

if TYPE_CHECKING:
    from slugline.training.context import FitContext
    from slugline.training.history import History
    from slugline.training.optimizers import Optimizer

__all__ = ["NeuralLearner"]

Floats = npt.NDArray[np.float32]

# A validation loss that falls by less, in nats, is as good as level.
_PROGRESS = 1e-3


class NeuralLearner:
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

    def __init__(
        self,
        hidden: Sequence[int] | None = None,
        epochs: int = 100,
        batch_size: int = 128,
        patience: int = 3,
        validation_fraction: float = 0.1,
        dropout: float = 0.0,
        l2: float = 0.0,
        optimizer: str = "rmsprop",
        learning_rate: float | None = None,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.dropout = dropout
        self.l2 = l2
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self._in_batches = False
        self._check_ranges()

    def check_options(self) -> None:
        """Find out before `fit`, and before data are read, that no net can be made so.

        Raises
        ------
        OptionError : if one of the options is out of its range.
        """
        from slugline.training.context import FitContext

        self._network(FitContext(n_topics=1))

    def _check_ranges(self) -> None:
        _check_widths(self.hidden)
        check_whole("epochs", self.epochs, 1)
        check_whole("batch_size", self.batch_size, 1)
        if self.patience is not None:
            check_whole("patience", self.patience, 0)
        check_number("validation_fraction", self.validation_fraction, over=0, under=1)
        check_number("dropout", self.dropout, least=0, under=1)
        check_number("l2", self.l2, least=0)
        if not isinstance(self.optimizer, str):  # a file names it
            raise illegal("optimizer", self.optimizer, "the name of one, such as 'rmsprop'")
        if self.learning_rate is not None:
            check_number("learning_rate", self.learning_rate, over=0)

    def fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> History:
        """Learn from rows and their topics; give the history of the search for the best epoch."""
        from slugline.training.stopping import catch_interrupt

        self._in_batches = False
        self.network = self._network(context)
        if context.validation_data is not None:
            return self._search(X, y, context.sample_weight, context.validation_data, context)
        X, y, context = _rows_that_count(X, y, context)
        # One watch over both trainings, so that Ctrl-C between them is not lost either.
        with catch_interrupt(shared=True) as interrupt:
            history = self._search_on_a_part(X, y, context)
            if interrupt.requested:
                history.stopped_by = "interrupt"
            else:
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
        names = ("epochs", "batch_size", "patience", "validation_fraction", "dropout", "l2")
        return {
            "kind": "network",
            "hidden": [layer.units for layer in self.network.layers[:-1]],
            **{name: getattr(self, name) for name in names},
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "n_epochs": self.n_epochs,
        }

    def arrays(self) -> dict[str, Floats]:
        """What it has learned: weights and biases of each layer in turn."""
        return {str(number): array for number, array in enumerate(self.network.weights)}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], arrays: Mapping[str, Floats]) -> NeuralLearner:
        """Make a fitted learner of its parts, as a model file holds them."""
        settings = dict(settings)
        n_epochs = settings.pop("n_epochs")
        settings.pop("kind")
        learner = cls(**settings)
        learner.n_epochs = n_epochs
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

    def _search_on_a_part(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> History:
        from slugline.splits import hold_out

        held = hold_out(y.tolist(), self.validation_fraction, context.seed)
        weight = None if context.sample_weight is None else context.sample_weight[~held]
        return self._search(X[~held], y[~held], weight, (X[held], y[held]), context)

    def _search(
        self,
        X: Any,
        y: npt.NDArray[np.int64],
        weight: Floats | None,
        validation_data: tuple[Any, npt.NDArray[np.int64]],
        context: FitContext,
    ) -> History:
        from slugline.training.stopping import EarlyStopping

        history = self.network.fit(
            X,
            y,
            epochs=self.epochs,
            batch_size=self.batch_size,
            validation_data=validation_data,
            sample_weight=weight,
            early_stopping=EarlyStopping(patience=self.patience, min_delta=_PROGRESS),
            progress=context.progress,
        )
        self.n_epochs = history.best_epoch
        return history

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


def _rows_that_count(
    X: Any, y: npt.NDArray[np.int64], context: FitContext
) -> tuple[Any, npt.NDArray[np.int64], FitContext]:
    """Return rows of a weight over 0: others could mislead the search for the best epoch."""
    weight = context.sample_weight
    if weight is None or weight.all():
        return X, y, context
    counts = weight > 0
    return X[counts], y[counts], replace(context, sample_weight=weight[counts])


def _check_widths(hidden: Any) -> None:
    if hidden is None:
        return
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        raise illegal("hidden", hidden, "a list of widths, such as (64, 64), or None")
    for units in hidden:
        check_whole("hidden", units, 1)


def _check_shapes(network: Network) -> None:
    n_inputs = network.n_inputs
    expected: list[tuple[int, ...]] = []
    for layer in network.layers:
        expected += [(n_inputs, layer.units), (layer.units,)]
        n_inputs = layer.units
    found = [array.shape for array in network.weights]
    if found != expected:
        raise DataError(f"layers of shape {found} where the settings want {expected}")
