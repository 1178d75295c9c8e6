"""Work on threads, which ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.requests import Request

from server import make_state
from slugline.base.interruption import Interruption, check_interruption
from slugline.serving.background import BackgroundTask
from slugline.serving.server.app import make_app
from slugline.serving.service_errors import BusyError
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import WebState, in_time


@pytest.fixture
def state() -> Iterator[WebState]:
    """Return the state of a server with a short time limit."""
    found = make_state(timeout=0.2, threads=1)
    yield found
    found.service.close()


class Endless:
    """Work that ends only if it is interrupted."""

    def __init__(self) -> None:
        self.has_begun, self.has_ended = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.has_begun.set()
        try:
            while not self.has_ended.wait(0.001):
                check_interruption()
        finally:
            self.has_ended.set()


def request(state: WebState, *messages: dict[str, Any]) -> Request:
    """Return a request whose client sends messages, and then nothing more."""
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        for message in left:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http", "app": state}, receive)


LEAVES = {"type": "http.disconnect"}


def test_cancelled_request_is_logged_without_an_error(
    state: WebState, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/classify", "query_string": b""}

    async def cancel() -> None:
        app = make_app(state)
        answering = asyncio.ensure_future(
            app(scope | {"headers": headers}, request(state).receive, print)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0.01)
        answering.cancel()
        await answering

    asyncio.run(cancel())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].endswith(" to /v1/classify was cancelled")


def test_background_task_ends_when_its_waiter_is_cancelled() -> None:
    async def run() -> None:
        work = Endless()
        task = BackgroundTask(pool, threading.Event(), work)
        waiting = asyncio.ensure_future(task.result())
        await asyncio.to_thread(work.has_begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(Interruption):
            await task.future

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(run())


def test_background_task_abandoned_in_the_queue_never_starts() -> None:
    async def run() -> None:
        is_busy, work = threading.Event(), Endless()
        pool.submit(is_busy.wait)
        task = BackgroundTask(pool, threading.Event(), work)
        task.abandon()
        is_busy.set()
        with pytest.raises(asyncio.CancelledError):
            await task.future
        assert not work.has_begun.is_set()

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(run())


def test_background_task_ends_when_the_service_closes(state: WebState) -> None:
    async def run() -> None:
        work = Endless()
        task = state.service.threads.start_table_step(work)
        await asyncio.to_thread(work.has_begun.wait)
        state.service.close()
        with pytest.raises(Interruption):
            await task.result()

    asyncio.run(run())


def test_in_time_ends_work_when_the_client_leaves(state: WebState) -> None:
    async def run() -> None:
        work = Endless()
        with pytest.raises(HttpProblem, match="connection was closed") as problem:
            await in_time(request(state, LEAVES), state.service.threads.run(work))
        assert problem.value.status == 400
        assert not work.has_begun.is_set() or await asyncio.to_thread(work.has_ended.wait, 120)

    asyncio.run(run())


def test_in_time_ends_work_after_the_timeout(state: WebState) -> None:
    async def run() -> None:
        work = Endless()
        with pytest.raises(HttpProblem, match=r"no answer within 0\.2 seconds"):
            await in_time(request(state), state.service.threads.run(work))
        assert await asyncio.to_thread(work.has_ended.wait, 120)

    asyncio.run(run())


def test_tables_block_no_other_work(state: WebState) -> None:
    async def run() -> None:
        works = [Endless(), Endless()]
        steps = [state.service.threads.start_table_step(work) for work in works]
        await asyncio.to_thread(works[0].has_begun.wait)
        assert await state.service.threads.run(lambda: "an answer") == "an answer"
        for step in steps:
            step.abandon()

    asyncio.run(run())


def test_count_table_rejects_too_many_tables(state: WebState) -> None:
    with state.service.count_table(), pytest.raises(BusyError):
        fill(state)
    with state.service.count_table():
        pass


def fill(state: WebState, n_tables: int = 16) -> None:
    if n_tables:
        with state.service.count_table():
            fill(state, n_tables - 1)
