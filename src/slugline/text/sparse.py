"""Sparse rows of term counts and weights, as plain arrays and as CSR arrays.

Importing SciPy takes longer than a prediction, so it is imported only for CSR arrays.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I32, I64, Integers, Mask
from slugline.base.checks import check_whole
from slugline.errors import DataError, Parameter

if TYPE_CHECKING:
    import scipy.sparse as sp

# Row offsets --------------------------------------------------------------------------------------


def row_offsets(lengths: Integers | Mask) -> I64:
    """Return row offsets, like `indptr`, from row lengths.

    >>> row_offsets(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    indptr = np.zeros(len(lengths) + 1, dtype=np.int64)
    lengths.cumsum(out=indptr[1:])
    return indptr


def narrow_offsets(indptr: I64) -> I32 | I64:
    """Return `row_offsets` in 32 bits if the last one fits."""
    return indptr.astype(np.int32) if indptr[-1] < np.iinfo(np.int32).max else indptr


def row_lengths(indptr: Integers) -> Integers:
    """Return row lengths from `row_offsets`; faster than np.diff for few rows.

    >>> row_lengths(np.array([0, 2, 2, 5])).tolist()
    [2, 0, 3]
    """
    return indptr[1:] - indptr[:-1]


#: Default number of entries in a slice of rows; see `row_slices`.
SLICE_ENTRIES = 1 << 19


def row_slices(indptr: Integers, max_entries: int = SLICE_ENTRIES) -> Iterator[slice]:
    """Yield slices of consecutive rows with up to `max_entries`, or a single longer row.

    Processing rows slice by slice limits temporary memory.

    >>> list(row_slices(np.array([0, 2, 2, 5, 6]), max_entries=3))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    start, n_rows = 0, len(indptr) - 1
    while start < n_rows:
        stop = int(np.searchsorted(indptr, indptr[start] + max_entries, side="right")) - 1
        yield slice(start, max(stop, start + 1))
        start = max(stop, start + 1)


def ranges(starts: Integers, lengths: Integers) -> I64:
    """Return the concatenated ranges start, start + 1, ..., each of the given length.

    >>> ranges(np.array([10, 20, 30]), np.array([2, 0, 3])).tolist()
    [10, 11, 30, 31, 32]
    """
    before = row_offsets(lengths)
    places = (starts - before[:-1]).repeat(lengths)
    places += np.arange(before[-1])
    return places


# Kernels ------------------------------------------------------------------------------------------


try:
    from slugline.text import _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel


def has_kernel() -> bool:
    """Return True unless compiled kernels are missing or `SLUGLINE_KERNEL` is 0.

    The package's kernels are installed all together or not at all; see `setup.py`.
    """
    return kernel is not None and os.environ.get("SLUGLINE_KERNEL") != "0"


# Sparse matrices ----------------------------------------------------------------------------------

# A full stack of rows grows by one entry per this many existing ones.
_SPARE = 8


def count_matrix(columns: Integers, indptr: Integers, n_columns: int) -> sp.csr_array:
    """Return a float32 CSR array of the counts of columns in each row, with sorted indices.

    Parameters
    ----------
    columns : int array, shape (n_occurrences,)
        Columns, row by row; within a row, in any order and with repeats.
    indptr : int array, shape (n_rows + 1,)
        Row `r` has `columns[indptr[r]:indptr[r + 1]]`.
    """
    X = _csr(np.ones(len(columns), dtype=np.float32), columns, indptr, n_columns)
    X.sum_duplicates()
    return X


def multi_hot(sequences: Sequence[Sequence[int]], num_columns: int) -> sp.csr_array:
    """Return a float32 CSR array with a 1 in each column that a sequence of integers contains.

    Same as the newswire lesson's `vectorize_sequences`, but sparse. Raises DataError if a number is
    negative or not below `num_columns`.

    >>> multi_hot([[2, 1, 2], []], 4).toarray()
    array([[0., 1., 1., 0.],
           [0., 0., 0., 0.]], dtype=float32)
    """
    check_whole("num_columns", num_columns, 1)
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    numbers = itertools.chain.from_iterable(sequences)
    columns = np.fromiter(numbers, dtype=np.int64, count=lengths.sum())
    indptr = row_offsets(lengths)
    outside = np.flatnonzero((columns < 0) | (columns >= num_columns))
    if outside.size:
        row = np.searchsorted(indptr, outside[0], side="right") - 1
        raise DataError(
            f"sequence {row} contains {columns[outside[0]]}, but columns range from 0 to "
            f"{num_columns - 1}; load the data with num_words={num_columns}."
        )
    X = count_matrix(columns, indptr, num_columns)
    X.data[:] = 1
    return X


class Entries(NamedTuple):
    """Entries of sparse rows of unknown width.

    Attributes
    ----------
    values, columns : float32 and int32 array, shape (n_entries,)
        Row by row, with ascending columns in each row.
    lengths : int array, shape (n_rows,)
        Number of entries of each row.
    """

    values: F32
    columns: I32
    lengths: Integers

    def offset_columns(self, widths: Sequence[int]) -> None:
        """Shift columns in place, to concatenate rows of these widths horizontally."""
        columns = self.columns
        columns += self.repeat_for_entries(np.cumsum([0, *widths[:-1]], dtype=np.int32))

    def append_parts(self, n_parts: int, others: Entries) -> Entries:
        """Return rows of `n_parts` side-by-side rows each, followed by a row of other entries."""
        lengths = np.column_stack([self.lengths.reshape(-1, n_parts), others.lengths])
        totals = lengths.sum(axis=1)
        places = ranges(totals.cumsum() - others.lengths, others.lengths)
        is_other = np.zeros(len(self.values) + len(others.values), dtype=bool)
        is_other[places] = True
        values, columns = np.empty(len(is_other), np.float32), np.empty(len(is_other), np.int32)
        values[is_other], values[~is_other] = others.values, self.values
        columns[is_other], columns[~is_other] = others.columns, self.columns
        return Entries(values, columns, lengths.ravel())

    def repeat_for_entries(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values of the side-by-side rows, each repeated for every entry of its row."""
        n_rows = len(self.lengths) // len(values)
        return values[np.newaxis].repeat(n_rows, axis=0).ravel().repeat(self.lengths)


class SparseRows(NamedTuple):
    """Rows of features or weights, faster to create and score than CSR arrays.

    `n_parts` rows of `entries`, concatenated horizontally, form one row of `n_columns`.
    """

    entries: Entries
    n_columns: int
    n_parts: int = 1

    @classmethod
    def from_csr(cls, X: sp.csr_array) -> SparseRows:
        """Return the rows of a canonical float32 CSR array, sharing its memory."""
        return cls(Entries(X.data, X.indices, row_lengths(X.indptr)), X.shape[1])

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.entries.lengths) // self.n_parts

    def csr(self) -> sp.csr_array:
        """Return a float32 CSR array, shape (n_rows, n_columns)."""
        values, columns, lengths = self.entries
        X = _csr(values, columns, row_offsets(lengths)[:: self.n_parts], self.n_columns)
        X.has_canonical_format = True
        return X

    def toarray(self) -> F32:
        """Return a dense float32 array, shape (n_rows, n_columns)."""
        values, columns, lengths = self.entries
        dense = np.zeros((self.n_rows, self.n_columns), dtype=np.float32)
        places = (np.arange(len(lengths)) // self.n_parts * self.n_columns).repeat(lengths)
        places += columns
        dense.ravel()[places] = values
        return dense


def score_rows(table: F32 | sp.csr_array, X: SparseRows | sp.csr_array) -> F32:
    """Return the sum of the weights of each row's terms, shape (n_rows, n_topics)."""
    scores = (X.csr() if isinstance(X, SparseRows) else X) @ table
    return scores if isinstance(scores, np.ndarray) else scores.toarray()


class RowStack:
    """Rows stacked part by part in growing memory.

    Concatenating a list of parts would take twice the memory.
    """

    def __init__(self) -> None:
        self._values = np.empty(0, dtype=np.float32)
        self._columns = np.empty(0, dtype=np.int32)
        self._lengths: list[Integers] = [np.zeros(0, dtype=np.int64)]
        self._ends = [0]

    @property
    def n_entries(self) -> int:
        """Number of entries in all rows."""
        return self._ends[-1]

    def append(self, part: Entries) -> None:
        """Append rows below the others."""
        first, last = self.n_entries, self.n_entries + len(part.values)
        if last > len(self._values):
            self._resize(last + last // _SPARE)
        self._values[first:last], self._columns[first:last] = part.values, part.columns
        self._lengths.append(part.lengths)
        self._ends.append(last)

    def parts(self) -> Iterator[Entries]:
        """Yield the appended rows as views that may be changed."""
        bounds = itertools.pairwise(self._ends)
        for lengths, (first, last) in zip(self._lengths[1:], bounds, strict=True):
            yield Entries(self._values[first:last], self._columns[first:last], lengths)

    def offset_columns(self, widths: Sequence[int]) -> None:
        """Shift columns, to concatenate rows of these widths horizontally."""
        for part in self.parts():
            part.offset_columns(widths)

    def concatenate(self) -> Entries:
        """Return all rows; nothing more can be appended."""
        self._resize(self.n_entries)
        return Entries(self._values, self._columns, np.concatenate(self._lengths))

    def _resize(self, n_entries: int) -> None:
        # No views exist while rows are appended.
        self._values.resize(n_entries, refcheck=False)
        self._columns.resize(n_entries, refcheck=False)


def check_csr(X: object, n_columns: int | None = None) -> sp.csr_array:
    """Return a matrix or rows of features as a float32 CSR array, without copying such an array.

    Raises DataError if `X` is not a matrix, does not have `n_columns` columns, or is not finite.
    """
    import scipy.sparse as sp

    if isinstance(X, SparseRows):
        X = X.csr()
    elif not sp.issparse(X):
        X = np.asarray(X)
        if X.ndim != 2:
            raise DataError(
                Parameter("X"),
                f" has {X.ndim} dimensions; pass a matrix with one row per document.",
            )
    if isinstance(X, sp.csr_array) and X.dtype == np.float32:
        csr = X
    else:
        csr = sp.csr_array(X, dtype=np.float32)
    if n_columns is not None and csr.shape[1] != n_columns:
        raise DataError(
            Parameter("X"),
            f" has {csr.shape[1]} columns, but the model expects {n_columns}; "
            "use the vocabulary that the model was trained with.",
        )
    _check_finite(csr.data)
    return csr


def check_rows(X: object, n_columns: int) -> SparseRows | sp.csr_array:
    """Return rows of features as they are, and anything else as `check_csr` does."""
    if not isinstance(X, SparseRows) or X.n_columns != n_columns:
        return check_csr(X, n_columns)
    _check_finite(X.entries.values)
    return X


def _check_finite(values: F32) -> None:
    # The extremes are NaN if any value is; a mask of all values would take memory.
    if values.size and not np.isfinite([values.min(), values.max()]).all():
        raise DataError(
            Parameter("X"), " contains NaN or infinity; remove or replace such values first."
        )


def _csr(data: F32, indices: Integers, indptr: Integers, n_columns: int) -> sp.csr_array:
    import scipy.sparse as sp

    # SciPy requires index arrays of the same type and is faster with the narrower one.
    index_type = np.int32 if len(data) < np.iinfo(np.int32).max else np.int64
    return sp.csr_array(
        (data, indices.astype(index_type, copy=False), indptr.astype(index_type, copy=False)),
        shape=(len(indptr) - 1, n_columns),
    )
