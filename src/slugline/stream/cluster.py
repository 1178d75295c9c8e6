"""The engine on a cluster: blocks stay with Dask's workers, which run functions over them.

Each block is the result of a task that starts from a file, or from serialized documents that the
scheduler keeps. So if a worker is lost, Dask computes its blocks again on another one. The shared
arguments of a call are sent to all workers for that call, and sent again if they are lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.clusters import connected, is_lost
from slugline.errors import ClusterError, DataError, SluglineError
from slugline.stream.dask_tasks import DaskTasks, Future, release
from slugline.stream.engine import BlockFunction, Engine
from slugline.stream.source import DaskPartition, Partition, make_portable

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


def pack_arguments(*shared: Any) -> tuple[Any, ...]:
    """Return arguments, as the result of a task to which other tasks can refer."""
    return shared


def map_block(block: Any, function: BlockFunction, shared: tuple[Any, ...]) -> Any:
    """Return `function(block, *shared)`."""
    return function(block, *shared)


# The engine -------------------------------------------------------------------------------------

# Number of partitions for each thread that may be read before the client has taken their results.
_MAX_PENDING = 2
# Blocks that are sent to the client at a time, where they take up to 100 MB each.
_MAX_POPPED = 4
# Maximum bytes of shared arguments that are sent with each task.
_MAX_INLINE = 1 << 16
# How often a call is submitted again because workers were lost.
_MAX_LOSSES = 10


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
        self._blocks: list[Future] = []

    def __enter__(self) -> DaskEngine:
        self._tasks = DaskTasks(self._exit_stack.enter_context(connected(self._address)))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        lost = is_lost(self._tasks.client, error)
        self._tasks.close()
        self._blocks = []
        self._exit_stack.close()
        if lost:
            raise ClusterError(
                "the scheduler of the cluster is gone; start the cluster again, and then the same "
                "job."
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
                    block = self._tasks.submit(get_block, futures[0], number, priority=1)
                    self._blocks.append(block)
                yield summary
            if error is not None:
                raise error
        finally:
            release(futures)

    # Functions of blocks -------------------------------------------------------------------------

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

    def _call(self, submit: Callable[[Any], list[Future]], shared: tuple[Any, ...]) -> list[Any]:
        """Return the results of the tasks that `submit(arguments)` submits.

        They are submitted again if all workers that have the arguments are lost. After Ctrl-C or an
        error, no further task is started.
        """
        for _ in range(_MAX_LOSSES):
            self._tasks.wait_for_workers()
            is_large = _count_bytes(shared) > _MAX_INLINE  # then workers fetch the arguments
            arguments = self._tasks.submit(pack_arguments, *shared) if is_large else shared
            futures: list[Future] = []
            try:
                futures = submit(arguments)
                return self._tasks.gather(futures)
            except CancelledError:
                continue
            finally:
                release([*futures, arguments] if is_large else futures)
        raise ClusterError(
            f"workers were lost {_MAX_LOSSES} times in the same work; their logs may say why."
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
