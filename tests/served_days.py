"""Texts that a server answers on successive days."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slugline.classifier import TopicClassifier
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.store import WatchStore

__all__ = ["FIRST", "draw_texts", "serve_days", "train_news"]

#: The first day.
FIRST = datetime.date(2026, 1, 5)
WORDS = {
    "bank": ["rate", "loan", "bond", "fed", "credit", "yield", "dollar", "deposit"],
    "grain": ["wheat", "corn", "crop", "export", "tonnes", "barley", "silo", "harvest"],
    "sport": ["goal", "match", "team", "coach", "league", "striker", "cup", "penalty"],
}


def draw_texts(counts: Sequence[int], seed: int = 0) -> tuple[list[str], list[str]]:
    """Return texts and their topics, so many of each topic; some words are of other topics."""
    rng = np.random.default_rng(seed)
    every = [word for words in WORDS.values() for word in words]
    texts, topics = [], []
    for (topic, words), n in zip(WORDS.items(), counts, strict=True):
        for _ in range(n):
            texts.append(" ".join([*rng.choice(words, 2), *rng.choice(every, 2)]))
            topics.append(topic)
    return texts, topics


def train_news(path: Path) -> Path:
    """Save a model whose topics are equally common in training."""
    texts, topics = draw_texts([120, 120, 120], seed=9)
    TopicClassifier(min_precision=0.8, encoder=None).fit(texts, topics).save(path)
    return path


def serve_days(
    store: WatchStore,
    model: ServedModel,
    days: Sequence[Sequence[int]],
    first: int = 0,
    *,
    n_kept: int = 0,
    seed: int | None = None,
) -> datetime.date:
    """Answer texts of each topic on successive days; return the day after them."""
    today = [FIRST]
    watch = Watch(Metrics(), store, today=lambda: today[0], n_kept=n_kept, seed=seed)
    for number, counts in enumerate(days, first):
        today[0] = FIRST + datetime.timedelta(number)
        if any(counts):
            texts, _ = draw_texts(counts, seed=number)
            watch.add(model, model.answer(texts))
            watch.write()
    return today[0] + datetime.timedelta(1)
