"""Tests of changes between groups of texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.special import stdtr

from slugline.base.arrays import F64
from slugline.counting.estimation import ShareEstimate
from slugline.counting.labelled import MIN_LABELLED
from slugline.counting.results import Basis, Change, GroupCount, TopicCount
from slugline.evaluation.intervals import Z_95, Interval

# Degrees of freedom of differences between groups of which each has enough labels. With the normal
# distribution, 11 % of simulated years of 12 months with 200 labels each, whose shares were the
# same, had a change of one of six topics; with these, 3 %.
_DEGREES_OF_FREEDOM = 2 * (MIN_LABELLED - 1)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.

    >>> adjust_holm([0.01, 0.5, 0.04])
    [0.03, 0.5, 0.08]
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for place, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        least = min(1.0, max(least, (len(p_values) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted


def find_changes(
    groups: Sequence[GroupCount],
    estimates: Sequence[Sequence[ShareEstimate]],
    *,
    is_time: bool,
    has_labels: bool = False,
) -> list[Change]:
    """Test how shares differ: between consecutive periods, and between the first and the last one.

    Other groups are each compared with the first one. A comparison uses labels if both of its
    groups do, and the model otherwise.

    Parameters
    ----------
    groups : sequence of GroupCount
    estimates : sequence of sequences of ShareEstimate
        One for each group; for a multilabel model, several, one for each topic; empty if the model
        has no held-out documents.
    is_time : bool
        Whether groups are periods.
    has_labels : bool, default False
        Whether some texts have labels, so that each change says what it is based on.

    Returns
    -------
    list of Change, the smallest p-value first
    """
    places = range(len(groups))
    pairs = [*pairwise(places)] if is_time else [(0, place) for place in places[1:]]
    if is_time and len(groups) > 2:
        pairs.append((0, len(groups) - 1))
    tested: list[Change] = []
    for i, j in pairs:
        before, after = groups[i], groups[j]
        if not before.is_by_model and not after.is_by_model:
            differences = _labelled_differences(before, after)
            basis: Basis = "by labels"
        elif estimates[i] and estimates[j]:
            # Topics that only labels have come last, and are not tested.
            names = [topic.topic for topic in after.topics]
            values, errors = _differences(estimates[i], estimates[j])
            differences = [*zip(names, values.tolist(), errors.tolist(), strict=False)]
            basis = "by the model" if has_labels else ""
        else:
            continue
        for topic, difference, error in differences:
            margin = Z_95 * error
            tested.append(
                Change(
                    topic,
                    before.name,
                    after.name,
                    difference,
                    Interval(max(difference - margin, -1.0), min(difference + margin, 1.0)),
                    _p_value(abs(difference) / max(error, 1e-12), by_labels=basis == "by labels"),
                    basis,
                    is_time,
                )
            )
    adjusted = adjust_holm([change.p_value for change in tested])
    changes = [change._replace(p_value=p) for change, p in zip(tested, adjusted, strict=True)]
    return sorted(changes, key=lambda change: change.p_value)


def _p_value(z: float, *, by_labels: bool) -> float:
    """Return the probability of a larger difference by chance, in standard errors.

    The standard errors of labels are estimated from few of them.
    """
    return 2 * float(stdtr(_DEGREES_OF_FREEDOM, -z)) if by_labels else math.erfc(z / math.sqrt(2))


def _labelled_differences(before: GroupCount, after: GroupCount) -> list[tuple[str, float, float]]:
    """Return each topic of both groups, the difference of its shares, and its standard error."""
    old = {topic.topic: topic for topic in before.topics}
    return [
        (
            new.topic,
            new.share - old[new.topic].share,
            math.hypot(_labelled_error(new), _labelled_error(old[new.topic])),
        )
        for new in after.topics
        if new.topic in old
    ]


def _labelled_error(count: TopicCount) -> float:
    """Return the standard error of a share by labels, with the sampling error of the texts."""
    low, high = count.interval
    # Wilson's interval is that of n + 1.96 ** 2 labels with a share nearer one half, where shares
    # near 0 have room. Without this factor, n / (n + 1.96 ** 2), changes by chance are found too
    # often with few labels.
    shrinkage = (low * high + (1 - low) * (1 - high)) / (count.share**2 + (1 - count.share) ** 2)
    center = (low + high) / 2
    sampling = center * (1 - center) / max(count.n_texts, 1)
    return math.sqrt(((high - low) / (2 * Z_95 * shrinkage)) ** 2 + sampling)


def _differences(
    before: Sequence[ShareEstimate], after: Sequence[ShareEstimate]
) -> tuple[F64, F64]:
    """Return the differences of shares, and their standard errors."""
    differences, errors = [], []
    for old, new in zip(before, after, strict=True):
        # Both errors are of the same held-out documents, so that much of them cancels out.
        common = new.simulated.errors - old.simulated.errors
        variance = (common**2).mean(axis=1) + _sampling_variance(old) + _sampling_variance(new)
        # The second share of a binary estimate is of texts without the topic.
        differences.append((new.shares - old.shares)[: new.sample.n_model_topics])
        errors.append(np.sqrt(variance)[: new.sample.n_model_topics])
    return np.concatenate(differences), np.concatenate(errors)


def _sampling_variance(estimate: ShareEstimate) -> F64:
    """Return the variance of shares by the chance of which texts were written.

    One text with the topic and one without are added: of few texts, all or none may have it.

    References
    ----------
    Agresti and Caffo (2000), Simple and effective confidence intervals for proportions and
    differences of proportions.
    """
    n = max(estimate.n_texts, 1)
    smoothed = (n * estimate.shares + 1) / (n + 2)
    variance: F64 = smoothed * (1 - smoothed) / n
    return variance
