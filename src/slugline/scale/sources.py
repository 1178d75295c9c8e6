"""A source of documents, whatever it is, in blocks of a fixed number of them."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slugline.checks import check_whole
from slugline.corpus.labelled import LabelledReader
from slugline.corpus.readers import read_rows
from slugline.documents import check_documents, digest_parts
from slugline.errors import DataError, OptionError
from slugline.labels import Topic

__all__ = ["ROWS_PER_BLOCK", "Documents", "files_of"]

#: Enough that weights of all columns are added up seldom; the most that a block of rows takes.
ROWS_PER_BLOCK = 1 << 16
# Characters of a block's texts, at which it ends sooner.
_MOST_CHARACTERS = 1 << 26
_GLOB = frozenset("*?[")

Batch = tuple[list[str], list[Topic]]


class Documents:
    """The documents of a source, once, in blocks.

    Parameters
    ----------
    source : path, glob, or a sequence of these; or an iterable of (texts, topics)
    text, topic, format, encoding, skip_bad_rows
        As for `load_corpus`, if the source is files.
    rows_per_block : int, default ROWS_PER_BLOCK

    Attributes
    ----------
    n_documents : int
        How many there were so far.
    n_skipped : int
        How many rows of files were left out so far.

    Raises
    ------
    DataError : if there is no such file, or nothing in it; later, as `LabelledReader` and
        `check_documents` do.
    OptionError : if the source is something else, or columns are named and it is no file.
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
        check_whole("rows_per_block", rows_per_block, 1)
        self._rows_per_block = rows_per_block
        self._reader = LabelledReader(text, topic, skip_bad_rows)
        self._digest = hashlib.sha256()
        self.n_documents = 0
        if _is_file(source) or _are_files(source):
            files = files_of([source] if _is_file(source) else source)
            self._pairs = self._of_files(files, format, encoding)
        elif isinstance(source, Iterable):
            if (text, topic, format, encoding, skip_bad_rows) != (None, None, None, None, False):
                raise OptionError(
                    "`text`, `topic`, `format`, `encoding` and `skip_bad_rows` are about files, "
                    "and `source` holds texts and topics; leave them out."
                )
            self._pairs = _of_batches(source)
        else:
            raise OptionError(
                f"`source` is a {type(source).__name__}; give a path, a pattern such as "
                "'tickets/*.parquet', a list of these, or batches of texts and topics."
            )

    @property
    def n_skipped(self) -> int:
        """How many rows of files were left out so far."""
        return self._reader.n_skipped

    @property
    def digest(self) -> str:
        """The SHA-256 of all documents so far; see `slugline.documents.digest_of`."""
        return self._digest.hexdigest()

    def blocks(self) -> Iterator[Batch]:
        """Yield texts and topics; blocks depend on the source alone."""
        texts: list[str] = []
        topics: list[Topic] = []
        n_characters = 0
        for text, topic in self._pairs:
            texts.append(text)
            topics.append(topic)
            n_characters += len(text)
            if len(texts) == self._rows_per_block or n_characters >= _MOST_CHARACTERS:
                yield self._counted(texts, topics)
                texts, topics, n_characters = [], [], 0
        if texts:
            yield self._counted(texts, topics)

    def _counted(self, texts: list[str], topics: list[Topic]) -> Batch:
        for part in digest_parts(texts, topics):
            self._digest.update(part)
        self.n_documents += len(texts)
        return texts, topics

    def _of_files(
        self, files: Sequence[str], form: str | None, encoding: str | None
    ) -> Iterator[tuple[str, Topic]]:
        for file in files:
            yield from self._reader.read(read_rows(file, format=form, encoding=encoding))


def files_of(names: Iterable[str | Path]) -> list[str]:
    """Return the files that are named, those of a pattern in order of their names.

    Raises
    ------
    DataError : if a pattern fits none.
    """
    found: list[str] = []
    for name in map(str, names):
        if not _GLOB & set(name) or Path(name).exists():
            found.append(name)
            continue
        # Path.glob takes no absolute pattern.
        fitting = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
        if not fitting:
            raise DataError(f"no file is named like {name}; check the pattern and the folder.")
        found += fitting
    if not found:
        raise DataError("no file is named; give at least one.")
    return found


def _is_file(source: Any) -> bool:
    return isinstance(source, str | Path)


def _are_files(source: Any) -> bool:
    return isinstance(source, list | tuple) and all(map(_is_file, source))


def _of_batches(source: Iterable[Any]) -> Iterator[tuple[str, Topic]]:
    """Yield documents one by one, of batches that are checked."""
    for number, batch in enumerate(source):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError(
                f"batch {number} of `source`, counted from 0, is a {type(batch).__name__}, not a "
                "pair of texts and their topics; give such as (texts, topics)."
            )
        names = (f"texts of batch {number}", f"topics of batch {number}")
        texts, topics = check_documents(batch[0], batch[1], names, may_be_none=True)
        yield from zip(texts, topics, strict=True)
