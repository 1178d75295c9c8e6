"""A source of documents, whatever it is, cut into parts, and what is known of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slugline.checks import check_whole
from slugline.corpus.columns import columns_note
from slugline.corpus.labelled import Agreement, Facts, columns_of
from slugline.corpus.parquet import parquet_stretches
from slugline.corpus.readers import format_of, read_rows
from slugline.corpus.rows import os_errors_named
from slugline.documents import chain_digests, check_documents, digest_of
from slugline.errors import DataError, OptionError
from slugline.labels import Topic
from slugline.scale.file_names import files_of
from slugline.scale.parts import (
    ROWS_PER_BLOCK,
    Files,
    InHand,
    LineRange,
    Part,
    Reading,
    RowStretch,
    batches_of_pairs,
)
from slugline.training.row_block import MOST_ROWS

__all__ = ["Documents", "files_of"]

# Bytes of small files that are read together, and of a file that is cut if it can be.
MOST_TOGETHER = 1 << 25
# Bytes of a file that can't be cut, but is read as one part.
MOST_WHOLE = 1 << 26
# What packed files take, for each of their bytes.
_UNPACKED = 4
# The bytes from which the mean length of lines is told, and bounds of those of a part.
_SAMPLE, FEWEST_BYTES, _MOST_BYTES = 1 << 20, 1 << 18, 1 << 26


class Documents:
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
    DataError : if there is no such file, or nothing in it; later, as `Agreement` and
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
        check_whole("rows_per_block", rows_per_block, 1, MOST_ROWS)
        reading = Reading(text, topic, format, encoding, skip_bad_rows, rows_per_block)
        self._agreement = Agreement(skip_bad_rows)
        self._is_guessed = None in (text, topic)
        self._digests: list[str] = []
        self.n_documents = 0
        if _is_file(source) or _are_files(source):
            files = files_of([source] if _is_file(source) else source)
            self._parts: Iterator[Part] = _parts_of_files(files, reading)
        elif hasattr(source, "__dask_graph__"):
            from slugline.scale.collections import partitions

            self._parts = partitions(source, reading)
        elif isinstance(source, Iterable) and not hasattr(source, "columns"):
            if reading != Reading(rows_per_block=rows_per_block):
                raise OptionError(
                    "`text`, `topic`, `format`, `encoding` and `skip_bad_rows` are about files, "
                    "and `source` holds texts and topics; leave them out."
                )
            self._parts = map(InHand, batches_of_pairs(_checked(source), rows_per_block))
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

        See `slugline.documents.digest_of` and `chain_digests`.
        """
        if not self._digests:
            return digest_of([], [])
        digest, *others = self._digests
        for other in others:
            digest = chain_digests(digest, other)
        return digest

    def parts(self) -> Iterator[Part]:
        """Yield the parts, which depend on the source alone."""
        return self._parts

    def add(self, facts: Iterable[Facts], n_documents: int, digest: str) -> None:
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


def _parts_of_files(files: Sequence[str], reading: Reading) -> Iterator[Part]:
    """Yield small files together, parts of those that can be cut, and the others one by one."""
    together: list[str] = []
    n_together = 0
    for file in files:
        size = _size(file, reading)
        if together and (size is None or n_together + size > MOST_TOGETHER):
            yield Files(tuple(together), reading)
            together, n_together = [], 0
        if size is not None and size <= MOST_TOGETHER:
            together.append(file)
            n_together += size
        elif parts := [] if size is None else _cut(file, size, reading):
            yield from parts
        else:
            yield Files((file,), reading, is_read_here=size is None or size > MOST_WHOLE)
    if together:
        yield Files(tuple(together), reading)


def _size(file: str, reading: Reading) -> int | None:
    """Return about how many bytes a file takes; None if that can't be told before."""
    path = Path(file)
    if file == "-":
        return None
    form = format_of(file, reading.format)
    if not path.is_file():  # a folder or a pipe
        return None
    with os_errors_named(file):
        size = path.stat().st_size
    is_packed = path.suffix.lower() == ".gz" or form in ("parquet", "xlsx")
    return size * _UNPACKED if is_packed else size


def _cut(file: str, size: int, reading: Reading) -> list[Part]:
    """Return the parts of a file; none if it can't be cut."""
    form = format_of(file, reading.format)
    if form == "parquet":
        kind: Any = RowStretch
        stretches = parquet_stretches(Path(file), reading.rows_per_block)
    elif form == "jsonl" and reading.encoding is None and not file.lower().endswith(".gz"):
        kind, n_bytes = LineRange, _bytes_of_rows(file, reading.rows_per_block)
        stretches = [(at, min(at + n_bytes, size)) for at in range(0, size, n_bytes)]
    else:
        return []
    columns = columns_of(read_rows(file, format=form), reading.text, reading.topic)
    return [
        kind(file, first, end, (first, end) == stretches[-1], columns, reading)
        for first, end in stretches
    ]


def _bytes_of_rows(file: str, n_rows: int) -> int:
    """Return about how many bytes so many lines have, as far as the first ones tell."""
    with os_errors_named(file), Path(file).open("rb") as opened:
        sample = opened.read(_SAMPLE)
    n_bytes = n_rows * len(sample) // (sample.count(b"\n") + 1)
    return min(_MOST_BYTES, max(FEWEST_BYTES, n_bytes))


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
