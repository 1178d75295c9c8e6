"""The second tab: classifies the rows of a table."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from tempfile import _TemporaryFileWrapper
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slugline.base.checks import replace_surrogates
from slugline.base.wording import one_line
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import ENDINGS
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError
from slugline.prediction.rows import Prediction
from slugline.serving.page.rendering import render_page, requested_model, word_error
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModel
from slugline.serving.service import Service
from slugline.serving.table_upload import TableUpload
from slugline.serving.web.bodies import content_length, stream_body
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import in_time, service_of, web_state

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# The form -----------------------------------------------------------------------------------------

# Available encodings: Python's name and the visible name.
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


async def show_table(request: Request) -> Response:
    """Show the upload form."""
    requested_model(request)
    return render_page(
        request,
        "table.html.j2",
        title="What are these texts about?",
        max_file=web_state(request).settings.max_file,
        endings=ENDINGS,
        encodings=_ENCODINGS,
        separators=_SEPARATORS,
    )


# The upload ---------------------------------------------------------------------------------------

_LONGEST_NAME = 200
# Maximum seconds to find the columns of a received table.
_OPENING_SECONDS = 600.0
# File extension, which determines the format; no other part of the name is used in a path.
_ENDING = re.compile(r"(\.[a-z0-9]{1,10}){1,2}$")


async def _receive_upload(request: Request, model: ServedModel) -> TableUpload:
    """Receive an uploaded table; HttpProblem if it can't be received or read."""
    name, text = _file_name(request), request.query_params.getlist("text")
    options = ReadOptions(
        text=text[0] if len(text) == 1 else text or None,
        encoding=request.query_params.get("encoding") or None,
        separator=request.query_params.get("separator") or None,
        layout=model.fitted.layout,
    )
    file = await _save_body(request, name, web_state(request).settings)
    opening = service_of(request).open_table(name, file, options)
    try:
        return await in_time(request, opening, _OPENING_SECONDS)
    except DataError as error:
        raise HttpProblem(422, word_error(error)) from error


async def _save_body(
    request: Request, name: str, settings: ServeSettings
) -> _TemporaryFileWrapper[bytes]:
    """Save the body to a temporary file with the extension of the uploaded file.

    Raises
    ------
    HttpProblem : see `stream_body`; 503 if the disk is full.
    """
    ending = _ENDING.search(name.lower())
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
            f"the file can't be stored while it is read ({error.strerror}); free some space on the "
            "server.",
            headers={"Retry-After": "10"},
        ) from error
    return file


def _file_name(request: Request) -> str:
    """Return the file name without folders."""
    name = request.query_params.get("name", "").replace("\\", "/").rpartition("/")[2]
    if not name or len(name) > _LONGEST_NAME:
        raise HttpProblem(
            422, f"add the file's `name` to the query, with at most {_LONGEST_NAME} characters."
        )
    return name


# The answers as JSON lines ------------------------------------------------------------------------

# Maximum length of a text in its line; number of preview columns and length of their cells.
_LONGEST_TEXT, _N_SHOWN_COLUMNS, _LONGEST_CELL = 200, 12, 80
# Maximum length of a text sent whole to the page, for its explanation and correction.
_LONGEST_WHOLE = 20_000
_encode = msgspec.json.Encoder().encode


async def answer_table(request: Request) -> Response:
    """Send the predictions for the rows of a file as JSON lines.

    The query contains the file's `name` and optionally `text` columns, an `encoding` and a
    `separator`. The lines are:

    ======  =========================================================================
    line    fields
    ======  =========================================================================
    first   `columns` of the file; `text`, the text columns, or null if the user must
            choose; `encoding` and `separator`, given or detected; `sheet` of an Excel
            file with several; `unit` of places; `head`, the cells of the first rows
    next    `rows`, each a list: place; topic (a list of assigned topics for
            multi-label models) or best guess; probability; reason for being unsure;
            shortened text; error; the whole text unless it is long. `read`: the
            fraction of the file read so far
    last    `n_rows`; or `error` if the rest can't be read
    ======  =========================================================================
    """
    model = requested_model(request)
    upload = await _receive_upload(request, model)
    service = service_of(request)
    lines = _json_lines(service, model, upload)
    return _TableResponse(service, upload, lines, "application/jsonl")


def _json_lines(service: Service, model: ServedModel, upload: TableUpload) -> Iterator[bytes]:
    """Yield the lines of `answer_table`."""
    columns = [replace_surrogates(name) for name in upload.columns]
    text = None if upload.text is None else [*map(replace_surrogates, upload.text)]
    reader = upload.reader
    yield _json_line(
        {
            "columns": columns,
            "text": text,
            "encoding": reader.encoding,
            "separator": _separator_name(reader.separator),
            "sheet": replace_surrogates(reader.note) if upload.is_excel else "",
            "unit": reader.unit,
            "head": [_cells(row, upload.columns) for row in upload.first_rows],
        }
    )
    if upload.text is None:
        return
    n_rows = 0
    try:
        for rows, fraction_read in service.answer_rows(upload, model):
            n_rows += len(rows)
            yield _json_line({"rows": [_json_row(row) for row in rows], "read": fraction_read})
    except DataError as error:
        yield _json_line({"error": replace_surrogates(word_error(error))})
        return
    yield _json_line({"n_rows": n_rows})


def _separator_name(separator: str | None) -> str | None:
    return None if separator is None else _NAMES_OF_SEPARATORS.get(separator, separator)


def _cells(row: SourceRow | BadRow, columns: Sequence[str]) -> list[str]:
    """Return the first cells of a row, shortened; its text if there are no columns."""
    names = columns[:_N_SHOWN_COLUMNS] or ("text",)
    cells = ("" if row.values.get(name) is None else str(row.values[name]) for name in names)
    return [replace_surrogates(one_line(cell, _LONGEST_CELL)) for cell in cells]


def _json_line(fields: Mapping[str, Any]) -> bytes:
    return _encode(fields) + b"\n"


def _json_row(answer: Prediction | BadRow) -> list[Any]:
    """Return a row as a list for `answer_table`."""
    if isinstance(answer, BadRow):
        cells = " · ".join(str(cell) for cell in answer.values.values() if cell not in (None, ""))
        text = replace_surrogates(one_line(cells, _LONGEST_TEXT))
        return [answer.at, None, None, None, text, replace_surrogates(answer.problem)]
    decision = answer.decision
    topic, probability = decision.top[0]
    text = replace_surrogates(one_line(answer.text, _LONGEST_TEXT))
    whole = replace_surrogates(answer.text) if len(answer.text) <= _LONGEST_WHOLE else None
    reason = None if decision.reason is None else str(decision.reason)
    # For an unsure multi-label model, the best guess.
    topics = topic if decision.topics is None or decision.reason else decision.topics
    return [answer.at, topics, round(probability, 4), reason, text, None, whole]


# The answers as a file ----------------------------------------------------------------------------

_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def write_table(request: Request) -> Response:
    """Send a file with the answers as additional columns: Excel if it was Excel, else CSV."""
    model = requested_model(request)
    upload = await _receive_upload(request, model)
    if upload.text is None:
        upload.close()
        raise HttpProblem(
            422, f"{upload.name}: cannot tell which column contains the text; name it with `text`."
        )
    stem = upload.name.removesuffix(".gz").rpartition(".")[0] or upload.name
    ending, media_type = "csv", f"text/csv; charset={upload.dialect(model.decider).encoding}"
    if upload.is_excel:
        ending, media_type = "xlsx", _EXCEL
    name = quote(f"{stem}-topics.{ending}", safe="", errors="replace")
    service = service_of(request)
    chunks = _file_chunks(service, model, upload)
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return _TableResponse(service, upload, chunks, media_type, headers)


def _file_chunks(service: Service, model: ServedModel, upload: TableUpload) -> Iterator[bytes]:
    """Yield the file of answers in chunks."""
    buffer = io.BytesIO()
    with contextlib.closing(upload.answer_file(buffer, model.decider)) as table:
        for answers, _ in service.answer_rows(upload, model):
            table.write(answers)
            yield _take_all(buffer)
        table.finish()
    yield _take_all(buffer)


def _take_all(buffer: io.BytesIO) -> bytes:
    """Return and remove the content of a buffer."""
    content = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return content


# Both ---------------------------------------------------------------------------------------------


class _TableResponse(StreamingResponse):
    """Sends an answered table in parts."""

    def __init__(
        self,
        service: Service,
        upload: TableUpload,
        parts: Iterator[bytes],
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._service = service
        content = service.predict_table(upload, parts)
        super().__init__(content, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._service.count_table():
            await super().__call__(scope, receive, send)
