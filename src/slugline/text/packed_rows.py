"""Rows whose entries take 32 bits each: the column, and a code for the count of the term.

Weights are computed when rows are taken, a few at a time, so that all rows take half as much memory
as in a CSR array. They are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, U32, Integers
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
# A stack grows by one entry for so many that it has.
_SPARE = 8
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
        self.n_column_bits = max(1, (sum(widths) - 1).bit_length())
        self._max_codes = 1 << max(0, _BITS - self.n_column_bits)
        self._packed = np.empty(0, dtype=np.uint32)
        self._lengths: list[Integers] = []
        self._ends = [0]
        # The count of each code, and the code of each count; the code 0 is that of no count.
        self._counts: list[int] = [0]
        self._code_of_count = np.zeros(1, dtype=np.uint32)

    @property
    def n_entries(self) -> int:
        """Number of entries in all rows."""
        return self._ends[-1] if self._few is None else self._few.n_entries

    def append(self, part: Entries) -> None:
        """Append rows, one for each document and feature group, below the others."""
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
        first, last = self.n_entries, self.n_entries + len(part.values)
        if last > len(self._packed):
            # No view of it exists while rows are appended.
            self._packed.resize(last + last // _SPARE, refcheck=False)
        packed = self._packed[first:last]
        np.left_shift(self._find_codes(part.values), self.n_column_bits, out=packed)
        packed |= part.columns.view(np.uint32)
        self._lengths.append(part.lengths.astype(np.int32))
        self._ends.append(last)

    def offset_columns(self, widths: Sequence[int]) -> None:
        """Shift the columns of feature groups of these widths, which stand side by side."""
        if self._few is not None:
            self._few.offset_columns(widths)
            return
        offsets = np.cumsum([0, *widths[:-1]], dtype=np.uint32)
        for packed, lengths in self._parts():
            n_documents = len(lengths) // self._n_groups
            packed += np.tile(offsets, n_documents).repeat(lengths)

    def parts(self) -> Iterator[Entries]:
        """Yield the appended rows, which must not be changed."""
        if self._few is not None:
            yield from self._few.parts()
            return
        counts, mask = self._count_of_code(), np.uint32((1 << self.n_column_bits) - 1)
        for packed, lengths in self._parts():
            columns = (packed & mask).view(np.int32)
            yield Entries(counts[packed >> np.uint32(self.n_column_bits)], columns, lengths)

    def weigh(self, weights: RowWeights) -> PackedRows | sp.csr_array:
        """Return all rows with their weights; nothing more can be appended."""
        if self._few is not None:
            return weights.weigh_stack(self._few)
        self._packed.resize(self.n_entries, refcheck=False)
        lengths = np.concatenate([np.zeros(0, dtype=np.int32), *self._lengths])
        return PackedRows(
            self._packed,
            lengths.reshape(-1, self._n_groups),
            self._count_of_code(),
            self.n_column_bits,
            weights,
        )

    def _parts(self) -> Iterator[tuple[U32, Integers]]:
        for lengths, first, last in zip(self._lengths, self._ends, self._ends[1:], strict=False):
            yield self._packed[first:last], lengths

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

    Parameters
    ----------
    packed : uint32 array, shape (n_entries,)
        The column of each entry in the low bits, and the code of its count in the others.
    lengths : int32 array, shape (n_rows, n_groups)
        Number of entries of each feature group.
    counts : float32 array, shape (n_codes,)
        The count of each code.
    n_column_bits : int
    weights : RowWeights
    """

    def __init__(
        self, packed: U32, lengths: Integers, counts: F32, n_column_bits: int, weights: RowWeights
    ) -> None:
        self._packed, self._lengths, self._counts = packed, lengths, counts
        self._n_column_bits, self._weights = n_column_bits, weights
        self.shape = len(lengths), sum(weights.widths)
        #: Where each row starts, and the end of the last one, as in a CSR array.
        self.indptr: I64 = row_offsets(lengths.sum(axis=1))

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return len(self._packed)

    def __getitem__(self, rows: slice | Integers) -> sp.csr_array:
        """Return some of the rows."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.shape[0]))
        if has_kernel():
            entries = self._unpack(rows, self._weights.kernel_groups, self._scales)
        else:
            entries = self._weigh(rows)
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
        if has_kernel():  # without looking up idf
            return self._unpack(rows, self._neutral_groups).columns, indptr
        return self._weigh(rows).columns, indptr

    @property
    def _neutral_groups(self) -> KernelGroups:
        """Groups without idf, of weight 1."""
        return tuple((0, None, 1.0) for _ in self._weights.kernel_groups)

    def _weigh(self, rows: Integers) -> Entries:
        """Return the entries of rows without the kernel."""
        places = ranges(self.indptr[rows], row_lengths(self.indptr)[rows])
        packed = self._packed[places]
        columns = packed & np.uint32((1 << self._n_column_bits) - 1)
        counts = self._counts[packed >> np.uint32(self._n_column_bits)]
        entries = Entries(counts, columns.view(np.int32), self._lengths[rows].ravel())
        self._weights.weigh(entries)
        return entries

    def _unpack(self, rows: Integers, groups: KernelGroups, scales: F32 | None = None) -> Entries:
        """Return the entries of rows, with idf and weights of groups, and scaled if asked for."""
        lengths = self._lengths[rows].astype(np.int64).ravel()
        n_entries = int(lengths.sum())
        values, columns = np.empty(n_entries, dtype=np.float32), np.empty(n_entries, dtype=np.int32)
        kernel.unpack(
            self._packed,
            self.indptr,
            self._code_weights,
            scales,
            self._n_column_bits,
            groups,
            np.ascontiguousarray(rows, dtype=np.int64),
            lengths,
            values,
            columns,
        )
        return Entries(values, columns, lengths)

    @cached_property
    def _code_weights(self) -> F32:
        """The weight of each code without idf, shape (n_groups, n_codes)."""
        weights = np.zeros((self._lengths.shape[1], len(self._counts)), dtype=np.float32)
        weights[:, 1:] = self._weights.weigh_counts(self._counts[1:])
        return weights

    @cached_property
    def _scales(self) -> F32:
        """The factor of the groups with idf of each row, shape (n_rows,)."""
        scales = [np.zeros(0, dtype=np.float32)]
        for part in row_slices(self.indptr):
            rows = np.arange(part.start, part.stop)
            values, _, lengths = self._unpack(rows, self._weights.kernel_groups)
            scales.append(self._weights.find_scales(values, lengths))
        return np.concatenate(scales)
