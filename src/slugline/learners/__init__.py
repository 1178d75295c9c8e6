"""Learners turn CSR rows into scores and probabilities, one column per topic.

A learner holds only what predicting needs; it imports what fitting needs when `fit` is called.
`Learner` is the interface that all of them share, and that `slugline.classifier` relies on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from slugline.base.arrays import F32, I64

if TYPE_CHECKING:
    from slugline.training.context import FitContext
    from slugline.training.history import History

__all__ = ["BatchLearner", "Learner"]


@runtime_checkable
class Learner(Protocol):
    """Learns from rows, then returns scores and probabilities of topics for other rows."""

    #: The weighting of terms that it learns best from.
    wants: str
    #: Whether it looks for its best epoch, on held-out documents unless the user passes some.
    has_epochs: bool

    def fit(self, X: Any, y: I64, context: FitContext) -> History | None:
        """Learn from rows and their topics; return the history of epochs, if there are any."""
        ...

    def decision_function(self, X: Any) -> F32:
        """Return scores, shape (n_rows, n_topics); the largest marks the topic."""
        ...

    def predict_proba(self, X: Any) -> F32:
        """Return probabilities, shape (n_rows, n_topics); every row sums to 1."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `slugline.learners.restoring.restore` rebuilds it."""
        ...

    def arrays(self) -> dict[str, F32]:
        """Return what it has learned."""
        ...


@runtime_checkable
class BatchLearner(Learner, Protocol):
    """A learner that can also learn from one batch of rows after another."""

    #: Whether rows of a later batch may have columns that earlier ones didn't have.
    grows: bool

    def partial_fit(self, X: Any, y: I64, context: FitContext) -> None:
        """Learn from one more batch; start from nothing if it is the first one."""
        ...
