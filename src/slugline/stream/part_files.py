"""Rows in parts: each has the rows whose keys are in a range, in a temporary file.

Keys are hashes of texts, so that a part is a random sample of all rows, however these are ordered
or divided into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import I32, I64, U64, Index
from slugline.learning.labels import Labels
from slugline.stream.counting import CountedBlock, Weighting
from slugline.stream.heldout import N_KEYS
from slugline.stream.local import temporary_folder, translate_disk_errors
from slugline.text.feature_groups import RowWeights
from slugline.text.sparse import Entries, RowStack, SparseRows, ranges, row_offsets


class DividedBlock(NamedTuple):
    """A counted block whose rows are sorted by their parts.

    Attributes
    ----------
    block : CountedBlock
        With columns in place of buckets, and topic numbers of all documents.
    rows : int64 array, shape (n_rows,)
        Positions of the rows in the block that was divided.
    ends : int64 array, shape (n_parts,)
        Where the rows of each part end.
    """

    block: CountedBlock
    rows: Index
    ends: I64


def divide_block(block: CountedBlock, weighting: Weighting, starts: U64) -> DividedBlock:
    """Return a block with its rows sorted by their parts.

    Parameters
    ----------
    block : CountedBlock
    weighting : Weighting
        With the columns of buckets.
    starts : uint64 array, shape (n_parts,)
        The smallest key of each part, in ascending order.
    """
    part_of = np.searchsorted(starts, block.keys, side="right") - 1
    order = part_of.argsort(kind="stable")
    lengths = block.lengths.reshape(len(order), -1)
    counts = sp.csr_array(
        (block.values, weighting.columns[block.buckets], row_offsets(lengths.sum(axis=1))),
        shape=(len(order), sum(weighting.widths)),
    )[order]
    counts.sort_indices()  # they were in the order in which terms occur in the block
    n_labels, labels = block.n_labels, order
    if n_labels is not None:
        labels = ranges(row_offsets(n_labels)[order], n_labels[order])
    numbers = np.array([weighting.topic_numbers[name] for name in block.names], dtype=np.int32)
    divided = block._replace(
        values=counts.data,
        buckets=counts.indices.astype(np.int32, copy=False),
        lengths=lengths[order].ravel(),
        y=numbers[block.y[labels]],
        keys=block.keys[order],
        n_labels=None if n_labels is None else n_labels[order],
    )
    ends = np.bincount(part_of, minlength=len(starts)).cumsum()
    return DividedBlock(divided, order, ends)


class PartRows(NamedTuple):
    """The rows of a part, in an order that depends only on their texts, columns and topics.

    Attributes
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    labels : Labels
    numbers : int64 array, shape (n_rows,)
        Row numbers in the order of reading.
    """

    X: sp.csr_array
    labels: Labels
    numbers: I64


@dataclass
class PartFile:
    """The file of a part, and its number of rows."""

    path: Path
    n_rows: int = 0


class PartFiles:
    """The rows of all parts, in temporary files.

    Parameters
    ----------
    weighting : Weighting
    min_key : int
        Rows with a lower key are held out.
    n_rows : int
        Number of all rows.
    part_size : int
        Number of rows that a part has on average.
    multilabel : bool
        Whether rows may have any number of topics.

    Attributes
    ----------
    starts : uint64 array, shape (n_ranges,)
        The smallest key of each range of keys; the first ranges are those of held-out rows.
    n_heldout_ranges : int
    training_topic_counts : int64 array, shape (n_topics,)
        Training rows of each topic so far.
    """

    def __init__(
        self, weighting: Weighting, min_key: int, n_rows: int, part_size: int, *, multilabel: bool
    ) -> None:
        self._weighting, self._part_size = weighting, part_size
        self.multilabel = multilabel
        n_heldout = n_rows * min_key // N_KEYS  # about, as keys are hashes
        self.n_heldout_ranges = -(-n_heldout // part_size)
        n_training_ranges = max(1, -(-(n_rows - n_heldout) // part_size))
        starts = _divide(0, min_key, self.n_heldout_ranges)
        starts += _divide(min_key, N_KEYS, n_training_ranges)
        self.starts = np.array(starts, dtype=np.uint64)
        # More than one file for a range with very many copies of a text, whose keys are the same.
        self._files: list[list[PartFile]] = [[] for _ in starts]
        self._folder = temporary_folder()
        # Numbers that order the copies of a text: by their topics and, if only the text decides the
        # key, by their columns.
        rng = np.random.default_rng(0)
        self._topic_numbers = rng.random(len(weighting.topic_numbers))
        self._column_numbers = rng.random(sum(weighting.widths), dtype=np.float32)
        self._n_read = 0
        self.training_topic_counts = np.zeros(len(weighting.topic_numbers), dtype=np.int64)

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def append(self, divided: DividedBlock) -> None:
        """Append the rows of the next block."""
        block, rows, _ = divided
        n_groups = len(self._weighting.widths)
        entries = row_offsets(block.lengths)[::n_groups]
        labels = np.arange(len(rows) + 1) if block.n_labels is None else row_offsets(block.n_labels)
        lengths, first = block.lengths.astype(np.int32), 0
        for part, end in enumerate(divided.ends.tolist()):
            if end > first:
                record = _Records(
                    numbers=rows[first:end].astype(np.int64) + self._n_read,
                    keys=block.keys[first:end],
                    lengths=lengths[first * n_groups : end * n_groups],
                    n_labels=np.diff(labels[first : end + 1]).astype(np.int32),
                    y=block.y[labels[first] : labels[end]],
                    columns=block.buckets[entries[first] : entries[end]],
                    counts=block.values[entries[first] : entries[end]],
                )
                self._write(part, record, end - first)
            first = end
        first_training = divided.ends[self.n_heldout_ranges - 1] if self.n_heldout_ranges else 0
        self.training_topic_counts += np.bincount(
            block.y[labels[first_training] :], minlength=len(self.training_topic_counts)
        )
        self._n_read += len(rows)

    def _write(self, part: int, record: _Records, n_rows: int) -> None:
        files = self._files[part]
        if not files or files[-1].n_rows + n_rows > 2 * self._part_size:
            files.append(PartFile(Path(self._folder.name) / f"{part}-{len(files)}"))
        with translate_disk_errors(files[-1].path), files[-1].path.open("ab") as file:
            record.write(file)
        files[-1].n_rows += n_rows

    @property
    def training_parts(self) -> list[PartFile]:
        """The parts of training rows."""
        return [file for files in self._files[self.n_heldout_ranges :] for file in files]

    @property
    def heldout_parts(self) -> list[PartFile]:
        """The parts of held-out rows."""
        return [file for files in self._files[: self.n_heldout_ranges] for file in files]

    def read(self, part: PartFile) -> PartRows:
        """Return the rows of a part."""
        counts, labels, numbers = self._read_counts(part)
        self._row_weights.weigh(counts)
        X = SparseRows(counts, sum(self._weighting.widths), len(self._weighting.widths)).csr()
        X.has_canonical_format = True
        return PartRows(X, labels, numbers)

    def read_all(self) -> PartRows:
        """Return the rows of all parts, in the order of keys."""
        labels, numbers = Labels.empty(multilabel=self.multilabel), [np.zeros(0, dtype=np.int64)]
        stack = RowStack()
        for part in (part for files in self._files for part in files):
            counts, part_labels, part_numbers = self._read_counts(part)
            stack.append(counts)
            labels = Labels.concatenate(labels, part_labels)
            numbers.append(part_numbers)
        return PartRows(self._row_weights.weigh_stack(stack), labels, np.concatenate(numbers))

    def _read_counts(self, part: PartFile) -> tuple[Entries, Labels, I64]:
        """Return the counts of terms, labels and numbers of a part's rows, in their order."""
        with translate_disk_errors(part.path, "read"):
            rows = _Records.read(part.path)
        n_groups, n_columns = len(self._weighting.widths), sum(self._weighting.widths)
        lengths = rows.lengths.reshape(-1, n_groups)
        arrays = rows.counts.astype(np.float32), rows.columns, row_offsets(lengths.sum(axis=1))
        counts = sp.csr_array(arrays, shape=(len(lengths), n_columns))
        labels = Labels(rows.y.astype(np.int64), row_offsets(rows.n_labels), self.multilabel)
        by_topics = np.bincount(labels.rows, self._topic_numbers[labels.topics], len(labels))
        order = np.lexsort((counts @ self._column_numbers, by_topics, rows.keys))
        counts = counts[order]
        columns = counts.indices.astype(np.int32, copy=False)
        entries = Entries(counts.data, columns, lengths[order].ravel())
        return entries, labels.take(order), rows.numbers[order]

    @property
    def _row_weights(self) -> RowWeights:
        weighting = self._weighting
        return RowWeights(weighting.feature_groups, weighting.widths, weighting.idf)


def _divide(first: int, end: int, n_ranges: int) -> list[int]:
    """Return where equal ranges from `first` to `end` start."""
    return [first + (end - first) * number // n_ranges for number in range(n_ranges)]


class _Records(NamedTuple):
    """Rows of a part, as they are stored in a file: those of one block after another.

    Entries take about two bytes and a half: a column is stored as its distance from the one before,
    and nearly all counts are 1.
    """

    numbers: I64  # shape (n_rows,): see `PartRows`
    keys: U64  # shape (n_rows,)
    lengths: I32  # shape (n_rows * n_groups,): entries of each row and feature group
    n_labels: I32  # shape (n_rows,)
    y: I32  # shape (n_labels,)
    columns: I32  # shape (n_entries,): in ascending order in each row
    counts: npt.NDArray[np.unsignedinteger]  # shape (n_entries,)

    def write(self, file: BinaryIO) -> None:
        """Write a record: the type and length of each array, and then the arrays."""
        arrays = self._shorten()
        header = [(array.itemsize, len(array)) for array in arrays]
        file.write(np.array(header, dtype=np.int64).tobytes())
        for array in arrays:
            file.write(np.ascontiguousarray(array).data)

    @classmethod
    def read(cls, path: Path) -> _Records:
        """Return the rows of all records of a file."""
        data, start = path.read_bytes(), 0
        records: list[_Records] = []
        while start < len(data):
            header = np.frombuffer(data, np.int64, 2 * len(_KINDS), start).reshape(-1, 2).tolist()
            start += 2 * len(_KINDS) * 8
            arrays: list[npt.NDArray[Any]] = []
            for (itemsize, length), kind in zip(header, _KINDS, strict=True):
                arrays.append(np.frombuffer(data, f"{kind}{itemsize}", length, start))
                start += itemsize * length
            records.append(cls._lengthen(*arrays))
        return cls(*map(np.concatenate, zip(*records, strict=True)))

    def _shorten(self) -> list[npt.NDArray[Any]]:
        """Return the arrays of a record; see `_KINDS`."""
        distances = np.diff(self.columns, prepend=np.int32(0))
        firsts = _first_entries(self.lengths, len(self.keys))
        distances[firsts] = self.columns[firsts]
        far = np.flatnonzero(distances > _MAX_DISTANCE).astype(np.uint32)
        repeated = np.flatnonzero(self.counts != 1).astype(np.uint32)
        high_bits, more = (distances[far] >> 16).astype(np.uint16), self.counts[repeated]
        low_bits = distances.astype(np.uint16)
        return [*self[:-2], low_bits, far, high_bits, repeated, more]

    @classmethod
    def _lengthen(cls, *arrays: npt.NDArray[Any]) -> _Records:
        """Return the rows of a record."""
        numbers, keys, lengths, n_labels, y, low_bits, far, high_bits, repeated, more = arrays
        distances = low_bits.astype(np.int32)
        distances[far] |= high_bits.astype(np.int32) << 16
        # Each row starts again from 0. Sums may overflow, and come back.
        firsts = _first_entries(lengths, len(keys))
        columns = np.cumsum(distances, dtype=np.int32)
        before = columns[firsts] - distances[firsts]
        columns -= before.repeat(np.diff(firsts, append=len(columns)))
        counts = np.ones(len(columns), dtype=more.dtype)
        counts[repeated] = more
        return cls(numbers, keys, lengths, n_labels, y, columns, counts)


def _first_entries(lengths: I32, n_rows: int) -> I64:
    """Return where the rows with entries start, given the lengths of their feature groups."""
    n_entries = lengths.reshape(n_rows, -1).sum(axis=1)
    return row_offsets(n_entries)[:-1][n_entries > 0]


# The largest distance whose high bits are 0.
_MAX_DISTANCE = 0xFFFF
# The kind of each array of a record, signed or unsigned integers: those of `_Records` before
# columns; the low bits of distances, where these have high bits, and those; where counts are not 1,
# and those.
_KINDS = ("i", "u", "i", "i", "i", "u", "u", "u", "u", "u")
