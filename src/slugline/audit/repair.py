"""Decisions of a reviewer, and the documents as they are after them."""

from __future__ import annotations

import codecs
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from slugline.audit.tables import DECISIONS, text_digest
from slugline.corpus.columns import listed
from slugline.corpus.corpus import Corpus
from slugline.corpus.readers import Rows, read_rows
from slugline.corpus.rows import BadRow, Row, advice_on, os_errors_named
from slugline.documents import check_names
from slugline.errors import DataError

__all__ = ["Decision", "Repair", "read_decisions", "repaired"]

_NEEDED = ("decision", "new_topic", "at", "digest")
_PARTS = ("train", "test")
# Bytes of a file to look at, at a time.
_PIECE = 1 << 20


class Decision(NamedTuple):
    """What to do with one document.

    Attributes
    ----------
    place : str
        Where the decision stands in its file, such as "line 2".
    what : str
        "keep", "relabel" or "drop".
    new_topic : str
        The topic to give it, for "relabel".
    part : str
        "train" or "test".
    at : str
        Where the document stands in its source.
    digest : str
        See `slugline.audit.tables.text_digest`.
    """

    place: str
    what: str
    new_topic: str
    part: str
    at: str
    digest: str


@dataclass(frozen=True)
class Repair:
    """Documents after decisions.

    Attributes
    ----------
    corpus : Corpus
    topics : list of str or None
        The topic of each document that there was; None for those that were dropped.
    new_topics : list of str
        Topics that no document had before.
    n_relabelled, n_dropped, n_kept : int
        How many documents each decision was about.
    """

    corpus: Corpus
    topics: list[str | None]
    new_topics: list[str]
    n_relabelled: int
    n_dropped: int
    n_kept: int


def read_decisions(path: str | Path, encoding: str | None = None) -> list[Decision]:
    """Read a reviewed table, of which rows without a decision are left out.

    Parameters
    ----------
    path : str or Path
        CSV with commas, semicolons or tabs, or an Excel file.
    encoding : str, optional
        Any text encoding of Python. It plays no part if the table is UTF-8, as it was written.

    Raises
    ------
    DataError : if it can't be read, lacks a column, or has a decision that is none of the three;
        the message names the line.
    OptionError : if there is no such encoding.
    """
    kind = "xlsx" if Path(path).suffix.lower() == ".xlsx" else "csv"
    rows = read_rows(path, format=kind, encoding=_encoding_of(Path(path), encoding))
    read = (_decision(rows, row) for row in _good(rows))
    return [decision for decision in read if decision is not None]


def _encoding_of(path: Path, named: str | None) -> str | None:
    """Return the named encoding, or None if the file holds UTF-8 that is more than ASCII."""
    if named is None or not path.is_file():
        return named
    decoder, is_ascii = codecs.getincrementaldecoder("utf-8")(), True
    with os_errors_named(str(path)), path.open("rb") as file:
        try:
            for piece in iter(partial(file.read, _PIECE), b""):
                decoder.decode(piece)
                is_ascii = is_ascii and piece.isascii()
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return named
    return named if is_ascii else None


def _good(rows: Rows) -> list[Row]:
    """Return the rows of a table, if it has the columns of one to review, and no bad row."""
    items = list(rows)
    good = [item for item in items if isinstance(item, Row)]
    bad = [item for item in items if isinstance(item, BadRow)]
    missing = [column for column in _NEEDED if good and column not in good[0].values]
    if missing:
        raise DataError(
            f"{rows.name} has no column {missing[0]!r}, but {listed([*good[0].values])}; it must "
            "have the columns of the table that the audit wrote to review."
        )
    if bad:
        # The more samples of its bytes there are, the better an encoding can be guessed.
        advice = advice_on([row for row in bad if row.problem == bad[0].problem])
        raise DataError(f"{rows.name}, {rows.unit} {bad[0].at}: {bad[0].problem}; {advice}.")
    if not good:
        raise DataError(f"{rows.name} holds no rows; give the table that was reviewed.")
    return good


def _decision(rows: Rows, row: Row) -> Decision | None:
    values, place = row.values, f"{rows.unit} {row.at}"
    where = f"{rows.name}, {place}"
    what = _cell(values, "decision").casefold()
    if not what:
        return None
    if what not in DECISIONS:
        raise DataError(
            f"{where}: the decision is {what[:40]!r}; write keep, relabel or drop, or leave it "
            "empty."
        )
    new_topic = _cell(values, "new_topic")
    if what == "relabel":
        if not new_topic:
            raise DataError(
                f"{where}: relabel needs a topic in the column new_topic, which is empty; write "
                "one, or decide otherwise."
            )
        check_names([new_topic])
    part = _cell(values, "part") or _PARTS[0]
    if part not in _PARTS:
        raise DataError(
            f"{where}: the part is {part[:40]!r}; it must be train or test, as in the table that "
            "the audit wrote."
        )
    return Decision(place, what, new_topic, part, _cell(values, "at"), _cell(values, "digest"))


def _cell(values: Mapping[str, Any], column: str) -> str:
    """Return what stands in a cell; Excel keeps 3 as 3.0."""
    value = values.get(column)
    if value is None or value != value:
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def repaired(
    corpus: Corpus, decisions: Sequence[Decision], name: str, part: str = "train"
) -> Repair:
    """Return the documents with decisions carried out.

    Parameters
    ----------
    corpus : Corpus
    decisions : sequence of Decision
        Those of other parts are left out.
    name : str
        The file that they were read from, for messages.
    part : str, default "train"
        Which part the corpus is.

    Raises
    ------
    DataError : if a decision is about a document that isn't there, or was changed since, or if
        there are two about one; the message names the line. Or if no document would be left.
    """
    rows = _rows(corpus)
    topics = list(corpus.topics)
    kept = [True] * len(corpus)
    seen: dict[int, str] = {}
    chosen = [decision for decision in decisions if decision.part == part]
    for decision in chosen:
        row = _row(corpus, rows, decision, name)
        if row in seen:
            raise DataError(
                f"{name}, {decision.place}: {corpus.unit} {decision.at} has a decision in "
                f"{seen[row]} already; leave one of them."
            )
        seen[row] = decision.place
        if decision.what == "relabel":
            topics[row] = decision.new_topic
        kept[row] = decision.what != "drop"
    if not any(kept):
        raise DataError(f"{name} drops every document of {corpus.name}; keep some.")
    counts = Counter(decision.what for decision in chosen)
    left = replace(
        corpus,
        texts=list(itertools.compress(corpus.texts, kept)),
        topics=list(itertools.compress(topics, kept)),
        places=list(itertools.compress(corpus.numbered_places(), kept)),
    )
    after = [topic if keep else None for topic, keep in zip(topics, kept, strict=True)]
    new = sorted(set(left.topics) - set(corpus.topics))
    return Repair(left, after, new, counts["relabel"], counts["drop"], counts["keep"])


def _rows(corpus: Corpus) -> dict[str, list[int]]:
    """Return the documents at each place; several files may have a line 2."""
    rows: dict[str, list[int]] = {}
    for row, place in enumerate(corpus.numbered_places()):
        rows.setdefault(str(place), []).append(row)
    return rows


def _row(corpus: Corpus, rows: Mapping[str, list[int]], decision: Decision, name: str) -> int:
    where = f"{name}, {decision.place}"
    if decision.at not in rows:
        raise DataError(
            f"{where}: there is no {corpus.unit} {decision.at[:40]} in {corpus.name}; give the "
            "documents that were reviewed, or leave the line out."
        )
    for row in rows[decision.at]:
        if text_digest(corpus.texts[row], corpus.topics[row]) == decision.digest:
            return row
    raise DataError(
        f"{where}: {corpus.unit} {decision.at} of {corpus.name} was changed since it was reviewed, "
        "or is read in another way; give the options of the audit, such as `text`, `topic`, "
        "`fold_topics` and `topic_map`, audit the documents again, or leave the line out."
    )
