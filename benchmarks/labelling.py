"""Labelling sessions, simulated: intervals of the accuracy, labels saved, and the page's speed.

Somebody labels the texts that `slugline label` selects, and answers as the data set does. The pool
is a sample of the training documents.
"""

from __future__ import annotations

import csv
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import labels
import slugline
from data import load, select
from measure import chromium, map_seeds, progress, table
from serving import serve_slugline
from slugline import Corpus, TopicClassifier
from slugline.base.arrays import F64, Index
from slugline.corpus.loading import read_texts
from slugline.corpus.readers import read_rows
from slugline.evaluation.intervals import wilson
from slugline.labels.label_setup import LabelOptions, open_labels
from slugline.labels.labelled_texts import LabelledText
from slugline.labels.learner import LabelModel, find_known_descriptions, learn_labels, report_labels
from slugline.labels.learning_selector import (
    MIN_LABELS,
    MIN_PER_TOPIC,
    LearningSelector,
    choose_random_fraction,
)
from slugline.labels.selection import DistanceWeigher, SelectionWeights, WeightedSampler
from slugline.labels.text_table import SourceColumns, TextTable

SETS = ("trec", "sib200-en", "sib200-de", "subj", "ag_news", "stackoverflow")
#: Pools of as many topics, drawn at random for each session from the topics of several sets.
MIXED = tuple(f"mixed-{n}" for n in (2, 8, 20, 64, 150))
MIXED_SETS = ("banking77", "trec50", "stackoverflow", "sib200-en", "hint3-powerplay11")
#: Topics with fewer documents are left out of mixed pools.
MIN_PER_MIXED_TOPIC = 10
#: Smaller mixed pools are drawn again.
MIN_MIXED = 600
#: Documents of the pool, at most.
N_POOL = 3000
#: Labels of a session, and labels between two looks.
N_LABELS, EVERY = 200, 10
#: Random labels whose accuracy is to be reached with fewer; labels of such a session at most, and
#: between two looks.
N_RANDOM, N_LAST, EVERY_SAVED = 500, 400, 25


class SessionSettings(NamedTuple):
    """How somebody labels.

    Attributes
    ----------
    random_fraction : float
        The fraction of random draws at first.
    shows_guesses : bool
        Whether guesses are shown; texts with one aren't measured.
    encoder : str
    descriptions : mapping of str to str
        The descriptions in the codebook, by topic.
    """

    random_fraction: float = 1 / 3
    shows_guesses: bool = False
    encoder: str = "vectors"
    descriptions: Mapping[str, str] = {}

    def make_classifier(self) -> TopicClassifier:
        """Return the classifier of `slugline label`, with the encoder."""
        return TopicClassifier(encoder=self.encoder, n_jobs=1)


class Look(NamedTuple):
    """A model of the first labels of a session, and the rows of the pool that have none."""

    n_labels: int
    model: LabelModel
    free: Index


def label_pool(
    pool: Corpus, n_labels: int, every: int, seed: int, settings: SessionSettings
) -> Iterator[Look]:
    """Label texts of a pool as `slugline label` selects them; yield a look every so many labels."""
    selector = WeightedSampler(np.random.default_rng(seed), settings.random_fraction)
    free: Index = np.arange(len(pool.texts))
    weigher = DistanceWeigher(pool.texts, selector.sample(free))
    descriptions = find_known_descriptions(settings.descriptions, pool.texts)
    n_to_guess = MIN_PER_TOPIC * len({*pool.topics})
    model: LabelModel | None = None
    labelled: list[LabelledText] = []
    for n in itertools.count():
        if n % every == 0 and (descriptions or n >= MIN_LABELS):
            rows = selector.sample(free)
            sample = [pool.texts[row] for row in rows]
            learned = learn_labels(
                [*labelled], sample, settings.make_classifier, descriptions=descriptions
            )
            if learned is not None:
                model = learned
                selector.set_weights(
                    make_weights(model, pool, rows),
                    choose_random_fraction(settings.random_fraction, model.estimate),
                )
                yield Look(n, model, free)
        if n == n_labels:
            return
        if model is None:
            selector.set_weights(weigher.weights())
        shows_guess = settings.shows_guesses and model is not None and model.n_labels >= n_to_guess
        selected = selector.select(free, shows_guess=shows_guess)
        assert selected is not None
        free = free[free != selected.row]
        text, topic = pool.texts[selected.row], str(pool.topics[selected.row])
        is_measured = selected.is_random or not shows_guess
        weight = 1 / (selected.probability * selected.n_candidates) if is_measured else None
        labelled.append(LabelledText(text, (topic,), weight))
        if model is None:
            weigher.add(text)


def make_weights(model: LabelModel, pool: Corpus, rows: Index) -> SelectionWeights:
    """Return the weights by which a model lets texts be selected."""

    def weigh(others: Index) -> F64:
        return model.weigh([pool.texts[row] for row in others])

    return SelectionWeights(rows, model.sample_weights, weigh)


def load_pool(name: str, seed: int) -> Corpus:
    """Return a sample of the training documents of a set, or of some topics of `MIXED_SETS`."""
    rng = np.random.default_rng(seed)
    kind, _, n_topics = name.partition("-")
    train = draw_topics(int(n_topics), rng) if kind == "mixed" else load(name)[0]
    return select(train, rng.permutation(len(train.texts))[:N_POOL])


def draw_topics(n_topics: int, rng: np.random.Generator) -> Corpus:
    """Return the training documents of as many random topics of `MIXED_SETS`."""
    mixed = mix_sets()
    counts = Counter(mixed.topics)
    names = sorted(topic for topic, n in counts.items() if n >= MIN_PER_MIXED_TOPIC)
    n_documents = 0
    while n_documents < MIN_MIXED:
        chosen = rng.choice(names, n_topics, replace=False)
        n_documents = sum(counts[topic] for topic in chosen)
    return select(mixed, np.flatnonzero(np.isin(mixed.topics, chosen)))


@cache
def mix_sets() -> Corpus:
    """Return the training documents of `MIXED_SETS`."""
    texts, topics = list[str](), list[str]()
    for name in MIXED_SETS:
        train, _ = load(name)
        texts += train.texts
        topics += [f"{name} {topic}" for topic in train.topics]
    return Corpus(texts, topics, "mixed")


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
        """The width of Wilson's interval from as many random labels, looked at once."""
        low, high = wilson(self.accuracy * N_LABELS, N_LABELS)
        return high - low


def run_session(name: str, seed: int, settings: SessionSettings) -> Session | None:
    """Compare the interval at each look with the accuracy on all texts without a label.

    A session has no look if all labels are of one topic.
    """
    pool, holds = load_pool(name, seed), []
    look = None
    for look in label_pool(pool, N_LABELS, EVERY, seed, settings):
        accuracy = measure_accuracy(look.model, select(pool, look.free))
        holds.append(look.model.estimate.low <= accuracy <= look.model.estimate.high)
    if look is None:
        progress(name, seed, "no look")
        return None
    progress(name, seed, accuracy, all(holds))
    return Session(holds, accuracy, look.model.estimate.width, look.model.estimate.accuracy)


def intervals(
    *,
    sets: tuple[str, ...] = SETS,
    sessions: int = 3,
    random_fraction: float = 1 / 3,
    guesses: bool = False,
) -> str:
    """Sessions in which the interval of the accuracy held at every look, and its width.

    The sets "mixed-2" to "mixed-150" are pools of as many topics, drawn from several sets.

    With --guesses, the page shows guesses, so that only random draws are measured from then on.
    """
    settings = SessionSettings(random_fraction, shows_guesses=guesses)
    by_set = {
        name: [session for session in of_set if session is not None]
        for name, of_set in map_seeds(
            partial(run_session, settings=settings), sets, sessions
        ).items()
    }
    rows = [[name, *interval_cells(of_set)] for name, of_set in by_set.items()]
    rows.append(["all", *interval_cells([*itertools.chain.from_iterable(by_set.values())])])
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
        f"label. Random draws: {random_fraction:.0%} at first; guesses are "
        f"{'shown' if guesses else 'never shown'}. Accuracy and the rest are those at "
        f"{N_LABELS} labels: means, and medians of the widths. The fixed width is that of Wilson's "
        f"95 % interval from {N_LABELS} random labels at which one looks once.\n\n"
        + table(header, rows)
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


class SavedSession(NamedTuple):
    """The accuracy of random labels, that of a session by number of labels, and its forecast."""

    target: float
    curve: dict[int, float]
    forecast: Forecast | None


def saved(
    *,
    sets: tuple[str, ...] = SETS,
    sessions: int = 3,
    random_fraction: float = 1 / 3,
    encoder: str = "vectors",
) -> str:
    """Labels needed for the accuracy of 500 random ones, and forecasts for twice as many labels."""
    settings = SessionSettings(random_fraction, encoder=encoder)
    by_set = map_seeds(partial(run_saved, settings=settings), sets, sessions)
    saved_rows, forecast_rows, fractions = [], [], []
    for name, of_set in by_set.items():
        target = float(np.mean([session.target for session in of_set]))
        n = labels_needed([session.curve for session in of_set], target)
        fractions.append(1 - n / N_RANDOM)
        saved_rows.append([name, f"{target:.3f}", f"{n:.0f}", f"{fractions[-1]:.0%}"])
        forecasts = [session.forecast for session in of_set if session.forecast is not None]
        forecast_rows.append([name, *forecast_cells(forecasts)])
    saved_rows.append(["mean", "-", "-", f"{np.mean(fractions):.0%}"])
    return (
        f"### Labels saved\n\nEncoder: {encoder}. Sessions a set: {sessions}. Accuracy on "
        "test documents. Labels needed are where the mean accuracy of sessions first "
        f"reaches that of {N_RANDOM} random "
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


def run_saved(name: str, seed: int, settings: SessionSettings) -> SavedSession:
    """Compare a session with random labels, and its forecast with what more labels brought."""
    pool, (_, test) = load_pool(name, seed), load(name)
    rows = np.random.default_rng(seed).permutation(len(pool.texts))[:N_RANDOM]
    drawn = [LabelledText(pool.texts[row], (str(pool.topics[row]),)) for row in rows]
    model = learn_labels(drawn, [], settings.make_classifier)
    assert model is not None
    target = measure_accuracy(model, test)
    curve, doubling = dict[int, float](), None
    for look in label_pool(pool, N_LAST, EVERY_SAVED, seed, settings):
        curve[look.n_labels] = measure_accuracy(look.model, test)
        if look.n_labels == N_LABELS:
            doubling = report_labels(look.model).doubling
    progress(name, seed, target, curve.get(N_LAST))
    if doubling is None or 2 * N_LABELS not in curve:
        return SavedSession(target, curve, None)
    gain = curve[2 * N_LABELS] - curve[N_LABELS]
    holds = doubling.low <= gain <= doubling.high
    return SavedSession(target, curve, Forecast(gain, holds, doubling.gain, doubling.hardly_pays))


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


# The accuracy that `train` reports ----------------------------------------------------------------

#: Labels of a session before training, and labels between two models of the page.
N_TRAINED, EVERY_TRAINED = 400, 20


class TrainedSession(NamedTuple):
    """What `train` reports of a label database, and what is true on the texts without a label."""

    reported: float
    on_test: float
    holds: bool
    truth: float


def trained(*, sets: tuple[str, ...] = SETS, sessions: int = 10) -> str:
    """Accuracy that `slugline train labels.db` reports, less the one on the texts without a label.

    The database is made by the label page's own selector and store.
    """
    by_set = map_seeds(run_trained, sets, sessions)
    rows = [[name, *trained_cells(of_set)] for name, of_set in by_set.items()]
    rows.append(["all", *trained_cells([*itertools.chain.from_iterable(by_set.values())])])
    header = [
        "set",
        "sessions",
        "true",
        "reported",
        "difference",
        "worst",
        "in the interval",
        "test split, difference",
    ]
    return (
        f"{N_TRAINED} labels a session. Accuracies are those of the saved model; differences are "
        "in points, reported or on the test split, less on the texts of the pool without a label."
        "\n\n" + table(header, rows)
    )


def run_trained(name: str, seed: int) -> TrainedSession:
    """Label a pool into a database, train on that, and compare."""
    pool = load_pool(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        labels_path = Path(folder) / "labels.db"
        labelled_rows = write_label_database(pool, Path(folder) / "texts.csv", labels_path, seed)
        result = slugline.train(labels_path)
    free = np.setdiff1d(np.arange(len(pool.texts)), labelled_rows)
    predicted = result.classifier.predict([pool.texts[row] for row in free])
    truth = float((predicted == np.array([str(pool.topics[row]) for row in free])).mean())
    assert result.evaluation is not None
    on_test, on_labels = result.evaluation.accuracy, result.on_labels
    if on_labels is None:
        reported, (low, high) = on_test, result.evaluation.interval
    else:
        reported, (low, high) = on_labels.accuracy, on_labels.interval
    progress(name, seed, reported, truth)
    return TrainedSession(reported, on_test, low <= truth <= high, truth)


def write_label_database(pool: Corpus, texts_path: Path, labels_path: Path, seed: int) -> list[int]:
    """Label a pool as the page does; return the rows that have a label."""
    with texts_path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(pool.texts))
    texts = TextTable.from_texts(
        str(texts_path), read_texts(read_rows(texts_path), "text"), SourceColumns()
    )
    options = LabelOptions(coder="Kim", descriptions=dict.fromkeys(sorted({*pool.topics}), ""))
    rows = []
    with open_labels(labels_path, texts, options) as opened:
        selector = LearningSelector(
            opened.store, opened.table, opened.assignments, random_state=seed
        )
        for n in range(N_TRAINED):
            if n % EVERY_TRAINED == 0:
                selector.notice_change()
                selector.wait()
            selected = selector.select_next("Kim")
            assert selected is not None
            [document] = opened.store.add_documents([texts.document(selected.row)])
            assignment = opened.store.assign("Kim", document, selected.selection)
            assert assignment is not None
            opened.assignments.add(selected.row, "Kim", is_random=selected.selection.is_random)
            opened.store.label(assignment.id, [str(pool.topics[selected.row])])
            rows.append(selected.row)
        selector.close()
    return rows


def trained_cells(sessions: Sequence[TrainedSession]) -> list[str]:
    """Return the cells of a row."""
    differences = np.array([session.reported - session.truth for session in sessions])
    on_test = np.array([session.on_test - session.truth for session in sessions])
    return [
        str(len(sessions)),
        f"{np.mean([session.truth for session in sessions]):.3f}",
        f"{np.mean([session.reported for session in sessions]):.3f}",
        f"{100 * differences.mean():+.1f}",
        f"{100 * np.abs(differences).max():.1f}",
        f"{np.mean([session.holds for session in sessions]):.3f}",
        f"{100 * on_test.mean():+.1f}",
    ]


# Descriptions -------------------------------------------------------------------------------------

#: Descriptions by topic, as somebody may write them who knows what the topics mean.
DESCRIPTIONS: Mapping[str, Mapping[str, str]] = labels.DESCRIPTIONS | {
    "ag_news": {
        "1": "World news: governments, wars, elections and conflicts in other countries",
        "2": "Sports: games, teams, players and results",
        "3": "Business: companies, markets, profits, oil prices and jobs",
        "4": "Science and technology: software, internet, computers, space and research",
    },
    "trec": {
        "ENTY": "Questions about things: animals, food, products, colors, sports, words",
        "HUM": "Questions about a person or group: who, whose name",
        "DESC": "Questions for a definition, description, reason or manner: why, how, what is it",
        "NUM": "Questions for a number: how many, when, how long, how much money, distance, date",
        "LOC": "Questions about a place: where, which city, country, state or mountain",
        "ABBR": "Questions about an abbreviation: what does it stand for",
    },
    "subj": {
        "objective": "A sentence of the plot of a film: what happens to the characters",
        "subjective": "An opinion of a critic on a film: whether it is funny, moving or dull",
    },
    "custrev": {
        "positive": "The customer is happy with the product: great, easy, love it, recommend",
        "negative": "The customer complains: problem, broken, poor quality, disappointed",
    },
}
#: Numbers of labels at which models with and without descriptions are compared.
DESCRIBED_LABELS = (0, 10, 20, 30, 50, 100)


class DescribedSession(NamedTuple):
    """The accuracy by number of labels, and whether the interval held at every look."""

    curve: dict[int, float]
    holds: bool


def described(
    *,
    sets: tuple[str, ...] = ("sib200-en", "sib200-de", "trec", "subj", "custrev", "ag_news"),
    sessions: int = 3,
) -> str:
    """Accuracy with and without descriptions of topics in the codebook, and the intervals."""
    rows = []
    for is_described in (False, True):
        run = partial(run_described, is_described=is_described)
        for name, of_set in map_seeds(run, sets, sessions).items():
            curves = [
                [session.curve.get(n, np.nan) for n in DESCRIBED_LABELS] for session in of_set
            ]
            cells = ["-" if np.isnan(mean) else f"{mean:.3f}" for mean in np.mean(curves, axis=0)]
            held = f"{np.mean([session.holds for session in of_set]):.3f}"
            rows.append([name, "yes" if is_described else "no", *cells, held])
    rows.sort(key=lambda row: sets.index(row[0]))
    header = ["set", "descriptions", *(f"{n} labels" for n in DESCRIBED_LABELS)]
    return (
        f"Sessions a set: {sessions}. Accuracy on all texts of the pool without a label, and the "
        f"fraction of sessions in which the interval held at every look, one every {EVERY} labels. "
        f"Without descriptions, there is no model before {MIN_LABELS} labels.\n\n"
        + table([*header, "held at every look"], rows)
    )


def run_described(name: str, seed: int, *, is_described: bool) -> DescribedSession:
    """Return the session of a set."""
    descriptions = DESCRIPTIONS[name.partition("-")[0]] if is_described else {}
    pool, settings = load_pool(name, seed), SessionSettings(descriptions=descriptions)
    curve, holds = dict[int, float](), True
    for look in label_pool(pool, DESCRIBED_LABELS[-1], EVERY, seed, settings):
        accuracy, estimate = (
            measure_accuracy(look.model, select(pool, look.free)),
            look.model.estimate,
        )
        curve[look.n_labels] = accuracy
        holds &= estimate.low <= accuracy <= estimate.high
    progress(name, seed, is_described, accuracy, holds)
    return DescribedSession(curve, holds)


# The page -----------------------------------------------------------------------------------------

# Resolves to the milliseconds from a key to the frame that shows the next text.
PRESS_AND_WAIT = """(key) => new Promise((resolve) => {
  const card = document.getElementById("card");
  const before = card.dataset.assignment;
  const started = performance.now();
  const observer = new MutationObserver(() => {
    const shown = card.dataset.assignment;
    if (shown === undefined || shown === before) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - started)));
  });
  observer.observe(card, { attributes: true });
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
})"""
#: The set whose texts are repeated, with numbers, until there are enough.
LATENCY_SET = "ag_news"


def latency(*, texts: int = 100_000, keys: int = 200, pause: float = 0.25) -> str:
    """Milliseconds from a key to the next text on the screen, in Chromium, while models learn."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        topic_of, arguments = write_label_files(Path(folder), texts)
        with serve_slugline(*arguments, command="label") as server:
            page = browser.new_page()
            page.goto(server.url)
            page.locator("#card[data-assignment]").wait_for()
            milliseconds = [press_key(page, topic_of, pause) for _ in range(keys)]
            memory = server.memory()
    cells = [
        f"{texts:,}",
        str(keys),
        f"{np.median(milliseconds):.0f}",
        f"{np.quantile(milliseconds, 0.99):.0f}",
        f"{max(milliseconds):.0f}",
        f"{server.seconds_to_ready:.1f}",
        f"{memory:.0f}",
    ]
    header = [
        "texts",
        "keys",
        "median, ms",
        "99 of 100, ms",
        "maximum, ms",
        "start, s",
        "memory, MB",
    ]
    return (
        f"A key every {pause} seconds and the time of the answer; models are learned in the "
        "background. From the key to the frame that shows the next text; memory is that of the "
        "server.\n\n" + table(header, [cells])
    )


def write_label_files(folder: Path, n_texts: int) -> tuple[dict[str, str], list[str]]:
    """Write texts and topics; return the key of each text, and arguments of `slugline label`."""
    train, _ = load(LATENCY_SET)
    topics = sorted({*map(str, train.topics)})
    key_of = {}
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        for number in range(n_texts):
            row = number % len(train.texts)
            text = f"{' '.join(train.texts[row].split())} {number}"
            key_of[text] = str(topics.index(str(train.topics[row])) + 1)
            writer.writerow([text])
    with (folder / "topics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "description"])
        writer.writerows(DESCRIPTIONS[LATENCY_SET].items())
    files = [str(folder / name) for name in ("texts.csv", "labels.db", "topics.csv")]
    return key_of, [files[0], "-o", files[1], "--topics", files[2], "--coder", "Kim"]


def press_key(page: Any, key_of: Mapping[str, str], pause: float) -> float:
    """Give the text on the screen its topic; return the milliseconds until the next one shows."""
    time.sleep(pause)
    key = key_of[page.locator("#text").inner_text().strip()]
    return float(page.evaluate(PRESS_AND_WAIT, key))


BENCHMARKS = {
    "intervals": intervals,
    "saved": saved,
    "trained": trained,
    "described": described,
    "latency": latency,
}
QUICK = {
    "intervals": {"sets": ("trec",), "sessions": 1},
    "saved": {"sets": ("trec",), "sessions": 1},
    "trained": {"sets": ("trec",), "sessions": 1},
    "described": {"sets": ("trec",), "sessions": 1},
    "latency": {"texts": 2000, "keys": 20, "pause": 0.05},
}
