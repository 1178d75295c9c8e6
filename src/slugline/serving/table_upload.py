"""Uploaded tables and the answers to their rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import _TemporaryFileWrapper
from typing import BinaryIO

from slugline.corpus.columns import column_names, find_columns, peek
from slugline.corpus.dialects import TableDialect
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError, SluglineError
from slugline.model.decider import Decider
from slugline.prediction.files import AnswerFile, answer_dialect, make_answer_file
from slugline.prediction.rows import BatchLimits, Prediction, PredictOptions, predict_rows

# Rows and bytes per batch. Batches are small because tables take turns between them, and each table
# keeps one in memory.
_BATCH_LIMITS = BatchLimits(rows=256, n_bytes=1 << 21)
# Number of first rows shown as a preview.
_N_FIRST_ROWS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class TableUpload:
    """A table in a temporary file.

    Attributes
    ----------
    name : str
        The user's file name.
    file : temporary file
    options : ReadOptions
        How to read the file.
    reader : RowReader
        Reader with the properties of the table, such as its format.
    columns : list of str
        Columns in the first rows; empty if the format has no column names.
    text : sequence of str, or None
        Text columns; None if unknown, empty if columns have no names.
    first_rows : sequence of SourceRow or BadRow
    """

    name: str
    file: _TemporaryFileWrapper[bytes]
    options: ReadOptions
    reader: RowReader
    columns: list[str]
    text: Sequence[str] | None
    first_rows: Sequence[SourceRow | BadRow] = ()

    @classmethod
    def open(
        cls, name: str, file: _TemporaryFileWrapper[bytes], options: ReadOptions
    ) -> TableUpload:
        """Open a table and find its columns; close the file on failure.

        Raises
        ------
        DataError : if the table can't be read.
        """
        try:
            with _errors_named(name, file):
                reader = read_rows(file.name, options)
                head = peek(reader)
                columns: list[str] = []
                text: Sequence[str] | None = ()
                if reader.has_names and (head or options.text):
                    found = find_columns(name, head, options.text, layout=reader.layout)[0]
                    columns, text = column_names(head), found or None
        except BaseException:
            file.close()
            raise
        return cls(
            name=name,
            file=file,
            options=replace(options, layout=reader.layout),
            reader=reader,
            columns=columns,
            text=text,
            first_rows=head[:_N_FIRST_ROWS],
        )

    @property
    def is_excel(self) -> bool:
        """True for an Excel file."""
        return self.reader.format == "xlsx"

    def answer(
        self, decider: Decider, max_rows: int
    ) -> Iterator[tuple[list[Prediction | BadRow], float | None]]:
        """Yield the predictions batch by batch, and the fraction of the file read, if known.

        Raises
        ------
        DataError : if reading fails, or the table has more than `max_rows` rows.
        """
        options = PredictOptions(text=self.text or None)
        n_rows = 0
        with _errors_named(self.name, self.file):
            reader = read_rows(self.file.name, self.options)
            for rows in predict_rows({"": decider}, reader, options, limits=_BATCH_LIMITS):
                if n_rows >= max_rows:
                    raise DataError(
                        f"{self.name} has more than {max_rows:,} rows; the rest is not answered "
                        "here. Use `slugline predict`."
                    )
                yield rows, reader.fraction_read()
                n_rows += len(rows)

    def dialect(self, decider: Decider) -> TableDialect:
        """Return the dialect of the CSV file of answers."""
        return answer_dialect(self.reader, [decider], ",")

    def answer_file(self, file: BinaryIO, decider: Decider) -> AnswerFile:
        """Return a writer for a table of answers: Excel if this table is Excel, else CSV."""
        return make_answer_file(
            file, ".xlsx" if self.is_excel else ".csv", self.reader, {"": decider}
        )

    def close(self) -> None:
        """Delete the file."""
        self.file.close()


@contextlib.contextmanager
def _errors_named(name: str, file: _TemporaryFileWrapper[bytes]) -> Iterator[None]:
    """Replace the path on this server by the user's file name in error messages."""
    try:
        yield
    except SluglineError as error:
        parts = [
            part.replace(file.name, name) if isinstance(part, str) else part for part in error.parts
        ]
        raise DataError(*parts) from error
