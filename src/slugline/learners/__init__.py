"""Learners turn CSR rows into scores and probabilities, one column per topic.

A learner holds what predicting needs and no more; what fitting needs it imports when it is asked to
fit. `Learner` is what all of them share, and what `slugline.classifier` asks of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from slugline.training.context import FitContext
    from slugline.training.history import History

__all__ = ["BatchLearner", "Learner"]


@runtime_checkable
class Learner(Protocol):
    """Fits rows, and then gives scores and probabilities for others."""

    #: The weighting of terms that it learns best from.
    wants: str
    #: Whether it looks for its best epoch, on documents held out if none are given.
    has_epochs: bool

    def fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> History | None:
        """Learn from rows and their topics; give the history of epochs, if there were any."""
        ...

    def decision_function(self, X: Any) -> npt.NDArray[np.float32]:
        """Scores, shape (n_rows, n_topics): the largest marks the topic."""
        ...

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Probabilities, shape (n_rows, n_topics); every row sums to 1."""
        ...

    def settings(self) -> dict[str, Any]:
        """Plain data, from which `slugline.learners.restore` makes the learner again."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """What it has learned."""
        ...


@runtime_checkable
class BatchLearner(Learner, Protocol):
    """Learns from one batch of rows after another, too."""

    def partial_fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> None:
        """Learn on from one more batch; from nothing if it is the first one."""
        ...
