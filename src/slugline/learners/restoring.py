"""Fitted learners from plain settings and arrays, as a model file holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.errors import DataError
from slugline.learners import Learner
from slugline.learners.linear import LinearLearner
from slugline.learners.mixture import Mixture
from slugline.learners.neural import NeuralLearner
from slugline.learners.shallow import ShallowLearner

__all__ = ["check_settings", "restore"]

_KINDS: dict[str, Any] = {
    "linear": LinearLearner,
    "network": NeuralLearner,
    "shallow": ShallowLearner,
}

# What a file may hold. People mix a handful of learners, and mixtures within one another twice.
_MAX_LEARNERS = 1000
_MAX_DEPTH = 16
_MAX_LAYERS = 64

_OverZero = Annotated[float, msgspec.Meta(gt=0)]
_Sharpness = Annotated[float, msgspec.Meta(gt=0, lt=1e6)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Settings(msgspec.Struct, tag_field="kind", forbid_unknown_fields=True):
    """What settings may say: files come from anywhere."""


class _Linear(_Settings, tag="linear"):
    C: _OverZero
    clean: bool
    sharpness: _Sharpness
    n_left_out: _Count


class _Network(_Settings, tag="network"):
    hidden: Annotated[
        list[Annotated[int, msgspec.Meta(ge=1)]], msgspec.Meta(max_length=_MAX_LAYERS)
    ]
    epochs: int
    batch_size: int
    patience: int | None
    validation_fraction: float
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    l2: Annotated[float, msgspec.Meta(ge=0)]
    optimizer: str
    learning_rate: _OverZero | None
    n_epochs: _Count


class _Shallow(_Settings, tag="shallow"):
    units: Annotated[int, msgspec.Meta(ge=1)]
    epochs: _Count
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)]


class _Mixture(_Settings, tag="mixture"):
    learners: Annotated[list[_Linear | _Network | _Shallow | _Mixture], msgspec.Meta(min_length=1)]
    # Their sum is to be finite, too.
    shares: list[Annotated[float, msgspec.Meta(gt=0, lt=1e300)]] | None = None
    sharpness: _Sharpness = 1.0


def restore(settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.float32]]) -> Learner:
    """Make a learner of what its `settings` and `arrays` gave.

    Raises
    ------
    DataError : if there is no such kind, or settings or arrays are missing, odd or too many.
    """
    check_settings(settings)
    try:
        learner = _restore_kind(settings, arrays)
    except KeyError as error:
        raise DataError(f"the learner has no array {error.args[0]!r}") from error
    if set(learner.arrays()) != set(arrays):
        raise DataError(f"arrays {sorted(arrays)} where the learner has {sorted(learner.arrays())}")
    return learner


def check_settings(settings: Mapping[str, Any]) -> None:
    """Make sure that a file may hold settings.

    Raises
    ------
    DataError : if there is no such kind, or a setting is missing, odd or too much.
    """
    _check_size(settings)
    try:
        msgspec.convert(settings, _Linear | _Network | _Shallow | _Mixture)
    except msgspec.ValidationError as error:
        raise DataError(f"settings of the learner: {error}") from error


def _check_size(settings: Mapping[str, Any]) -> None:
    """Count learners, level by level, before anything follows how they are nested."""
    level: list[Any] = [settings]
    n_learners = depth = 0
    while level:
        n_learners, depth = n_learners + len(level), depth + 1
        if n_learners > _MAX_LEARNERS or depth > _MAX_DEPTH:
            raise DataError(
                f"a mixture of over {_MAX_LEARNERS:,} learners, or mixtures in one another over "
                f"{_MAX_DEPTH} deep"
            )
        level = [part for one in level for part in _parts(one)]


def _parts(settings: Any) -> list[Any]:
    """Return what settings that may be anything name as the learners of a mixture."""
    parts = settings.get("learners") if isinstance(settings, Mapping) else None
    return parts if isinstance(parts, list) else []


def _restore_kind(
    settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.float32]]
) -> Learner:
    if settings["kind"] == "mixture":
        return Mixture.restore(settings, arrays, _restore_kind)
    learner: Learner = _KINDS[settings["kind"]].restore(settings, arrays)
    return learner
