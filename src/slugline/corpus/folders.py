"""Rows from folders with a sub-folder of text files per topic."""

from __future__ import annotations

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


def folder_rows(folder: Path, fallback_encoding: str | None = None) -> Items:
    """Return the *.txt files of each sub-folder in order of names; the sub-folder is the topic.

    Parameters
    ----------
    folder : Path
    fallback_encoding : str, optional
        For files that are not UTF-8; by default each such file is a bad row.

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
        for topic in topics:
            for file in _text_files(topic):
                yield _file_row(file, topic.name, fallback_encoding)


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


def _file_row(file: Path, topic: str, fallback_encoding: str | None) -> Row | BadRow:
    at, note = f"{topic}/{file.name}", ""
    if file.stat().st_size > MAX_RECORD:
        return too_long(at)
    data = file.read_bytes()
    try:
        text = data.decode().lstrip("\ufeff")
    except UnicodeDecodeError as error:
        if fallback_encoding is None:
            return not_utf8(at, error, 0)
        text = data.decode(fallback_encoding)
        note = f"not UTF-8; read as {fallback_encoding}"
    return checked_row(at, {"text": text, "topic": topic}, note, len(data))
