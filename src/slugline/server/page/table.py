"""The second tab: a table in, a table with topics out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slugline.answer_file import AnswerFile, topic_names
from slugline.answers import Prediction
from slugline.corpus.rows import BadRow
from slugline.errors import SluglineError
from slugline.report.words import shortened
from slugline.served import ServedModel
from slugline.served.results import whole
from slugline.server.page.rendering import chosen_model, page
from slugline.server.page.upload import Upload, receive, understand
from slugline.server.problems import Problem
from slugline.server.state import State, state_of

__all__ = ["answer_table", "show_table", "write_table"]

# Characters that the page is told of each text.
_LONGEST_TEXT = 200
_encode = msgspec.json.Encoder().encode


async def show_table(request: Request) -> Response:
    """Show where a table can be dropped."""
    chosen_model(request)
    return page(
        request,
        "table.html.j2",
        title="What are these texts about?",
        max_file=state_of(request).settings.max_file,
    )


async def answer_table(request: Request) -> Response:
    """Answer the rows of a file, in lines of JSON as they come.

    The first line has `columns`, the column taken for `text` (null if it has to be named) and the
    `encoding` that was guessed. Then there are lines with `rows`, each of them a list of place,
    topic or best guess, probability, reason to be unsure, shortened text and error, and with the
    share that has been `read`. The last line has `n_rows`; or `error`, if the rest can't be read.
    """
    state, model, upload = await _received(request)
    lines = _lines(model, upload)
    return StreamingResponse(_steps(state, upload, lines), media_type="application/jsonl")


async def write_table(request: Request) -> Response:
    """Send a file back as CSV: its own columns, then topic, probability and the like."""
    state, model, upload = await _received(request)
    if upload.text is None:
        upload.close()
        raise Problem(422, f"{upload.name} has no column known as text; name one with `text`.")
    stem = upload.name.removesuffix(".gz").rpartition(".")[0] or upload.name
    name = quote(f"{stem}-topics.csv", safe="", errors="replace")
    return StreamingResponse(
        _steps(state, upload, _pieces(model, upload)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"},
    )


async def _received(request: Request) -> tuple[State, ServedModel, Upload]:
    state, model = state_of(request), chosen_model(request)
    file = await receive(request, state.settings)
    return state, model, await state.run(understand, request, file)


async def _steps(state: State, upload: Upload, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what an iterator gives, each step of it off the event loop; then delete the file."""
    step: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(state.run(next, pieces, None))
            piece = await asyncio.shield(step)
            if piece is None:
                return
            yield piece
    finally:
        if step is None or step.done():
            upload.close()
        else:  # whoever asked has gone, and the thread is still at it
            step.add_done_callback(lambda _: upload.close())


def _lines(model: ServedModel, upload: Upload) -> Iterator[bytes]:
    columns = [whole(name) for name in upload.columns]
    yield _line(columns=columns, text=upload.text, encoding=upload.encoding)
    if upload.text is None:
        return
    n_rows = 0
    try:
        for answers in upload.answers(model.router):
            n_rows += len(answers)
            yield _line(rows=[_row(each) for each in answers], read=upload.share_read())
    except SluglineError as error:
        yield _line(error=whole(f"{error}"))
        return
    yield _line(n_rows=n_rows)


def _pieces(model: ServedModel, upload: Upload) -> Iterator[bytes]:
    names = topic_names(1)
    if model.router.precision is not None:
        names += ["reason", "guess"]
    buffer = io.BytesIO()
    table = AnswerFile(buffer, ",", upload.unit, names, upload.has_names, guards_formulas=True)
    for answers in upload.answers(model.router):
        table.write(answers)
        yield _taken(buffer)
    table.finish()
    yield _taken(buffer)


def _taken(buffer: io.BytesIO) -> bytes:
    """Return what is in a buffer, and empty it."""
    found = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return found


def _line(**values: Any) -> bytes:
    return _encode(values) + b"\n"


def _row(answer: Prediction | BadRow) -> list[Any]:
    if isinstance(answer, BadRow):
        return [answer.at, None, None, None, "", whole(answer.problem)]
    topic, probability = answer.topics[0]
    text = whole(shortened(" ".join(answer.text[: 2 * _LONGEST_TEXT].split()), _LONGEST_TEXT))
    return [answer.at, topic, round(probability, 4), answer.reason, text, None]
