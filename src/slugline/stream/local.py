"""The engine on this machine, with blocks in memory or in files, and threads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F16
from slugline.base.threads import map_in_order
from slugline.errors import OutputError, os_errors_as
from slugline.learning.linear.sums import Arrays, BlockFunction
from slugline.stream.engine import BufferPool, Engine, TreeSum, sum_group
from slugline.stream.source import DocumentBlock, Partition

#: Maximum bytes of blocks that stay in memory; other blocks are in files, which the system caches.
MAX_IN_MEMORY = 1 << 26


class _BlockInFiles(NamedTuple):
    """A block whose arrays have been replaced by the paths of files."""

    kind: type
    values: tuple[Any, ...]

    def read(self) -> Any:
        """Return the block with memory-mapped arrays."""
        arrays = (np.load(each, "r") if isinstance(each, Path) else each for each in self.values)
        return self.kind(*arrays)

    def remove(self) -> None:
        for value in self.values:
            if isinstance(value, Path):
                value.unlink(missing_ok=True)


class BlockStore:
    """Numbered blocks, which are named tuples of arrays and plain values.

    Arrays that don't fit are written to temporary files, and memory-mapped each time they are used.
    While memory is free, the system caches them, and nothing is copied.

    Parameters
    ----------
    max_bytes : int, default MAX_IN_MEMORY
        Maximum number of bytes of arrays in memory.
    """

    def __init__(self, max_bytes: int = MAX_IN_MEMORY) -> None:
        self._max_bytes, self._n_files = max_bytes, 0
        self._blocks: list[Any] = []
        self._sizes: list[int] = []  # number of bytes of each block in memory
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, number: int) -> Any:
        block = self._blocks[number]
        return block.read() if isinstance(block, _BlockInFiles) else block

    def append(self, block: Any) -> None:
        """Add a block after the others."""
        self._blocks.append(None)
        self._sizes.append(0)
        self.put(len(self._blocks) - 1, block)

    def put(self, number: int, block: Any) -> None:
        """Replace a block."""
        # The previous block neither needs memory nor is read again if writing fails.
        self.remove(number)
        size = sum(array.nbytes for array in block if isinstance(array, np.ndarray))
        if sum(self._sizes) + size > self._max_bytes:
            self._blocks[number] = _BlockInFiles(type(block), tuple(map(self._to_file, block)))
        else:
            self._blocks[number] = block
            self._sizes[number] = size

    def remove(self, number: int) -> None:
        """Remove a block; those after it keep their numbers."""
        block = self._blocks[number]
        if isinstance(block, _BlockInFiles):
            block.remove()
        self._blocks[number], self._sizes[number] = None, 0

    def close(self) -> None:
        """Remove all blocks and files."""
        self._blocks, self._sizes = [], []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _to_file(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        if self._folder is None:
            self._folder = temporary_folder()
        path = Path(self._folder.name) / f"{self._n_files}.npy"
        self._n_files += 1
        with translate_disk_errors(path):
            np.save(path, value)
        return path


def write_memmap(parts: Iterable[F16], shape: tuple[int, ...]) -> F16:
    """Write the parts of a float16 array to an unnamed file, and return it memory-mapped."""
    with translate_disk_errors(Path(tempfile.gettempdir())), tempfile.TemporaryFile() as file:
        for part in parts:
            file.write(part.tobytes())
        file.flush()
        # As a plain NumPy array, which can be sent to workers.
        return np.asarray(np.memmap(file, np.float16, "r", shape=shape))


def translate_disk_errors(path: Path, verb: str = "written") -> AbstractContextManager[None]:
    """Return a context in which an OSError is raised as one of a temporary file."""
    advice = (
        "training stores rows and weights there temporarily: free some space, or set TMPDIR to "
        "another folder."
    )
    return os_errors_as(OutputError, f"{path} can't be {verb}", advice)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder for temporary files; it is removed when it is cleaned up or at exit."""
    with translate_disk_errors(Path(tempfile.gettempdir())):
        return tempfile.TemporaryDirectory(prefix="slugline-", ignore_cleanup_errors=True)


class LocalEngine(Engine):
    """Runs functions over blocks on threads of this process.

    Parameters
    ----------
    n_threads : int
    max_bytes : int, default MAX_IN_MEMORY
        See `BlockStore`.
    pool : BufferPool, optional
        Buffers that another engine has used.
    """

    def __init__(
        self, n_threads: int, max_bytes: int = MAX_IN_MEMORY, pool: BufferPool | None = None
    ) -> None:
        self._n_threads = n_threads
        self._store = BlockStore(max_bytes)
        self._groups: list[slice] = []
        self._pool = pool or BufferPool()

    @property
    def dashboard(self) -> str:
        """Empty: there is no dashboard."""
        return ""

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self._store.close()

    def read_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Read partitions into blocks, and yield a summary of each block; see `Engine`."""
        # Block by block, as a whole partition may not fit into memory.
        document_blocks = (block for partition in partitions for block in partition.blocks())

        def work(documents: DocumentBlock) -> tuple[Any, Any]:
            return function(documents, *shared)

        for block, summary in map_in_order(work, document_blocks, self._n_threads):
            if block is not None:
                self.append(block)
            yield summary

    def append(self, block: Any) -> None:
        """Add a block as a group of its own."""
        self._groups.append(slice(len(self._store), len(self._store) + 1))
        self._store.append(block)

    def set_groups(self, groups: Sequence[slice]) -> None:
        """Set which adjacent blocks are summed sequentially; see `group_blocks`."""
        self._groups = list(groups)

    def map_blocks(self, function: BlockFunction, *shared: Any) -> None:
        """Replace each block by `function(block, *shared)`."""
        for number, block in enumerate(self._map(function, shared)):
            self._store.put(number, block)

    def collect(self, function: BlockFunction, *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""
        return list(self._map(function, shared))

    def pop_blocks(self, function: BlockFunction, *shared: Any) -> Iterator[Any]:
        """Yield `function(block, *shared)` of each block in order, and then free the block."""
        for number, result in enumerate(self._map(function, shared)):
            yield result
            self._store.remove(number)

    def sum_blocks(
        self, function: BlockFunction, *shared: Any, stored: Any = None, into: Arrays | None = None
    ) -> Arrays:
        """Return the sum of a function over all blocks; see `BlockSums`."""
        return self._sum(function, shared, stored, into)[0]

    def sum_blocks_storing(
        self, function: BlockFunction, *shared: Any, into: Arrays | None = None
    ) -> tuple[Arrays, Any]:
        """Return the sum of a function over all blocks, and the values that it stores for them."""
        return self._sum(function, shared, None, into, stores=True)

    def plan_topic_parallel(self, n_columns: int, width: int, n_tasks: int) -> None:
        """Return None: descents run sequentially, each on all threads."""

    def _map(self, function: BlockFunction, shared: tuple[Any, ...]) -> Iterator[Any]:
        def work(number: int) -> Any:
            return function(self._store[number], *shared)

        return map_in_order(work, range(len(self._store)), self._n_threads)

    def _sum(
        self,
        function: BlockFunction,
        shared: tuple[Any, ...],
        stored: Any,
        into: Arrays | None,
        *,
        stores: bool = False,
    ) -> tuple[Arrays, list[Any]]:
        """Return the sum over all groups, and the values that the function `stores` for blocks."""
        pool = BufferPool()
        if into is not None:  # the next call probably needs buffers of the same shapes
            pool = self._pool
            pool.reset(into)

        total = TreeSum(len(self._groups), pool)

        def work(number: int) -> list[Any]:
            sums, values = sum_group(
                function, self._arguments(number, stored), shared, pool.take(), stores=stores
            )
            total.add(number, sums)
            return values

        stored_values: list[Any] = []
        numbers = range(len(self._groups))
        # Without waiting results, as each group that is begun has a sum in memory.
        for values in map_in_order(work, numbers, self._n_threads, n_waiting=0):
            stored_values.extend(values)
        return total.result(), stored_values

    def _arguments(self, group: int, stored: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the blocks of a group, with their stored values if there are any.

        Only one block at a time is in memory; `zip` would hold the one before as well.
        """
        numbers = self._groups[group]
        for number in range(numbers.start, numbers.stop):
            values = () if stored is None else (stored[number],)
            yield self._store[number], *values
