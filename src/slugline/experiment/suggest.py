"""Active learning: suggest the documents whose labels would improve a model most."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from slugline.base.arrays import F32, F64, Index
from slugline.base.checks import check_whole
from slugline.base.progress import Progress, check_progress
from slugline.classifier import TopicClassifier, to_fitted
from slugline.corpus.documents import Topic, check_texts
from slugline.corpus.topic_sets import TopicSet, split_rows
from slugline.errors import DataError
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.model.fitted import Fitted
from slugline.model.multilabel_rule import MultilabelRule
from slugline.model.settings import draw_seed
from slugline.text.features import Features

#: Unit-length document rows: a CSR array of terms, or an encoder's float32 array.
Rows: TypeAlias = Any

# Sample sizes for the mean document: by terms, including their frequencies, and with an encoder,
# which is slower.
_N_TYPICAL, _N_ENCODED = 20_000, 2000
# Maximum number of documents to classify at a time.
_BLOCK = 1024
# Number of candidates per suggestion, and exponent of their similarity to the mean document. In
# simulations, 5 or 20 candidates or another exponent were no better.
_N_CANDIDATES, _TYPICALITY = 10, 0.5
# Number of dimensions for clustering the candidates.
_N_DIMENSIONS = 100
# Minimum distance of a probability from 0 and 1.
_MIN_PROBABILITY = 1e-6
# Two documents are near duplicates if the cosine of their rows is at least this.
_MIN_DUPLICATE_COSINE = 0.9


@dataclass(frozen=True)
class Suggestion:
    """A document to label, with the most likely topic and its probability.

    Multi-label models suggest a tuple of topics and the probability of the most likely one.
    """

    row: int
    text: str
    topic: Topic | TopicSet
    probability: float


def suggest(
    model: TopicClassifier | Fitted,
    texts: Iterable[str],
    n: int = 50,
    *,
    random_state: int = 0,
    progress: Progress | None = None,
) -> list[Suggestion]:
    """Return up to `n` distinct documents to label, from the best clusters first.

    Documents are ranked by uncertainty times information density. Uncertainty is the margin between
    the two likeliest topics or, for multi-label models, the number of decisions near their
    thresholds. The best `10 * n` documents are clustered by weighted k-means, and each cluster's
    central document is suggested. Blank texts and near duplicates are skipped. Similarity is based
    on a sentence encoder's cached rows, else on the terms of `texts`, because a model trained on
    few labels knows few terms.

    Parameters
    ----------
    model : TopicClassifier or Fitted
    texts : iterable of str
        Unlabelled documents, classified in batches in bounded memory.
    n : int, default 50
    random_state : int, default 0
    progress : Progress, optional

    Raises
    ------
    DataError : if no document contains a word.
    OptionError : if `n` or `random_state` is out of range.

    References
    ----------
    Scheffer et al. (2001), Active hidden Markov models for information extraction (margins);
    Settles and Craven (2008), An analysis of active learning strategies for sequence labeling
    tasks (density); Zhdanov (2019), Diverse mini-batch active learning (clusters).
    """
    fitted = to_fitted(model)
    check_whole("n", n, 1)
    seed = draw_seed(random_state)
    documents = check_texts(texts)
    rows = _different(documents)
    if not len(rows):
        raise DataError("no document contains a word; check which column contains the text.")
    if fitted.dense is not None:
        fitted = replace(fitted, dense=replace(fitted.dense, cache_rows=True))
    n_typical = _N_TYPICAL if _sentence_encoder(fitted) is None else _N_ENCODED
    with closing(check_progress(progress)) as progress:
        transform, typical = _typical(
            fitted, [documents[row] for row in _sample(rows, n_typical, seed)], progress
        )
        best, scores = _most_doubtful(
            fitted, documents, rows, transform, typical, _N_CANDIDATES * n, progress
        )
    candidates = transform([documents[row] for row in best])
    chosen = best[_spread(candidates, scores, n, seed)].tolist()
    proba = fitted.predict_proba([documents[row] for row in chosen])
    names = fitted.topics.names
    guesses: list[Any] = [names[guess] for guess in proba.argmax(axis=1)]
    if fitted.multilabel_rule is not None:
        guesses = [*map(tuple, split_rows(fitted.multilabel_rule.decide(proba), names, proba))]
    return [
        Suggestion(row, documents[row], guess, float(probability))
        for row, guess, probability in zip(chosen, guesses, proba.max(axis=1), strict=True)
    ]


def sample_texts(texts: Sequence[str], n: int, seed: int = 0) -> list[int]:
    """Return the rows of up to `n` distinct texts drawn at random, in ascending order.

    Use them to evaluate models: texts chosen by `suggest` are harder than average.
    """
    check_whole("n", n, 1)
    return _sample(_different(texts), n, seed).tolist()


def normal_form(text: str) -> str:
    """Return a key that ignores case and spaces."""
    return " ".join(text.casefold().split())


def _different(texts: Sequence[str]) -> Index:
    """Return the first row of each distinct text by `normal_form`, without blank texts."""
    first: dict[str, int] = {}
    for row, text in enumerate(texts):
        first.setdefault(normal_form(text), row)
    first.pop("", None)
    return np.array([*first.values()], dtype=np.intp)


def _sample(rows: Index, n: int, seed: int) -> Index:
    if len(rows) <= n:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, n, replace=False))


def _typical(
    fitted: Fitted, texts: Sequence[str], progress: Progress
) -> tuple[Callable[[Sequence[str]], Rows], F64]:
    """Return a function that turns texts into comparable rows, and the mean row."""
    encoder = _sentence_encoder(fitted)
    if encoder is not None:
        from slugline.learning.encoder.rows import encode

        by_meaning = partial(encode, encoder=encoder, n_jobs=fitted.features.n_jobs)
        rows = by_meaning(texts, progress=progress)
        return by_meaning, rows.mean(axis=0, dtype=np.float64)
    from sklearn.preprocessing import normalize

    features = Features(fitted.features.feature_groups, fitted.features.n_jobs)
    mean = normalize(features.fit_transform(texts)).mean(axis=0)

    def by_terms(texts: Sequence[str]) -> Rows:
        return normalize(features.transform(texts))

    return by_terms, np.asarray(mean, dtype=np.float64).ravel()


def _sentence_encoder(fitted: Fitted) -> CheckedEncoder | None:
    """Return the model's sentence encoder, or None to compare documents by terms.

    Word vectors are not used: in simulations on the training splits of four data sets, they saved
    24 % of the labels, and terms 39 %.
    """
    encoder = fitted.encoder
    return None if encoder is None or encoder.is_fast else encoder


def _most_doubtful(
    fitted: Fitted,
    texts: Sequence[str],
    rows: Index,
    transform: Callable[[Sequence[str]], Rows],
    typical: F64,
    n: int,
    progress: Progress,
) -> tuple[Index, F64]:
    """Return the rows and scores of the `n` most uncertain and typical documents."""
    best, scores = rows[:0], np.zeros(0)
    for start in range(0, len(rows), _BLOCK):
        group = rows[start : start + _BLOCK]
        block_texts = [texts[row] for row in group]
        typicality = np.maximum(transform(block_texts) @ typical, 0) ** _TYPICALITY
        best = np.concatenate([best, group])
        doubts = doubt(fitted.predict_proba(block_texts), fitted.multilabel_rule)
        scores = np.concatenate([scores, doubts * typicality])
        order = np.argsort(-scores, kind="stable")[:n]
        best, scores = best[order], scores[order]
        n_done = start + len(group)
        progress.update("classifying texts", n_done / len(rows), f"{n_done:,} texts")
    return best, scores


def doubt(proba: F32, decision: MultilabelRule | None = None) -> F64:
    """Return 1 minus the margin between the two likeliest topics.

    For multi-label models, return the sum of min(r, 1 / r) over topics, where r is the topic's odds
    divided by its threshold's odds: nearly 1 for a decision near the threshold, nearly 0 for a
    clear one. If each document has a single path, only the margin between leaf topics counts.
    """
    if decision is not None and decision.path_ends:
        proba = decision.end_proba(proba)
    elif decision is not None:
        from scipy.special import logit

        pair = proba.astype(np.float64), decision.thresholds.astype(np.float64)
        logits = [logit(part.clip(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)) for part in pair]
        return np.asarray(np.exp(-np.abs(logits[0] - logits[1])).sum(axis=1))
    if proba.shape[1] == 1:
        return np.ones(len(proba))
    second, first = np.partition(proba, -2, axis=1)[:, -2:].T
    return 1.0 - (first - second).astype(np.float64)


def _spread(rows: Rows, scores: F64, n: int, seed: int) -> list[int]:
    """Return the indices of up to `n` distinct rows."""
    from sklearn.metrics.pairwise import linear_kernel

    in_order = [*_middles(rows, scores, n, seed), *range(rows.shape[0])]
    chosen: list[int] = []
    likeness = np.zeros(rows.shape[0])
    for row in in_order:
        if len(chosen) == n:
            break
        if likeness[row] < _MIN_DUPLICATE_COSINE:
            chosen.append(row)
            likeness = np.maximum(likeness, linear_kernel(rows, rows[[row]]).ravel())
            likeness[row] = 1.0
    return chosen


def _middles(rows: Rows, scores: F64, n: int, seed: int) -> Iterator[int]:
    """Yield the central row of each cluster, the best clusters first."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    if rows.shape[0] <= n or not scores.max() > 0:
        return
    n_dimensions = min(_N_DIMENSIONS, *(size - 1 for size in rows.shape))
    if n_dimensions < 1:
        return
    # One thread, since the number affects the last bits. Fewer clusters than requested are fine.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        left_vectors, lengths, _ = randomized_svd(rows, n_dimensions, random_state=seed)
        places = (left_vectors * lengths).astype(np.float64)
        means = KMeans(n, n_init=1, max_iter=20, random_state=seed)
        distances = means.fit(places, sample_weight=scores).transform(places)
    nearest = [
        int(members[distances[members, group].argmin()])
        for group in range(n)
        if len(members := np.flatnonzero(means.labels_ == group))
    ]
    # Candidates are sorted by score.
    yield from sorted(nearest)
