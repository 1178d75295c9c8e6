"""The writer of responses: heads, bodies and chunks, as bytes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from slugline.serving.web.response_writer import ResponseHead, ResponseWriter


class Transport:
    """What was written to a connection."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.is_closed = True


def make_cycle(method: str = "GET", *, keep_alive: bool = True) -> RequestResponseCycle:
    transport: Any = Transport()
    log, scope = logging.getLogger(__name__), {"method": method}
    return RequestResponseCycle(
        scope=scope,  # type: ignore[arg-type]
        transport=transport,
        flow=FlowControl(transport),
        logger=log,
        access_logger=log,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


def send(cycle: RequestResponseCycle, *bodies: bytes, **headers: str) -> list[bytes]:
    """Return the writes of a response with status 200."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def send_all() -> None:
        writer = ResponseWriter(cycle)
        await writer.send({"type": "http.response.start", "status": 200, "headers": pairs})
        for number, body in enumerate(bodies, 1):
            message = {"type": "http.response.body", "body": body}
            await writer.send(message | {"more_body": number < len(bodies)})

    asyncio.run(send_all())
    transport: Any = cycle.transport
    return list(transport.writes)


def test_send_writes_head_and_body_together() -> None:
    cycle = make_cycle()
    assert send(cycle, b"wheat", content_length="5") == [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwheat"
    ]
    assert cycle.response_complete


def test_send_writes_a_body_without_a_length_in_chunks() -> None:
    assert send(make_cycle(), b"wheat", b"corn", b"") == [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwheat\r\n",
        b"4\r\ncorn\r\n",
        b"0\r\n\r\n",
    ]


def test_send_writes_only_the_head_for_head() -> None:
    assert send(make_cycle("HEAD"), b"wheat", content_length="5") == [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    ]


@pytest.mark.parametrize("body", [b"corn", b"wheats"], ids=["shorter", "longer"])
def test_send_rejects_a_body_of_another_length(body: bytes) -> None:
    with pytest.raises(RuntimeError, match="length of the body"):
        send(make_cycle(), body, content_length="5")


def test_send_writes_nothing_to_clients_that_have_left() -> None:
    cycle = make_cycle()
    cycle.disconnected = True
    assert send(cycle, b"wheat", content_length="5") == []


@pytest.mark.parametrize(("keep_alive", "headers"), [(False, {}), (True, {"connection": "close"})])
def test_send_closes_connections_that_are_not_kept_alive(
    keep_alive: bool, headers: dict[str, str]
) -> None:
    cycle = make_cycle(keep_alive=keep_alive)
    [data] = send(cycle, b"", content_length="0", **headers)
    assert data.count(b"connection: close\r\n") == 1
    transport: Any = cycle.transport
    assert transport.is_closed


@pytest.mark.parametrize("status", [204, 304])
def test_from_headers_announces_no_body_where_there_is_none(status: int) -> None:
    head = ResponseHead.from_headers(status, [])
    assert b"transfer-encoding" not in head.data
    assert head.n_bytes == 0


@pytest.mark.parametrize(("name", "value"), [(b"a b", b"c"), (b"a", b"b\r\nc: d"), (b"a:", b"b")])
def test_from_headers_rejects_invalid_headers(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="can't be sent"):
        ResponseHead.from_headers(200, [(name, value)])
