"""Read rows from the files of a folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from slugline.corpus.parquet import parquet_rows
from slugline.corpus.rows import (
    MAX_RECORD,
    BadRow,
    RowIterator,
    SourceRow,
    make_row,
    too_long_row,
    translate_os_errors,
    undecodable_row,
)
from slugline.errors import DataError

_NOT_INSIDE = "not a regular file inside the folder"
_COPY = "copy it into the folder, or remove it"


def folder_rows(
    folder: Path, encoding: str | None = None, *, fallback_encoding: str | None = None
) -> RowIterator:
    """Yield the *.txt files of each sub-folder, sorted by name, with the sub-folder as topic.

    Only regular files in the folder are read: pipes, devices, broken links and links out of the
    folder are bad rows.

    Parameters
    ----------
    folder : Path
    encoding : str, optional
        UTF-8 by default.
    fallback_encoding : str, optional
        Encoding of files that are not UTF-8; by default, such files are bad rows.

    Raises
    ------
    DataError : if there are no sub-folders, a sub-folder contains no *.txt file or another folder,
        or something can't be read.
    """
    with translate_os_errors(str(folder)):
        topics = [path for path in visible_paths(folder) if path.is_dir()]
        if not topics:
            raise DataError(
                f"{folder} has no sub-folders; make one for each topic, with its texts as *.txt."
            )
        root = os.path.realpath(folder)
        for topic in topics:
            if not _is_within(root, topic):
                yield BadRow(topic.name, "a link to a place outside the folder", _COPY)
                continue
            for file in _text_files(topic):
                at, labels = f"{topic.name}/{file.name}", {"topic": topic.name}
                yield _file_row(at, root, file, labels, encoding, fallback_encoding)


def text_file_rows(folder: Path, encoding: str | None = None) -> RowIterator:
    """Yield the *.txt files of a folder, sorted by name, with the name as id."""
    with translate_os_errors(str(folder)):
        root = os.path.realpath(folder)
        for file in files_ending(folder, ".txt"):
            yield _file_row(file.name, root, file, {"id": file.name}, encoding)


def parquet_folder_rows(folder: Path) -> RowIterator:
    """Yield the rows of a folder's Parquet files, sorted by name; links must stay inside it."""
    root = os.path.realpath(folder)
    for file in files_ending(folder, ".parquet"):
        if not (file.is_file() and _is_within(root, file)):
            raise DataError(f"{file} is {_NOT_INSIDE}; {_COPY}.")
        for row in parquet_rows(file):
            at = f"{file.name}, row {row.at}"
            yield row._replace(at=at) if isinstance(row, BadRow) else replace(row, at=at)


def files_ending(folder: Path, ending: str) -> list[Path]:
    """Return the visible files of a folder with a given ending, sorted by name."""
    return [path for path in visible_paths(folder) if path.suffix.lower() == ending]


def visible_paths(folder: Path) -> list[Path]:
    """Return the visible paths in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _text_files(topic: Path) -> list[Path]:
    paths = visible_paths(topic)
    nested = next((path for path in paths if path.is_dir()), None)
    if nested is not None:
        raise DataError(
            f"{nested} is a folder within the topic {topic.name!r}; move its texts up one level."
        )
    files = files_ending(topic, ".txt")
    if not files:
        raise DataError(f"{topic} has no *.txt files; add the topic's texts, or remove it.")
    return files


def _is_within(root: str, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


def _file_row(
    at: str,
    root: str,
    file: Path,
    labels: dict[str, str],
    encoding: str | None,
    fallback_encoding: str | None = None,
) -> SourceRow | BadRow:
    """Read a file below `root` as a row, or a bad row if it can't be read."""
    # Opening a pipe blocks until it has a writer, and a device may be endless.
    if not (file.is_file() and _is_within(root, file)):
        return BadRow(at, _NOT_INSIDE, _COPY)
    note = ""
    with file.open("rb") as stream:
        data = stream.read(MAX_RECORD + 1)
    if len(data) > MAX_RECORD:
        return too_long_row(at)
    try:
        text = data.decode(encoding or "utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        if fallback_encoding is None:
            return undecodable_row(at, error, encoding)
        text = data.decode(fallback_encoding)
        note = f"not UTF-8; read as {fallback_encoding}"
    return make_row(at, {"text": text, **labels}, note, len(data))
