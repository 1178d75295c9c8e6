"""A learner of dense nets: find the epoch before overfitting, then train a fresh net."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from slugline.base.arrays import F32, I64, Mask
from slugline.errors import DataError
from slugline.learning.calibration import (
    LEAST_LOG_ODDS,
    LOG_ODDS_CURVE,
    AnyCalibration,
    Calibration,
    restore_calibration,
)
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import Capabilities, Options, settings_struct
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network

if TYPE_CHECKING:
    import scipy.sparse as sp

    from slugline.learning.heldout import RecentScores
    from slugline.learning.learner import FitContext
    from slugline.learning.net.optimizers import Optimizer
    from slugline.learning.net.training import History


# The validation loss must fall by this much, in nats, to count as progress.
_PROGRESS = 1e-3
# One in this many rows of the first batch is scored by a net trained on the others.
_N_PARTS = 3
#: The largest width of a hidden layer; larger values are probably typing errors.
MAX_WIDTH = 100_000


@dataclass(eq=False, repr=False)
class NeuralOptions(Options):
    """The options of a `NeuralLearner`."""

    hidden: Annotated[
        Sequence[Annotated[int, Meta(ge=1, le=MAX_WIDTH)]] | None,
        Meta(description="Widths of the hidden layers, such as 64 or 128,64."),
    ] = None
    epochs: Annotated[int, Meta(ge=1, description="Largest number of epochs to try.")] = 100
    batch_size: Annotated[int, Meta(ge=1, description="Documents per step.")] = 128
    patience: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Epochs to wait for the validation loss to fall by 0.001."),
    ] = 3
    validation_fraction: Annotated[
        float, Meta(gt=0, lt=1, description="Fraction of the documents to find the best epoch on.")
    ] = 0.1
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Dropout of the hidden layers, from 0 to under 1.")
    ] = 0.0
    l2: Annotated[float, Meta(ge=0, description="Penalty on large weights.")] = 0.0
    optimizer: Annotated[
        Literal["rmsprop", "adam", "sgd"], Meta(description="rmsprop, adam or sgd.")
    ] = "rmsprop"
    learning_rate: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="Size of a step.")
    ] = None


class NeuralLearner(NeuralOptions):
    """A net of dense layers, trained for its best number of epochs.

    Some rows are held out to find the epoch after which the net overfits; then a fresh net is
    trained on all rows for as many epochs. With validation data, the net is trained on all other
    rows and keeps the weights of the epoch with the lowest validation loss. Ctrl-C keeps the best
    epoch.

    Parameters
    ----------
    hidden : sequence of int, optional
        Widths of the hidden layers; by default, one layer with 64 units, or one unit per topic if
        that is more. A layer with fewer units than topics loses information that later layers can't
        restore.
    epochs : int, default 100
        Maximum number of epochs to try.
    batch_size : int, default 128
    patience : int, default 3
        Stop the search after this many epochs without the loss falling by a thousandth of a nat.
    validation_fraction : float, default 0.1
    dropout, l2 : float, default 0.0
        Applied to the hidden layers; see `Dense`.
    optimizer : {"rmsprop", "adam", "sgd"}, default "rmsprop"
    learning_rate : float, optional
        Defaults to the optimizer's default.

    Attributes
    ----------
    network : Network
    n_epochs : int
        Number of training epochs; each call of `partial_fit` is one.
    calibration : Calibration or TopicCalibration
        Turns scores into probabilities; for multilabel rows, fitted to validation rows.
    recent_ : RecentScores or None
        After `fit` on multilabel rows, the scores of validation rows. Not saved in files.

    Examples
    --------
    >>> from slugline import NeuralLearner, TopicClassifier
    >>> classifier = TopicClassifier(learner=NeuralLearner(hidden=(64, 64), epochs=20))
    """

    weighting = "multi-hot"
    capabilities = Capabilities(multilabel=True, has_epochs=True, in_batches=True, is_network=True)
    grows = False
    settings_type = settings_struct(
        "network", NeuralOptions, {"n_epochs": Annotated[int, Meta(ge=0)]}
    )

    network: Network
    n_epochs: int
    calibration: AnyCalibration = Calibration(1.0)
    recent_: RecentScores | None = None
    _in_batches = False

    def fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> History:
        """Fit to rows and their topics; return the history of the search for the best epoch."""
        from slugline.base.interruption import catch_interrupt

        self._in_batches, self.recent_ = False, None
        self._start(labels, context)
        if context.validation_data is not None:
            return self._search(X, labels, context, context.validation_data)
        X, labels, context = _drop_zero_weights(X, labels, context)
        # Cover both training runs, so that Ctrl-C between them is not lost.
        with catch_interrupt(context.progress, shared=True) as interrupt:
            history = self._search_on_a_part(X, labels, context)
            if interrupt.requested:
                history.stopped_by = "interrupt"
            else:
                self._train_anew(X, labels, history, context)
        return history

    def _start(self, labels: Labels, context: FitContext) -> None:
        """Start with a fresh net without calibration."""
        self.calibration = label_type(multilabel=labels.multilabel).identity(context.n_topics)
        layers = self._layers(context.n_topics, labels.multilabel)
        self.network = Network(layers, optimizer=self._optimizer(), seed=context.seed)

    def partial_fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
        """Train the current net for one epoch on another batch of rows.

        The optimizer's averages persist between calls, but not in a model file.
        """
        latest = None
        if context.first:
            self._start(labels, context)
            self.n_epochs = 0
        elif not self._in_batches:
            # A net from `fit` or a file may be in use elsewhere.
            self.network = copy.deepcopy(self.network)
        self._in_batches = True
        self.network.optimizer = self._optimizer()
        before = [array.copy() for array in self.network.weights]
        try:
            if labels.multilabel:
                latest = self._score_before_learning(X, labels, context)
            self._fit_epoch(self.network, X, labels, context.sample_weight, context.n_jobs)
        except BaseException:
            self.network.start_from(before)
            raise
        if latest is not None:
            self.recent_, self.calibration = latest
        self.n_epochs += 1

    def _score_before_learning(
        self, X: sp.csr_array, labels: Labels, context: FitContext
    ) -> tuple[RecentScores, AnyCalibration]:
        """Return the latest multilabel scores, including the batch's, and their calibration.

        A third of the first batch is scored by a net trained on the rest.
        """
        from slugline.learning.heldout import RecentScores

        X, labels, context = _drop_zero_weights(X, labels, context)
        network, is_scored = self.network, np.ones(X.shape[0], dtype=bool)
        weight = context.sample_weight
        costs = is_scored.astype(np.float32) if weight is None else weight
        recent = None if context.first else self.recent_
        if recent is None:
            recent = RecentScores.empty(
                context.n_topics, multilabel=True, usual=LOG_ODDS_CURVE, is_first=context.first
            )
        if context.first:
            is_scored = np.arange(len(is_scored)) % _N_PARTS == _N_PARTS - 1
            network = network.fresh()
            rows, topics = X[~is_scored], labels.take(~is_scored)
            self._fit_epoch(network, rows, topics, costs[~is_scored], context.n_jobs)
        scores = np.maximum(network.decision_function(X[is_scored]), LEAST_LOG_ODDS)
        return recent.update(scores, labels.take(is_scored), costs[is_scored], self.calibration)

    def _fit_epoch(
        self, network: Network, X: sp.csr_array, labels: Labels, weight: F32 | None, n_jobs: int
    ) -> None:
        targets = _targets(labels, network.n_topics)
        network.fit(X, targets, batch_size=self.batch_size, sample_weight=weight, n_jobs=n_jobs)

    def decision_function(self, X: sp.csr_array) -> F32:
        """Return scores before softmax or sigmoid, shape (n_rows, n_topics)."""
        return self.network.decision_function(X)

    def predict_proba(self, X: sp.csr_array) -> F32:
        """Return probabilities, shape (n_rows, n_topics)."""
        return self.calibration.proba(self.decision_function(X))

    @property
    def multilabel(self) -> bool:
        """True if trained on multilabel rows."""
        return self.calibration.multilabel

    def settings(self) -> dict[str, Any]:
        """Return plain data for `restore`."""
        hidden = [layer.units for layer in self.network.layers[:-1]]
        options = self.options() | {"hidden": hidden}
        return {"kind": "network", **options, "n_epochs": self.n_epochs}

    def arrays(self) -> dict[str, F32]:
        """Return the weights and biases of each layer, and the arrays of the calibration."""
        weights = {str(number): array for number, array in enumerate(self.network.weights)}
        return weights | self.calibration.arrays()

    @classmethod
    def restore(cls, settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> NeuralLearner:
        """Rebuild a fitted learner from the untrusted parts of a model file."""
        learner = cls(**cls.options_in(settings))
        learner.n_epochs = settings["n_epochs"]
        n_layers = 2 if learner.hidden is None else len(learner.hidden) + 1
        weights = [arrays[str(number)] for number in range(2 * n_layers)]
        learner.calibration = restore_calibration(arrays, weights[-1])
        layers = learner._layers(len(weights[-1]), learner.multilabel)
        learner.network = Network(layers).start_from(weights)
        _check_shapes(learner.network)
        return learner

    def _train_anew(
        self, X: sp.csr_array, labels: Labels, history: History, context: FitContext
    ) -> None:
        """Train a fresh net on all rows; if interrupted, keep the net found by the search."""
        anew = self.network.fresh()
        retraining = anew.fit(
            X,
            _targets(labels, context.n_topics),
            epochs=self.n_epochs,
            batch_size=self.batch_size,
            sample_weight=context.sample_weight,
            progress=context.progress,
            n_jobs=context.n_jobs,
        )
        if retraining.stopped_by == "interrupt":
            history.stopped_by = "interrupt"
        else:
            self.network = anew

    def _search_on_a_part(self, X: sp.csr_array, labels: Labels, context: FitContext) -> History:
        from slugline.corpus.splits import hold_out

        heldout = hold_out(labels.to_topics(), self.validation_fraction, context.seed)
        weight = context.sample_weight
        training = replace(context, sample_weight=None if weight is None else weight[~heldout])
        validation_data = X[heldout], labels.take(heldout)
        return self._search(X[~heldout], labels.take(~heldout), training, validation_data)

    def _search(
        self,
        X: sp.csr_array,
        labels: Labels,
        context: FitContext,
        validation_data: tuple[sp.csr_array, Labels],
    ) -> History:
        """Train until the validation loss stops falling; keep the best epoch's weights."""
        from slugline.learning.heldout import RecentScores
        from slugline.learning.net.training import EarlyStopping

        validation_rows, validation_labels = validation_data
        history = self.network.fit(
            X,
            _targets(labels, context.n_topics),
            epochs=self.epochs,
            batch_size=self.batch_size,
            validation_data=(validation_rows, _targets(validation_labels, context.n_topics)),
            sample_weight=context.sample_weight,
            early_stopping=EarlyStopping(patience=self.patience, min_delta=_PROGRESS),
            progress=context.progress,
            n_jobs=context.n_jobs,
        )
        self.n_epochs = history.best_epoch
        if labels.multilabel:
            scores = np.maximum(self.decision_function(validation_rows), LEAST_LOG_ODDS)
            costs = np.ones(len(scores), dtype=np.float32)
            self.recent_ = RecentScores(scores, validation_labels, costs, 1, LOG_ODDS_CURVE)
            self.calibration = self.recent_.fit()
        return history

    def _layers(self, n_topics: int, multilabel: bool) -> list[Dense]:
        widths = (max(64, n_topics),) if self.hidden is None else self.hidden
        hidden = [Dense(units, "relu", self.l2, self.dropout) for units in widths]
        return [*hidden, Dense(n_topics, "sigmoid" if multilabel else "softmax")]

    def _optimizer(self) -> Optimizer:
        from slugline.learning.net.optimizers import get_optimizer

        optimizer = get_optimizer(self.optimizer)
        if self.learning_rate is not None:
            optimizer.learning_rate = self.learning_rate
        return optimizer


def _targets(labels: Labels, n_topics: int) -> I64 | Mask:
    """Return labels in the format expected by the net's loss."""
    return labels.indicator(n_topics) > 0 if labels.multilabel else labels.topics


def _drop_zero_weights(
    X: sp.csr_array, labels: Labels, context: FitContext
) -> tuple[sp.csr_array, Labels, FitContext]:
    """Drop rows of weight 0, which could mislead the search for an epoch."""
    weight = context.sample_weight
    if weight is None or weight.all():
        return X, labels, context
    counts = weight > 0
    return X[counts], labels.take(counts), replace(context, sample_weight=weight[counts])


def _check_shapes(network: Network) -> None:
    n_inputs = network.n_inputs
    expected: list[tuple[int, ...]] = []
    for layer in network.layers:
        expected += [(n_inputs, layer.units), (layer.units,)]
        n_inputs = layer.units
    shapes = [array.shape for array in network.weights]
    if shapes != expected:
        raise DataError(f"layers have shapes {shapes}, but the settings require {expected}")
