"""Blocks of arrays: in memory as long as they are few, then in files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F16
from slugline.errors import OutputError

__all__ = ["MOST_IN_MEMORY", "Store", "in_a_file"]

#: Bytes of all blocks that are held in memory.
MOST_IN_MEMORY = 1 << 29


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


class Store:
    """Blocks by number: named tuples of arrays and plain values.

    Arrays of those that don't fit are written to temporary files, and mapped each time that they
    are used, as long as that is: where memory is free, the system has them there, and nothing is
    copied.

    Parameters
    ----------
    most : int, default MOST_IN_MEMORY
        How many bytes of arrays may be in memory.
    """

    def __init__(self, most: int = MOST_IN_MEMORY) -> None:
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


def in_a_file(parts: Iterable[F16], shape: tuple[int, ...]) -> Any:
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
