"""Models made small enough for a file of a given size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from slugline.errors import OptionError
from slugline.fitted import Fitted
from slugline.learners.linear import LinearLearner

__all__ = ["shrunk"]

# Files shrink a little less than their weights: aiming lower takes fewer rounds.
_AIM, _LEAST = 0.97, 0.05


def shrunk(fitted: Fitted, most_bytes: int, size: Callable[[Fitted], int]) -> Fitted:
    """Return a model without the weights nearest to 0, and without terms that then have none.

    Parameters
    ----------
    fitted : Fitted
    most_bytes : int
    size : callable
        Returns the size in bytes of the file of a model.

    Raises
    ------
    OptionError : if no linear model could have so small a file, or the model is another one.
    """
    n_bytes = size(fitted)
    if n_bytes <= most_bytes:
        return fitted
    learner = fitted.learner
    if not isinstance(learner, LinearLearner):
        raise OptionError(
            f"the file would have {n_bytes:,} bytes, and `max_size` drops weights of linear "
            f"learners only; leave it out, or take fewer bits for each weight."
        )
    magnitudes = np.sort(np.abs(learner.weights.data))[::-1]
    small, n_kept = fitted, len(magnitudes)
    while n_bytes > most_bytes:
        n_kept = int(n_kept * max(_LEAST, _AIM * most_bytes / n_bytes))
        if not n_kept:
            raise OptionError(
                f"`max_size` is {most_bytes:,} bytes, and without any weight the file still has "
                f"{n_bytes:,}; give a larger one."
            )
        small = _without_weights(fitted, learner, float(magnitudes[n_kept - 1]))
        n_bytes = size(small)
    return small


def _without_weights(fitted: Fitted, learner: LinearLearner, least: float) -> Fitted:
    thin = learner.of_weights(least)
    features, columns = fitted.features.without(thin.unused_columns())
    return replace(fitted, learner=thin.of_columns(columns), features=features)
