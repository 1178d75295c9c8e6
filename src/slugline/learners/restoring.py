"""Fitted learners from plain settings and arrays, as a model file holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.errors import DataError
from slugline.learners import Learner
from slugline.learners.linear import LinearLearner, LinearOptions
from slugline.learners.mixture import Mixture
from slugline.learners.neural import NeuralLearner, NeuralOptions
from slugline.learners.options import settings_struct
from slugline.learners.shallow import ShallowLearner, ShallowOptions

__all__ = ["restore"]

_KINDS: dict[str, Any] = {
    "linear": LinearLearner,
    "network": NeuralLearner,
    "shallow": ShallowLearner,
}

_OverZero = Annotated[float, msgspec.Meta(gt=0)]
_Sharpness = Annotated[float, msgspec.Meta(gt=0, lt=1e6)]
_Count = Annotated[int, msgspec.Meta(ge=0)]

# What settings may say: files come from anywhere.
_Linear = settings_struct("linear", LinearOptions, {"sharpness": _Sharpness, "n_left_out": _Count})
_Network = settings_struct("network", NeuralOptions, {"n_epochs": _Count})
_Shallow = settings_struct("shallow", ShallowOptions, {})


class _Mixture(msgspec.Struct, tag_field="kind", tag="mixture", forbid_unknown_fields=True):
    learners: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    shares: list[_OverZero] | None = None
    sharpness: _Sharpness = 1.0


_AnySettings: Any = _Linear | _Network | _Shallow | _Mixture


def restore(settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.float32]]) -> Learner:
    """Make a learner of what its `settings` and `arrays` gave.

    Raises
    ------
    DataError : if there is no such kind, or settings or arrays are missing, odd or too many.
    """
    try:
        msgspec.convert(settings, _AnySettings)
    except msgspec.ValidationError as error:
        raise DataError(f"settings of the learner: {error}") from error
    try:
        learner = _restore_kind(settings, arrays)
    except KeyError as error:
        raise DataError(f"the learner has no array {error.args[0]!r}") from error
    if set(learner.arrays()) != set(arrays):
        raise DataError(f"arrays {sorted(arrays)} where the learner has {sorted(learner.arrays())}")
    return learner


def _restore_kind(
    settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.float32]]
) -> Learner:
    if settings["kind"] == "mixture":
        return Mixture.restore(settings, arrays, restore)
    learner: Learner = _KINDS[settings["kind"]].restore(settings, arrays)
    return learner
