"""What learning asks of an engine, which holds blocks, and sums over groups of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from slugline.base.arrays import F64
from slugline.learning.linear.newton import Iterate, NewtonDescent
from slugline.learning.linear.sums import Arrays, BlockFunction, BlockSums, add_arrays
from slugline.stream.source import Partition

# Engines ----------------------------------------------------------------------------------------


class Engine(BlockSums, Protocol):
    """Holds blocks and runs functions over them, with the same bits on any number of workers.

    `local.LocalEngine` uses threads of this process, `cluster.DaskEngine` workers of a cluster. It
    is a context manager, which frees the blocks. Functions are at the top level of a module, and
    depend on the block and `shared` alone.
    """

    @property
    def dashboard(self) -> str:
        """Address of a page that shows the work; empty if there is none."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> None: ...

    def read_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Read partitions into blocks, and yield a summary of each batch in order.

        `function(batch, *shared)` returns the block, or None, and the summary.
        """

    def set_groups(self, groups: Sequence[slice]) -> None:
        """Set which neighbouring blocks are summed one after another; see `group_blocks`."""

    def map_blocks(self, function: BlockFunction, *shared: Any) -> None:
        """Replace each block by `function(block, *shared)`."""

    def collect(self, function: BlockFunction, *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""

    def topic_parallel(self, n_columns: int, width: int, n_tasks: int) -> TopicParallel | None:
        """Return a runner of whole descents, each on one worker that holds all rows.

        Parameters
        ----------
        n_columns, width : int
            Columns and topics of a descent.
        n_tasks : int
            Number of descents.

        Returns
        -------
        TopicParallel, or None if rows don't fit on a worker, or sharing them out is faster.
        """


class DescentTask(NamedTuple):
    """A descent for some topics."""

    # At the top level of a module; `begin(*arguments())` returns a `NewtonDescent`.
    begin: Callable[..., NewtonDescent]
    arguments: Callable[[], tuple[Any, ...]]
    # At the top level of a module; `finish(engine, iterate, *finish_arguments)` returns the
    # `result` of the last report.
    finish: Callable[..., Any]
    finish_arguments: tuple[Any, ...] = ()


class DescentReport(NamedTuple):
    """How far a descent is; with its iterate and result when it has ended."""

    n_passes: int
    share: float
    is_done: bool
    first: F64
    iterate: Iterate | None = None
    result: Any = None


class TopicParallel(Protocol):
    """Runs descents for different topics at the same time."""

    def run(self, tasks: Sequence[DescentTask]) -> Iterator[tuple[int, DescentReport]]:
        """Yield the number of a task and a report after each step of any."""

    def stop(self) -> Iterator[tuple[int, DescentReport]]:
        """Stop descents that have not ended, and yield their reports with iterates."""


# Groups of blocks ---------------------------------------------------------------------------------

# A group has about this many entries for each column, so that its sums are few beside its entries,
# but there are at least so many groups, to keep threads busy, and at most so many, as each is a
# task. No group has fewer entries for each column than the last number.
_PER_COLUMN, _MIN_GROUPS, _MAX_GROUPS, _MIN_PER_COLUMN = 64, 8, 1024, 8


def entries_per_group(n_entries: int, n_columns: int) -> int:
    """Return the number of entries at which a group is full."""
    n_groups = min(max(n_entries // (_PER_COLUMN * n_columns), _MIN_GROUPS), _MAX_GROUPS)
    return max(n_entries // n_groups, _MIN_PER_COLUMN * n_columns)


def group_blocks(sizes: Sequence[int], n_columns: int) -> list[slice]:
    """Return groups of neighbouring blocks, given the number of entries of each block."""
    full = entries_per_group(sum(sizes), n_columns)
    groups, start, n_entries = list[slice](), 0, 0
    for number, size in enumerate(sizes):
        n_entries += size
        if n_entries >= full or number == len(sizes) - 1:
            groups.append(slice(start, number + 1))
            start, n_entries = number + 1, 0
    return groups


def split_group(group: slice, most: int) -> list[slice]:
    """Split a group into slices of at most so many blocks."""
    starts = range(group.start, group.stop, most)
    return [slice(start, min(start + most, group.stop)) for start in starts]


def sum_group(
    function: BlockFunction,
    blocks: Iterable[tuple[Any, ...]],
    shared: tuple[Any, ...],
    into: Arrays | None = None,
    *,
    stores: bool = False,
) -> tuple[Arrays, list[Any]]:
    """Return the sum of a function over tuples of a block and its stored value, if any.

    If it `stores`, the function also returns a value to store for each block; these come second.
    See `BlockSums`; `into` is what to add to.
    """
    total: Any = into
    values = []
    for block in blocks:
        total = function(*block, *shared, into=total)
        if stores:
            total, value = total
            values.append(value)
    return total, values


def assign_workers(groups: Sequence[slice], threads: Mapping[str, int]) -> list[str]:
    """Return a worker for each block, given the number of threads of each worker.

    Each has neighbouring groups, in proportion to its threads, so that few sums are sent between
    workers.
    """
    workers = sorted(threads)
    ends = np.cumsum([threads[worker] for worker in workers])
    places = (np.arange(len(groups)) + 0.5) * ends[-1] / max(1, len(groups))
    numbers = np.searchsorted(ends, places, side="right")
    lengths = [group.stop - group.start for group in groups]
    return [workers[i] for i in numbers.repeat(lengths)]


class BufferPool:
    """Arrays for further sums of the same shapes, as allocating large ones is slow.

    Safe for threads. It stays in its process: a copy is empty.
    """

    def __init__(self) -> None:
        self._buffers: list[Arrays] = []

    def __reduce__(self) -> tuple[type[BufferPool], tuple[()]]:
        return type(self), ()

    def reset(self, arrays: Arrays) -> None:
        """Add arrays, and drop those of other shapes."""
        self._buffers = [buffer for buffer in self._buffers if _shapes(buffer) == _shapes(arrays)]
        self.put(arrays)

    def put(self, arrays: Arrays) -> None:
        """Add arrays that nobody else uses."""
        self._buffers.append(arrays)

    def take(self) -> Arrays | None:
        """Remove arrays and return them filled with 0; None if there are none."""
        try:
            arrays = self._buffers.pop()
        except IndexError:
            return None
        for array in arrays:
            array.fill(0)
        return arrays


def _shapes(arrays: Arrays) -> list[tuple[int, ...]]:
    return [array.shape for array in arrays]


class TreeSum:
    """Sums the arrays of consecutive groups in pairs, pairs of pairs, and so on.

    The order depends on the numbers of the groups alone: a worker that sums the groups from
    `m * 2**k` to before `(m + 1) * 2**k` gets the same bits. Of `n` groups, as many sums are in
    memory as `n` has binary digits.

    Parameters
    ----------
    pool : BufferPool, optional
        Receives arrays that have been added.

    >>> import numpy as np
    >>> total = TreeSum()
    >>> for number in range(5):
    ...     total.append((np.array([number]),))
    >>> total.result()
    (array([10]),)
    """

    def __init__(self, pool: BufferPool | None = None) -> None:
        self._levels: list[tuple[int, Arrays]] = []
        self._pool = pool or BufferPool()

    def append(self, arrays: Arrays) -> None:
        """Add the arrays of the next group, which may be changed."""
        level = 0
        while self._levels and self._levels[-1][0] == level:
            arrays = self._add(self._levels.pop()[1], arrays)
            level += 1
        self._levels.append((level, arrays))

    def result(self) -> Arrays:
        """Return the sum; nothing more can be appended."""
        total = self._levels.pop()[1]
        while self._levels:
            total = self._add(self._levels.pop()[1], total)
        return total

    def _add(self, sums: Arrays, others: Arrays) -> Arrays:
        total = add_arrays(sums, others)
        self._pool.put(others)  # only now, as threads wait for it
        return total
