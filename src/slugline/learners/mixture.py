"""Several learners on the same rows, with averaged probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline.calibration import softmax
from slugline.errors import OptionError
from slugline.learners import Learner

if TYPE_CHECKING:
    from slugline.training.context import FitContext
    from slugline.training.history import History

__all__ = ["Mixture"]

Floats = npt.NDArray[np.float32]


class Mixture:
    """The mean of the probabilities of several learners, which err on different documents.

    Parameters
    ----------
    learners : sequence of Learner
        Each is fitted with its own seed, so that nets with the same options differ.
    shares : sequence of float, optional
        The weight of each learner, over 0; equal by default.
    sharpness : float, default 1.0
        The power to which the mean is raised; over 1 makes probabilities surer.
    """

    wants = "log-tf-idf"

    def __init__(
        self,
        learners: Sequence[Learner],
        shares: Sequence[float] | None = None,
        sharpness: float = 1.0,
    ) -> None:
        self.sharpness = sharpness
        self.learners = list(learners)
        self.shares = [1.0] * len(self.learners) if shares is None else list(shares)
        self.has_epochs = any(learner.has_epochs for learner in self.learners)
        if not self.learners:
            raise OptionError("`learners` is empty; give at least one learner.")
        if len(self.shares) != len(self.learners) or not all(0 < s < math.inf for s in self.shares):
            raise OptionError(
                f"`shares` is {self.shares}; give a number over 0 for each of the "
                f"{len(self.learners)} learners."
            )

    def fit(self, X: Any, y: npt.NDArray[np.int64], context: FitContext) -> History | None:
        """Fit each learner; return the history of the first that has epochs, if there is one."""
        histories = [
            learner.fit(X, y, replace(context, seed=context.seed + number))
            for number, learner in enumerate(self.learners)
        ]
        return next((history for history in histories if history is not None), None)

    def __repr__(self) -> str:
        said = [repr(self.learners)]
        if len(set(self.shares)) > 1:
            said.append(f"shares={self.shares!r}")
        if self.sharpness != 1:
            said.append(f"sharpness={self.sharpness!r}")
        return f"Mixture({', '.join(said)})"

    def decision_function(self, X: Any) -> Floats:
        """Return logarithms of the mean probabilities, shape (n_rows, n_topics)."""
        total = sum(self.shares)
        weighted = [
            np.float32(share / total) * learner.predict_proba(X)
            for share, learner in zip(self.shares, self.learners, strict=True)
        ]
        return np.log(np.maximum(np.sum(weighted, axis=0), np.finfo(np.float32).tiny))

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, shape (n_rows, n_topics)."""
        return softmax(self.decision_function(X) * np.float32(self.sharpness))

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `restore` rebuilds it."""
        return {
            "kind": "mixture",
            "learners": [learner.settings() for learner in self.learners],
            "shares": self.shares,
            "sharpness": self.sharpness,
        }

    def arrays(self) -> dict[str, Floats]:
        """Return what each learner has learned, under names that begin with its number."""
        return {
            f"{number}.{name}": array
            for number, learner in enumerate(self.learners)
            for name, array in learner.arrays().items()
        }

    @classmethod
    def restore(
        cls,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Floats],
        restore: Callable[[Mapping[str, Any], Mapping[str, Floats]], Learner],
    ) -> Mixture:
        """Return a fitted mixture, rebuilt from the parts in a model file; `restore` does each."""
        by_part: dict[str, dict[str, Floats]] = {}
        for name, array in arrays.items():
            number, _, inner_name = name.partition(".")
            by_part.setdefault(number, {})[inner_name] = array
        return cls(
            [
                restore(part, by_part.get(str(number), {}))
                for number, part in enumerate(settings["learners"])
            ],
            settings.get("shares"),
            settings.get("sharpness", 1.0),
        )
