"""Partitions of Dask's collections as parts of a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slugline.corpus.frames import frame_rows
from slugline.corpus.labelled import LabelledRows
from slugline.corpus.readers import Rows
from slugline.corpus.rows import MAX_RECORD, BadRow, Items, Row, checked_row, too_long
from slugline.documents import check_documents
from slugline.errors import DataError, OptionError
from slugline.scale.parts import Batch, Part, Reading, batches_of, batches_of_pairs

__all__ = ["Partition", "partitions"]


@dataclass(frozen=True)
class Partition:
    """A partition of a collection.

    Attributes
    ----------
    number : int
        Counted from 0, for messages.
    delayed : Delayed or None
        What computes it.
    data : data frame or iterable, optional
        What it was computed to.
    """

    number: int
    reading: Reading
    delayed: Any = None
    data: Any = None
    is_read_here: bool = False
    paths: tuple[str, ...] = ()

    def apart(self) -> tuple[Any, Partition]:
        """Return what computes it, and the partition without."""
        return self.delayed, replace(self, delayed=None)

    def with_data(self, data: Any) -> Partition:
        """Return the partition with what it was computed to."""
        return replace(self, data=data)

    def batches(self) -> Iterator[Batch]:
        """Compute it in this process, if need be, and return the documents, a block at a time."""
        data, name, how = self.data, f"partition {self.number}", self.reading
        if data is None:
            data = self.delayed.compute(scheduler="synchronous")
        if not hasattr(data, "columns"):
            data = list(data)
            if data and not isinstance(data[0], Mapping):
                yield from batches_of_pairs([_pairs(data, name)], how.rows_per_block)
                return
            items: Items = (_row(at, values) for at, values in enumerate(data))
        else:
            items = map(_not_too_long, frame_rows(data))
        first = next(items, None)
        if first is None:  # partitions are what filters leave of them
            return
        rows = Rows(name, "frame", _chained(first, items))
        labelled = LabelledRows(rows, how.text, how.topic, skip_bad_rows=how.skip_bad_rows)
        yield from batches_of([labelled], how.rows_per_block)


def partitions(collection: Any, reading: Reading) -> Iterator[Part]:
    """Return the partitions of a Dask data frame or bag.

    Raises
    ------
    OptionError : if it is another collection, or has no files that a format could be of.
    """
    kind = type(collection).__name__
    if kind not in ("DataFrame", "Bag"):
        raise OptionError(
            f"`source` is a {kind} of Dask; give a data frame with columns of texts and topics, or "
            "a bag of (text, topic)."
        )
    if reading.format is not None or reading.encoding is not None:
        raise OptionError("`format` and `encoding` are about files; leave them out.")
    parts = enumerate(collection.to_delayed())
    return (Partition(number, reading, delayed) for number, delayed in parts)


def _pairs(data: Sequence[Any], name: str) -> tuple[list[str], list[Any]]:
    for row, item in enumerate(data):
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise DataError(
                f"{name} of the bag has a {type(item).__name__} in row {row}, both counted from 0; "
                "give pairs such as (text, topic), or mappings with both."
            )
    texts, topics = zip(*data, strict=True) if data else ((), ())
    names = (f"texts of {name}", f"topics of {name}")
    return check_documents(texts, topics, names, may_be_none=True)


def _row(at: int, values: Any) -> Row | BadRow:
    if not isinstance(values, Mapping):
        return BadRow(at, "no mapping", "make all items mappings")
    return _not_too_long(checked_row(at, {str(name): value for name, value in values.items()}))


def _not_too_long(row: Row | BadRow) -> Row | BadRow:
    if isinstance(row, Row):
        n_characters = sum(len(value) for value in row.values.values() if isinstance(value, str))
        if n_characters > MAX_RECORD:
            return too_long(row.at)
    return row


def _chained(first: Row | BadRow, others: Items) -> Items:
    yield first
    yield from others
