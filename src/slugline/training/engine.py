"""Who holds blocks of rows, and has functions of them done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from slugline.training.row_block import Arrays

__all__ = ["Engine"]


class Engine(Protocol):
    """Who holds the blocks, and has functions of them done.

    Functions are at the top level of a module, and depend on the block and what is shared alone.
    """

    def sums(
        self,
        function: Callable[..., Any],
        *shared: Any,
        beside: Any = None,
        into: Arrays | None = None,
    ) -> Any:
        """Return the sums of the arrays of all blocks, in a fixed order.

        `function(block, *shared, into=before)` adds those of a block to those of others, if these
        aren't None, in place, and returns them.

        Parameters
        ----------
        beside : object, optional
            What `keeping_sums` kept: the function then gets (block, what was kept, *shared).
        into : tuple of arrays, optional
            Of the right shapes, which the caller gives away to be used for it, as systems are slow
            to give large new ones. What is returned may be other arrays.
        """

    def keeping_sums(
        self, function: Callable[..., Any], *shared: Any, into: Arrays | None = None
    ) -> tuple[Any, Any]:
        """Return sums as well, and what stays with the blocks.

        The function returns the arrays, and what is to stay with its block.
        """
