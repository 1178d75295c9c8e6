"""Blocks of rows: what weights make of them and they of columns, compiled and by SciPy."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.linear import sums
from slugline.learning.linear.sums import RowBlock

needs_kernel = pytest.mark.skipif(sums.kernel is None, reason="there is no compiler")
N_ROWS, N_COLUMNS = 300, 200
WIDTHS = [*range(1, 18), 23, 24, 25, 31, 32, 33, 47, 48, 49, 50, 95, 96, 97, 100, 144, 145]


def block_of(seed: int = 0, density: float = 0.05) -> RowBlock:
    rng = np.random.default_rng(seed)
    some = sp.random_array((N_ROWS, N_COLUMNS - 1), density=density, rng=rng, dtype=np.float32)
    of_all = np.ones((N_ROWS, 1), dtype=np.float32)
    X = sp.hstack([of_all, some], format="csr")
    y = rng.integers(0, 3, N_ROWS).astype(np.int32)
    return RowBlock.from_csr(sp.csr_array(X), y, rng.integers(0, 1 << 64, N_ROWS, dtype=np.uint64))


def tables(width: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(width)
    shapes = ((N_COLUMNS, width), (N_ROWS, width), (N_COLUMNS, width))
    weights, slopes, into = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return weights, slopes, into


@needs_kernel
@pytest.mark.parametrize("width", WIDTHS)
def test_row_block_products_are_the_same_with_and_without_the_kernel(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, found = block_of(), []
    for has in (True, False):
        monkeypatch.setattr(sums, "_has_kernel", lambda has=has: has)
        weights, slopes, into = tables(width)
        products = block.scores(weights), block.column_sums(slopes), block.column_sums(slopes, into)
        found.append([product.tobytes() for product in products])
    assert found[0] == found[1]


@pytest.mark.parametrize("width", [1, 7, 8, 25, 60])
def test_row_block_products_equal_those_of_dense_rows(width: int) -> None:
    block = block_of()
    weights, slopes, into = tables(width)
    X = block.to_csc().toarray()
    np.testing.assert_allclose(block.scores(weights), X @ weights, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(block.column_sums(slopes), X.T @ slopes, rtol=1e-4, atol=1e-4)
    wanted = into + X.T @ slopes
    summed = block.column_sums(slopes, into)
    assert summed is into
    np.testing.assert_allclose(summed, wanted, rtol=1e-4, atol=1e-4)


def test_row_block_without_entries_changes_nothing() -> None:
    empty = sp.csr_array((3, N_COLUMNS), dtype=np.float32)
    block = RowBlock.from_csr(empty, np.zeros(3, dtype=np.int32), np.zeros(3, dtype=np.uint64))
    weights, slopes, into = tables(9)
    before = into.copy()
    assert not block.scores(weights).any()
    assert (block.column_sums(slopes[:3], into) == before).all()


@needs_kernel
@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.array([0, N_ROWS], dtype=np.uint16)},
        {"columns": np.array([N_COLUMNS], dtype=np.int32)},
        {"columns": np.array([-1], dtype=np.int32)},
        {"ends": np.array([3], dtype=np.int64)},
        {"ends": np.array([-1], dtype=np.int64)},
        {"values": np.ones(3, dtype=np.float32)},
    ],
)
def test_row_block_rejects_entries_outside_of_the_tables(changes: dict[str, Any]) -> None:
    block = block_of()._replace(
        values=np.ones(2, dtype=np.float32),
        rows=np.array([0, 1], dtype=np.uint16),
        columns=np.array([5], dtype=np.int32),
        ends=np.array([2], dtype=np.int64),
    )
    weights, slopes, _ = tables(9)
    block.scores(weights)
    wrong = block._replace(**changes)
    with pytest.raises(ValueError, match="arrays that do not fit together"):
        wrong.scores(weights)
    with pytest.raises(ValueError, match="arrays that do not fit together"):
        wrong.column_sums(slopes)


def arguments_of_kernel() -> list[Any]:
    """Return sound arguments for both products."""
    return [
        np.ones(2, dtype=np.float32),
        np.array([0, 1], dtype=np.uint16),
        np.array([2], dtype=np.int32),
        np.array([2], dtype=np.int64),
        np.ones((3, 4), dtype=np.float32),
        np.ones((2, 4), dtype=np.float32),
        4,
    ]


UNFIT = {
    "of another type": lambda array: array.astype(np.complex64),
    "of signed numbers": lambda array: array.view(f"i{array.itemsize}").astype(np.int8),
    "bytes": lambda array: array.tobytes(),
    "of the other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "not aligned": lambda array: np.frombuffer(b"." + array.tobytes(), array.dtype, offset=1),
    "in pieces": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
}


@needs_kernel
@pytest.mark.parametrize("unfit", UNFIT.values(), ids=list(UNFIT))
@pytest.mark.parametrize("name", ["scores", "sums"])
def test_kernel_rejects_arrays_of_another_type_or_not_contiguous(name: str, unfit: Any) -> None:
    product = getattr(sums.kernel, name)
    product(*arguments_of_kernel())
    for at in range(6):
        arguments = arguments_of_kernel()
        if unfit is UNFIT["in pieces"] and arguments[at].size == 1:
            continue  # is in one piece
        arguments[at] = unfit(arguments[at])
        with pytest.raises((ValueError, BufferError)):
            product(*arguments)


@needs_kernel
@pytest.mark.parametrize(("name", "at"), [("scores", 5), ("sums", 4)])
def test_kernel_rejects_read_only_outputs(name: str, at: int) -> None:
    arguments = arguments_of_kernel()
    arguments[at].flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only"):
        getattr(sums.kernel, name)(*arguments)


@needs_kernel
@pytest.mark.parametrize("n_topics", [-1, 0, 3, 5, 2**31, 2**61, 2**63 - 1])
def test_kernel_rejects_numbers_of_topics_that_do_not_fit(n_topics: int) -> None:
    for product in (sums.kernel.scores, sums.kernel.sums):
        with pytest.raises(ValueError, match=r"do not fit together|no topics, or too many"):
            product(*[*arguments_of_kernel()[:-1], n_topics])


@needs_kernel
def test_kernel_returns_at_once_for_tables_without_rows() -> None:
    arguments = [*(array[:0] for array in arguments_of_kernel()[:-1]), 2**31 - 1]
    for product in (sums.kernel.scores, sums.kernel.sums):
        product(*arguments)


@needs_kernel
@pytest.mark.parametrize("n_topics", [3, 8])
def test_kernel_checks_rows_and_columns_that_it_overwrites(n_topics: int) -> None:
    n = 2 * n_topics
    values, ends = np.ones(n, dtype=np.float32), np.array([n])
    table, scores = np.ones((1, n_topics), dtype=np.float32), np.zeros((1, n_topics), np.float32)
    rows, column = scores.reshape(-1).view(np.uint16), np.zeros(1, dtype=np.int32)
    with pytest.raises(ValueError, match="arrays that do not fit together"):
        sums.kernel.scores(values, rows, column, ends, table, scores, n_topics)

    columns = np.zeros((1, n_topics), dtype=np.int32)
    ends, rows = np.arange(1, n_topics + 1), np.zeros(n_topics, dtype=np.uint16)
    into = columns.view(np.float32)
    with pytest.raises(ValueError, match="arrays that do not fit together"):
        sums.kernel.sums(values[:n_topics], rows, columns[0], ends, into, table, n_topics)


def test_row_block_arrays_are_aligned_after_pickling() -> None:
    block = RowBlock.from_csr(
        sp.csr_array(np.eye(3, dtype=np.float32)),
        np.zeros(3, dtype=np.int32),
        np.arange(3, dtype=np.uint64),
    )
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(block, protocol=5, buffer_callback=buffers.append)
    sent = [memoryview(b"." + bytes(buffer.raw()))[1:] for buffer in buffers]
    received = pickle.loads(data, buffers=sent)
    assert all(array.flags.aligned for array in received if isinstance(array, np.ndarray))
    np.testing.assert_array_equal(received.scores(np.eye(3, dtype=np.float32)), np.eye(3))
