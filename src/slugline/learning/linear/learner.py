"""One weight per term and topic: a document's score is the sum of the weights of its terms."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from slugline.base.arrays import F32, F64, I64, Index, Integers, Mask
from slugline.errors import DataError
from slugline.learning.calibration import Calibration
from slugline.learning.learner import Options
from slugline.learning.linear.weights import from_arrays, score_rows, score_table, to_arrays
from slugline.text.sparse import check_csr, check_rows, row_lengths

if TYPE_CHECKING:
    from slugline.learning.learner import FitContext
    from slugline.learning.linear.batches import LinearStream

__all__ = [
    "LinearLearner",
    "LinearOptions",
]


@dataclass(eq=False, repr=False)
class LinearOptions(Options):
    """The options of a `LinearLearner`."""

    passes: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Passes over the documents; fewer keep weights smaller."),
    ] = None
    clean: Annotated[bool, Meta(description="Leave out documents whose topic looks wrong.")] = True


class LinearLearner(LinearOptions):
    """One-vs-rest linear classifier with squared hinge loss, and calibrated probabilities.

    It learns in steps that shrink for each term, and is the same for documents all at once and for
    batch after batch. The scores that a row gets before it is first learned from show which
    documents probably do not belong to their topic. If there are too many of those to be just hard
    cases, it learns again without them. How sure probabilities may be follows from scores of rows
    that were not learned from: in folds if rows are few, and otherwise by learning from a third of
    them again.

    Parameters
    ----------
    passes : int, optional
        Passes over the rows; by default, from 6 for a few hundred rows down to 1.
    clean : bool, default True
        Leave out training documents that probably do not belong to their topic.

    Attributes
    ----------
    weights : float32 CSR array, shape (n_columns, n_topics)
        Those that matter; see `slugline.learning.linear.weights`.
    biases : float32 array, shape (n_topics,)
    calibration : Calibration
        How scores become probabilities.
    n_left_out : int
        Number of training documents that were left out.
    left_out_ : (int array, shape (n_rows,), float32 array, shape (n_rows, n_topics))
        After `fit`: some rows, and their scores had they not been learned from; not in files.
    """

    wants = "log-tf-idf"
    has_epochs = False
    grows = True

    biases: F32
    calibration: Calibration
    n_left_out: int
    left_out_: tuple[Index, F32]
    # Either weights that stay as they are, with the table that is made of them for scores when
    # there are some to make, or a stream that learns on.
    _weights: Any = None
    _table: Any = None
    _stream: LinearStream | None = None

    def fit(self, X: Any, y: I64, context: FitContext) -> None:
        """Learn from rows and their topics."""
        from slugline.learning.linear.fit import fit_linear

        found = fit_linear(check_csr(X), y, context, passes=self.passes, clean=self.clean)
        self._weights, self._table, self._stream = found.weights, None, None
        self.biases, self.calibration = found.biases, found.calibration
        self.n_left_out, self.left_out_ = found.n_left_out, found.left_out

    def partial_fit(self, X: Any, y: I64, context: FitContext) -> None:
        """Learn from one more batch of rows; from all of them, whatever `clean` is.

        Passing documents again makes probabilities too sure. Step sizes and the scores of the
        latest documents are kept from call to call, but not in a model file.
        """
        stream = self._begin_stream(check_csr(X).shape[1], context)
        if context.moved is not None:
            stream.widen(context.moved, check_csr(X).shape[1])
        stream.learn(check_csr(X, stream.n_columns), y, context)
        self._weights, self._table, self._stream = None, None, stream
        self.biases, self.calibration = stream.biases, stream.calibration
        if context.first:
            self.n_left_out = 0

    def fit_parts(self, parts: Iterable[tuple[Any, I64, FitContext]]) -> int:
        """Learn from more rows than there is memory for: from all of them, whatever `clean` is.

        After Ctrl-C, what was learned from the parts before is kept, if there are any.

        Parameters
        ----------
        parts : iterable of (X, y, context)
            Rows in random order; of the second part and later ones, `context.moved` says where the
            columns before are now.

        Returns
        -------
        n_learned : int
            Number of rows of the parts that were learned from to their end.
        """
        from slugline.learning.linear.batches import LinearStream

        stream: Any = None
        n_learned = n_columns = 0
        moved = None
        try:
            for X, y, context in parts:
                if stream is None:
                    how: Any = {"passes": self.passes or 1, "seed": context.seed}
                    stream = LinearStream.of_nothing(X.shape[1], context.n_topics, **how)
                elif context.moved is not None:
                    moved = context.moved
                    stream.widen(moved, X.shape[1])
                stream.learn(X, y, context, undo=False)
                n_learned, n_columns, moved = n_learned + len(y), X.shape[1], None
        except KeyboardInterrupt:
            if not n_learned:
                raise
        self._weights, self._table, self._stream = stream.settle(n_columns, moved), None, None
        self.biases, self.calibration, self.n_left_out = stream.biases, stream.calibration, 0
        return n_learned

    def _begin_stream(self, n_columns: int, context: FitContext) -> LinearStream:
        from slugline.learning.linear.batches import LinearStream

        how: Any = {"passes": self.passes, "seed": context.seed}
        if context.first:
            return LinearStream.of_nothing(n_columns, context.n_topics, **how)
        if self._stream is None:
            return LinearStream(self.weights, self.biases, self.calibration, **how)
        return self._stream.copy()

    def unused_columns(self) -> Mask:
        """Return which columns have no weight that matters, shape (n_columns,)."""
        unused: Mask = row_lengths(self.weights.indptr) == 0
        return unused

    def of_weights(self, least: float) -> LinearLearner:
        """Return the same learner without weights nearer to 0 than `least`."""
        weights = self.weights.copy()
        weights.data[np.abs(weights.data) < least] = 0
        weights.eliminate_zeros()
        return self._with(weights)

    def of_columns(self, columns: Integers) -> LinearLearner:
        """Return the same learner for rows of only these columns; with step sizes of its own."""
        return self._with(self.weights[columns])

    def _with(self, weights: Any) -> LinearLearner:
        learner = copy.copy(self)
        learner._weights, learner._table, learner._stream = weights, None, None
        return learner

    @property
    def weights(self) -> Any:
        """Weights that matter, float32 CSR array, shape (n_columns, n_topics)."""
        return self._weights if self._stream is None else self._stream.slim_weights()

    def weights_of(self, columns: Integers) -> F64:
        """Return the weights that scores are made of, shape (n_chosen, n_topics)."""
        if self._stream is not None:
            return self._stream.weights_of(columns)
        rows = self._weights[columns] if self._table is None else self._table[columns]
        dense: F32 = rows if isinstance(rows, np.ndarray) else rows.toarray()
        return dense.astype(np.float64)

    def decision_function(self, X: Any) -> F32:
        """Return scores, shape (n_rows, n_topics)."""
        if self._stream is not None:
            return self._stream.decision_function(check_csr(X, self._stream.n_columns))
        if self._table is None:
            self._table = score_table(self._weights)
        scores = score_rows(self._table, check_rows(X, self._table.shape[0]))
        scores += self.biases
        return scores

    def predict_proba(self, X: Any) -> F32:
        """Return probabilities, shape (n_rows, n_topics)."""
        return self.calibration.proba(self.decision_function(X))

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `restore` rebuilds it."""
        learned = {**self.calibration.settings(), "n_left_out": self.n_left_out}
        return {"kind": "linear", **self.options(), **learned}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what it has learned."""
        return {**to_arrays(self.weights), "biases": self.biases}

    @classmethod
    def restore(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> LinearLearner:
        """Return a fitted learner, rebuilt from the parts in a model file."""
        learner = cls(**cls.options_in(settings))
        learner.biases = arrays["biases"]
        if learner.biases.ndim != 1:
            raise DataError(f"biases of shape {learner.biases.shape}")
        learner._weights = from_arrays(arrays, len(learner.biases))
        learner.calibration = Calibration.restore(settings)
        learner.n_left_out = settings["n_left_out"]
        return learner
