"""Documents to learn from, with their weights and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from slugline.base.arrays import F64, Index
from slugline.base.checks import count_threads
from slugline.base.progress import SILENT, Progress
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import compute_digest
from slugline.corpus.sample_weights import counted_rows, row_weights, topic_weight_of_rows
from slugline.corpus.topic_sets import is_multilabel, sets_with_parents
from slugline.learning.learner import FitContext
from slugline.model.settings import FitSettings
from slugline.model.task import ClassificationTask, choose_task


def counted_documents(
    corpus: Corpus, sample_weight: npt.ArrayLike | None, most_repeated: int = 0
) -> tuple[list[str], list[Any], F64 | None]:
    """Return texts, topics and weights of the documents that count; see `counted_rows`."""
    if sample_weight is None:
        return corpus.texts, corpus.topics, None
    rows, weights = counted_rows(len(corpus), sample_weight, most_repeated)
    counted = rows.tolist()
    texts = [corpus.texts[row] for row in counted]
    return texts, [corpus.topics[row] for row in counted], weights


@dataclass(frozen=True)
class TrainingDocuments:
    """Training documents whose weight is over 0.

    Attributes
    ----------
    texts : list of str
    names : list of topics, or of tuples of topics
        If topics are paths, with all parents of each.
    sample_weight : float64 array, shape (n_documents,), or None if all are 1
    task : ClassificationTask
    """

    texts: list[str]
    names: list[Any]
    sample_weight: F64 | None
    task: ClassificationTask

    @classmethod
    def from_corpus(
        cls,
        corpus: Corpus,
        settings: FitSettings,
        sample_weight: npt.ArrayLike | None,
        most_repeated: int,
    ) -> TrainingDocuments:
        """Return the documents that count.

        Parameters
        ----------
        corpus : Corpus
        settings : FitSettings
        sample_weight : float array, shape (len(corpus),), or None
        most_repeated : int
            Documents with whole-number weights are repeated if there are at most this many in all;
            see `counted_rows`.
        """
        texts, names, weights = counted_documents(corpus, sample_weight, most_repeated)
        names = sets_with_parents(names, settings.topic_path)
        columns = corpus.indicator_topics if settings.topic_path is None else None
        task = choose_task(names, settings, multilabel=is_multilabel(names), columns=columns)
        return cls(texts, names, weights, task)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def digest(self) -> str:
        """SHA-256 of texts and topics; see `slugline.corpus.documents.compute_digest`."""
        return compute_digest(self.texts, self.names)

    def take(self, rows: Index) -> tuple[Corpus, F64 | None]:
        """Return some of the documents as a corpus, and their weights."""
        numbers = rows.tolist()
        corpus = Corpus([self.texts[i] for i in numbers], [self.names[i] for i in numbers])
        return corpus, None if self.sample_weight is None else self.sample_weight[rows]

    def context(
        self, settings: FitSettings, *, first: bool = False, progress: Progress = SILENT
    ) -> FitContext:
        """Return the settings, weights and sizes that a learner needs besides rows and labels."""
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
