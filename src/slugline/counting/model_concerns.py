"""Reasons why counts by a model may be wrong, for all texts and for groups of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.counting.concerns import (
    FEW_TEXTS,
    TextTotals,
    confidence_concerns,
    drift_concerns,
    find_unknown_groups,
    group_drift_concerns,
    group_shift_concerns,
    group_text_concerns,
    group_unsure_concerns,
    heldout_concerns,
    shift_concerns,
    text_concerns,
    unsure_concerns,
)
from slugline.counting.drift import Drift
from slugline.counting.estimation import ShareEstimate
from slugline.counting.results import GroupCount
from slugline.counting.shares import HeldoutSample
from slugline.text.features import UnknownWordRate


class ModelCount(NamedTuple):
    """Data for counts by the model.

    Attributes
    ----------
    totals : TextTotals
    estimates : sequence of ShareEstimate
        One, or one for each topic of a multilabel model; empty if the model has no held-out
        documents.
    drift : Drift or None
        Result of the tests against training documents; None if not tested.
    """

    totals: TextTotals = TextTotals()
    estimates: Sequence[ShareEstimate] = ()
    drift: Drift | None = None


class ModelConcerns:
    """Finds reasons why counts by a model may be wrong. Counts by labels have none of these.

    Parameters
    ----------
    samples : sequence of HeldoutSample
        See `heldout_samples`; empty if the model has no held-out documents.
    topics : sequence of str
    usual : UnknownWordRate or None
    multilabel : bool
    total : ModelCount or None
        Model-based count of all texts; None if counted from labels.
    groups : mapping of str to ModelCount
        Model-based counts of the groups that aren't counted from labels.
    """

    def __init__(
        self,
        samples: Sequence[HeldoutSample],
        topics: Sequence[str],
        usual: UnknownWordRate | None,
        *,
        multilabel: bool,
        total: ModelCount | None,
        groups: Mapping[str, ModelCount],
    ) -> None:
        self._samples, self._topics, self._usual = samples, topics, usual
        self._multilabel = multilabel
        self._total = total or ModelCount()
        self._group_totals = {name: each.totals for name, each in groups.items()}
        self._unknown = find_unknown_groups(self._group_totals, usual)
        self._estimates = {
            name: each.estimates for name, each in groups.items() if name not in self._unknown
        }
        self._drifts = {
            name: each.drift
            for name, each in groups.items()
            if name not in self._unknown and each.drift is not None
        }

    def choose_tested(self, groups: Sequence[GroupCount]) -> list[GroupCount]:
        """Return the groups with reliable counts, whose changes are tested.

        Groups of few texts are left out, since the tests assume normal differences.
        """
        return [
            group
            for group in groups
            if group.is_estimated and group.name not in self._unknown and group.n_texts >= FEW_TEXTS
        ]

    def __iter__(self) -> Iterator[str]:
        """Yield the reasons as sentences."""
        totals, estimates = self._total.totals, self._total.estimates
        yield from text_concerns(totals, self._usual)
        yield from group_text_concerns(self._group_totals, totals, self._usual)
        yield from drift_concerns(self._total.drift)
        yield from group_drift_concerns(self._drifts)
        if self._total.drift is None and not self._drifts:
            yield from self._answer_concerns()
        if self._samples and (estimates or self._estimates):
            yield from heldout_concerns(self._samples, self._topics)

    def _answer_concerns(self) -> Iterator[str]:
        """Yield the reasons found from answers alone, if texts can't be compared."""
        if self._samples and not self._multilabel:
            yield from self._unsure_concerns(self._samples[0])
        yield from shift_concerns(self._total.estimates, self._topics)
        yield from group_shift_concerns(self._estimates, self._total.estimates)

    def _unsure_concerns(self, sample: HeldoutSample) -> Iterator[str]:
        totals, shares = self._total.totals, np.zeros(sample.n_topics)
        if self._total.estimates:
            [estimate] = self._total.estimates
            shares = estimate.shares
            yield from [*unsure_concerns(totals, sample, shares)] or confidence_concerns(estimate)
        yield from group_unsure_concerns(
            self._group_totals,
            sample,
            {name: each[0].shares for name, each in self._estimates.items()},
            total=totals,
            total_shares=shares,
        )
