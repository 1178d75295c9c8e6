"""Engines apply a function to blocks of documents: on threads, or on workers of a Dask cluster."""

from __future__ import annotations

import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from slugline.base.clusters import connected, is_lost, wait_for_worker
from slugline.base.threads import map_in_order
from slugline.errors import ClusterError, DataError, SluglineError
from slugline.model.parts.source import DaskPartition, DocumentBlock, DocumentsInMemory, Partition

if TYPE_CHECKING:
    from distributed import Client

#: Function of a block of documents and shared arguments.
BlockFunction = Callable[..., Any]


class Engine(Protocol):
    """Applies functions to blocks of documents; results don't depend on the number of workers.

    `LocalEngine` uses threads of this process, `DaskEngine` workers of a cluster. Functions
    must be at the top level of a module, and depend only on their arguments.
    """

    @property
    def dashboard(self) -> str:
        """Address of a dashboard; empty without one."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> None: ...

    def map_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Yield `function(documents, *shared)` for each block of partitions, in order."""


class LocalEngine(Engine):
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
        """Yield `function(documents, *shared)` for each block; see `Engine`."""
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
        "them under the same name, or give batches of texts and topics."
    )


# The Dask engine ----------------------------------------------------------------------------------


class DaskEngine(Engine):
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
                "the scheduler of the cluster is gone; start the cluster again, and then the same "
                "job."
            ) from error

    @property
    def dashboard(self) -> str:
        """Address of the cluster's dashboard; empty without one."""
        return str(self._client.dashboard_link or "")

    def map_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Yield `function(documents, *shared)` for each block; see `Engine`."""
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
                    f"workers were lost {_MAX_LOSSES} times in the same work; their logs may say "
                    "why."
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
                "workers died again and again on the same task, most likely for lack of memory; "
                "give each worker more memory (`--memory-limit` of `dask worker`) or fewer threads."
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
                self._wait_for_worker()
            else:
                return True
        if not any(self._client.processing().values()):
            # No worker runs the task; this may happen when workers leave and join.
            raise CancelledError
        return False

    def _wait_for_worker(self) -> None:
        """Wait for a worker: new workers may replace lost ones."""
        message = (
            f"all workers are gone, and no other connected within {_TIMEOUT} seconds; start some, "
            "and run the command again."
        )
        wait_for_worker(self._client, _TIMEOUT, message)


def _portable(partitions: Iterable[Partition]) -> Iterator[Partition]:
    """Yield partitions that any process can read, reading local ones here."""
    for partition in partitions:
        if partition.is_local:
            yield from map(DocumentsInMemory, partition.blocks())
        else:
            yield partition
