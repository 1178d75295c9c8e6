"""Counting and weighting terms of a source whose texts are read once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I32, I64, U64, Index
from slugline.corpus.documents import Topic
from slugline.corpus.topic_sets import is_multilabel
from slugline.model.parts.vectors import VectorBlock, VectorSummer
from slugline.text.columns import HashedColumns
from slugline.text.counting import count_chunk
from slugline.text.feature_groups import FeatureGroup, idf
from slugline.text.features import Features
from slugline.text.sparse import RowStack, ranges, row_offsets
from slugline.text.tokens import map_chunks

if TYPE_CHECKING:
    from slugline.learning.encoder.encoder import CheckedEncoder


class CountedBlock(NamedTuple):
    """Term counts of consecutive documents."""

    values: npt.NDArray[np.unsignedinteger]  # shape (n_entries,): counts, in the smallest type
    buckets: I32  # shape (n_entries,): hash buckets, numbered across feature groups
    lengths: I64  # shape (n_documents * n_groups,): entries per document and feature group
    y: I32  # shape (n_labels,): indices in `names`, document by document
    keys: U64  # shape (n_documents,): hash of each text
    names: tuple[Topic, ...]  # topics of these documents
    n_labels: I32 | None  # shape (n_documents,): topics per document; None for single-label data


class BlockStatistics(NamedTuple):
    """Term and topic statistics of a block; lists have an item per feature group."""

    buckets: list[I32]  # shape (n_seen,) each
    names: list[tuple[bytes, I64]]  # concatenated names of the buckets, and their lengths
    n_documents: list[I64]  # shape (n_seen,) each: documents with each bucket
    topics: dict[Topic, int]  # number of documents per topic
    # Minimum and maximum number of topics of a document; None for single-label data.
    topic_set_sizes: tuple[int, int] | None
    vectors: VectorBlock | None = None  # None without word vectors, and for multilabel data


def count_terms(
    texts: Sequence[str],
    topics: Sequence[Any],
    feature_groups: Sequence[FeatureGroup],
    encoder: CheckedEncoder | None = None,
) -> tuple[CountedBlock, BlockStatistics]:
    """Count the terms of documents by hash bucket; sum word vectors if the encoder uses them."""
    n_labels = sizes = None
    labels: Sequence[Topic] = topics
    if is_multilabel(topics):
        n_labels = np.fromiter(map(len, topics), dtype=np.int32, count=len(topics))
        sizes = int(n_labels.min()), int(n_labels.max())
        labels = [topic for topic_set in topics for topic in topic_set]
    numbers = {topic: number for number, topic in enumerate(dict.fromkeys(labels))}
    y = np.fromiter((numbers[topic] for topic in labels), dtype=np.int32, count=len(labels))
    keys = np.fromiter(map(_hash_text, texts), dtype=np.uint64, count=len(texts))
    summing = None if encoder is None or n_labels is not None else encoder.summing_encoder
    vectors = None if summing is None else VectorSummer(summing, y, tuple(numbers), keys)
    tables = [HashedColumns(group.n_buckets or 1, group.kind) for group in feature_groups]
    kinds, stack = [group.kind for group in feature_groups], RowStack()
    table = None if summing is None else summing.table
    columns = feature_groups[-1].columns
    for chunk in map_chunks(list, texts):
        counts = count_chunk(chunk, kinds, tables, columns=columns, table=table, learn=True)
        stack.append(counts.entries)
        if vectors is not None and counts.sums is not None:
            vectors.add(counts.sums)
    widths = [table.n_columns for table in tables]
    for part in stack.parts():
        part.offset_columns(widths)
    entries = stack.concatenate()
    buckets, names, lengths = zip(*map(HashedColumns.buckets_and_names, tables), strict=True)
    offsets = np.cumsum([0, *(group.n_buckets or 1 for group in feature_groups[:-1])])
    all_buckets = np.concatenate(
        [group_buckets + offset for group_buckets, offset in zip(buckets, offsets, strict=True)]
    )
    block = CountedBlock(
        # Mostly eight bits.
        values=entries.values.astype(np.min_scalar_type(int(entries.values.max(initial=0)))),
        buckets=all_buckets.astype(np.int32)[entries.columns],
        lengths=entries.lengths.astype(np.int64),
        y=y,
        keys=keys,
        names=tuple(numbers),
        n_labels=n_labels,
    )
    n_documents = np.bincount(entries.columns, minlength=len(all_buckets))
    statistics = BlockStatistics(
        buckets=list(buckets),
        names=list(zip(names, lengths, strict=True)),
        n_documents=np.split(n_documents, np.cumsum(widths)[:-1]),
        topics=dict(zip(numbers, np.bincount(y).tolist(), strict=True)),
        topic_set_sizes=sizes,
        vectors=None if vectors is None else vectors.block(),
    )
    return block, statistics


def _hash_text(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class TermStatistics:
    """Accumulates the term statistics of blocks.

    A bucket is named after its first term in the first block that contains it.

    Parameters
    ----------
    feature_groups : sequence of FeatureGroup

    Attributes
    ----------
    n_documents : list of int64 array, shape (n_buckets,)
        Number of documents with each bucket, for each feature group.
    topic_set_sizes : (int, int) or None
        Minimum and maximum number of topics of a document; None for single-label data.
    """

    def __init__(self, feature_groups: Sequence[FeatureGroup]) -> None:
        self.feature_groups = feature_groups
        self.n_documents = [
            np.zeros(group.n_buckets or 1, dtype=np.int64) for group in feature_groups
        ]
        # New buckets of each feature group and block, their concatenated names and the lengths.
        self._names: list[list[tuple[I32, bytes, I64]]] = [[] for _ in feature_groups]
        self.topic_set_sizes: tuple[int, int] | None = None

    def add(self, block: BlockStatistics) -> None:
        """Add the statistics of the next block."""
        if block.topic_set_sizes is not None:
            smallest, largest = block.topic_set_sizes
            before = self.topic_set_sizes or block.topic_set_sizes
            self.topic_set_sizes = min(smallest, before[0]), max(largest, before[1])
        groups = zip(block.buckets, block.names, block.n_documents, strict=True)
        for number, (buckets, (names, lengths), n_documents) in enumerate(groups):
            totals = self.n_documents[number]
            new = np.flatnonzero(totals[buckets] == 0)
            totals[buckets] += n_documents
            self._names[number].append((buckets[new], *_take_names(names, lengths, new)))

    @property
    def n_columns(self) -> int:
        """Number of buckets with a term."""
        return sum(int(np.count_nonzero(totals)) for totals in self.n_documents)

    @property
    def multilabel(self) -> bool:
        """True if documents may have several topics."""
        return self.topic_set_sizes is not None

    def features(self, n_documents: int, n_jobs: int | None) -> Features:
        """Return features with a column for each bucket with a term, most common buckets first.

        This order keeps the weights of common terms adjacent, which speeds up passes. Frees the
        names of terms, so it can only be called once.
        """
        features = Features(self.feature_groups, n_jobs)
        features.vocabularies_, features.idf_ = [], []
        for group, totals, blocks in zip(
            self.feature_groups, self.n_documents, self._names, strict=True
        ):
            buckets = np.concatenate([buckets for buckets, _, _ in blocks])
            lengths = np.concatenate([lengths for _, _, lengths in blocks])
            order = np.lexsort((buckets, -totals[buckets]))
            names, lengths = _take_names(b"".join(names for _, names, _ in blocks), lengths, order)
            columns = HashedColumns.from_buckets(
                buckets[order], (names, lengths), group.n_buckets or 1, group.kind
            )
            features.vocabularies_.append(columns)
            counts = totals[buckets[order]]
            features.idf_.append(idf(counts, n_documents) if group.has_idf else None)
            blocks.clear()
        return features


def _take_names(names: bytes, lengths: I64, indices: Index) -> tuple[bytes, I64]:
    """Select concatenated names by index, in the order of the indices."""
    taken_lengths = lengths[indices]
    positions = ranges(row_offsets(lengths)[indices], taken_lengths)
    return np.frombuffer(names, dtype=np.uint8)[positions].tobytes(), taken_lengths


class Weighting(NamedTuple):
    """Columns and weights of terms, for converting counts to rows."""

    feature_groups: Sequence[FeatureGroup]
    columns: I32  # shape (n_buckets,): column of each bucket, -1 if it has none
    widths: list[int]  # number of columns of each feature group
    idf: list[F32 | None]  # per feature group
    topic_numbers: dict[Topic, int]

    @classmethod
    def from_features(cls, features: Features, topics: Sequence[Topic]) -> Weighting:
        """Return the weighting of the features of `TermStatistics`."""
        widths = [vocabulary.n_columns for vocabulary in features.vocabularies_]
        offsets = np.cumsum([0, *widths[:-1]], dtype=np.int32)
        tables: list[Any] = [vocabulary.table.columns for vocabulary in features.vocabularies_]
        columns = [
            np.where(table >= 0, table + offset, -1)
            for table, offset in zip(tables, offsets, strict=True)
        ]
        return cls(
            feature_groups=features.feature_groups,
            columns=np.concatenate(columns),
            widths=widths,
            idf=features.idf_,
            topic_numbers={name: number for number, name in enumerate(topics)},
        )
