"""Error responses, and what is left in memory after them."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server import make_state
from slugline.serving.server.app import make_app
from slugline.serving.web.state import WebState

# Bytes of a body, and of what may be left of it.
_SIZE, _REST = 200_000, 100_000
_JSON, _CSV = ("/v1/classify", ""), ("/table/answers", "name=a.csv")


@pytest.fixture
def state(news_slug: Path) -> Iterator[WebState]:
    """Return the state of a server that answers within a tenth of a second, or refuses."""
    found = make_state(news_slug, timeout=0.1)
    yield found
    found.service.close()


async def status_of(state: WebState, address: tuple[str, str], body: bytes, **more: Any) -> int:
    """Return the status of the response to a request with a body, or of the server's error."""
    path, query = address
    parts = [{"type": "http.request", "body": body}, *more.get("messages", ())]
    del body
    statuses = []

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop(0)

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }
    await make_app(state)(scope, receive, send)
    return int(statuses[0])


def bytes_left(state: WebState, address: tuple[str, str], body: bytes, status: int) -> int:
    """Return the bytes that requests with a body leave in memory without garbage collection."""
    copies = [bytearray(body) for _ in range(3)]

    async def run() -> int:
        sizes = []
        while copies:
            assert await status_of(state, address, bytes(copies.pop())) == status
            await asyncio.sleep(0.01)  # the thread puts its work away
            sizes.append(tracemalloc.get_traced_memory()[0] + sum(map(len, copies)))
        return sizes[-1] - sizes[0]  # the first one loads what stays

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        return asyncio.run(run())
    finally:
        tracemalloc.stop()
        gc.enable()


@pytest.mark.parametrize(
    ("address", "body", "status"),
    [
        pytest.param(_JSON, b'{"text":"' + b"a" * _SIZE, 400, id="JSON that ends too soon"),
        pytest.param(_JSON, b"[" * 6 * _SIZE, 413, id="JSON of too many values"),
        pytest.param(_JSON, b'{"text":"' + b"a" * _SIZE + b'"}', 422, id="a text too long"),
        pytest.param(_JSON, b'{"min_precision":2}' + b" " * _SIZE, 422, id="an invalid field"),
        pytest.param(
            _JSON,
            json.dumps({"texts": ["wheat" * 1000] * 60, "min_precision": 0.99999}).encode(),
            422,
            id="a precision out of reach",
        ),
        pytest.param(_CSV, b'id,text\n1,"' + b"wheat\n" * (_SIZE // 6), 422, id="an open quote"),
        pytest.param(_CSV, b"\0" * _SIZE, 422, id="zeros in a table"),
        pytest.param(_CSV, b"a," * (_SIZE // 2) + b"\ntext\n", 422, id="too many columns"),
        pytest.param(
            ("/table/file", "name=a.csv"),
            b"id,topic\n1," + b"wheat " * (_SIZE // 6) + b"\n",
            422,
            id="no column of texts",
        ),
    ],
)
def test_refused_requests_leave_no_bodies_in_memory(
    state: WebState, address: tuple[str, str], body: bytes, status: int
) -> None:
    assert bytes_left(state, address, body, status) < _REST


def test_late_answers_leave_no_bodies_in_memory(
    state: WebState, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explain(*_: object) -> None:
        await state.service.threads.run(wait_until_unwanted, bytearray(_SIZE))

    monkeypatch.setattr(state.service, "explain", explain)
    assert bytes_left(state, ("/v1/explain", ""), b'{"text":"wheat"}', 504) < _REST


def wait_until_unwanted(body: bytearray) -> None:
    """Hold a body until nothing waits for this function."""
    import time

    from slugline.base.interruption import check_interruption

    while body:
        time.sleep(0.001)
        check_interruption()
