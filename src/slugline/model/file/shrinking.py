"""Models made small enough for a file of a given size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from slugline.base.checks import check_whole
from slugline.errors import OptionError
from slugline.learning.linear.learner import LinearLearner
from slugline.model.file.schema import MAX_COUNT
from slugline.model.fitted import Fitted

# Files shrink a little less than their weights: aiming lower takes fewer rounds.
_AIM = 0.97


def check_max_size(value: Any) -> int:
    """Return the most bytes of a file; OptionError if it isn't a whole number of 1 or more."""
    check_whole("max_size", value, 1, MAX_COUNT)
    return int(value)


def shrink(fitted: Fitted, max_size: int, size: Callable[[Fitted], int]) -> Fitted:
    """Return a model without the weights nearest to 0, and without terms that then have none.

    `size` returns the bytes of a model's file, which becomes at most `max_size`. Held-out
    predictions are dropped first, unless a precision was asked for.

    Raises
    ------
    OptionError : if no linear model could have so small a file, or the model is not linear.
    """
    n_bytes = size(fitted)
    if n_bytes <= max_size:
        return fitted
    heldout = fitted.heldout_predictions
    if heldout is not None and heldout.precision is None:
        return shrink(replace(fitted, heldout_predictions=None), max_size, size)
    learner = fitted.learner
    if not isinstance(learner, LinearLearner):
        raise OptionError(
            f"`max_size` is {max_size:,} bytes, and the file would have {n_bytes:,}; only a linear "
            "learner has weights to drop. Give a larger one, or store weights in fewer bits with "
            "`quantize`."
        )
    small = _without_weights(fitted, learner, np.inf)
    n_least = size(small)
    if n_least > max_size:
        raise OptionError(
            f"`max_size` is {max_size:,} bytes, and without the weight of any term the file would "
            f"still have {n_least:,}{_of_the_encoder(fitted)}; give a larger one."
        )
    magnitudes = np.sort(np.abs(learner.weights.data))[::-1]
    n_kept = len(magnitudes)
    while n_bytes > max_size:
        n_kept = int(n_kept * _AIM * (max_size - n_least) / (n_bytes - n_least))
        least = float(magnitudes[n_kept - 1]) if n_kept else np.inf
        small = _without_weights(fitted, learner, least)
        n_bytes = size(small)
    return small


def _without_weights(fitted: Fitted, learner: LinearLearner, least: float) -> Fitted:
    thin = learner.of_weights(least)
    features, columns = fitted.features.without(thin.unused_columns())
    return replace(fitted, learner=thin.of_columns(columns), features=features)


def _of_the_encoder(fitted: Fitted) -> str:
    if fitted.dense is None:
        return ""
    return f", as the {fitted.dense.weights.size:,} weights of the encoder's columns all stay"
