"""Crossentropy for topics as one-hot rows or as integers: the same loss, two interfaces."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64, Integers
from slugline.errors import DataError, OptionError

__all__ = ["CategoricalCrossentropy", "Loss", "SparseCategoricalCrossentropy", "get_loss"]


class Loss(Protocol):
    """Measures how far predicted probabilities are from the topics, and its derivative."""

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> npt.NDArray[Any]:
        """Return `y` in the form that the other methods expect; DataError if that is impossible."""
        ...

    def values(self, log_proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the loss of each row, shape (n_rows,), in nats (natural-log units).

        `log_proba` holds log-probabilities, shape (n_rows, n_topics).
        """
        ...

    def gradient(self, proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the derivative of each row's loss by its scores; overwrites `proba`.

        Scores are what softmax turns into probabilities.
        """
        ...

    def topics(self, y: npt.NDArray[Any]) -> I64:
        """Return the topic numbers of the rows, shape (n_rows,)."""
        ...


class CategoricalCrossentropy:
    """-sum(y * log(p)) for targets `y` that are distributions over topics, such as one-hot rows."""

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> F32:
        """Return `y` as a float32 array of shape (n_rows, n_topics) whose rows sum to 1."""
        targets = np.asarray(y, dtype=np.float32)
        if targets.shape != (n_rows, n_topics):
            raise DataError(
                f"`y` has shape {targets.shape}, but categorical_crossentropy needs one-hot rows "
                f"of shape {(n_rows, n_topics)}; use one_hot(y, {n_topics}), or "
                "sparse_categorical_crossentropy for integer topics."
            )
        if not np.allclose(targets.sum(axis=1), 1, atol=1e-3) or targets.min(initial=0) < 0:
            raise DataError(
                "a row of `y` does not hold probabilities of topics; its values must be at least 0 "
                "and sum to 1."
            )
        return targets

    def values(self, log_proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the loss of each row."""
        # A topic of probability 0 must add nothing, even where its loss is infinite.
        return -np.where(y > 0, y * log_proba, 0).sum(axis=1)

    def gradient(self, proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the derivative by the scores: p - y."""
        proba -= y
        return proba

    def topics(self, y: npt.NDArray[Any]) -> I64:
        """Return the topic numbers: where each row is largest."""
        return y.argmax(axis=1)


class SparseCategoricalCrossentropy:
    """-log(p[y]) for targets `y` that are integer topics: the same loss, another interface."""

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> Integers:
        """Return `y` as an integer array of shape (n_rows,) with values below `n_topics`."""
        targets = np.asarray(y)
        if targets.shape != (n_rows,) or targets.dtype.kind not in "iu":
            raise DataError(
                f"`y` has shape {targets.shape} and type {targets.dtype}, but "
                f"sparse_categorical_crossentropy needs integer topics of shape {(n_rows,)}; "
                "use categorical_crossentropy for one-hot rows."
            )
        if n_rows and not 0 <= targets.min() <= targets.max() < n_topics:
            raise DataError(
                f"`y` runs from {targets.min()} to {targets.max()}, but topics run from 0 to "
                f"{n_topics - 1}; give the last layer one unit for each topic."
            )
        return targets

    def values(self, log_proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the loss of each row."""
        return -log_proba[np.arange(len(y)), y]

    def gradient(self, proba: F32, y: npt.NDArray[Any]) -> F32:
        """Return the derivative by the scores: p, less 1 at the topic."""
        proba[np.arange(len(y)), y] -= 1
        return proba

    def topics(self, y: npt.NDArray[Any]) -> I64:
        """Return the topic numbers: `y` itself."""
        return y.astype(np.int64, copy=False)


_LOSSES: dict[str, type[CategoricalCrossentropy] | type[SparseCategoricalCrossentropy]] = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get_loss(name: str) -> Loss:
    """Return the loss called `name`.

    Raises
    ------
    OptionError : if there is no such loss.
    """
    if name not in _LOSSES:
        raise OptionError(f"unknown loss {name!r}; choose one of {', '.join(_LOSSES)}.")
    return _LOSSES[name]()
