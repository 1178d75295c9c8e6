"""Engines apply a function to blocks of documents: on threads, or on workers of a Dask cluster.

Functions must be at the top level of a module, and depend only on their arguments. Results don't
depend on the number of threads or workers.
"""

from __future__ import annotations

import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.base.clusters import connected, is_lost, wait_for_worker
from slugline.base.threads import map_in_order
from slugline.errors import ClusterError, DataError, SluglineError
from slugline.model.parts.source import DaskPartition, DocumentBlock, DocumentsInMemory, Partition

if TYPE_CHECKING:
    from distributed import Client

#: Function of a block of documents and shared arguments.
BlockFunction = Callable[..., Any]


class LocalEngine:
    """Applies functions on threads of this process.

    Parameters
    ----------
    n_threads : int
    """

    dashboard = ""

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *error: object) -> None: ...

    def map_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Yield `function(documents, *shared)` for each block of partitions, in order."""
        # Block by block, because a whole partition may not fit into memory.
        blocks = (block for partition in partitions for block in partition.blocks())

        def work(documents: DocumentBlock) -> Any:
            return function(documents, *shared)

        return map_in_order(work, blocks, self._n_threads)


# Dask --------------------------------------------------------------------------------------------

# A distributed.Future; Dask doesn't annotate its methods.
Future = Any
# Maximum number of partitions per thread read ahead of the client.
_MAX_PENDING = 2
# Maximum number of attempts to read a partition if its results get lost.
_MAX_LOSSES = 10
# Seconds to wait for a worker, and seconds between checks.
_TIMEOUT, _CHECK_INTERVAL = 60, 10


# The worker task, which Dask looks up by name -----------------------------------------------------


class PartitionResult(NamedTuple):
    """Results of a partition's blocks, and the error that stopped reading."""

    blocks: list[Any]
    error: SluglineError | None


def read_partition(
    partition: Partition, function: BlockFunction, shared: tuple[Any, ...], data: Any = None
) -> PartitionResult:
    """Apply `function(documents, *shared)` to each block of documents of a partition.

    `data` is the computed data of a partition of a Dask collection.
    """
    if isinstance(partition, DaskPartition):
        partition = replace(partition, data=data)
    blocks: list[Any] = []
    try:
        blocks.extend(function(documents, *shared) for documents in partition.blocks())
    except SluglineError as error:
        return PartitionResult(blocks, _sendable_error(error, partition.paths))
    return PartitionResult(blocks, None)


def _sendable_error(error: SluglineError, paths: Sequence[str]) -> SluglineError:
    """Return the error without traceback, replaced if this worker can't find a file."""
    from distributed import get_worker

    missing = next((path for path in paths if not Path(path).exists()), None)
    if missing is None:
        return error.with_traceback(None)
    return DataError(
        f"worker {get_worker().address} can't find {missing}; put files where all workers find "
        "them under the same path, or pass batches of texts and topics."
    )


# The Dask engine ----------------------------------------------------------------------------------


class DaskEngine:
    """Applies functions on workers of a Dask cluster.

    If a worker is lost, Dask rereads its partitions on another one.

    Parameters
    ----------
    client : distributed.Client or str
        An open client, or the address of a scheduler.

    Raises
    ------
    ClusterError : on entering, if the cluster can't do the work; later, if it fails.
    """

    _client: Any

    def __init__(self, client: Client | str) -> None:
        self._address = client
        self._exit_stack = ExitStack()
        self._futures: weakref.WeakSet[Any] = weakref.WeakSet()

    def __enter__(self) -> DaskEngine:
        self._client = self._exit_stack.enter_context(connected(self._address))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        lost = is_lost(self._client, error)
        for future in list(self._futures):
            future.release()
        self._exit_stack.close()
        if lost:
            raise ClusterError(
                "the scheduler of the cluster is gone; restart the cluster and rerun the job."
            ) from error

    @property
    def dashboard(self) -> str:
        """Address of the cluster's dashboard; empty without one."""
        return str(self._client.dashboard_link or "")

    def map_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Yield `function(documents, *shared)` for each block of partitions, in order."""
        pending: deque[tuple[Partition, Future]] = deque()

        def take_first() -> Iterator[Any]:
            partition, future = pending.popleft()
            for _ in range(_MAX_LOSSES):
                try:
                    blocks, error = self._wait_for_result(future)
                    break
                except CancelledError:
                    future.release()
                    future = self._submit(partition, function, shared)
            else:
                raise ClusterError(
                    f"workers were lost {_MAX_LOSSES} times on the same task; see their logs."
                )
            future.release()
            yield from blocks
            if error is not None:
                raise error

        for partition in _portable(partitions):
            pending.append((partition, self._submit(partition, function, shared)))
            n_threads = sum(self._client.nthreads().values())
            if len(pending) > _MAX_PENDING * max(1, n_threads):
                yield from take_first()
        while pending:
            yield from take_first()

    def _submit(
        self, partition: Partition, function: BlockFunction, shared: tuple[Any, ...]
    ) -> Future:
        """Submit a task to read a partition, and return its future."""
        import dask

        data = None
        if isinstance(partition, DaskPartition):  # a worker also computes its data
            data = self._client.compute(partition.delayed)
            partition = replace(partition, delayed=None)
        arguments = partition, function, shared, data
        key = f"slugline-{uuid.uuid4().hex}"
        # Sending documents in memory with their task is intended.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            future = self._client.submit(read_partition, *arguments, key=key, pure=False)
        self._futures.add(future)
        if data is not None:
            data.release()
        return future

    def _wait_for_result(self, future: Future) -> PartitionResult:
        """Return the result of a future.

        Raises
        ------
        CancelledError : if data it depends on is lost.
        ClusterError : if the task repeatedly killed workers, or if there are no workers.
        """
        from distributed import KilledWorker

        try:
            while not self._is_done(future):
                pass
            result: PartitionResult = self._client.gather(future)
        except KilledWorker as error:
            raise ClusterError(
                "workers repeatedly died on the same task, probably for lack of memory; give each "
                "worker more memory (`--memory-limit` of `dask worker`) or fewer threads."
            ) from error
        return result

    def _is_done(self, future: Future) -> bool:
        """Wait about a minute for a future; return True if it is done."""
        from distributed import wait

        for _ in range(_TIMEOUT // _CHECK_INTERVAL):
            try:
                with self._client.as_current():
                    wait([future], timeout=_CHECK_INTERVAL)
            except TimeoutError:
                # New workers may replace lost ones.
                message = (
                    f"no worker has connected for {_TIMEOUT} seconds, and all others are gone; "
                    "start some, and rerun the command."
                )
                wait_for_worker(self._client, _TIMEOUT, message)
            else:
                return True
        if not any(self._client.processing().values()):
            # No worker runs the task; this may happen when workers leave and join.
            raise CancelledError
        return False


def _portable(partitions: Iterable[Partition]) -> Iterator[Partition]:
    """Yield partitions that any process can read, reading local ones here."""
    for partition in partitions:
        if partition.is_local:
            yield from map(DocumentsInMemory, partition.blocks())
        else:
            yield partition
