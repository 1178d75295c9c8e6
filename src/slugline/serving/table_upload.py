"""Tables that are sent to the service, and the answers to their rows."""

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

# Rows of a batch, and bytes of memory that they take: other tables have their turn in between, and
# batches of all tables are in memory.
_BATCH_LIMITS = BatchLimits(rows=256, n_bytes=1 << 21)
# First rows that show how a table is read.
_N_FIRST_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class TableRequest:
    """A table to answer, and how to read it.

    Attributes
    ----------
    name : str
        The user's name for the file.
    text : tuple of str, default ()
        The columns that hold the text; those of the model's layout, or with usual names, if empty.
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
        Properties that the first rows show, such as the format.
    columns : list of str
        The columns of the first rows; empty if the format has no names for columns.
    text : sequence of str, or None
        The columns that hold the text; None if unknown, and none if columns have no names.
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
        """Return a table with the columns of its first rows; close the file if that fails.

        Raises
        ------
        DataError : if it can't be read.
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
        """The user's name for the file."""
        return self.request.name

    @property
    def is_excel(self) -> bool:
        """True for an Excel file."""
        return self.reader.format == "xlsx"

    def answer(self, decider: Decider, limits: Limits) -> TableAnswers:
        """Return the answers to its rows, which are computed as they are iterated over.

        Raises
        ------
        DataError : if the file can't be read.
        """
        return TableAnswers(self, decider, limits)

    def dialect(self, decider: Decider) -> TableDialect:
        """Return how to write a CSV file of answers."""
        return answer_dialect(self.reader, decider, ",")

    def answer_file(self, file: BinaryIO, decider: Decider) -> AnswerFile:
        """Return a table of answers to write to, in Excel format if this table is, else CSV."""
        return make_answer_file(file, ".xlsx" if self.is_excel else ".csv", self.reader, decider)

    def close(self) -> None:
        """Delete the file."""
        self.file.close()


class TableAnswers:
    """The answers to the rows of a table, some rows at a time."""

    def __init__(self, upload: TableUpload, decider: Decider, limits: Limits) -> None:
        self._upload, self._decider, self._limits = upload, decider, limits
        with _errors_named(upload.request, upload.file):
            self._reader = _read(upload.request, upload.file, upload.reader.layout)

    def __iter__(self) -> Iterator[list[Prediction | BadRow]]:
        """Yield the predictions for some rows at a time.

        Raises
        ------
        DataError : if the file can't be read further, or has too many rows.
        """
        upload = self._upload
        options = PredictOptions(text=upload.text or None)
        n_rows = 0
        with _errors_named(upload.request, upload.file):
            for rows in predict_rows(self._decider, self._reader, options, limits=_BATCH_LIMITS):
                if n_rows >= self._limits.rows:
                    raise DataError(
                        f"{upload.name} has more than {self._limits.rows:,} rows, and the others "
                        "are not answered here; use `slugline predict`."
                    )
                yield rows
                n_rows += len(rows)

    @property
    def fraction_read(self) -> float | None:
        """The fraction of the file read so far; None if unknown."""
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
    """Make a DataError name the uploaded file instead of the path on this server."""
    try:
        yield
    except SluglineError as error:
        parts = [
            part.replace(file.name, request.name) if isinstance(part, str) else part
            for part in error.parts
        ]
        raise DataError(*parts) from error


class AnswerTally:
    """Counts answers until the event loop reports them to the metrics; threads add them.

    A lock ensures that no step of a table adds answers while another one reports them.
    """

    def __init__(self) -> None:
        self._answers: list[Prediction] = []

    def add(self, answers: Iterable[Prediction | BadRow]) -> None:
        """Add the answers of a step; rows that could not be read have none."""
        self._answers += [answer for answer in answers if not isinstance(answer, BadRow)]

    def report(self, metrics: Metrics) -> None:
        """Report the answers added since the last call to the metrics."""
        answers, self._answers = self._answers, []
        metrics.add("documents", len(answers))
        metrics.add("unsure", sum(answer.decision.reason is not None for answer in answers))
        metrics.observe("confidence", *(answer.decision.probability for answer in answers))
