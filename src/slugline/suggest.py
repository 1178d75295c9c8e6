"""What to label next: the documents whose topics would teach a model most."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.checks import check_whole
from slugline.documents import as_texts
from slugline.errors import DataError
from slugline.fitted import Fitted
from slugline.labels import Topic
from slugline.text.block import Block
from slugline.text.features import Features

__all__ = ["Suggestion", "suggest"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

#: Told how many documents have been looked at.
Progress = Callable[[int], object]

# Documents that tell which words are common, and what a typical document is.
_N_TYPICAL = 20_000
# Documents that are classified at a time, and cells of their probabilities.
_BLOCK, _CELLS = 4096, 1 << 22
# Doubtful documents to choose each suggestion from: with 5 or 20, a simulated annotator got no
# further, nor did it with another power of how typical they are.
_N_EACH = 10
_TYPICALITY = 0.5
# Dimensions in which the candidates are grouped.
_N_DIMENSIONS = 100
# Two documents are near duplicates if the cosine of their words' weights is at least this.
_SAME = 0.9


@dataclass(frozen=True)
class Suggestion:
    """A document to label.

    Attributes
    ----------
    row : int
        Which of the documents it is, counted from 0.
    text : str
    topic : str or int
        The model's best guess.
    probability : float
        Of that guess.
    """

    row: int
    text: str
    topic: Topic
    probability: float


def suggest(
    fitted: Fitted,
    texts: Iterable[str],
    n: int = 50,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Suggestion]:
    """Return the documents whose labels would probably teach the model most, best groups first.

    First come the documents between whose two likeliest topics the model hesitates most (margin
    sampling), weighed by how typical they are of all documents (information density), as an odd one
    teaches little of the others. Of these, ten times as many as are wanted are put into as many
    groups as are wanted, by their words (k-means, weighed in the same way), and each group suggests
    its middle one. Of near duplicates, only one is suggested, and blank texts never are.

    Parameters
    ----------
    fitted : Fitted
    texts : iterable of str
        Documents without labels. They are classified in blocks, so memory is bounded by the texts.
    n : int, default 50
        How many to suggest; fewer come back if there are not as many different ones.
    seed : int, default 0
        Chooses among equals, and the sample of documents that shows what is typical.
    progress : callable, optional
        Told now and then how many documents have been looked at.

    Raises
    ------
    DataError : if no document has a word in it.
    OptionError : if `n` or `seed` is out of its range.

    References
    ----------
    Scheffer et al. (2001), Active hidden Markov models for information extraction: margins;
    Settles and Craven (2008), An analysis of active learning strategies for sequence labeling
    tasks: density; Zhdanov (2019), Diverse mini-batch active learning: groups.
    """
    check_whole("n", n, 1)
    check_whole("seed", seed, 0, (1 << 32) - 1)
    documents = as_texts(texts)
    rows = _different(documents)
    if not len(rows):
        raise DataError("no document has a word in it; check which column holds the text.")
    features, typical = _typical([documents[row] for row in _sample(rows, seed)])
    best, scores = _most_doubtful(fitted, documents, rows, features, typical, _N_EACH * n, progress)
    words = features.transform([documents[row] for row in best])
    chosen = best[_spread(words, scores, n, seed)].tolist()
    proba = fitted.predict_proba([documents[row] for row in chosen])
    return [
        Suggestion(row, documents[row], fitted.topics.names[guess], float(given[guess]))
        for row, guess, given in zip(chosen, proba.argmax(axis=1), proba, strict=True)
    ]


def _different(texts: Sequence[str]) -> Integers:
    """Return the first of each text, letter case and spaces aside, without the blank ones."""
    seen = {hash("")}
    first = []
    for row, text in enumerate(texts):
        # The hash alone: a set of all texts would hold them twice.
        known = hash(" ".join(text.casefold().split()))
        if known not in seen:
            seen.add(known)
            first.append(row)
    return np.array(first, dtype=np.intp)


def _sample(rows: Integers, seed: int) -> Integers:
    if len(rows) <= _N_TYPICAL:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, _N_TYPICAL, replace=False))


def _typical(texts: Sequence[str]) -> tuple[Features, Floats]:
    """Return the words of documents, and the mean of their rows.

    They are the documents' own words: a model that has learned from few knows few of them.
    """
    features = Features([Block("words")])
    rows = features.fit_transform(texts)
    return features, np.asarray(rows.mean(axis=0), dtype=np.float64).ravel()


def _most_doubtful(
    fitted: Fitted,
    texts: Sequence[str],
    rows: Integers,
    features: Features,
    typical: Floats,
    n: int,
    progress: Progress | None,
) -> tuple[Integers, Floats]:
    """Return the `n` documents that are most doubtful and typical, by row, and how much so."""
    best, scores = rows[:0], np.zeros(0)
    n_at_once = max(1, min(_BLOCK, _CELLS // len(fitted.topics)))
    for start in range(0, len(rows), n_at_once):
        block = rows[start : start + n_at_once]
        here = [texts[row] for row in block]
        typicality = (features.transform(here) @ typical) ** _TYPICALITY
        best = np.concatenate([best, block])
        scores = np.concatenate([scores, _doubt(fitted.predict_proba(here)) * typicality])
        order = np.argsort(-scores, kind="stable")[:n]
        best, scores = best[order], scores[order]
        if progress is not None:
            progress(start + len(block))
    return best, scores


def _doubt(proba: npt.NDArray[np.float32]) -> Floats:
    """Return 1 less the lead of each row's likeliest topic over the next one."""
    if proba.shape[1] == 1:
        return np.ones(len(proba))
    second, first = np.partition(proba, -2, axis=1)[:, -2:].T
    return 1.0 - (first - second).astype(np.float64)


def _spread(words: sp.csr_array, scores: Floats, n: int, seed: int) -> list[int]:
    """Return the rows of `n` documents that differ in their words, or of as many as do."""
    in_order = [*_middles(words, scores, n, seed), *range(words.shape[0])]
    chosen: list[int] = []
    likeness = np.zeros(words.shape[0])
    for row in in_order:
        if len(chosen) == n:
            break
        if likeness[row] < _SAME:
            chosen.append(row)
            likeness = np.maximum(likeness, words @ words[[row]].toarray().ravel())
            likeness[row] = 1.0
    return chosen


def _middles(words: sp.csr_array, scores: Floats, n: int, seed: int) -> Iterator[int]:
    """Yield the row nearest to the middle of each group, those of the best groups first."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    if words.shape[0] <= n or not scores.max() > 0:
        return
    n_dimensions = min(_N_DIMENSIONS, *(size - 1 for size in words.shape))
    if n_dimensions < 1:
        return
    # The number of threads would show in the last bits. Fewer groups than asked for are no matter.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        left, lengths, _ = randomized_svd(words, n_dimensions, random_state=seed)
        places = (left * lengths).astype(np.float64)
        means = KMeans(n, n_init=1, max_iter=20, random_state=seed)
        distances = means.fit(places, sample_weight=scores).transform(places)
    nearest = [
        int(members[distances[members, group].argmin()])
        for group in range(n)
        if len(members := np.flatnonzero(means.labels_ == group))
    ]
    # Candidates are in the order of their scores.
    yield from sorted(nearest)
