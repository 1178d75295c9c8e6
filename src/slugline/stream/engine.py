"""Engines apply a function to blocks of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from slugline.base.threads import map_in_order
from slugline.stream.source import DocumentBlock, Partition

#: Function of a block of documents and shared arguments.
BlockFunction = Callable[..., Any]


class Engine(Protocol):
    """Applies functions to blocks of documents; results don't depend on the number of workers.

    `LocalEngine` uses threads of this process, `cluster.DaskEngine` workers of a cluster. Functions
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
