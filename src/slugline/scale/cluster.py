"""The engine on a cluster: blocks stay with Dask's workers, which do functions of them.

Each block is the result of a task that begins with a recipe: part of a file, or documents in hand,
which the scheduler keeps, packed. So Dask makes the blocks of a worker that is gone anew, on
another one. What a call shares is sent to all workers for that call, and sent again if it is lost.
"""

from __future__ import annotations

import itertools
import math
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from slugline.errors import ClusterError, SluglineError
from slugline.scale import tasks
from slugline.scale.apart import Apart
from slugline.scale.collections import Partition
from slugline.scale.connecting import connected
from slugline.scale.parts import Packed, Part

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskEngine"]

# A distributed.Future; Dask's own types say little.
Future = Any
# Tasks of reading for each thread, done or not, that the client has not taken the results of.
_AHEAD = 2
# Bytes of blocks that one task adds up, and of what is shared that is sent with each task.
_MOST_ADDED, _MOST_SENT = 1 << 27, 1 << 16
# The share of a worker's memory that all rows may take where each has all, and what is at work; how
# many arrays of all weights that is; and rows of which any number of workers may have all.
SHARE, _ARRAYS, _FEW_BYTES = 1 / 3, 12, 1 << 28
# Seconds to wait for another worker when there is none.
_PATIENCE = 60
# How often what is shared may be lost, with all workers that hold it.
_MOST_LOSSES = 10


class _Kept(NamedTuple):
    """What stays with the blocks, and how it is made again if a worker is lost with it."""

    function: Callable[..., Any]
    shared: tuple[Any, ...]
    futures: list[Future]


class DaskEngine:
    """Holds blocks on workers; see `slugline.scale.local.LocalEngine`, which gives the same bits.

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
        # All that may still be wanted, of which the last two are to stay.
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        self._blocks: list[Future] = []
        self._plans: list[Future] = []

    def __enter__(self) -> DaskEngine:
        self._client = self._open.enter_context(connected(self._given))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        is_lost = self._is_lost(error)
        _release(list(self._made))
        self._blocks, self._plans = [], []
        self._open.close()
        if is_lost:
            raise ClusterError(
                "the scheduler of the cluster is gone; start the cluster again, and then the same "
                "job, which goes on from its checkpoint, if it has one."
            ) from error

    def _is_lost(self, error: BaseException | None) -> bool:
        """Whether an error is about the connection to the scheduler."""
        from distributed.comm.core import CommClosedError

        if isinstance(error, SluglineError):
            return False
        is_broken = isinstance(error, OSError | RuntimeError | CancelledError)
        is_closed = is_broken and self._client.status != "running"
        return isinstance(error, CommClosedError) or is_closed

    @property
    def sight(self) -> str:
        """Where to look at the cluster; empty if there is no dashboard."""
        return str(self._client.dashboard_link or "")

    # Reading -------------------------------------------------------------------------------------

    def read(
        self, function: Callable[..., tuple[Any, Any]], parts: Iterable[Part], *shared: Any
    ) -> Iterator[Any]:
        """Make blocks of parts.

        `function(batch, *shared)` returns a block, or None, and what to yield about it.
        """
        pending: deque[tuple[Future, Future]] = deque()
        try:
            for part in _sendable(parts):
                pending.append(self._read_part(part, function, shared))
                if len(pending) > _AHEAD * self._n_threads():
                    yield from self._taken(*pending.popleft())
            while pending:
                yield from self._taken(*pending.popleft())
        finally:
            _release(itertools.chain.from_iterable(pending))

    def _read_part(
        self, part: Part, function: Callable[..., Any], shared: tuple[Any, ...]
    ) -> tuple[Future, Future]:
        if isinstance(part, Partition):  # which workers compute as well
            delayed, part = part.apart()
            data = self._client.compute(delayed)
            made = self.submit(tasks.read_partition, data, part, function, shared)
            _release([data])
        else:
            made = self.submit(tasks.read_part, part, function, shared)
        return made, self.submit(tasks.told_of, made, priority=1)

    def _taken(self, made: Future, told: Future) -> Iterator[Any]:
        """Keep the blocks of a part, and yield what is said of them."""
        try:
            found, error = self.gather([told])[0]
            for number, (has_block, about) in enumerate(found):
                if has_block:
                    self._blocks.append(self.submit(tasks.block_of, made, number, priority=1))
                yield about
            if error is not None:
                raise error
        finally:
            _release([made, told])

    # What is done with blocks --------------------------------------------------------------------

    def change(self, function: Callable[..., Any], *shared: Any) -> None:
        """Let each block become `function(block, *shared)`."""
        # Workers that come in place of others need it as well.
        self._wait_for_workers()
        plan = self.submit(tasks.together, *shared)
        workers = self._in_stretches(len(self._blocks))
        changed = [
            self.submit(
                tasks.changed, block, function, plan, workers=worker, allow_other_workers=True
            )
            for block, worker in zip(self._blocks, workers, strict=True)
        ]
        before, self._blocks = self._blocks, changed
        self._plans.append(plan)
        _release(before)
        self.gather([self.submit(tasks.nothing, block) for block in changed])
        self._sizes = dict(self._client.nbytes([block.key for block in changed], summary=False))

    def each(self, function: Callable[..., Any], *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""

        def submit(sent: Any) -> list[Future]:
            return [self.submit(tasks.changed, block, function, sent) for block in self._blocks]

        return self._call(submit, shared)

    def sums(self, function: Callable[..., Any], *shared: Any, beside: Any = None) -> Any:
        """Return sums over blocks in a fixed order; see `whole_passes.Engine`.

        Each worker adds up the blocks that it has, where these are neighbours in the tree; the
        others' sums are added to those in the order of the tree.
        """

        def submit(sent: Any) -> list[Future]:
            kept = [] if beside is None else self._again(beside)

            def leaf(part: slice) -> Future:
                return self.submit(tasks.sum_up, function, sent, self._blocks[part], kept[part])

            return [self._total(leaf)]

        return self._call(submit, shared, beside)[0]

    def keeping_sums(self, function: Callable[..., Any], *shared: Any) -> tuple[Any, Any]:
        """Return sums, and what stays with the blocks; see `whole_passes.Engine`."""
        kept = _Kept(function, shared, [])
        return self._keep(kept), kept

    def _keep(self, kept: _Kept) -> Any:
        """Have done what is kept, and return the sums."""

        def submit(sent: Any) -> list[Future]:
            kept.futures.clear()

            def leaf(part: slice) -> Future:
                blocks = self._blocks[part]
                both = self.submit(tasks.keep_and_sum, kept.function, sent, blocks)
                arrays = self.submit(tasks.item, both, 0, priority=1)
                numbers = range(1, len(blocks) + 1)
                kept.futures.extend(self.submit(tasks.item, both, n, priority=1) for n in numbers)
                _release([both])
                return arrays

            return [self._total(leaf)]

        return self._call(submit, kept.shared)[0]

    def _again(self, kept: _Kept) -> list[Future]:
        """Return what was kept, made again if it was lost."""
        if not kept.futures:
            self._keep(kept)
        return kept.futures

    def _total(self, leaf: Callable[[slice], Future]) -> Future:
        """Submit the sum of all blocks; `leaf` submits that of a few that a worker has."""
        has = self._client.who_has(self._blocks)
        homes = [set(has.get(block.key, ())) for block in self._blocks]
        return self._part_of_total(leaf, homes, self._most_together(), 0)

    def _part_of_total(
        self, leaf: Callable[[slice], Future], homes: Sequence[set[str]], most: int, first: int
    ) -> Future:
        """Submit the sum of the blocks of these homes, of which the first one has a number."""
        n_blocks = len(homes)
        if n_blocks == 1 or (n_blocks <= most and set.intersection(*homes)):
            return leaf(slice(first, first + n_blocks))
        half = 1 << ((n_blocks - 1).bit_length() - 1)
        parts = (
            self._part_of_total(leaf, homes[:half], most, first),
            self._part_of_total(leaf, homes[half:], most, first + half),
        )
        total = self.submit(tasks.added, *parts)
        _release(parts)  # so that they go as soon as they are added
        return total

    def _most_together(self) -> int:
        """Return how many blocks a task may add up: all are in memory then, and threads wait."""
        threads = self._client.nthreads().values()
        most = _MOST_ADDED // max(1, max(self._sizes.values(), default=1))
        if max(threads, default=1) > 1:
            most = min(most, len(self._blocks) // (2 * sum(threads)))
        return max(1, most)

    def apart(self, n_weights: int, n_jobs: int) -> Apart | None:
        """Return who has descents done on workers that each hold all rows; None if rows are many.

        Parameters
        ----------
        n_weights : int
            Of a descent.
        n_jobs : int
            How many descents there are.
        """
        self._wait_for_workers()
        n_bytes = sum(self._sizes.values())
        limits = self._limits()
        places = {
            worker: min(
                n_threads, int(min(SHARE * limits[worker] / (_ARRAYS * 4 * n_weights), 1 << 20))
            )
            for worker, n_threads in sorted(self._client.nthreads().items())
            if n_bytes <= SHARE * limits.get(worker, 0)
        }
        n_workers = sum(n > 0 for n in places.values())
        # Few descents of many rows would leave most workers idle.
        if not n_workers or (2 * n_jobs < n_workers and n_bytes > _FEW_BYTES):
            return None
        turns = range(max(places.values()))
        return Apart(
            self, self._blocks, [w for turn in turns for w, n in places.items() if turn < n]
        )

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
        beside: _Kept | None = None,
    ) -> list[Any]:
        """Gather what is submitted with what is shared, anew if all workers that have it are lost.

        After Ctrl-C, or any error, nothing more of it is begun.
        """
        for _ in range(_MOST_LOSSES):
            self._wait_for_workers()
            sent, futures = self._sent(shared), list[Future]()
            if sent is None:
                continue
            try:
                futures = submit(sent)
                return self.gather(futures)
            except CancelledError:
                if beside is not None:
                    beside.futures.clear()
            finally:
                _release(futures if sent is shared else [*futures, sent])
        raise ClusterError(
            f"workers were lost {_MOST_LOSSES} times in one pass; their logs may tell why."
        )

    def _sent(self, shared: tuple[Any, ...]) -> Any:
        """Return what is shared, or where workers have it if it is large; None if they are gone."""
        if _size(shared) <= _MOST_SENT:
            return shared
        try:
            sent = self._client.scatter([shared], broadcast=True, hash=False)[0]
        except (OSError, KeyError):  # a worker is lost that the scheduler still knows
            return None
        self._made.add(sent)
        return sent

    def _wait_for_workers(self) -> None:
        """Wait until there is one, as others come in the place of those that are lost."""
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise ClusterError(
                f"all workers are gone, and none came in {_PATIENCE} seconds; start some, and "
                "begin again."
            ) from error

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

        try:
            with self._client.as_current():
                wait(list(futures), timeout=_PATIENCE, return_when=until)
        except TimeoutError:
            self._wait_for_workers()
            return False
        return True

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

    def _in_stretches(self, n_blocks: int) -> list[str]:
        """Return a worker for each block; each has neighbours, and as many as it has threads for.

        Then few sums are added between workers.
        """
        threads = self._client.nthreads()
        ends = np.cumsum([threads[worker] for worker in sorted(threads)])
        places = (np.arange(n_blocks) + 0.5) * ends[-1] / max(1, n_blocks)
        workers = sorted(threads)
        return [workers[i] for i in np.searchsorted(ends, places, side="right")]


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


def _sendable(parts: Iterable[Part]) -> Iterator[Part]:
    """Read what only this process can read, and pack it."""
    for part in parts:
        if part.is_read_here:
            yield from map(Packed.of, part.batches())
        else:
            yield part
