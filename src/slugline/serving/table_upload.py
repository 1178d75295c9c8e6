"""Uploaded tables and the answers to their rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from tempfile import _TemporaryFileWrapper
from typing import BinaryIO

from slugline.corpus.columns import column_names, find_columns, peek
from slugline.corpus.dialects import TableDialect
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError, SluglineError
from slugline.model.decider import Decider
from slugline.prediction.files import AnswerFile, answer_dialect, make_answer_file
from slugline.prediction.rows import BatchLimits, Prediction, PredictOptions, predict_rows
from slugline.serving.limits import Limits
from slugline.serving.metrics import Metrics

# Rows and memory per batch. Other tables take turns between batches, and the batches of all tables
# are in memory.
_BATCH_LIMITS = BatchLimits(rows=256, n_bytes=1 << 21)
# Number of first rows shown as a preview.
_N_FIRST_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class TableRequest:
    """A table to answer, and options for reading it.

    Attributes
    ----------
    name : str
        The user's file name.
    text : tuple of str, default ()
        Text columns. If empty, taken from the model's layout or from common names.
    encoding, separator : str or None, default None
        Detected if None; see `read_rows`.
    """

    name: str
    text: tuple[str, ...] = ()
    encoding: str | None = None
    separator: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class TableUpload:
    """A table in a temporary file.

    Attributes
    ----------
    request : TableRequest
    file : temporary file
    reader : RowReader
        Reader with the properties of the table, such as its format.
    columns : list of str
        Columns in the first rows; empty if the format has no column names.
    text : sequence of str, or None
        Text columns; None if unknown, empty if columns have no names.
    first_rows : sequence of SourceRow or BadRow
    """

    request: TableRequest
    file: _TemporaryFileWrapper[bytes]
    reader: RowReader
    columns: list[str]
    text: Sequence[str] | None
    first_rows: Sequence[SourceRow | BadRow] = ()

    @classmethod
    def open(
        cls, request: TableRequest, file: _TemporaryFileWrapper[bytes], layout: Layout | None
    ) -> TableUpload:
        """Open a table and find its columns; close the file on failure.

        Raises
        ------
        DataError : if the table can't be read.
        """
        try:
            with _errors_named(request, file):
                return cls._open(request, file, layout)
        except BaseException:
            file.close()
            raise

    @classmethod
    def _open(
        cls, request: TableRequest, file: _TemporaryFileWrapper[bytes], layout: Layout | None
    ) -> TableUpload:
        reader = _read(request, file, layout)
        head = peek(reader)
        columns: list[str] = []
        text: Sequence[str] | None = ()
        if reader.has_names and (head or request.text):
            wanted = request.text[0] if len(request.text) == 1 else list(request.text) or None
            found = find_columns(request.name, head, wanted, layout=reader.layout)[0]
            columns, text = column_names(head), found or None
        return cls(
            request=request,
            file=file,
            reader=reader,
            columns=columns,
            text=text,
            first_rows=head[:_N_FIRST_ROWS],
        )

    @property
    def name(self) -> str:
        """The user's file name."""
        return self.request.name

    @property
    def is_excel(self) -> bool:
        """True for an Excel file."""
        return self.reader.format == "xlsx"

    def answer(self, decider: Decider, limits: Limits) -> TableAnswers:
        """Return the answers to the rows, computed during iteration.

        Raises
        ------
        DataError : if the file can't be read.
        """
        return TableAnswers(self, decider, limits)

    def dialect(self, decider: Decider) -> TableDialect:
        """Return the dialect of the CSV file of answers."""
        return answer_dialect(self.reader, decider, ",")

    def answer_file(self, file: BinaryIO, decider: Decider) -> AnswerFile:
        """Return a writer for a table of answers: Excel if this table is Excel, else CSV."""
        return make_answer_file(file, ".xlsx" if self.is_excel else ".csv", self.reader, decider)

    def close(self) -> None:
        """Delete the file."""
        self.file.close()


class TableAnswers:
    """The answers to the rows of a table, in batches."""

    def __init__(self, upload: TableUpload, decider: Decider, limits: Limits) -> None:
        self._upload, self._decider, self._limits = upload, decider, limits
        with _errors_named(upload.request, upload.file):
            self._reader = _read(upload.request, upload.file, upload.reader.layout)

    def __iter__(self) -> Iterator[list[Prediction | BadRow]]:
        """Yield the predictions batch by batch.

        Raises
        ------
        DataError : if reading fails, or the table has too many rows.
        """
        upload = self._upload
        options = PredictOptions(text=upload.text or None)
        n_rows = 0
        with _errors_named(upload.request, upload.file):
            for rows in predict_rows(self._decider, self._reader, options, limits=_BATCH_LIMITS):
                if n_rows >= self._limits.rows:
                    raise DataError(
                        f"{upload.name} has more than {self._limits.rows:,} rows; the rest is not "
                        "answered here. Use `slugline predict`."
                    )
                yield rows
                n_rows += len(rows)

    @property
    def fraction_read(self) -> float | None:
        """Fraction of the file read so far; None if unknown."""
        return self._reader.fraction_read()


def _read(
    request: TableRequest, file: _TemporaryFileWrapper[bytes], layout: Layout | None
) -> RowReader:
    options = ReadOptions(
        text=request.text or None,
        encoding=request.encoding,
        separator=request.separator,
        layout=layout,
    )
    return read_rows(file.name, options)


@contextlib.contextmanager
def _errors_named(request: TableRequest, file: _TemporaryFileWrapper[bytes]) -> Iterator[None]:
    """Replace the path on this server by the user's file name in error messages."""
    try:
        yield
    except SluglineError as error:
        parts = [
            part.replace(file.name, request.name) if isinstance(part, str) else part
            for part in error.parts
        ]
        raise DataError(*parts) from error


class AnswerTally:
    """Collects answers from threads until the event loop reports them to the metrics.

    Steps and reports of a table alternate, so no lock is needed.
    """

    def __init__(self) -> None:
        self._answers: list[Prediction] = []

    def add(self, answers: Iterable[Prediction | BadRow]) -> None:
        """Add the answers of a step, skipping rows that could not be read."""
        self._answers += [answer for answer in answers if not isinstance(answer, BadRow)]

    def report(self, metrics: Metrics) -> None:
        """Report the answers since the last call."""
        answers, self._answers = self._answers, []
        metrics.add("documents", len(answers))
        metrics.add("unsure", sum(answer.decision.reason is not None for answer in answers))
        metrics.observe("confidence", *(answer.decision.probability for answer in answers))
