"""The engine on this machine, with blocks in memory or in files, and threads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slugline.base.threads import map_in_order
from slugline.errors import OutputError, os_errors_as
from slugline.stream.engine import BlockFunction, Engine
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
        size = sum(array.nbytes for array in block if isinstance(array, np.ndarray))
        if sum(self._sizes) + size > self._max_bytes:
            block, size = _BlockInFiles(type(block), tuple(map(self._to_file, block))), 0
        self._blocks.append(block)
        self._sizes.append(size)

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
    """

    def __init__(self, n_threads: int, max_bytes: int = MAX_IN_MEMORY) -> None:
        self._n_threads, self._store = n_threads, BlockStore(max_bytes)

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
                self._store.append(block)
            yield summary

    def collect(self, function: BlockFunction, *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""
        return list(self._map(function, shared))

    def pop_blocks(self, function: BlockFunction, *shared: Any) -> Iterator[Any]:
        """Yield `function(block, *shared)` of each block in order, and then free the block."""
        for number, result in enumerate(self._map(function, shared)):
            yield result
            self._store.remove(number)

    def _map(self, function: BlockFunction, shared: tuple[Any, ...]) -> Iterator[Any]:
        def work(number: int) -> Any:
            return function(self._store[number], *shared)

        return map_in_order(work, range(len(self._store)), self._n_threads)
