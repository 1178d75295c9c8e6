"""Which blocks one hand adds up, and what becomes of arrays that have been added."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from slugline.learning.linear.sums import Arrays
from slugline.stream import cluster
from slugline.stream.engine import (
    Spare,
    TreeSum,
    groups_of,
    keeping_sum_of_group,
    stretches_of,
    sum_of_group,
    workers_of,
)
from slugline.stream.local import in_order

N_COLUMNS = 10


def blocks_in(groups: list[slice]) -> list[int]:
    return [number for group in groups for number in range(group.start, group.stop)]


@pytest.mark.parametrize("sizes", [[], [5], [1] * 100, [1000] * 100, [3, 900, 2, 1, 700] * 20])
def test_each_block_is_in_one_group_in_order(sizes: list[int]) -> None:
    assert blocks_in(groups_of(sizes, N_COLUMNS)) == list(range(len(sizes)))


def test_few_entries_make_one_group_and_many_make_groups_of_a_certain_size() -> None:
    assert groups_of([10] * 8, N_COLUMNS) == [slice(0, 8)]
    assert len(groups_of([80] * 8, N_COLUMNS)) == 8
    many = groups_of([80] * 4000, N_COLUMNS)
    assert {group.stop - group.start for group in many} == {8}
    assert len(groups_of([1000] * 5000, N_COLUMNS)) <= 1024


def test_small_blocks_between_large_ones_make_no_groups_of_their_own() -> None:
    groups = groups_of([1000, 1, 1000, 1, 1000], N_COLUMNS)
    assert groups == [slice(0, 1), slice(1, 3), slice(3, 5)]


def test_workers_have_neighbouring_groups_as_many_as_they_have_threads_for() -> None:
    groups = [slice(0, 2), slice(2, 3), slice(3, 7), slice(7, 8)]
    assert workers_of(groups, {"b": 1, "a": 1}) == ["a"] * 3 + ["b"] * 5
    assert workers_of(groups, {"a": 3, "b": 1}) == ["a"] * 7 + ["b"]
    assert workers_of([], {"a": 1}) == []


def test_a_group_is_cut_into_stretches() -> None:
    assert stretches_of(slice(3, 8), 2) == [slice(3, 5), slice(5, 7), slice(7, 8)]
    assert stretches_of(slice(3, 5), 9) == [slice(3, 5)]


def doubled(block: Any, more: float, into: Arrays | None = None) -> Arrays:
    own = block * 2.0 + more
    return (own if into is None else into[0] + own,)


def test_a_group_is_added_up_and_keeps_what_its_blocks_keep() -> None:
    blocks = [np.array([1.0]), np.array([2.0])]
    assert sum_of_group(doubled, zip(blocks), (1.0,))[0] == [8]
    zeros = (np.zeros(1),)
    assert sum_of_group(doubled, zip(blocks), (1.0,), zeros)[0] == [8]

    def keeping(block: Any, into: Arrays | None = None) -> Any:
        return doubled(block, 0.0, into), float(block[0])

    total, kept = keeping_sum_of_group(keeping, blocks, ())
    assert (total[0].tolist(), kept) == ([6], [1, 2])


def test_spare_arrays_are_zeros_of_the_expected_shapes() -> None:
    spare = Spare()
    assert spare.take() is None
    spare.put((np.ones(3), np.ones(1)))
    spare.expect((np.ones(2), np.ones(1)))
    taken = spare.take()
    assert taken is not None
    assert [array.tolist() for array in taken] == [[0, 0], [0]]
    assert spare.take() is None


def test_spare_arrays_stay_in_their_process() -> None:
    spare = Spare()
    spare.put((np.ones(3),))
    assert pickle.loads(pickle.dumps(spare)).take() is None
    assert spare.take() is not None


class Greedy(Spare):
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
    assert cluster.sum_up(adding, (), blocks, None, before)[0] == [8]
    (total,), _ = cluster.keep_and_sum(keeping, (), blocks, before)
    assert total == [8]
    assert cluster.added(before, before)[0] == [10]
    assert before[0] == [5]


def adding(block: Any, into: Arrays | None = None) -> Arrays:
    if into is None:
        return (block.copy(),)
    into[0][:] += block
    return into


def keeping(block: Any, into: Arrays | None = None) -> tuple[Arrays, None]:
    return adding(block, into), None


@pytest.mark.parametrize(("n_waiting", "most"), [(0, 2), (1, 3)])
def test_no_more_is_under_way_or_waits_than_was_said(n_waiting: int, most: int) -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    for number, result in enumerate(in_order(work, range(9), 2, n_waiting)):
        assert result == number
        assert len(begun) <= number + most
