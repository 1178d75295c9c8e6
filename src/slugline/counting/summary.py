"""Makes the results from what was summed over texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from slugline.counting.changes import find_changes
from slugline.counting.concerns import (
    FEW_TEXTS,
    TextTotals,
    confidence_concerns,
    few_text_concerns,
    find_unknown_groups,
    group_shift_concerns,
    group_text_concerns,
    group_unsure_concerns,
    heldout_concerns,
    shift_concerns,
    text_concerns,
    unsure_concerns,
)
from slugline.counting.estimation import ShareEstimate, estimate_groups
from slugline.counting.group_counts import CountedTexts, GroupCounter
from slugline.counting.groups import sort_groups
from slugline.counting.label_plan import PlannedGroup, plan_labels
from slugline.counting.labelled import MIN_LABELLED, MatchedLabels
from slugline.counting.labelled_concerns import few_label_concerns, labelled_concerns
from slugline.counting.options import CountOptions
from slugline.counting.results import Counts, GroupCount, LabelPlan
from slugline.counting.shares import HeldoutSample
from slugline.counting.tally import GroupTally, Tally
from slugline.model.fitted import Fitted

#: The estimates of a group by the model; see `estimate_groups`.
Estimates = Sequence[ShareEstimate]


class Summary:
    """Makes the results from what was summed over texts.

    Parameters
    ----------
    fitted : Fitted
    samples : list of HeldoutSample
        See `heldout_samples`; empty if the model has no held-out documents.
    tally : Tally
        With one text or more.
    options : CountOptions
    """

    def __init__(
        self, fitted: Fitted, samples: list[HeldoutSample], tally: Tally, options: CountOptions
    ) -> None:
        self._fitted, self._samples, self._tally = fitted, samples, tally
        self._options = options
        self._topics = [str(topic) for topic in fitted.topics.names]
        self._labels = MatchedLabels.from_texts(options.labelled, tally.labelled, len(self._topics))
        self._counter = GroupCounter(fitted, samples, options.labelled, self._labels)

    def counts(self, name: str, on_interval: Callable[[float], object] | None = None) -> Counts:
        """Return the results.

        Parameters
        ----------
        name : str
            The name of the texts' source.
        on_interval : callable, optional
            Called after the intervals of each group with the fraction of groups so far.

        Raises
        ------
        DataError : if there are too few labels, and the model has no held-out documents.
        """
        tally, grouping = self._tally, self._tally.grouping
        is_time = grouping is not None and grouping.period is not None
        names = sorted(tally.groups) if is_time else sort_groups(tally.groups)
        column = None if grouping is None else grouping.period or grouping.column
        self._counter.check_labels()
        total, *others = self._estimates(
            [tally.total, *(tally.groups[name] for name in names)], on_interval
        )
        estimates = dict(zip(names, others, strict=True))
        count = self._count_group("", tally.total, total)
        groups = tuple(
            self._count_group(name, tally.groups[name], estimates[name]) for name in names
        )
        tested = self._choose_tested(groups)
        return Counts(
            name=name,
            total=count,
            groups=groups,
            column=column,
            is_time=is_time,
            changes=tuple(
                find_changes(
                    tested,
                    [estimates[group.name] for group in tested],
                    is_time=is_time,
                    has_labels=self._options.labelled is not None,
                )
            ),
            concerns=tuple(self._concerns(total, groups, estimates)),
            n_bad=tally.n_bad,
            n_undated=tally.n_undated,
            n_labelled=len(self._labels),
            plan=self._plan(count, total, groups, estimates, column or ""),
            multilabel=self._fitted.multilabel,
        ).restrict(self._options.topics)

    def _count_group(self, name: str, group: GroupTally, estimates: Estimates) -> GroupCount:
        texts = CountedTexts.from_rows(group.rows, multilabel=self._fitted.multilabel)
        return self._counter.count(name, texts, estimates)

    def _estimates(
        self, groups: Sequence[GroupTally], on_interval: Callable[[float], object] | None
    ) -> Iterator[Estimates]:
        """Yield the estimates of groups by the model; none if it has no held-out predictions."""
        for i, group in enumerate(groups, 1):
            if self._samples:
                yield estimate_groups(self._samples, group.rows, seed=self._options.seed)
            else:
                yield []
            if on_interval is not None:
                on_interval(i / len(groups))

    def _choose_tested(self, groups: Sequence[GroupCount]) -> list[GroupCount]:
        """Return the groups whose changes are tested: those whose counts mean something.

        Groups of few texts are left out, as the tests take differences to be normal.
        """
        totals = {
            group.name: self._tally.groups[group.name].totals
            for group in groups
            if group.is_by_model
        }
        unknown = find_unknown_groups(totals, self._tally.usual_words)
        return [
            group
            for group in groups
            if group.is_estimated and group.name not in unknown and group.n_texts >= FEW_TEXTS
        ]

    def _plan(
        self,
        count: GroupCount,
        total: Estimates,
        groups: Sequence[GroupCount],
        estimates: Mapping[str, Estimates],
        column: str,
    ) -> LabelPlan | None:
        if self._options.plan is None:
            return None
        count = count.restrict(self._options.topics)
        return plan_labels(
            self._planned_group(count, total, count),
            [topic.topic for topic in count.topics],
            self._options.plan,
            groups=[self._planned_group(each, estimates[each.name], count) for each in groups],
            column=column,
            n_labelled=len(self._labels),
        )

    def _planned_group(
        self, group: GroupCount, estimates: Estimates, total: GroupCount
    ) -> PlannedGroup:
        explained = self._counter.explained_variance(estimates).tolist()
        return PlannedGroup.from_count(
            group, total, dict(zip(self._topics, explained, strict=True))
        )

    def _concerns(
        self, total: Estimates, groups: Sequence[GroupCount], estimates: Mapping[str, Estimates]
    ) -> Iterator[str]:
        tally, usual = self._tally, self._tally.usual_words
        # Counts by labels are right, whatever else has changed.
        is_by_model = len(self._labels) < MIN_LABELLED
        totals = tally.total.totals if is_by_model else TextTotals()
        group_totals = {
            group.name: tally.groups[group.name].totals for group in groups if group.is_by_model
        }
        unknown = find_unknown_groups(group_totals, usual)
        by_model = {name: estimates[name] for name in group_totals if name not in unknown}
        period = None if tally.grouping is None else tally.grouping.period
        n_by_group = [group.n_texts for group in groups]
        yield from few_text_concerns(len(tally.total), n_by_group, period or "group")
        yield from text_concerns(totals, usual)
        yield from group_text_concerns(group_totals, totals, usual)
        if self._options.labelled is not None:
            yield from labelled_concerns(
                self._options.labelled,
                self._labels,
                tally.labelled,
                tally.total.rows.sums / len(tally.total),
                self._topics,
            )
            yield from few_label_concerns(groups, period)
        if len(self._samples) == 1:
            sample, shares = self._samples[0], total[0].shares
            if is_by_model:
                unsure = [*unsure_concerns(totals, sample, shares)]
                yield from unsure or confidence_concerns(total[0])
            yield from group_unsure_concerns(
                group_totals,
                sample,
                {name: each[0].shares for name, each in by_model.items()},
                total=totals,
                total_shares=shares,
            )
        compared = total if is_by_model else []
        yield from shift_concerns(compared, self._topics)
        yield from group_shift_concerns(by_model, compared)
        if self._samples and (is_by_model or by_model):
            yield from heldout_concerns(self._samples, self._topics)
