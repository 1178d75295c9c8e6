"""Which blocks one hand adds up, and what becomes of arrays that have been added."""

from __future__ import annotations

import pickle
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

from slugline.base.arrays import F64
from slugline.learning.linear.sums import Arrays
from slugline.stream import cluster
from slugline.stream.engine import (
    BufferPool,
    TreeSum,
    assign_workers,
    group_blocks,
    split_group,
    sum_group,
)
from slugline.stream.local import LocalEngine

N_COLUMNS = 10


def blocks_in(groups: list[slice]) -> list[int]:
    return [number for group in groups for number in range(group.start, group.stop)]


@pytest.mark.parametrize("sizes", [[], [5], [1] * 100, [1000] * 100, [3, 900, 2, 1, 700] * 20])
def test_group_blocks_puts_each_block_in_one_group_in_order(sizes: list[int]) -> None:
    assert blocks_in(group_blocks(sizes, N_COLUMNS)) == list(range(len(sizes)))


def test_group_blocks_makes_groups_by_the_number_of_entries() -> None:
    assert group_blocks([10] * 8, N_COLUMNS) == [slice(0, 8)]
    assert len(group_blocks([80] * 8, N_COLUMNS)) == 8
    many = group_blocks([80] * 4000, N_COLUMNS)
    assert len(many) == 248
    assert len(group_blocks([1000] * 5000, N_COLUMNS)) <= 1024


def test_group_blocks_joins_small_blocks_with_large_ones() -> None:
    groups = group_blocks([1000, 1, 1000, 1, 1000], N_COLUMNS)
    assert groups == [slice(0, 1), slice(1, 3), slice(3, 5)]


def test_assign_workers_gives_neighbouring_groups_in_proportion_to_threads() -> None:
    groups = [slice(0, 2), slice(2, 3), slice(3, 7), slice(7, 8)]
    assert assign_workers(groups, {"b": 1, "a": 1}) == ["a"] * 3 + ["b"] * 5
    assert assign_workers(groups, {"a": 3, "b": 1}) == ["a"] * 7 + ["b"]
    assert assign_workers([], {"a": 1}) == []


def test_split_group_cuts_slices_of_at_most_so_many_blocks() -> None:
    assert split_group(slice(3, 8), 2) == [slice(3, 5), slice(5, 7), slice(7, 8)]
    assert split_group(slice(3, 5), 9) == [slice(3, 5)]


def doubled(block: Any, more: float, into: Arrays | None = None) -> Arrays:
    own = block * 2.0 + more
    return (own if into is None else into[0] + own,)


def test_sum_group_returns_the_sum_and_stored_values() -> None:
    blocks = [np.array([1.0]), np.array([2.0])]
    (total,), _ = sum_group(doubled, zip(blocks), (1.0,))
    assert total == [8]
    zeros = (np.zeros(1),)
    (total,), _ = sum_group(doubled, zip(blocks), (1.0,), zeros)
    assert total == [8]

    def keeping(block: Any, into: Arrays | None = None) -> Any:
        return doubled(block, 0.0, into), float(block[0])

    (total,), kept = sum_group(keeping, zip(blocks), (), stores=True)
    assert (total.tolist(), kept) == ([6], [1, 2])


def test_buffer_pool_returns_zeros_of_the_last_shapes() -> None:
    spare = BufferPool()
    assert spare.take() is None
    spare.put((np.ones(3), np.ones(1)))
    spare.reset((np.ones(2), np.ones(1)))
    taken = spare.take()
    assert taken is not None
    assert [array.tolist() for array in taken] == [[0, 0], [0]]
    assert spare.take() is None


def test_buffer_pool_is_empty_when_pickled() -> None:
    spare = BufferPool()
    spare.put((np.ones(3),))
    assert pickle.loads(pickle.dumps(spare)).take() is None
    assert spare.take() is not None


class Greedy(BufferPool):
    """Uses what it is given at once, as another thread would."""

    def put(self, arrays: Arrays) -> None:
        for array in arrays:
            array.fill(np.nan)


@pytest.mark.parametrize("n", [2, 3, 7, 8])
def test_tree_sum_gives_arrays_to_the_pool_once_they_are_added(n: int) -> None:
    total = TreeSum(n, Greedy())
    for number in range(n):
        total.add(number, (np.array([float(number)]),))
    assert total.result()[0] == [sum(range(n))]


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 13])
def test_tree_sum_has_the_same_bits_in_any_order_of_the_groups(n: int) -> None:
    rng = np.random.default_rng(n)
    parts = rng.normal(size=(n, 50)).astype(np.float32)
    sums = []
    for order in (range(n), reversed(range(n)), rng.permutation(n).tolist()):
        total = TreeSum(n)
        for number in order:
            total.add(number, (parts[number].copy(),))
        sums.append(total.result()[0].tobytes())
    assert sums == sums[:1] * 3


def test_tree_sum_has_no_result_before_all_groups_are_added() -> None:
    total = TreeSum(2)
    total.add(1, (np.ones(1),))
    with pytest.raises(ValueError, match="some groups have not been added"):
        total.result()


class Chunk(NamedTuple):
    """A block with an array."""

    values: F64


def n_alive(block: Chunk, *_stored: int, into: Arrays | None = None) -> tuple[Arrays, int]:
    """Add a block to those that were passed before, and count how many of these are alive."""
    passed.append(weakref.ref(block.values))
    n = sum(array() is not None for array in passed)
    total = into or (np.zeros(1, dtype=np.int64),)
    np.maximum(total[0], n, out=total[0])
    return total, n


def most_alive(block: Chunk, *stored: int, into: Arrays | None = None) -> Arrays:
    return n_alive(block, *stored, into=into)[0]


passed: list[weakref.ref[F64]] = []


def test_local_engine_maps_one_block_at_a_time() -> None:
    with LocalEngine(1, max_bytes=0) as engine:
        for number in range(4):
            engine.append(Chunk(np.full(3, float(number))))
        engine.set_groups([slice(0, 4)])
        (n,), stored = engine.sum_blocks_storing(n_alive)
        assert (n.tolist(), stored) == ([1], [1] * 4)
        assert engine.sum_blocks(most_alive, stored=stored)[0].tolist() == [1]


def test_sum_blocks_leaves_results_of_earlier_tasks_unchanged() -> None:
    before = (np.array([5.0]),)
    blocks = [np.array([1.0]), np.array([2.0])]
    assert cluster.sum_blocks(adding, (), blocks, None, before)[0] == [8]
    (total,), _ = cluster.sum_blocks_storing(keeping, (), blocks, before)
    assert total == [8]
    assert cluster.add_new(before, before)[0] == [10]
    assert before[0] == [5]


def adding(block: Any, into: Arrays | None = None) -> Arrays:
    if into is None:
        return (block.copy(),)
    into[0][:] += block
    return into


def keeping(block: Any, into: Arrays | None = None) -> tuple[Arrays, None]:
    return adding(block, into), None
