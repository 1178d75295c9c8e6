"""The lowest probability from which on answers are right as often as asked, as far as data tell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, Floats, Integers, Mask

__all__ = ["CONFIDENCE", "Reach", "best_precision", "lowest_threshold"]


#: How often a threshold keeps its promise, at least, over sets of documents to choose it by.
CONFIDENCE = 0.9
# Thresholds that are looked at, and from how many of them the search goes down: one that starts
# with the highest alone ends at its few answers if one of these has a wrong topic. Chosen on
# training splits of 21 sets, from 5 labels a topic to all.
_N_LEVELS, _N_STARTS = 100, 5
# Precisions that are tried to find the highest that can be promised; nobody asks for lower ones.
_STEPS = np.concatenate([[0.999, 0.995], np.arange(99, 49, -1) / 100])


class Reach(NamedTuple):
    """What can be promised.

    Attributes
    ----------
    precision : float
        0 if not even 0.5 can.
    coverage : float
        Share of the answers that reach the threshold for it.
    """

    precision: float
    coverage: float


def lowest_threshold(probabilities: Floats, right: Mask, precision: float) -> float:
    """Return the probability from which on answers are right so often, with 90 % confidence.

    Going down from five thresholds, it takes in more and more answers while so many right ones
    among them would be rare, were the precision lower than asked: a binomial test, which is the
    lower Clopper-Pearson bound turned round. Each of the five ways has a fifth of the risk.

    Parameters
    ----------
    probabilities : float array, shape (n_answers,)
        Of answers to documents that were not learned from.
    right : bool array, shape (n_answers,)
        Which of them are right.
    precision : float, over 0 and under 1

    Returns
    -------
    float; infinite if no threshold passes.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan and Lei (2021), Learn then test: fixed-sequence testing with
    several starts. Clopper and Pearson (1934), The use of confidence or fiducial limits.
    """
    n, n_right, thresholds = _levels(probabilities, right)
    risk = (1 - CONFIDENCE) / _N_STARTS
    # With fewer answers, not even all of them right would pass.
    enough = n >= np.log(risk) / np.log(precision)
    n, n_right, thresholds = n[enough], n_right[enough], thresholds[enough]
    if not len(n):
        return np.inf
    some = np.unique(np.linspace(0, len(n) - 1, _N_LEVELS).astype(int))
    passes = _chance(n_right[some], n[some], precision) <= risk
    starts = len(some) * np.arange(_N_STARTS) // _N_STARTS
    lengths = [_run_length(passes[start:]) for start in starts.tolist()]
    ends = [start + length for start, length in zip(starts, lengths, strict=True) if length]
    return float(thresholds[some[max(ends) - 1]]) if ends else np.inf


def best_precision(probabilities: Floats, right: Mask) -> Reach:
    """Return the highest precision that can be promised, and for how many of the answers."""
    for precision in _STEPS.tolist():
        threshold = lowest_threshold(probabilities, right, precision)
        if threshold < np.inf:
            return Reach(precision, float((probabilities >= threshold).mean()))
    return Reach(0.0, 0.0)


def _levels(probabilities: Floats, right: Mask) -> tuple[Integers, Integers, Floats]:
    """Return how many answers reach each probability that occurs, and how many of them are right.

    Answers of the same probability come all or none.
    """
    order = np.argsort(-probabilities, kind="stable")
    values = probabilities[order]
    differs = np.append(values[1:] != values[:-1], True)[: len(values)]
    last = np.flatnonzero(differs)
    return last + 1, np.cumsum(right[order], dtype=np.int64)[last], values[last]


def _chance(n_right: Integers, n: Integers, precision: float) -> F64:
    """Return how probable so many right answers or more are, if each is right so often."""
    from scipy.special import bdtrc

    found: F64 = bdtrc(np.maximum(n_right - 1, 0), n, precision)
    return np.where(n_right > 0, found, 1.0)


def _run_length(passes: Mask) -> int:
    """Return how many pass before the first that does not."""
    return len(passes) if passes.all() else int(passes.argmin())
