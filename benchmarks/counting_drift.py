"""Counting topics: how often `count` warns of new topics and other sources, and without cause.

Models learn from half of a split's documents, 800 at most. Texts to count are drawn from its other
documents, so that nothing has changed but what is changed on purpose. Texts of the set's other
split are a kind of change: those of TREC, AG News and 20 Newsgroups were collected at other times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data import load, select
from measure import map_processes, table
from slugline import Corpus, TopicClassifier
from slugline.base.arrays import F64, Index
from slugline.counting.count import model_samples
from slugline.counting.drift import find_drift
from slugline.counting.estimation import estimate_group

SETS = (
    "ag_news",
    "stackoverflow",
    "trec",
    "trec50",
    "banking77",
    "20ng",
    "ohsumed",
    "webkb",
    "reuters",
    "subj",
    "custrev",
)
#: The set that texts of another source are from.
OTHERS = {
    "ag_news": "stackoverflow",
    "stackoverflow": "banking77",
    "trec": "banking77",
    "trec50": "banking77",
    "banking77": "trec",
    "20ng": "ag_news",
    "ohsumed": "ag_news",
    "webkb": "20ng",
    "reuters": "ag_news",
    "subj": "custrev",
    "custrev": "subj",
}
N_TRAIN, N_TEXTS = 800, 400
# The fewest documents of a topic.
_MIN_DOCUMENTS, _MIN_NEW = 5, 40


class _Pool(NamedTuple):
    """Texts to draw from, and a model's probabilities for them."""

    texts: list[str]
    proba: F64

    def take(self, rows: Index) -> _Pool:
        return _Pool([self.texts[row] for row in rows.tolist()], self.proba[rows])

    def draw(self, n: int, rng: np.random.Generator) -> _Pool:
        return self.take(rng.permutation(len(self.texts))[:n])

    def add(self, other: _Pool) -> _Pool:
        return _Pool(self.texts + other.texts, np.concatenate([self.proba, other.proba]))


class _Trial:
    """A model, and texts that it hasn't learned from.

    If `is_new` is true, a topic is left out of training, and its texts are `others`; otherwise, the
    others are those of another source.
    """

    def __init__(self, name: str, seed: int, pool: str, *, is_new: bool) -> None:
        rng = np.random.default_rng(seed)
        splits = load(name)
        documents, other_split = splits[pool == "test"], splits[pool != "test"]
        documents = select(documents, rng.permutation(len(documents.texts)))
        topics = np.array([str(topic) for topic in documents.topics])
        n_train = min(N_TRAIN, len(topics) // 2)
        left_out = None
        if is_new:
            names, counts = np.unique(topics, return_counts=True)
            left_out = rng.choice(names[counts >= max(_MIN_NEW, np.median(counts) / 2)])
        rows = np.flatnonzero(topics != left_out)
        learned = select(documents, rows[:n_train])
        unused = select(documents, np.setdiff1d(np.arange(len(topics)), rows[:n_train]))
        names, counts = np.unique([str(topic) for topic in learned.topics], return_counts=True)
        names = names[counts >= _MIN_DOCUMENTS]
        learned, known = _keep(learned, [*names]), _keep(unused, [*names])
        model = TopicClassifier(n_jobs=1, random_state=seed).fit(learned.texts, learned.topics)
        self.fitted = model.fitted_
        self.known = self._pool(known.texts)
        self.topics = np.searchsorted(names, known.topics)
        if is_new:
            others = _keep(unused, [str(left_out)])
        else:
            others = load(OTHERS[name])[pool == "test"]
            others = select(others, rng.permutation(len(others.texts))[:2000])
        self.others = self._pool(others.texts)
        self.other_split = self._pool(_keep(other_split, [*names]).texts)

    def _pool(self, texts: Sequence[str]) -> _Pool:
        return _Pool([*texts], self.fitted.predict_proba(texts).astype(np.float64))

    def is_warned(self, texts: _Pool) -> bool:
        """Return whether `count` warns of texts."""
        [sample] = model_samples(self.fitted)
        estimate = estimate_group(sample, texts.proba, np.ones(len(texts.texts)), seed=0)
        drift = find_drift(self.fitted.text_profile, texts.texts, [estimate])
        return drift is not None and drift.is_significant()

    def draw_shifted(self, n: int, rng: np.random.Generator) -> _Pool:
        """Draw texts whose shares of topics are random, each text once."""
        n_topics = self.topics.max() + 1
        counts = rng.multinomial(n, rng.dirichlet(np.ones(n_topics)))
        rows = [
            rng.permutation(np.flatnonzero(self.topics == topic))[:count]
            for topic, count in enumerate(counts.tolist())
        ]
        return self.known.take(np.concatenate(rows))


def _keep(corpus: Corpus, names: Sequence[str]) -> Corpus:
    topics = np.array([str(topic) for topic in corpus.topics])
    rows = np.flatnonzero(np.isin(topics, names))[:4000]
    return Corpus([corpus.texts[i] for i in rows.tolist()], topics[rows].tolist(), "rows")


def measure_drift(
    name: str, seed: int, n_texts: int, n_draws: int, pool: str
) -> list[tuple[str, bool]]:
    """Return whether each drawn set of texts gets a warning, by the kind of change."""
    rng = np.random.default_rng(seed)
    other = _Trial(name, seed, pool, is_new=False)
    new = None if len(other.fitted.topics) < 3 else _Trial(name, seed, pool, is_new=True)
    return [
        (kind, trial.is_warned(texts))
        for _ in range(n_draws)
        for kind, trial, texts in _changes(other, new, n_texts, rng)
    ]


def _changes(
    other: _Trial, new: _Trial | None, n_texts: int, rng: np.random.Generator
) -> Iterator[tuple[str, _Trial, _Pool]]:
    n_texts = min(n_texts, len(other.known.texts) // 2)
    yield "no change", other, other.known.draw(n_texts, rng)
    yield "shares", other, other.draw_shifted(n_texts, rng)
    for percent in (10, 20):
        n_new = n_texts * percent // 100
        if new is not None:
            n_drawn = min(n_new, len(new.others.texts))
            n_known = n_drawn * (100 - percent) // percent
            texts = new.known.draw(n_known, rng).add(new.others.draw(n_drawn, rng))
            yield f"new topic, {percent} %", new, texts
        texts = other.known.draw(n_texts - n_new, rng).add(other.others.draw(n_new, rng))
        yield f"other source, {percent} %", other, texts
    yield "other split", other, other.other_split.draw(n_texts, rng)
    yield "other source, all", other, other.others.draw(n_texts, rng)


KINDS = (
    "no change",
    "shares",
    "new topic, 10 %",
    "new topic, 20 %",
    "other source, 10 %",
    "other source, 20 %",
    "other source, all",
    "other split",
)


def power(
    sets: Sequence[str] = SETS,
    models: int = 5,
    draws: int = 6,
    texts: int = N_TEXTS,
    pool: str = "test",
) -> str:
    """Fraction of sets of texts with a warning, by kind of change."""
    jobs = [(name, seed) for name in sets for seed in range(models)]
    fixed = [[value] * len(jobs) for value in (texts, draws, pool)]
    measured = map_processes(measure_drift, *map(list, zip(*jobs, strict=True)), *fixed)
    by_set: dict[str, dict[str, list[bool]]] = {name: {kind: [] for kind in KINDS} for name in sets}
    for (name, _), warned in zip(jobs, measured, strict=True):
        for kind, is_warned in warned:
            by_set[name][kind].append(is_warned)
    rows = [
        [name, *(f"{np.mean(by_set[name][k]):.2f}" if by_set[name][k] else "" for k in KINDS)]
        for name in sets
    ]
    means = [
        np.mean([float(np.mean(each[kind])) for each in by_set.values() if each[kind]] or [np.nan])
        for kind in KINDS
    ]
    rows.append(["**mean**", *(f"{mean:.3f}" for mean in means)])
    return (
        f"{models} models of up to {N_TRAIN} documents for each set, {draws} sets of "
        f"{texts} texts of each kind for each model: fraction with a warning. The first two "
        "columns are false warnings.\n\n" + table(["", *KINDS], rows)
    )


BENCHMARKS = {"power": power}
QUICK = {"power": {"sets": ("trec",), "models": 1, "draws": 1}}
