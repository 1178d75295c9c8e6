"""Texts to rows: terms are counted and hashed once, then weighted when all are counted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F32, I32, I64, U64, Index
from slugline.corpus.documents import Topic, compute_digest
from slugline.corpus.labelled import SourceSchema
from slugline.corpus.topic_sets import is_multilabel
from slugline.learning.linear.sums import RowBlock
from slugline.stream.source import Batch
from slugline.text.columns import HashedColumns
from slugline.text.counting import make_counter
from slugline.text.feature_groups import FeatureGroup, RowWeights, idf
from slugline.text.features import Features
from slugline.text.sparse import Entries, RowStack, SparseRows, boundaries, ranges
from slugline.text.tokens import map_chunks


class CountedBlock(NamedTuple):
    """Term counts of consecutive documents."""

    values: F32  # shape (n_entries,): counts
    # shape (n_entries,): hash buckets; those of the second family follow those of the first.
    buckets: I32
    lengths: I64  # shape (n_documents * n_families,): number of entries of each document and family
    y: I32  # shape (n_labels,): the number of each document's topics in `names`
    keys: U64  # shape (n_documents,): a hash of each text
    names: tuple[Topic, ...]  # The topics of these documents
    n_labels: I32 | None  # shape (n_documents,): how many topics each has; None if one


class BlockStatistics(NamedTuple):
    """Summary of a block's terms and topics; lists have an item for each family."""

    buckets: list[I32]  # shape (n_seen,) each
    # The terms that name the buckets, joined, and their lengths.
    names: list[tuple[bytes, I64]]
    n_documents: list[I64]  # shape (n_seen,) each: documents that have each bucket
    topics: dict[Topic, int]  # Documents of each topic
    # The smallest and the largest number of topics of a document; None if all have one by kind.
    sizes: tuple[int, int] | None

    @property
    def n_entries(self) -> int:
        """Number of pairs of a document and one of its terms."""
        return sum(int(counts.sum()) for counts in self.n_documents)


class BatchSummary(NamedTuple):
    """Summary of a batch; without statistics if it has no documents."""

    statistics: BlockStatistics | None
    schemas: tuple[SourceSchema, ...]
    n_documents: int
    digest: str


def count_batch(
    batch: Batch, families: Sequence[FeatureGroup]
) -> tuple[CountedBlock | None, BatchSummary]:
    """Count the terms of a batch; there is no block if it has no documents."""
    texts, topics, schemas = batch
    digest = compute_digest(texts, topics)
    if not texts:
        return None, BatchSummary(None, schemas, 0, digest)
    block, statistics = count_terms(texts, topics, families)
    return block, BatchSummary(statistics, schemas, len(texts), digest)


def count_terms(
    texts: Sequence[str], topics: Sequence[Any], families: Sequence[FeatureGroup]
) -> tuple[CountedBlock, BlockStatistics]:
    """Count the terms of documents, by hash bucket of each family."""
    columns = [HashedColumns(family.n_buckets or 1, family.kind) for family in families]
    kinds, stack = [family.kind for family in families], RowStack()
    counts = make_counter(families[-1].columns)
    for words in map_chunks(lambda chunk: counts.read(chunk, kinds), texts):
        stack.append(counts.count(words, columns, learn=True).entries)
    widths = [family_columns.n_columns for family_columns in columns]
    for part in stack.parts():
        part.offset_columns(widths)
    entries = stack.concatenate()
    family_buckets, data, lengths = zip(*map(HashedColumns.buckets_and_names, columns), strict=True)
    n_labels = sizes = None
    labels: Sequence[Topic] = topics
    if is_multilabel(topics):
        n_labels = np.fromiter(map(len, topics), dtype=np.int32, count=len(topics))
        sizes = int(n_labels.min()), int(n_labels.max())
        labels = [topic for several in topics for topic in several]
    names = {topic: number for number, topic in enumerate(dict.fromkeys(labels))}
    y = np.fromiter((names[topic] for topic in labels), dtype=np.int32, count=len(labels))
    offsets = np.cumsum([0, *(family.n_buckets or 1 for family in families[:-1])])
    buckets = np.concatenate(list(map(np.add, family_buckets, offsets)))
    block = CountedBlock(
        entries.values,
        buckets.astype(np.int32)[entries.columns],
        entries.lengths.astype(np.int64),
        y,
        np.fromiter(map(_key, texts), dtype=np.uint64, count=len(texts)),
        tuple(names),
        n_labels,
    )
    n_documents = np.bincount(entries.columns, minlength=len(buckets))
    statistics = BlockStatistics(
        list(family_buckets),
        list(zip(data, lengths, strict=True)),
        np.split(n_documents, np.cumsum(widths)[:-1]),
        dict(zip(names, np.bincount(y).tolist(), strict=True)),
        sizes,
    )
    return block, statistics


def _key(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class TermStatistics:
    """The terms of all documents, added block by block.

    A bucket is named after its first term in the first block that has it.

    Parameters
    ----------
    families : sequence of FeatureGroup

    Attributes
    ----------
    n_documents : list of int64 array, shape (n_buckets,)
        For each family, the documents that have each bucket.
    sizes : (int, int) or None
        The smallest and the largest number of topics of a document; None if each has one.
    """

    def __init__(self, families: Sequence[FeatureGroup]) -> None:
        self.families = families
        self.n_documents = [np.zeros(family.n_buckets or 1, dtype=np.int64) for family in families]
        self._names: list[list[tuple[I32, bytes, I64]]] = [[] for _ in families]
        self.sizes: tuple[int, int] | None = None

    def add(self, block: BlockStatistics) -> None:
        """Add the statistics of the next block."""
        if block.sizes is not None:
            smallest, largest = zip(block.sizes, self.sizes or block.sizes, strict=True)
            self.sizes = min(smallest), max(largest)
        parts = zip(block.buckets, block.names, block.n_documents, strict=True)
        for number, (buckets, (data, lengths), n_documents) in enumerate(parts):
            totals = self.n_documents[number]
            new = np.flatnonzero(totals[buckets] == 0)
            totals[buckets] += n_documents
            self._names[number].append((buckets[new], *_take_names(data, lengths, new)))

    @property
    def n_columns(self) -> int:
        """Number of buckets that have a term."""
        return sum(int(np.count_nonzero(totals)) for totals in self.n_documents)

    def features(self, n_documents: int, n_jobs: int | None) -> Features:
        """Return features with a column for each bucket that has a term, the most common first.

        Weights of common terms, which most of a pass is about, are then side by side.
        """
        features = Features(self.families, n_jobs)
        features.vocabularies_, features.idf_ = [], []
        for family, totals, parts in zip(self.families, self.n_documents, self._names, strict=True):
            buckets = np.concatenate([buckets for buckets, *_ in parts])
            lengths = np.concatenate([lengths for *_, lengths in parts])
            order = np.lexsort((buckets, -totals[buckets]))
            names = _take_names(b"".join(data for _, data, _ in parts), lengths, order)
            columns = HashedColumns.from_buckets(
                buckets[order], names, family.n_buckets or 1, family.kind
            )
            features.vocabularies_.append(columns)
            counts = totals[buckets[order]]
            features.idf_.append(idf(counts, n_documents) if family.has_idf else None)
        return features


def _take_names(data: bytes, lengths: I64, indices: Index) -> tuple[bytes, I64]:
    """Return some of the names, which are joined in `data`, in the order of the indices."""
    chosen = lengths[indices]
    names = np.frombuffer(data, dtype=np.uint8)[ranges(boundaries(lengths)[indices], chosen)]
    return names.tobytes(), chosen


class Weighting(NamedTuple):
    """What turns counts into rows."""

    families: Sequence[FeatureGroup]
    columns: I32  # shape (n_buckets,): the column of each bucket
    widths: list[int]  # Number of columns of each family
    idf: list[F32 | None]
    numbers: dict[Topic, int]

    @classmethod
    def from_features(cls, features: Features, topics: Sequence[Topic]) -> Weighting:
        """Return the weighting of the features of `TermStatistics`."""
        widths = [vocabulary.n_columns for vocabulary in features.vocabularies_]
        firsts = np.cumsum([0, *widths], dtype=np.int32)
        tables: list[Any] = [vocabulary.table.columns for vocabulary in features.vocabularies_]
        columns = [
            np.where(table >= 0, table + first, -1)
            for table, first in zip(tables, firsts, strict=False)
        ]
        numbers = {name: number for number, name in enumerate(topics)}
        return cls(features.feature_groups, np.concatenate(columns), widths, features.idf_, numbers)


def weight_block(block: CountedBlock, weighting: Weighting) -> RowBlock:
    """Return the rows of counted documents."""
    families, columns, widths, idf_values, topic_numbers = weighting
    entries = Entries(block.values.copy(), columns[block.buckets], np.array(block.lengths))
    RowWeights(families, widths, idf_values).weigh(entries)
    numbers = np.array([topic_numbers[name] for name in block.names], dtype=np.int32)
    X = SparseRows(entries, sum(widths), len(families)).csr()
    n_labels = None if block.n_labels is None else np.array(block.n_labels)
    return RowBlock.from_csr(X, numbers[block.y], np.array(block.keys), n_labels)
