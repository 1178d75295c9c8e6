"""Document sources: files, batches or Dask data frames, read in partitions."""

from __future__ import annotations

import contextlib
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from slugline.base.checks import check_whole
from slugline.base.names import expand_patterns
from slugline.corpus import labelled, readers, rows
from slugline.corpus.collect import SchemaCheck
from slugline.corpus.columns import columns_note
from slugline.corpus.documents import Topic, chain_digests, compute_digest
from slugline.corpus.layout import LabelledFileOptions, Layout, ReadOptions, check_delimiter
from slugline.corpus.line_stream import check_encoding
from slugline.corpus.rows import frame_rows
from slugline.corpus.topic_sets import check_documents, is_multilabel
from slugline.errors import DataError, Message, OptionError, Parameter, join_messages

# Partitions --------------------------------------------------------------------------------------

#: Maximum number of rows per block.
ROWS_PER_BLOCK = 1 << 16
#: A block also ends at this number of characters.
MAX_CHARACTERS = 1 << 26


class DocumentBlock(NamedTuple):
    """Documents, possibly none, and reports on the rows read."""

    texts: list[str]
    topics: list[Any]  # a topic or a tuple of topics per text
    reports: tuple[labelled.RowsReport, ...] = ()  # one per file or part of a file


@dataclass(frozen=True)
class Partition(ABC):
    """Consecutive documents of a source.

    Attributes
    ----------
    is_local : bool
        True if this process must read the partition; others can be pickled and read on a worker.
    paths : tuple of str
        Files that must exist where the partition is read.
    """

    is_local: bool = field(default=False, kw_only=True)
    paths: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def blocks(self) -> Iterator[DocumentBlock]:
        """Yield the documents in blocks.

        Raises
        ------
        DataError : if a file can't be read; bad rows are only reported.
        """


@dataclass(frozen=True)
class FilePartition(Partition):
    """Whole files."""

    options: ReadOptions
    rows_per_block: int = ROWS_PER_BLOCK

    def blocks(self) -> Iterator[DocumentBlock]:
        """Yield the documents in blocks."""
        options = self.options
        files = (labelled.LabelledRows(_open(path, options), options) for path in self.paths)
        return _read_document_blocks(files, self.rows_per_block)


@dataclass(frozen=True)
class DocumentsInMemory(Partition):
    """One block of documents."""

    block: DocumentBlock
    is_local: bool = field(default=True, kw_only=True)

    def blocks(self) -> Iterator[DocumentBlock]:
        """Yield the block."""
        yield self.block


class _BlockBuilder:
    """Collects documents until a block is full."""

    def __init__(self, rows_per_block: int) -> None:
        self._rows_per_block = rows_per_block
        self.texts: list[str] = []
        self._topics: list[Any] = []
        self._n_characters = 0

    def add(self, text: str, topic: Any) -> bool:
        """Add a document with a topic or tuple of topics; return True if the block is full."""
        self.texts.append(text)
        self._topics.append(topic)
        self._n_characters += len(text)
        is_long = self._n_characters >= MAX_CHARACTERS
        return is_long or len(self.texts) == self._rows_per_block

    def take(self, reports: tuple[labelled.RowsReport, ...] = ()) -> DocumentBlock:
        """Return the documents, and start a new block."""
        block = DocumentBlock(self.texts, self._topics, reports)
        self.texts, self._topics, self._n_characters = [], [], 0
        return block


def _read_document_blocks(
    files: Iterable[labelled.LabelledRows], rows_per_block: int
) -> Iterator[DocumentBlock]:
    """Yield documents of files in blocks; stop after the first file with an error."""
    builder = _BlockBuilder(rows_per_block)
    reports: list[labelled.RowsReport] = []
    for file in files:
        for document in file:
            if builder.add(document.text, document.topic):
                yield builder.take((*reports, file.take_report()))
                reports = []
        reports.append(file.take_report())
        if file.is_stopped:
            break
    yield builder.take(tuple(reports))


def _split_batches(
    batches: Iterable[tuple[list[str], list[Topic]]], rows_per_block: int
) -> Iterator[DocumentsInMemory]:
    """Split batches of checked texts and topics into blocks; DataError if one is too long."""
    builder = _BlockBuilder(rows_per_block)
    for number, (texts, topics) in enumerate(batches):
        for row, (text, topic) in enumerate(zip(texts, topics, strict=True)):
            if len(text) > MAX_CHARACTERS:
                raise DataError(
                    f"text {row} of batch {number}, both counted from 0, has {len(text):,} "
                    f"characters, and the limit is {MAX_CHARACTERS:,}; split it, or leave it out."
                )
            if builder.add(text, topic):
                yield DocumentsInMemory(builder.take())
    if builder.texts:
        yield DocumentsInMemory(builder.take())


# Sources -----------------------------------------------------------------------------------------

# Maximum total bytes of small files that are merged into one partition.
MAX_MERGED_BYTES = 1 << 25
# Maximum size in bytes of a file that a worker reads. This process reads larger files and sends
# their blocks to the workers, which share the remaining work.
MAX_SENT_BYTES = 1 << 26
# Expected compression ratio.
_EXPANSION = 4
_FILE_OPTIONS = tuple(field.name for field in fields(LabelledFileOptions))


class DocumentSource:
    """Documents of a source, read once in partitions.

    Parameters
    ----------
    source : path, iterable or Dask data frame
        One of

        - a path, a pattern such as "tickets/*.parquet", or a sequence of these;
        - an iterable of batches, each a pair of texts and their topics;
        - a Dask DataFrame with columns of texts and topics.
    options : ReadOptions, optional
        Uses `columns` and, if the source has columns, the options of `LabelledFileOptions`.
    rows_per_block : int, default ROWS_PER_BLOCK

    Attributes
    ----------
    n_documents : int
        Number of documents read so far.

    Raises
    ------
    DataError : if a file is missing or empty. While partitions are read, also for rows that don't
        match earlier ones (see `SchemaCheck`) and invalid batches (see `check_documents`).
    OptionError : if the source has an unsupported type, or file options are set for batches.
    """

    def __init__(
        self,
        source: Any,
        options: ReadOptions | None = None,
        *,
        rows_per_block: int = ROWS_PER_BLOCK,
    ) -> None:
        check_whole("rows_per_block", rows_per_block, 1, ROWS_PER_BLOCK)
        self._options = options = options or ReadOptions()
        self._schema_check = SchemaCheck(options.skip_bad_rows)
        self._encoding = None if options.encoding is None else check_encoding(options.encoding)
        self._separator = check_delimiter(options.separator)
        self._digest: str | None = None
        self.n_documents = 0
        self._partitions = _source_partitions(source, options, rows_per_block)

    @property
    def n_skipped(self) -> int:
        """Number of file rows skipped so far."""
        return self._schema_check.n_skipped

    @property
    def n_unlabelled(self) -> int:
        """Number of unlabelled file rows read so far."""
        return self._schema_check.n_unlabelled

    @property
    def columns_note(self) -> str:
        """Note on guessed columns; empty if none were guessed."""
        schema, options = self._schema_check.schema, self._options
        is_topic_named = bool(options.topic or options.topic_columns)
        if schema is None or (options.text is not None and is_topic_named):
            return ""
        layout = schema.layout
        return columns_note(layout.text, layout.topic_column, candidates=schema.candidates)

    @property
    def layout(self) -> Layout | None:
        """Layout of the files, with the user's encoding; None without columns."""
        schema = self._schema_check.schema
        if schema is None:
            return None
        return replace(
            schema.layout,
            encoding=self._encoding,
            skip_bad_rows=self._options.skip_bad_rows,
            format=self._options.format,
            separator=self._separator,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all documents so far: chained digests of blocks; see `chain_digests`."""
        return compute_digest([], []) if self._digest is None else self._digest

    def partitions(self) -> Iterator[Partition]:
        """Return the partitions, independent of the number of workers."""
        return self._partitions

    def first_documents(self, n_documents: int) -> tuple[list[str], list[Topic]]:
        """Return texts and topics of the first documents, and keep their blocks in memory.

        Returns empty lists for a Dask data frame, because its partitions may only be computable on
        workers, unless the model uses extra columns.
        """
        read: list[Partition] = []
        texts: list[str] = []
        topics: list[Topic] = []
        while len(texts) < n_documents and (partition := next(self._partitions, None)) is not None:
            if isinstance(partition, DaskPartition) and not partition.options.columns:
                read.append(partition)
                break
            blocks = partition.blocks()
            for block in blocks:
                read.append(DocumentsInMemory(block))
                texts += block.texts
                topics += block.topics
                if len(texts) >= n_documents:
                    break
            self._partitions = itertools.chain(map(DocumentsInMemory, blocks), self._partitions)
        self._partitions = itertools.chain(read, self._partitions)
        return texts[:n_documents], topics[:n_documents]

    def add(self, reports: Iterable[labelled.RowsReport], n_documents: int, digest: str) -> None:
        """Record the next block."""
        for report in reports:
            self._schema_check.add(report)
        self.n_documents += n_documents
        if n_documents:
            before = self._digest
            self._digest = digest if before is None else chain_digests(before, digest)


def _source_partitions(
    source: Any, options: ReadOptions, rows_per_block: int
) -> Iterator[Partition]:
    """Return the partitions of files, a Dask data frame or batches."""
    paths = [source] if isinstance(source, str | Path) else source
    is_paths = isinstance(paths, list | tuple) and all(isinstance(p, str | Path) for p in paths)
    if is_paths and paths:
        files = expand_patterns(paths)
        options = replace(options, multilabel=_is_multilabel_file(files[0], options))
        return _file_partitions(files, options, rows_per_block)
    if hasattr(source, "__dask_graph__"):
        return _dask_partitions(source, options, rows_per_block)
    is_data_frame = hasattr(source, "columns")  # fits into memory; `load_corpus` reads it
    if isinstance(source, Iterable) and not is_data_frame:
        defaults = ReadOptions()
        if any(getattr(options, name) != getattr(defaults, name) for name in _FILE_OPTIONS):
            raise OptionError(
                _list_parameters(*_FILE_OPTIONS),
                " apply only to files, but ",
                Parameter("source"),
                " holds texts and topics; leave them out.",
            )
        return _split_batches(_check_batches(source), rows_per_block)
    raise OptionError(
        Parameter("source"),
        f" is of type {type(source).__name__}; give a path, a pattern such as "
        "'tickets/*.parquet', a list of these, or batches of texts and topics, such as "
        "[(texts, topics)].",
    )


def _list_parameters(*names: str) -> Message:
    """Return the parameters as a phrase: `a`, `b` and `c`."""
    *first, last = (Message(Parameter(name)) for name in names)
    return join_messages(" and ", [join_messages(", ", first), last])


# Files -------------------------------------------------------------------------------------------


def _file_partitions(
    files: Sequence[str], options: ReadOptions, rows_per_block: int
) -> Iterator[Partition]:
    """Yield partitions, each of one large file or several small ones."""
    merged: list[str] = []
    n_merged = 0.0
    for file in files:
        size = _estimate_size(file, options)
        is_local = size > MAX_SENT_BYTES
        if merged and (is_local or n_merged + size > MAX_MERGED_BYTES):
            yield FilePartition(options, rows_per_block, paths=tuple(merged))
            merged, n_merged = [], 0
        if is_local:
            yield FilePartition(options, rows_per_block, is_local=True, paths=(file,))
        else:
            merged.append(file)
            n_merged += size
    if merged:
        yield FilePartition(options, rows_per_block, paths=tuple(merged))


def _open(file: str, options: ReadOptions) -> readers.RowReader:
    return readers.read_rows(file, replace(options, layout=None))


def _is_multilabel_file(file: str, options: ReadOptions) -> bool | None:
    """Return True if a file is multi-label, or None if it can't be read twice.

    All partitions must agree but are read separately, so this is determined once.
    """
    if not Path(file).is_file():
        return None
    with contextlib.suppress(DataError):  # raised again when the rows are read
        reader = _open(file, options)
        return labelled.read_schema(reader, options)[1].layout.topic_form is not None
    return None


def _estimate_size(file: str, options: ReadOptions) -> float:
    """Estimate a file's uncompressed size in bytes; infinite if that requires reading it."""
    path = Path(file)
    if file == "-":
        return math.inf
    file_format = readers.detect_format(file, options.format)
    if not path.is_file():  # a folder or a pipe
        return math.inf
    with rows.translate_os_errors(file):
        size = path.stat().st_size
    is_compressed = path.suffix.lower() == ".gz" or file_format in ("parquet", "xlsx")
    return size * _EXPANSION if is_compressed else size


# Batches -----------------------------------------------------------------------------------------


def _check_batches(source: Iterable[Any]) -> Iterator[tuple[list[str], list[Topic]]]:
    """Yield the texts and topics of each batch; raise DataError for an invalid one."""
    multilabel: bool | None = None  # None before the first document
    for number, batch in enumerate(source):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError(
                f"batch {number} of ",
                Parameter("source"),
                f", counted from 0, is of type {type(batch).__name__}, "
                "not a pair of texts and their topics; give batches, such as [(texts, topics)].",
            )
        if isinstance(batch[0], str):
            raise DataError(
                f"batch {number} of ",
                Parameter("source"),
                ", counted from 0, has a single text instead of a list of texts; "
                "give documents in batches, such as [(texts, topics)].",
            )
        names = (f"texts of batch {number}", f"topics of batch {number}")
        texts, topics = check_documents(batch[0], batch[1], names, allow_empty=True)
        if topics:
            earlier, multilabel = multilabel, is_multilabel(topics)
            if earlier not in (None, multilabel):
                single, multiple = "one topic for each text", "lists of topics"
                raise DataError(
                    f"batch {number}, counted from 0, has {multiple if multilabel else single}, "
                    f"but earlier batches have {multiple if earlier else single}; give lists of "
                    "topics in all batches, or in none."
                )
        yield texts, topics


# Dask data frames --------------------------------------------------------------------------------


@dataclass(frozen=True)
class DaskPartition(Partition):
    """A partition of a Dask data frame."""

    number: int  # from 0, for messages
    options: ReadOptions
    rows_per_block: int
    delayed: Any = None  # Dask task that computes `data`
    data: Any = None

    def blocks(self) -> Iterator[DocumentBlock]:
        """Compute the partition unless it has data, and yield its documents in blocks."""
        data = self.data
        if data is None:
            data = self.delayed.compute(scheduler="synchronous")
        if not len(data):  # common after a filter
            return
        items = map(_check_length, frame_rows(data))
        reader = readers.RowReader(f"partition {self.number}", "frame", items)
        files = [labelled.LabelledRows(reader, self.options)]
        yield from _read_document_blocks(files, self.rows_per_block)


def _dask_partitions(
    collection: Any, options: ReadOptions, rows_per_block: int
) -> Iterator[Partition]:
    """Return the partitions of a Dask data frame; OptionError for other collections."""
    kind = type(collection).__name__
    if kind != "DataFrame":
        raise OptionError(
            Parameter("source"),
            f" is a Dask {kind}; give a Dask DataFrame with columns of texts and topics, such as "
            "the result of Bag.to_dataframe().",
        )
    if any(value is not None for value in (options.format, options.encoding, options.separator)):
        raise OptionError(
            _list_parameters("format", "encoding", "separator"),
            " apply to files only; leave them out.",
        )
    partitions = enumerate(collection.to_delayed())
    return (DaskPartition(n, options, rows_per_block, delayed) for n, delayed in partitions)


def _check_length(row: rows.SourceRow | rows.BadRow) -> rows.SourceRow | rows.BadRow:
    if isinstance(row, rows.SourceRow):
        n_characters = sum(len(value) for value in row.values.values() if isinstance(value, str))
        if n_characters > rows.MAX_RECORD:
            return rows.too_long_row(row.at)
    return row
