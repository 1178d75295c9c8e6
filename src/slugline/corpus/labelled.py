"""Labelled texts a few at a time, and what all files must have in common: for much data.

Whoever reads some rows of a file finds `Facts` about it; `Agreement` holds all facts against one
another, in the order of the source. Readers need not know of each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slugline.corpus.collecting import (
    IS_NUMBER,
    MAX_SKIPPED,
    MISSING_ADVICE,
    Document,
    check_row,
)
from slugline.corpus.columns import find_both_columns, listed, peek
from slugline.corpus.readers import BadRow, Rows
from slugline.corpus.rows import Row, advice_on
from slugline.errors import DataError

__all__ = ["Agreement", "Columns", "Facts", "LabelledRows", "columns_of"]

# Bad rows that a message can name; of more, the first ones.
_MOST_NAMED = 1000

#: Those of the text, and that of the topic.
Columns = tuple[tuple[str, ...], str]


class Facts(NamedTuple):
    """What some consecutive rows say of their file.

    Attributes
    ----------
    name, unit : str
        Of the file, and what its rows are counted in; see `Rows`.
    columns : Columns or None
        Where text and topic are, if the file names its columns.
    kinds : dict of bool to (str, int or str)
        A topic that is a number (True) or a word (False), and where it stands.
    n_rows, n_bad : int
        How many rows there were, and how many of them can't be used.
    bad : tuple of BadRow
        The first of these.
    n_lines : int
        How many lines a part of a file had that counts them from its own beginning; 0 for others.
    is_last : bool
        Whether the file ends here.
    """

    name: str
    unit: str
    columns: Columns | None
    kinds: dict[bool, tuple[str, int | str]]
    n_rows: int
    n_bad: int
    bad: tuple[BadRow, ...]
    n_lines: int = 0
    is_last: bool = True


def columns_of(
    rows: Rows, text: str | Sequence[str] | None = None, topic: str | None = None
) -> Columns:
    """Return the columns of a file of which nothing has been read; it can't be read on.

    Raises
    ------
    DataError : if it has no documents, or columns can't be told.
    """
    return _head_of(rows, text, topic)[1]


def _head_of(
    rows: Rows, text: str | Sequence[str] | None, topic: str | None
) -> tuple[list[Row | BadRow], Columns]:
    head = peek(rows)
    if not head:
        raise DataError(f"{rows.name} holds no documents, at most a header; check the file.")
    return head, find_both_columns(rows.name, head, text, topic)


class LabelledRows:
    """The text and the topic of each row of a file, or of a part of one, once.

    Iterating ends at the first row that can't be used, unless such rows are skipped.

    Parameters
    ----------
    rows : Rows
    text, topic, skip_bad_rows
        As for `load_corpus`.
    columns : Columns, optional
        Those of the file, if this is a part of one; it may then be empty.
    is_last : bool, default True
        Whether the file ends where these rows end.

    Raises
    ------
    DataError : while iterating, if there are no documents, or columns can't be told.
    """

    def __init__(
        self,
        rows: Rows,
        text: str | Sequence[str] | None = None,
        topic: str | None = None,
        *,
        skip_bad_rows: bool = False,
        columns: Columns | None = None,
        is_last: bool = True,
    ) -> None:
        self._rows, self._text, self._topic = rows, text, topic
        self._skip, self._columns, self._is_last = skip_bad_rows, columns, is_last
        self._ended = self.is_stopped = False
        self._forget()

    def _forget(self) -> None:
        self._kinds: dict[bool, tuple[str, int | str]] = {}
        self._bad: list[BadRow] = []
        self._n_rows = self._n_bad = 0

    def __iter__(self) -> Iterator[tuple[str, str]]:
        rows = self._rows
        head: list[Row | BadRow] = []
        if self._columns is None:
            head, self._columns = _head_of(rows, self._text, self._topic)
        missing = BadRow("", "no text or no topic", MISSING_ADVICE.get(rows.format, "mend them"))
        for row in itertools.chain(head, rows):
            self._n_rows += 1
            document = check_row(row, *self._columns, missing)
            if isinstance(document, Document):
                is_number = bool(IS_NUMBER.fullmatch(document.topic))
                if is_number not in self._kinds:
                    self._kinds[is_number] = document.topic, document.at
                yield document.text, document.topic
                continue
            self._n_bad += 1
            # Its cells are not named, and may be large.
            self._bad.append(document._replace(values={}))
            del self._bad[_MOST_NAMED:]
            if not self._skip:
                self.is_stopped = True
                return
        self._ended = True

    def facts(self) -> Facts:
        """Return what the rows since the last call say."""
        rows = self._rows
        found = Facts(
            rows.name,
            rows.unit,
            self._columns if rows.has_names else None,
            self._kinds,
            self._n_rows,
            self._n_bad,
            tuple(self._bad),
            rows.n_lines() if self._ended else 0,
            self._ended and self._is_last,
        )
        self._forget()
        return found


class Agreement:
    """Holds what is found about files against what was found before, in order.

    What `load_corpus` finds out about a whole file is found out as it is read: without
    `skip_bad_rows`, the first bad row is an error; with it, too many are one at the end of the
    file.

    Parameters
    ----------
    skip_bad_rows : bool

    Attributes
    ----------
    n_skipped : int
        How many rows were left out so far.
    """

    def __init__(self, skip_bad_rows: bool = False) -> None:
        self.n_skipped = 0
        self._skip = skip_bad_rows
        self._columns: tuple[str, Columns] | None = None
        self._kinds: dict[bool, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._n_rows = self._n_bad = self._n_lines = 0
        self._bad: list[BadRow] = []

    def add(self, facts: Facts) -> None:
        """Take what the next rows say.

        Raises
        ------
        DataError : if they have other columns than those before, topics of another kind, or are
            bad and not to be skipped, or if too many of the file are.
        """
        self._check_same(facts)
        for is_number, (topic, at) in facts.kinds.items():
            self._check_kind(is_number, f"{topic!r} in {facts.name}, {facts.unit} {self._at(at)}")
        self._n_rows += facts.n_rows
        self._n_bad += facts.n_bad
        self._bad += [row._replace(at=self._at(row.at)) for row in facts.bad]
        del self._bad[_MOST_NAMED:]
        if self._bad and not self._skip:
            self._refuse(facts, f"{facts.unit} {self._bad[0].at}")
        self._n_lines += facts.n_lines
        if facts.is_last:
            if self._n_bad > MAX_SKIPPED * self._n_rows:
                self._refuse(facts, f"{self._n_bad} of {self._n_rows} {facts.unit}s")
            self.n_skipped += self._n_bad
            self._begin()

    def _at(self, at: int | str) -> int | str:
        """Return where in its file something is, of which a part has told where in it."""
        return at + self._n_lines if isinstance(at, int) else at

    def _refuse(self, facts: Facts, where: str) -> None:
        bad = self._bad
        if self._skip:
            way = f". `skip_bad_rows` leaves out at most {MAX_SKIPPED:.0%} of the rows"
        else:
            way = ", or go on without such rows with `skip_bad_rows`"
        first = f" at {facts.unit} {bad[0].at}" if self._skip else ""
        raise DataError(
            f"{facts.name}: {where} can't be used: {bad[0].problem}{first}; {advice_on(bad)}{way}."
        )

    @property
    def columns(self) -> Columns | None:
        """Where texts and topics are, if that is known."""
        return None if self._columns is None else self._columns[1]

    def _check_same(self, facts: Facts) -> None:
        if facts.columns is None:
            return
        if self._columns is None:
            self._columns = facts.name, facts.columns
        first, known = self._columns
        if facts.columns != known:
            raise DataError(
                f"{facts.name} has its texts and topics in "
                f"{listed([*facts.columns[0], facts.columns[1]])}, but "
                f"{first} in {listed([*known[0], known[1]])}; give files of the same columns, or "
                "name them with `text` and `topic`."
            )

    def _check_kind(self, is_number: bool, where: str) -> None:
        if is_number in self._kinds:
            return
        self._kinds[is_number] = where
        if len(self._kinds) > 1:
            raise DataError(
                f"topics are words and numbers, such as {self._kinds[False]} and "
                f"{self._kinds[True]}; make them all words or all numbers."
            )
