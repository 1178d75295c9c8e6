"""`map_in_order`: order, how far it reads ahead, and how it ends; and `limit_blas`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import scipy.linalg  # noqa: F401  the BLAS of NumPy and that of SciPy
from threadpoolctl import ThreadpoolController

from slugline.base.threads import limit_blas, map_in_order


@pytest.mark.parametrize("n_threads", [1, 3])
def test_map_in_order_keeps_the_order_of_the_parts(n_threads: int) -> None:
    assert list(map_in_order(str, range(20), n_threads)) == [str(n) for n in range(20)]


@pytest.mark.parametrize(("n_waiting", "max_ahead"), [(0, 2), (1, 3)])
def test_map_in_order_reads_ahead_for_its_threads_and_n_waiting(
    n_waiting: int, max_ahead: int
) -> None:
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        return number

    for number, result in enumerate(map_in_order(work, range(9), 2, n_waiting=n_waiting)):
        assert result == number
        assert len(started) <= number + max_ahead


def test_map_in_order_yields_results_while_it_is_full_before_it_takes_a_part() -> None:
    taken: list[int] = []

    def parts() -> Iterator[int]:
        for n in (1, 2, 9, 3):
            taken.append(n)
            yield n

    results = map_in_order(str, parts(), 2, is_full=lambda pending: pending[-1] == 9)
    for expected in ("1", "2", "9"):
        assert next(results) == expected
        assert taken == [1, 2, 9]
    assert list(results) == ["3"]


def test_map_in_order_raises_the_error_of_a_part_in_its_turn() -> None:
    results = map_in_order(lambda n: 6 // n, [3, 2, 0, 1], 2)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_in_order_cancels_parts_that_wait_once_it_is_closed() -> None:
    is_closing, done = threading.Event(), list[int]()

    def work(number: int) -> int:
        if number:
            is_closing.wait(0.2)
        done.append(number)
        return number

    results = map_in_order(work, range(9), 2, n_waiting=7)
    assert next(results) == 0
    results.close()
    assert sorted(done) in ([0], [0, 1], [0, 1, 2])  # each thread may have started one more


def n_blas_threads() -> set[int]:
    pools = ThreadpoolController().select(user_api="blas").info()
    return {pool["num_threads"] for pool in pools}


def test_limit_blas_is_lifted_at_the_end() -> None:
    usual = n_blas_threads()
    for _ in range(2):  # the second time, the thread pools are known
        with limit_blas():
            assert n_blas_threads() == {1}
        assert n_blas_threads() == usual


def test_limit_blas_holds_until_the_last_of_overlapping_contexts_ends() -> None:
    first, second = ExitStack(), ExitStack()
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        first.enter_context(limit_blas())
        second.enter_context(limit_blas())
        first.close()
        assert n_blas_threads() == {1}
        second.close()
        assert n_blas_threads() == {2}
