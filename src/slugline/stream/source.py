"""A source of documents, whatever it is, cut into parts, and what is known of all of them."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from slugline.base.checks import check_whole
from slugline.base.names import expand_patterns
from slugline.corpus.columns import columns_note
from slugline.corpus.documents import Topic, chain_digests, check_documents, compute_digest
from slugline.corpus.labelled import (
    LabelledRows,
    SchemaCheck,
    SourceLayout,
    SourceSchema,
    read_layout,
)
from slugline.corpus.parquet import parquet_row_ranges
from slugline.corpus.readers import (
    RowReader,
    detect_format,
    read_line_range,
    read_row_range,
    read_rows,
)
from slugline.corpus.rows import (
    MAX_RECORD,
    BadRow,
    RowIterator,
    SourceRow,
    make_row,
    too_long_row,
    translate_os_errors,
)
from slugline.corpus.tables import frame_rows
from slugline.errors import DataError, OptionError
from slugline.learning.linear.sums import MAX_ROWS

__all__ = [
    "MAX_CHARACTERS",
    "ROWS_PER_BLOCK",
    "Batch",
    "DaskPartition",
    "DocumentSource",
    "DocumentsInMemory",
    "FilePartition",
    "LineRange",
    "Partition",
    "ReadOptions",
    "RowRange",
    "SerializedDocuments",
    "batch_pairs",
    "dask_partitions",
    "expand_patterns",
    "make_portable",
    "read_batches",
]


# Parts of a source: what whoever holds a part needs to know to read its documents -----------------

#: Enough that weights of all columns are added up seldom; the most that a block of rows takes.
ROWS_PER_BLOCK = 1 << 16
#: Characters of a block's texts, at which it ends sooner.
MAX_CHARACTERS = 1 << 26


class Batch(NamedTuple):
    """The documents of a block, which may be none, and what they say of their files."""

    texts: list[str]
    topics: list[Topic]
    facts: tuple[SourceSchema, ...] = ()


class Partition(Protocol):
    """Some consecutive documents of a source; pickled, it can be read elsewhere."""

    @property
    def is_read_here(self) -> bool:
        """Whether only the process that cut the source can read it, and need not hold all of it."""

    @property
    def paths(self) -> Sequence[str]:
        """The files that must be seen where it is read."""

    def batches(self) -> Iterator[Batch]:
        """Read the documents, a block at a time.

        Raises
        ------
        DataError : if a file can't be read; bad rows are among the facts.
        """


@dataclass(frozen=True)
class ReadOptions:
    """How files are read; see `load_corpus`."""

    text: str | Sequence[str] | None = None
    topic: str | None = None
    format: str | None = None
    encoding: str | None = None
    skip_bad_rows: bool = False
    rows_per_block: int = ROWS_PER_BLOCK


@dataclass(frozen=True)
class FilePartition:
    """Whole files, one after another."""

    paths: tuple[str, ...]
    reading: ReadOptions
    is_read_here: bool = False

    def batches(self) -> Iterator[Batch]:
        """Read the documents, a block at a time."""
        how = self.reading
        rows = (
            LabelledRows(
                read_rows(path, format=how.format, encoding=how.encoding),
                how.text,
                how.topic,
                skip_bad_rows=how.skip_bad_rows,
            )
            for path in self.paths
        )
        return read_batches(rows, how.rows_per_block)


@dataclass(frozen=True)
class _FileRange:
    """A part of one file, whose layout is known.

    Attributes
    ----------
    path : str
    first, end : int
        Where it begins, and where the next one does.
    is_last : bool
        Whether it is the last one of its file.
    """

    path: str
    first: int
    end: int
    is_last: bool
    layout: SourceLayout
    reading: ReadOptions
    is_read_here: bool = field(default=False, init=False)

    @property
    def paths(self) -> Sequence[str]:
        """The file."""
        return (self.path,)

    def _batches(self, rows: Any) -> Iterator[Batch]:
        labelled = LabelledRows(
            rows,
            skip_bad_rows=self.reading.skip_bad_rows,
            layout=self.layout,
            is_last=self.is_last,
        )
        return read_batches([labelled], self.reading.rows_per_block)


class LineRange(_FileRange):
    """The rows of a JSONL file that begin in a range of its bytes."""

    def batches(self) -> Iterator[Batch]:
        """Read the documents, a block at a time."""
        return self._batches(read_line_range(self.path, self.first, self.end))


class RowRange(_FileRange):
    """A stretch of the rows of a Parquet file."""

    def batches(self) -> Iterator[Batch]:
        """Read the documents, a block at a time."""
        return self._batches(read_row_range(self.path, self.first, self.end))


@dataclass(frozen=True)
class DocumentsInMemory:
    """Documents that have been read."""

    batch: Batch
    is_read_here: bool = True
    paths: tuple[str, ...] = ()

    def batches(self) -> Iterator[Batch]:
        """Return the documents."""
        yield self.batch


@dataclass(frozen=True)
class SerializedDocuments:
    """Documents that have been read, in few bytes, to be sent.

    Attributes
    ----------
    data : bytes
        Made by `of` in this process or one that trusts it as itself.
    """

    data: bytes
    is_read_here: bool = False
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, batch: Batch) -> SerializedDocuments:
        """Pack documents."""
        return cls(zlib.compress(pickle.dumps(batch), 1))

    def batches(self) -> Iterator[Batch]:
        """Return the documents."""
        yield pickle.loads(zlib.decompress(self.data))  # noqa: S301


def read_batches(files: Iterable[LabelledRows], rows_per_block: int) -> Iterator[Batch]:
    """Read files, or parts of them, a block at a time; end at one that can't be read on."""
    texts: list[str] = []
    topics: list[Topic] = []
    facts: list[SourceSchema] = []
    n_characters = 0
    for rows in files:
        for document in rows:
            texts.append(document.text)
            topics.append(document.topic)
            n_characters += len(document.text)
            if len(texts) == rows_per_block or n_characters >= MAX_CHARACTERS:
                yield Batch(texts, topics, (*facts, rows.take_schema()))
                texts, topics, facts, n_characters = [], [], [], 0
        facts.append(rows.take_schema())
        if rows.is_stopped:
            break
    yield Batch(texts, topics, tuple(facts))


def batch_pairs(
    pairs: Iterable[tuple[list[str], list[Topic]]], rows_per_block: int
) -> Iterator[Batch]:
    """Cut texts and their topics, which are checked, into blocks.

    Raises
    ------
    DataError : if a text is longer than a block.
    """
    texts: list[str] = []
    topics: list[Topic] = []
    n_characters = 0
    for number, (own_texts, own_topics) in enumerate(pairs):
        for row, (text, topic) in enumerate(zip(own_texts, own_topics, strict=True)):
            if len(text) > MAX_CHARACTERS:
                raise DataError(
                    f"text {row} of batch {number}, both counted from 0, has {len(text):,} "
                    f"characters, and the most is {MAX_CHARACTERS:,}; split it, or leave it out."
                )
            texts.append(text)
            topics.append(topic)
            n_characters += len(text)
            if len(texts) == rows_per_block or n_characters >= MAX_CHARACTERS:
                yield Batch(texts, topics)
                texts, topics, n_characters = [], [], 0
    if texts:
        yield Batch(texts, topics)


def make_portable(parts: Iterable[Partition]) -> Iterator[Partition]:
    """Yield parts that can be read anywhere: what only this process can read is read and packed."""
    for part in parts:
        if part.is_read_here:
            yield from map(SerializedDocuments.of, part.batches())
        else:
            yield part


# A source of documents, whatever it is, cut into parts, and what is known of all of them ----------

# Bytes of small files that are read together, and of a file that is cut if it can be.
MAX_MERGED_BYTES = 1 << 25
# Bytes of a file that can't be cut, but is read as one part.
MAX_UNSPLIT_BYTES = 1 << 26
# What packed files take, for each of their bytes.
_UNPACKED = 4
# The bytes from which the mean length of lines is told, and bounds of those of a part.
_SAMPLE, MIN_RANGE_BYTES, _MAX_RANGE_BYTES = 1 << 20, 1 << 18, 1 << 26


class DocumentSource:
    """The documents of a source, once, in parts.

    Parameters
    ----------
    source : path, glob, or a sequence of these; an iterable of (texts, topics); or a Dask
        collection: a data frame with columns as files have, or a bag of (text, topic), or of
        mappings with columns as files have
    text, topic, format, encoding, skip_bad_rows
        As for `load_corpus`, if the source has columns.
    rows_per_block : int, default ROWS_PER_BLOCK

    Attributes
    ----------
    n_documents : int
        How many there were so far.

    Raises
    ------
    DataError : if there is no such file, or nothing in it; later, as `SchemaCheck` and
        `check_documents` do.
    OptionError : if the source is something else, or columns are named and it has none.
    """

    def __init__(
        self,
        source: Any,
        text: str | Sequence[str] | None = None,
        topic: str | None = None,
        *,
        format: str | None = None,  # noqa: A002 (the user's word)
        encoding: str | None = None,
        skip_bad_rows: bool = False,
        rows_per_block: int = ROWS_PER_BLOCK,
    ) -> None:
        check_whole("rows_per_block", rows_per_block, 1, MAX_ROWS)
        reading = ReadOptions(text, topic, format, encoding, skip_bad_rows, rows_per_block)
        self._agreement = SchemaCheck(skip_bad_rows)
        self._is_guessed = None in (text, topic)
        self._digests: list[str] = []
        self.n_documents = 0
        if _is_file(source) or _are_files(source):
            files = expand_patterns([source] if _is_file(source) else source)
            self._parts: Iterator[Partition] = _parts_of_files(files, reading)
        elif hasattr(source, "__dask_graph__"):
            self._parts = dask_partitions(source, reading)
        elif isinstance(source, Iterable) and not hasattr(source, "columns"):
            if reading != ReadOptions(rows_per_block=rows_per_block):
                raise OptionError(
                    "`text`, `topic`, `format`, `encoding` and `skip_bad_rows` are about files, "
                    "and `source` holds texts and topics; leave them out."
                )
            self._parts = map(DocumentsInMemory, batch_pairs(_checked(source), rows_per_block))
        else:
            raise OptionError(
                f"`source` is a {type(source).__name__}; give a path, a pattern such as "
                "'tickets/*.parquet', a list of these, or batches of texts and topics, such as "
                "[(texts, topics)]."
            )

    @property
    def n_skipped(self) -> int:
        """How many rows of files were left out so far."""
        return self._agreement.n_skipped

    @property
    def columns_note(self) -> str:
        """Words for the columns that are read, if they were guessed; else none."""
        columns = self._agreement.columns
        return columns_note(*columns) if self._is_guessed and columns is not None else ""

    @property
    def digest(self) -> str:
        """The SHA-256 of all documents so far: that of the first block, chained to the others'.

        See `slugline.corpus.documents.compute_digest` and `chain_digests`.
        """
        if not self._digests:
            return compute_digest([], [])
        digest, *others = self._digests
        for other in others:
            digest = chain_digests(digest, other)
        return digest

    def parts(self) -> Iterator[Partition]:
        """Yield the parts, which depend on the source alone."""
        return self._parts

    def add(self, facts: Iterable[SourceSchema], n_documents: int, digest: str) -> None:
        """Take what was found in the next block: about files, how many documents, their digest."""
        for each in facts:
            self._agreement.add(each)
        self.n_documents += n_documents
        if n_documents:
            self._digests.append(digest)


def _is_file(source: Any) -> bool:
    return isinstance(source, str | Path)


def _are_files(source: Any) -> bool:
    return isinstance(source, list | tuple) and all(map(_is_file, source))


# Files -------------------------------------------------------------------------------------------


def _parts_of_files(files: Sequence[str], reading: ReadOptions) -> Iterator[Partition]:
    """Yield small files together, parts of those that can be cut, and the others one by one."""
    together: list[str] = []
    n_together = 0
    for file in files:
        size = _size(file, reading)
        if together and (size is None or n_together + size > MAX_MERGED_BYTES):
            yield FilePartition(tuple(together), reading)
            together, n_together = [], 0
        if size is not None and size <= MAX_MERGED_BYTES:
            together.append(file)
            n_together += size
        elif parts := [] if size is None else _cut(file, size, reading):
            yield from parts
        else:
            yield FilePartition(
                (file,), reading, is_read_here=size is None or size > MAX_UNSPLIT_BYTES
            )
    if together:
        yield FilePartition(tuple(together), reading)


def _size(file: str, reading: ReadOptions) -> int | None:
    """Return about how many bytes a file takes; None if that can't be told before."""
    path = Path(file)
    if file == "-":
        return None
    form = detect_format(file, reading.format)
    if not path.is_file():  # a folder or a pipe
        return None
    with translate_os_errors(file):
        size = path.stat().st_size
    is_packed = path.suffix.lower() == ".gz" or form in ("parquet", "xlsx")
    return size * _UNPACKED if is_packed else size


def _cut(file: str, size: int, reading: ReadOptions) -> list[Partition]:
    """Return the parts of a file; none if it can't be cut."""
    form = detect_format(file, reading.format)
    if form == "parquet":
        kind: Any = RowRange
        stretches = parquet_row_ranges(Path(file), reading.rows_per_block)
    elif form == "jsonl" and reading.encoding is None and not file.lower().endswith(".gz"):
        kind, n_bytes = LineRange, _bytes_of_rows(file, reading.rows_per_block)
        stretches = [(at, min(at + n_bytes, size)) for at in range(0, size, n_bytes)]
    else:
        return []
    layout = read_layout(read_rows(file, format=form), reading.text, reading.topic)
    return [
        kind(file, first, end, (first, end) == stretches[-1], layout, reading)
        for first, end in stretches
    ]


def _bytes_of_rows(file: str, n_rows: int) -> int:
    """Return about how many bytes so many lines have, as far as the first ones tell."""
    with translate_os_errors(file), Path(file).open("rb") as opened:
        sample = opened.read(_SAMPLE)
    n_bytes = n_rows * len(sample) // (sample.count(b"\n") + 1)
    return min(_MAX_RANGE_BYTES, max(MIN_RANGE_BYTES, n_bytes))


# Batches -----------------------------------------------------------------------------------------


def _checked(source: Iterable[Any]) -> Iterator[tuple[list[str], list[Topic]]]:
    for number, batch in enumerate(source):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError(
                f"batch {number} of `source`, counted from 0, is a {type(batch).__name__}, not a "
                "pair of texts and their topics; give such as (texts, topics)."
            )
        if isinstance(batch[0], str):
            raise DataError(
                f"batch {number} of `source`, counted from 0, has a single text where texts should "
                "be; give documents in batches, such as [(texts, topics)]."
            )
        names = (f"texts of batch {number}", f"topics of batch {number}")
        yield check_documents(batch[0], batch[1], names, may_be_none=True)


# Partitions of Dask's collections as parts of a source --------------------------------------------


@dataclass(frozen=True)
class DaskPartition:
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
    reading: ReadOptions
    delayed: Any = None
    data: Any = None
    is_read_here: bool = False
    paths: tuple[str, ...] = ()

    def apart(self) -> tuple[Any, DaskPartition]:
        """Return what computes it, and the partition without."""
        return self.delayed, replace(self, delayed=None)

    def with_data(self, data: Any) -> DaskPartition:
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
                yield from batch_pairs([_pairs(data, name)], how.rows_per_block)
                return
            items: RowIterator = (_row(at, values) for at, values in enumerate(data))
        else:
            items = map(_not_too_long, frame_rows(data))
        first = next(items, None)
        if first is None:  # partitions are what filters leave of them
            return
        rows = RowReader(name, "frame", _chained(first, items))
        labelled = LabelledRows(rows, how.text, how.topic, skip_bad_rows=how.skip_bad_rows)
        yield from read_batches([labelled], how.rows_per_block)


def dask_partitions(collection: Any, reading: ReadOptions) -> Iterator[Partition]:
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
    return (DaskPartition(number, reading, delayed) for number, delayed in parts)


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


def _row(at: int, values: Any) -> SourceRow | BadRow:
    if not isinstance(values, Mapping):
        return BadRow(at, "no mapping", "make all items mappings")
    return _not_too_long(make_row(at, {str(name): value for name, value in values.items()}))


def _not_too_long(row: SourceRow | BadRow) -> SourceRow | BadRow:
    if isinstance(row, SourceRow):
        n_characters = sum(len(value) for value in row.values.values() if isinstance(value, str))
        if n_characters > MAX_RECORD:
            return too_long_row(row.at)
    return row


def _chained(first: SourceRow | BadRow, others: RowIterator) -> RowIterator:
    yield first
    yield from others
