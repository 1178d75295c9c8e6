"""Labelled texts from a file, a few at a time: for files that are larger than memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from slugline.corpus.collecting import (
    IS_NUMBER,
    MAX_SKIPPED,
    MISSING_ADVICE,
    Document,
    check_row,
)
from slugline.corpus.columns import find_both_columns, listed, peek
from slugline.corpus.readers import BadRow, Rows
from slugline.corpus.rows import advice_on
from slugline.errors import DataError

__all__ = ["LabelledReader"]

# Bad rows that a message can name; of more, the first ones.
_MOST_NAMED = 1000


class LabelledReader:
    """Reads one file after another, all with the same columns.

    What `load_corpus` finds out about a whole file is found out as it is read: without
    `skip_bad_rows`, the first bad row is an error; with it, too many are one at the end of the
    file.

    Parameters
    ----------
    text, topic, skip_bad_rows
        As for `load_corpus`.

    Attributes
    ----------
    n_skipped : int
        How many rows were left out so far.
    """

    def __init__(
        self,
        text: str | Sequence[str] | None = None,
        topic: str | None = None,
        skip_bad_rows: bool = False,
    ) -> None:
        self.n_skipped = 0
        self._text, self._topic, self._skip = text, topic, skip_bad_rows
        self._columns: tuple[str, tuple[tuple[str, ...], str]] | None = None
        self._kinds: dict[bool, str] = {}

    def read(self, rows: Rows) -> Iterator[tuple[str, str]]:
        """Yield the text and the topic of each row of a file.

        Raises
        ------
        DataError : if it has no documents, other columns than the files before, bad rows that are
            not to be skipped, or topics of another kind than those before.
        """
        head = peek(rows)
        if not head:
            raise DataError(f"{rows.name} holds no documents, at most a header; check the file.")
        columns = find_both_columns(rows.name, head, self._text, self._topic)
        self._check_same(rows, columns)
        missing = BadRow("", "no text or no topic", MISSING_ADVICE.get(rows.format, "mend them"))
        bad: list[BadRow] = []
        n_rows = n_bad = 0
        for row in itertools.chain(head, rows):
            n_rows += 1
            document = check_row(row, *columns, missing)
            if isinstance(document, Document):
                self._check_kind(rows, document)
                yield document.text, document.topic
                continue
            n_bad += 1
            bad.append(document)
            del bad[_MOST_NAMED:]
            if not self._skip:
                self._refuse(rows, f"{rows.unit} {document.at}", bad)
        if n_bad > MAX_SKIPPED * n_rows:
            self._refuse(rows, f"{n_bad} of {n_rows} {rows.unit}s", bad)
        self.n_skipped += n_bad

    def _refuse(self, rows: Rows, where: str, bad: Sequence[BadRow]) -> None:
        if self._skip:
            way = f". `skip_bad_rows` leaves out at most {MAX_SKIPPED:.0%} of the rows"
        else:
            way = ", or go on without such rows with `skip_bad_rows`"
        first = f" at {rows.unit} {bad[0].at}" if self._skip else ""
        raise DataError(
            f"{rows.name}: {where} can't be used: {bad[0].problem}{first}; {advice_on(bad)}{way}."
        )

    def _check_same(self, rows: Rows, columns: tuple[tuple[str, ...], str]) -> None:
        if not rows.has_names:
            return
        if self._columns is None:
            self._columns = rows.name, columns
        first, known = self._columns
        if columns != known:
            raise DataError(
                f"{rows.name} has its texts and topics in {listed([*columns[0], columns[1]])}, but "
                f"{first} in {listed([*known[0], known[1]])}; give files of the same columns, or "
                "name them with `text` and `topic`."
            )

    def _check_kind(self, rows: Rows, document: Document) -> None:
        is_number = bool(IS_NUMBER.fullmatch(document.topic))
        if is_number in self._kinds:
            return
        self._kinds[is_number] = f"{document.topic!r} in {rows.name}, {rows.unit} {document.at}"
        if len(self._kinds) > 1:
            raise DataError(
                f"topics are words and numbers, such as {self._kinds[False]} and "
                f"{self._kinds[True]}; make them all words or all numbers."
            )
