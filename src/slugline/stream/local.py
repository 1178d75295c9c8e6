"""The engine on this machine: blocks in memory or in files, and threads."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F16
from slugline.errors import OutputError
from slugline.learning.linear.sums import Arrays
from slugline.stream.engine import BufferPool, TreeSum, sum_group, sum_group_storing
from slugline.stream.source import Batch, Partition

__all__ = [
    "MAX_IN_MEMORY",
    "BlockStore",
    "LocalEngine",
    "map_in_order",
    "write_memmap",
]


# Blocks of arrays: in memory as long as they are few, then in files -------------------------------

#: Bytes of all blocks that are held in memory.
MAX_IN_MEMORY = 1 << 29


class _Filed(NamedTuple):
    """A block whose arrays are in files.

    Attributes
    ----------
    kind : type
    parts : tuple
        Files of arrays, and plain values.
    """

    kind: type
    parts: tuple[Any, ...]

    def read(self) -> Any:
        parts = (
            np.load(part, mmap_mode="r") if isinstance(part, Path) else part for part in self.parts
        )
        return self.kind(*parts)

    def remove(self) -> None:
        for part in self.parts:
            if isinstance(part, Path):
                part.unlink(missing_ok=True)


class BlockStore:
    """Blocks by number: named tuples of arrays and plain values.

    Arrays of those that don't fit are written to temporary files, and mapped each time that they
    are used, as long as that is: where memory is free, the system has them there, and nothing is
    copied.

    Parameters
    ----------
    most : int, default MOST_IN_MEMORY
        How many bytes of arrays may be in memory.
    """

    def __init__(self, most: int = MAX_IN_MEMORY) -> None:
        self._most, self._n_bytes, self._n_files = most, 0, 0
        self._blocks: list[Any] = []
        self._in_memory: list[int] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, number: int) -> Any:
        block = self._blocks[number]
        return block.read() if isinstance(block, _Filed) else block

    def append(self, block: Any) -> None:
        """Add a block after the others."""
        self._blocks.append(None)
        self._in_memory.append(0)
        self.put(len(self._blocks) - 1, block)

    def put(self, number: int, block: Any) -> None:
        """Replace a block."""
        self._remove(number)
        size = sum(array.nbytes for array in block if isinstance(array, np.ndarray))
        if self._n_bytes + size > self._most:
            block = self._in_files(block)
            size = 0
        self._n_bytes += size
        self._in_memory[number] = size
        self._blocks[number] = block

    def close(self) -> None:
        """Forget all blocks, and remove the files."""
        self._blocks, self._in_memory, self._n_bytes = [], [], 0
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _remove(self, number: int) -> None:
        self._n_bytes -= self._in_memory[number]
        block, self._blocks[number] = self._blocks[number], None
        if isinstance(block, _Filed):
            block.remove()

    def _in_files(self, block: Any) -> Any:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(
                prefix="slugline-", ignore_cleanup_errors=True
            )
        folder = Path(self._folder.name)
        return _Filed(type(block), tuple(self._filed(folder, value) for value in block))

    def _filed(self, folder: Path, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        path = folder / f"{self._n_files}.npy"
        self._n_files += 1
        with _told_if_full(path):
            np.save(path, value)
        return path


def write_memmap(parts: Iterable[F16], shape: tuple[int, ...]) -> Any:
    """Return an array that is written part by part to a file without a name, which goes with it.

    Parameters
    ----------
    parts : iterable of float16 array
    shape : tuple of int
        Of all.
    """
    with _told_if_full(Path(tempfile.gettempdir())), tempfile.TemporaryFile() as file:
        for part in parts:
            file.write(part.tobytes())
        file.flush()
        # An array of NumPy's own kind, which others know how to send.
        return np.asarray(np.memmap(file, np.float16, "r", shape=shape))


@contextmanager
def _told_if_full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} can't be written ({error.strerror or error}); what is learned from, and what "
            "is learned, is kept there for a while: make room, or name another folder in TMPDIR."
        ) from error


# The engine on this machine: blocks in memory or in files, and threads ----------------------------


class LocalEngine:
    """Holds blocks, and has functions of them done on threads.

    Results are the same for any number of threads. Functions take a block and what is shared, and
    depend on nothing else. What they return of a block belongs to the caller.

    Parameters
    ----------
    n_threads : int
    most_in_memory : int, default MOST_IN_MEMORY
        Bytes of blocks; see `BlockStore`.
    spare : Spare, optional
        What an earlier engine has left for sums.
    """

    def __init__(
        self, n_threads: int, most_in_memory: int = MAX_IN_MEMORY, spare: BufferPool | None = None
    ) -> None:
        self._n_threads = n_threads
        self._store = BlockStore(most_in_memory)
        self._groups: list[slice] = []
        self._spare = spare or BufferPool()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def read(
        self, function: Callable[..., tuple[Any, Any]], parts: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Make blocks of parts.

        `function(batch, *shared)` returns a block, or None, and what to yield about it.
        """
        # Batch by batch, as all of a part may be more than fits into memory.
        batches = (batch for part in parts for batch in part.batches())

        def work(batch: Batch) -> tuple[Any, Any]:
            return function(batch, *shared)

        for block, about in map_in_order(work, batches, self._n_threads):
            if block is not None:
                self.append(block)
            yield about

    def append(self, block: Any) -> None:
        """Hold one more block, a group by itself."""
        self._groups.append(slice(len(self._store), len(self._store) + 1))
        self._store.append(block)

    def group(self, groups: Sequence[slice]) -> None:
        """Let neighbouring blocks be added up one after another; see `group_blocks`."""
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
            return sum_group(function, both, shared, spare.take())

        total = TreeSum(spare)
        for arrays in map_in_order(work, self._groups, self._n_threads, n_waiting=0):
            total.append(arrays)
        return total.result()

    def keeping_sums(
        self, function: Callable[..., Any], *shared: Any, into: Arrays | None = None
    ) -> tuple[Any, Any]:
        """Return sums, and what stays with the blocks; see `training.engine.Engine`."""
        spare = self._spare_for(into)

        def work(group: slice) -> Any:
            return sum_group_storing(function, self._blocks(group), shared, spare.take())

        total, kept = TreeSum(spare), []
        for arrays, own in map_in_order(work, self._groups, self._n_threads, n_waiting=0):
            total.append(arrays)
            kept.extend(own)
        return total.result(), kept

    def apart(self, n_columns: int, width: int, n_jobs: int) -> None:
        """Return nothing: descents go on one after another, each on all threads."""

    def _each(self, function: Callable[..., Any], shared: tuple[Any, ...]) -> Iterator[Any]:
        def work(number: int) -> Any:
            return function(self._store[number], *shared)

        return map_in_order(work, range(len(self._store)), self._n_threads)

    def _spare_for(self, into: Arrays | None) -> BufferPool:
        """Return arrays for sums: those that sums of the same shapes have left."""
        if into is None:
            return BufferPool()
        self._spare.expect(into)
        return self._spare

    def _blocks(self, group: slice) -> Iterator[Any]:
        """Yield those of a group: one at a time is in memory."""
        return (self._store[number] for number in range(group.start, group.stop))


def map_in_order(
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
