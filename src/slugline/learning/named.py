"""Learners by name, and from the settings and arrays in a model file."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from slugline.base.arrays import F32
from slugline.base.checks import check_choice, option_error
from slugline.errors import DataError
from slugline.learning.learner import Learner

#: Learners that can be chosen by name.
LEARNERS = ("linear", "network")


def choose_learner(learner: str | Learner) -> Learner:
    """Return a learner by name, or an unfitted copy of a learner; else raise OptionError."""
    if isinstance(learner, str):
        check_choice("learner", learner, LEARNERS)
        chosen: Learner = _learner_class(learner)()
        return chosen
    if isinstance(learner, type) or not isinstance(learner, Learner):
        raise option_error("learner", learner, f"one of {', '.join(LEARNERS)}, or a learner object")
    return copy.deepcopy(learner)


# Learners in model files --------------------------------------------------------------------------

# The module and class of each kind; only those of the kinds in a file are imported.
_KINDS = {
    "linear": ("slugline.learning.linear.learner", "LinearLearner"),
    "network": ("slugline.learning.net.learner", "NeuralLearner"),
    "shallow": ("slugline.learning.shallow", "ShallowLearner"),
    "mixture": ("slugline.learning.mixture", "Mixture"),
}

# Limits for files. Real mixtures have a handful of learners, nested at most twice.
_MAX_LEARNERS = 1000
_MAX_DEPTH = 16


class _Kind(msgspec.Struct):
    """What settings say about all others: files are not trusted."""

    kind: Literal["linear", "network", "shallow", "mixture"]


def _learner_class(kind: str) -> Any:
    module, name = _KINDS[kind]
    return getattr(importlib.import_module(module), name)


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
        kind = msgspec.convert(settings, _Kind).kind
        checked = msgspec.convert(settings, _learner_class(kind).settings_type)
    except msgspec.ValidationError as error:
        raise DataError(f"settings of the learner: {error}") from error
    return getattr(checked, "learners", [])


def _restore_kind(settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Learner:
    cls = _learner_class(settings["kind"])
    parts = (_restore_kind,) if settings["kind"] == "mixture" else ()
    learner: Learner = cls.restore(settings, arrays, *parts)
    return learner
