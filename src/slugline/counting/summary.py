"""Makes the results from what was summed over texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from slugline.counting.concerns import ModelCount, few_text_concerns
from slugline.counting.drift import find_drift
from slugline.counting.estimation import ShareEstimate, estimate_texts
from slugline.counting.group_counts import CountedTexts, GroupCounter
from slugline.counting.groups import sort_groups
from slugline.counting.labelled import MatchedLabels
from slugline.counting.labelled_concerns import few_label_concerns, labelled_concerns
from slugline.counting.options import CountOptions
from slugline.counting.results import Counts
from slugline.counting.shares import HeldoutSample
from slugline.counting.tally import GroupTally, Tally
from slugline.model.fitted import Fitted


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
        total, *others = self._estimated(
            [tally.total, *(tally.groups[name] for name in names)], on_interval
        )
        counts = self._counter.count_groups(
            name,
            total,
            dict(zip(names, others, strict=True)),
            column=column,
            is_time=is_time,
            topics=options.topics,
        )
        return replace(
            counts,
            concerns=tuple(self._concerns(counts)),
            n_bad=tally.n_bad,
            n_undated=tally.n_undated,
        ).restrict(options.topics)

    def _estimated(
        self, groups: Sequence[GroupTally], on_interval: Callable[[float], object] | None
    ) -> Iterator[CountedTexts]:
        """Yield the texts of groups, with estimates if the model has held-out predictions."""
        for number, group in enumerate(groups):
            estimates: Sequence[ShareEstimate] = []
            if self._samples:
                estimates = estimate_texts(
                    self._samples, group.rows, seed=self._options.seed, group=number
                )
            yield CountedTexts.from_rows(
                group.rows,
                ModelCount(
                    group.totals,
                    estimates,
                    find_drift(self._fitted.text_profile, group.texts.texts(), estimates),
                ),
                multilabel=self._fitted.multilabel,
            )
            if on_interval is not None:
                on_interval((number + 1) / len(groups))

    def _concerns(self, counts: Counts) -> Iterator[str]:
        """Yield reasons why the counts may be wrong; those by the model are among the counts'."""
        tally = self._tally
        period = None if tally.grouping is None else tally.grouping.period
        n_by_group = [group.n_texts for group in counts.groups]
        yield from few_text_concerns(len(tally.total), n_by_group, period or "group")
        yield from counts.concerns
        if self._options.labelled is not None:
            yield from labelled_concerns(
                self._options.labelled,
                self._labels,
                tally.labelled,
                tally.total.rows.sums / len(tally.total),
                self._topics,
                self._options.topics,
            )
            yield from few_label_concerns(counts.groups, period)
