"""Training documents with their weights and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, Index
from slugline.base.checks import count_threads
from slugline.base.progress import SILENT, Progress
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import cells_of, compute_digest
from slugline.corpus.sample_weights import counted_rows, row_weights, topic_weight_of_rows
from slugline.corpus.topic_sets import is_multilabel, sets_with_parents
from slugline.learning.learner import FitContext
from slugline.model.settings import FitSettings
from slugline.model.task import ClassificationTask, choose_task

# Up to this number, documents are sorted, and repeated if their weights are integers, so that
# weights affect everything fitted: term rarity, probabilities, thresholds. The linear learner
# solves for exact coefficients up to the same number.
_MAX_FEW = 500


def counted_documents(
    corpus: Corpus, sample_weight: npt.ArrayLike | None, most_repeated: int = 0
) -> tuple[list[str], list[Any], F64 | None]:
    """Return texts, topics and weights of documents with positive weight; see `counted_rows`."""
    if sample_weight is None:
        return corpus.texts, corpus.topics, None
    rows, weights = counted_rows(len(corpus), sample_weight, most_repeated)
    return _take(corpus.texts, rows), _take(corpus.topics, rows), weights


def _take(values: Sequence[Any], rows: Index) -> list[Any]:
    return [values[row] for row in rows.tolist()]


def _hash_order(texts: Sequence[str], names: Sequence[Any], weights: F64 | None) -> Index:
    """Return rows sorted by text hash; ties by topics, columns and weight."""

    def key(row: int) -> tuple[str, str, str, float]:
        text = texts[row]
        columns = str(sorted(cells_of(text).items()))
        weight = 1.0 if weights is None else float(weights[row])
        return compute_digest([str(text)], [""]), str(names[row]), columns, weight

    return np.array(sorted(range(len(texts)), key=key), dtype=np.intp)


@dataclass(frozen=True)
class TrainingDocuments:
    """Training documents with positive weight.

    Attributes
    ----------
    texts : list of str
    names : list of topics, or of tuples of topics
        Includes all parents if topics are paths.
    sample_weight : float64 array, shape (n_documents,), or None if all are 1
    task : ClassificationTask
    given_rows : int array, shape (n_documents,)
        Row of each document in the original order.
    """

    texts: list[str]
    names: list[Any]
    sample_weight: F64 | None
    task: ClassificationTask
    given_rows: Index

    @classmethod
    def from_corpus(
        cls, corpus: Corpus, settings: FitSettings, sample_weight: npt.ArrayLike | None
    ) -> TrainingDocuments:
        """Return the documents with positive weight; few documents are sorted by hash.

        The order of a small corpus thus does not affect the model, except for learners with epochs:
        networks read documents in the given order.

        Parameters
        ----------
        corpus : Corpus
        settings : FitSettings
        sample_weight : float array, shape (len(corpus),), or None
        """
        texts, names, weights = counted_documents(corpus, sample_weight, _MAX_FEW)
        names = sets_with_parents(names, settings.topic_path)
        given_rows = np.arange(len(texts))
        if len(texts) <= _MAX_FEW and not settings.learner.capabilities.has_epochs:
            given_rows = _hash_order(texts, names, weights)
            texts, names = _take(texts, given_rows), _take(names, given_rows)
            weights = None if weights is None else weights[given_rows]
        columns = corpus.indicator_topics if settings.topic_path is None else None
        task = choose_task(names, settings, multilabel=is_multilabel(names), columns=columns)
        return cls(texts, names, weights, task, given_rows)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def digest(self) -> str:
        """SHA-256 of texts and topics as given; see `slugline.corpus.documents.compute_digest`."""
        rows = np.argsort(self.given_rows)
        return compute_digest(_take(self.texts, rows), _take(self.names, rows))

    def take(self, rows: Index) -> tuple[Corpus, F64 | None]:
        """Return some of the documents as a corpus, and their weights."""
        corpus = Corpus(_take(self.texts, rows), _take(self.names, rows))
        return corpus, None if self.sample_weight is None else self.sample_weight[rows]

    def context(
        self, settings: FitSettings, *, first: bool = False, progress: Progress = SILENT
    ) -> FitContext:
        """Return a learner's inputs other than rows and labels: settings, weights and sizes."""
        labels = self.task.labels
        weights = topic_weight_of_rows(settings.class_weight, self.task.topics, labels.topics)
        if weights is not None:
            weights = labels.row_means(weights)
        return FitContext(
            n_topics=len(self.task.topics),
            sample_weight=row_weights(len(labels), self.sample_weight, weights),
            weighted_topics=settings.class_weight is not None,
            seed=settings.random_state,
            first=first,
            n_jobs=count_threads(settings.n_jobs),
            progress=progress,
        )
