"""Train nets: steps, early stopping, history, and the epoch loop."""

from __future__ import annotations

import html
import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, I64
from slugline.base.checks import check_whole, count_threads
from slugline.base.interruption import catch_interrupt
from slugline.base.progress import Progress
from slugline.base.threads import limit_blas
from slugline.base.wording import counted, format_lines
from slugline.corpus.sample_weights import row_weights
from slugline.errors import DataError, OptionError, Parameter, TrainingError
from slugline.learning.net.first_layer import InputRows, RowBatch
from slugline.learning.net.layers import LayerStack
from slugline.learning.net.optimizers import LossAndAccuracy, Optimizer, get_loss, get_optimizer

# One step -----------------------------------------------------------------------------------------


class Trainer:
    """Trains a net one step at a time, and keeps the state needed only for training.

    Parameters
    ----------
    network : Network
        `train_step` changes its weights in place.
    loss, optimizer, seed : see `Network`
    """

    def __init__(
        self, network: LayerStack, *, loss: str, optimizer: str | Optimizer, seed: int
    ) -> None:
        # A proxy, since the network refers to its trainer: a cycle would keep both alive until
        # garbage collection.
        self.network: LayerStack = weakref.proxy(network)
        self.loss = get_loss(loss)
        self.optimizer = get_optimizer(optimizer)
        self.batch_rng = np.random.default_rng([seed, 1])
        self._dropout_rng = np.random.default_rng([seed, 2])

    def train_step(
        self, batch: RowBatch, y: npt.NDArray[Any], weight: F32 | None = None
    ) -> tuple[float, int]:
        """Train on one batch; return its mean loss with penalties and number of correct answers.

        Both are computed before the update. Skip the update if the loss is not finite.
        """
        signals, masks = self._forward(batch)
        log_proba = self.loss.log_proba(signals.pop())
        values = self.loss.values(log_proba, y)
        n_right = int(np.count_nonzero(self.loss.hits(log_proba, y)))
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
        log_proba = self.loss.log_proba(scores)
        values, hits = self.loss.values(log_proba, targets), self.loss.hits(log_proba, targets)
        mean = float(values.mean(dtype=np.float64))
        return LossAndAccuracy(mean + self.network.penalty(), float(hits.mean()))

    def _forward(self, batch: RowBatch) -> tuple[list[Any], list[F32 | None]]:
        """Return each layer's input followed by the scores, and each layer's dropout mask."""
        signals: list[Any] = [batch]
        masks: list[F32 | None] = []
        for number, layer in enumerate(self.network.layers):
            signal = self.network.layer_output(number, signals[-1])
            mask = self._dropout_mask(layer.dropout, signal.shape)
            if mask is not None:
                signal *= mask
            masks.append(mask)
            signals.append(signal)
        return signals, masks

    def _dropout_mask(self, fraction: float, shape: tuple[int, int]) -> F32 | None:
        """Return the factor of each unit: 0 if dropped, else over 1, which preserves the mean."""
        if not fraction:
            return None
        is_retained = self._dropout_rng.random(shape, dtype=np.float32) >= fraction
        return is_retained.astype(np.float32) / np.float32(1 - fraction)

    def _backward(self, signals: list[Any], masks: list[F32 | None], delta: F32) -> None:
        """Propagate the derivative of the loss from the scores down; update each layer."""
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
                gradient = (inputs if number else inputs.csr()).T @ delta
                if layer.l2:
                    gradient += np.float32(2 * layer.l2) * W
                self.optimizer.update(2 * number, W, gradient)
            else:
                self.optimizer.update_first_layer(2 * number, W, inputs, delta)
            if below is not None:
                delta = below


# Early stopping and Ctrl-C ------------------------------------------------------------------------


@dataclass(frozen=True)
class EarlyStopping:
    """Stops when a metric no longer improves, and restores the weights of its best epoch.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of `History.history`. Metrics that end in "loss" are minimised, others maximised.
    patience : int or None, default 3
        Stop after this many epochs in a row without progress. With None, training never stops
        early, but the best epoch is still restored at the end.
    min_delta : float, default 0.0
        Smallest improvement that counts as progress. The best epoch is restored even if its lead is
        smaller.
    """

    monitor: str = "val_loss"
    patience: int | None = 3
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 0:
            raise OptionError(
                Parameter("patience"), f" is {self.patience}; give 0 or more epochs, or None."
            )


class BestEpoch:
    """The best epoch so far for one `EarlyStopping`."""

    def __init__(self, stopping: EarlyStopping) -> None:
        self.stopping = stopping
        self.epoch = 0
        self._value = float("inf")
        self._last_progress = 0
        self._reference = float("inf")
        self._sign = 1 if stopping.monitor.endswith("loss") else -1

    def improves(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Record the metrics of an epoch, counted from 1; return True if it is the best so far."""
        if self.stopping.monitor not in metrics:
            raise OptionError(
                f"early stopping monitors {self.stopping.monitor!r}, but the only metrics are "
                f"{', '.join(metrics)}; pass ",
                Parameter("validation_data"),
                ", or monitor one of these.",
            )
        value = self._sign * metrics[self.stopping.monitor]
        if value < self._reference - self.stopping.min_delta:
            self._last_progress, self._reference = epoch, value
        if self.epoch and value >= self._value:
            return False
        self.epoch, self._value = epoch, value
        return True

    def is_over(self, epoch: int) -> bool:
        """Return True if patience ends with this epoch; 0 means the same as 1."""
        patience = self.stopping.patience
        return patience is not None and epoch - self._last_progress >= max(patience, 1)


# History ------------------------------------------------------------------------------------------


@dataclass(repr=False)
class History:
    """Metrics of each epoch of one `fit`.

    Attributes
    ----------
    history : dict of str to list of float
        `loss` (nats) and `accuracy` on the training rows, averaged while the weights changed;
        `val_loss` and `val_accuracy` after each epoch, if validation data were passed.
    n_rows, batch_size : int
        Number of training rows, and of rows per step.
    restored_epoch : int or None
        The epoch, counted from 1, whose weights were restored; None for the last epoch.
    stopped_by : str or None
        "early stopping" or "interrupt" if training ended before the last epoch.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    n_rows: int = 0
    batch_size: int = 0
    restored_epoch: int | None = None
    stopped_by: str | None = None

    def __repr__(self) -> str:
        if not self.n_epochs:
            return "History of no epochs"
        ended = f", ended by {self.stopped_by}" if self.stopped_by else ""
        best = self.best_epoch
        title = f"History of {counted(self.n_epochs, 'epoch')} of {self.n_rows:,} rows{ended}"
        last = ("last epoch", self._format_epoch(self.n_epochs))
        return format_lines(title, [last, (f"best, {best}", self._format_epoch(best))])

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history.get("loss", []))

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, with the lowest validation loss, else training loss.

        Later epochs overfit: the net fits the training documents better, but others worse.
        """
        losses = self.history.get("val_loss") or self.history["loss"]
        return min(range(len(losses)), key=losses.__getitem__) + 1

    def append(self, metrics: dict[str, float]) -> None:
        """Add one epoch's metrics."""
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)

    def charts(self, lesson: Mapping[str, Sequence[float]] | None = None) -> list[str]:
        """Return charts of loss and accuracy by epoch, as SVG elements; none without an epoch.

        `lesson` contains the `val_loss` and `val_accuracy` of another run, drawn as dashes.
        """
        if not self.n_epochs:
            return []
        return [
            self._chart(name, lesson[f"val_{name}"] if lesson else ())
            for name in ("loss", "accuracy")
        ]

    def _chart(self, name: str, lesson: Sequence[float]) -> str:
        from slugline.base.chart import Axis, Chart, Key

        training, validation = self.history[name], self.history.get(f"val_{name}", [])
        legend = [Key("Training", "training", "dots")]
        if validation:
            legend.append(Key("Validation", "validation"))
        if lesson:
            legend.append(Key("The lesson", "training", "dashes"))
        values = [*training, *validation, *lesson]
        chart = Chart(
            Axis.epochs(max(len(training), len(lesson))),
            Axis.numbers("Loss (lower is better)", values)
            if name == "loss"
            else Axis.fractions("Accuracy", values),
            legend,
        )
        if validation:
            chart.rule(self.best_epoch, f"best epoch: {self.best_epoch}", "best")
        chart.line(enumerate(lesson, 1), "training", width=1, dashed=True)
        for point in enumerate(training, 1):
            chart.dot(point, "training")
        chart.line(enumerate(validation, 1), "validation")
        return chart.svg(f"{name.capitalize()} by epoch, on training and validation documents")

    def _format_epoch(self, epoch: int) -> str:
        return ", ".join(f"{name} {values[epoch - 1]:.4f}" for name, values in self.history.items())

    def _repr_html_(self) -> str:
        """Return a table of epochs and the charts for a notebook."""
        names = list(self.history)
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ["epoch", *names])
        rows = "".join(
            f"<tr><td>{epoch}{' (best)' if epoch == self.best_epoch else ''}</td>"
            + "".join(f"<td>{self.history[name][epoch - 1]:.4f}</td>" for name in names)
            + "</tr>"
            for epoch in range(1, self.n_epochs + 1)
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        if not self.n_epochs:
            return table
        from slugline.base.chart import svg_file

        return table + svg_file(self.charts(), n_columns=2)


# The epoch loop -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FitOptions:
    """Options of the epoch loop; see `Network.fit`."""

    epochs: int
    batch_size: int
    shuffle: bool
    early_stopping: EarlyStopping | None
    progress: Progress
    n_jobs: int | None

    def __post_init__(self) -> None:
        check_whole("epochs", self.epochs, 1)
        check_whole("batch_size", self.batch_size, 1)
        count_threads(self.n_jobs)


def fit_loop(
    trainer: Trainer,
    X: sp.csr_array,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None,
    validation_data: tuple[Any, npt.ArrayLike] | None,
    options: FitOptions,
) -> History:
    """Train for up to `options.epochs` epochs and return the history; see `Network.fit`."""
    n_rows = X.shape[0]
    if not n_rows:
        raise DataError("there are no rows to train on; give at least one.")
    network, weight = trainer.network, row_weights(n_rows, sample_weight, None)
    targets = trainer.loss.check_targets(y, n_rows, network.n_topics)
    history = History(n_rows=n_rows, batch_size=options.batch_size)
    best = BestEpoch(options.early_stopping) if options.early_stopping else None
    best_weights: list[F32] = []
    status = "training", ""
    # The products are too small for BLAS threads, whose busy waiting costs far more than they save
    # and whose number would change the last bits. Overflow shows in the loss.
    with (
        limit_blas(),
        np.errstate(over="ignore", invalid="ignore"),
        closing(options.progress),
        InputRows(X, count_threads(options.n_jobs)) as inputs,
        catch_interrupt(options.progress) as interrupt,
    ):
        for epoch in range(1, options.epochs + 1):
            metrics = _run_epoch(trainer, inputs, targets, weight, options, epoch, status)
            if validation_data is not None:
                loss, accuracy = trainer.evaluate(*validation_data)
                _check_finite(trainer, loss, f"validation loss became {loss} after", epoch)
                metrics |= {"val_loss": loss, "val_accuracy": accuracy}
            history.append(metrics)
            status = f"epoch {epoch}/{options.epochs}", _format_metrics(metrics)
            options.progress.update(status[0], epoch / options.epochs, status[1])
            if best and best.improves(epoch, metrics):
                best_weights = [array.copy() for array in network.weights]
            history.stopped_by = _reason_to_stop(interrupt.requested, best, epoch, options)
            if history.stopped_by:
                break
    if best and best.epoch != history.n_epochs:
        network.weights = best_weights
        history.restored_epoch = best.epoch
    return history


def _run_epoch(
    trainer: Trainer,
    inputs: InputRows,
    y: npt.NDArray[Any],
    weight: F32 | None,
    options: FitOptions,
    epoch: int,
    status: tuple[str, str],
) -> dict[str, float]:
    """Train for one epoch, and report progress with the status of the previous epoch."""
    total_loss, n_right = 0.0, 0
    n_steps = math.ceil(len(y) / options.batch_size)
    for step, rows in enumerate(_batches(trainer, len(y), options), start=1):
        batch_weight = None if weight is None else weight[rows]
        loss, right = trainer.train_step(inputs.take(rows), y[rows], batch_weight)
        _check_finite(trainer, loss, f"loss became {loss} at step {step} of", epoch)
        total_loss += loss * len(y[rows])
        n_right += right
        n_done = (epoch - 1) * n_steps + step
        options.progress.update(status[0], n_done / (options.epochs * n_steps), status[1])
    return {"loss": total_loss / len(y), "accuracy": n_right / len(y)}


def _format_metrics(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _check_finite(trainer: Trainer, loss: float, cause: str, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the {cause} epoch {epoch}; lower the learning rate "
            f"(now {trainer.optimizer.learning_rate:g}) or the weights of the rows."
        )


def _batches(trainer: Trainer, n_rows: int, options: FitOptions) -> Iterator[I64 | slice]:
    starts = range(0, n_rows, options.batch_size)
    if not options.shuffle:
        yield from (slice(start, start + options.batch_size) for start in starts)
        return
    order = trainer.batch_rng.permutation(n_rows)
    yield from (order[start : start + options.batch_size] for start in starts)


def _reason_to_stop(
    interrupted: bool, best: BestEpoch | None, epoch: int, options: FitOptions
) -> str | None:
    if epoch == options.epochs:
        return None
    if interrupted:
        return "interrupt"
    return "early stopping" if best and best.is_over(epoch) else None
