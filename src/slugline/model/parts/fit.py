"""Trains on in-memory documents whose rows would take gigabytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

from slugline.base.checks import release_memory
from slugline.base.threads import map_in_order
from slugline.errors import DataError
from slugline.learning.learner import FitContext
from slugline.model.documents import TrainingDocuments
from slugline.model.parts.counting import (
    BlockStatistics,
    CountedBlock,
    TermStatistics,
    Weighting,
    count_terms,
)
from slugline.model.parts.files import PartFiles, PartReader
from slugline.model.parts.heldout import PartsResult
from slugline.model.parts.training import RowCosts, fit_parts
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

# Number of texts counted together by each thread.
_BLOCK_SIZE = 25_000
# Number of documents whose words are kept to measure the normal rate of unknown words.
_SAMPLE_SIZE = 10_000


def fit_documents(
    documents: TrainingDocuments, feature_groups: Sequence[FeatureGroup], context: FitContext
) -> tuple[Features, PartsResult]:
    """Return the features of documents, and the result of training on them in parts.

    Raises
    ------
    DataError : if no document has a word.
    """
    terms, n_entries = TermStatistics(feature_groups), 0
    labels, names = documents.task.labels, documents.task.topics.names
    with closing(context.progress), closing(PartFiles(len(feature_groups))) as files:
        for block, statistics in _count(documents, feature_groups, context):
            files.append(block)
            terms.add(statistics)
            n_entries += statistics.n_entries
            context.progress.update("reading", files.n_rows / len(documents))
        if not terms.n_columns:
            raise DataError("no document contains a word; check which column holds the text.")
        release_memory()  # of terms by block
        features = terms.features(len(documents), context.n_jobs)
        weighting = Weighting.from_features(features, names)
        reader = PartReader(files, weighting, multilabel=labels.multilabel)
        features.sample_training_words(reader.sample_counts(_SAMPLE_SIZE))
        weight = context.sample_weight
        ones = np.ones(len(labels), dtype=np.float32)
        totals = labels.totals(context.n_topics, ones if weight is None else weight)
        costs = RowCosts(sample_weight=weight)
        return features, fit_parts(reader, n_entries, totals, costs, context)


def _count(
    documents: TrainingDocuments, feature_groups: Sequence[FeatureGroup], context: FitContext
) -> Iterator[tuple[CountedBlock, BlockStatistics]]:
    """Yield the counted terms and the statistics of each block of documents."""

    def count(first: int) -> tuple[CountedBlock, BlockStatistics]:
        rows = slice(first, first + _BLOCK_SIZE)
        return count_terms(documents.texts[rows], documents.names[rows], feature_groups)

    return map_in_order(count, range(0, len(documents), _BLOCK_SIZE), context.n_jobs)
