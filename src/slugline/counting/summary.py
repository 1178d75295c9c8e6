"""Makes the results from what was summed over texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from slugline.counting.changes import find_changes
from slugline.counting.concerns import few_text_concerns
from slugline.counting.estimation import ShareEstimate, estimate_texts
from slugline.counting.group_counts import CountedTexts, GroupCounter
from slugline.counting.groups import sort_groups
from slugline.counting.labelled import MatchedLabels
from slugline.counting.labelled_concerns import few_label_concerns, labelled_concerns
from slugline.counting.model_concerns import ModelCount
from slugline.counting.options import CountOptions
from slugline.counting.results import Counts, GroupCount
from slugline.counting.shares import HeldoutSample
from slugline.counting.tally import GroupTally, Tally
from slugline.model.fitted import Fitted

#: The estimates of a group by the model; see `estimate_texts`.
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
        tally, grouping, options = self._tally, self._tally.grouping, self._options
        is_time = grouping is not None and grouping.period is not None
        names = sorted(tally.groups) if is_time else sort_groups(tally.groups)
        column = None if grouping is None else grouping.period or grouping.column
        self._counter.check_labels()
        total, *others = self._estimates(
            [tally.total, *(tally.groups[name] for name in names)], on_interval
        )
        estimates = dict(zip(names, others, strict=True))
        all_texts = self._count_group("", tally.total, total)
        groups = tuple(
            self._count_group(name, tally.groups[name], estimates[name]) for name in names
        )
        model_concerns = self._counter.model_concerns(
            ModelCount(tally.total.totals, total),
            {name: ModelCount(tally.groups[name].totals, estimates[name]) for name in names},
            groups,
        )
        tested = model_concerns.choose_tested(groups)
        return Counts(
            name=name,
            total=all_texts,
            groups=groups,
            column=column,
            is_time=is_time,
            changes=tuple(
                find_changes(
                    tested,
                    [estimates[group.name] for group in tested],
                    is_time=is_time,
                    has_labels=options.labelled is not None,
                )
            ),
            concerns=tuple(self._concerns(groups, model_concerns)),
            n_bad=tally.n_bad,
            n_undated=tally.n_undated,
            n_labelled=len(self._labels),
            plan=None
            if options.plan is None
            else self._counter.plan_labels(
                options.plan,
                all_texts.restrict(options.topics),
                groups,
                [total, *others],
                column=column or "",
            ),
            multilabel=self._fitted.multilabel,
        ).restrict(options.topics)

    def _count_group(self, name: str, group: GroupTally, estimates: Estimates) -> GroupCount:
        texts = CountedTexts.from_rows(group.rows, multilabel=self._fitted.multilabel)
        return self._counter.count(name, texts, estimates)

    def _estimates(
        self, groups: Sequence[GroupTally], on_interval: Callable[[float], object] | None
    ) -> Iterator[Estimates]:
        """Yield the estimates of groups by the model; none if it has no held-out predictions."""
        for i, group in enumerate(groups, 1):
            if self._samples:
                yield estimate_texts(self._samples, group.rows, seed=self._options.seed)
            else:
                yield []
            if on_interval is not None:
                on_interval(i / len(groups))

    def _concerns(
        self, groups: Sequence[GroupCount], model_concerns: Iterable[str]
    ) -> Iterator[str]:
        tally = self._tally
        period = None if tally.grouping is None else tally.grouping.period
        n_by_group = [group.n_texts for group in groups]
        yield from few_text_concerns(len(tally.total), n_by_group, period or "group")
        yield from model_concerns
        if self._options.labelled is not None:
            yield from labelled_concerns(
                self._options.labelled,
                self._labels,
                tally.labelled,
                tally.total.rows.sums / len(tally.total),
                self._topics,
            )
            yield from few_label_concerns(groups, period)
