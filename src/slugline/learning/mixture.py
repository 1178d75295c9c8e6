"""A mixture of learners that averages their probabilities."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Self

import msgspec
import numpy as np

from slugline.base.arrays import F32
from slugline.base.checks import check_number, is_number, option_error
from slugline.errors import DataError
from slugline.learning.calibration import (
    AnyCalibration,
    Calibration,
    InverseTemperature,
    TopicCalibration,
)
from slugline.learning.label_types import label_type
from slugline.learning.learner import Capabilities, Learner, ParamsMixin, restore_part

if TYPE_CHECKING:
    import scipy.sparse as sp

    from slugline.learning.labels import Labels
    from slugline.learning.learner import FitContext
    from slugline.learning.net.training import History


class _MixtureSettings(msgspec.Struct, tag_field="kind", tag="mixture", forbid_unknown_fields=True):
    learners: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    # The limit keeps their sum finite.
    weights: list[Annotated[float, msgspec.Meta(gt=0, lt=1e300)]]
    inverse_temperature: InverseTemperature


class Mixture(ParamsMixin):
    """The mean probabilities of several learners, which err on different documents.

    Parameters
    ----------
    learners : sequence of Learner
        Each is fitted with a different seed, so that nets with the same options differ.
    weights : sequence of float, optional
        Positive weight of each learner; equal by default.
    inverse_temperature : float, default 1.0
        Power of the mean; values over 1 make probabilities more extreme. For multilabel rows, the
        factor on the log-odds of the mean.

    Attributes
    ----------
    calibration : Calibration or TopicCalibration
        Turns the scores, times `inverse_temperature`, into probabilities.

    Examples
    --------
    >>> from slugline import LinearLearner, Mixture, NeuralLearner, TopicClassifier
    >>> classifier = TopicClassifier(learner=Mixture([LinearLearner(), NeuralLearner()]))
    """

    weighting = "log-tf-idf"
    settings_type = _MixtureSettings
    calibration: AnyCalibration = Calibration(1.0)

    def __init__(
        self,
        learners: Sequence[Learner],
        weights: Sequence[float] | None = None,
        inverse_temperature: float = 1.0,
    ) -> None:
        check_number("inverse_temperature", inverse_temperature, over=0)
        self.inverse_temperature = inverse_temperature
        self.learners = _check_learners(learners)
        self.weights = _check_weights(weights, len(self.learners))

    @property
    def capabilities(self) -> Capabilities:
        """Its optional capabilities; multilabel if all its learners are."""
        of_learners = [learner.capabilities for learner in self.learners]
        return Capabilities(
            multilabel=all(one.multilabel for one in of_learners),
            has_epochs=any(one.has_epochs for one in of_learners),
        )

    def fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> History | None:
        """Fit each learner; return the history of the first one with epochs, or None."""
        self.calibration = label_type(multilabel=labels.multilabel).identity(context.n_topics)
        histories = [
            learner.fit(X, labels, replace(context, seed=context.seed + number))
            for number, learner in enumerate(self.learners)
        ]
        return next((history for history in histories if history is not None), None)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the constructor arguments by name."""
        names = ("learners", "weights", "inverse_temperature")
        return {name: getattr(self, name) for name in names}

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted mixture of learners with the same options."""
        learners = [copy.deepcopy(learner) for learner in self.learners]
        return type(self)(learners, self.weights, self.inverse_temperature)

    def __repr__(self) -> str:
        arguments = [repr(self.learners)]
        if len(set(self.weights)) > 1:
            arguments.append(f"weights={self.weights!r}")
        if self.inverse_temperature != 1:
            arguments.append(f"inverse_temperature={self.inverse_temperature!r}")
        return f"Mixture({', '.join(arguments)})"

    def decision_function(self, X: sp.csr_array) -> F32:
        """Return log-probabilities, or log-odds if multilabel, shape (n_rows, n_topics)."""
        total = sum(self.weights)
        weighted = [
            np.float32(weight / total) * learner.predict_proba(X)
            for weight, learner in zip(self.weights, self.learners, strict=True)
        ]
        mean: F32 = np.sum(weighted, axis=0)
        return label_type(multilabel=self.multilabel).to_scores(mean)

    def predict_proba(self, X: sp.csr_array) -> F32:
        """Return probabilities, shape (n_rows, n_topics)."""
        scores = self.decision_function(X) * np.float32(self.inverse_temperature)
        return self.calibration.proba(scores)

    @property
    def multilabel(self) -> bool:
        """True if trained on multilabel rows."""
        return self.calibration.multilabel

    def settings(self) -> dict[str, Any]:
        """Return plain data for `restore`."""
        return {
            "kind": "mixture",
            "learners": [learner.settings() for learner in self.learners],
            "weights": self.weights,
            "inverse_temperature": self.inverse_temperature,
        }

    def arrays(self) -> dict[str, F32]:
        """Return the arrays of the calibration and, with numbered names, of the learners."""
        return self.calibration.arrays() | {
            f"{number}.{name}": array
            for number, learner in enumerate(self.learners)
            for name, array in learner.arrays().items()
        }

    @classmethod
    def restore(cls, settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Mixture:
        """Rebuild a fitted mixture from checked settings and the arrays of a model file."""
        by_part: dict[str, dict[str, F32]] = {}
        for name, array in arrays.items():
            number, _, inner_name = name.partition(".")
            by_part.setdefault(number, {})[inner_name] = array
        learners = [
            restore_part(part, by_part.get(str(number), {}))
            for number, part in enumerate(settings["learners"])
        ]
        mixture = cls(learners, settings["weights"], settings["inverse_temperature"])
        multilabel = "slopes" in arrays
        if any(learner.multilabel != multilabel for learner in learners):
            raise DataError("the mixture combines single-label and multi-label learners")
        if multilabel:
            first: Any = learners[0]
            mixture.calibration = TopicCalibration.restore(arrays, first.calibration.slopes)
        return mixture


def _check_learners(learners: Any) -> list[Learner]:
    checked = list(learners) if isinstance(learners, Sequence) else []
    are_learners = (isinstance(one, Learner) and not isinstance(one, type) for one in checked)
    if not checked or not all(are_learners):
        raise option_error("learners", learners, "a list of one or more learner objects")
    return checked


def _check_weights(weights: Any, n_learners: int) -> list[float]:
    if weights is None:
        return [1.0] * n_learners
    checked = list(weights) if isinstance(weights, Iterable) else []
    if len(checked) != n_learners or not all(
        is_number(weight) and weight > 0 for weight in checked
    ):
        wanted = f"a number over 0 for each of the {n_learners} learners"
        raise option_error("weights", weights, wanted)
    return checked
