"""The second tab: classifies the rows of a table."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slugline.base.checks import replace_surrogates
from slugline.base.wording import one_line
from slugline.corpus.columns import column_names, find_columns, peek
from slugline.corpus.dialects import TableDialect
from slugline.corpus.readers import ENDINGS, RowReader, read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError, SluglineError
from slugline.model.decider import Decider
from slugline.prediction.files import AnswerFile, answer_dialect, make_answer_file
from slugline.prediction.rows import BatchLimits, Prediction, PredictOptions, predict_rows
from slugline.serving.http.batches import Metrics
from slugline.serving.http.bodies import HttpProblem, content_length, stream_body
from slugline.serving.http.state import AppState, Errand, app_state, while_connected
from slugline.serving.model import ServedModel
from slugline.serving.page.page import chosen_model, page
from slugline.serving.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# Uploads ------------------------------------------------------------------------------------------

_LONGEST_NAME = 200
# What the end of a name says of the format; no other part of it gets into a path.
_ENDING = re.compile(r"(\.[a-z0-9]{1,10}){1,2}$")
# Rows that are answered at a time, and bytes of memory that they take: others have their turn in
# between, and the rows of all tables are in memory.
_LIMITS = BatchLimits(rows=256, n_bytes=1 << 21)
# Rows that are answered: the page holds all of them, and a packed file may have no end of them.
_MOST_ROWS = 1_000_000


# What characters may be chosen as: Python's name, and people's.
_ENCODINGS = (
    ("utf-8", "UTF-8"),
    ("utf-16", "UTF-16, Excel's Unicode text"),
    ("cp1252", "Windows, western Europe (cp1252)"),
    ("cp1250", "Windows, central Europe (cp1250)"),
    ("cp1254", "Windows, Turkish (cp1254)"),
    ("cp1251", "Windows, Cyrillic (cp1251)"),
    ("cp1253", "Windows, Greek (cp1253)"),
    ("cp850", "MS-DOS, western Europe (cp850)"),
    ("mac_roman", "Macintosh (mac_roman)"),
    ("gb18030", "Chinese (gb18030)"),
    ("shift_jis", "Japanese (shift_jis)"),
    ("euc_kr", "Korean (euc_kr)"),
)
_SEPARATORS = ((",", "comma ,"), (";", "semicolon ;"), ("tab", "tab"), ("|", "bar |"))
_NAMES_OF_SEPARATORS = {"": "one column", "\t": "tab"}
# Rows, columns and characters of a cell that show how a file is read.
_N_SHOWN_ROWS, _N_SHOWN_COLUMNS, _LONGEST_CELL = 5, 12, 80


@dataclass(eq=False)
class Upload:
    """A file that was dropped on the page.

    Attributes
    ----------
    name : str
        The user's name for it.
    file : temporary file
    source : RowReader
        What is known of it from the first rows, such as its format.
    columns : list of str
        Those of the first rows; empty if the format has no names for them.
    text : sequence of str, or None
        The columns that hold the text; None if unknown, and none if columns have no names.
    chosen : mapping of str to str or None
        The `encoding` and `separator` that the user named.
    head : sequence of SourceRow or BadRow
        The first rows.
    """

    name: str
    file: Any
    source: RowReader
    columns: list[str]
    text: Sequence[str] | None
    chosen: Mapping[str, str | None]
    head: Sequence[SourceRow | BadRow] = ()
    _rows: RowReader | None = None

    def close(self) -> None:
        """Delete the file."""
        self.file.close()

    def answers(self, decider: Decider) -> Iterator[list[Prediction | BadRow]]:
        """Yield the predictions for some rows at a time.

        Raises
        ------
        DataError : if the file can't be read further, or has too many rows.
        """
        n_rows, options = 0, PredictOptions(text=self.text or None)
        try:
            self._rows = read_rows(self.file.name, layout=self.source.layout, **self.chosen)
            for batch in predict_rows(decider, self._rows, options, limits=_LIMITS):
                if n_rows >= _MOST_ROWS:
                    raise DataError(
                        f"{self.name} has more than {_MOST_ROWS:,} rows, and the others are not "
                        "answered here; use `slugline predict`."
                    )
                yield batch
                n_rows += len(batch)
        except SluglineError as error:
            raise DataError(_for_people(error, self.file.name, self.name)) from error

    @property
    def is_excel(self) -> bool:
        """Whether it is an Excel file."""
        return self.source.format == "xlsx"

    def dialect(self, decider: Decider) -> TableDialect:
        """Return how to write a CSV file of answers."""
        return answer_dialect(self.source, decider, ",")

    def answer_file(self, file: BinaryIO, decider: Decider) -> AnswerFile:
        """Return a table of answers to write to: in Excel if the upload is, else CSV."""
        return make_answer_file(file, ".xlsx" if self.is_excel else ".csv", self.source, decider)

    def fraction_read(self) -> float | None:
        """Return the share of the file that has been read, from 0 to 1; None if unknown."""
        return None if self._rows is None else self._rows.fraction_read()


async def save_body(request: Request, settings: ServeSettings) -> Any:
    """Return the body as a temporary file with the ending of the user's name.

    Raises
    ------
    HttpProblem : those of `stream_body`, and 503 if the disk is full.
    """
    ending = _ENDING.search(_name(request).lower())
    n_bytes = content_length(request.headers.get("content-length", ""))
    timeout = settings.file_timeout(n_bytes)
    suffix = ending[0] if ending else ""
    file = tempfile.NamedTemporaryFile(suffix=suffix)  # noqa: SIM115 - the upload closes it
    try:
        await stream_body(request, settings.max_file, timeout, file.write)
        file.flush()
    except BaseException as error:
        file.close()
        if not isinstance(error, OSError):
            raise
        raise HttpProblem(
            503,
            f"the file can't be kept while it is read ({error.strerror}); make room on the server.",
            headers={"Retry-After": "10"},
        ) from error
    return file


def parse_upload(request: Request, model: ServedModel, file: Any) -> Upload:
    """Return the upload with its columns, from the first rows; close the file if that fails.

    Raises
    ------
    HttpProblem : 422 if it can't be read.
    """
    name = _name(request)
    text = request.query_params.getlist("text")
    try:
        chosen = {
            option: request.query_params.get(option) or None for option in ("encoding", "separator")
        }
        rows = read_rows(file.name, layout=model.fitted.layout, **chosen)
        head = peek(rows)
        shown = head[:_N_SHOWN_ROWS]
        if not rows.has_names:
            return Upload(name, file, rows, [], (), chosen, shown)
        wanted = text[0] if len(text) == 1 else text or None
        if not head and wanted is None:
            return Upload(name, file, rows, [], (), chosen)
        columns = find_columns(name, head, wanted, layout=rows.layout)[0]
        return Upload(name, file, rows, column_names(head), columns or None, chosen, shown)
    except BaseException as error:
        file.close()
        if not isinstance(error, SluglineError):
            raise
        raise HttpProblem(422, _for_people(error, file.name, name)) from error


def _for_people(error: SluglineError, path: str, name: str) -> str:
    """Return a message with the user's name of a file, and nothing that the page can't do."""
    said = f"{error}".replace(path, name).replace(", or name the format with `format`", "")
    return said.replace("leave `encoding` out", "choose them as found")


def _name(request: Request) -> str:
    """Return the name of the file, without folders."""
    name = request.query_params.get("name", "").replace("\\", "/").rpartition("/")[2]
    if not name or len(name) > _LONGEST_NAME:
        raise HttpProblem(
            422, f"give the file's `name`, of at most {_LONGEST_NAME} characters, in the address."
        )
    return name


# The tab ------------------------------------------------------------------------------------------

# Characters that the page is told of each text.
_LONGEST_TEXT = 200
# Characters of a text that the page gets whole, so that its answer can be explained and corrected.
_LONGEST_WHOLE = 20_000
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_encode = msgspec.json.Encoder().encode


async def show_table(request: Request) -> Response:
    """Show the form for a file."""
    chosen_model(request)
    return page(
        request,
        "table.html.j2",
        title="What are these texts about?",
        max_file=app_state(request).settings.max_file,
        endings=ENDINGS,
        encodings=_ENCODINGS,
        separators=_SEPARATORS,
    )


async def answer_table(request: Request) -> Response:
    """Send the predictions for the rows of a file, as JSON lines.

    The address has the file's `name` and may have columns of the `text`, an `encoding` and a
    `separator`. The first line has `columns`, those of the `text` (null if the user has to name
    one), the `encoding` and the `separator` that were named or found, the `sheet` of an Excel file
    if there was a choice, the `unit` of places, and in `head` the cells of the first rows as they
    are read. The next ones have `rows`, each a list of
    place, topic (a list of those given, if there may be several) or best guess, probability, reason
    to be unsure, shortened text, error and, if it isn't long, the whole text; and the share that
    was `read`. The last line has `n_rows`; or `error`, if the rest can't be read.
    """
    state, model, upload = await _receive_upload(request)
    tally = AnswerTally()
    lines = _lines(model, upload, tally)
    return _TableResponse(state, upload, lines, tally, media_type="application/jsonl")


async def write_table(request: Request) -> Response:
    """Send a file as CSV, or Excel if it was: its columns, then topic, probability and the like."""
    state, model, upload = await _receive_upload(request)
    if upload.text is None:
        upload.close()
        raise HttpProblem(422, f"{upload.name} has no column known as text; name one with `text`.")
    stem = upload.name.removesuffix(".gz").rpartition(".")[0] or upload.name
    ending, kind = "csv", f"text/csv; charset={upload.dialect(model.decider).encoding}"
    if upload.is_excel:
        ending, kind = "xlsx", _EXCEL
    name = quote(f"{stem}-topics.{ending}", safe="", errors="replace")
    tally = AnswerTally()
    return _TableResponse(
        *(state, upload, _pieces(model, upload, tally), tally),
        media_type=kind,
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"},
    )


async def _receive_upload(request: Request) -> tuple[AppState, ServedModel, Upload]:
    state, model = app_state(request), chosen_model(request)
    file = await save_body(request, state.settings)
    with state.counted_table():
        step = state.start_step(parse_upload, request, model, file)
        return state, model, await while_connected(request, step.result())


class AnswerTally:
    """Answers to rows that the metrics don't count yet: threads add them, the event loop reports.

    No step of a table adds while another one reports.
    """

    def __init__(self) -> None:
        self._answers: list[Prediction] = []

    def add(self, answers: Iterable[Prediction | BadRow]) -> None:
        """Add the answers of a step; rows that were not read have none."""
        self._answers += [answer for answer in answers if not isinstance(answer, BadRow)]

    def report(self, metrics: Metrics) -> None:
        """Count what was added since."""
        answers, self._answers = self._answers, []
        metrics.add("documents_total", len(answers))
        metrics.add("unsure_total", sum(answer.reason is not None for answer in answers))
        metrics.observe("confidence", *(answer.topics[0][1] for answer in answers))


class _TableResponse(StreamingResponse):
    """Sends the steps of answering a table."""

    def __init__(
        self,
        state: AppState,
        upload: Upload,
        pieces: Iterator[bytes],
        tally: AnswerTally,
        **options: Any,
    ):
        self._state = state
        super().__init__(_steps(state, upload, pieces, tally), **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._state.counted_table():
            await super().__call__(scope, receive, send)


async def _steps(
    state: AppState, upload: Upload, pieces: Iterator[bytes], tally: AnswerTally
) -> AsyncIterator[bytes]:
    """Yield the items of an iterator, each step off the event loop; then delete the file."""
    step: Errand[bytes | None] | None = None
    try:
        while True:
            step = state.start_step(next, pieces, None)
            piece = await step.result()
            tally.report(state.metrics)
            if piece is None:
                return
            yield piece
    finally:
        if step is None or step.future.done():
            upload.close()
        else:  # whoever asked has gone, and the thread is still at it
            step.future.add_done_callback(lambda _: upload.close())


def _lines(model: ServedModel, upload: Upload, tally: AnswerTally) -> Iterator[bytes]:
    columns = [replace_surrogates(name) for name in upload.columns]
    text = None if upload.text is None else [*map(replace_surrogates, upload.text)]
    source = upload.source
    yield _line(
        columns=columns,
        text=text,
        encoding=source.encoding,
        separator=_separator_name(source.separator),
        sheet=replace_surrogates(source.note) if upload.is_excel else "",
        unit=source.unit,
        head=[_cells(row, upload.columns) for row in upload.head],
    )
    if upload.text is None:
        return
    n_rows = 0
    try:
        for answers in upload.answers(model.decider):
            n_rows += len(answers)
            tally.add(answers)
            yield _line(rows=[_row(answer) for answer in answers], read=upload.fraction_read())
    except SluglineError as error:
        yield _line(error=replace_surrogates(f"{error}"))
        return
    yield _line(n_rows=n_rows)


def _separator_name(separator: str | None) -> str | None:
    return None if separator is None else _NAMES_OF_SEPARATORS.get(separator, separator)


def _cells(row: SourceRow | BadRow, columns: Sequence[str]) -> list[str]:
    """Return the first cells of a row, shortened; the text of a line without columns."""
    names = columns[:_N_SHOWN_COLUMNS] or ("text",)
    cells = ("" if row.values.get(name) is None else str(row.values[name]) for name in names)
    return [replace_surrogates(one_line(cell, _LONGEST_CELL)) for cell in cells]


def _pieces(model: ServedModel, upload: Upload, tally: AnswerTally) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with contextlib.closing(upload.answer_file(buffer, model.decider)) as table:
        for answers in upload.answers(model.decider):
            tally.add(answers)
            table.write(answers)
            yield _drain(buffer)
        table.finish()
    yield _drain(buffer)


def _drain(buffer: io.BytesIO) -> bytes:
    """Return and remove the content of a buffer."""
    data = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return data


def _line(**values: Any) -> bytes:
    return _encode(values) + b"\n"


def _row(answer: Prediction | BadRow) -> list[Any]:
    if isinstance(answer, BadRow):
        cells = " · ".join(str(cell) for cell in answer.values.values() if cell not in (None, ""))
        text = replace_surrogates(one_line(cells, _LONGEST_TEXT))
        return [answer.at, None, None, None, text, replace_surrogates(answer.problem)]
    topic: Any = answer.topics[0][0]
    if answer.probabilities is not None and answer.reason is None:
        topic = answer.set  # those of several that are given
    text = replace_surrogates(one_line(answer.text, _LONGEST_TEXT))
    whole = replace_surrogates(answer.text) if len(answer.text) <= _LONGEST_WHOLE else None
    reason = None if answer.reason is None else str(answer.reason)
    return [answer.at, topic, round(answer.topics[0][1], 4), reason, text, None, whole]
