"""The epoch loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from slugline.base.arrays import F32, I64
from slugline.errors import DataError, OptionError, TrainingError
from slugline.progress import Progress
from slugline.training.history import History
from slugline.training.stopping import BestEpoch, EarlyStopping, catch_interrupt
from slugline.training.trainer import Trainer

__all__ = ["FitKeywords", "FitOptions", "fit_loop"]


class FitKeywords(TypedDict, total=False):
    """The keyword arguments of `FitOptions`."""

    epochs: int
    batch_size: int
    shuffle: bool
    early_stopping: EarlyStopping | None
    progress: Progress | None


@dataclass(frozen=True)
class FitOptions:
    """How to go through the rows; see `Network.fit`."""

    epochs: int = 1
    batch_size: int = 32
    shuffle: bool = True
    early_stopping: EarlyStopping | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise OptionError(
                    f"`{name}` is {getattr(self, name)}; give a whole number of at least 1."
                )


def fit_loop(
    trainer: Trainer,
    X: sp.csr_array,
    y: npt.ArrayLike,
    weight: F32 | None,
    validation_data: tuple[Any, npt.ArrayLike] | None,
    options: FitOptions,
) -> History:
    """Train for up to `options.epochs` epochs and return the history.

    `weight` holds one number per row; None means that all are 1.
    """
    n_rows = X.shape[0]
    if not n_rows:
        raise DataError("there are no rows to train on; give at least one.")
    network = trainer.network
    targets = trainer.loss.check_targets(y, n_rows, network.n_topics)
    history = History(n_rows=n_rows, batch_size=options.batch_size)
    best = BestEpoch(options.early_stopping) if options.early_stopping else None
    kept: list[F32] = []
    if options.progress:
        options.progress.begin(options.epochs, math.ceil(n_rows / options.batch_size))
    # The products are too small to gain from BLAS threads: their spinning costs far more, and their
    # number would change the last bits. A net that diverges overflows; the loss shows that.
    with (
        threadpool_limits(1, "blas"),
        np.errstate(over="ignore", invalid="ignore"),
        catch_interrupt() as interrupt,
    ):
        try:
            for epoch in range(1, options.epochs + 1):
                metrics = _run_epoch(trainer, X, targets, weight, options, epoch)
                if validation_data is not None:
                    loss, accuracy = trainer.evaluate(*validation_data)
                    _check_finite(trainer, loss, f"validation loss became {loss} after", epoch)
                    metrics |= {"val_loss": loss, "val_accuracy": accuracy}
                history.append(metrics)
                if options.progress:
                    options.progress.epoch(epoch, metrics)
                if best and best.improves(epoch, metrics):
                    kept = [array.copy() for array in network.weights]
                history.stopped_by = _reason_to_stop(interrupt.requested, best, epoch, options)
                if history.stopped_by:
                    break
        finally:
            if options.progress:
                options.progress.end()
    if best and best.epoch != history.n_epochs:
        network.weights = kept
        history.restored_epoch = best.epoch
    return history


def _run_epoch(
    trainer: Trainer,
    X: sp.csr_array,
    y: npt.NDArray[Any],
    weight: F32 | None,
    options: FitOptions,
    epoch: int,
) -> dict[str, float]:
    total_loss, n_right = 0.0, 0
    for step, rows in enumerate(_batches(trainer, len(y), options), start=1):
        batch_weight = None if weight is None else weight[rows]
        loss, right = trainer.train_step(X[rows], y[rows], batch_weight)
        _check_finite(trainer, loss, f"loss became {loss} at step {step} of", epoch)
        total_loss += loss * len(y[rows])
        n_right += right
        if options.progress:
            options.progress.step()
    return {"loss": total_loss / len(y), "accuracy": n_right / len(y)}


def _check_finite(trainer: Trainer, loss: float, what: str, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the {what} epoch {epoch}; lower the learning rate "
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
