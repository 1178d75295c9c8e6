"""The engine on a cluster: blocks stay with Dask's workers, which do functions of them.

Each block is the result of a task that begins with a recipe: part of a file, or documents in hand,
which the scheduler keeps, packed. So Dask makes the blocks of a worker that is gone anew, on
another one. What a call shares is sent to all workers for that call, and sent again if it is lost.
"""

from __future__ import annotations

import math
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from slugline.base.clusters import connected, is_lost, wait_for_worker
from slugline.errors import ClusterError, DataError, SluglineError
from slugline.learning.linear.sums import Arrays
from slugline.stream.engine import assign_workers, split_group, sum_group, sum_group_storing
from slugline.stream.source import DaskPartition, Partition, make_portable
from slugline.stream.topic_parallel import MAX_LOSSES, TopicParallelEngine, plan_workers

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "DaskEngine",
    "PartitionResult",
    "add_new",
    "block_summaries",
    "ensure_block",
    "get_block",
    "get_item",
    "map_block",
    "pack_arguments",
    "read_dask_partition",
    "read_partition",
    "sum_blocks",
    "sum_blocks_storing",
]


# What workers do: functions at the top level of a module, which Dask finds by their names ---------


class PartitionResult(NamedTuple):
    """What became of a part: its blocks and what is said of them, and what stopped it."""

    made: list[tuple[Any, Any]]
    error: SluglineError | None


def read_partition(
    part: Partition, function: Callable[..., Any], shared: tuple[Any, ...]
) -> PartitionResult:
    """Return the blocks of a part, and what `function(batch, *shared)` says of them."""
    made: list[tuple[Any, Any]] = []
    try:
        made.extend(function(batch, *shared) for batch in part.batches())
    except SluglineError as error:
        return PartitionResult(made, _plain(error, part.paths))
    return PartitionResult(made, None)


def read_dask_partition(
    data: Any, part: DaskPartition, function: Callable[..., Any], shared: tuple[Any, ...]
) -> PartitionResult:
    """Do the same with a partition that has been computed."""
    return read_partition(part.with_data(data), function, shared)


def _plain(error: SluglineError, paths: Sequence[str]) -> SluglineError:
    """Return an error without what can't be sent; if a file isn't seen here, that is the error."""
    from distributed import get_worker

    unseen = next((path for path in paths if not Path(path).exists()), None)
    if unseen is None:
        return error.with_traceback(None)
    return DataError(
        f"{unseen} isn't seen by worker {get_worker().address}; put files where all workers find "
        "them under the same name, or give batches of texts and topics."
    )


def block_summaries(read: PartitionResult) -> PartitionResult:
    """Return what is said of blocks, and whether there are any."""
    return PartitionResult([(block is not None, about) for block, about in read.made], read.error)


def get_block(read: PartitionResult, number: int) -> Any:
    """Return one of the blocks."""
    return read.made[number][0]


def ensure_block(block: Any) -> None:
    """Make sure that a block is there."""


def pack_arguments(*shared: Any) -> tuple[Any, ...]:
    """Return what is shared, kept where tasks find it."""
    return shared


def map_block(block: Any, function: Callable[..., Any], shared: tuple[Any, ...]) -> Any:
    """Return what a function makes of a block."""
    return function(block, *shared)


def sum_blocks(
    function: Callable[..., Arrays],
    shared: tuple[Any, ...],
    blocks: list[Any],
    kept: list[Any] | None,
    before: Arrays | None,
) -> Arrays:
    """Return the sums of what a function returns of blocks, with what these have kept."""
    both = zip(blocks) if kept is None else zip(blocks, kept, strict=True)
    return sum_group(function, both, shared, _copied(before))


def sum_blocks_storing(
    function: Callable[..., Any],
    shared: tuple[Any, ...],
    blocks: list[Any],
    before: Arrays | None,
) -> tuple[Arrays, list[Any]]:
    """Return the sums, and what each block is to keep."""
    return sum_group_storing(function, blocks, shared, _copied(before))


def _copied(arrays: Arrays | None) -> Arrays | None:
    """Return what can be added to: what tasks have returned stays, as Dask may want it again."""
    return None if arrays is None else tuple(array.copy() for array in arrays)


def get_item(several: Sequence[Any], number: int) -> Any:
    """Return one of several things."""
    return several[number]


def add_new(left: Arrays, right: Arrays) -> Arrays:
    """Return sums; what is added stays as it is."""
    return tuple(a + b for a, b in zip(left, right, strict=True))


# The engine on a cluster: blocks stay with Dask's workers, which do functions of them -------------

# A distributed.Future; Dask's own types say little.
Future = Any
# What a part is read to, and what is said of it.
_Reading = tuple[Future, Future]
# Tasks of reading for each thread, done or not, that the client has not taken the results of.
_AHEAD = 2
# Bytes of blocks that one task adds up, and of what is shared that is sent with each task.
_MOST_ADDED, _MOST_SENT = 1 << 27, 1 << 16
# The share of a worker's memory that all rows may take where each has all, and what is at work.
ROW_MEMORY_SHARE = 1 / 3
# Seconds to wait for another worker when there is none, and after which to look for that.
_PATIENCE, _LOOK = 60, 10


class _StoredValues(NamedTuple):
    """What stays with stretches of blocks, and how it is made again if it is lost with a worker."""

    function: Callable[..., Any]
    shared: tuple[Any, ...]
    futures: list[Future]


class DaskEngine:
    """Holds blocks on workers; see `slugline.stream.local.LocalEngine`, which gives the same bits.

    Parameters
    ----------
    client : distributed.Client or str
        One that is open, or the address of a scheduler.

    Raises
    ------
    ClusterError : on entering, if the cluster can't do the work; later, if it fails.
    """

    def __init__(self, client: Client | str) -> None:
        self._given, self._client = client, cast("Any", None)
        self._open = ExitStack()
        self._sizes: dict[str, int] = {}
        # Of blocks; and those of each group that a task adds up.
        self._groups: list[slice] = []
        self._stretches: list[list[slice]] = []
        # All that may still be wanted, of which the last two are to stay.
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        self._blocks: list[Future] = []
        self._plans: list[Future] = []

    def __enter__(self) -> DaskEngine:
        self._client = self._open.enter_context(connected(self._given))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        lost = is_lost(self._client, error)
        _release(list(self._made))
        self._blocks, self._plans = [], []
        self._open.close()
        if lost:
            raise ClusterError(
                "the scheduler of the cluster is gone; start the cluster again, and then the same "
                "job, which goes on from its checkpoint, if it has one."
            ) from error

    @property
    def sight(self) -> str:
        """Where to look at the cluster; empty if there is no dashboard."""
        return str(self._client.dashboard_link or "")

    # Reading -------------------------------------------------------------------------------------

    def read(
        self, function: Callable[..., tuple[Any, Any]], parts: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Make blocks of parts.

        `function(batch, *shared)` returns a block, or None, and what to yield about it.
        """
        pending: deque[tuple[Callable[[], _Reading], _Reading]] = deque()
        try:
            for part in make_portable(parts):
                read = partial(self._read_part, part, function, shared)
                pending.append((read, read()))
                if len(pending) > _AHEAD * self._n_threads():
                    yield from self._taken(*pending.popleft())
            while pending:
                yield from self._taken(*pending.popleft())
        finally:
            _release(future for _, futures in pending for future in futures)

    def _read_part(
        self, part: Partition, function: Callable[..., Any], shared: tuple[Any, ...]
    ) -> tuple[Future, Future]:
        if isinstance(part, DaskPartition):  # which workers compute as well
            delayed, part = part.apart()
            data = self._client.compute(delayed)
            made = self.submit(read_dask_partition, data, part, function, shared)
            _release([data])
        else:
            made = self.submit(read_partition, part, function, shared)
        return made, self.submit(block_summaries, made, priority=1)

    def _taken(self, read: Callable[[], _Reading], reading: _Reading) -> Iterator[Any]:
        """Keep the blocks of a part, read again if it is lost, and yield what is said of them."""
        made, told = reading
        try:
            try:
                found, error = self.gather([told])[0]
            except CancelledError:
                _release([made, told])
                made, told = read()
                found, error = self.gather([told])[0]
            for number, (has_block, about) in enumerate(found):
                if has_block:
                    self._groups.append(slice(len(self._blocks), len(self._blocks) + 1))
                    self._blocks.append(self.submit(get_block, made, number, priority=1))
                yield about
            if error is not None:
                raise error
        finally:
            _release([made, told])

    # What is done with blocks --------------------------------------------------------------------

    def group(self, groups: Sequence[slice]) -> None:
        """Let neighbouring blocks be added up one after another; see `group_blocks`."""
        self._groups = list(groups)

    def change(self, function: Callable[..., Any], *shared: Any) -> None:
        """Let each block become `function(block, *shared)`; groups come to be together."""
        # Workers that come in place of others need it as well.
        self._wait_for_workers()
        plan = self.submit(pack_arguments, *shared)
        workers = assign_workers(self._groups, self._client.nthreads())
        blocks = [
            self.submit(map_block, block, function, plan, workers=worker, allow_other_workers=True)
            for block, worker in zip(self._blocks, workers, strict=True)
        ]
        before, self._blocks = self._blocks, blocks
        self._plans.append(plan)
        _release(before)
        self.gather([self.submit(ensure_block, block) for block in blocks])
        self._sizes = dict(self._client.nbytes([block.key for block in blocks], summary=False))
        self._stretches = [split_group(group, self._most_together()) for group in self._groups]

    def each(self, function: Callable[..., Any], *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""

        def submit(sent: Any) -> list[Future]:
            return [self.submit(map_block, block, function, sent) for block in self._blocks]

        return self._call(submit, shared)

    def sums(
        self,
        function: Callable[..., Any],
        *shared: Any,
        beside: Any = None,
        into: Any = None,  # noqa: ARG002 (workers have arrays of their own)
    ) -> Any:
        """Return sums over blocks in a fixed order; see `training.engine.Engine`.

        Each worker adds up the groups that it has.
        """

        def submit(sent: Any) -> list[Future]:
            kept = repeat(None) if beside is None else iter(self._again(beside))

            def leaf(some: slice, before: Future | None) -> Future:
                blocks, own = self._blocks[some], next(kept)
                return self.submit(sum_blocks, function, sent, blocks, own, before)

            return [self._total(leaf)]

        return self._call(submit, shared, beside)[0]

    def keeping_sums(
        self,
        function: Callable[..., Any],
        *shared: Any,
        into: Any = None,  # noqa: ARG002
    ) -> tuple[Any, Any]:
        """Return sums, and what stays with the blocks; see `training.engine.Engine`."""
        kept = _StoredValues(function, shared, [])
        return self._keep(kept), kept

    def _keep(self, kept: _StoredValues) -> Any:
        """Have done what is kept, and return the sums."""

        def submit(sent: Any) -> list[Future]:
            kept.futures.clear()

            def leaf(some: slice, before: Future | None) -> Future:
                blocks = self._blocks[some]
                both = self.submit(sum_blocks_storing, kept.function, sent, blocks, before)
                arrays, own = (self.submit(get_item, both, n, priority=1) for n in range(2))
                kept.futures.append(own)
                _release([both])
                return arrays

            return [self._total(leaf)]

        return self._call(submit, kept.shared)[0]

    def _again(self, kept: _StoredValues) -> list[Future]:
        """Return what was kept, made again if it was lost."""
        if not kept.futures:
            self._keep(kept)
        return kept.futures

    def _total(self, leaf: Callable[[slice, Future | None], Future]) -> Future:
        """Submit the sum of all groups, in the order of `TreeSum`.

        `leaf` submits the sum of a stretch of blocks and of what was before, if anything.
        """
        sums = []
        for stretches in self._stretches:
            total = None
            for some in stretches:
                before, total = total, leaf(some, total)
                self.release([before])
            sums.append(total)
        while len(sums) > 1:
            pairs = (sums[first : first + 2] for first in range(0, len(sums), 2))
            sums = [self._added(*pair) if len(pair) > 1 else pair[0] for pair in pairs]
        return sums[0]

    def _added(self, *parts: Future) -> Future:
        """Submit the sum of two, which go as soon as they are added."""
        total = self.submit(add_new, *parts)
        _release(parts)
        return total

    def _most_together(self) -> int:
        """Return how many blocks a task may add up: all are in memory then."""
        threads = max(self._client.nthreads().values(), default=1)
        room = ROW_MEMORY_SHARE * min(self._limits().values(), default=0) / threads
        n_bytes = max(_MOST_ADDED, min(room, 1 << 40))
        return max(1, int(n_bytes) // max(1, max(self._sizes.values(), default=1)))

    def apart(self, n_columns: int, width: int, n_jobs: int) -> TopicParallelEngine | None:
        """Return who has descents done on workers that each hold all rows.

        Parameters
        ----------
        n_columns, width : int
            Each descent is for so many topics.
        n_jobs : int
            How many descents there are.

        Returns
        -------
        Apart, or None if rows are too many, or passes that share out rows are sooner done.
        """
        self._wait_for_workers()
        n_bytes, threads = sum(self._sizes.values()), self._client.nthreads()
        room = {worker: ROW_MEMORY_SHARE * limit for worker, limit in self._limits().items()}
        workers = plan_workers(n_bytes, n_columns * width, width, n_jobs, threads, room)
        return TopicParallelEngine(self, self._blocks, self._groups, workers) if workers else None

    def _limits(self) -> dict[str, float]:
        """Return how many bytes each worker may use."""
        try:
            known = self._client.scheduler_info(n_workers=-1)["workers"]
        except TypeError:  # before Dask 2025.4
            known = self._client.scheduler_info()["workers"]
        return {worker: about["memory_limit"] or math.inf for worker, about in known.items()}

    # Dask ----------------------------------------------------------------------------------------

    def _call(
        self,
        submit: Callable[[Any], list[Future]],
        shared: tuple[Any, ...],
        beside: _StoredValues | None = None,
    ) -> list[Any]:
        """Gather what is submitted with what is shared, anew if all workers that have it are lost.

        After Ctrl-C, or any error, nothing more of it is begun.
        """
        for _ in range(MAX_LOSSES):
            self._wait_for_workers()
            sent, futures = self._sent(shared), list[Future]()
            try:
                futures = submit(sent)
                return self.gather(futures)
            except CancelledError:
                if beside is not None:
                    beside.futures.clear()
            finally:
                _release(futures if sent is shared else [*futures, sent])
        raise ClusterError(
            f"workers were lost {MAX_LOSSES} times in one pass; their logs may tell why."
        )

    def _sent(self, shared: tuple[Any, ...]) -> Any:
        """Return what is shared, or a task that has it, if it is large, for workers to fetch."""
        return shared if _size(shared) <= _MOST_SENT else self.submit(pack_arguments, *shared)

    def _wait_for_workers(self) -> None:
        """Wait until there is one, as others come in the place of those that are lost."""
        wait_for_worker(
            self._client,
            _PATIENCE,
            f"all workers are gone, and none came in {_PATIENCE} seconds; start some, and begin "
            "again.",
        )

    def release(self, futures: Iterable[Future | None]) -> None:
        """Let go of what futures stand for."""
        _release(future for future in futures if future is not None)

    def submit(self, function: Callable[..., Any], *arguments: Any, **how: Any) -> Future:
        """Have a function done by a worker; what it returns is let go of when all is done."""
        import dask

        # Documents in hand are meant to travel with their task.
        key = f"slugline{function.__name__}-{uuid.uuid4().hex}"
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            future = self._client.submit(function, *arguments, key=key, pure=False, **how)
        self._made.add(future)
        return future

    def submit_to(self, worker: str, function: Callable[..., Any], *arguments: Any) -> Future:
        """Have a function done by a certain worker, as long as it is there."""
        return self.submit(function, *arguments, workers=worker, allow_other_workers=True)

    def waited(self, futures: Sequence[Future], until: str = "ALL_COMPLETED") -> bool:
        """Wait for futures, or some time, after which there must be workers; return which it was.

        Raises
        ------
        CancelledError : if what they are made of is lost.
        ClusterError : if there are no workers.
        """
        from distributed import wait

        for _ in range(_PATIENCE // _LOOK):
            try:
                with self._client.as_current():
                    wait(list(futures), timeout=_LOOK, return_when=until)
            except TimeoutError:
                self._wait_for_workers()
            else:
                return True
        if not any(self._client.processing().values()):
            # Nobody is at it, as may happen when workers go and come.
            raise CancelledError
        return False

    def gather(self, futures: Sequence[Future]) -> list[Any]:
        """Return what futures stand for.

        Raises
        ------
        CancelledError : if what they are made of is lost.
        ClusterError : if workers can't do it.
        """
        from distributed import KilledWorker

        try:
            while not self.waited(futures):
                pass
            return list(self._client.gather(list(futures)))
        except KilledWorker as error:
            raise ClusterError(
                "workers ended again and again while they did the same work, most likely for lack "
                "of memory; give each more of it (`--memory-limit` of `dask worker`), or let fewer "
                "threads share it."
            ) from error
        except SluglineError as error:  # the way that it came is not ours to show
            raise error.with_traceback(None) from None

    def _n_threads(self) -> int:
        return max(1, sum(self._client.nthreads().values()))


def _release(futures: Iterable[Future]) -> None:
    """Let go of what futures stand for; what has not been begun and nobody else wants is not."""
    for future in futures:
        future.release()


def _size(value: Any) -> int:
    """Return about how many bytes the arrays of a value take."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, tuple | list):
        return sum(map(_size, value))
    if hasattr(value, "__dict__"):
        return sum(map(_size, vars(value).values()))
    return 0
