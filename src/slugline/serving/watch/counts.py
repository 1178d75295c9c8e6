"""Counts the topics of served texts from their daily sums."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from slugline.base.files import PathLike
from slugline.base.wording import counted, join_words
from slugline.counting.concerns import CountedTexts
from slugline.counting.count import GroupCounter, model_samples, no_heldout_error
from slugline.counting.dates import PERIODS, Period, name_period
from slugline.counting.drift import find_drift
from slugline.counting.estimation import ShareEstimate, estimate_group, limit_sets
from slugline.counting.labelled import MIN_LABELLED, LabelledSample, MatchedLabels
from slugline.counting.results import Counts
from slugline.counting.shares import binary_proba
from slugline.errors import DataError, OptionError, Parameter
from slugline.model.fitted import Fitted
from slugline.serving.watch.day_sums import DaySums, utc_today
from slugline.serving.watch.kept_texts import KeptLabels, KeptTexts
from slugline.serving.watch.store import WatchedModel, WatchStore

# Maximum number of models listed in a message.
_MAX_NAMED = 3
# Minimum fraction of texts without a sample that triggers a warning.
_MIN_WITHOUT = 0.01


@dataclass(frozen=True)
class DayCountOptions:
    """Options for counting served texts.

    Attributes
    ----------
    since : date, optional
    until : date
        First and last day; by default, all days.
    by : {"day", "week", "month", "quarter", "year"}, optional
        Also count each period.
    labelled : LabelledSample, optional
        Labels of kept texts.
    topics : sequence of str, optional
        Topics to show; by default, all.
    seed : int, default 0
    today : date, optional
        Today in UTC, for the warning about an unfinished period; by default, the current day.
    """

    since: datetime.date | None = None
    until: datetime.date = datetime.date.max
    by: Period | None = None
    labelled: LabelledSample | None = None
    topics: Sequence[str] = ()
    seed: int = 0
    today: datetime.date | None = None


def check_no_text_options(values: Mapping[str, object]) -> None:
    """Raise OptionError if an option that requires texts is set. Keys are option names."""
    for name, value in values.items():
        if value is not None:
            raise OptionError(
                Parameter(name), " requires texts, but daily sums contain none; remove it."
            )


def read_period(by: str) -> Period:
    """Return the period to count daily sums by; OptionError if unknown."""
    period = next((each for each in PERIODS if each == by), None)
    if period is None:
        raise OptionError(
            Parameter("by"),
            f" {by!r} is not a period, and daily sums have no columns; use "
            f"{join_words(PERIODS, last='or')}.",
        )
    return period


def count_days(
    path: PathLike,
    fitted: Fitted,
    model: WatchedModel,
    options: DayCountOptions = DayCountOptions(),
) -> Counts:
    """Count the topics of the texts that a server answered.

    Includes the texts of all versions of the model. The counts are based on this version's held-out
    predictions, or on labels of kept texts.

    Parameters
    ----------
    path : str or Path
        File of daily sums.
    fitted : Fitted
    model : WatchedModel
        The version of `fitted`.
    options : DayCountOptions

    Raises
    ------
    DataError : if the model has no held-out predictions and there are no labels, if it has answered
        no texts, or if no label matches a kept text.
    StoreError : if the file can't be read.
    """
    with WatchStore(path, is_read_only=True) as store:
        return count_store(store, fitted, model, options)


def count_store(
    store: WatchStore, fitted: Fitted, model: WatchedModel, options: DayCountOptions
) -> Counts:
    """Count the texts in an open file; see `count_days`."""
    return _DayCounter(store, fitted, model, options).counts()


class _DayCounter:
    """Computes counts from the daily sums of all versions of a model."""

    def __init__(
        self, store: WatchStore, fitted: Fitted, model: WatchedModel, options: DayCountOptions
    ) -> None:
        self._fitted, self._options, self._path = fitted, options, store.path
        self._samples = model_samples(fitted)
        if not self._samples and options.labelled is None:
            raise no_heldout_error()
        since = options.since or datetime.date.min
        digest = store.find_version(model)
        if digest is None:
            raise _other_models_error(store, model)
        self._total = DaySums(len(fitted.topics), fitted.multilabel)
        # In order; empty without `by`.
        self._periods = dict[str, DaySums]()
        for day, sums in store.iter_days(digest, since, options.until):
            if not sums.n_texts:
                continue
            self._total.add(sums)
            if options.by is not None:
                period = name_period(day, options.by)
                if period not in self._periods:
                    self._periods[period] = DaySums(len(fitted.topics), fitted.multilabel)
                self._periods[period].add(sums)
        if not self._total.n_texts:
            raise DataError(f"{store.path} contains no texts{_since(options)}.")
        # Number of texts answered by versions other than the model file's.
        self._n_by_others = self._total.n_texts - store.count_texts(
            model.digest, since, options.until
        )
        # Number of texts answered while no texts were kept.
        self._n_without = 0
        self._labels = MatchedLabels.from_texts(None, {}, len(fitted.topics))
        if options.labelled is not None:
            kept = KeptTexts.read(store, digest, since)
            self._n_without = kept.n_without
            labelled = _match_labels(store, kept, fitted, options.labelled, options)
            self._labels = labelled.labels_by(options.by)
        self._counter = GroupCounter(fitted, self._samples, options.labelled, self._labels)

    def counts(self) -> Counts:
        """Return the counts."""
        counts = self._counter.count_groups(
            str(self._path),
            self._counted(self._total),
            {
                period: self._counted(sums, number)
                for number, (period, sums) in enumerate(self._periods.items(), 1)
            },
            period=self._options.by,
            topics=self._options.topics,
        )
        return replace(counts, concerns=(*counts.concerns, *self._concerns(counts)))

    def _counted(self, sums: DaySums, group: int = 0) -> CountedTexts:
        estimates = self._estimate(sums, group)
        drift = find_drift(None, (), estimates)
        return CountedTexts(sums.sums, sums.answers, sums.totals, estimates, drift)

    def _estimate(self, sums: DaySums, group: int) -> list[ShareEstimate]:
        """Return one estimate for a single-label model, or one per topic for a multi-label model.

        Empty if the model has no held-out documents.
        """
        if not self._samples:
            return []
        estimate = functools.partial(
            estimate_group, seed=self._options.seed, n_sets=limit_sets(self._samples), group=group
        )
        if not sums.multilabel:
            rows, weights = sums.rows()
            shares = estimate(self._samples[0], rows, weights)
            if sums.has_mixed_bins:
                # Means over such a bin don't show the model's confidence in each text.
                shares = replace(shares, confidence=None)
            return [shares]
        estimates = []
        for topic, sample in enumerate(self._samples):
            rows, weights = sums.rows(topic)
            proba = binary_proba(rows[:, 0], sample.low_proba)
            estimates.append(estimate(sample, proba, weights))
        return estimates

    def _concerns(self, counts: Counts) -> Iterator[str]:
        """Yield warnings about the days and versions of the model that were counted."""
        groups, n_texts, period = counts.groups, self._total.n_texts, self._options.by
        today = self._options.today or utc_today()
        if period is not None and groups and groups[-1].name == name_period(today, period):
            yield f"{groups[-1].name} is not over; it contains the texts answered so far."
        if self._n_without >= _MIN_WITHOUT * n_texts:
            yield (
                f"{self._n_without:,} of {n_texts:,} texts are from times without kept texts, or "
                "their samples are deleted, so the labels don't cover them. Count from a later "
                "day."
            )
        if self._n_by_others and len(self._labels) < MIN_LABELLED:
            yield (
                f"Other versions of the model answered {self._n_by_others:,} of {n_texts:,} "
                "texts; these counts assume that they make the same errors as this one."
            )


def _match_labels(
    store: WatchStore,
    kept: KeptTexts,
    fitted: Fitted,
    sample: LabelledSample,
    options: DayCountOptions,
) -> KeptLabels:
    """Match labels to kept texts; DataError if none match."""
    if not kept.texts:
        raise DataError(
            f"{store.path} contains no texts{_since(options)} to match labels to; start the server "
            "with --keep-texts."
        )
    labelled = KeptLabels.match(sample, kept.texts, fitted)
    if not len(labelled.labels):
        raise DataError(
            f"none of the {counted(len(sample), 'labelled text')} in {sample.name} is among the "
            f"{len(kept.texts):,} texts kept in {store.path}{_since(options)}; label the output of "
            "`slugline sample`."
        )
    return labelled


def _since(options: DayCountOptions) -> str:
    return "" if options.since is None else f" since {options.since}"


def _other_models_error(store: WatchStore, model: WatchedModel) -> DataError:
    """Return the error for a file without texts from any version of the model."""
    names = join_words([f"{each.name} {each.digest}" for each in store.models()], _MAX_NAMED)
    return DataError(
        f"{store.path} contains no texts answered by version {model.digest} of {model.name}, or "
        f"another version with its topics. It contains texts of {names or 'no model'}; use that "
        "model's file."
    )
