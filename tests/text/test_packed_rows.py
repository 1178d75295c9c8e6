"""Packed rows: the same bits as in a CSR array of all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.text import sparse
from slugline.text.counting import make_counter
from slugline.text.feature_groups import FeatureGroup, RowWeights
from slugline.text.features import Features
from slugline.text.packed_rows import PackedRows, PackedStack, PackingError
from slugline.text.sparse import Entries

needs_kernel = pytest.mark.skipif(
    sparse.kernel is None, reason="the kernel is not built: there was no compiler"
)
RNG = np.random.default_rng(0)
WORDS = np.array([f"w{number}" for number in range(300)])
TEXTS = [
    " ".join(WORDS[np.minimum(RNG.zipf(1.3, RNG.integers(1, 60)) - 1, 299)]) for _ in range(200)
]
HASHED = FeatureGroup("words", n_buckets=1 << 10)
GROUPS = {
    "idf": [HASHED, FeatureGroup("bigrams", weight=1.5, n_buckets=1 << 12)],
    "counts": [FeatureGroup("words", "counts", n_buckets=1 << 10)],
    "several weightings": [HASHED, FeatureGroup("characters", "multi-hot", n_buckets=1 << 10)],
    "a vocabulary": [FeatureGroup("words", max_terms=50), HASHED],
}


def assert_same(found: sp.csr_array, expected: sp.csr_array) -> None:
    assert found.shape == expected.shape
    for name in ("data", "indices", "indptr"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours.dtype, ours.tobytes()) == (theirs.dtype, theirs.tobytes())


@pytest.mark.parametrize("setting", ["0", pytest.param("1", marks=needs_kernel)])
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_packed_rows_are_those_of_a_csr_array(
    groups: list[FeatureGroup], setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = Features(groups)
    X = features.fit_transform(TEXTS)
    monkeypatch.setenv("SLUGLINE_KERNEL", setting)
    weights = RowWeights(groups, [each.n_columns for each in features.vocabularies_], features.idf_)
    packed = pack(features, few_entries=0).weigh(weights)
    assert isinstance(packed, PackedRows)
    assert (packed.shape, packed.nnz) == (X.shape, X.nnz)
    assert packed.indptr.tolist() == X.indptr.tolist()
    assert_same(packed[:], X)
    assert_same(packed[7:90], X[7:90])
    rows = RNG.integers(0, len(TEXTS), 50)
    assert_same(packed[rows], X[rows])
    assert_same(packed[rows[::2]], X[rows[::2]])
    columns, indptr = packed.take_columns(rows)
    assert columns.tolist() == X[rows].indices.tolist()
    assert indptr.tolist() == X[rows].indptr.tolist()
    assert packed[rows].has_canonical_format


def pack(features: Features, few_entries: int) -> PackedStack:
    """Return the counts of fitted features, appended a few texts at a time."""
    vocabularies = features.vocabularies_
    kinds = [group.kind for group in features.feature_groups]
    stack = PackedStack([each.n_columns for each in vocabularies], few_entries)
    counter = make_counter()
    for start in range(0, len(TEXTS), 40):
        chunk = counter.prepare(TEXTS[start : start + 40], kinds)
        stack.append(counter.count(chunk, vocabularies, learn=True).entries)
    stack.offset_columns([each.n_columns for each in vocabularies])
    return stack


def test_packed_stack_packs_many_entries_only() -> None:
    features = Features([HASHED])
    X = features.fit_transform(TEXTS)
    weights = RowWeights([HASHED], [features.n_columns], features.idf_)
    assert_same(pack(features, few_entries=X.nnz).weigh(weights), X)
    packed = pack(features, few_entries=X.nnz - 1).weigh(weights)
    assert isinstance(packed, PackedRows)
    assert_same(packed[:], X)


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_fit_pack_learns_as_fit_transform(groups: list[FeatureGroup]) -> None:
    features, others = Features(groups), Features(groups)
    assert_same(features.fit_pack(TEXTS), others.fit_transform(TEXTS))
    assert_same(features.transform(TEXTS), others.transform(TEXTS))


def entries(columns: list[int], counts: list[int]) -> Entries:
    return Entries(
        np.array(counts, dtype=np.float32),
        np.array(columns, dtype=np.int32),
        np.array([len(columns)]),
    )


def test_packed_stack_gives_each_count_a_code() -> None:
    stack = PackedStack([1 << 30], few_entries=0)
    stack.append(entries([5, 9], [3, 1000]))
    stack.append(entries([1], [3]))
    parts = [(part.columns.tolist(), part.values.tolist()) for part in stack.parts()]
    assert parts == [([5, 9], [3, 1000]), ([1], [3])]
    assert stack.n_entries == 3
    stack.append(entries([2], [7]))  # two bits hold three counts and the code 0
    with pytest.raises(PackingError):
        stack.append(entries([1], [8]))


def test_packed_stack_rejects_more_columns_than_have_numbers() -> None:
    with pytest.raises(PackingError):
        PackedStack([1 << 31, 1 << 31], few_entries=0).append(entries([0], [1]))


def unpack_arguments(**other: Any) -> list[Any]:
    of_rows = {
        # Columns 0 and 2 with code 1; column 1 with code 2 in four bytes; four more bytes.
        "packed": np.array([0, 0, 2, 2, 1, 2, 0, 0, 0, 0, 0, 0], dtype=np.uint8),
        "starts": np.array([0, 3, 8]),
        "weights": np.array([[0, 1, 2]], dtype=np.float32),
        "scales": np.ones(2, dtype=np.float32),
        "n_column_bits": 8,
        "groups": ((0, np.ones(3, dtype=np.float32), 0.5),),
        "rows": np.array([1, 0]),
        "lengths": np.array([1, 2]),
        "values": np.empty(3, dtype=np.float32),
        "columns": np.empty(3, dtype=np.int32),
    }
    return list((of_rows | other).values())


@needs_kernel
def test_unpack_writes_weights_and_columns() -> None:
    arguments = unpack_arguments(scales=np.array([1, 3], dtype=np.float32))
    sparse.kernel.unpack(*arguments)
    assert arguments[-2].tolist() == [3, 0.5, 0.5]
    assert arguments[-1].tolist() == [1, 0, 2]


@pytest.mark.parametrize("setting", ["0", pytest.param("1", marks=needs_kernel)])
def test_packed_stack_takes_few_bytes_for_near_columns(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUGLINE_KERNEL", setting)
    columns: list[list[int]] = [[255, 510], [256], [65_535, 131_071], [], [0, 1, 2, 3, 4], [7]]
    counts: list[list[int]] = [[1, 1], [1], [1, 1], [], [1, 1, 1, 1, 1], [3]]
    stack = PackedStack([1 << 17, 1 << 17], few_entries=0)
    values, places = (np.concatenate(rows).astype(np.float32) for rows in (counts, columns))
    lengths = np.array(list(map(len, columns)))
    stack.append(Entries(values, places.astype(np.int32), lengths))
    stack.offset_columns([1 << 17, 5])
    [part] = stack.parts()
    assert part.values.tolist() == values.tolist()
    assert part.columns.tolist() == [255, 510, 131_072 + 256, 65_535, 131_071] + [
        column + group * 131_072 for group, row in ((0, range(5)), (1, [7])) for column in row
    ]
    rows = stack.weigh(RowWeights([HASHED, HASHED], [1 << 17, 1 << 17], [None, None]))
    assert isinstance(rows, PackedRows)
    # A byte for the sizes of up to four entries; then 1, 1 and 2 bytes; 2 and 4; 5 times 1 and 4.
    assert rows.n_bytes == (1 + 4) + (1 + 6) + (2 + 9)


@needs_kernel
@pytest.mark.parametrize(
    "wrong",
    [
        {"codes": np.ones(2, dtype=np.uint32)},
        {"columns": np.array([2, 1, 0], dtype=np.int32)},
        {"columns": np.array([-1, 1, 0], dtype=np.int32)},
        {"columns": np.array([1, 300, 0], dtype=np.int32)},
        {"codes": np.array([1, 1 << 24, 1], dtype=np.uint32)},
        {"lengths": np.array([2, 2])},
        {"lengths": np.array([3, 1, -1])},
        {"n_groups": 0},
        {"n_groups": 3},
        {"n_column_bits": 0},
        {"n_column_bits": 32},
    ],
    ids=str,
)
def test_pack_rejects_arrays_that_do_not_fit(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "codes": np.ones(3, dtype=np.uint32),
        "columns": np.array([1, 2, 0], dtype=np.int32),
        "lengths": np.array([2, 1]),
        "n_groups": 1,
        "n_column_bits": 8,
    }
    sparse.kernel.pack(*arguments.values())
    with pytest.raises(ValueError, match="do not"):
        sparse.kernel.pack(*(arguments | wrong).values())


@needs_kernel
@pytest.mark.parametrize(
    "wrong",
    [
        {"packed": np.array([0, 0, 2, 2, 1, 2, 0], dtype=np.uint8)},
        {"packed": np.array([0, 0, 2, 3, 1, 2, 0, 0, 0, 0, 0, 0], dtype=np.uint8)},
        {"packed": np.array([0, 2, 2, 2, 1, 2, 0, 0, 0, 0, 0, 0], dtype=np.uint8)},
        {"starts": np.array([0, 13, 8])},
        {"starts": np.array([0, 12, 8])},
        {"starts": np.array([-1, 3, 8])},
        {"starts": np.array([0, 3])},
        {"weights": np.zeros((1, 2), dtype=np.float32)},
        {"scales": np.ones(1, dtype=np.float32)},
        {"n_column_bits": 0},
        {"n_column_bits": 33},
        {"groups": ()},
        {"groups": ((0, np.ones(2, dtype=np.float32), 0.5),)},
        {"groups": ((-1, np.ones(3, dtype=np.float32), 0.5),)},
        {"groups": ((1 << 31, None, 0.5),)},
        {"rows": np.array([0, 2])},
        {"rows": np.array([0, -1])},
        {"rows": np.array([0])},
        {"lengths": np.array([1, 3])},
        {"lengths": np.array([1, -1])},
        {"lengths": np.array([1, 1])},
        {"values": np.zeros(4, dtype=np.float32)},
        {"columns": np.zeros(2, dtype=np.int32)},
    ],
    ids=str,
)
def test_unpack_rejects_arrays_that_do_not_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        sparse.kernel.unpack(*unpack_arguments(**wrong))
