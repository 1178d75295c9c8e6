"""One weight per term and topic: the sum of a document's weights is its score."""

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
    """What a `LinearLearner` can be told."""

    C: Annotated[float, Meta(gt=0, description="What errors cost beside large weights.")] = 1.0
    clean: Annotated[bool, Meta(description="Leave out documents whose topic looks wrong.")] = True


class LinearLearner(LinearOptions):
    """One-vs-rest linear classifier with squared hinge loss, and calibrated probabilities.

    From one fit, what all other documents make of each one is known without further ones. It shows
    how sharp probabilities may be, and which documents hardly can belong to their topic; if these
    are too many to be mere hard cases, it learns anew without them.

    Parameters
    ----------
    C : float, default 1.0
        What errors cost beside large weights.
    clean : bool, default True
        Leave out training documents that hardly can belong to their topic.

    Attributes
    ----------
    weights : float32 array, shape (n_columns, n_topics)
    biases : float32 array, shape (n_topics,)
    sharpness : float
        What scores are multiplied by before softmax makes probabilities of them.
    n_left_out : int
        How many training documents were left out.
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
        """Learn on from one more batch of rows, all of them, whatever `clean` says.

        Documents that were learned from before make probabilities too sure. The step sizes and the
        latest documents' scores are kept from call to call, but not in a model file.
        """
        from slugline.training.linear import SHARPNESS
        from slugline.training.linear_stream import LinearStream

        X = check_csr(X, None if context.first else len(self.weights))
        if context.first:
            self.weights = np.zeros((X.shape[1], context.n_topics), dtype=np.float32)
            self.biases = np.full(context.n_topics, -1, dtype=np.float32)
            self.sharpness, self.n_left_out = SHARPNESS, 0
        elif self._stream is None:
            # What `fit` or a file has made may be in use elsewhere.
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
        """Scores, shape (n_rows, n_topics)."""
        scores = check_csr(X, len(self.weights)) @ self.weights
        scores += self.biases
        return scores

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities, shape (n_rows, n_topics)."""
        return softmax(self.decision_function(X) * np.float32(self.sharpness))

    def settings(self) -> dict[str, Any]:
        """Plain data that makes it again."""
        learned = {"sharpness": self.sharpness, "n_left_out": self.n_left_out}
        return {"kind": "linear", **self.options(), **learned}

    def arrays(self) -> dict[str, Floats]:
        """What it has learned."""
        return {"weights": self.weights, "biases": self.biases}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], arrays: Mapping[str, Floats]) -> LinearLearner:
        """Make a fitted learner of its parts, as a model file holds them."""
        learner = cls(**cls.options_in(settings))
        learner.weights, learner.biases = arrays["weights"], arrays["biases"]
        if learner.weights.ndim != 2 or learner.weights.shape[1:] != learner.biases.shape:
            raise DataError(
                f"weights of shape {learner.weights.shape} and biases of {learner.biases.shape}"
            )
        learner.sharpness, learner.n_left_out = settings["sharpness"], settings["n_left_out"]
        return learner
