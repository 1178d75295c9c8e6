"""Audit labelled documents for wrong topics, copies, leaks, odd texts and similar topics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from slugline.auditing import evidence
from slugline.auditing.evidence import Neighbours, OddText
from slugline.auditing.scores import N_ROUNDS, DocumentRows, heldout_scores
from slugline.auditing.suspicion import (
    SetEvidence,
    TopicEvidence,
    compare_copies,
    error_probabilities,
)
from slugline.base.arrays import F32, F64, I64, Index, Mask
from slugline.base.checks import count_threads, short_repr
from slugline.base.progress import Progress, announce, check_progress
from slugline.base.wording import counted, percent
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topics
from slugline.corpus.misspellings import find_misspellings
from slugline.corpus.topic_sets import join_topics, split_rows
from slugline.errors import DataError
from slugline.learning.encoder.encoder import default_encoder
from slugline.learning.encoder.rows import encode
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.model.settings import draw_seed
from slugline.text.feature_groups import default_feature_groups
from slugline.text.features import Features

# Similar topics -----------------------------------------------------------------------------------

# Topics are similar if this fraction of their documents looks more like the other topic; identical
# topics would have a fraction of 0.5.
_MIXED = 0.3
_MIN_DOCUMENTS = 5


class SimilarTopics(NamedTuple):
    """Two topics that may be duplicates."""

    topic: str
    other: str
    why: str
    # Mean fraction of each topic's documents that look more like the other topic; None if `why`
    # is about the names.
    mixed: float | None


def find_similar_topics(
    names: Sequence[str], y: I64, scores: F32, counts: Mapping[str, int] | None = None
) -> list[SimilarTopics]:
    """Return pairs of topics with similar names or documents.

    Similar names differ only in case or spaces, or one is probably a misspelling of the other.

    Parameters
    ----------
    names : sequence of str
    y : int array, shape (n_rows,)
    scores : float32 array, shape (n_rows, n_topics)
        Held-out scores.
    counts : mapping of str to int, optional
        Number of documents per topic, to find misspelt ones.
    """
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(" ".join(name.casefold().split()), []).append(name)
    same_name = [
        SimilarTopics(group[0], other, "their names differ only in case or spaces", None)
        for group in by_key.values()
        for other in group[1:]
    ]
    misspelt = [
        SimilarTopics(topic, meant, f"{topic} is probably misspelt", None)
        for topic, meant in find_misspellings(counts or {})
    ]
    by_name = same_name + misspelt
    pairs = {frozenset(pair[:2]) for pair in by_name}
    mixed = [pair for pair in _find_mixed(names, y, scores) if frozenset(pair[:2]) not in pairs]
    return by_name + sorted(mixed, key=lambda pair: -(pair.mixed or 0))


def _find_mixed(names: Sequence[str], y: I64, scores: F32) -> list[SimilarTopics]:
    counts = np.bincount(y, minlength=len(names))
    fractions = np.zeros((len(names), len(names)))
    order = np.argsort(y, kind="stable")
    for topic, rows in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        if len(rows) >= _MIN_DOCUMENTS:
            fractions[topic] = (scores[rows] > scores[rows, topic][:, np.newaxis]).mean(axis=0)
    mean = (fractions + fractions.T) / 2
    has_enough = counts >= _MIN_DOCUMENTS
    pairs = np.argwhere(np.triu(mean >= _MIXED, 1) & has_enough & has_enough[:, np.newaxis])
    return [
        SimilarTopics(
            names[first],
            names[second],
            f"{percent(mean[first, second], 0)} of their documents look more like the other topic",
            float(mean[first, second]),
        )
        for first, second in pairs.tolist()
    ]


# The audit ----------------------------------------------------------------------------------------

# Fraction of documents, most suspect first, excluded from training in later rounds.
_DOUBTED = 0.08
# Number of leading words of a text to compare separately, and length of a long word.
_N_LEAD, _LONG_WORD = 48, 100
# Weight of the evidence when ordering documents with equal suspicion.
_TIE = 1e-9
#: In multi-label data, likely topics differ from a document's topics if a topic is wrong or missing
#: with at least this probability.
PROBABLE = 0.5
AnyEvidence: TypeAlias = TopicEvidence | SetEvidence
# Average duration of an audit, as a multiple of the time for reading the texts.
_READINGS = 30
# Number of steps: reading, comparing, and the rounds of judging topics.
_N_STEPS = 2 + N_ROUNDS


@dataclass(frozen=True)
class Leak:
    """A test document that is identical, or nearly identical, to a training document."""

    # The rows of both documents in the audit.
    row: int
    test_row: int
    likeness: float  # the Jaccard index of their terms; 1 if the texts are identical


@dataclass(frozen=True, eq=False)
class Copies:
    """Identical and nearly identical texts."""

    groups: Index  # shape (n_documents,): copies and near copies share a number
    identical: list[Index]  # the rows of each repeated text
    near: list[Index]  # the rows of each group of nearly, but not all exactly, identical texts
    leaks: list[Leak]


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of an audit."""

    corpus: Corpus  # training documents, then test documents
    n_train: int  # number of training documents
    suspicion: F64  # shape (n_documents,): probability that the topic is wrong
    order: Index  # shape (n_documents,): the documents, most suspect first
    # The likely topic of each document if its topic is wrong; in multi-label data, all likely
    # topics.
    likely: list[Any]
    nearest: Neighbours
    topics: Topics
    evidence: AnyEvidence
    copies: Copies
    alike: list[SimilarTopics]
    odd: list[OddText]
    features: Features
    words: sp.csr_array  # shape (n_documents, n_words): the columns of words

    def __len__(self) -> int:
        return len(self.corpus)

    @property
    def contradicting(self) -> list[Index]:
        """Rows of each repeated text whose copies have different topics."""
        topics = self.corpus.topics
        return [
            rows for rows in self.copies.identical if len({topics[i] for i in rows.tolist()}) > 1
        ]

    def suspects(self, min_suspicion: float = 0.5) -> Index:
        """Return the rows of documents with at least this suspicion, most suspect first."""
        return self.order[self.suspicion[self.order] >= min_suspicion]

    def is_test(self, row: int) -> bool:
        """True for a test document."""
        return row >= self.n_train

    def training_documents(self) -> Corpus:
        """Return the training documents."""
        return self.corpus.take([not self.is_test(row) for row in range(len(self))])


def audit_corpus(
    corpus: Corpus,
    test: Corpus | None = None,
    *,
    random_state: int = 0,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit documents for wrong topics, copies, leaks, odd texts and similar topics.

    Each document is judged by classifiers trained on other documents, by the nearest documents,
    and by identical copies. Nearly identical documents never judge each other.

    Parameters
    ----------
    corpus : Corpus
    test : Corpus, optional
        Test documents, also audited. Copies of training documents are reported as leaks.
    random_state : int, default 0
    n_jobs : int, optional
        Number of threads, by default one per core. Results don't depend on it.
    progress : Progress, optional

    Raises
    ------
    DataError : if there are no documents, only one topic, no words, or only one distinct text.
    OptionError : if `random_state` or `n_jobs` is out of range.
    """
    seed = draw_seed(random_state)
    documents = _concatenate(corpus, test)
    _check(documents)
    with closing(check_progress(progress)) as progress:
        return _audit(documents, len(corpus), seed, n_jobs, progress)


def _audit(
    corpus: Corpus, n_train: int, seed: int, n_jobs: int | None, progress: Progress
) -> Audit:
    texts = _compare_texts(corpus, n_train, seed, n_jobs, progress)
    topics = Topics.fit(corpus.all_topics())
    labels = Labels.encode(topics, corpus.topics, multilabel=corpus.multilabel)
    judge = _TopicJudge(corpus, texts, labels, len(topics), seed)
    rows = DocumentRows(texts.X, _leads(corpus.texts, texts.X, n_jobs))
    if not corpus.multilabel:
        encoder = default_encoder()
        encoder.check_table()
        rows = replace(rows, vectors=encode(corpus.texts, encoder, n_jobs=n_jobs))
    context = FitContext(n_topics=len(topics), seed=seed, n_jobs=count_threads(n_jobs))
    heldout = heldout_scores(
        rows,
        labels,
        context,
        texts.copies.groups,
        judge.is_judged,
        judge.most_suspect,
        lambda n: progress.update("judging topics", (2 + n) / _N_STEPS),
    )
    by_topic = judge.collect(heldout)
    suspicion = judge.suspicion(by_topic)
    words = texts.X[:, : texts.features.vocabularies_[0].n_columns]  # words come first
    is_judged = judge.is_judged
    return Audit(
        corpus=corpus,
        n_train=n_train,
        suspicion=suspicion,
        order=np.argsort(-(suspicion + _TIE * by_topic.against(by_topic.y)), kind="stable"),
        likely=_likely_topics(by_topic, corpus.topics, topics, texts.copies.identical, suspicion),
        nearest=texts.nearest,
        topics=topics,
        evidence=by_topic,
        copies=texts.copies,
        alike=find_similar_topics(
            [str(name) for name in topics.names],
            # Single-label data only: in multi-label data, topics that often co-occur would look
            # similar.
            by_topic.y[:0] if corpus.multilabel else labels.topics[is_judged],
            heldout[:0] if corpus.multilabel else heldout[is_judged],
            corpus.topic_counts(),
        ),
        odd=evidence.find_odd_texts(corpus.texts, words, texts.copies.groups),
        features=texts.features,
        words=words,
    )


@dataclass(frozen=True)
class _ComparedTexts:
    """The audited texts as rows, with their copies and nearest documents."""

    features: Features
    X: sp.csr_array
    copies: Copies
    nearest: Neighbours


def _compare_texts(
    corpus: Corpus, n_train: int, seed: int, n_jobs: int | None, progress: Progress
) -> _ComparedTexts:
    progress.update("reading texts", 0.0)
    start = time.perf_counter()
    features = Features(default_feature_groups("log-tf-idf"), n_jobs)
    X = features.fit_transform(corpus.texts)
    work = f"each of {len(corpus):,} documents is compared with all others"
    announce(progress, work, _READINGS * (time.perf_counter() - start))
    progress.update("comparing texts", 1 / _N_STEPS)
    same = evidence.number_identical(corpus.texts)
    near_pairs = evidence.find_near_pairs(X, seed)
    groups = evidence.connect_groups(same, near_pairs)
    if groups.max() == 0:
        raise DataError(
            f"{corpus.name}: all {len(corpus):,} texts are identical or nearly identical. Check "
            "which column contains the text."
        )
    # A topic with one document can't be checked against others.
    if not corpus.multilabel and len(set(corpus.topics)) == len(corpus):
        raise DataError(
            f"{corpus.name}: each of {counted(len(corpus), 'document')} has a different topic. "
            "Check which column contains the topic, or add a second document of some topic."
        )
    copies = Copies(
        groups=groups,
        # Copies that differ in case or spaces were typed twice, so they are not evidence of
        # misplaced texts.
        identical=evidence.group_members(evidence.number_equal(corpus.texts)),
        near=[rows for rows in evidence.group_members(groups) if len(set(same[rows].tolist())) > 1],
        leaks=_find_leaks(X, n_train, same, near_pairs),
    )
    return _ComparedTexts(features, X, copies, evidence.find_neighbours(X, groups))


class _TopicJudge:
    """Turns held-out scores into probabilities that the topics of documents are wrong."""

    def __init__(
        self, corpus: Corpus, texts: _ComparedTexts, labels: Labels, n_topics: int, seed: int
    ) -> None:
        self._corpus, self._texts, self._labels, self._seed = corpus, texts, labels, seed
        self._n_topics = n_topics
        self._fractions = texts.nearest.fractions(labels, n_topics)
        # Mask of topics with several documents that are not all copies of each other.
        pairs = np.stack([labels.topics, texts.copies.groups[labels.rows]], axis=1)
        topic_groups = np.unique(pairs, axis=0)
        self._can_judge = np.bincount(topic_groups[:, 0]) > 1
        #: Mask of the documents whose topic is judged, shape (n_documents,); (0,) in multi-label
        #: data.
        self.is_judged = np.zeros(0, dtype=bool)
        if not corpus.multilabel:
            self.is_judged = self._can_judge[labels.topics]

    def collect(self, scores: F32) -> AnyEvidence:
        """Return the evidence for topics from held-out scores."""
        if not self._corpus.multilabel:
            return TopicEvidence(scores, self._fractions, self._labels.topics)
        return SetEvidence(
            scores,
            self._fractions,
            self._labels.indicator(self._n_topics) > 0,
            evidence.number_equal(map(frozenset, self._corpus.topics)),
            self._can_judge,
            self._seed,
        )

    def suspicion(self, by_topic: AnyEvidence) -> F64:
        """Return the probability that each document's topic is wrong, shape (n_documents,)."""
        y, is_judged = by_topic.y, self.is_judged
        if isinstance(by_topic, SetEvidence):
            probability = by_topic.errors.max(axis=1)
        else:
            probability = np.full(len(y), 0.5)
        if is_judged.any():
            # No classifier was trained on the topics of other documents; their low scores would
            # make them all suspect.
            judged = TopicEvidence(
                by_topic.scores[is_judged], by_topic.fractions[is_judged], y[is_judged]
            )
            probability[is_judged] = error_probabilities(judged, self._seed)
            probability[~is_judged] = probability[is_judged].mean()
        return compare_copies(probability, y, self._texts.copies.identical)

    def most_suspect(self, scores: F32) -> Mask:
        """Return a mask of the documents to exclude from training in the next round."""
        suspicion = self.suspicion(self.collect(scores))
        is_suspect = np.zeros(len(suspicion), dtype=bool)
        n_suspects = int(_DOUBTED * len(suspicion))
        is_suspect[np.argsort(-suspicion, kind="stable")[:n_suspects]] = True
        return is_suspect


def group_copies(texts: Sequence[str], *, seed: int = 0, n_jobs: int | None = None) -> Index:
    """Return the group of each text, shape (n_texts,); copies and near copies share a group.

    Raises DataError if no text contains a word.
    """
    X = Features(default_feature_groups("log-tf-idf"), n_jobs).fit_transform(texts)
    same, pairs = evidence.number_identical(texts), evidence.find_near_pairs(X, seed)
    return evidence.connect_groups(same, pairs)


def _concatenate(corpus: Corpus, test: Corpus | None) -> Corpus:
    if test is None:
        return replace(corpus, places=corpus.numbered_places())
    if corpus.multilabel != test.multilabel:
        raise DataError(
            f"only one of {corpus.name} and {test.name} is multi-label; use the same form for both."
        )
    places = [*corpus.numbered_places(), *test.numbered_places()]
    texts, topics = corpus.texts + test.texts, corpus.topics + test.topics
    return replace(corpus, texts=texts, topics=topics, places=places)


def _check(corpus: Corpus) -> None:
    if not len(corpus):
        raise DataError(f"{corpus.name}: no documents; an audit requires at least two topics.")
    if len(set(corpus.topics)) == 1 and corpus.topics[0] != ():
        topic = short_repr(join_topics(corpus.topics[0]))
        raise DataError(
            f"{corpus.name}: every document has the topic {topic}, but an audit requires two "
            "topics. Check which column contains the topic, or add documents of others."
        )


def _leads(texts: Sequence[str], X: sp.csr_array, n_jobs: int | None) -> sp.csr_array:
    """Return the rows of the texts' leading words, or `X` if no text is longer."""
    # Truncate first, because splitting megabytes of text is slow.
    starts = (text.lstrip()[: _N_LEAD * _LONG_WORD] for text in texts)
    leads = [" ".join(start.split()[:_N_LEAD]) for start in starts]
    if all(len(lead) >= len(text.strip()) for lead, text in zip(leads, texts, strict=True)):
        return X
    try:
        return Features(default_feature_groups("log-tf-idf"), n_jobs).fit_transform(leads)
    except DataError:  # no text has a word at its beginning
        return X


def _likely_topics(
    by_topic: AnyEvidence,
    labels: Sequence[Any],
    topics: Topics,
    copies: Sequence[Index],
    suspicion: F64,
) -> list[Any]:
    """Return the topic of the best supported copy that disagrees, or else the likeliest topic.

    In multi-label data, doubtful topics are removed and missing topics added, with at least one
    change.
    """
    y = by_topic.y
    if isinstance(by_topic, SetEvidence):
        is_changed = by_topic.errors >= PROBABLE
        is_changed[np.arange(len(y)), by_topic.errors.argmax(axis=1)] = True
        names = [str(name) for name in topics.names]
        sets = split_rows(by_topic.has ^ is_changed, names, by_topic.strength)
        likely: list[Any] = [
            (*[name for name in old if name in new], *[name for name in new if name not in old])
            for new, old in zip(sets, labels, strict=True)
        ]
    else:
        numbers = by_topic.likely(y).tolist()
        likely = [str(name) for name in topics.decode(numbers)]
    for rows in copies:
        by_support = rows[np.argsort(suspicion[rows], kind="stable")]
        best = by_support[0]
        for row in rows[y[rows] != y[best]].tolist():
            likely[row] = labels[best]
    return likely


def _find_leaks(X: sp.csr_array, n_train: int, same: Index, pairs: Index) -> list[Leak]:
    """Return the test documents with copies in training, each with its most similar copy."""
    first = {number: row for row, number in reversed([*enumerate(same[:n_train].tolist())])}
    leaks = {
        row: Leak(first[number], row, 1.0)
        for row, number in enumerate(same[n_train:].tolist(), start=n_train)
        if number in first
    }
    across = pairs[(pairs[:, 0] < n_train) & (pairs[:, 1] >= n_train)]
    similarities = evidence.jaccard(X, across).tolist()
    for (row, test_row), likeness in zip(across.tolist(), similarities, strict=True):
        if test_row not in leaks or leaks[test_row].likeness < likeness:
            leaks[test_row] = Leak(row, test_row, likeness)
    return [leaks[row] for row in sorted(leaks)]
