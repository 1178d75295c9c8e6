"""Repaired documents with all columns of the files that they were read from."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from slugline.corpus.columns import find_both_columns, peek
from slugline.corpus.corpus import Corpus
from slugline.corpus.loading import NAMED_CORPORA
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import Row
from slugline.errors import DataError

__all__ = ["as_csv", "as_json_lines", "whole_rows"]

Values = dict[str, Any]


def whole_rows(
    sources: Sequence[str],
    corpus: Corpus,
    topics: Sequence[str | None],
    text: str | None = None,
    topic: str | None = None,
    *,
    format: str | None = None,  # noqa: A002 (as in load_corpus)
    encoding: str | None = None,
) -> list[Values] | None:
    """Return the rows of documents as they stand in their files, under other topics.

    Parameters
    ----------
    sources : sequence of str
        What the corpus was read from.
    corpus : Corpus
    topics : sequence of str or None
        The topic of each document; None for those to leave out.
    text, topic, format, encoding : see `slugline.corpus.loading.load_corpus`

    Returns
    -------
    list of dict, or None if a source is no file or folder and can't be read a second time.

    Raises
    ------
    DataError : if a file can't be read, or was changed since the corpus was read.
    """
    if any(each in NAMED_CORPORA or not _is_lasting(Path(each)) for each in sources):
        return None
    kept: list[Values] = []
    row_number, places = 0, corpus.numbered_places()
    for source in sources:
        rows = read_rows(source, format=format, encoding=encoding)
        head = peek(rows)
        column = find_both_columns(rows.name, head, text, topic)[1]
        for row in itertools.chain(head, rows):
            place = row.at if len(sources) == 1 else f"{rows.name}, {rows.unit} {row.at}"
            if row_number == len(places) or place != places[row_number]:
                continue  # it was skipped
            new = topics[row_number]
            row_number += 1
            if new is not None and isinstance(row, Row):
                kept.append(_relabelled(row.values, column, new))
    if row_number < len(places):
        raise DataError(f"{corpus.name} was changed while it was read; try again.")
    return kept


def _is_lasting(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _relabelled(values: Mapping[str, Any], column: str, topic: str) -> Values:
    same = str(values.get(column)).strip() == topic
    return dict(values) if same else {**values, column: topic}


def as_csv(rows: Sequence[Values]) -> bytes:
    """Return rows as CSV with every column that one of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return table.getvalue().encode("utf-8", "backslashreplace")


def as_json_lines(rows: Iterable[Values]) -> bytes:
    """Return rows as JSON Lines; lists and objects as they were, on one line."""
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return b"".join(
        encode({name: _compact(value) for name, value in row.items()}) + b"\n" for row in rows
    )


def _compact(value: Any) -> Any:
    is_raw = isinstance(value, msgspec.Raw)
    return msgspec.Raw(msgspec.json.format(value, indent=-1)) if is_raw else value


def _cell(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return str(value).lower() if isinstance(value, bool) else value
