"""What workers do: functions at the top level of a module, which Dask finds by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slugline.errors import DataError, SluglineError
from slugline.scale.collections import Partition
from slugline.scale.groups import keeping_sum_of_group, sum_of_group
from slugline.scale.parts import Part
from slugline.training.row_block import Arrays

__all__ = [
    "ReadPart",
    "added",
    "block_of",
    "changed",
    "item",
    "keep_and_sum",
    "nothing",
    "read_part",
    "read_partition",
    "sum_up",
    "together",
    "told_of",
]


class ReadPart(NamedTuple):
    """What became of a part: its blocks and what is said of them, and what stopped it."""

    made: list[tuple[Any, Any]]
    error: SluglineError | None


def read_part(part: Part, function: Callable[..., Any], shared: tuple[Any, ...]) -> ReadPart:
    """Return the blocks of a part, and what `function(batch, *shared)` says of them."""
    made: list[tuple[Any, Any]] = []
    try:
        made.extend(function(batch, *shared) for batch in part.batches())
    except SluglineError as error:
        return ReadPart(made, _plain(error, part.paths))
    return ReadPart(made, None)


def read_partition(
    data: Any, part: Partition, function: Callable[..., Any], shared: tuple[Any, ...]
) -> ReadPart:
    """Do the same with a partition that has been computed."""
    return read_part(part.with_data(data), function, shared)


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


def told_of(read: ReadPart) -> ReadPart:
    """Return what is said of blocks, and whether there are any."""
    return ReadPart([(block is not None, about) for block, about in read.made], read.error)


def block_of(read: ReadPart, number: int) -> Any:
    """Return one of the blocks."""
    return read.made[number][0]


def nothing(block: Any) -> None:
    """Make sure that a block is there."""


def together(*shared: Any) -> tuple[Any, ...]:
    """Return what is shared, kept where tasks find it."""
    return shared


def changed(block: Any, function: Callable[..., Any], shared: tuple[Any, ...]) -> Any:
    """Return what a function makes of a block."""
    return function(block, *shared)


def sum_up(
    function: Callable[..., Arrays],
    shared: tuple[Any, ...],
    blocks: list[Any],
    kept: list[Any] | None,
    before: Arrays | None,
) -> Arrays:
    """Return the sums of what a function returns of blocks, with what these have kept."""
    both = zip(blocks) if kept is None else zip(blocks, kept, strict=True)
    return sum_of_group(function, both, shared, _copied(before))


def keep_and_sum(
    function: Callable[..., Any],
    shared: tuple[Any, ...],
    blocks: list[Any],
    before: Arrays | None,
) -> tuple[Arrays, list[Any]]:
    """Return the sums, and what each block is to keep."""
    return keeping_sum_of_group(function, blocks, shared, _copied(before))


def _copied(arrays: Arrays | None) -> Arrays | None:
    """Return what can be added to: what tasks have returned stays, as Dask may want it again."""
    return None if arrays is None else tuple(array.copy() for array in arrays)


def item(several: Sequence[Any], number: int) -> Any:
    """Return one of several things."""
    return several[number]


def added(left: Arrays, right: Arrays) -> Arrays:
    """Return sums; what is added stays as it is."""
    return tuple(a + b for a, b in zip(left, right, strict=True))
