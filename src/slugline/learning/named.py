"""Learners by name, and from the settings and arrays in a model file."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from slugline.base.arrays import F32
from slugline.base.checks import check_choice, option_error
from slugline.errors import DataError
from slugline.learning.learner import Learner, settings_struct
from slugline.learning.linear.learner import LinearLearner, LinearOptions
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner, NeuralOptions
from slugline.learning.shallow import ShallowLearner, ShallowOptions

#: Learners that can be chosen by name.
LEARNERS = ("linear", "network")


def choose_learner(learner: str | Learner) -> Learner:
    """Return a learner by name, or an unfitted copy of a learner; else raise OptionError."""
    if isinstance(learner, str):
        check_choice("learner", learner, LEARNERS)
        return LinearLearner() if learner == "linear" else NeuralLearner()
    if isinstance(learner, type) or not isinstance(learner, Learner):
        raise option_error("learner", learner, f"one of {', '.join(LEARNERS)}, or a learner object")
    return copy.deepcopy(learner)


# Learners in model files --------------------------------------------------------------------------

_KINDS: dict[str, Any] = {
    "linear": LinearLearner,
    "network": NeuralLearner,
    "shallow": ShallowLearner,
}

# Limits for files. Real mixtures have a handful of learners, nested at most twice.
_MAX_LEARNERS = 1000
_MAX_DEPTH = 16

_Sharpness = Annotated[float, msgspec.Meta(gt=0, lt=1e6)]
_Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]

# Valid settings: files are not trusted.
_Linear = settings_struct(
    "linear",
    LinearOptions,
    {"sharpness": _Sharpness, "doubt": _Share, "ambiguity": _Share, "n_left_out": _Count},
)
_Network = settings_struct("network", NeuralOptions, {"n_epochs": _Count})
_Shallow = settings_struct("shallow", ShallowOptions, {})


class _Mixture(msgspec.Struct, tag_field="kind", tag="mixture", forbid_unknown_fields=True):
    learners: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    # Their sum is to be finite, too.
    shares: list[Annotated[float, msgspec.Meta(gt=0, lt=1e300)]] | None = None
    sharpness: _Sharpness = 1.0


_AnySettings: Any = _Linear | _Network | _Shallow | _Mixture


def restore(settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Learner:
    """Return the learner that gave these `settings` and `arrays`.

    Raises
    ------
    DataError : if settings or arrays are unknown, missing, odd or too many.
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
    """Raise DataError unless a learner in a model file may have these settings."""
    level = [settings]
    n_learners = depth = 0
    while level:
        n_learners, depth = n_learners + len(level), depth + 1
        if n_learners > _MAX_LEARNERS or depth > _MAX_DEPTH:
            raise DataError(
                f"a mixture of over {_MAX_LEARNERS:,} learners, or mixtures in one another over "
                f"{_MAX_DEPTH} deep"
            )
        level = [part for one in level for part in _check_one(one)]


def _check_one(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check the settings of one learner; return those of the learners within, unchecked."""
    try:
        checked = msgspec.convert(settings, _AnySettings)
    except msgspec.ValidationError as error:
        raise DataError(f"settings of the learner: {error}") from error
    return checked.learners if isinstance(checked, _Mixture) else []


def _restore_kind(settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Learner:
    if settings["kind"] == "mixture":
        return Mixture.restore(settings, arrays, _restore_kind)
    learner: Learner = _KINDS[settings["kind"]].restore(settings, arrays)
    return learner
