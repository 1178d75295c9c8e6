"""Parts of a source: what whoever holds a part needs to know to read its documents.

How a source is cut depends on the source alone, so that parts, and the blocks that come of them,
are the same wherever they are read.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from slugline.corpus.labelled import Columns, Facts, LabelledRows
from slugline.corpus.readers import read_lines, read_rows, read_stretch
from slugline.errors import DataError
from slugline.labels import Topic

__all__ = [
    "MOST_CHARACTERS",
    "ROWS_PER_BLOCK",
    "Batch",
    "Files",
    "InHand",
    "LineRange",
    "Packed",
    "Part",
    "Reading",
    "RowStretch",
    "batches_of",
    "batches_of_pairs",
    "sendable",
]

#: Enough that weights of all columns are added up seldom; the most that a block of rows takes.
ROWS_PER_BLOCK = 1 << 16
#: Characters of a block's texts, at which it ends sooner.
MOST_CHARACTERS = 1 << 26


class Batch(NamedTuple):
    """The documents of a block, which may be none, and what they say of their files."""

    texts: list[str]
    topics: list[Topic]
    facts: tuple[Facts, ...] = ()


class Part(Protocol):
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
class Reading:
    """How files are read; see `load_corpus`."""

    text: str | Sequence[str] | None = None
    topic: str | None = None
    format: str | None = None
    encoding: str | None = None
    skip_bad_rows: bool = False
    rows_per_block: int = ROWS_PER_BLOCK


@dataclass(frozen=True)
class Files:
    """Whole files, one after another."""

    paths: tuple[str, ...]
    reading: Reading
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
        return batches_of(rows, how.rows_per_block)


@dataclass(frozen=True)
class _PartOfFile:
    """A part of one file, whose columns are known.

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
    columns: Columns
    reading: Reading
    is_read_here: bool = field(default=False, init=False)

    @property
    def paths(self) -> Sequence[str]:
        """The file."""
        return (self.path,)

    def _batches(self, rows: Any) -> Iterator[Batch]:
        labelled = LabelledRows(
            rows,
            skip_bad_rows=self.reading.skip_bad_rows,
            columns=self.columns,
            is_last=self.is_last,
        )
        return batches_of([labelled], self.reading.rows_per_block)


class LineRange(_PartOfFile):
    """The rows of a JSONL file that begin in a range of its bytes."""

    def batches(self) -> Iterator[Batch]:
        """Read the documents, a block at a time."""
        return self._batches(read_lines(self.path, self.first, self.end))


class RowStretch(_PartOfFile):
    """A stretch of the rows of a Parquet file."""

    def batches(self) -> Iterator[Batch]:
        """Read the documents, a block at a time."""
        return self._batches(read_stretch(self.path, self.first, self.end))


@dataclass(frozen=True)
class InHand:
    """Documents that have been read."""

    batch: Batch
    is_read_here: bool = True
    paths: tuple[str, ...] = ()

    def batches(self) -> Iterator[Batch]:
        """Return the documents."""
        yield self.batch


@dataclass(frozen=True)
class Packed:
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
    def of(cls, batch: Batch) -> Packed:
        """Pack documents."""
        return cls(zlib.compress(pickle.dumps(batch), 1))

    def batches(self) -> Iterator[Batch]:
        """Return the documents."""
        yield pickle.loads(zlib.decompress(self.data))  # noqa: S301


def batches_of(files: Iterable[LabelledRows], rows_per_block: int) -> Iterator[Batch]:
    """Read files, or parts of them, a block at a time; end at one that can't be read on."""
    texts: list[str] = []
    topics: list[Topic] = []
    facts: list[Facts] = []
    n_characters = 0
    for rows in files:
        for text, topic in rows:
            texts.append(text)
            topics.append(topic)
            n_characters += len(text)
            if len(texts) == rows_per_block or n_characters >= MOST_CHARACTERS:
                yield Batch(texts, topics, (*facts, rows.facts()))
                texts, topics, facts, n_characters = [], [], [], 0
        facts.append(rows.facts())
        if rows.is_stopped:
            break
    yield Batch(texts, topics, tuple(facts))


def batches_of_pairs(
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
            if len(text) > MOST_CHARACTERS:
                raise DataError(
                    f"text {row} of batch {number}, both counted from 0, has {len(text):,} "
                    f"characters, and the most is {MOST_CHARACTERS:,}; split it, or leave it out."
                )
            texts.append(text)
            topics.append(topic)
            n_characters += len(text)
            if len(texts) == rows_per_block or n_characters >= MOST_CHARACTERS:
                yield Batch(texts, topics)
                texts, topics, n_characters = [], [], 0
    if texts:
        yield Batch(texts, topics)


def sendable(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield parts that can be read anywhere: what only this process can read is read and packed."""
    for part in parts:
        if part.is_read_here:
            yield from map(Packed.of, part.batches())
        else:
            yield part
