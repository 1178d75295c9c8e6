"""Decisions of a reviewer, and the documents as they are after them."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from slugline.audit.tables import DECISIONS, text_digest
from slugline.corpus.corpus import Corpus
from slugline.documents import check_names
from slugline.errors import DataError

__all__ = ["Decision", "Repair", "read_decisions", "repaired"]

_NEEDED = ("decision", "new_topic", "at", "digest")
_PARTS = ("train", "test")
# Bytes of a file of decisions, and of one of its cells, that are read.
_MOST_BYTES, _LONGEST_CELL = 1 << 30, 1 << 28


class Decision(NamedTuple):
    """What to do with one document.

    Attributes
    ----------
    line : int
        Where the decision stands in its file.
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

    line: int
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


def read_decisions(path: str | Path) -> list[Decision]:
    """Read a reviewed table, of which rows without a decision are left out.

    Raises
    ------
    DataError : if it can't be read, lacks a column, or has a decision that is none of the three;
        the message names the line.
    """
    name = str(path)
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise DataError(
                f"{name} is larger than {_MOST_BYTES >> 20:,} MB; give the table that was reviewed."
            )
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return _read(name, file.read())
    except OSError as error:
        raise DataError(
            f"{name} can't be read ({error.strerror or error}); give the table that was reviewed."
        ) from error


def _read(name: str, content: str) -> list[Decision]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        first_line = content.split("\n", 1)[0]
        separator = ";" if first_line.count(";") > first_line.count(",") else ","
        reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=separator)
        missing = [column for column in _NEEDED if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{name} has no column {missing[0]!r}; it must have the columns of the table that "
                "the audit wrote to review."
            )
        read = (_decision(name, reader.line_num, row) for row in reader)
        return [decision for decision in read if decision is not None]
    except csv.Error as error:
        raise DataError(f"{name} is no CSV ({error}); save the table as CSV again.") from error
    finally:
        csv.field_size_limit(before)


def _decision(name: str, line: int, row: Mapping[str, str | None]) -> Decision | None:
    what = (row["decision"] or "").strip().casefold()
    if not what:
        return None
    if what not in DECISIONS:
        raise DataError(
            f"{name}, line {line}: the decision is {what[:40]!r}; write keep, relabel or drop, or "
            "leave it empty."
        )
    new_topic = (row["new_topic"] or "").strip()
    if what == "relabel":
        if not new_topic:
            raise DataError(
                f"{name}, line {line}: relabel needs a topic in the column new_topic, which is "
                "empty; write one, or decide otherwise."
            )
        check_names([new_topic])
    part = (row.get("part") or _PARTS[0]).strip()
    if part not in _PARTS:
        raise DataError(
            f"{name}, line {line}: the part is {part[:40]!r}; it must be train or test, as in the "
            "table that the audit wrote."
        )
    at, digest = (row["at"] or "").strip(), (row["digest"] or "").strip()
    return Decision(line, what, new_topic, part, at, digest)


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
    seen: dict[int, int] = {}
    chosen = [decision for decision in decisions if decision.part == part]
    for decision in chosen:
        row = _row(corpus, rows, decision, name)
        if row in seen:
            raise DataError(
                f"{name}, line {decision.line}: {corpus.unit} {decision.at} has a decision in line "
                f"{seen[row]} already; leave one of them."
            )
        seen[row] = decision.line
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
    where = f"{name}, line {decision.line}"
    if decision.at not in rows:
        raise DataError(
            f"{where}: {corpus.name} has no {corpus.unit} {decision.at[:40]}; give the documents "
            "that were reviewed, or leave the line out."
        )
    for row in rows[decision.at]:
        if text_digest(corpus.texts[row], corpus.topics[row]) == decision.digest:
            return row
    raise DataError(
        f"{where}: {corpus.unit} {decision.at} of {corpus.name} was changed since it was reviewed; "
        "audit the documents again, or leave the line out."
    )
