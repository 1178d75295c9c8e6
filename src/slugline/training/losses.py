"""Crossentropy, for topics given as one-hot rows or as integers: one value, two interfaces."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slugline.errors import DataError, OptionError

__all__ = ["CategoricalCrossentropy", "Loss", "SparseCategoricalCrossentropy", "get_loss"]

Floats = npt.NDArray[np.float32]


class Loss(Protocol):
    """How far predicted distributions are from the topics, and which way is downhill."""

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> npt.NDArray[Any]:
        """Take `y` in the form that the other methods expect; DataError if it has another one."""
        ...

    def values(self, log_proba: Floats, y: npt.NDArray[Any]) -> Floats:
        """Loss of each row in nats, shape (n_rows,), from log-probabilities (n_rows, n_topics)."""
        ...

    def gradient(self, proba: Floats, y: npt.NDArray[Any]) -> Floats:
        """Derivative of each row's loss by its scores before softmax; overwrites `proba`."""
        ...

    def topics(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Topic numbers of the rows, shape (n_rows,)."""
        ...


class CategoricalCrossentropy:
    """-sum(y * log(p)) for targets `y` that are distributions over topics, such as one-hot rows."""

    def check_targets(self, y: npt.ArrayLike, n_rows: int, n_topics: int) -> Floats:
        """Take `y` as a float32 array of shape (n_rows, n_topics) whose rows sum to 1."""
        targets = np.asarray(y, dtype=np.float32)
        if targets.shape != (n_rows, n_topics):
            raise DataError(
                f"y has shape {targets.shape}, but categorical_crossentropy wants one-hot rows of "
                f"shape {(n_rows, n_topics)}; use one_hot(y, {n_topics}), or "
                "sparse_categorical_crossentropy for integer topics."
            )
        if not np.allclose(targets.sum(axis=1), 1, atol=1e-3) or targets.min(initial=0) < 0:
            raise DataError(
                "a row of y is no distribution over topics; its values must be at least 0 and sum "
                "to 1."
            )
        return targets

    def values(self, log_proba: Floats, y: npt.NDArray[Any]) -> Floats:
        """Loss of each row."""
        # A topic of no probability times an infinite loss must count nothing.
        return -np.where(y > 0, y * log_proba, 0).sum(axis=1)

    def gradient(self, proba: Floats, y: npt.NDArray[Any]) -> Floats:
        """Derivative by the scores: p - y."""
        proba -= y
        return proba

    def topics(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Topic numbers: where each row is largest."""
        return y.argmax(axis=1)


class SparseCategoricalCrossentropy:
    """-log(p[y]) for targets `y` that are integer topics: the same loss by another interface."""

    def check_targets(
        self, y: npt.ArrayLike, n_rows: int, n_topics: int
    ) -> npt.NDArray[np.integer]:
        """Take `y` as an integer array of shape (n_rows,) with values below n_topics."""
        targets = np.asarray(y)
        if targets.shape != (n_rows,) or targets.dtype.kind not in "iu":
            raise DataError(
                f"y has shape {targets.shape} and type {targets.dtype}, but "
                f"sparse_categorical_crossentropy wants integer topics of shape {(n_rows,)}; "
                "use categorical_crossentropy for one-hot rows."
            )
        if n_rows and not 0 <= targets.min() <= targets.max() < n_topics:
            raise DataError(
                f"y runs from {targets.min()} to {targets.max()}, but topics run from 0 to "
                f"{n_topics - 1}; make the last layer as wide as there are topics."
            )
        return targets

    def values(self, log_proba: Floats, y: npt.NDArray[Any]) -> Floats:
        """Loss of each row."""
        return -log_proba[np.arange(len(y)), y]

    def gradient(self, proba: Floats, y: npt.NDArray[Any]) -> Floats:
        """Derivative by the scores: p, less 1 at the topic."""
        proba[np.arange(len(y)), y] -= 1
        return proba

    def topics(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Topic numbers: `y` itself."""
        return y.astype(np.int64, copy=False)


_LOSSES: dict[str, type[CategoricalCrossentropy] | type[SparseCategoricalCrossentropy]] = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get_loss(name: str) -> Loss:
    """Return the loss of that name.

    Raises
    ------
    OptionError : if there is none.
    """
    if name not in _LOSSES:
        raise OptionError(f"unknown loss {name!r}; choose one of {', '.join(_LOSSES)}.")
    return _LOSSES[name]()
