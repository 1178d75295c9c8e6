"""The watch on what is served: false alarms, weeks until a change is seen, and what it costs."""

from __future__ import annotations

import datetime
import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import load, select
from measure import four_digits, map_processes, progress, run_in_turn, table
from serving import apply_load, request_bodies, serve_slugline
from slugline import TopicClassifier, reuters
from slugline.base.arrays import F64, Index
from slugline.counting.changes import find_changes
from slugline.counting.count import model_samples
from slugline.counting.dates import name_period
from slugline.counting.estimation import ShareEstimate, estimate_group
from slugline.counting.results import Counts, GroupCount, TopicCount
from slugline.serving.watch.alerts import N_WEEKS, find_alerts

# Simulated years ----------------------------------------------------------------------------------

SETS = ("ag_news", "trec", "sib200-en", "stackoverflow")
#: Training documents of a model, at most; texts on a day.
N_DOCUMENTS, N_TEXTS = 600, 200
#: Weeks of a year without a change; the week in which a share doubles, and weeks afterwards.
N_YEAR, CHANGED_AT, N_AFTER = 52, 8, 12
FIRST_MONDAY = datetime.date(2026, 1, 5)


class DayVariation(NamedTuple):
    """How shares vary by day, in standard deviations of their logarithms.

    Attributes
    ----------
    by_day : float
    correlation : float
        Of a day with the day before.
    """

    by_day: float
    correlation: float


VARIATIONS = {"by chance": DayVariation(0.0, 0.0), "by day": DayVariation(0.25, 0.3)}


class Pool(NamedTuple):
    """A model's answers to documents, and their topics."""

    model: TopicClassifier
    proba: F64
    topics: Index


def make_pool(name: str, seed: int) -> Pool:
    """Learn from a sample of the training documents, and answer the others."""
    train, _ = load(name)
    order = np.random.default_rng(seed).permutation(len(train.texts))
    n = min(N_DOCUMENTS, len(order) // 2)
    learned, others = select(train, order[:n]), select(train, order[n:])
    model = TopicClassifier(n_jobs=1).fit(learned.texts, learned.topics)
    names = [str(topic) for topic in model.fitted_.topics.names]
    known = np.flatnonzero(np.isin([str(topic) for topic in others.topics], names))
    others = select(others, known)
    topics = np.array([names.index(str(topic)) for topic in others.topics])
    return Pool(model, model.predict_proba(others.texts).astype(np.float64), topics)


def draw_weeks(
    pool: Pool, n_weeks: int, variation: DayVariation, changed_at: int | None, seed: int
) -> Iterator[tuple[GroupCount, ShareEstimate]]:
    """Yield the counts of weeks; from one on, the share of the second most common topic doubles."""
    rng = np.random.default_rng(seed)
    [sample] = model_samples(pool.model.fitted_)
    names = [str(topic) for topic in pool.model.fitted_.topics.names]
    sizes = np.bincount(pool.topics, minlength=len(names))
    by_day = np.zeros(len(names))
    for week in range(n_weeks):
        shares = sizes / sizes.sum()
        if changed_at is not None and week >= changed_at:
            shares = double_share(shares)
        weights = np.zeros(len(pool.topics))
        for _ in range(7):
            news = rng.normal(0, variation.by_day, len(names))
            by_day = variation.correlation * by_day + np.sqrt(1 - variation.correlation**2) * news
            chances = (shares * np.exp(by_day) / np.maximum(sizes, 1))[pool.topics]
            weights += rng.multinomial(N_TEXTS, chances / chances.sum())
        used = weights > 0
        estimate = estimate_group(
            sample, pool.proba[used], weights[used], seed=0, n_sets=100, group=week
        )
        day = FIRST_MONDAY + datetime.timedelta(weeks=week)
        n_texts = int(weights.sum())
        counts = (
            TopicCount(name, float(share), interval, n_texts, None)
            for name, share, interval in zip(
                names, estimate.shares, estimate.intervals(), strict=True
            )
        )
        yield GroupCount(name_period(day, "week"), n_texts, tuple(counts)), estimate


def double_share(shares: F64) -> F64:
    """Return shares of which the second largest is doubled."""
    topic = int(np.argsort(-shares)[1])
    doubled = shares * (1 - 2 * shares[topic]) / (1 - shares[topic])
    doubled[topic] = 2 * shares[topic]
    return doubled


def first_alert(
    pool: Pool, n_weeks: int, variation: DayVariation, changed_at: int | None, seed: int
) -> int | None:
    """Return after how many weeks there is an alert; None if there is none."""
    weeks: list[tuple[GroupCount, ShareEstimate]] = []
    for number, week in enumerate(draw_weeks(pool, n_weeks, variation, changed_at, seed)):
        weeks = [*weeks, week][-N_WEEKS:]
        groups = tuple(group for group, _ in weeks)
        changes = find_changes(groups, [[estimate] for _, estimate in weeks], is_time=True)
        counts = Counts("", groups[0], groups, changes=tuple(changes), is_time=True)
        if any(find_alerts(counts, FIRST_MONDAY)):
            return number + 1
    return None


def simulate(name: str, variation: str, seed: int) -> tuple[bool, int | None]:
    """Return whether a year has a false alarm, and the weeks until a doubled share is seen."""
    pool = make_pool(name, seed)
    is_false = first_alert(pool, N_YEAR, VARIATIONS[variation], None, seed) is not None
    n_weeks = CHANGED_AT + N_AFTER
    found = first_alert(pool, n_weeks, VARIATIONS[variation], CHANGED_AT, seed)
    progress(name, variation, seed, is_false, found)
    return is_false, None if found is None else found - CHANGED_AT


def alarms(*, sets: tuple[str, ...] = SETS, years: int = 10) -> str:
    """Years with a false alarm, and weeks until a doubled share is seen."""
    kinds = [*itertools.product(sets, VARIATIONS)]
    jobs = [(*kind, seed) for kind in kinds for seed in range(years)]
    found = map_processes(simulate, *map(list, zip(*jobs, strict=True)))
    rows = []
    for number, (name, variation) in enumerate(kinds):
        of_kind = found[number * years : (number + 1) * years]
        delays = [N_AFTER if weeks is None else weeks for _, weeks in of_kind]
        rows.append(
            [
                name,
                variation,
                f"{sum(is_false for is_false, _ in of_kind)}",
                f"{statistics.median(delays):g}",
                f"{max(delays)}",
                f"{sum(weeks is None for _, weeks in of_kind)}",
            ]
        )
    header = ["set", "shares vary", "false alarms", "weeks, median", "weeks, most", "not seen"]
    return (
        f"{years} models of at most {N_DOCUMENTS} training documents for each row; {N_TEXTS} other "
        f"training documents are answered a day. False alarms: years without a change that have "
        f"one. Then the share of the second most common topic doubles; weeks until the alert, "
        f"{N_AFTER} if it isn't seen by then.\n\n" + table(header, rows)
    )


# Cost ---------------------------------------------------------------------------------------------


def cost(rounds: int = 3, seconds: int = 8) -> str:
    """Requests a second with and without the file of the watch, and its size."""
    texts = list(reuters.load_wires("corrected").test.texts)
    single, many = request_bodies(texts, 1), request_bodies(texts, 100)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "watch.db")

        def measure(*options: str) -> list[float]:
            with serve_slugline(*options) as server:
                url = f"{server.url}/v1/classify"
                apply_load(url, single, connections=8, n_seconds=1)  # to warm up
                before = server.cpu_seconds()
                one = apply_load(url, single, connections=32, n_seconds=seconds)
                cpu = (server.cpu_seconds() - before) / (one.rate * seconds)
                hundred = apply_load(url, many, connections=4, n_seconds=seconds)
                assert not one.n_errors + hundred.n_errors
                return [one.rate, 1e6 * cpu, 100 * hundred.rate, server.memory()]

        runs = run_in_turn(
            {"without": measure, "with": lambda: measure("--watch", str(path))}, rounds
        )
        n_kilobytes = path.stat().st_size / 1024
    without, watched = (
        [statistics.median(values) for values in zip(*metrics, strict=True)]
        for metrics in runs.values()
    )
    names = (
        "single texts a second",
        "microseconds of CPU for each",
        "documents a second, in requests of 100",
        "memory, MB",
    )
    rows = [
        [name, four_digits(before), four_digits(after), f"{after / before:.2f}"]
        for name, before, after in zip(names, without, watched, strict=True)
    ]
    return (
        f"The model reuters46; medians of {rounds} rounds in turn. The file of one day has "
        f"{n_kilobytes:,.0f} kB.\n\n{table(['', 'without', 'with --watch', 'ratio'], rows)}"
    )


BENCHMARKS = {"alarms": alarms, "cost": cost}
QUICK = {"alarms": {"sets": ("trec",), "years": 1}, "cost": {"rounds": 1, "seconds": 1}}
