"""Turns scores into probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Calibration", "best_calibration", "best_sharpness", "log_softmax", "softmax"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

# Differences of scores up to this are finite.
_MAX_SCORE = np.float32(1e38)
# Sharpness is looked for between 1/7 and 55, and doubt up to a half.
_LOG_BOUNDS, _MOST_DOUBT = (-2.0, 4.0), 0.5
# The log of a usual sharpness and the log-odds of a usual doubt, 5.5 and 2.4 %, and how far either
# mostly is from there: what suited training splits of many kinds best. And what log can take.
_USUAL, _SPREADS, _TINY = (1.7, -3.0), (0.5, 1.0), 1e-30


def softmax(scores: Floats) -> Floats:
    """Return rows of probabilities for rows of scores; infinite scores count as very large."""
    proba = np.clip(scores, -_MAX_SCORE, _MAX_SCORE)
    proba -= proba.max(axis=1, keepdims=True)
    np.exp(proba, out=proba)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba


def log_softmax(scores: Floats) -> Floats:
    """Return rows of log-probabilities for rows of scores, without ever taking the log of 0."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


class Calibration(NamedTuple):
    """How scores become probabilities: softmax of their multiples, and a doubt that stays.

    Attributes
    ----------
    sharpness : float
        The factor on scores before softmax.
    doubt : float
        The share of each row's probability that is spread evenly over all topics, as some documents
        are not what any score says, such as those with a wrong topic.
    """

    sharpness: float
    doubt: float = 0.0

    def proba(self, scores: Floats) -> Floats:
        """Return rows of probabilities; the largest is that of the largest score."""
        proba = softmax(scores * np.float32(self.sharpness))
        if self.doubt:
            proba *= np.float32(1 - self.doubt)
            proba += np.float32(self.doubt / proba.shape[1])
        return proba


def best_calibration(scores: Floats, y: Labels, weights: Floats | None = None) -> Calibration:
    """Return the sharpness and the doubt for which rows have the lowest mean log loss.

    If rows are few, their log loss says little: usual values of both count as much as one row.

    Arguments as those of `best_sharpness`.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks, for the
    sharpness. The doubt is the noise of a "robust" multinomial model, as in Gelman et al. (2013),
    Bayesian data analysis, 17.2.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    own = np.arange(len(y)), y

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        log_sharpness, log_odds = parameters
        doubt = _MOST_DOUBT * expit(log_odds)
        prior = np.square((parameters - np.array(_USUAL)) / _SPREADS).sum() / 2
        right = softmax(scores * np.float32(np.exp(np.clip(log_sharpness, *_LOG_BOUNDS))))[own]
        proba = (1 - doubt) * right.astype(np.float64) + doubt / scores.shape[1]
        losses = -np.log(np.maximum(proba, _TINY))
        return float(np.average(losses, weights=weights) + prior / len(y))

    options = {"xatol": 1e-2, "fatol": 1e-5, "maxiter": 100}
    found = minimize(loss, _USUAL, method="Nelder-Mead", options=options).x
    sharpness = float(np.exp(np.clip(found[0], *_LOG_BOUNDS)))
    return Calibration(sharpness, float(_MOST_DOUBT * expit(found[1])))


def best_sharpness(scores: Floats, y: Labels, weights: Floats | None = None) -> float:
    """Return the sharpness, between 1/7 and 55, for which rows have the lowest mean log loss.

    Sharpness is the factor on scores before softmax. Log loss is -log of the probability of the
    right topic.

    Parameters
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        Scores of rows that were not learned from.
    y : int array, shape (n_rows,)
    weights : float32 array, shape (n_rows,), optional
        Weight of each row's loss; equal by default.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks: temperature
    scaling, in which sharpness is the inverse of the temperature.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_sharpness: float) -> float:
        log_proba = log_softmax(scores * np.float32(np.exp(log_sharpness)))
        return -float(np.average(log_proba[np.arange(len(y)), y], weights=weights))

    found = minimize_scalar(loss, bounds=_LOG_BOUNDS, method="bounded", options={"xatol": 1e-2})
    return float(np.exp(found.x))
