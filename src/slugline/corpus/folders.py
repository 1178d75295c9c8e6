"""Rows from folders with a sub-folder of text files per topic."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from slugline.corpus.rows import (
    MAX_RECORD,
    BadRow,
    Items,
    Row,
    checked_row,
    not_utf8,
    os_errors_named,
    too_long,
)
from slugline.errors import DataError

__all__ = ["folder_rows"]

_OUTSIDE = "a link that leads out of the folder"
_COPY = "copy what it leads to into the folder, or remove it"


def folder_rows(
    folder: Path, encoding: str | None = None, *, fallback_encoding: str | None = None
) -> Items:
    """Return the *.txt files of each sub-folder, sorted by name; the sub-folder is the topic.

    Parameters
    ----------
    folder : Path
    encoding : str, optional
        Of all files; UTF-8 by default.
    fallback_encoding : str, optional
        For files that are not UTF-8; by default each such file is a bad row.

    Only regular files of the folder are read: pipes, devices, and links that lead out of it or
    nowhere are bad rows.

    Raises
    ------
    DataError : if there are no sub-folders, one has no *.txt file or holds folders itself, or
        something can't be read.
    """
    with os_errors_named(str(folder)):
        topics = [path for path in _visible(folder) if path.is_dir()]
        if not topics:
            raise DataError(
                f"{folder} has no sub-folders; make one for each topic, with its texts as *.txt."
            )
        root = os.path.realpath(folder)
        for topic in topics:
            if not _is_within(root, topic):
                yield BadRow(topic.name, _OUTSIDE, _COPY)
                continue
            for file in _text_files(topic):
                at = f"{topic.name}/{file.name}"
                problem = _problem(root, file)
                yield (
                    problem._replace(at=at)
                    if problem
                    else _file_row(at, file, topic.name, encoding, fallback_encoding)
                )


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _text_files(topic: Path) -> list[Path]:
    paths = _visible(topic)
    nested = next((path for path in paths if path.is_dir()), None)
    if nested is not None:
        raise DataError(
            f"{nested} is a folder within the topic {topic.name!r}; move its texts up one level."
        )
    files = [path for path in paths if path.suffix.lower() == ".txt"]
    if not files:
        raise DataError(f"{topic} has no *.txt files; add the topic's texts, or remove it.")
    return files


def _is_within(root: str, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


def _problem(root: str, file: Path) -> BadRow | None:
    """Return why a file must not be opened; None if it may be."""
    if not _is_within(root, file):
        return BadRow("", _OUTSIDE, _COPY)
    try:
        status = file.stat()
    except OSError:
        if not file.is_symlink():
            raise
        return BadRow("", "a link that leads nowhere", "remove it")
    # Opening a pipe waits for a writer, and a device may never end.
    if not stat.S_ISREG(status.st_mode):
        return BadRow("", "a pipe or device, not a regular file", "remove it")
    return too_long("") if status.st_size > MAX_RECORD else None


def _file_row(
    at: str, file: Path, topic: str, encoding: str | None, fallback_encoding: str | None
) -> Row | BadRow:
    note = ""
    with file.open("rb") as opened:
        data = opened.read(MAX_RECORD + 1)
    if len(data) > MAX_RECORD:  # it has grown in the meantime
        return too_long(at)
    try:
        text = data.decode(encoding or "utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        if fallback_encoding is None:
            return not_utf8(at, error, encoding)
        text = data.decode(fallback_encoding)
        note = f"not UTF-8; read as {fallback_encoding}"
    return checked_row(at, {"text": text, "topic": topic}, note, len(data))
