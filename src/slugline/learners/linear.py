"""One weight per term and topic: a document's score is the sum of the weights of its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from slugline.calibration import Calibration
from slugline.errors import DataError
from slugline.learners.options import Options
from slugline.sparse import check_csr

if TYPE_CHECKING:
    from slugline.training.context import FitContext
    from slugline.training.linear_stream import LinearStream

__all__ = ["LinearLearner", "LinearOptions"]

Floats = npt.NDArray[np.float32]


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
    cases, it learns again without them. How sure probabilities may be follows from scores that rows
    would have had they not been learned from: by cross-validation if they are few, and otherwise by
    taking out of its scores what each row has put in.

    Parameters
    ----------
    passes : int, optional
        Passes over the rows; by default, from 6 for a few hundred rows down to 3 for thousands.
    clean : bool, default True
        Leave out training documents that probably do not belong to their topic.

    Attributes
    ----------
    weights : float32 array, shape (n_columns, n_topics)
    biases : float32 array, shape (n_topics,)
    calibration : Calibration
        How scores become probabilities.
    n_left_out : int
        Number of training documents that were left out.
    left_out_ : (int array, shape (n_rows,), float32 array, shape (n_rows, n_topics))
        Some of the latest rows, and their scores had they not been learned from; not in files.
    """

    wants = "log-tf-idf"
    has_epochs = False
    grows = True

    weights: Floats
    biases: Floats
    calibration: Calibration
    n_left_out: int
    left_out_: tuple[npt.NDArray[np.intp], Floats]
    _stream: LinearStream | None = None

    def fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> None:
        """Learn from rows and their topics."""
        self._stream = None
        stream = self._new_stream(check_csr(X).shape[1], context)
        stream.learn(check_csr(X), y, context, clean=self.clean)
        self._take(stream)

    def partial_fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> None:
        """Learn from one more batch of rows; from all of them, whatever `clean` is.

        Passing documents again makes probabilities too sure. Step sizes and the scores of the
        latest documents are kept from call to call, but not in a model file.
        """
        from slugline.training.linear_stream import LinearStream

        if context.first:
            stream = self._new_stream(check_csr(X).shape[1], context)
        elif self._stream is None:
            stream = LinearStream(
                self.weights.copy(),
                self.biases.copy(),
                calibration=self.calibration,
                first=False,
                passes=self.passes,
                seed=context.seed,
            )
        else:
            stream = self._stream.copy()
        if context.moved is not None:
            stream.widen(context.moved, check_csr(X).shape[1])
        stream.learn(check_csr(X, len(stream.weights)), y, context, clean=False)
        self._take(stream)
        self._stream = stream

    def _new_stream(self, n_columns: int, context: FitContext) -> LinearStream:
        from slugline.training.linear_stream import LinearStream

        return LinearStream.of_nothing(
            n_columns, context.n_topics, passes=self.passes, seed=context.seed
        )

    def _take(self, stream: LinearStream) -> None:
        self.weights, self.biases = stream.weights, stream.biases
        self.calibration, self.n_left_out = stream.calibration, stream.n_left_out
        self.left_out_ = stream.left_out

    def decision_function(self, X: Any) -> Floats:
        """Return scores, shape (n_rows, n_topics)."""
        scores = check_csr(X, len(self.weights)) @ self.weights
        scores += self.biases
        return scores

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, shape (n_rows, n_topics)."""
        return self.calibration.proba(self.decision_function(X))

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `restore` rebuilds it."""
        learned = {**self.calibration._asdict(), "n_left_out": self.n_left_out}
        return {"kind": "linear", **self.options(), **learned}

    def arrays(self) -> dict[str, Floats]:
        """Return what it has learned."""
        return {"weights": self.weights, "biases": self.biases}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], arrays: Mapping[str, Floats]) -> LinearLearner:
        """Return a fitted learner, rebuilt from the parts in a model file."""
        learner = cls(**cls.options_in(settings))
        learner.weights, learner.biases = arrays["weights"], arrays["biases"]
        if learner.weights.ndim != 2 or learner.weights.shape[1:] != learner.biases.shape:
            raise DataError(
                f"weights of shape {learner.weights.shape} do not match biases of shape "
                f"{learner.biases.shape}"
            )
        # Files of format 1 have no doubt.
        learner.calibration = Calibration(settings["sharpness"], settings.get("doubt", 0.0))
        learner.n_left_out = settings["n_left_out"]
        return learner
