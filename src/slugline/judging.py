"""Answers to training documents by what was learned from others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from slugline.base.arrays import F32, I64, Index
from slugline.fit_settings import FitSettings
from slugline.fitted import Fitted
from slugline.labels import Topic
from slugline.learners.choosing import choose_learner
from slugline.learners.linear import LinearLearner
from slugline.splits import make_folds
from slugline.text.known_words import usual_words
from slugline.thresholds.answers import MOST_ANSWERS, LeftOutAnswers

__all__ = ["Refit", "judged"]

#: Learns with the settings from the documents with these numbers.
Refit = Callable[[FitSettings, Index], Fitted]

# Learners that don't tell what they would say of documents left out learn anew without a third of
# them, three times; or once, without a few, if documents are so many that this takes long.
_N_FOLDS, _MANY = 3, 20_000


def judged(
    fitted: Fitted, texts: Sequence[str], labels: I64, settings: FitSettings, refit: Refit
) -> Fitted:
    """Return the same with answers to documents that were left out, to choose thresholds by.

    Parameters
    ----------
    fitted : Fitted
        What was learned from all documents.
    texts : sequence of str
    labels : int array, shape (n_documents,)
        Their topics.
    settings : FitSettings
        How it was learned; `min_precision` is set.
    refit : callable
        Learns again from some of the documents.
    """
    rows, proba = _linear(fitted) or _cross_validated(fitted, texts, labels, settings, refit)
    # An encoder may know what words don't, even in other languages.
    words = usual_words(fitted.features, texts) if fitted.dense is None else None
    answers = LeftOutAnswers.of(proba, labels[rows], words, settings.min_precision)
    return replace(fitted, left_out=answers)


def _linear(fitted: Fitted) -> tuple[Index, F32] | None:
    """Return rows that a linear learner has judged itself, and their probabilities."""
    learner = fitted.learner
    if not isinstance(learner, LinearLearner) or fitted.dense is not None:
        return None
    if not hasattr(learner, "left_out_"):  # it has learned in parts
        return None
    rows, scores = learner.left_out_
    return rows, learner.calibration.proba(scores)


def _cross_validated(
    fitted: Fitted,
    texts: Sequence[str],
    labels: I64,
    settings: FitSettings,
    refit: Refit,
) -> tuple[Index, F32]:
    found = replace(
        settings,
        learner=choose_learner(fitted.learner),
        blocks=fitted.features.blocks,
        tune=False,
        min_precision=None,
    )
    rows, parts = [np.zeros(0, np.intp)], [np.zeros((0, len(fitted.topics)), np.float32)]
    copies = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    for held in _held_out(labels, copies, settings.random_state):
        rest = np.flatnonzero(~np.isin(copies, copies[held]))
        held = held[np.isin(labels[held], labels[rest])]  # others' topics can't be told
        if not len(held):
            continue
        other = refit(found, rest)
        rows.append(held)
        parts.append(_probabilities(other, [texts[i] for i in held.tolist()], fitted.topics.names))
    return np.concatenate(rows), np.concatenate(parts)


def _held_out(labels: I64, copies: Index, seed: int) -> list[Index]:
    """Return the numbers of the documents to leave out at a time, copies of a text together."""
    n_documents = len(labels)
    if len(np.unique(copies)) < _N_FOLDS:
        return []
    if n_documents > _MANY:
        order = np.random.default_rng(seed).permutation(n_documents)
        return [np.sort(order[:MOST_ANSWERS])]
    folds = make_folds(labels.tolist(), _N_FOLDS, seed, copies)
    return [np.flatnonzero(folds == fold) for fold in range(_N_FOLDS)]


def _probabilities(other: Fitted, texts: Sequence[str], names: Sequence[Topic]) -> F32:
    """Return what another fit says of texts; the topics that it doesn't know have 0."""
    place = {name: number for number, name in enumerate(names)}
    proba = np.zeros((len(texts), len(names)), dtype=np.float32)
    proba[:, [place[name] for name in other.topics.names]] = other.predict_proba(texts)
    return proba
