"""The engine on this machine: blocks in memory or in files, and threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slugline.scale.groups import keeping_sum_of_group, sum_of_group
from slugline.scale.parts import Batch, Part
from slugline.scale.spare import Spare
from slugline.scale.store import MOST_IN_MEMORY, Store
from slugline.scale.tree import TreeSum
from slugline.training.row_block import Arrays

__all__ = ["LocalEngine", "in_order"]


class LocalEngine:
    """Holds blocks, and has functions of them done on threads.

    Results are the same for any number of threads. Functions take a block and what is shared, and
    depend on nothing else. What they return of a block belongs to the caller.

    Parameters
    ----------
    n_threads : int
    most_in_memory : int, default MOST_IN_MEMORY
        Bytes of blocks; see `Store`.
    spare : Spare, optional
        What an earlier engine has left for sums.
    """

    def __init__(
        self, n_threads: int, most_in_memory: int = MOST_IN_MEMORY, spare: Spare | None = None
    ) -> None:
        self._n_threads = n_threads
        self._store = Store(most_in_memory)
        self._groups: list[slice] = []
        self._spare = spare or Spare()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def read(
        self, function: Callable[..., tuple[Any, Any]], parts: Iterable[Part], *shared: Any
    ) -> Iterator[Any]:
        """Make blocks of parts.

        `function(batch, *shared)` returns a block, or None, and what to yield about it.
        """
        # Batch by batch, as all of a part may be more than fits into memory.
        batches = (batch for part in parts for batch in part.batches())

        def work(batch: Batch) -> tuple[Any, Any]:
            return function(batch, *shared)

        for block, about in in_order(work, batches, self._n_threads):
            if block is not None:
                self.append(block)
            yield about

    def append(self, block: Any) -> None:
        """Hold one more block, a group by itself."""
        self._groups.append(slice(len(self._store), len(self._store) + 1))
        self._store.append(block)

    def group(self, groups: Sequence[slice]) -> None:
        """Let neighbouring blocks be added up one after another; see `groups_of`."""
        self._groups = list(groups)

    def change(self, function: Callable[..., Any], *shared: Any) -> None:
        """Let each block become `function(block, *shared)`."""
        for number, block in enumerate(self._each(function, shared)):
            self._store.put(number, block)

    def each(self, function: Callable[..., Any], *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""
        return list(self._each(function, shared))

    def sums(
        self,
        function: Callable[..., Any],
        *shared: Any,
        beside: Any = None,
        into: Arrays | None = None,
    ) -> Any:
        """Return sums over blocks in a fixed order; see `training.engine.Engine`."""
        spare = self._spare_for(into)

        def work(group: slice) -> Any:
            own = self._blocks(group)
            both = zip(own) if beside is None else zip(own, beside[group], strict=True)
            return sum_of_group(function, both, shared, spare.take())

        total = TreeSum(spare)
        for arrays in in_order(work, self._groups, self._n_threads, n_waiting=0):
            total.append(arrays)
        return total.result()

    def keeping_sums(
        self, function: Callable[..., Any], *shared: Any, into: Arrays | None = None
    ) -> tuple[Any, Any]:
        """Return sums, and what stays with the blocks; see `training.engine.Engine`."""
        spare = self._spare_for(into)

        def work(group: slice) -> Any:
            return keeping_sum_of_group(function, self._blocks(group), shared, spare.take())

        total, kept = TreeSum(spare), []
        for arrays, own in in_order(work, self._groups, self._n_threads, n_waiting=0):
            total.append(arrays)
            kept.extend(own)
        return total.result(), kept

    def apart(self, n_columns: int, width: int, n_jobs: int) -> None:
        """Return nothing: descents go on one after another, each on all threads."""

    def _each(self, function: Callable[..., Any], shared: tuple[Any, ...]) -> Iterator[Any]:
        def work(number: int) -> Any:
            return function(self._store[number], *shared)

        return in_order(work, range(len(self._store)), self._n_threads)

    def _spare_for(self, into: Arrays | None) -> Spare:
        """Return arrays for sums: those that sums of the same shapes have left."""
        if into is None:
            return Spare()
        self._spare.expect(into)
        return self._spare

    def _blocks(self, group: slice) -> Iterator[Any]:
        """Yield those of a group: one at a time is in memory."""
        return (self._store[number] for number in range(group.start, group.stop))


def in_order(
    work: Callable[[Any], Any], parts: Iterable[Any], n_threads: int, n_waiting: int = 1
) -> Iterator[Any]:
    """Yield what `work` makes of each part, in order.

    Parameters
    ----------
    work : callable
    parts : iterable
    n_threads : int
    n_waiting : int, default 1
        How many may be done, or wait to be, besides one for each thread. With 0, threads wait at
        times, and no more results are in memory than threads.
    """
    if n_threads < 2:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        pending: deque[Any] = deque()
        try:
            for part in parts:
                pending.append(pool.submit(work, part))
                if len(pending) >= n_threads + n_waiting:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for job in pending:
                job.cancel()
