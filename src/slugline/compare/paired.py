"""Whether one model is better than another on the same documents, or just had luck with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slugline.evaluation import wilson

__all__ = ["NAME", "Difference", "adjusted", "difference"]

#: What the test is called, and by whom it is.
NAME = "McNemar's exact test (1947), p-values adjusted by Holm (1979)"


@dataclass(frozen=True)
class Difference:
    """By how much a model's accuracy is above another's; below, if negative.

    Attributes
    ----------
    n_only_ours, n_only_theirs : int
        Documents that one model answered right and the other one wrong.
    accuracy : float
        The difference of the accuracies.
    interval : (float, float)
        Its 95 % interval.
    p_value : float
        How often documents would be shared out as unevenly as this, if each of them were as likely
        to be the one model's as the other's.
    """

    n_only_ours: int
    n_only_theirs: int
    accuracy: float
    interval: tuple[float, float]
    p_value: float


def difference(ours: Sequence[bool], theirs: Sequence[bool]) -> Difference:
    """Return the difference between two models' answers to the same documents.

    It rests on the documents that only one of them has right. The interval is Wilson's of the
    share of these that are ours. Neither allows for the chance in which documents there were to
    learn from.

    Parameters
    ----------
    ours, theirs : sequence of bool, one for each document
        Whether the answer is right.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions.
    """
    from scipy.stats import binomtest

    pairs = list(zip(ours, theirs, strict=True))
    n, n_ours, n_theirs = len(pairs), pairs.count((True, False)), pairs.count((False, True))
    n_apart = n_ours + n_theirs
    if not n_apart:
        return Difference(0, 0, 0.0, (0.0, 0.0), 1.0)
    low, high = ((2 * share - 1) * n_apart / n for share in wilson(n_ours, n_apart))
    p_value = float(binomtest(n_ours, n_apart).pvalue)
    return Difference(n_ours, n_theirs, (n_ours - n_theirs) / n, (low, high), p_value)


def adjusted(found: Mapping[str, Difference]) -> dict[str, Difference]:
    """Return differences with p-values that allow for how many were tested; intervals stay.

    The smallest of m p-values is multiplied by m, the next one by m - 1, and so on; none becomes
    smaller than the one before it, or larger than 1.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    made, least = dict(found), 0.0
    for place, name in enumerate(sorted(found, key=lambda name: found[name].p_value)):
        least = min(1.0, max(least, (len(found) - place) * found[name].p_value))
        made[name] = replace(found[name], p_value=least)
    return made
