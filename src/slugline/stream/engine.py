"""The interface of engines, which hold blocks and run functions over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from slugline.stream.source import Partition

#: A function of a block and shared arguments.
BlockFunction = Callable[..., Any]


class Engine(Protocol):
    """Holds blocks and runs functions over them; results don't depend on the number of workers.

    `local.LocalEngine` uses threads of this process, `cluster.DaskEngine` workers of a cluster. An
    engine is a context manager, which frees the blocks. Functions must be at the top level
    of a module, and depend only on the block and `shared`.
    """

    @property
    def dashboard(self) -> str:
        """The address of a page that shows the work; empty if there is none."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> None: ...

    def read_blocks(
        self, function: BlockFunction, partitions: Iterable[Partition], *shared: Any
    ) -> Iterator[Any]:
        """Read partitions into blocks, and yield a summary of each block in order.

        `function(documents, *shared)` returns the block, or None, and the summary of a block of
        documents.
        """

    def collect(self, function: BlockFunction, *shared: Any) -> list[Any]:
        """Return `function(block, *shared)` of each block, in order."""

    def pop_blocks(self, function: BlockFunction, *shared: Any) -> Iterator[Any]:
        """Yield `function(block, *shared)` of each block in order, and then free the block."""
