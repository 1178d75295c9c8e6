"""The interface of engines, which hold blocks and run functions over them; sums over groups."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from slugline.base.arrays import F32, F64
from slugline.learning.linear.newton import DescentState, Iterate, NewtonDescent, Preconditioner
from slugline.learning.linear.sums import (
    Arrays,
    BlockFunction,
    BlockSums,
    OneVsRestTargets,
    add_arrays,
)
from slugline.stream.source import Partition

# Engines ----------------------------------------------------------------------------------------


class Engine(BlockSums, Protocol):
    """Holds blocks and runs functions over them; results don't depend on the number of workers.

    `local.LocalEngine` uses threads of this process, `cluster.DaskEngine` workers of a cluster. An
    engine is a context manager, which frees the blocks. Functions must be at the top level
    of a module, and depend only on the block and `shared`.
    """

    @property
    def dashboard(self) -> str:
        """The address of a page that shows the work; empty if there is none."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> None: ...

    def read_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Read partitions into blocks, and yield a summary of each block in order.

        `function(documents, *shared)` returns the block, or None, and the summary of a block of
        documents.
        """

    def set_groups(self, groups: Sequence[slice]) -> None:
        """Set which adjacent blocks are summed sequentially; see `group_blocks`."""

    def map_blocks(self, function: BlockFunction, *shared: Any) -> None:
        """Replace each block by `function(block, *shared)`."""

    def collect(self, function: BlockFunction, *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""

    def pop_blocks(self, function: BlockFunction, *shared: Any) -> Iterator[Any]:
        """Yield `function(block, *shared)` of each block in order, and then free the block."""

    def plan_topic_parallel(self, n_columns: int, width: int, n_tasks: int) -> TopicParallel | None:
        """Return a runner of whole descents, each on one worker that holds all rows.

        Parameters
        ----------
        n_columns, width : int
            Columns and topics of a descent.
        n_tasks : int
            Number of descents.

        Returns
        -------
        TopicParallel; None if the rows don't fit on a worker, or if it is faster to divide the rows
        among workers.
        """


@dataclass(frozen=True)
class DescentStart:
    """Where a descent starts or resumes: the arguments of a `NewtonDescent`.

    Attributes
    ----------
    iterate : Iterate or None
        Its weights may be float16 or sparse; None starts from zero.
    initial_norms, tolerance, state
        See `NewtonDescent`.
    """

    targets: OneVsRestTargets
    preconditioner: Preconditioner
    iterate: Iterate | None
    initial_norms: F64 | None
    tolerance: float
    state: DescentState | None

    def descent(self) -> NewtonDescent:
        """Return the descent, with its own copies of the arrays."""
        if self.iterate is None:
            start = Iterate.initial(len(self.preconditioner.scaling), len(self.targets.topics))
        else:
            weights: Any = self.iterate.weights
            is_dense = isinstance(weights, np.ndarray)
            weights = weights.astype(np.float32) if is_dense else weights.toarray()
            start = Iterate(weights, self.iterate.biases.copy())
        return NewtonDescent(
            self.targets, self.preconditioner, start, self.initial_norms, self.tolerance, self.state
        )


@dataclass(frozen=True)
class DescentTask:
    """A descent for some topics.

    Attributes
    ----------
    start : function
        Called in this process when the task is submitted.
    finish : function or None
        Called on the worker with its engine and the last iterate; can be pickled. Returns the
        `result` of the last report.
    """

    start: Callable[[], DescentStart]
    finish: Callable[[Engine, Iterate], F32] | None = None


class DescentReport(NamedTuple):
    """Progress of a descent; once it has ended, also its iterate and result."""

    n_passes: int
    relative_norm: float  # The largest gradient norm of a topic, relative to its initial norm
    is_done: bool
    initial_norms: F64
    iterate: Iterate | None = None
    result: F32 | None = None


class TopicParallel(Protocol):
    """Runs descents for different topics at the same time."""

    def run(self, tasks: Sequence[DescentTask]) -> Iterator[tuple[int, DescentReport]]:
        """Yield the number of a task and a report after each step of any."""

    def stop(self) -> Iterator[tuple[int, DescentReport]]:
        """Stop descents that have not ended, and yield their reports with iterates."""


# Groups of blocks ---------------------------------------------------------------------------------

# A group has about this number of entries per column, so that its sums are small compared with its
# entries.
_PER_COLUMN = 128
# Minimum number of groups, to keep threads busy.
_MIN_GROUPS = 8
# Maximum number of groups, since each is a task.
_MAX_GROUPS = 1024
# Minimum number of entries per column of a group.
_MIN_PER_COLUMN = 8


def entries_per_group(n_entries: int, n_columns: int) -> int:
    """Return the number of entries at which a group is full."""
    n_groups = min(max(n_entries // (_PER_COLUMN * n_columns), _MIN_GROUPS), _MAX_GROUPS)
    n_groups -= n_groups % _MIN_GROUPS  # so that threads get equally many
    return max(-(-n_entries // n_groups), _MIN_PER_COLUMN * n_columns)


def group_blocks(sizes: Sequence[int], n_columns: int) -> list[slice]:
    """Return groups of adjacent blocks, given the number of entries of each block."""
    per_group = entries_per_group(sum(sizes), n_columns)
    groups: list[slice] = []
    start = n_entries = n_full = 0
    for number, size in enumerate(sizes):
        n_entries += size
        # From the total, so that what is over in one group doesn't add up.
        if n_entries // per_group > n_full or number == len(sizes) - 1:
            groups.append(slice(start, number + 1))
            start, n_full = number + 1, n_entries // per_group
    return groups


def split_group(group: slice, max_blocks: int) -> list[slice]:
    """Return slices of a group, of at most a given number of blocks."""
    starts = range(group.start, group.stop, max_blocks)
    return [slice(start, min(start + max_blocks, group.stop)) for start in starts]


def sum_group(
    function: BlockFunction,
    blocks: Iterable[tuple[Any, ...]],
    shared: tuple[Any, ...],
    into: Arrays | None = None,
    *,
    stores: bool = False,
) -> tuple[Arrays, list[Any]]:
    """Return the sum of a function over tuples of a block and its stored value, if any.

    If the function `stores`, it also returns a value to store for each block, and the second result
    is the list of these values. The sum is added to `into` in place; see `BlockSums`.
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

    Each worker gets adjacent groups, in proportion to its threads, so that few sums are sent
    between workers.
    """
    workers = sorted(threads)
    last_threads = np.cumsum([threads[worker] for worker in workers])
    group_threads = (np.arange(len(groups)) + 0.5) * last_threads[-1] / max(1, len(groups))
    group_workers = np.searchsorted(last_threads, group_threads, side="right")
    n_blocks = [group.stop - group.start for group in groups]
    return [workers[i] for i in group_workers.repeat(n_blocks)]


class BufferPool:
    """Arrays to reuse for sums of the same shapes, since allocating large arrays is slow.

    Threads may share a pool. It stays in its process: a pickled copy is empty.
    """

    def __init__(self) -> None:
        self._buffers: list[Arrays] = []

    def __reduce__(self) -> tuple[type[BufferPool], tuple[()]]:
        return type(self), ()

    def reset(self, arrays: Arrays) -> None:
        """Add arrays, and drop all arrays of other shapes."""
        self._buffers = [buffer for buffer in self._buffers if _shapes(buffer) == _shapes(arrays)]
        self.put(arrays)

    def put(self, arrays: Arrays) -> None:
        """Add arrays that nothing else uses."""
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
    """Sums the arrays of groups in pairs of adjacent ones, pairs of pairs, and so on.

    Threads may add groups in any order; the order of additions depends only on the numbers of the
    groups. So a worker that sums the groups from `m * 2**k` up to `(m + 1) * 2**k` gets the same
    bits. If groups come in order, as many sums are in memory as `n_groups` has binary digits.

    Parameters
    ----------
    n_groups : int
        At least 1.
    pool : BufferPool, optional
        Receives arrays that are no longer needed.

    >>> import numpy as np
    >>> total = TreeSum(5)
    >>> for number in (1, 0, 2, 4, 3):
    ...     total.add(number, (np.array([number]),))
    >>> total.result()
    (array([10]),)
    """

    def __init__(self, n_groups: int, pool: BufferPool | None = None) -> None:
        self._n_groups = n_groups
        self._pool = pool or BufferPool()
        self._lock = threading.Lock()
        # Sums that wait for the other one of their pair, by level and number.
        self._waiting: dict[tuple[int, int], Arrays] = {}
        self._total: Arrays | None = None

    def add(self, number: int, arrays: Arrays) -> None:
        """Add the arrays of a group, which may be changed, and all pairs that this completes."""
        n_sums, level = self._n_groups, 0
        while n_sums > 1:
            neighbour = number ^ 1
            if neighbour < n_sums:  # else the last sum goes up a level alone
                with self._lock:
                    other = self._waiting.pop((level, neighbour), None)
                    if other is None:
                        self._waiting[level, number] = arrays
                        return
                pair = (arrays, other) if number < neighbour else (other, arrays)
                arrays = self._add(*pair)
            number, n_sums, level = number // 2, -(-n_sums // 2), level + 1
        self._total = arrays

    def result(self) -> Arrays:
        """Return the sum, once all groups have been added."""
        if self._total is None:
            raise ValueError("some groups have not been added")
        return self._total

    def _add(self, sums: Arrays, others: Arrays) -> Arrays:
        total = add_arrays(sums, others)
        self._pool.put(others)  # only after the addition, as another thread may take them at once
        return total
