"""Which blocks one hand adds up, and what becomes of arrays that have been added."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

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

N_COLUMNS = 10


def blocks_in(groups: list[slice]) -> list[int]:
    return [number for group in groups for number in range(group.start, group.stop)]


@pytest.mark.parametrize("sizes", [[], [5], [1] * 100, [1000] * 100, [3, 900, 2, 1, 700] * 20])
def test_each_block_is_in_one_group_in_order(sizes: list[int]) -> None:
    assert blocks_in(group_blocks(sizes, N_COLUMNS)) == list(range(len(sizes)))


def test_few_entries_make_one_group_and_many_make_groups_of_a_certain_size() -> None:
    assert group_blocks([10] * 8, N_COLUMNS) == [slice(0, 8)]
    assert len(group_blocks([80] * 8, N_COLUMNS)) == 8
    many = group_blocks([80] * 4000, N_COLUMNS)
    assert {group.stop - group.start for group in many} == {8}
    assert len(group_blocks([1000] * 5000, N_COLUMNS)) <= 1024


def test_small_blocks_between_large_ones_make_no_groups_of_their_own() -> None:
    groups = group_blocks([1000, 1, 1000, 1, 1000], N_COLUMNS)
    assert groups == [slice(0, 1), slice(1, 3), slice(3, 5)]


def test_workers_have_neighbouring_groups_as_many_as_they_have_threads_for() -> None:
    groups = [slice(0, 2), slice(2, 3), slice(3, 7), slice(7, 8)]
    assert assign_workers(groups, {"b": 1, "a": 1}) == ["a"] * 3 + ["b"] * 5
    assert assign_workers(groups, {"a": 3, "b": 1}) == ["a"] * 7 + ["b"]
    assert assign_workers([], {"a": 1}) == []


def test_a_group_is_cut_into_stretches() -> None:
    assert split_group(slice(3, 8), 2) == [slice(3, 5), slice(5, 7), slice(7, 8)]
    assert split_group(slice(3, 5), 9) == [slice(3, 5)]


def doubled(block: Any, more: float, into: Arrays | None = None) -> Arrays:
    own = block * 2.0 + more
    return (own if into is None else into[0] + own,)


def test_a_group_is_added_up_and_keeps_what_its_blocks_keep() -> None:
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


def test_spare_arrays_are_zeros_of_the_expected_shapes() -> None:
    spare = BufferPool()
    assert spare.take() is None
    spare.put((np.ones(3), np.ones(1)))
    spare.reset((np.ones(2), np.ones(1)))
    taken = spare.take()
    assert taken is not None
    assert [array.tolist() for array in taken] == [[0, 0], [0]]
    assert spare.take() is None


def test_spare_arrays_stay_in_their_process() -> None:
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
def test_arrays_are_given_away_only_when_they_have_been_added(n: int) -> None:
    total = TreeSum(Greedy())
    for number in range(n):
        total.append((np.array([float(number)]),))
    assert total.result()[0] == [sum(range(n))]


def test_tasks_change_nothing_that_was_returned_before() -> None:
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
