"""The audit of labelled documents: which topics are probably wrong, and what else is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.audit import evidence as others
from slugline.audit.evidence import (
    OddText,
    connect_groups,
    find_near_pairs,
    find_odd_texts,
    find_shared_lines,
    group_members,
    jaccard,
    number_identical,
)
from slugline.audit.suspicion import TopicEvidence, compare_copies, error_probabilities
from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.base.checks import check_whole, count_threads
from slugline.base.progress import Progress, check_progress
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topics
from slugline.errors import DataError
from slugline.learning.learner import FitContext
from slugline.text.blocks import default_blocks
from slugline.text.features import Features
from slugline.text.sparse import ranges

__all__ = [
    "Audit",
    "Leak",
    "SimilarTopics",
    "audit_corpus",
    "find_similar_topics",
    "group_copies",
]


# Topics that may be one: names that differ in case, and topics that can't be told apart -----------

# Topics can't be told apart if so many of their documents look more like the other one; by chance,
# it would be a half.
_MIXED = 0.3
_FEWEST_DOCUMENTS = 5


class SimilarTopics(NamedTuple):
    """Two topics that may be one.

    Attributes
    ----------
    topic, other : str
    why : str
    mixed : float or None
        The share of their documents that look more like the other topic, as the mean of both;
        None if their names tell.
    """

    topic: str
    other: str
    why: str
    mixed: float | None


def find_similar_topics(names: Sequence[str], y: I64, scores: F32) -> list[SimilarTopics]:
    """Return pairs of topics that differ in case or spaces alone, or can't be told apart.

    Parameters
    ----------
    names : sequence of str
    y : int array, shape (n_rows,)
    scores : float32 array, shape (n_rows, n_topics)
        Of each row, by what was learned from others.
    """
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(" ".join(name.casefold().split()), []).append(name)
    spelled = [
        SimilarTopics(group[0], other, "their names differ in case or spaces alone", None)
        for group in by_key.values()
        for other in group[1:]
    ]
    known = {(each.topic, each.other) for each in spelled}
    mixed = [each for each in _mixed(names, y, scores) if (each.topic, each.other) not in known]
    return spelled + sorted(mixed, key=lambda each: -(each.mixed or 0))


def _mixed(names: Sequence[str], y: I64, scores: F32) -> list[SimilarTopics]:
    counts = np.bincount(y, minlength=len(names))
    over = np.zeros((len(names), len(names)))
    order = np.argsort(y, kind="stable")
    for topic, rows in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        if len(rows) >= _FEWEST_DOCUMENTS:
            over[topic] = (scores[rows] > scores[rows, topic][:, np.newaxis]).mean(axis=0)
    both = (over + over.T) / 2
    enough = counts >= _FEWEST_DOCUMENTS
    found = np.argwhere(np.triu(both >= _MIXED, 1) & enough & enough[:, np.newaxis])
    return [
        SimilarTopics(
            names[first],
            names[second],
            f"{100 * both[first, second]:.0f} % of their documents look more like the other",
            float(both[first, second]),
        )
        for first, second in found.tolist()
    ]


# The audit of labelled documents: which topics are probably wrong, and what else is ---------------

# The share of documents that are not learned from, once they look wrong.
_DOUBTED = 0.08
# Words with which a text begins, as many as a block of leads takes, and characters of a long word.
_N_LEAD, _LONG_WORD = 48, 100
# The order of documents whose suspicion is equal follows what other documents say.
_TIE = 1e-9


@dataclass(frozen=True)
class Leak:
    """A test document that is also, or nearly, a training document.

    Attributes
    ----------
    row, test_row : int
        Which documents of the audit they are.
    likeness : float
        The Jaccard index of their terms; 1 if the texts are identical.
    """

    row: int
    test_row: int
    likeness: float


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found in some documents.

    Attributes
    ----------
    corpus : Corpus
        All documents: those to learn from, and then those to test on.
    n_train : int
        How many there are to learn from.
    suspicion : float array, shape (n_documents,)
        How likely each topic is wrong.
    order : int array, shape (n_documents,)
        The documents, the most suspect first.
    likely : list of str
        The topic that each would have if its own were wrong.
    nearest : Neighbours
        The documents nearest to each.
    topics : Topics
    evidence : Evidence
    groups : int array, shape (n_documents,)
        Copies and near copies share a number.
    copies, near_copies : list of int arrays
        The rows of texts that occur several times, and of texts that are nearly the same.
    leaks : list of Leak
    alike : list of AlikeTopics
    odd : list of OddText
    lines : list of (str, int)
        First and last lines that many texts share, and how many do.
    features : Features
    rows : CSR array, shape (n_documents, n_columns)
    """

    corpus: Corpus
    n_train: int
    suspicion: F64
    order: Index
    likely: list[str]
    nearest: others.Neighbours
    topics: Topics
    evidence: TopicEvidence
    groups: Index
    copies: list[Index]
    near_copies: list[Index]
    leaks: list[Leak]
    alike: list[SimilarTopics]
    odd: list[OddText]
    lines: list[tuple[str, int]]
    features: Features
    rows: sp.csr_array

    def __len__(self) -> int:
        return len(self.corpus)

    @property
    def n_contradicting(self) -> int:
        """How many of the texts that occur several times have different topics."""
        topics = self.corpus.topics
        return sum(len({topics[row] for row in rows.tolist()}) > 1 for rows in self.copies)

    def suspects(self, least: float = 0.5) -> Index:
        """Return the documents whose suspicion is at least so high, the most suspect first."""
        return self.order[self.suspicion[self.order] >= least]

    def is_test(self, row: int) -> bool:
        """Whether a document is one to test on."""
        return row >= self.n_train

    def words(self) -> sp.csr_array:
        """Return the part of the rows that are words, shape (n_documents, n_words)."""
        return _words(self.rows, self.features)


def audit_corpus(
    corpus: Corpus,
    test: Corpus | None = None,
    *,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Find documents whose topic is probably wrong, copies, leaks, odd texts and topics alike.

    Each document is judged by classifiers that learned from others, by the documents nearest to
    it, and by its identical copies. Texts that are nearly the same never judge each other.

    Parameters
    ----------
    corpus : Corpus
    test : Corpus, optional
        Documents to test on: their topics are judged as well, and copies between the two are leaks.
    seed : int, default 0
    n_jobs : int, optional
        Threads, by default one for each core. What is found is the same for any number.
    progress : Progress, optional

    Raises
    ------
    DataError : if there are no documents, a single topic, no word, or copies of one text alone.
    OptionError : if `seed` or `n_jobs` is out of its range.
    """
    check_whole("seed", seed, 0, (1 << 32) - 1)
    n_train = len(corpus)
    both = _joined(corpus, test)
    _check(both)
    with closing(check_progress(progress)) as progress:
        return _audit(both, n_train, seed, n_jobs, progress)


def _audit(both: Corpus, n_train: int, seed: int, n_jobs: int | None, progress: Progress) -> Audit:
    n_steps = 2 + others.N_ROUNDS
    progress.update("reading texts", 0.0)
    features = Features(default_blocks("log-tf-idf"), n_jobs)
    X = features.fit_transform(both.texts)
    topics = Topics.fit(both.topics)
    y = topics.encode(both.topics)
    progress.update("comparing texts", 1 / n_steps)
    same = number_identical(both.texts)
    pairs = find_near_pairs(X, seed)
    groups = connect_groups(same, pairs)
    if groups.max() == 0:
        raise DataError(
            f"{both.name}: all {len(both):,} texts are the same, or nearly; there is nothing to "
            "compare them with. Check which column holds the text."
        )
    nearest = others.find_neighbours(X, groups)
    copies = group_members(_exactly_same(both.texts))
    context = FitContext(n_topics=len(topics), seed=seed, n_jobs=count_threads(n_jobs))
    shares = nearest.shares(y, len(topics))

    judged = _judged(y, groups)

    def suspects(scores: F32) -> Mask:
        found = _suspicion(TopicEvidence(scores, shares, y), judged, copies, seed)
        doubted = np.zeros(len(y), dtype=bool)
        doubted[np.argsort(-found, kind="stable")[: int(_DOUBTED * len(y))]] = True
        return doubted

    leads = _leads(both.texts, X, n_jobs)
    scores = others.heldout_scores(
        *(X, leads, y, context, groups, suspects),
        lambda n: progress.update("judging topics", (2 + n) / n_steps),
    )
    evidence = TopicEvidence(scores, shares, y)
    suspicion = _suspicion(evidence, judged, copies, seed)
    order = np.argsort(-(suspicion + _TIE * evidence.against(y)), kind="stable")
    return Audit(
        corpus=both,
        n_train=n_train,
        suspicion=suspicion,
        order=order,
        likely=_likely(evidence, topics, copies, suspicion),
        nearest=nearest,
        topics=topics,
        evidence=evidence,
        groups=groups,
        copies=copies,
        near_copies=[rows for rows in group_members(groups) if len(set(same[rows].tolist())) > 1],
        leaks=_leaks(X, n_train, same, pairs),
        alike=find_similar_topics([str(name) for name in topics.names], y[judged], scores[judged]),
        odd=find_odd_texts(both.texts, both.topics, _words(X, features), copies, groups),
        lines=find_shared_lines(both.texts),
        features=features,
        rows=X,
    )


def group_copies(texts: Sequence[str], *, seed: int = 0, n_jobs: int | None = None) -> Index:
    """Return a number for each text, shape (n_texts,), which copies and near copies share.

    Raises
    ------
    DataError : if no text has a word in it.
    """
    X = Features(default_blocks("log-tf-idf"), n_jobs).fit_transform(texts)
    return connect_groups(number_identical(texts), find_near_pairs(X, seed))


def _joined(corpus: Corpus, test: Corpus | None) -> Corpus:
    if test is None:
        return replace(corpus, places=corpus.numbered_places())
    places = [*corpus.numbered_places(), *test.numbered_places()]
    texts, topics = corpus.texts + test.texts, corpus.topics + test.topics
    return replace(corpus, texts=texts, topics=topics, places=places)


def _check(corpus: Corpus) -> None:
    if not len(corpus):
        raise DataError(f"{corpus.name} holds no documents; an audit needs some of two topics.")
    if len(set(corpus.topics)) == 1:
        raise DataError(
            f"{corpus.name}: every document has the topic {corpus.topics[0]!r}, so that none can "
            "be wrong; give documents of two topics, and check which column holds the topic."
        )


def _leads(texts: Sequence[str], X: sp.csr_array, n_jobs: int | None) -> sp.csr_array:
    """Return rows of the first words of the texts; the rows themselves if no text has more."""
    # Characters come first: splitting a text of megabytes for its first words takes long.
    starts = (text.lstrip()[: _N_LEAD * _LONG_WORD] for text in texts)
    leads = [" ".join(start.split()[:_N_LEAD]) for start in starts]
    if all(len(lead) >= len(text.strip()) for lead, text in zip(leads, texts, strict=True)):
        return X
    try:
        return Features(default_blocks("log-tf-idf"), n_jobs).fit_transform(leads)
    except DataError:  # no text begins with a word
        return X


def _exactly_same(texts: Sequence[str]) -> Index:
    """Return a number for each text; those of one number are the same, character by character.

    Texts that differ in case or spaces were written twice: they are no sign of a text that got to
    a wrong place.
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.intp)


def _suspicion(evidence: TopicEvidence, judged: Mask, copies: Sequence[Index], seed: int) -> F64:
    scores, shares, y = evidence.scores, evidence.shares, evidence.y
    found = np.full(len(y), 0.5)
    if judged.any():
        # The others' scores are those of a topic that nothing was learned of: they would pass for
        # wrong ones, by the dozen where one topic is a letter to many.
        known = TopicEvidence(scores[judged], shares[judged], y[judged])
        found[judged] = error_probabilities(known, seed)
        found[~judged] = found[judged].mean()
    return compare_copies(found, y, copies)


def _judged(y: I64, groups: Index) -> Mask:
    """Return which documents have a topic that others have, too, and not only copies of them."""
    pairs = np.unique(np.stack([y, groups], axis=1), axis=0)
    n_groups = np.bincount(pairs[:, 0], minlength=int(y.max()) + 1)
    judged: Mask = n_groups[y] > 1
    return judged


def _likely(
    evidence: TopicEvidence, topics: Topics, copies: Sequence[Index], suspicion: F64
) -> list[str]:
    """Return the topic of the best supported copy with another topic, or what others say."""
    y, likely = evidence.y, evidence.likely(evidence.y)
    for rows in copies:
        by_support = rows[np.argsort(suspicion[rows], kind="stable")]
        best = by_support[0]
        likely[rows[y[rows] != y[best]]] = y[best]
    return [str(name) for name in topics.decode(likely.tolist())]


def _leaks(X: sp.csr_array, n_train: int, same: Index, pairs: Index) -> list[Leak]:
    """Return the test documents that have a copy to learn from, each with one of these."""
    first = {number: row for row, number in reversed([*enumerate(same[:n_train].tolist())])}
    found = {
        row: Leak(first[number], row, 1.0)
        for row, number in enumerate(same[n_train:].tolist(), start=n_train)
        if number in first
    }
    across = pairs[(pairs[:, 0] < n_train) & (pairs[:, 1] >= n_train)]
    for (row, test_row), likeness in zip(across.tolist(), jaccard(X, across).tolist(), strict=True):
        if test_row not in found or found[test_row].likeness < likeness:
            found[test_row] = Leak(row, test_row, likeness)
    return [found[row] for row in sorted(found)]


def _words(X: sp.csr_array, features: Features) -> sp.csr_array:
    """Return the columns of the words, which come first."""
    n_words = features.vocabularies_[0].n_columns
    # Columns ascend, so that a row's words are its first entries.
    n_before = np.concatenate([[0], np.cumsum(X.indices < n_words)])
    starts = X.indptr[:-1]
    lengths = n_before[X.indptr[1:]] - n_before[starts]
    chosen = ranges(starts, lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_array((X.data[chosen], X.indices[chosen], indptr), (X.shape[0], n_words))
