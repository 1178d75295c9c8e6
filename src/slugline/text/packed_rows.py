"""Rows in two bytes an entry: how far its column is from the one before, and the count of the term.

Weights are computed when rows are taken, a few at a time, so that all rows take a quarter of the
memory of a CSR array. They are the same, bit for bit. A compiled kernel, `_rows.c`, packs and
unpacks rows, or NumPy does.

A row begins with two bits for each entry, which fill whole bytes and say how many bytes the entry
has: 0 for one, 1 for two, 2 for four. The entries follow. One or two bytes are the distance between
the column and that of the entry before in its feature group, or the number of the first column in
the group; the count of the term has code 1, as nearly all have. Four bytes have the distance in the
low bits, and the code of the count in the others. Bytes are in little-endian order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I32, I64, U8, U32, Integers
from slugline.text.feature_groups import KernelGroups, RowWeights
from slugline.text.sparse import (
    Entries,
    RowStack,
    has_kernel,
    kernel,
    ranges,
    row_lengths,
    row_offsets,
    row_slices,
)

_BITS = 32
# Bytes of the largest entry, which the kernel reads at once, so that as many follow the last row.
_LARGEST_ENTRY = 4
# Entries whose sizes are in one byte.
_SIZES_PER_BYTE = 4
# A stack grows by one byte for so many that it has.
_SPARE = 8
# What stands for the size of entries with a code.
_FOUR_BYTES = 2
# Larger counts have no code.
_MAX_COUNT = 1 << 20


class PackingError(Exception):
    """Columns and counts don't fit into 32 bits."""


class PackedStack:
    """Counts of terms, stacked part by part, in memory that grows with them.

    They are packed once there are many: learning from packed rows takes longer.

    Parameters
    ----------
    widths : sequence of int
        The largest number of columns that each feature group can get.
    few_entries : int, optional
        The largest number of entries that are not packed, which take up to 134 MB by default.

    Raises
    ------
    PackingError : if there are too many columns, or too many different counts.
    """

    def __init__(self, widths: Sequence[int], few_entries: int = 1 << 24) -> None:
        self._few: RowStack | None = RowStack()  # until there are many entries
        self._max_few = few_entries
        self._n_groups = len(widths)
        self._first_columns = np.zeros(len(widths), dtype=np.int64)
        self.n_column_bits = max(1, (max(widths) - 1).bit_length())
        has_numbers = sum(widths) <= 1 << (_BITS - 1)
        self._max_codes = 1 << (_BITS - self.n_column_bits) if has_numbers else 0
        self._packed = np.empty(0, dtype=np.uint8)
        # Of each part: the lengths of its rows, and the number of bytes of each document.
        self._lengths: list[Integers] = []
        self._sizes: list[I64] = []
        self._n_entries = self._n_bytes = 0
        # The count of each code, and the code of each count; the code 0 is that of no count.
        self._counts: list[int] = [0]
        self._code_of_count = np.zeros(1, dtype=np.uint32)

    @property
    def n_entries(self) -> int:
        """Number of entries in all rows."""
        return self._n_entries if self._few is None else self._few.n_entries

    def append(self, part: Entries) -> None:
        """Append rows, one for each document and feature group, below the others.

        The columns of each group begin with 0.
        """
        few = self._few
        if few is not None and few.n_entries + len(part.values) > self._max_few:
            self._few = None
            for each in few.parts():
                self._append_packed(each)
        if self._few is not None:
            self._few.append(part)
        else:
            self._append_packed(part)

    def _append_packed(self, part: Entries) -> None:
        pack, codes = _pack_in_kernel if has_kernel() else _pack, self._find_codes(part.values)
        packed, sizes = pack(part, codes, self._n_groups, self.n_column_bits)
        first = self._n_bytes
        self._n_bytes = last = first + len(packed)
        if last + _LARGEST_ENTRY > len(self._packed):
            # No view of it exists while rows are appended.
            self._packed.resize(last + last // _SPARE + _LARGEST_ENTRY, refcheck=False)
        self._packed[first:last] = packed
        self._lengths.append(part.lengths.astype(np.int32))
        self._sizes.append(sizes)
        self._n_entries += len(part.values)

    def offset_columns(self, widths: Sequence[int]) -> None:
        """Shift the columns of feature groups of these widths, which stand side by side."""
        if self._few is not None:
            self._few.offset_columns(widths)
        else:
            self._first_columns = row_offsets(np.array(widths))[:-1]

    def parts(self) -> Iterator[Entries]:
        """Yield the appended rows, which must not be changed."""
        if self._few is not None:
            yield from self._few.parts()
            return
        rows, counts, last = self._pack_of_rows(), self._count_of_code(), 0
        for lengths in self._lengths:
            first, last = last, last + len(lengths) // self._n_groups
            yield rows.take_counts(np.arange(first, last), counts, self._first_columns)

    def weigh(self, weights: RowWeights) -> PackedRows | sp.csr_array:
        """Return all rows with their weights; nothing more can be appended."""
        if self._few is not None:
            return weights.weigh_stack(self._few)
        self._packed.resize(self._n_bytes + _LARGEST_ENTRY, refcheck=False)
        return PackedRows(self._pack_of_rows(), self._count_of_code(), weights)

    def _pack_of_rows(self) -> _Pack:
        """Return all rows, which share the memory of the stack."""
        lengths = np.concatenate([np.zeros(0, dtype=np.int32), *self._lengths])
        sizes = np.concatenate([np.zeros(0, dtype=np.int64), *self._sizes])
        by_group = lengths.reshape(-1, self._n_groups)
        return _Pack(self._packed, row_offsets(sizes), by_group, self.n_column_bits)

    def _count_of_code(self) -> F32:
        return np.array(self._counts, dtype=np.float32)

    def _find_codes(self, values: F32) -> U32:
        counts = values.astype(np.int64)
        largest = int(counts.max(initial=0))
        if largest >= _MAX_COUNT:
            raise PackingError
        if largest >= len(self._code_of_count):
            wider = np.zeros(largest + 1, dtype=np.uint32)
            wider[: len(self._code_of_count)] = self._code_of_count
            self._code_of_count = wider
        codes = self._code_of_count[counts]
        if not codes.all():
            unseen = np.unique(counts[codes == 0])
            if len(self._counts) + len(unseen) > self._max_codes:
                raise PackingError
            self._code_of_count[unseen] = np.arange(len(unseen)) + len(self._counts)
            self._counts += unseen.tolist()
            codes = self._code_of_count[counts]
        return codes


class PackedRows:
    """Rows of features that can be taken as float32 CSR arrays, in canonical format.

    Made by `PackedStack.weigh`.

    Parameters
    ----------
    pack : _Pack
    counts : float32 array, shape (n_codes,)
        The count of each code.
    weights : RowWeights
    """

    def __init__(self, pack: _Pack, counts: F32, weights: RowWeights) -> None:
        self._pack, self._counts, self._weights = pack, counts, weights
        self.shape = len(pack.lengths), sum(weights.widths)
        #: Where each row starts, and the end of the last one, as in a CSR array.
        self.indptr: I64 = row_offsets(pack.lengths.sum(axis=1))

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return int(self.indptr[-1])

    @property
    def n_bytes(self) -> int:
        """Number of bytes that the entries take."""
        return int(self._pack.starts[-1])

    def __getitem__(self, rows: slice | Integers) -> sp.csr_array:
        """Return some of the rows."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.shape[0]))
        if has_kernel():
            entries = self._weigh_in_kernel(rows, self._scales)
        else:
            entries = self._pack.take_counts(rows, self._counts, self._first_columns)
            self._weights.weigh(entries)
        indptr = row_offsets(row_lengths(self.indptr)[rows])
        index_type = np.int32 if indptr[-1] < np.iinfo(np.int32).max else np.int64
        columns = entries.columns.astype(index_type, copy=False)
        arrays = entries.values, columns, indptr.astype(index_type)
        X = sp.csr_array(arrays, shape=(len(rows), self.shape[1]))
        X.has_canonical_format = True
        return X

    def take_columns(self, rows: Integers) -> tuple[Integers, I64]:
        """Return the columns of the entries of rows, and where each row starts."""
        indptr = row_offsets(row_lengths(self.indptr)[rows])
        return self._pack.take_counts(rows, self._counts, self._first_columns).columns, indptr

    @property
    def _first_columns(self) -> Integers:
        """The first column of each feature group."""
        return row_offsets(np.array(self._weights.widths))[:-1]

    def _weigh_in_kernel(self, rows: Integers, scales: F32 | None) -> Entries:
        """Return the entries of rows with their weights, scaled if asked for."""
        return self._pack.unpack(rows, self._code_weights, self._weights.kernel_groups, scales)

    @cached_property
    def _code_weights(self) -> F32:
        """The weight of each code without idf, shape (n_groups, n_codes)."""
        weights = np.zeros((self._pack.lengths.shape[1], len(self._counts)), dtype=np.float32)
        weights[:, 1:] = self._weights.weigh_counts(self._counts[1:])
        return weights

    @cached_property
    def _scales(self) -> F32:
        """The factor of the groups with idf of each row, shape (n_rows,)."""
        scales = [np.zeros(0, dtype=np.float32)]
        for part in row_slices(self.indptr):
            values, _, lengths = self._weigh_in_kernel(np.arange(part.start, part.stop), None)
            scales.append(self._weights.find_scales(values, lengths))
        return np.concatenate(scales)


# Packing ------------------------------------------------------------------------------------------


class _Pack(NamedTuple):
    """Columns and codes of counts of rows, as bytes.

    Attributes
    ----------
    bytes : uint8 array
        The rows, and four more bytes.
    starts : int64 array, shape (n_rows + 1,)
        Where each row starts in `bytes`, and the end of the last one.
    lengths : int32 array, shape (n_rows, n_groups)
        Number of entries of each feature group.
    n_column_bits : int
    """

    bytes: U8
    starts: I64
    lengths: Integers
    n_column_bits: int

    def take_counts(self, rows: Integers, counts: F32, first_columns: Integers) -> Entries:
        """Return counts of rows, given the count of each code and each group's first column."""
        if not has_kernel():
            codes, columns = self._unpack(rows, first_columns)
            return Entries(counts[codes], columns, self.lengths[rows].ravel())
        neutral = tuple((first, None, 1.0) for first in first_columns.tolist())
        return self.unpack(rows, np.tile(counts, (len(neutral), 1)), neutral)

    def unpack(
        self, rows: Integers, weights: F32, groups: KernelGroups, scales: F32 | None = None
    ) -> Entries:
        """Return the entries of rows, weighed by the kernel.

        Parameters
        ----------
        rows : int array
        weights : float32 array, shape (n_groups, n_codes)
            The weight of each code.
        groups : tuple of (int, float32 array or None, float)
        scales : float32 array, shape (n_rows,), optional
            The factor of the groups with idf of each row.
        """
        lengths = self.lengths[rows].astype(np.int64).ravel()
        n_entries = int(lengths.sum())
        values, columns = np.empty(n_entries, dtype=np.float32), np.empty(n_entries, dtype=np.int32)
        kernel.unpack(
            self.bytes,
            self.starts,
            weights,
            scales,
            self.n_column_bits,
            groups,
            np.ascontiguousarray(rows, dtype=np.int64),
            lengths,
            values,
            columns,
        )
        return Entries(values, columns, lengths)

    def _unpack(self, rows: Integers, first_columns: Integers) -> tuple[U32, I32]:
        """Return the codes and columns of the entries of rows, without the kernel."""
        lengths = self.lengths[rows]
        n_each = lengths.sum(axis=1, dtype=np.int64)
        layout = _Layout.from_lengths(n_each)
        starts = self.starts[rows]
        exponents = self.bytes[starts.repeat(n_each) + layout.size_bytes] >> layout.size_shifts & 3
        places = (starts + layout.n_size_bytes).repeat(n_each) + layout.offsets(exponents)
        words = np.zeros(len(places), dtype=np.uint32)
        for byte in range(_LARGEST_ENTRY):
            has_byte = byte < 1 << exponents.astype(np.int64)
            words[has_byte] |= self.bytes[places[has_byte] + byte].astype(np.uint32) << (8 * byte)
        codes = np.where(exponents < _FOUR_BYTES, 1, words >> self.n_column_bits)
        distances = (words & ((1 << self.n_column_bits) - 1)).astype(np.int64)
        # Sums over all entries, without those before the entry's group.
        sums = row_offsets(distances)
        firsts = row_offsets(lengths.ravel())[:-1]
        columns = sums[1:] - (sums[firsts] - np.tile(first_columns, len(rows))).repeat(
            lengths.ravel()
        )
        return codes, columns.astype(np.int32)


class _Layout(NamedTuple):
    """Where the sizes of entries are in the bytes of their rows.

    Attributes
    ----------
    n_size_bytes : int64 array, shape (n_rows,)
        Number of bytes with the sizes of a row's entries.
    firsts : int64 array, shape (n_rows + 1,)
        The first entry of each row, and the number of entries.
    size_bytes, size_shifts : int array, shape (n_entries,)
        The byte of a row with the size of each entry, and the lowest of its two bits.
    """

    n_size_bytes: I64
    firsts: I64
    size_bytes: I64
    size_shifts: U8

    @classmethod
    def from_lengths(cls, lengths: I64) -> _Layout:
        """Return the layout of rows with so many entries."""
        firsts = row_offsets(lengths)
        numbers = ranges(np.zeros_like(lengths), lengths)
        shifts = (2 * (numbers % _SIZES_PER_BYTE)).astype(np.uint8)
        n_size_bytes = -(-lengths // _SIZES_PER_BYTE)
        return cls(n_size_bytes, firsts, numbers // _SIZES_PER_BYTE, shifts)

    def offsets(self, exponents: U8) -> I64:
        """Return where entries of 1, 2 or 4 bytes are among those of their row."""
        ends = row_offsets(1 << exponents.astype(np.int64))
        return ends[:-1] - ends[self.firsts[:-1]].repeat(row_lengths(self.firsts))


def _pack_in_kernel(part: Entries, codes: U32, n_groups: int, n_column_bits: int) -> tuple[U8, I64]:
    """Return what `_pack` returns."""
    lengths = part.lengths.astype(np.int64, copy=False)
    packed, sizes = kernel.pack(codes, part.columns, lengths, n_groups, n_column_bits)
    return np.frombuffer(packed, dtype=np.uint8), np.frombuffer(sizes, dtype=np.int64)


def _pack(part: Entries, codes: U32, n_groups: int, n_column_bits: int) -> tuple[U8, I64]:
    """Return rows as bytes, and the number of bytes of each row."""
    distances = np.diff(part.columns.astype(np.int64), prepend=0)
    group_firsts = row_offsets(part.lengths)[:-1][part.lengths > 0]
    distances[group_firsts] = part.columns[group_firsts]
    exponents = (distances > 0xFF).astype(np.uint8) + (distances > 0xFFFF)
    exponents[codes != 1] = _FOUR_BYTES
    words = distances.astype(np.uint32)
    words[exponents == _FOUR_BYTES] |= (codes << n_column_bits)[exponents == _FOUR_BYTES]
    lengths = part.lengths.reshape(-1, n_groups).sum(axis=1, dtype=np.int64)
    layout = _Layout.from_lengths(lengths)
    ends = row_offsets(1 << exponents.astype(np.int64))[layout.firsts]
    sizes = layout.n_size_bytes + np.diff(ends)
    starts = row_offsets(sizes)
    packed = np.zeros(starts[-1], dtype=np.uint8)
    places = starts[:-1].repeat(lengths)
    np.add.at(packed, places + layout.size_bytes, exponents << layout.size_shifts)
    places += layout.n_size_bytes.repeat(lengths) + layout.offsets(exponents)
    for byte in range(_LARGEST_ENTRY):
        has_byte = byte < 1 << exponents.astype(np.int64)
        packed[places[has_byte] + byte] = words[has_byte] >> (8 * byte) & 0xFF
    return packed, sizes
