"""Temporary files of counted rows, read by key range.

Keys are text hashes, so a range is a random sample of all rows, regardless of their order and
division into blocks.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import I32, I64, Integers
from slugline.corpus.documents import Topic
from slugline.errors import OutputError, os_errors_as
from slugline.learning.labels import Labels
from slugline.model.parts.counting import CountedBlock, Weighting
from slugline.model.parts.heldout import N_KEYS
from slugline.text.feature_groups import RowWeights
from slugline.text.sparse import Entries, SparseRows, ranges, row_offsets

# Number of files. A part consists of at least one file; this number allows parts of 50,000 rows out
# of 25 million.
_N_FILES = 512
_FILE_WIDTH = N_KEYS // _N_FILES


class KeyRange(NamedTuple):
    """Keys from `first` up to `end - 1`."""

    first: int
    end: int


ALL_KEYS = KeyRange(0, N_KEYS)


def divide_keys(min_key: int, n_rows: int, part_size: int) -> tuple[list[KeyRange], list[KeyRange]]:
    """Return the key ranges of the parts with training rows, and of the parts with held-out rows.

    Parameters
    ----------
    min_key : int
        Rows with a lower key are held out.
    n_rows : int
        Total number of rows.
    part_size : int
        Mean number of rows of a part.
    """
    n_heldout = n_rows * min_key // N_KEYS  # approximate, because keys are hashes
    heldout = _divide(0, min_key, max(1, -(-n_heldout // part_size)))
    training = _divide(min_key, N_KEYS, max(1, -(-(n_rows - n_heldout) // part_size)))
    # Align parts with files, so each file is read once.
    training[1:-1] = [-(-bound // _FILE_WIDTH) * _FILE_WIDTH for bound in training[1:-1]]
    return _key_ranges(training), _key_ranges(heldout)


def _divide(first: int, end: int, n_ranges: int) -> list[int]:
    """Return the bounds of equal ranges."""
    return [*(first + (end - first) * number // n_ranges for number in range(n_ranges)), end]


def _key_ranges(bounds: Sequence[int]) -> list[KeyRange]:
    pairs = itertools.pairwise(bounds)
    return [KeyRange(first, end) for first, end in pairs if first < end]


# Files --------------------------------------------------------------------------------------------


class _CountedRows(NamedTuple):
    """Rows of term counts.

    Attributes
    ----------
    rows : structured array, shape (n_rows,)
        Number of each row in reading order, its key, its number of topics, and its number of
        entries in each feature group.
    topics : int32 array, shape (n_labels,)
        Topic numbers, assigned in the order of first occurrence.
    buckets : int32 array, shape (n_entries,)
    counts : uint array, shape (n_entries,)
    """

    rows: npt.NDArray[Any]
    topics: I32
    buckets: I32
    counts: npt.NDArray[np.unsignedinteger]

    def entry_offsets(self) -> I64:
        """Return the start of each row's entries, and the end of the last row's entries."""
        return row_offsets(self.rows["n_entries"].sum(axis=1))

    def take(self, order: Integers) -> _CountedRows:
        """Return the selected rows in the given order."""
        shape = len(self.rows), int(self.buckets.max(initial=0)) + 1
        arrays = self.counts, self.buckets, self.entry_offsets()
        entries = sp.csr_array(arrays, shape=shape)[order]
        n_topics = self.rows["n_topics"]
        labels = ranges(row_offsets(n_topics)[order], n_topics[order])
        buckets = entries.indices.astype(np.int32, copy=False)
        return _CountedRows(self.rows[order], self.topics[labels], buckets, entries.data)

    def split(self, bounds: I64) -> Iterator[_CountedRows]:
        """Yield the rows between consecutive bounds."""
        of_topics = row_offsets(self.rows["n_topics"])[bounds]
        of_entries = self.entry_offsets()[bounds]
        for number in range(len(bounds) - 1):
            pair = slice(number, number + 2)
            rows, topics, entries = (
                slice(*offsets[pair].tolist()) for offsets in (bounds, of_topics, of_entries)
            )
            yield _CountedRows(
                self.rows[rows], self.topics[topics], self.buckets[entries], self.counts[entries]
            )


class PartFiles:
    """Rows of all blocks, in temporary files partitioned by key.

    Parameters
    ----------
    n_groups : int
        Number of feature groups.

    Attributes
    ----------
    n_rows, n_entries : int
        Numbers of rows and of their entries so far.
    topics : dict
        Number of each topic, assigned in the order of first occurrence.
    """

    def __init__(self, n_groups: int) -> None:
        with _translate_disk_errors(Path(tempfile.gettempdir()), "written"):
            self._folder = tempfile.TemporaryDirectory(
                prefix="slugline-", ignore_cleanup_errors=True
            )
        self._row_type = np.dtype(
            [
                ("number", np.int64),
                ("key", np.uint64),
                ("n_topics", np.int32),
                ("n_entries", np.int32, (n_groups,)),
            ]
        )
        self.n_rows = self.n_entries = 0
        self._written = set[int]()
        self.topics: dict[Topic, int] = {}

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def append(self, block: CountedBlock) -> None:
        """Append the rows of the next block."""
        file_of = block.keys // np.uint64(_FILE_WIDTH)
        order = file_of.argsort(kind="stable")
        bounds = np.searchsorted(file_of[order], np.arange(_N_FILES + 1, dtype=np.uint64))
        for number, part in enumerate(self._counted_rows(block).take(order).split(bounds)):
            if len(part.rows):
                self._write(number, part)

    def _counted_rows(self, block: CountedBlock) -> _CountedRows:
        """Return the rows of a block with global row and topic numbers."""
        rows = np.zeros(len(block.keys), dtype=self._row_type)
        rows["number"] = self.n_rows + np.arange(len(rows))
        rows["key"] = block.keys
        rows["n_topics"] = 1 if block.n_labels is None else block.n_labels
        rows["n_entries"] = block.lengths.reshape(len(rows), -1)
        self.n_rows += len(rows)
        self.n_entries += len(block.values)
        topics = [self.topics.setdefault(name, len(self.topics)) for name in block.names]
        y = np.array(topics, dtype=np.int32)[block.y]
        return _CountedRows(rows, y, block.buckets, block.values)

    def _path(self, number: int) -> Path:
        return Path(self._folder.name) / f"{number}.npy"

    def _write(self, number: int, part: _CountedRows) -> None:
        path = self._path(number)
        self._written.add(number)
        with _translate_disk_errors(path, "written"), path.open("ab") as file:
            for array in part:
                np.save(file, array)

    def read(self, keys: KeyRange) -> _CountedRows:
        """Return the rows with keys in a range."""
        none = np.zeros(0, dtype=np.int32)
        empty = _CountedRows(np.zeros(0, self._row_type), none, none, none.astype(np.uint8))
        parts = [empty]
        for number in range(keys.first // _FILE_WIDTH, -(-keys.end // _FILE_WIDTH)):
            if number in self._written:
                path = self._path(number)
                with _translate_disk_errors(path, "read"), path.open("rb") as file:
                    while file.peek(1):
                        parts.append(_CountedRows(*(np.load(file) for _ in _CountedRows._fields)))
        found = _CountedRows(*map(np.concatenate, zip(*parts, strict=True)))
        row_keys = found.rows["key"]
        is_in_range = row_keys >= np.uint64(keys.first)
        is_in_range &= row_keys <= np.uint64(keys.end - 1)
        return found if is_in_range.all() else found.take(np.flatnonzero(is_in_range))


def _translate_disk_errors(path: Path, verb: str) -> AbstractContextManager[None]:
    advice = (
        "training stores rows there temporarily: free some space, or set TMPDIR to another folder."
    )
    return os_errors_as(OutputError, f"{path} can't be {verb}", advice)


# Weighted rows ------------------------------------------------------------------------------------


class PartRows(NamedTuple):
    """Rows of a part, in an order that depends only on their texts, columns and topics.

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


class PartReader:
    """Reads weighted rows from files of counts.

    Parameters
    ----------
    files : PartFiles
        Contains all rows.
    weighting : Weighting
        Weighting of the terms of all rows.
    multilabel : bool
        True if rows may have any number of topics.
    """

    def __init__(self, files: PartFiles, weighting: Weighting, *, multilabel: bool) -> None:
        self._files, self._weighting, self.multilabel = files, weighting, multilabel
        numbers = weighting.topic_numbers
        self._topics = np.array([numbers[name] for name in files.topics], dtype=np.int64)
        # Sort keys for copies of a text: topics and, if keys depend on the text alone, columns.
        rng = np.random.default_rng(0)
        self._topic_order = rng.random(len(numbers))
        self._column_order = rng.random(sum(weighting.widths), dtype=np.float32)

    @property
    def n_rows(self) -> int:
        """Total number of rows in all parts."""
        return self._files.n_rows

    @property
    def n_entries(self) -> int:
        """Total number of entries of these rows."""
        return self._files.n_entries

    @property
    def n_columns(self) -> int:
        """Number of columns of a row."""
        return sum(self._weighting.widths)

    def read(self, keys: KeyRange = ALL_KEYS) -> PartRows:
        """Return the rows of a part in key order."""
        counts, labels, numbers = self._read_counts(keys)
        return PartRows(self._weigh(counts), labels, numbers)

    def sample_counts(self, n_rows: int) -> Entries:
        """Return the counts of terms of about `n_rows` rows, with a row for each feature group."""
        fraction = min(1.0, n_rows / self.n_rows)
        return self._read_counts(KeyRange(0, max(1, int(N_KEYS * fraction))))[0]

    def _read_counts(self, keys: KeyRange) -> tuple[Entries, Labels, I64]:
        """Return the counts of terms, labels and numbers of a part's rows, in their order."""
        rows, topics, buckets, counts = self._files.read(keys)
        lengths = rows["n_entries"]
        indptr = row_offsets(lengths.sum(axis=1))
        arrays = counts.astype(np.float32), self._weighting.columns[buckets], indptr
        X = sp.csr_array(arrays, shape=(len(rows), self.n_columns))
        X.sort_indices()  # entries were in the order of terms in the block
        labels = Labels(self._topics[topics], row_offsets(rows["n_topics"]), self.multilabel)
        by_topics = np.bincount(labels.rows, self._topic_order[labels.topics], len(labels))
        order = np.lexsort((X @ self._column_order, by_topics, rows["key"]))
        X = X[order]
        columns = X.indices.astype(np.int32, copy=False)
        entries = Entries(X.data, columns, lengths[order].ravel())
        return entries, labels.take(order), rows["number"][order]

    def _weigh(self, counts: Entries) -> sp.csr_array:
        weighting = self._weighting
        RowWeights(weighting.feature_groups, weighting.widths, weighting.idf).weigh(counts)
        X = SparseRows(counts, self.n_columns, len(weighting.widths)).csr()
        X.has_canonical_format = True
        return X
