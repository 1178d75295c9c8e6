"""One weight per term and topic: a document's score is the sum of the weights of its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from slugline.calibration import softmax
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

    C: Annotated[float, Meta(gt=0, description="Cost of errors, against large weights.")] = 1.0
    clean: Annotated[bool, Meta(description="Leave out documents whose topic looks wrong.")] = True


class LinearLearner(LinearOptions):
    """One-vs-rest linear classifier with squared hinge loss, and calibrated probabilities.

    A single fit also shows how each document would score had it not been learned from. These scores
    show how sure probabilities may be, and which documents probably do not belong to their topic.
    If there are too many of those to be just hard cases, it learns again without them.

    Parameters
    ----------
    C : float, default 1.0
        Cost of errors, against large weights.
    clean : bool, default True
        Leave out training documents that probably do not belong to their topic.

    Attributes
    ----------
    weights : float32 array, shape (n_columns, n_topics)
    biases : float32 array, shape (n_topics,)
    sharpness : float
        The factor on scores before softmax turns them into probabilities.
    n_left_out : int
        Number of training documents that were left out.
    """

    wants = "log-tf-idf"
    has_epochs = False

    weights: Floats
    biases: Floats
    sharpness: float
    n_left_out: int
    _stream: LinearStream | None = None

    def fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> None:
        """Learn from rows and their topics."""
        from slugline.training.linear import fit_linear

        self._stream = None
        fitted = fit_linear(check_csr(X), y, context, C=self.C, clean=self.clean)
        self.weights, self.biases = fitted.weights, fitted.biases
        self.sharpness, self.n_left_out = fitted.sharpness, fitted.n_left_out

    def partial_fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> None:
        """Learn from one more batch of rows; from all of them, whatever `clean` is.

        Passing documents again makes probabilities too sure. Step sizes and the scores of the
        latest documents are kept from call to call, but not in a model file.
        """
        from slugline.training.linear import SHARPNESS
        from slugline.training.linear_stream import LinearStream

        X = check_csr(X, None if context.first else len(self.weights))
        if context.first:
            self.weights = np.zeros((X.shape[1], context.n_topics), dtype=np.float32)
            self.biases = np.full(context.n_topics, -1, dtype=np.float32)
            self.sharpness, self.n_left_out = SHARPNESS, 0
        elif self._stream is None:
            # Arrays from `fit` or a file may be in use elsewhere.
            self.weights, self.biases = self.weights.copy(), self.biases.copy()
        if context.first or self._stream is None:
            self._stream = LinearStream(
                self.weights,
                self.biases,
                sharpness=self.sharpness,
                first=context.first,
                C=self.C,
                seed=context.seed,
            )
        self.sharpness = self._stream.learn(X, y, context)

    def decision_function(self, X: Any) -> Floats:
        """Return scores, shape (n_rows, n_topics)."""
        scores = check_csr(X, len(self.weights)) @ self.weights
        scores += self.biases
        return scores

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, shape (n_rows, n_topics)."""
        return softmax(self.decision_function(X) * np.float32(self.sharpness))

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `restore` rebuilds it."""
        learned = {"sharpness": self.sharpness, "n_left_out": self.n_left_out}
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
        learner.sharpness, learner.n_left_out = settings["sharpness"], settings["n_left_out"]
        return learner
