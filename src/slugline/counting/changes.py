"""Tests of changes between groups of texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from slugline.base.arrays import F64
from slugline.counting.estimation import ShareEstimate
from slugline.counting.labelled import MIN_LABELLED
from slugline.counting.results import Basis, Change, GroupCount, TopicCount
from slugline.evaluation.intervals import Z_95, Interval, adjust_holm

# Degrees of freedom for differences between groups counted from labels. In simulated years with
# constant shares of six topics and 200 labels per month, the normal distribution found a false
# change in 11 % of the years; the t-distribution with these degrees of freedom, in 3 %.
_LABEL_DEGREES = 2 * (MIN_LABELLED - 1)
#: Minimum number of periods for estimating the variation between consecutive periods.
MIN_PERIODS = 4


class _Comparison(NamedTuple):
    """Indices of the groups to compare; `is_lasting` if they split all periods in two."""

    before: range
    after: range
    is_lasting: bool = False


def _choose_comparisons(n_groups: int, *, is_time: bool) -> Iterator[_Comparison]:
    for place in range(1, n_groups):
        first = place - 1 if is_time else 0
        yield _Comparison(range(first, first + 1), range(place, place + 1))
        if is_time and n_groups > 2:
            yield _Comparison(range(place), range(place, n_groups), is_lasting=True)


def find_changes(
    groups: Sequence[GroupCount],
    estimates: Sequence[Sequence[ShareEstimate]],
    *,
    is_time: bool,
    has_labels: bool = False,
) -> list[Change]:
    """Test differences in shares between consecutive periods, and before and after each period.

    Groups other than periods are each compared with the first one. A comparison uses labels if all
    its groups do, and the model otherwise. If the other consecutive periods differ by more than
    chance, the standard errors are scaled up accordingly.

    Parameters
    ----------
    groups : sequence of GroupCount
    estimates : sequence of sequences of ShareEstimate
        Estimates of each group: one, or one per topic of a multi-label model; empty if the model
        has no held-out documents.
    is_time : bool
        True if the groups are periods.
    has_labels : bool, default False
        True if some texts have labels; changes then report their basis.

    Returns
    -------
    list of Change, smallest p-value first
    """
    differences = [
        difference
        for comparison in _choose_comparisons(len(groups), is_time=is_time)
        for difference in _compare(comparison, groups, estimates)
    ]
    # Sort by z, because the p-values may underflow.
    differences.sort(key=lambda each: -abs(each.z))
    dispersions = [_CHANCE] * len(groups)
    if is_time and len(groups) >= MIN_PERIODS:
        steps = [each for each in differences if not each.comparison.is_lasting]
        dispersions = [_Dispersion.around(place, steps) for place in range(len(groups))]
    tested = [
        each.to_change(
            groups, dispersions[each.comparison.after[0]], is_time=is_time, has_labels=has_labels
        )
        for each in differences
    ]
    adjusted = adjust_holm([change.p_value for change in tested])
    changes = [change._replace(p_value=p) for change, p in zip(tested, adjusted, strict=True)]
    return sorted(changes, key=lambda change: change.p_value)


class _Dispersion(NamedTuple):
    """Factor by which to scale standard errors, and its degrees of freedom."""

    factor: float
    degrees: float

    @classmethod
    def around(cls, place: int, steps: Sequence[_Difference]) -> _Dispersion:
        """Estimate it from consecutive differences, except the ones being tested, at `place`.

        References
        ----------
        McCullagh and Nelder (1989), Generalized linear models, section 4.5.
        von Neumann, Kent, Bellinson and Hart (1941), The mean square successive difference.
        """
        squares = [step.z**2 for step in steps if step.comparison.after[0] != place]
        n_topics = len({step.topic for step in steps})
        if n_topics < 2 or not squares:
            return _CHANCE
        mean = float(np.mean(squares))
        if mean <= 1:
            return _CHANCE
        # Neighbouring differences share a period, which leaves two thirds of the degrees of
        # freedom. Shares sum to one, so one topic adds none.
        degrees = 2 / 3 * len(squares) * (n_topics - 1) / n_topics
        return cls(math.sqrt(mean), degrees)


_CHANCE = _Dispersion(1.0, math.inf)


class _Difference(NamedTuple):
    """Difference in a topic's share between the two sides of a comparison."""

    comparison: _Comparison
    topic: str
    value: float
    standard_error: float
    by_labels: bool

    @property
    def z(self) -> float:
        """Difference in units of its standard error."""
        return self.value / max(self.standard_error, 1e-12)

    def to_change(
        self,
        groups: Sequence[GroupCount],
        dispersion: _Dispersion,
        *,
        is_time: bool,
        has_labels: bool,
    ) -> Change:
        """Return the change, tested with the standard error times the dispersion."""
        # The standard errors of label-based shares come from few labels.
        degrees = min(dispersion.degrees, _LABEL_DEGREES if self.by_labels else math.inf)
        margin = float(stdtrit(degrees, 0.975)) * dispersion.factor * self.standard_error
        basis: Basis = "by labels" if self.by_labels else "by the model" if has_labels else ""
        return Change(
            self.topic,
            groups[self.comparison.before[-1]].name,
            groups[self.comparison.after[0]].name,
            self.value,
            Interval(max(self.value - margin, -1.0), min(self.value + margin, 1.0)),
            2 * float(stdtr(degrees, -abs(self.z) / dispersion.factor)),
            basis,
            is_time,
            self.comparison.is_lasting,
        )


def _compare(
    comparison: _Comparison,
    groups: Sequence[GroupCount],
    estimates: Sequence[Sequence[ShareEstimate]],
) -> Iterator[_Difference]:
    """Yield the difference of each topic; none if a group has neither labels nor estimates."""
    places = (*comparison.before, *comparison.after)
    before, after = ([groups[place] for place in side] for side in comparison[:2])
    if not any(groups[place].is_by_model for place in places):
        for topic, value, error in _labelled_differences(before, after):
            yield _Difference(comparison, topic, value, error, by_labels=True)
    elif all(estimates[place] for place in places):
        # Topics unknown to the model come last and are not tested.
        names = [topic.topic for topic in after[0].topics]
        sides = ([estimates[place] for place in side] for side in comparison[:2])
        values, errors = _differences(*sides)
        for topic, value, error in zip(names, values.tolist(), errors.tolist(), strict=False):
            yield _Difference(comparison, topic, value, error, by_labels=False)


def _labelled_differences(
    before: Sequence[GroupCount], after: Sequence[GroupCount]
) -> Iterator[tuple[str, float, float]]:
    """Yield each topic common to all groups, its difference in share, and the standard error."""
    common = set.intersection(
        *({topic.topic for topic in group.topics} for group in (*before, *after))
    )
    for topic in after[0].topics:
        if topic.topic in common:
            old_share, old_error = _labelled_mean(before, topic.topic)
            share, error = _labelled_mean(after, topic.topic)
            yield topic.topic, share - old_share, math.hypot(error, old_error)


def _labelled_mean(groups: Sequence[GroupCount], topic: str) -> tuple[float, float]:
    """Return the pooled share of a topic in several groups, and its standard error."""
    fractions = _fractions([group.n_texts for group in groups])
    counts = [group.find(topic) for group in groups]
    shares = np.array([count.share for count in counts])
    errors = np.array([_labelled_error(count) for count in counts])
    return float(fractions @ shares), float(np.linalg.norm(fractions * errors))


def _fractions(n_texts: Sequence[int]) -> F64:
    """Return the fraction of texts in each group, shape (n_groups,)."""
    sizes = np.maximum(np.array(n_texts, dtype=np.float64), 1)
    fractions: F64 = sizes / sizes.sum()
    return fractions


def _labelled_error(count: TopicCount) -> float:
    """Return the standard error of a label-based share, including sampling error of the texts."""
    low, high = count.interval
    # Wilson's interval acts as if there were n + 1.96 ** 2 labels and a share closer to one half.
    # Without this factor, n / (n + 1.96 ** 2), tests with few labels find too many false changes.
    shrinkage = (low * high + (1 - low) * (1 - high)) / (count.share**2 + (1 - count.share) ** 2)
    center = (low + high) / 2
    sampling = center * (1 - center) / max(count.n_texts, 1)
    return math.sqrt(((high - low) / (2 * Z_95 * shrinkage)) ** 2 + sampling)


class _MeanEstimate:
    """Pooled shares of topics in several groups.

    Attributes
    ----------
    shares : float64 array, shape (n_topics,)
    errors : float64 array, shape (n_topics, n_sets)
        Simulated errors. A column uses the same held-out documents in all groups.
    sampling_variance : float64 array, shape (n_topics,)
    """

    def __init__(self, estimates: Sequence[ShareEstimate]) -> None:
        n_texts = [each.n_texts for each in estimates]
        fractions = _fractions(n_texts)
        self.shares = fractions @ np.array([each.shares for each in estimates])
        errors = np.array([each.simulated_near.errors for each in estimates])
        self.errors = np.tensordot(fractions, errors, axes=1)
        self.sampling_variance = _sampling_variance(self.shares, sum(n_texts))


def _differences(
    before: Sequence[Sequence[ShareEstimate]], after: Sequence[Sequence[ShareEstimate]]
) -> tuple[F64, F64]:
    """Return the differences in shares between groups, and their standard errors."""
    differences, errors = [], []
    for number in range(len(after[0])):
        old, new = (_MeanEstimate([each[number] for each in side]) for side in (before, after))
        # Both errors come from the same held-out documents and largely cancel out.
        variance = ((new.errors - old.errors) ** 2).mean(axis=1)
        variance += old.sampling_variance + new.sampling_variance
        # The second share of a binary estimate counts texts without the topic.
        n_topics = after[0][number].sample.n_model_topics
        differences.append((new.shares - old.shares)[:n_topics])
        errors.append(np.sqrt(variance)[:n_topics])
    return np.concatenate(differences), np.concatenate(errors)


def _sampling_variance(shares: F64, n_texts: int) -> F64:
    """Return the sampling variance of shares.

    One text with the topic and one without are added, so that it isn't zero if all or none of a
    few texts have the topic.

    References
    ----------
    Agresti and Caffo (2000), Simple and effective confidence intervals for proportions and
    differences of proportions.
    """
    n = max(n_texts, 1)
    smoothed = (n * shares + 1) / (n + 2)
    variance: F64 = smoothed * (1 - smoothed) / n
    return variance
