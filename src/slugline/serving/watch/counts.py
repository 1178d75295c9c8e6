"""Counts the topics of texts that a server answered, from its daily sums."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from slugline.base.files import PathLike
from slugline.base.wording import join_words
from slugline.counting.changes import find_changes
from slugline.counting.concerns import heldout_concerns, shift_concerns
from slugline.counting.count import model_samples
from slugline.counting.dates import Period, name_period
from slugline.counting.estimation import (
    ShareEstimate,
    estimate_group,
    first_intervals,
    first_shares,
)
from slugline.counting.results import Counts, GroupCount, TopicCount
from slugline.counting.shares import HeldoutSample, binary_proba
from slugline.errors import DataError, Parameter
from slugline.model.fitted import Fitted
from slugline.serving.watch.day_sums import DaySums
from slugline.serving.watch.store import WatchStore

# The largest number of models that a message names.
_MAX_NAMED = 3
# The number of days that are in memory at a time.
_N_AT_ONCE = 30


def count_days(
    path: PathLike,
    fitted: Fitted,
    digest: str,
    *,
    since: datetime.date | None = None,
    by: Period | None = None,
    seed: int = 0,
) -> Counts:
    """Return how many of the texts that a server answered have each topic.

    Parameters
    ----------
    path : str or Path
        The file of daily sums.
    fitted : Fitted
    digest : str
        Identifies the version of the model; see `ServedModel`.
    since : date, optional
        The first day; by default, all days are counted.
    by : {"day", "week", "month", "quarter", "year"}, optional
        Also count each of these periods.
    seed : int, default 0

    Raises
    ------
    DataError : if the model has no held-out predictions, or has answered no texts since then.
    StoreError : if the file can't be read.
    """
    samples = model_samples(fitted)
    if not samples:
        raise DataError(
            "the model has no held-out answers, from which its errors are known; train it again "
            "with ",
            Parameter("min_precision", 0.9),
            ".",
        )
    with WatchStore(path, is_read_only=True) as store:
        total, periods = DaySums(len(fitted.topics), fitted.multilabel), dict[str, DaySums]()
        for day, sums in _read_days(store, digest, since):
            total.add(sums)
            if by is not None:
                period = name_period(day, by)
                if period not in periods:
                    periods[period] = DaySums(len(fitted.topics), fitted.multilabel)
                periods[period].add(sums)
        if not total.n_texts:
            raise _no_texts_error(store, digest, since)
    topics = [str(topic) for topic in fitted.topics.names]
    estimate = _estimate(samples, total, seed)
    estimates = [_estimate(samples, sums, seed) for sums in periods.values()]
    groups = tuple(
        _to_group(period, sums, each, topics)
        for (period, sums), each in zip(periods.items(), estimates, strict=True)
    )
    return Counts(
        name=str(path),
        total=_to_group("", total, estimate, topics),
        groups=groups,
        column=by,
        is_time=by is not None,
        changes=tuple(find_changes(groups, estimates, is_time=True)),
        concerns=tuple(_concerns(samples, estimate, topics)),
        multilabel=fitted.multilabel,
    )


def _read_days(
    store: WatchStore, digest: str, since: datetime.date | None
) -> Iterator[tuple[datetime.date, DaySums]]:
    """Yield the days with texts, and their sums."""
    first = datetime.date.min if since is None else since
    days = store.days(digest, first, with_groups=False)
    with_texts = [day for day, sums in days.items() if sums.n_texts]
    for start in range(0, len(with_texts), _N_AT_ONCE):
        part = with_texts[start : start + _N_AT_ONCE]
        sums = store.days(digest, part[0], part[-1])
        yield from ((day, sums[day]) for day in part)


def _estimate(samples: Sequence[HeldoutSample], sums: DaySums, seed: int) -> list[ShareEstimate]:
    """Return the estimate of a single-label model, or one for each topic of a multilabel model."""
    if not sums.multilabel:
        return [estimate_group(samples[0], *sums.rows(), seed=seed)]
    estimates = []
    for topic, sample in enumerate(samples):
        rows, weights = sums.rows(topic)
        proba = binary_proba(rows[:, 0], sample.low_proba)
        estimates.append(estimate_group(sample, proba, weights, seed=seed))
    return estimates


def _to_group(
    name: str, sums: DaySums, estimates: Sequence[ShareEstimate], topics: Sequence[str]
) -> GroupCount:
    shares, intervals = first_shares(estimates).tolist(), first_intervals(estimates)
    rows = zip(topics, shares, intervals, sums.answers.tolist(), strict=True)
    return GroupCount(
        name,
        sums.n_texts,
        tuple(
            TopicCount(topic, share, interval, sums.n_texts, n_answers)
            for topic, share, interval, n_answers in rows
        ),
    )


def _concerns(
    samples: Sequence[HeldoutSample], estimates: Sequence[ShareEstimate], topics: Sequence[str]
) -> Iterator[str]:
    yield from shift_concerns(estimates, topics)
    yield from heldout_concerns(samples, topics)


def _no_texts_error(store: WatchStore, digest: str, since: datetime.date | None) -> DataError:
    """Return the error if a model has answered no texts: perhaps there is another version."""
    models = store.models()
    if any(model.digest == digest for model in models):
        return DataError(
            f"{store.path} has no texts" + ("" if since is None else f" since {since}") + "."
        )
    names = join_words([f"{model.name} {model.digest}" for model in models], _MAX_NAMED)
    return DataError(
        f"{store.path} has no texts that version {digest} of the model answered, but those of "
        f"{names or 'no model'}; give the file of the version that answered."
    )
