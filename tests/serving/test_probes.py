"""Probes on a port of their own."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from server import is_refused, running
from slugline.serving.server.probes import Heartbeats, make_probe_app


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def said(beats: Heartbeats) -> list[tuple[int, str]]:
    return [(status, reply.status) for status, reply in (beats.health(), beats.readiness())]


def test_heartbeats_report_health_and_readiness() -> None:
    clock = Clock()
    beats = Heartbeats(2, clock)
    assert said(beats) == [(200, "ok"), (503, "starting")]
    beats.beat(0)
    assert said(beats) == [(200, "ok"), (200, "ready: 1 of 2 workers")]
    clock.now += 8
    beats.beat(1)
    clock.now += 8
    hangs = "worker 0 has not answered for 16 seconds"
    assert said(beats) == [(503, hangs), (200, "ready: 1 of 2 workers")]
    clock.now += 8
    assert said(beats)[1] == (503, "hanging")
    beats.reset(0)
    beats.beat(1)
    assert said(beats) == [(200, "ok"), (200, "ready: 1 of 2 workers")]
    beats.note_ending()
    assert said(beats) == [(200, "ok"), (503, "ending")]


def test_probe_app_answers_probes_only() -> None:
    probes = TestClient(make_probe_app(Heartbeats(1)))  # type: ignore[arg-type]
    assert probes.get("/health").json() == {"status": "ok"}
    assert probes.head("/ready").status_code == 503
    assert probes.get("/").status_code == probes.post("/health").status_code == 404


def until(what: Callable[[], Any], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux' /proc")
def test_probes_are_answered_after_any_process_dies() -> None:
    with running("--health-port", 0, "--workers", 2, "--grace", 120) as url:

        def ready() -> str:
            try:
                return str(httpx.get(f"{url.probes}/ready").json()["status"])
            except httpx.HTTPError:
                return ""

        until(lambda: ready() == "ready: 2 of 2 workers")
        assert httpx.get(f"{url}/health", timeout=120).json() == {"status": "ok"}
        for number in range(3):  # the process for probes is one of them
            first = children(url.pid)
            os.kill(first[number % len(first)], signal.SIGKILL)
            until(lambda first=first: len({*children(url.pid)} - {*first}) == 1)  # type: ignore[misc]
            until(lambda: ready() == "ready: 2 of 2 workers")
        # Who asks slowly keeps a worker from ending, and meanwhile the probes say so.
        host, main_port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(main_port))) as slow:
            slow.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n")
            slow.sendall(b"Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
            assert slow.recv(100).startswith(b"HTTP/1.1 100 ")  # it is being answered
            os.kill(url.pid, signal.SIGTERM)
            until(lambda: ready() == "ending")
            until(lambda: is_refused(url))
            slow.sendall(b"{[]......")


def test_bind_names_the_option_of_a_port_in_use(run: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = run("serve", "--port", "0", "--health-port", port)
    assert found.code == 1
    assert "give another --health-port." in " ".join(found.err.split())
