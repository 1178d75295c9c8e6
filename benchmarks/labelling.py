"""Labelling sessions, simulated: intervals of the accuracy, and labels saved.

Somebody labels the texts that `slugline label` selects, without guesses, and answers as the data
set does. The pool is a sample of the training documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data import load, select
from measure import progress, table
from slugline import Corpus, TopicClassifier
from slugline.base.arrays import F64, Index
from slugline.evaluation.intervals import Z_95
from slugline.labels.labelled_texts import LabelledText
from slugline.labels.learner import LabelModel, learn_labels, report_labels
from slugline.labels.learning_selector import MIN_LABELS, choose_random_fraction
from slugline.labels.selection import SelectionWeights, TextSelector, VectorSpread

SETS = ("trec", "sib200-en", "sib200-de", "subj", "ag_news", "stackoverflow")
#: Documents of the pool, at most.
N_POOL = 3000
#: Labels of a session, and labels between two looks.
N_LABELS, EVERY = 200, 10
#: Random labels whose accuracy is to be reached with fewer; labels of such a session at most, and
#: between two looks.
N_RANDOM, N_LAST, EVERY_SAVED = 500, 400, 25


def make_classifier() -> TopicClassifier:
    """Return the classifier of `slugline label`."""
    return TopicClassifier(n_jobs=1)


class Look(NamedTuple):
    """A model of the first labels of a session, and the rows of the pool that have none."""

    n_labels: int
    model: LabelModel
    free: Index


def label_pool(
    pool: Corpus, n_labels: int, every: int, seed: int, random_fraction: float
) -> Iterator[Look]:
    """Label texts of a pool as `slugline label` selects them; yield a look every so many labels."""
    selector = TextSelector(np.random.default_rng(seed), random_fraction)
    free: Index = np.arange(len(pool.texts))
    spread: VectorSpread | None = VectorSpread(pool.texts, selector.sample(free))
    labelled = []
    for n in range(1, n_labels + 1):
        if spread is not None:
            selector.weights = spread.weights()
        selected = selector.select(free)
        assert selected is not None
        free = free[free != selected.row]
        text, topic = pool.texts[selected.row], str(pool.topics[selected.row])
        labelled.append(LabelledText(text, (topic,), selected.weight))
        if spread is not None:
            spread.add(text)
        if n < MIN_LABELS or n % every:
            continue
        rows = selector.sample(free)
        model = learn_labels([*labelled], [pool.texts[row] for row in rows], make_classifier)
        if model is None:
            continue
        spread = None
        selector.weights = make_weights(model, pool, rows)
        selector.random_fraction = choose_random_fraction(random_fraction, model.estimate)
        yield Look(n, model, free)


def make_weights(model: LabelModel, pool: Corpus, rows: Index) -> SelectionWeights:
    """Return the weights by which a model lets texts be selected."""

    def weigh(others: Index) -> F64:
        return model.weigh([pool.texts[row] for row in others])

    return SelectionWeights(rows, model.sample_weights, weigh)


def load_pool(name: str, seed: int) -> Corpus:
    """Return a sample of the training documents of a set."""
    train, _ = load(name)
    order = np.random.default_rng(seed).permutation(len(train.texts))
    return select(train, order[:N_POOL])


def measure_accuracy(model: LabelModel, documents: Corpus) -> float:
    """Return the accuracy of a model on documents."""
    names = np.array(model.fitted.topics.names)
    best = names[model.fitted.predict_proba(documents.texts).argmax(axis=1)]
    return float((best == np.array([*map(str, documents.topics)])).mean())


# Intervals ----------------------------------------------------------------------------------------


class Session(NamedTuple):
    """What the intervals of a session are worth: whether each look's holds, and the last one's."""

    holds: list[bool]
    accuracy: float
    width: float
    estimate: float

    @property
    def fixed_width(self) -> float:
        """The width of a 95 % interval from as many random labels, looked at once."""
        return 2 * Z_95 * float(np.sqrt(self.accuracy * (1 - self.accuracy) / N_LABELS))


def run_session(pool: Corpus, seed: int, random_fraction: float) -> Session:
    """Compare the interval at each look with the accuracy on all texts without a label."""
    holds = []
    for look in label_pool(pool, N_LABELS, EVERY, seed, random_fraction):
        accuracy = measure_accuracy(look.model, select(pool, look.free))
        estimate = look.model.estimate
        holds.append(estimate.low <= accuracy <= estimate.high)
    return Session(holds, accuracy, estimate.width, estimate.accuracy)


def intervals(
    *, sets: tuple[str, ...] = SETS, sessions: int = 3, random_fraction: float = 1 / 3
) -> str:
    """Sessions in which the interval of the accuracy held at every look, and its width."""
    rows, found = [], list[Session]()
    for name in sets:
        of_set = []
        for seed in range(sessions):
            of_set.append(run_session(load_pool(name, seed), seed, random_fraction))
            progress(name, seed, of_set[-1].accuracy, all(of_set[-1].holds))
        rows.append([name, *interval_cells(of_set)])
        found += of_set
    rows.append(["all", *interval_cells(found)])
    header = [
        "set",
        "sessions",
        "held at every look",
        "looks at which it held",
        "accuracy",
        "estimate",
        "width",
        "fixed width",
        "ratio of widths",
    ]
    return (
        f"A look every {EVERY} labels, from {MIN_LABELS} to {N_LABELS}. An interval holds if it "
        "contains the accuracy of the model of that moment on all texts of the pool without a "
        f"label. Random draws: {random_fraction:.0%} at first. Accuracy and the rest are those at "
        f"{N_LABELS} labels: means, and medians of the widths. The fixed width is that of a 95 % "
        f"interval from {N_LABELS} random labels at which one looks once.\n\n" + table(header, rows)
    )


def interval_cells(sessions: Sequence[Session]) -> list[str]:
    """Return the cells of a row."""
    looks = [hold for session in sessions for hold in session.holds]
    return [
        str(len(sessions)),
        f"{np.mean([all(session.holds) for session in sessions]):.3f}",
        f"{np.mean(looks):.3f}",
        f"{np.mean([session.accuracy for session in sessions]):.3f}",
        f"{np.mean([session.estimate for session in sessions]):.3f}",
        f"{np.median([session.width for session in sessions]):.3f}",
        f"{np.median([session.fixed_width for session in sessions]):.3f}",
        f"{np.median([session.width / session.fixed_width for session in sessions]):.2f}",
    ]


# Labels saved, and forecasts ----------------------------------------------------------------------


class Forecast(NamedTuple):
    """What a report at 200 labels said of twice as many, and what they brought."""

    gain: float
    holds: bool
    forecast: float
    hardly_pays: bool


def saved(
    *, sets: tuple[str, ...] = SETS, sessions: int = 3, random_fraction: float = 1 / 3
) -> str:
    """Labels needed for the accuracy of 500 random ones, and forecasts for twice as many labels."""
    saved_rows, forecast_rows, fractions = [], [], []
    for name in sets:
        _, test = load(name)
        curves, targets, forecasts = [], [], []
        for seed in range(sessions):
            pool = load_pool(name, seed)
            targets.append(random_accuracy(pool, test, seed))
            curve, forecast = session_curve(pool, test, seed, random_fraction)
            curves.append(curve)
            forecasts += [] if forecast is None else [forecast]
            progress(name, seed, targets[-1], curve.get(N_LAST))
        n = labels_needed(curves, float(np.mean(targets)))
        fractions.append(1 - n / N_RANDOM)
        saved_rows.append([name, f"{np.mean(targets):.3f}", f"{n:.0f}", f"{fractions[-1]:.0%}"])
        forecast_rows.append([name, *forecast_cells(forecasts)])
    saved_rows.append(["mean", "-", "-", f"{np.mean(fractions):.0%}"])
    return (
        f"### Labels saved\n\nSessions a set: {sessions}. Accuracy on test documents. Labels "
        f"needed are where the mean accuracy of sessions first reaches that of {N_RANDOM} random "
        f"labels, random draws among them included; {N_LAST} if it doesn't, as sessions end there."
        "\n\n"
        + table(["set", f"accuracy of {N_RANDOM} random labels", "labels", "saved"], saved_rows)
        + f"\n\n### Forecasts\n\nWhat reports at {N_LABELS} labels expected of twice as many, and "
        "what these brought on test documents, in points.\n\n"
        + table(
            ["set", "forecasts", "forecast", "measured", "in the interval", "hardly pays"],
            forecast_rows,
        )
    )


def random_accuracy(pool: Corpus, test: Corpus, seed: int) -> float:
    """Return the accuracy of a model of random labels."""
    rows = np.random.default_rng(seed).permutation(len(pool.texts))[:N_RANDOM]
    drawn = [LabelledText(pool.texts[row], (str(pool.topics[row]),)) for row in rows]
    model = learn_labels(drawn, [], make_classifier)
    assert model is not None
    return measure_accuracy(model, test)


def session_curve(
    pool: Corpus, test: Corpus, seed: int, random_fraction: float
) -> tuple[dict[int, float], Forecast | None]:
    """Return the accuracy by number of labels, and the forecast at `N_LABELS`."""
    curve, report = {}, None
    for look in label_pool(pool, N_LAST, EVERY_SAVED, seed, random_fraction):
        curve[look.n_labels] = measure_accuracy(look.model, test)
        if look.n_labels == N_LABELS:
            report = report_labels(look.model, make_classifier)
    if report is None or report.doubling is None or 2 * N_LABELS not in curve:
        return curve, None
    gain, doubling = curve[2 * N_LABELS] - curve[N_LABELS], report.doubling
    holds = doubling.low <= gain <= doubling.high
    return curve, Forecast(gain, holds, doubling.gain, doubling.hardly_pays)


def labels_needed(curves: Sequence[dict[int, float]], target: float) -> float:
    """Return at how many labels the mean of the curves first reaches a target, or `N_LAST`."""
    numbers = sorted(curves[0])
    means = [float(np.mean([curve[n] for curve in curves])) for n in numbers]
    last_n, last = numbers[0], means[0]
    for n, mean in zip(numbers, means, strict=True):
        if mean >= target:
            gain = mean - last
            return n if gain <= 0 else last_n + (n - last_n) * (target - last) / gain
        last_n, last = n, mean
    return N_LAST


def forecast_cells(forecasts: Sequence[Forecast]) -> list[str]:
    """Return the cells of a row."""
    if not forecasts:
        return ["0", "-", "-", "-", "-"]
    return [
        str(len(forecasts)),
        f"{100 * np.mean([each.forecast for each in forecasts]):.1f}",
        f"{100 * np.mean([each.gain for each in forecasts]):.1f}",
        f"{np.mean([each.holds for each in forecasts]):.2f}",
        f"{np.mean([each.hardly_pays for each in forecasts]):.2f}",
    ]


BENCHMARKS = {"intervals": intervals, "saved": saved}
QUICK = {
    "intervals": {"sets": ("trec",), "sessions": 1},
    "saved": {"sets": ("trec",), "sessions": 1},
}
