"""The watch on what is served: false alarms, days until a change is seen, and what it costs."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from slugline.evaluation.sequential import ChangeAlarms, find_alarms, find_band
from slugline.serving.watch.series import (
    N_FIRST_DAYS,
    pool_days,
    pooled_band,
    series_key,
    training_values,
)

from data import load
from measure import four_digits, progress, run_in_turn, table
from serving import apply_load, request_bodies, serve_slugline
from slugline import TopicClassifier, reuters
from slugline.base.arrays import F64, Index, Mask
from slugline.model.decider import Decider
from slugline.serving.watch.store import TrainingValue

# Simulated years ----------------------------------------------------------------------------------

#: Texts on a day, on average; there are fewer on Saturdays and Sundays.
TEXTS_A_DAY = (100, 300, 1000)
WEEKDAY_VOLUMES = np.array([1.15, 1.15, 1.15, 1.15, 1.15, 0.7, 0.55])
#: Topics, and documents of training.
N_TOPICS, N_TRAINING = 8, 2000
#: Fractions of unsure answers and of unknown words, and words of a text.
UNSURE, UNKNOWN_WORDS, WORDS = 0.1, 0.05, 30
#: Words of one text are alike: so many count as one.
WORDS_ALIKE = 3


class DayVariation(NamedTuple):
    """How shares vary by day, in standard deviations of their logarithms.

    Attributes
    ----------
    by_day, by_weekday : float
    correlation : float
        Of a day with the day before.
    """

    by_day: float
    by_weekday: float
    correlation: float


VARIATIONS = {
    "by chance": DayVariation(0.0, 0.0, 0.0),
    "some": DayVariation(0.15, 0.15, 0.3),
    "much": DayVariation(0.25, 0.3, 0.3),
}


class Step(NamedTuple):
    """A lasting change of one topic's share from a day on, by a factor."""

    day: int
    topic: int
    factor: float


def simulate_years(
    n_years: int,
    n_texts: int,
    variation: DayVariation,
    *,
    n_days: int = 365,
    n_topics: int = N_TOPICS,
    n_training: int = N_TRAINING,
    step: Step | None = None,
    share: float | None = None,
    seed: int = 0,
) -> tuple[ChangeAlarms, F64]:
    """Return the alarms of each series of each year, and the usual shares.

    With `share`, it is that of the first topic.

    The alarms have the shape (n_years * (n_topics + 2),), the shares (n_years, n_topics).
    """
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(n_topics, 1.5), n_years).clip(0.01)
    shares = np.sort(shares / shares.sum(axis=1, keepdims=True))[:, ::-1]
    if share is not None:
        shares = _change_share(shares, 0, share / shares[:, 0])
    trained = np.stack([rng.multinomial(n_training, row) for row in shares]) / n_training
    rest = np.tile([UNSURE, UNKNOWN_WORDS], (n_years, 1))
    fractions, sizes = _draw_days(rng, shares, n_texts, variation, n_days, step)
    is_topic = np.tile(np.arange(n_topics + 2) < n_topics, n_years)
    low, high = _daily_bands(
        np.hstack([trained, rest]).ravel(), n_training, fractions, sizes, is_topic
    )
    low[:, ~is_topic] = 0
    weekdays: Index = np.arange(n_days) % 7
    return find_alarms(fractions, sizes, weekdays, low, high, 2 * n_topics + 2), shares


def _daily_bands(
    training: F64, n_training: int, fractions: F64, sizes: F64, is_topic: Mask
) -> tuple[F64, F64]:
    """Return the bands of each day and series: after the first days, those know more."""
    bands = np.array([find_band(value, n_training) for value in training.tolist()]).T
    low, high = (np.tile(end, (len(fractions), 1)) for end in bands)
    for series in np.flatnonzero(is_topic).tolist():
        mean, n = pool_days(fractions[:N_FIRST_DAYS, series], sizes[:N_FIRST_DAYS, series])
        if low[0, series] <= mean <= high[0, series]:
            band = pooled_band(TrainingValue(float(training[series]), n_training), mean, n)
            low[N_FIRST_DAYS:, series], high[N_FIRST_DAYS:, series] = band
    return low, high


def _draw_days(
    rng: np.random.Generator,
    shares: F64,
    n_texts: int,
    variation: DayVariation,
    n_days: int,
    step: Step | None,
) -> tuple[F64, F64]:
    """Return the fractions and sizes of all series, shape (n_days, n_years * n_series)."""
    n_years, n_topics = shares.shape
    by_weekday = rng.normal(0, variation.by_weekday, (7, n_years, n_topics + 2))
    by_weekday -= by_weekday.mean(axis=0)
    by_day = np.zeros(by_weekday.shape[1:])
    correlation = variation.correlation
    fractions, sizes = [], []
    for day in range(n_days):
        news = rng.normal(0, variation.by_day, by_day.shape)
        by_day = correlation * by_day + np.sqrt(1 - correlation**2) * news
        factors = np.exp(by_weekday[day % 7] + by_day)
        usual = shares
        if step is not None and day >= step.day:
            usual = _change_share(shares, step.topic, step.factor)
        usual = usual * factors[:, :n_topics]
        usual /= usual.sum(axis=1, keepdims=True)
        n = rng.poisson(n_texts * WEEKDAY_VOLUMES[day % 7], n_years).clip(1)
        counts = rng.multinomial(n, usual)
        unsure = rng.binomial(n, np.minimum(UNSURE * factors[:, -2], 1))
        n_words = n * WORDS // WORDS_ALIKE
        unknown = rng.binomial(n_words, np.minimum(UNKNOWN_WORDS * factors[:, -1], 1))
        totals = np.column_stack([*[n] * (n_topics + 1), n_words])
        fractions.append((np.column_stack([counts, unsure, unknown]) / totals).ravel())
        sizes.append(totals.ravel().astype(np.float64))
    return np.stack(fractions), np.stack(sizes)


def _change_share(shares: F64, topic: int, factor: float | F64) -> F64:
    """Return shares of which one is changed by a factor, and the others fit; it is 0.9 at most."""
    share = np.minimum(shares[..., topic] * factor, 0.9)
    others = (1 - share) / (1 - shares[..., topic])
    changed = shares * others[..., np.newaxis]
    changed[..., topic] = share
    return changed


def alarms(years: int = 1000, topics: int = N_TOPICS) -> str:
    """Years with a false alarm about any topic, unsure answers or unknown words."""
    rows = []
    for name, variation in VARIATIONS.items():
        cells = [name]
        for n_texts in TEXTS_A_DAY:
            progress(f"{name}, {n_texts} texts a day")
            found, _ = simulate_years(years, n_texts, variation, n_topics=topics)
            n_false = int((found.raised.reshape(years, -1) >= 0).any(axis=1).sum())
            cells.append(f"{n_false / years:.1%}")
        rows.append(cells)
    header = ["shares vary from day to day", *(f"{n:,} texts a day" for n in TEXTS_A_DAY)]
    return (
        f"{years:,} simulated years of looking each day, with {topics} topics whose shares are "
        f"those of training, except for chance among {N_TRAINING:,} training documents. Of so many "
        f"years, a false alarm was raised in:\n\n{table(header, rows)}"
    )


#: Days on which a share doubles: soon after the start, and later.
FIRST_DAYS = (20, 60, 200)


def delays(years: int = 200, factor: float = 2.0) -> str:
    """Days until a doubled share is seen."""
    rows = []
    for name, variation in VARIATIONS.items():
        for first in FIRST_DAYS:
            cells = [name, f"{first}"]
            for n_texts in TEXTS_A_DAY:
                progress(f"{name}, day {first}, {n_texts} texts a day")
                cells.append(_median_delay(years, n_texts, variation, first, factor))
            rows.append(cells)
    header = ["shares vary", "first day", *(f"{n:,} texts a day" for n in TEXTS_A_DAY)]
    return (
        f"The share of the second most common of {N_TOPICS} topics (0.2 in the median) becomes "
        f"{factor:g} times as large. Median number of days until there is an alarm, and the range "
        f"of the middle 80 % of {years:,} simulated years:\n\n"
        f"{table(header, rows)}"
    )


#: Shares from which a topic rises and falls.
SHARES = (0.05, 0.2, 0.5, 0.8)


def changes(years: int = 200, texts: int = 300, first: int = 60) -> str:
    """Days until a rise or a fall of a rare or a common topic is seen."""
    rows = []
    for share in SHARES:
        for odds in (0.5, 2.0):
            changed = odds * share / (1 - share + odds * share)
            cells = [f"{share:.0%}", f"{changed:.1%}"]
            for name, variation in VARIATIONS.items():
                progress(f"{share:.0%} to {changed:.0%}, {name}")
                factor = changed / share
                cells.append(_median_delay(years, texts, variation, first, factor, share=share))
            rows.append(cells)
    header = ["share", "later", *(f"shares vary {name}" for name in VARIATIONS)]
    return (
        f"The share of one of {N_TOPICS} topics changes on day {first}, so that its odds are "
        f"halved or doubled; {texts} texts a day. Median number of days until there is an alarm, "
        f"and the range of the middle 80 % of {years:,} simulated years:\n\n{table(header, rows)}"
    )


def _median_delay(
    n_years: int,
    n_texts: int,
    variation: DayVariation,
    first: int,
    factor: float,
    *,
    share: float | None = None,
) -> str:
    step = Step(first, 1 if share is None else 0, factor)
    found, _ = simulate_years(
        n_years, n_texts, variation, n_days=first + 90, step=step, share=share, seed=1
    )
    raised = found.raised.reshape(n_years, -1)[:, step.topic]
    delay = np.where(raised < 0, 90, raised - first + 1)[(raised < 0) | (raised >= first)]
    low, median, high = np.quantile(delay, [0.1, 0.5, 0.9])
    return f"{median:.0f} ({low:.0f} to {high:.0f})"


# Models -------------------------------------------------------------------------------------------

SETS = ("ag_news", "trec", "stackoverflow", "sib200-en")
#: Training documents of a model, at most.
N_DOCUMENTS = 1000


def replays(sets: Sequence[str] = SETS, years: int = 100, texts: int = 200) -> str:
    """The same with the probabilities of models for test documents."""
    rows = []
    for name in sets:
        progress(name)
        train, test = load(name)
        rng = np.random.default_rng(0)
        chosen = rng.permutation(len(train.texts))[:N_DOCUMENTS].tolist()
        topics = [str(train.topics[row]) for row in chosen]
        fitted = (
            TopicClassifier(min_precision=0.8, n_jobs=1)
            .fit([train.texts[row] for row in chosen], topics)
            .fitted_
        )
        values = training_values(Decider.from_fitted(fitted))
        names = list(map(str, fitted.topics.names))
        keys = [series_key(number) for number in range(len(names))]
        training = np.array([values[key].fraction for key in keys])
        proba = fitted.predict_proba(test.texts).astype(np.float64)
        true = np.array([names.index(str(topic)) for topic in test.topics])
        usual = np.array([topics.count(each) for each in names]) / len(topics)
        usual *= np.bincount(true, minlength=len(names)) > 0
        changed = int(np.argsort(-usual)[1])
        usual /= usual.sum()
        doubled = _change_share(usual, changed, 2.0)
        n_false, found_delays = 0, []
        for _ in range(years):
            days = [_replay_day(rng, proba, true, usual, texts) for _ in range(365)]
            later = [_replay_day(rng, proba, true, doubled, texts) for _ in range(60)]
            quiet = _find(np.array(days), texts, training, len(topics))
            n_false += bool((quiet.raised >= 0).any())
            changes = _find(np.array(days[:60] + later), texts, training, len(topics))
            raised = int(changes.raised[changed])
            if raised < 0 or raised >= 60:
                found_delays.append(60 if raised < 0 else raised - 60 + 1)
        rows.append(
            [
                name,
                f"{len(names)}",
                f"{usual[changed]:.2f}",
                f"{n_false / years:.0%}",
                f"{statistics.median(found_delays):.0f}",
            ]
        )
    header = ["set", "topics", "share", "years with a false alarm", "days until it is seen"]
    return (
        f"Models of {N_DOCUMENTS:,} training documents; {texts} test documents are answered each "
        f"day, drawn with the shares of training. Then the share of the second most common topic "
        f"doubles. {years} simulated years:\n\n{table(header, rows)}"
    )


def _replay_day(
    rng: np.random.Generator, proba: F64, true: Index, shares: F64, n_texts: int
) -> F64:
    """Return the mean probabilities of texts drawn with these shares."""
    weights = shares[true] / np.bincount(true, minlength=len(shares))[true]
    weights *= np.exp(rng.normal(0, 0.15, len(shares)))[true]
    drawn = rng.multinomial(n_texts, weights / weights.sum())
    means: F64 = drawn @ proba / n_texts
    return means


def _find(fractions: F64, n_texts: int, training: F64, n_training: int) -> ChangeAlarms:
    weekdays: Index = np.arange(len(fractions)) % 7
    sizes = np.full(fractions.shape, float(n_texts))
    is_topic = np.ones(len(training), dtype=bool)
    low, high = _daily_bands(training, n_training, fractions, sizes, is_topic)
    return find_alarms(fractions, sizes, weekdays, low, high, 2 * len(training) + 2)


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


BENCHMARKS = {
    "alarms": alarms,
    "delays": delays,
    "changes": changes,
    "replays": replays,
    "cost": cost,
}
QUICK = {
    "alarms": {"years": 20},
    "delays": {"years": 10},
    "changes": {"years": 10},
    "replays": {"sets": ("trec",), "years": 2},
    "cost": {"rounds": 1, "seconds": 1},
}
