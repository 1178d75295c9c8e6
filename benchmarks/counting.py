"""Counting topics: errors and intervals where shares have shifted, beside QuaPy; time.

Sets of texts are drawn from test documents with random shares of topics (artificial prevalence).
QuaPy's methods get held-out answers of the same classifier, from five folds, as they do by default.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedKFold

from data import load, select, synthetic_texts
from measure import map_processes, map_seeds, run_child, run_in_turn, table
from multilabel import Documents, join_texts
from multilabel import load as load_modapte
from slugline import Corpus, TopicClassifier
from slugline.base.arrays import F64, Index
from slugline.counting.count import model_samples
from slugline.counting.drift import find_drift
from slugline.counting.estimation import (
    estimate_group,
    estimate_texts,
    topic_intervals,
    topic_shares,
)
from slugline.counting.labelled import estimate_labelled_share, explained_variance
from slugline.counting.shares import LIKELY
from slugline.evaluation.intervals import Interval

SETS = ("trec", "ag_news", "subj", "webkb", "stackoverflow", "20ng", "ohsumed", "custrev")
#: The same with the first three words of each text.
THREE_WORDS = ", three words"
SHORT_SETS = tuple(name + THREE_WORDS for name in ("subj", "custrev", "ag_news"))
#: Training documents; texts of a set, and sets for each model; models of each data set, and those
#: compared with QuaPy.
N_TRAIN, N_TEXTS, N_DRAWS, N_MODELS, N_QUAPY_MODELS = 800, 400, 15, 20, 4
#: The fewest documents that a topic must have on both sides, so that QuaPy can hold some out.
MIN_DOCUMENTS = 5
#: QuaPy's methods.
METHODS = ("ACC", "PACC", "EMQ-BCTS", "KDEy", "DyS")


class Draws(NamedTuple):
    """Sets of texts: weights of documents, and true shares of topics."""

    weights: F64  # (n_documents, n_draws)
    shares: F64  # (n_topics, n_draws)


class Trial(NamedTuple):
    """A model, its answers to documents, their topics, and what the model learned from."""

    model: TopicClassifier
    proba: F64
    topics: Index
    learned: Corpus
    labels: Index


def make_trial(name: str, n_train: int, seed: int, pool: str) -> Trial:
    """Learn from a sample of the training documents, and answer the documents of the pool.

    With the pool "train", these are the other training documents: for choosing settings.
    """
    train, test = load_set(name)
    order = np.random.default_rng(seed).permutation(len(train.texts))
    learned = select(train, order[:n_train])
    others = select(train, order[n_train:]) if pool == "train" else test
    names, counts = np.unique([str(topic) for topic in learned.topics], return_counts=True)
    names = names[counts >= MIN_DOCUMENTS]
    learned, others = _keep(learned, names), _keep(others, names)
    model = TopicClassifier(n_jobs=1).fit(learned.texts, learned.topics)
    labels, topics = (np.searchsorted(names, corpus.topics) for corpus in (learned, others))
    proba = model.predict_proba(others.texts).astype(np.float64)
    return Trial(model, proba, topics, learned, labels)


def load_set(name: str) -> tuple[Corpus, Corpus]:
    """Return the training and the test documents of a set, or their first three words."""
    train, test = load(name.removesuffix(THREE_WORDS))
    if not name.endswith(THREE_WORDS):
        return train, test
    return _first_words(train), _first_words(test)


def _first_words(corpus: Corpus) -> Corpus:
    return Corpus([" ".join(text.split()[:3]) for text in corpus.texts], corpus.topics, "rows")


def _keep(corpus: Corpus, names: Any) -> Corpus:
    topics = np.array([str(topic) for topic in corpus.topics])
    kept = np.flatnonzero(np.isin(topics, names))[:8000]
    return Corpus([corpus.texts[i] for i in kept.tolist()], topics[kept].tolist(), "rows")


def _answer_in_folds(corpus: Corpus, labels: Index, seed: int) -> F64:
    proba = np.zeros((len(labels), labels.max() + 1))
    for rest, fold in StratifiedKFold(5, shuffle=True, random_state=seed).split(labels, labels):
        part = select(corpus, rest)
        model = TopicClassifier(n_jobs=1).fit(part.texts, part.topics)
        proba[fold] = model.predict_proba([corpus.texts[i] for i in fold.tolist()])
    return proba


def draw_sets(
    topics: Index, n_topics: int, n_texts: int, n_draws: int, seed: int, *, shift: bool = True
) -> Draws:
    """Draw sets of texts whose shares of topics are uniform over all that sum to 1.

    With `shift=False`, the shares are those of the documents.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(topics == topic) for topic in range(n_topics)]
    sizes = np.array([len(each) for each in rows])
    weights, shares = np.zeros((len(topics), n_draws)), np.zeros((n_topics, n_draws))
    for i in range(n_draws):
        drawn = sizes / sizes.sum()
        if shift:
            drawn[sizes > 0] = rng.dirichlet(np.ones((sizes > 0).sum()))
        counts = rng.multinomial(n_texts, drawn)
        shares[:, i] = counts / n_texts
        for topic in np.flatnonzero(counts):
            # With replacement where a topic has too few documents.
            few = counts[topic] > len(rows[topic])
            np.add.at(weights[:, i], rng.choice(rows[topic], counts[topic], replace=few), 1)
    return Draws(weights, shares)


# Errors and intervals -----------------------------------------------------------------------------

#: Kinds of sets: whether the shares of topics are drawn at random.
KINDS = {"unchanged": False, "random": True}


class Measurement(NamedTuple):
    """Mean absolute errors by method, and which intervals hold, shape (n_draws, n_topics)."""

    errors: dict[str, float]
    holds: Any
    width: float
    n_alarms: int


def measure_trial(
    name: str, seed: int, n_train: int, n_texts: int, n_draws: int, pool: str
) -> dict[str, Measurement]:
    """Count sets of texts by a model, for each kind of sets."""
    trial = make_trial(name, n_train, seed, pool)
    n_topics = trial.proba.shape[1]
    return {
        kind: count_sets(
            trial, draw_sets(trial.topics, n_topics, n_texts, n_draws, seed, shift=shift)
        )
        for kind, shift in KINDS.items()
    }


def count_sets(trial: Trial, draws: Draws) -> Measurement:
    """Count sets of texts."""
    n_texts = round(draws.weights[:, 0].sum())
    [sample] = model_samples(trial.model.fitted_)
    holds, widths, ours, n_alarms = [], [], np.zeros_like(draws.shares), 0
    for i, weights in enumerate(draws.weights.T):
        used = weights > 0
        estimate = estimate_group(
            sample, trial.proba[used], weights[used], seed=i, n_copies=weights[used]
        )
        ours[:, i] = estimate.shares
        intervals = estimate.intervals()
        # As numbers of texts, which are whole.
        low = np.array([np.floor(n_texts * each.low + 1e-9) for each in intervals]) / n_texts
        high = np.array([np.ceil(n_texts * each.high - 1e-9) for each in intervals]) / n_texts
        true = draws.shares[:, i]
        holds.append((low - 1e-9 <= true) & (true <= high + 1e-9))
        widths.append((high - low).mean())
        drift = find_drift(None, (), [estimate])
        n_alarms += drift is not None and drift.is_significant()
    errors = {
        "counted answers": _error(counted_answers(trial, draws), draws.shares),
        "slugline": _error(ours, draws.shares),
    }
    return Measurement(errors, np.array(holds), float(np.mean(widths)), n_alarms)


def counted_answers(trial: Trial, draws: Draws) -> F64:
    """Return the fraction of each set's texts that the model gives each topic."""
    n_topics = trial.proba.shape[1]
    counts: F64 = np.eye(n_topics)[trial.proba.argmax(axis=1)].T @ draws.weights
    return counts / draws.weights.sum(axis=0)


def _error(shares: F64, true: F64) -> float:
    return float(np.abs(shares - true).mean())


def shares(
    *,
    sets: tuple[str, ...] = SETS + SHORT_SETS,
    models: int = N_MODELS,
    draws: int = N_DRAWS,
    train: int = N_TRAIN,
    texts: int = N_TEXTS,
    pool: str = "test",
) -> str:
    """Errors of shares relative to counted answers, and how often 95 % intervals hold."""
    measure = partial(measure_trial, n_train=train, n_texts=texts, n_draws=draws, pool=pool)
    measured = map_seeds(measure, sets, models)
    parts = [
        f"{models} models of {train} documents for each set, {draws} sets of {texts} texts for "
        "each. Texts are drawn with the shares of all documents, or with random ones."
    ]
    for kind in KINDS:
        by_set = {name: [each[kind] for each in of_set] for name, of_set in measured.items()}
        title = f"{kind.capitalize()} shares"
        parts.append(f"#### {title}: errors\n\n{_error_table(by_set)}")
        parts.append(f"#### {title}: intervals\n\n{_interval_table(by_set)}")
    return "\n\n".join(parts)


def _error_table(by_set: dict[str, list[Measurement]]) -> str:
    rows, ratios = [], []
    for name, measured in by_set.items():
        counted, ours = (
            np.mean([m.errors[key] for m in measured]) for key in ("counted answers", "slugline")
        )
        ratios.append(ours / counted)
        rows.append([name, f"{counted:.4f}", f"{ours:.4f}", f"{ratios[-1]:.2f}"])
    rows.append(["**mean**", "", "", f"{np.mean(ratios):.2f}"])
    return "Mean absolute errors of shares.\n\n" + table(
        ["", "counted answers", "slugline", "ratio"], rows
    )


def _interval_table(by_set: dict[str, list[Measurement]]) -> str:
    rows = []
    for name, measured in by_set.items():
        by_model = np.array([m.holds.mean() for m in measured])
        by_topic = _coverage_by_topic(measured)
        n_sets = sum(len(m.holds) for m in measured)
        rows.append(
            [
                name,
                f"{by_model.mean():.3f}",
                f"{by_model.std(ddof=1) / np.sqrt(len(by_model)):.3f}"
                if len(by_model) > 1
                else "-",
                f"{by_topic.min():.2f}",
                f"{np.median(by_topic):.2f}",
                f"{np.mean([m.width for m in measured]):.3f}",
                f"{sum(m.n_alarms for m in measured) / n_sets:.2f}",
            ]
        )
    return (
        "The fraction of 95 % intervals that hold, with its standard error over models. Warned: "
        "how often the model is less sure than the shares explain.\n\n"
        + table(
            [
                "",
                "all topics",
                "standard error",
                "worst topic",
                "median topic",
                "mean width",
                "warned",
            ],
            rows,
        )
    )


def _coverage_by_topic(measured: Sequence[Measurement]) -> F64:
    # Models whose sample lacks a rare topic have fewer topics.
    n_topics = min(m.holds.shape[1] for m in measured)
    means: F64 = np.mean([m.holds[:, :n_topics].mean(axis=0) for m in measured], axis=0)
    return means


# Beside QuaPy -------------------------------------------------------------------------------------


class StoredAnswers(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier for QuaPy, whose answers were computed before: documents are their numbers."""

    def __init__(self, proba: Any = None) -> None:
        self.proba = proba

    def fit(self, X: Any, y: Any) -> StoredAnswers:  # noqa: ARG002
        """Note the topics."""
        self.classes_ = np.arange(self.proba.shape[1])
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the answers to documents."""
        return self.proba[np.asarray(X).ravel()]

    def predict(self, X: Any) -> Any:
        """Return the most likely topics."""
        return self.predict_proba(X).argmax(axis=1)


def quapy_shares(trial: Trial, fold_proba: F64, draws: Draws) -> Iterator[tuple[str, F64]]:
    """Yield the shares by each of QuaPy's methods."""
    import quapy
    from quapy.method import aggregative

    quapy.environ["SAMPLE_SIZE"] = round(draws.weights[:, 0].sum())
    n_train, n_topics = len(trial.labels), trial.proba.shape[1]
    proba = np.concatenate([fold_proba, trial.proba])
    sets = [n_train + np.repeat(np.arange(len(w)), w.astype(int)) for w in draws.weights.T]
    makers: dict[str, Callable[[Any], Any]] = {
        "ACC": aggregative.ACC,
        "PACC": aggregative.PACC,
        "EMQ-BCTS": lambda answers: aggregative.EMQ(answers, val_split=5, calib="bcts"),
        "KDEy": aggregative.KDEyML,
    }
    rows = np.arange(n_train)[:, np.newaxis]
    for name, make in makers.items():
        method = make(StoredAnswers(proba)).fit(rows, trial.labels)
        shares = [method.predict(texts[:, np.newaxis]) for texts in sets]
        yield name, np.array(shares).T
    by_topic = np.zeros((n_topics, len(sets)))
    for topic in range(n_topics):
        binary = np.stack([1 - proba[:, topic], proba[:, topic]], axis=1)
        method = aggregative.DyS(StoredAnswers(binary)).fit(rows, (trial.labels == topic) * 1)
        by_topic[topic] = [method.predict(texts[:, np.newaxis])[1] for texts in sets]
    yield "DyS", by_topic / np.maximum(by_topic.sum(axis=0), 1e-9)


def measure_quapy(
    name: str, seed: int, n_train: int, n_texts: int, n_draws: int, pool: str
) -> dict[str, float]:
    """Return the mean absolute errors of shares by method, for random shares."""
    trial = make_trial(name, n_train, seed, pool)
    draws = draw_sets(trial.topics, trial.proba.shape[1], n_texts, n_draws, seed)
    errors = count_sets(trial, draws).errors
    fold_proba = _answer_in_folds(trial.learned, trial.labels, seed)
    for method, found in quapy_shares(trial, fold_proba, draws):
        errors[method] = _error(found, draws.shares)
    return errors


def quapy(
    *,
    sets: tuple[str, ...] = SETS,
    models: int = N_QUAPY_MODELS,
    draws: int = N_DRAWS,
    train: int = N_TRAIN,
    texts: int = N_TEXTS,
    pool: str = "test",
) -> str:
    """Errors of shares relative to counted answers, beside QuaPy's methods."""
    if importlib.util.find_spec("quapy") is None:
        raise SystemExit("install quapy first: pip install quapy")
    measure = partial(measure_quapy, n_train=train, n_texts=texts, n_draws=draws, pool=pool)
    methods = ["slugline", *METHODS]
    rows, ratios = [], []
    for name, of_set in map_seeds(measure, sets, models).items():
        counted = np.mean([m["counted answers"] for m in of_set])
        ratios.append([np.mean([m[key] for m in of_set]) / counted for key in methods])
        rows.append([name, f"{counted:.4f}", *(f"{ratio:.2f}" for ratio in ratios[-1])])
    rows.append(["**mean**", "", *(f"{ratio:.2f}" for ratio in np.mean(ratios, axis=0))])
    return (
        f"{models} models of {train} documents for each set, {draws} sets of {texts} texts with "
        "random shares for each. The mean absolute error of counted answers, and that of other "
        "ways relative to it.\n\n" + table(["", "counted answers", *methods], rows)
    )


# Several topics ----------------------------------------------------------------------------------

#: Sets with several topics for a text: Reuters, and sets whose texts are joined.
MULTILABEL_SETS = ("reuters-modapte", "trec", "ag_news", "banking77")
#: How much more common topics are than in the pool: the logarithms of factors have this deviation.
SHIFTS = {"as drawn": 0.0, "shifted": 2.0}
#: Ways to count.
MULTILABEL_METHODS = ("counted answers", "sums of probabilities", "slugline")
#: Most training documents of sets whose texts are joined.
N_JOINED = 1500


class MultilabelMeasurement(NamedTuple):
    """Mean absolute errors by method in texts, and what intervals hold.

    `holds` and `heldout_sizes` have an entry for each draw and topic: whether the interval holds,
    and the number of held-out documents of the topic.
    """

    errors: dict[str, float]
    holds: Any
    heldout_sizes: Any
    width: float


def load_multilabel(name: str, pool: str, seed: int) -> tuple[Documents, Documents]:
    """Return documents to learn from, and those to count.

    With the pool "train", both are halves of the training documents.
    """
    if name == "reuters-modapte":
        train, others = load_modapte()
    else:
        train, others = join_texts(name, N_JOINED if pool == "test" else 2 * N_JOINED)
    if pool == "test":
        return train, others
    order = np.random.default_rng(seed).permutation(len(train[0])).tolist()
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    first, second = (([train[0][i] for i in h], [train[1][i] for i in h]) for h in halves)
    return first, second


def measure_multilabel(
    name: str, shift: float, seed: int, n_texts: int, n_draws: int, pool: str
) -> MultilabelMeasurement:
    """Count sets of texts with several topics."""
    learned, others = load_multilabel(name, pool, seed)
    model = TopicClassifier(n_jobs=1).fit(*learned)
    names = [str(topic) for topic in model.fitted_.topics.names]
    proba = model.predict_proba(others[0]).astype(np.float32)
    is_topic = np.array([[topic in topics for topic in names] for topics in others[1]])
    samples = model_samples(model.fitted_)
    rng = np.random.default_rng(seed)
    errors: dict[str, list[float]] = {}
    holds, widths = [], []
    for i in range(n_draws):
        factors = np.exp(rng.normal(0, shift, len(names)))
        # A text is drawn by the mean factor of its topics.
        weights = is_topic @ factors / np.maximum(is_topic.sum(axis=1), 1)
        weights = np.where(is_topic.any(axis=1), weights, 1.0)
        rows = rng.choice(len(proba), n_texts, p=weights / weights.sum())
        true = is_topic[rows].mean(axis=0)
        texts = proba[rows].astype(np.float64)
        estimates = estimate_texts(samples, texts, np.ones(n_texts), seed=i)
        for method, found in (
            ("counted answers", (texts >= LIKELY).mean(axis=0)),
            ("sums of probabilities", texts.mean(axis=0)),
            ("slugline", topic_shares(estimates)),
        ):
            errors.setdefault(method, []).append(n_texts * _error(found, true))
        low, high = np.array(topic_intervals(estimates)).T
        low = np.floor(n_texts * low + 1e-9) / n_texts
        high = np.ceil(n_texts * high - 1e-9) / n_texts
        holds.append((low - 1e-9 <= true) & (true <= high + 1e-9))
        widths.append((high - low).mean())
    sizes = np.array([sample.topic_sizes[0] for sample in samples])
    return MultilabelMeasurement(
        {method: float(np.mean(each)) for method, each in errors.items()},
        np.array(holds),
        np.tile(sizes, (n_draws, 1)),
        float(np.mean(widths)),
    )


def multilabel(
    sets: Sequence[str] = MULTILABEL_SETS,
    models: int = 2,
    draws: int = 5,
    texts: int = N_TEXTS,
    pool: str = "test",
) -> str:
    """Errors and intervals of counts where a text may have several topics."""
    jobs = [
        (name, shift, seed) for name in sets for shift in SHIFTS.values() for seed in range(models)
    ]
    fixed = [[value] * len(jobs) for value in (texts, draws, pool)]
    measured = map_processes(measure_multilabel, *map(list, zip(*jobs, strict=True)), *fixed)
    rows = []
    for name in sets:
        for label, shift in SHIFTS.items():
            of_set = [m for job, m in zip(jobs, measured, strict=True) if job[:2] == (name, shift)]
            holds = np.concatenate([m.holds.ravel() for m in of_set])
            sizes = np.concatenate([m.heldout_sizes.ravel() for m in of_set])
            rows.append(
                [
                    f"{name}, {label}",
                    *(
                        f"{np.mean([m.errors[method] for m in of_set]):.2f}"
                        for method in MULTILABEL_METHODS
                    ),
                    f"{holds.mean():.3f}",
                    *(
                        f"{holds[mask].mean():.3f}" if mask.any() else ""
                        for mask in (sizes < 10, sizes >= 10)
                    ),
                    f"{np.mean([m.width for m in of_set]):.3f}",
                ]
            )
    return (
        f"{models} models for each set, {draws} sets of {texts} texts for each. Mean absolute "
        "errors of a topic, in texts; and which intervals hold: of all topics, of those with fewer "
        "than ten held-out documents, and of others.\n\n"
        + table(["", *MULTILABEL_METHODS, "hold", "few held out", "others", "mean width"], rows)
    )


# With labels ------------------------------------------------------------------------------------

#: Sources with the same topics: a model of one counts texts of the other. Names of topics differ.
SOURCES = {
    "ag_news on bbc": ("ag_news", "bbc"),
    "bbc on ag_news": ("bbc", "ag_news"),
    "sib200-en on sib200-es": ("sib200-en", "sib200-es"),
    "sib200-de on sib200-en": ("sib200-de", "sib200-en"),
    "ohsumed on itself": ("ohsumed", "ohsumed"),
}
AG_NEWS_TOPICS = {"1": "politics", "2": "sports", "3": "business", "4": "tech"}
#: Texts to count, and labels of some of them.
N_SHIFTED, N_LABELS = 1000, 200


class LabelledMeasurement(NamedTuple):
    """Which intervals hold, shape (n_draws, n_topics), and their mean widths.

    `with_labels` are the intervals of `slugline count --labelled`, `alone` Wilson's of the labels,
    and `by_model` those without labels, of which `n_warned` come with a warning.
    """

    with_labels: Any
    alone: Any
    by_model: Any
    widths: tuple[float, float, float]
    n_warned: int


def measure_labelled(name: str, seed: int, n_labels: int, n_draws: int) -> LabelledMeasurement:
    """Count texts of another source, with labels of some of them."""
    source, target = SOURCES[name]
    (train, _), (_, others) = load(source), load(target)
    learned = _rename(select(train, np.random.default_rng(seed).permutation(len(train.texts))))
    learned = select(learned, np.arange(min(N_TRAIN, len(learned.texts))))
    names, counts = np.unique(learned.topics, return_counts=True)
    others = _keep(_rename(others), names[counts >= MIN_DOCUMENTS])
    names = np.unique(others.topics)
    learned = _keep(learned, names)
    model = TopicClassifier(n_jobs=1).fit(learned.texts, learned.topics)
    [sample] = model_samples(model.fitted_)
    proba = model.predict_proba(others.texts).astype(np.float64)
    topics = np.searchsorted(names, others.topics)
    draws = draw_sets(topics, len(names), N_SHIFTED, n_draws, seed)
    rng = np.random.default_rng(seed)
    holds: list[list[Any]] = [[], [], []]
    widths, n_warned = [], 0
    for weights, true in zip(draws.weights.T, draws.shares.T, strict=True):
        rows = np.repeat(np.arange(len(topics)), weights.astype(int))
        chosen = rng.choice(rows, n_labels, replace=False)
        by_model = estimate_group(sample, proba[rows], np.ones(len(rows)), seed=seed)
        drift = find_drift(
            model.fitted_.text_profile, [others.texts[row] for row in rows.tolist()], [by_model]
        )
        n_warned += drift is not None and drift.is_significant()
        explained = explained_variance(sample, by_model.shares)
        intervals: list[list[Interval]] = [[], [], by_model.intervals()]
        for topic in range(len(names)):
            labels = (topics[chosen] == topic).astype(np.float64)
            ones = np.ones(n_labels)
            alone = estimate_labelled_share(labels, ones, len(rows))
            both = alone
            if explained[topic] > 0:
                both = estimate_labelled_share(
                    labels,
                    ones,
                    len(rows),
                    proba=proba[chosen, topic],
                    mean_proba=float(proba[rows, topic].mean()),
                )
            intervals[0].append(both.interval)
            intervals[1].append(alone.interval)
        for kept, each in zip(holds, intervals, strict=True):
            ends = np.array(each)
            kept.append((ends[:, 0] - 1e-9 <= true) & (true <= ends[:, 1] + 1e-9))
        widths.append([np.mean([i.high - i.low for i in each]) for each in intervals])
    first, second, third = (np.array(each) for each in holds)
    means = np.mean(widths, axis=0).tolist()
    return LabelledMeasurement(first, second, third, (means[0], means[1], means[2]), n_warned)


def _rename(corpus: Corpus) -> Corpus:
    topics = [AG_NEWS_TOPICS.get(str(topic), str(topic)) for topic in corpus.topics]
    return Corpus(corpus.texts, topics, "rows")


def labelled(
    sources: Sequence[str] = tuple(SOURCES),
    models: int = 3,
    draws: int = 40,
    labels: int = N_LABELS,
) -> str:
    """Intervals with 200 labelled texts of another source than the model's."""
    measure = partial(measure_labelled, n_labels=labels, n_draws=draws)
    rows = []
    for name, of_set in map_seeds(measure, sources, models).items():
        widths = np.mean([m.widths for m in of_set], axis=0)
        rows.append(
            [
                name,
                *(
                    f"{np.mean([np.mean(m[i]) for m in of_set]):.3f}, {widths[i]:.3f}"
                    for i in range(3)
                ),
                f"{sum(m.n_warned for m in of_set) / draws / models:.2f}",
            ]
        )
    return (
        f"{N_SHIFTED:,} texts of another source, {labels} of them labelled; {models} models, "
        f"{draws} sets of texts each. How many intervals hold, and their mean width.\n\n"
        + table(["", "labels and model", "labels alone", "model alone", "warned"], rows)
    )


# Time ---------------------------------------------------------------------------------------------


def speed(texts: int = 1_000_000, rounds: int = 3) -> str:
    """Seconds and memory of `slugline count` beside `slugline predict`."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = synthetic_texts(20_000 + texts, 20, 0)
        train = [*islice(pairs, 20_000)]
        model = TopicClassifier().fit([t for t, _ in train], [topic for _, topic in train])
        model.save(Path(folder, "model.slug"))
        with Path(folder, "new.csv").open("w") as file:
            file.write("text,day\n")
            for i, (text, _) in enumerate(pairs):
                file.write(f"{text},2026-{1 + 12 * i // texts:02}-01\n")
        commands = {
            "predict": ["predict", "model.slug", "new.csv", "-o", "out.csv"],
            "count": ["count", "model.slug", "new.csv"],
            "count --by month": ["count", "model.slug", "new.csv", "--by", "month"],
        }
        runs = run_in_turn(
            {
                name: partial(run_child, "counting", "run_command", folder, *words)
                for name, words in commands.items()
            },
            rounds,
        )
    rows = []
    base = np.median([run["process_seconds"] for run in runs["predict"]])
    for name, measured in runs.items():
        seconds = np.median([run["process_seconds"] for run in measured])
        memory = np.median([run["peak_mb"] for run in measured])
        rows.append([name, f"{seconds:.1f}", f"{seconds / base:.2f}", f"{memory:.0f}"])
    return f"{texts:,} texts.\n\n" + table(["", "seconds", "beside predict", "MB"], rows)


def run_command(folder: str, *words: str) -> dict[str, float]:
    """Run a command of Slugline in this process."""
    import contextlib
    import os
    import sys

    from slugline.cli import main

    os.chdir(folder)
    sys.argv = ["slugline", *words, "--quiet"]
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
        main()
    return {}


BENCHMARKS = {
    "shares": shares,
    "quapy": quapy,
    "multilabel": multilabel,
    "labelled": labelled,
    "speed": speed,
}
QUICK = {
    "shares": {"sets": ("trec",), "models": 1, "draws": 2},
    "quapy": {"sets": ("trec",), "models": 1, "draws": 2},
    "multilabel": {"sets": ("trec",), "models": 1, "draws": 2},
    "labelled": {"sources": ("bbc on ag_news",), "models": 1, "draws": 2},
    "speed": {"texts": 2000, "rounds": 1},
}
