"""The engine on a cluster: blocks stay with Dask's workers, which run functions over them.

Each block is the result of a task that starts from a file, or from serialized documents that the
scheduler keeps. So if a worker is lost, Dask computes its blocks again on another one. The shared
arguments of a call are sent to all workers for that call, and sent again if they are lost.
"""

from __future__ import annotations

import math
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.clusters import connected, is_lost
from slugline.errors import ClusterError, DataError, SluglineError
from slugline.learning.linear.sums import Arrays, BlockFunction
from slugline.stream.dask_tasks import DaskTasks, Future, release
from slugline.stream.engine import Engine, assign_workers, split_group, sum_group
from slugline.stream.source import DaskPartition, Partition, make_portable
from slugline.stream.topic_parallel import MAX_LOSSES, TopicParallelEngine, plan_workers

if TYPE_CHECKING:
    from distributed import Client


# Tasks of workers, which Dask finds by their names ------------------------------------------------


class PartitionResult(NamedTuple):
    """The blocks of a partition with their summaries, and the error that stopped reading."""

    blocks: list[tuple[Any, Any]]
    error: SluglineError | None


def read_partition(
    partition: Partition, function: BlockFunction, shared: tuple[Any, ...], data: Any = None
) -> PartitionResult:
    """Apply `function(documents, *shared)` to each block of documents of a partition.

    `data` is the computed data of a partition of a Dask collection.
    """
    if isinstance(partition, DaskPartition):
        partition = replace(partition, data=data)
    blocks: list[tuple[Any, Any]] = []
    try:
        blocks.extend(function(documents, *shared) for documents in partition.blocks())
    except SluglineError as error:
        return PartitionResult(blocks, _sendable_error(error, partition.paths))
    return PartitionResult(blocks, None)


def _sendable_error(error: SluglineError, paths: Sequence[str]) -> SluglineError:
    """Return the error without its traceback; another error if this worker can't find a file."""
    from distributed import get_worker

    missing = next((path for path in paths if not Path(path).exists()), None)
    if missing is None:
        return error.with_traceback(None)
    return DataError(
        f"worker {get_worker().address} can't find {missing}; put files where all workers find "
        "them under the same name, or give batches of texts and topics."
    )


def block_summaries(result: PartitionResult) -> PartitionResult:
    """Return the result with True in place of each block, or False if there is none."""
    summaries = [(block is not None, summary) for block, summary in result.blocks]
    return PartitionResult(summaries, result.error)


def get_block(result: PartitionResult, number: int) -> Any:
    """Return a block of a partition."""
    return result.blocks[number][0]


def ensure_block(block: Any) -> None:
    """Do nothing: the task ends once the block has been computed."""


def pack_arguments(*shared: Any) -> tuple[Any, ...]:
    """Return arguments, as the result of a task to which other tasks can refer."""
    return shared


def map_block(block: Any, function: BlockFunction, shared: tuple[Any, ...]) -> Any:
    """Return `function(block, *shared)`."""
    return function(block, *shared)


def sum_blocks(
    function: BlockFunction,
    shared: tuple[Any, ...],
    blocks: list[Any],
    stored: list[Any] | None,
    before: Arrays | None,
) -> Arrays:
    """Return the sum of a function over blocks with their stored values, added to `before`."""
    arguments: Iterable[tuple[Any, ...]] = ((block,) for block in blocks)
    if stored is not None:
        arguments = zip(blocks, stored, strict=True)
    return sum_group(function, arguments, shared, _copy(before))[0]


def sum_blocks_storing(
    function: BlockFunction, shared: tuple[Any, ...], blocks: list[Any], before: Arrays | None
) -> tuple[Arrays, list[Any]]:
    """Return the sum of a function over blocks, and the value to store for each block."""
    arguments = ((block,) for block in blocks)
    return sum_group(function, arguments, shared, _copy(before), stores=True)


def _copy(arrays: Arrays | None) -> Arrays | None:
    """Return copies to add to, since Dask may use the results of tasks again."""
    return None if arrays is None else tuple(array.copy() for array in arrays)


def add_new(sums: Arrays, others: Arrays) -> Arrays:
    """Return the sums of two results in new arrays."""
    return tuple(a + b for a, b in zip(sums, others, strict=True))


# The engine -------------------------------------------------------------------------------------

# Number of partitions for each thread that may be read before the client has taken their results.
_MAX_PENDING = 2
# Maximum bytes of blocks that one task sums, unless workers have much memory.
_MAX_SUMMED = 1 << 27
# Blocks that are sent to the client at a time, where they take up to 100 MB each.
_MAX_POPPED = 4
# Maximum bytes of shared arguments that are sent with each task.
_MAX_INLINE = 1 << 16
# Maximum fraction of a worker's memory that rows may take if each worker holds all of them; the
# weights may take as much again.
ROW_MEMORY_FRACTION = 1 / 3


class _StoredValues(NamedTuple):
    """Values stored along with slices of blocks, and the call that recomputes lost values."""

    function: BlockFunction
    shared: tuple[Any, ...]
    futures: list[Future]


class DaskEngine(Engine):
    """Runs functions over blocks on workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client or str
        An open client, or the address of a scheduler.

    Raises
    ------
    ClusterError : on entering, if the cluster can't do the work; later, if it fails.
    """

    _tasks: DaskTasks

    def __init__(self, client: Client | str) -> None:
        self._address = client
        self._exit_stack = ExitStack()
        self._sizes: dict[str, int] = {}
        self._groups: list[slice] = []
        # For each group, the slices of blocks that one task sums.
        self._slices: list[list[slice]] = []
        self._blocks: list[Future] = []
        # Arguments of `map_blocks`, with which Dask can compute blocks again.
        self._arguments: list[Future] = []

    def __enter__(self) -> DaskEngine:
        self._tasks = DaskTasks(self._exit_stack.enter_context(connected(self._address)))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        lost = is_lost(self._tasks.client, error)
        self._tasks.close()
        self._blocks, self._arguments = [], []
        self._exit_stack.close()
        if lost:
            raise ClusterError(
                "the scheduler of the cluster is gone; start the cluster again, and then the same "
                "job, which resumes from its checkpoint, if it has one."
            ) from error

    @property
    def dashboard(self) -> str:
        """The address of the cluster's dashboard; empty if there is none."""
        return str(self._tasks.client.dashboard_link or "")

    # Reading -------------------------------------------------------------------------------------

    def read_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Read partitions into blocks, and yield a summary of each block; see `Engine`."""
        pending: deque[tuple[Callable[[], list[Future]], list[Future]]] = deque()
        try:
            for partition in make_portable(partitions):
                read = partial(self._submit_read, partition, function, shared)
                pending.append((read, read()))
                n_threads = sum(self._tasks.client.nthreads().values())
                if len(pending) > _MAX_PENDING * max(1, n_threads):
                    yield from self._take(*pending.popleft())
            while pending:
                yield from self._take(*pending.popleft())
        finally:
            release(future for _, futures in pending for future in futures)

    def _submit_read(
        self, partition: Partition, function: BlockFunction, shared: tuple[Any, ...]
    ) -> list[Future]:
        """Submit reading a partition; return the futures of its blocks and of their summaries."""
        data = None
        if isinstance(partition, DaskPartition):  # a worker computes its data as well
            data = self._tasks.client.compute(partition.delayed)
            partition = replace(partition, delayed=None)
        result = self._tasks.submit(read_partition, partition, function, shared, data)
        release([data])
        return [result, self._tasks.submit(block_summaries, result, priority=1)]

    def _take(self, read: Callable[[], list[Future]], futures: list[Future]) -> Iterator[Any]:
        """Append the blocks of a partition, read again if it is lost, and yield their summaries."""
        try:
            try:
                summaries, error = self._tasks.gather(futures[1:])[0]
            except CancelledError:
                release(futures)
                futures = read()
                summaries, error = self._tasks.gather(futures[1:])[0]
            for number, (has_block, summary) in enumerate(summaries):
                if has_block:
                    self._groups.append(slice(len(self._blocks), len(self._blocks) + 1))
                    block = self._tasks.submit(get_block, futures[0], number, priority=1)
                    self._blocks.append(block)
                yield summary
            if error is not None:
                raise error
        finally:
            release(futures)

    # Functions of blocks -------------------------------------------------------------------------

    def set_groups(self, groups: Sequence[slice]) -> None:
        """Set which adjacent blocks are summed sequentially; see `group_blocks`."""
        self._groups = list(groups)

    def map_blocks(self, function: BlockFunction, *shared: Any) -> None:
        """Replace each block by `function(block, *shared)`, on the worker of its group."""
        self._tasks.wait_for_workers()
        arguments = self._tasks.submit(pack_arguments, *shared)
        workers = assign_workers(self._groups, self._tasks.client.nthreads())
        blocks = [
            self._tasks.submit_to(worker, map_block, block, function, arguments)
            for block, worker in zip(self._blocks, workers, strict=True)
        ]
        before, self._blocks = self._blocks, blocks
        self._arguments.append(arguments)
        release(before)
        self._tasks.gather([self._tasks.submit(ensure_block, block) for block in blocks])
        keys = [block.key for block in blocks]
        self._sizes = dict(self._tasks.client.nbytes(keys, summary=False))
        self._slices = [split_group(group, self._max_blocks_per_task()) for group in self._groups]

    def collect(self, function: BlockFunction, *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""

        def submit(arguments: Any) -> list[Future]:
            tasks = self._tasks
            return [tasks.submit(map_block, block, function, arguments) for block in self._blocks]

        return self._call(submit, shared)

    def pop_blocks(self, function: BlockFunction, *shared: Any) -> Iterator[Any]:
        """Yield `function(block, *shared)` of each block in order, and then free the block."""
        while self._blocks:
            blocks = self._blocks[:_MAX_POPPED]

            # It may be called again later, when workers were lost.
            def submit(arguments: Any, blocks: list[Future] = blocks) -> list[Future]:
                return [
                    self._tasks.submit(map_block, block, function, arguments) for block in blocks
                ]

            yield from self._call(submit, shared)
            release(blocks)
            self._blocks = self._blocks[len(blocks) :]

    def sum_blocks(
        self,
        function: BlockFunction,
        *shared: Any,
        stored: _StoredValues | None = None,
        into: Arrays | None = None,  # noqa: ARG002 (workers have arrays of their own)
    ) -> Arrays:
        """Return the sum of a function over all blocks; see `BlockSums`."""

        def submit(arguments: Any) -> list[Future]:
            if stored is not None and not stored.futures:  # the stored values were lost
                self._store(stored)
            values = repeat(None) if stored is None else iter(stored.futures)

            def submit_slice(blocks: list[Future], before: Future | None) -> Future:
                return self._tasks.submit(
                    sum_blocks, function, arguments, blocks, next(values), before
                )

            return [self._sum_slices(submit_slice)]

        return self._call(submit, shared, stored)[0]

    def sum_blocks_storing(
        self,
        function: BlockFunction,
        *shared: Any,
        into: Arrays | None = None,  # noqa: ARG002
    ) -> tuple[Arrays, Any]:
        """Return the sum of a function over blocks, and a handle of the values on workers."""
        stored = _StoredValues(function, shared, [])
        return self._store(stored), stored

    def _store(self, stored: _StoredValues) -> Arrays:
        """Compute the stored values, and return the sum."""

        def submit(arguments: Any) -> list[Future]:
            stored.futures.clear()

            def submit_slice(blocks: list[Future], before: Future | None) -> Future:
                pair = self._tasks.submit(
                    sum_blocks_storing, stored.function, arguments, blocks, before
                )
                arrays = self._tasks.submit(operator.getitem, pair, 0, priority=1)
                values = self._tasks.submit(operator.getitem, pair, 1, priority=1)
                stored.futures.append(values)
                release([pair])
                return arrays

            return [self._sum_slices(submit_slice)]

        return self._call(submit, stored.shared)[0]

    def _sum_slices(self, submit_slice: Callable[[list[Future], Future | None], Future]) -> Future:
        """Submit the sum of all groups, in the order of `TreeSum`.

        `submit_slice` submits the sum of a slice of blocks, added to that of the previous slice, if
        there is one.
        """
        sums = []
        for slices in self._slices:
            total = None
            for part in slices:
                before, total = total, submit_slice(self._blocks[part], total)
                release([before])
            sums.append(total)
        while len(sums) > 1:
            pairs = [sums[start : start + 2] for start in range(0, len(sums), 2)]
            sums = [
                self._tasks.submit(add_new, *pair) if len(pair) > 1 else pair[0] for pair in pairs
            ]
            for pair in pairs:  # results are freed as soon as they are added
                release(pair if len(pair) > 1 else [])
        return sums[0]

    def _max_blocks_per_task(self) -> int:
        """Return how many blocks a task may sum; all of them are in memory at the same time."""
        threads = max(self._tasks.client.nthreads().values(), default=1)
        available = ROW_MEMORY_FRACTION * min(self._memory_limits().values(), default=0) / threads
        n_bytes = max(_MAX_SUMMED, min(available, 1 << 40))
        return max(1, int(n_bytes) // max(1, max(self._sizes.values(), default=1)))

    def plan_topic_parallel(
        self, n_columns: int, width: int, n_tasks: int
    ) -> TopicParallelEngine | None:
        """Return a runner of descents on workers that each hold all rows; see `Engine`."""
        self._tasks.wait_for_workers()
        n_bytes, threads = sum(self._sizes.values()), self._tasks.client.nthreads()
        limits = self._memory_limits()
        memory = {name: ROW_MEMORY_FRACTION * limit for name, limit in limits.items()}
        workers = plan_workers(n_bytes, n_columns * width, width, n_tasks, threads, memory)
        if not workers:
            return None
        return TopicParallelEngine(self._tasks, self._blocks, self._groups, workers)

    def _memory_limits(self) -> dict[str, float]:
        """Return the memory limit of each worker in bytes."""
        try:
            workers = self._tasks.client.scheduler_info(n_workers=-1)["workers"]
        except TypeError:  # before Dask 2025.4
            workers = self._tasks.client.scheduler_info()["workers"]
        return {name: worker["memory_limit"] or math.inf for name, worker in workers.items()}

    def _call(
        self,
        submit: Callable[[Any], list[Future]],
        shared: tuple[Any, ...],
        stored: _StoredValues | None = None,
    ) -> list[Any]:
        """Return the results of the tasks that `submit(arguments)` submits.

        They are submitted again if all workers that have the arguments are lost. After Ctrl-C or an
        error, no further task is started.
        """
        for _ in range(MAX_LOSSES):
            self._tasks.wait_for_workers()
            is_large = _count_bytes(shared) > _MAX_INLINE  # then workers fetch the arguments
            arguments = self._tasks.submit(pack_arguments, *shared) if is_large else shared
            futures: list[Future] = []
            try:
                futures = submit(arguments)
                return self._tasks.gather(futures)
            except CancelledError:
                if stored is not None:
                    stored.futures.clear()
            finally:
                release([*futures, arguments] if is_large else futures)
        raise ClusterError(
            f"workers were lost {MAX_LOSSES} times in one pass; their logs may say why."
        )


def _count_bytes(value: Any) -> int:
    """Return the approximate number of bytes of the arrays in a value."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, tuple | list):
        return sum(map(_count_bytes, value))
    if hasattr(value, "__dict__"):
        return sum(map(_count_bytes, vars(value).values()))
    return 0
