"""Rows weighed and scored by the compiled kernel, and by NumPy and SciPy: the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from slugline.errors import DataError
from slugline.text import sparse
from slugline.text.feature_groups import WEIGHTINGS, FeatureGroup, RowWeights
from slugline.text.sparse import Entries, SparseRows, check_rows, score_rows

needs_kernel = pytest.mark.skipif(
    sparse.kernel is None, reason="the kernel is not built: there was no compiler"
)

Draw = Callable[[st.SearchStrategy[Any]], Any]


@st.composite
def counts_of_blocks(draw: Draw) -> tuple[RowWeights, Entries]:
    """Give blocks of all sorts, and counts of some documents' terms."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    n_blocks, n_documents = draw(st.integers(1, 4)), draw(st.integers(0, 5))
    blocks = [
        FeatureGroup(weighting=draw(st.sampled_from(WEIGHTINGS)), weight=draw(st.floats(0.01, 100)))
        for _ in range(n_blocks)
    ]
    widths = [draw(st.integers(1, 40)) for _ in range(n_blocks)]
    idf = [
        (1 + 10 * rng.random(width)).astype(np.float32) if block.has_idf else None
        for block, width in zip(blocks, widths, strict=True)
    ]
    rows = [rng.random(width) < rng.random() / 2 for _ in range(n_documents) for width in widths]
    columns = np.concatenate([np.zeros(0, int), *map(np.flatnonzero, rows)]).astype(np.int32)
    values = np.floor(1 + 1e4 * rng.random(len(columns)) ** 8).astype(np.float32)
    counts = Entries(values, columns, np.array([row.sum() for row in rows], dtype=np.int64))
    counts.offset_columns(widths)
    return RowWeights(blocks, widths, idf), counts


def weighed(weights: RowWeights, counts: Entries, setting: str) -> bytes:
    values = counts.values.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUGLINE_KERNEL", setting)
        weights.weigh(counts._replace(values=values))
    return values.tobytes()


@needs_kernel
@given(counts_of_blocks())
def test_weigh_kernel_agrees_with_numpy(made: tuple[RowWeights, Entries]) -> None:
    one, other = (np.frombuffer(weighed(*made, setting), np.float32) for setting in "10")
    np.testing.assert_allclose(one, other, rtol=1e-5)


@given(counts_of_blocks())
def test_weigh_follows_its_definition(made: tuple[RowWeights, Entries]) -> None:
    weights, counts = made
    values = np.frombuffer(weighed(weights, counts, "1"), dtype=np.float32)
    n_blocks = len(weights.widths)
    ends = np.cumsum([0, *counts.lengths.tolist()])
    for first in range(0, len(counts.lengths), n_blocks):
        bounds = zip(ends[first : first + n_blocks], ends[first + 1 :], strict=False)
        parts = [values[a:b].astype(np.float64) for a, b in bounds]
        with_idf = [
            float(part @ part)
            for part, idf in zip(parts, weights.idf, strict=True)
            if idf is not None
        ]
        squared = float(np.sum(with_idf))
        if squared:
            assert squared == pytest.approx(1, abs=1e-5)


@needs_kernel
@given(
    st.integers(0, 1 << 32),
    st.integers(0, 6),
    st.integers(1, 3),
    st.sampled_from([*range(1, 10), 13, 16, 17, 20, 24, 25, 29, 32, 33, 46, 150]),
)
def test_score_kernel_agrees_with_scipy(seed: int, n_rows: int, n_each: int, n_topics: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, n_rows * n_each)
    columns = [
        np.sort(rng.choice(np.arange(50 * n, 50 * n + 50), length, replace=False))
        for n, length in zip(np.tile(np.arange(n_each), n_rows), lengths, strict=True)
    ]
    flat = np.concatenate([np.zeros(0, int), *columns]).astype(np.int32)
    values = rng.normal(size=len(flat)).astype(np.float32)
    rows = SparseRows(Entries(values, flat, lengths), 50 * n_each, n_each)
    table = rng.normal(size=(rows.n_columns, n_topics)).astype(np.float32)
    table[rng.random(len(table)) < 0.3] = 0
    table[::2] *= rng.random(table[::2].shape) < 0.5  # in the others, all weights are stored
    found = score_rows(table, rows)
    assert found.shape == (n_rows, n_topics)
    assert found.tobytes() == (rows.csr() @ table).tobytes()
    few = sp.csr_array(table)
    assert score_rows(few, rows).tobytes() == found.tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUGLINE_KERNEL", "0")
        assert score_rows(table, rows).tobytes() == found.tobytes()
        np.testing.assert_allclose(score_rows(few, rows), found, atol=1e-5)


@needs_kernel
@pytest.mark.parametrize("n_topics", [1, 3, 4, 9, 33, 40])
@pytest.mark.parametrize("lengths", [[2047, 1, 2, 5000], [2048, 0, 2048], [4097], [3, 2049]])
def test_score_kernel_agrees_with_scipy_for_long_rows(lengths: list[int], n_topics: int) -> None:
    """Columns are copied 2,048 at a time, wherever that is in a row."""
    rng = np.random.default_rng(n_topics)
    columns = [np.sort(rng.choice(6000, length, replace=False)) for length in lengths]
    flat = np.concatenate(columns).astype(np.int32)
    values = rng.normal(size=len(flat)).astype(np.float32)
    rows = SparseRows(Entries(values, flat, np.array(lengths)), 6000, 1)
    table = rng.normal(size=(6000, n_topics)).astype(np.float32)
    table[::2] *= rng.random(table[::2].shape) < 0.5
    found = score_rows(table, rows)
    assert found.tobytes() == (rows.csr() @ table).tobytes()
    assert score_rows(sp.csr_array(table), rows).tobytes() == found.tobytes()
    flat[-1] = 6000
    for weights in (table, sp.csr_array(table)):
        with pytest.raises(ValueError, match="that there is not"):
            score_rows(weights, rows)


# What doesn't fit -------------------------------------------------------------------------------

VALUES, COLUMNS = np.ones(3, dtype="f4"), np.array([0, 1, 2], dtype="i4")
IDF = np.ones(3, dtype="f4")
BLOCK = (0, IDF, 1.0)


@needs_kernel
@pytest.mark.parametrize(
    ("lengths", "blocks", "message"),
    [
        ([4], (BLOCK,), "arrays that do not fit together"),
        ([2], (BLOCK,), "arrays that do not fit together"),
        ([-1, 4], (BLOCK,), "arrays that do not fit together"),
        ([1 << 62, 3], (BLOCK,), "arrays that do not fit together"),
        ([1, 1, 1], (BLOCK, BLOCK), "arrays that do not fit together"),
        ([3], (), "arrays that do not fit together"),
        ([3], ("words",), "a group is not a tuple"),
        ([3], ((0, IDF[:2], 1.0),), "a column that there is not"),
        ([3], ((1, IDF, 1.0),), "a column that there is not"),
    ],
)
def test_weigh_kernel_rejects_arrays_that_do_not_fit(
    lengths: Any, blocks: Any, message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared)
        sparse.kernel.weigh(VALUES.copy(), COLUMNS, np.array(lengths), blocks)
    assert str(caught.value) == message


@needs_kernel
@pytest.mark.parametrize(
    ("lengths", "n_each", "n_columns", "shape", "message"),
    [
        ([4], 1, 3, (1, 2), "arrays that do not fit together"),
        ([-1, 4], 1, 3, (2, 2), "arrays that do not fit together"),
        ([1, 2], 0, 3, (2, 2), "arrays that do not fit together"),
        ([1, 1, 1], 2, 3, (1, 2), "arrays that do not fit together"),
        ([1, 2], 1, 3, (3, 1), "arrays that do not fit together"),
        ([1, 2], 1, 2, (2, 2), "a column that there is not"),
        ([1, 2], 1, 3, (2, 0), "a column that there is not"),
    ],
)
def test_score_kernel_rejects_arrays_that_do_not_fit(
    lengths: Any, n_each: int, n_columns: int, shape: tuple[int, int], message: str
) -> None:
    table, scores = np.ones((n_columns, 2), dtype="f4"), np.zeros(shape, dtype="f4")
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared)
        sparse.kernel.add_products(VALUES, COLUMNS, np.array(lengths), n_each, table, scores)
    assert str(caught.value) == message


@needs_kernel
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lengths": np.array([4])}, "arrays that do not fit together"),
        ({"topics": np.zeros(1, dtype="i4")}, "arrays that do not fit together"),
        (
            {"lengths": np.array([1, 2]), "scores": np.zeros((3, 1), dtype="f4")},
            "arrays that do not fit together",
        ),
        ({"starts": np.array([0, 1, 2], dtype="i4")}, "a column or weight that there is not"),
        ({"starts": np.array([0, 1, 2, 3], dtype="i4")}, "a column or weight that there is not"),
        ({"starts": np.array([0, 2, 1, 2], dtype="i4")}, "a column or weight that there is not"),
        ({"starts": np.array([-1, 0, 1, 2], dtype="i4")}, "a column or weight that there is not"),
        ({"topics": np.array([0, 2], dtype="i4")}, "a column or weight that there is not"),
        ({"topics": np.array([0, -1], dtype="i4")}, "a column or weight that there is not"),
        ({"starts": np.zeros(0, dtype="i4")}, "a column or weight that there is not"),
    ],
)
def test_sparse_score_kernel_rejects_arrays_that_do_not_fit(
    changed: dict[str, Any], message: str
) -> None:
    arrays: dict[str, Any] = {
        "values": VALUES,
        "columns": COLUMNS,
        "lengths": np.array([3]),
        "weights": np.ones(2, dtype="f4"),
        "topics": np.array([0, 1], dtype="i4"),
        "starts": np.array([0, 1, 1, 2], dtype="i4"),
        "scores": np.zeros((1, 2), dtype="f4"),
    }
    sparse.kernel.add_sparse_products(*arrays.values())
    assert arrays["scores"].tolist() == [[1, 1]]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared)
        sparse.kernel.add_sparse_products(*(arrays | changed).values())
    assert str(caught.value) == message


def misaligned(array: Any) -> Any:
    return np.frombuffer(b"." + array.tobytes(), dtype=array.dtype, offset=1).reshape(array.shape)


UNFIT = {
    "wider": lambda array: array.astype(np.complex128 if array.dtype.kind == "f" else np.uint64),
    "of other numbers": lambda array: array.view("f4" if array.dtype.kind == "i" else "i4"),
    "bytes": lambda array: array.tobytes(),
    "of the other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "not aligned": misaligned,
    "in pieces": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
}


def arguments_of_kernel(name: str) -> list[Any]:
    """Return sound arguments; the array that is changed stands first or last."""
    lengths = np.array([1, 2])
    if name == "weigh":
        return [VALUES.copy(), COLUMNS, lengths, (BLOCK,)]
    scores = np.zeros((2, 2), dtype="f4")
    if name == "add_products":
        return [VALUES, COLUMNS, lengths, 1, np.ones((3, 2), dtype="f4"), scores]
    few = np.ones(2, dtype="f4"), np.array([0, 1], dtype="i4"), np.array([0, 1, 1, 2], dtype="i4")
    return [VALUES, COLUMNS, lengths, *few, scores]


@needs_kernel
@pytest.mark.parametrize("unfit", UNFIT.values(), ids=list(UNFIT))
@pytest.mark.parametrize("name", ["weigh", "add_products", "add_sparse_products"])
def test_row_kernels_reject_other_types_and_layouts(name: str, unfit: Any) -> None:
    function = getattr(sparse.kernel, name)
    function(*arguments_of_kernel(name))
    for at, argument in enumerate(arguments_of_kernel(name)):
        arguments = arguments_of_kernel(name)
        if isinstance(argument, np.ndarray):
            arguments[at] = unfit(argument)
        elif isinstance(argument, tuple):
            arguments[at] = ((0, unfit(IDF), 1.0),)
        else:
            continue
        with pytest.raises((ValueError, BufferError)):
            function(*arguments)


@needs_kernel
@pytest.mark.parametrize(
    ("name", "at"), [("weigh", 0), ("add_products", -1), ("add_sparse_products", -1)]
)
def test_row_kernels_reject_read_only_results(name: str, at: int) -> None:
    arguments = arguments_of_kernel(name)
    arguments[at].flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only"):
        getattr(sparse.kernel, name)(*arguments)


@needs_kernel
def test_row_kernels_copy_columns_and_lengths() -> None:
    """What is checked has to be what is used, whoever writes to the arrays meanwhile."""
    values, lengths, table = np.ones(6, dtype="f4"), np.array([3, 3]), np.ones((1, 3), dtype="f4")
    scores = np.zeros((2, 3), dtype="f4")
    columns = scores.reshape(-1).view("i4")
    sparse.kernel.add_products(values, columns, lengths, 1, table, scores)
    assert scores.tolist() == [[3, 3, 3]] * 2
    scores[:] = 0
    few = table[0], np.arange(3, dtype="i4"), np.array([0, 3], dtype="i4")
    sparse.kernel.add_sparse_products(values, columns, lengths, *few, scores)
    assert scores.tolist() == [[3, 3, 3]] * 2

    lengths = np.array([2, 2])
    weights = lengths.view("f4")
    expected = weights * np.float32(1e30)
    blocks = (0, None, 1e30), (0, None, 1e30)
    sparse.kernel.weigh(weights, np.zeros(4, dtype="i4"), lengths, blocks)
    assert weights.tobytes() == expected.tobytes()


@needs_kernel
def test_weigh_kernel_rejects_the_lowest_first_column() -> None:
    with pytest.raises(ValueError, match="a column that there is not"):
        sparse.kernel.weigh(VALUES.copy(), COLUMNS, np.array([3]), ((-(2**63), IDF, 1.0),))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_check_rows_rejects_values_that_are_not_finite(value: float) -> None:
    values = np.array([1, value], dtype=np.float32)
    rows = SparseRows(Entries(values, COLUMNS[:2], np.array([2])), 3)
    with pytest.raises(DataError, match=r"^`X` contains NaN or infinity;"):
        check_rows(rows, 3)
    whole = rows._replace(entries=rows.entries._replace(values=VALUES[:2]))
    assert check_rows(whole, 3) is whole
    with pytest.raises(DataError, match=r"^`X` has 3 columns, but the model expects 4;"):
        check_rows(whole, 4)
