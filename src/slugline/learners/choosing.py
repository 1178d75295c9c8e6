"""Learners by name."""

from __future__ import annotations

import copy

from slugline.checks import check_choice, illegal
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

    if isinstance(learner, str):
        check_choice("learner", learner, LEARNERS)
        return LinearLearner() if learner == "linear" else NeuralLearner()
    if isinstance(learner, type) or not isinstance(learner, Learner):
        raise illegal("learner", learner, f"one of {', '.join(LEARNERS)}, or a learner object")
    return copy.deepcopy(learner)
