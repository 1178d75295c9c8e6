"""Sparse matrices of counts: equal to what dense loops give, and checked where they come in."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from slugline.errors import DataError, OptionError
from slugline.text.sparse import Entries, RowStack, SparseRows, check_csr, count_matrix, multi_hot

N_COLUMNS = 7
SEQUENCES = st.lists(st.lists(st.integers(0, N_COLUMNS - 1), max_size=10), max_size=6)


def vectorize_sequences(sequences: list[list[int]], dimension: int = 10_000) -> np.ndarray:
    """Multi-hot encode as the newswire lesson does, word for word."""
    results = np.zeros((len(sequences), dimension))
    for i, sequence in enumerate(sequences):
        for j in sequence:
            results[i, j] = 1.0
    return results


def count_rows(sequences: list[list[int]]) -> sp.csr_array:
    columns = np.array([column for sequence in sequences for column in sequence], dtype=np.int64)
    indptr = np.cumsum([0, *map(len, sequences)])
    return count_matrix(columns, indptr, N_COLUMNS)


# multi_hot and count_matrix ---------------------------------------------------------------------


@given(SEQUENCES)
@example([])
@example([[], [3, 3], []])
def test_multi_hot_equals_the_dense_rows_of_the_lesson(sequences: list[list[int]]) -> None:
    X = multi_hot(sequences, N_COLUMNS)
    np.testing.assert_array_equal(X.toarray(), vectorize_sequences(sequences, N_COLUMNS))
    assert X.dtype == np.float32
    assert X.has_canonical_format


@pytest.mark.parametrize(
    "sequences",
    [
        pytest.param(np.array([[1, 2], [0, 2]]), id="matrix, as Keras gives for equal lengths"),
        pytest.param(np.array([[1, 2], [0, 2], []], dtype=object)[:2], id="array of lists"),
        pytest.param([np.array([1, 2]), (0, 2)], id="arrays and tuples"),
    ],
)
def test_multi_hot_accepts_any_container(sequences: object) -> None:
    X = multi_hot(sequences, 3)  # type: ignore[arg-type]
    assert X.toarray().tolist() == [[0, 1, 1], [1, 0, 1]]


def test_multi_hot_stacks_many_sequences() -> None:
    sequences = [[number % 7, number % 5] for number in range(2500)]
    expected = np.zeros((2500, 8), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        expected[row, sequence] = 1
    X = multi_hot(sequences, 8)
    np.testing.assert_array_equal(X.toarray(), expected)
    assert X.has_canonical_format


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        pytest.param(
            [[0, 1], [], [2, 9_999, 10_000]],
            "sequence 2 contains 10000, but columns range from 0 to 9999; load the data with "
            "num_words=10000.",
            id="too large",
        ),
        pytest.param(
            [*[[1]] * 2500, [10_000]],
            "sequence 2500 contains 10000, but columns range from 0 to 9999; load the data with "
            "num_words=10000.",
            id="too large after many",
        ),
        pytest.param(
            [[-1, 10_001]],
            "sequence 0 contains -1, but columns range from 0 to 9999; load the data with "
            "num_words=10000.",
            id="negative",
        ),
    ],
)
def test_multi_hot_rejects_a_number_without_a_column(
    sequences: list[list[int]], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        multi_hot(sequences, 10_000)
    assert str(caught.value) == message


def test_multi_hot_rejects_no_columns() -> None:
    assert multi_hot([[0], []], 1).toarray().tolist() == [[1], [0]]
    with pytest.raises(OptionError) as caught:
        multi_hot([[]], 0)
    assert str(caught.value) == "`num_columns` is 0; give a whole number of at least 1."


@given(SEQUENCES)
def test_count_matrix_counts_like_a_loop(sequences: list[list[int]]) -> None:
    X = count_rows(sequences)
    assert X.toarray().tolist() == [
        [sequence.count(column) for column in range(N_COLUMNS)] for sequence in sequences
    ]
    assert X.dtype == np.float32
    assert X.has_canonical_format
    assert X.nnz == sum(len(set(sequence)) for sequence in sequences)


@pytest.mark.parametrize("n_columns", [8, 10_000], ids=["few columns", "many columns"])
def test_count_matrix_does_not_depend_on_the_order(n_columns: int) -> None:
    X = count_matrix(np.array([5, 2, 5, 7, 0], dtype=np.int32), np.array([0, 3, 3, 5]), n_columns)
    assert X.has_canonical_format
    assert X.indices.tolist() == [2, 5, 0, 7]
    assert X.data.tolist() == [1, 2, 1, 1]
    assert X.indptr.tolist() == [0, 2, 2, 4]


# Entries and RowStack ---------------------------------------------------------------------------


def entries_of(sequences: list[list[int]]) -> Entries:
    X = count_rows(sequences)
    return Entries(X.data, X.indices, np.diff(X.indptr))


def stack_of(blocks: list[list[list[int]]]) -> RowStack:
    stack = RowStack()
    for block in blocks:
        stack.append(entries_of(block))
    return stack


def test_sparse_rows_put_parts_side_by_side() -> None:
    values, columns = np.array([1, 2, 3], dtype=np.float32), np.array([0, 2, 1], dtype=np.int32)
    rows = SparseRows(Entries(values, columns, np.array([1, 1, 0, 1])), 3, n_parts=2)
    assert rows.toarray().tolist() == rows.csr().toarray().tolist() == [[1, 0, 2], [0, 3, 0]]


@pytest.mark.slow
@given(st.lists(SEQUENCES))
@example([])
@example([[]])
def test_row_stack_returns_its_parts(blocks: list[list[list[int]]]) -> None:
    stack = stack_of(blocks)
    assert stack.n_entries == sum(count_rows(block).nnz for block in blocks)
    parts = [SparseRows(part, N_COLUMNS).csr() for part in stack.parts()]
    assert [part.toarray().tolist() for part in parts] == [
        count_rows(block).toarray().tolist() for block in blocks
    ]
    whole = count_rows([sequence for block in blocks for sequence in block])
    stacked = SparseRows(stack.concatenate(), N_COLUMNS)
    assert stacked.toarray().tolist() == whole.toarray().tolist()
    rows = stacked.csr()
    assert rows.toarray().tolist() == whole.toarray().tolist()
    assert len(rows.data) == len(rows.indices) == rows.nnz
    assert (rows.dtype, rows.indices.dtype) == (np.float32, np.int32)


def test_row_stack_parts_are_views() -> None:
    stack = stack_of([[[0, 1]], [[2], [3, 3]]])
    for part in stack.parts():
        values, columns, _ = part
        values *= 2
        columns += 1
    assert SparseRows(stack.concatenate(), 6).csr().toarray().tolist() == [
        [0, 2, 2, 0, 0, 0],
        [0, 0, 0, 2, 0, 0],
        [0, 0, 0, 0, 4, 0],
    ]


def test_append_parts_puts_entries_side_by_side() -> None:
    rows = SparseRows(entries_of([[0, 2], [4], [1], [5, 3]]), 6, 2)
    assert rows.n_rows == 2
    assert rows.csr().toarray().tolist() == [[1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]]
    assert rows.csr().has_canonical_format


# check_csr --------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix])
def test_check_csr_does_not_copy_a_float32_csr_array(container: type) -> None:
    X = container(np.eye(3, dtype=np.float32))
    checked = check_csr(X, n_columns=3)
    assert isinstance(checked, sp.csr_array)
    assert np.shares_memory(checked.data, X.data)


@pytest.mark.parametrize(
    "X",
    [
        pytest.param([[0, 1], [2, 0]], id="lists"),
        pytest.param(np.array([[0.0, 1.0], [2.0, 0.0]]), id="float64"),
        pytest.param(np.array([[0, 1], [2, 0]], dtype=np.int8), id="int8"),
        pytest.param(sp.coo_array([[0, 1], [2, 0]]), id="coo"),
        pytest.param(sp.csc_matrix([[0, 1], [2, 0]]), id="csc"),
    ],
)
def test_check_csr_converts_any_matrix(X: object) -> None:
    checked = check_csr(X)
    assert isinstance(checked, sp.csr_array)
    assert checked.dtype == np.float32
    assert checked.toarray().tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        pytest.param(
            [1.0, 2.0],
            "`X` has 1 dimensions; pass a matrix with one row per document.",
            id="vector",
        ),
        pytest.param(
            np.zeros((2, 2, 2)),
            "`X` has 3 dimensions; pass a matrix with one row per document.",
            id="cube",
        ),
        pytest.param(
            np.zeros((2, 5)),
            "`X` has 5 columns, but the model expects 3; use the vocabulary that the model was "
            "trained with.",
            id="columns",
        ),
        pytest.param(
            [[0, np.nan, 0]],
            "`X` contains NaN or infinity; remove or replace such values first.",
            id="NaN",
        ),
        pytest.param(
            sp.csr_array([[0, 0, -np.inf]]),
            "`X` contains NaN or infinity; remove or replace such values first.",
            id="infinity",
        ),
    ],
)
def test_check_csr_rejects_other_input(X: object, message: str) -> None:
    with pytest.raises(DataError) as caught:
        check_csr(X, n_columns=3)
    assert str(caught.value) == message
