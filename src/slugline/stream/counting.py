"""Texts to blocks: tokenised and hashed once, then weighed when all documents are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64, U64, Index
from slugline.corpus.documents import Topic, compute_digest
from slugline.corpus.labelled import SourceSchema
from slugline.learning.linear.sums import RowBlock
from slugline.stream.source import Batch
from slugline.text.blocks import Block, idf
from slugline.text.columns import HashedColumns
from slugline.text.counting import make_counter
from slugline.text.features import Features
from slugline.text.row_weights import RowWeights
from slugline.text.sparse import Entries, RowStack, SparseRows, boundaries, ranges
from slugline.text.words import map_chunks

__all__ = [
    "BatchSummary",
    "BlockStatistics",
    "CountedBlock",
    "TermStatistics",
    "Weighting",
    "count_batch",
    "count_terms",
    "weight_block",
]


class CountedBlock(NamedTuple):
    """Consecutive documents, and how often they have each term.

    Attributes
    ----------
    values : float32 array, shape (n_entries,)
        How often.
    buckets : int32 array, shape (n_entries,)
        Those of the second family of terms follow those of the first.
    lengths : int64 array, shape (n_documents * n_families,)
        How many entries each document has, of each family.
    y : int32 array, shape (n_documents,)
        The number of each topic among `names`.
    keys : uint64 array, shape (n_documents,)
        A hash of each text.
    names : tuple of str or int
        The topics of these documents.
    """

    values: F32
    buckets: npt.NDArray[np.int32]
    lengths: I64
    y: npt.NDArray[np.int32]
    keys: U64
    names: tuple[Topic, ...]


class BlockStatistics(NamedTuple):
    """What a block says of its documents.

    Attributes
    ----------
    buckets : list of int32 array, shape (n_seen,)
        Of each family.
    names : list of (bytes, int64 array of lengths)
        The terms that the buckets are named after.
    n_documents : list of int64 array, shape (n_seen,)
        How many documents have them.
    topics : dict of topic to int
        How many documents they have.
    """

    buckets: list[npt.NDArray[np.int32]]
    names: list[tuple[bytes, I64]]
    n_documents: list[I64]
    topics: dict[Topic, int]

    @property
    def n_entries(self) -> int:
        """How many pairs of a document and a term of it there are."""
        return sum(int(counts.sum()) for counts in self.n_documents)


def count_terms(
    texts: Sequence[str], topics: Sequence[Topic], families: Sequence[Block]
) -> tuple[CountedBlock, BlockStatistics]:
    """Count the terms of documents.

    Parameters
    ----------
    texts, topics
    families : sequence of Block
        Of hash buckets.
    """
    seen = [HashedColumns(family.n_buckets or 1, family.kind) for family in families]
    kinds, counts, stack = [family.kind for family in families], make_counter(), RowStack()
    for read in map_chunks(lambda chunk: counts.read(chunk, kinds), texts):
        stack.append(counts.count(read, seen, learn=True).entries)
    for part in stack.parts():
        part.offset_columns([columns.n_columns for columns in seen])
    entries = stack.concatenate()
    named = [columns.buckets_and_names() for columns in seen]
    keys = np.fromiter(map(_key, texts), dtype=np.uint64, count=len(texts))
    names = {topic: number for number, topic in enumerate(dict.fromkeys(topics))}
    y = np.fromiter((names[topic] for topic in topics), dtype=np.int32, count=len(topics))
    offsets = _offsets([family.n_buckets or 1 for family in families])
    buckets = np.concatenate([own + first for (own, *_), first in zip(named, offsets, strict=True)])
    block = CountedBlock(
        entries.values,
        buckets.astype(np.int32)[entries.columns],
        entries.lengths.astype(np.int64),
        y,
        keys,
        tuple(names),
    )
    found = BlockStatistics(
        [own for own, *_ in named],
        [(data, lengths) for _, data, lengths in named],
        np.split(
            np.bincount(entries.columns, minlength=len(buckets)),
            np.cumsum([columns.n_columns for columns in seen])[:-1],
        ),
        dict(zip(names, np.bincount(y).tolist(), strict=True)),
    )
    return block, found


class BatchSummary(NamedTuple):
    """What is known of a batch: its documents' terms, if there are any, and what files are like."""

    found: BlockStatistics | None
    facts: tuple[SourceSchema, ...]
    n_documents: int
    digest: str


def count_batch(
    batch: Batch, families: Sequence[Block]
) -> tuple[CountedBlock | None, BatchSummary]:
    """Count the terms of a batch; there is no block if it has no documents. See `count_terms`."""
    texts, topics, facts = batch
    digest = compute_digest(texts, topics)
    if not texts:
        return None, BatchSummary(None, facts, 0, digest)
    block, found = count_terms(texts, topics, families)
    return block, BatchSummary(found, facts, len(texts), digest)


def _key(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _offsets(widths: Sequence[int]) -> Any:
    return np.cumsum([0, *widths[:-1]])


class TermStatistics:
    """The terms of all documents: gathered block by block, in any order but for their names.

    Of the terms in a bucket, the first one of the first block gives its name.

    Parameters
    ----------
    families : sequence of Block
    """

    def __init__(self, families: Sequence[Block]) -> None:
        self.families = families
        self.n_documents = [np.zeros(family.n_buckets or 1, dtype=np.int64) for family in families]
        self._names: list[list[tuple[npt.NDArray[np.int32], bytes, I64]]] = [[] for _ in families]

    def add(self, found: BlockStatistics) -> None:
        """Take what one more block has."""
        parts = zip(found.buckets, found.names, found.n_documents, strict=True)
        for number, (buckets, (data, lengths), n_documents) in enumerate(parts):
            known = self.n_documents[number]
            new = np.flatnonzero(known[buckets] == 0)
            known[buckets] += n_documents
            self._names[number].append((buckets[new], *_cut(data, lengths, new)))

    @property
    def n_columns(self) -> int:
        """How many buckets have a term."""
        return sum(int(np.count_nonzero(known)) for known in self.n_documents)

    def features(self, n_documents: int, n_jobs: int | None) -> Features:
        """Return features with a column for each bucket that has a term, the most common first.

        Weights of common terms, which most of a pass is about, then lie side by side.
        """
        features = Features(self.families, n_jobs)
        features.vocabularies_, features.idf_ = [], []
        for family, known, parts in zip(self.families, self.n_documents, self._names, strict=True):
            buckets = np.concatenate([own for own, *_ in parts])
            lengths = np.concatenate([lengths for *_, lengths in parts])
            order = np.lexsort((buckets, -known[buckets]))
            names = _cut(b"".join(data for _, data, _ in parts), lengths, order)
            columns = HashedColumns.from_buckets(
                buckets[order], names, family.n_buckets or 1, family.kind
            )
            features.vocabularies_.append(columns)
            own = known[buckets[order]]
            features.idf_.append(idf(own, n_documents) if family.has_idf else None)
        return features

    def columns(self) -> npt.NDArray[np.int32]:
        """Return the column of each bucket, below 0 if it has none; shape (n_buckets,)."""
        parts, first = [], 0
        for known in self.n_documents:
            order, columns = _by_frequency(known), np.full(len(known), -1, dtype=np.int32)
            columns[order] = np.arange(first, first + len(order))
            parts.append(columns)
            first += len(order)
        return np.concatenate(parts)


def _by_frequency(known: I64) -> Index:
    """Return the buckets that have a term, those of most documents first."""
    seen = np.flatnonzero(known)
    return seen[np.argsort(-known[seen], kind="stable")]


def _cut(data: bytes, lengths: I64, places: Index) -> tuple[bytes, I64]:
    """Return some of the names, in the order of their places."""
    chosen = lengths[places]
    spelled = np.frombuffer(data, dtype=np.uint8)[ranges(boundaries(lengths)[places], chosen)]
    return spelled.tobytes(), chosen


class Weighting(NamedTuple):
    """How counts become rows.

    Attributes
    ----------
    families : sequence of Block
    columns : int32 array, shape (n_buckets,)
        The column of each bucket.
    widths : list of int
        How many columns each family has.
    idf : list of float32 array or None
    numbers : dict of topic to int
    """

    families: Sequence[Block]
    columns: npt.NDArray[np.int32]
    widths: list[int]
    idf: list[F32 | None]
    numbers: dict[Topic, int]


def weight_block(block: CountedBlock, plan: Weighting) -> RowBlock:
    """Return the rows of counted documents."""
    entries = Entries(block.values.copy(), plan.columns[block.buckets], np.array(block.lengths))
    RowWeights(plan.families, plan.widths, plan.idf).weigh(entries)
    numbers = np.array([plan.numbers[name] for name in block.names], dtype=np.int32)
    X = SparseRows(entries, sum(plan.widths), len(plan.families)).csr()
    return RowBlock.of(X, numbers[block.y], np.array(block.keys))
