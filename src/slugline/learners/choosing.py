"""Learners by name."""

from __future__ import annotations

import copy

from slugline.errors import OptionError
from slugline.learners import Learner

__all__ = ["LEARNERS", "choose_learner"]

#: Learners that can be chosen by name.
LEARNERS = ("linear", "network")


def choose_learner(learner: str | Learner) -> Learner:
    """Return a learner by name, or an unfitted copy of the one that is passed.

    Raises
    ------
    OptionError : if there is no learner of that name; the message lists them.
    """
    from slugline.learners.linear import LinearLearner
    from slugline.learners.neural import NeuralLearner

    if learner == "linear":
        return LinearLearner()
    if learner == "network":
        return NeuralLearner()
    if isinstance(learner, str):
        raise OptionError(f"unknown learner {learner!r}; choose one of {', '.join(LEARNERS)}.")
    if isinstance(learner, type) or not hasattr(learner, "fit"):
        raise OptionError(
            f"`learner` is {learner!r}; give one of {', '.join(LEARNERS)}, or a learner object."
        )
    return copy.deepcopy(learner)
