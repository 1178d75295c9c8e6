"""Servers for tests: in this process, and as a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from slugline.labels.store import LabelStore
from slugline.serving.metrics import Metrics
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.app import make_app
from slugline.serving.service import Service
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.store import WatchStore
from slugline.serving.web.state import WebState

__all__ = ["Address", "call_tool", "client", "is_refused", "make_state", "running"]

# Seconds that a server may take to start, and to end.
_PATIENCE = 600


class Address(str):
    """Where a server is, without a "/" at the end."""

    #: Its process.
    pid: int


def make_state(*models: str | Path, **settings: Any) -> WebState:
    """Return the state that the handlers of a server share.

    Parameters
    ----------
    *models : str or Path
        The model that comes with Slugline by default.
    **settings : see `ServeSettings`
        With `corrections` or `watch`, these files are opened; `state.service.close()` closes them.
    """
    found = ServeSettings(**settings)
    store = None if found.corrections is None else LabelStore(found.corrections)
    served = ServedModels.load([str(model) for model in models], found.min_precision)
    topics = {model.name: model.fitted.topics.names for model in served.all()}
    metrics = Metrics(topics)
    watch = Watch(
        metrics,
        None if found.watch is None else WatchStore(found.watch),
        n_kept=found.keep_texts,
        keep_days=found.keep_days,
    )
    return WebState(found, Service(found, served, metrics, store, watch=watch))


def call_tool(service: Service, name: str, **arguments: Any) -> Any:
    """Return the result of an MCP tool of a service."""
    from slugline.serving.mcp.server import TOOLS

    tool = next(tool for tool in TOOLS if tool.name == name)
    return asyncio.run(tool.call(service, arguments))


def client(state: WebState, **options: Any) -> TestClient:
    """Return a client, in the manner of httpx, whose requests are answered in this process."""
    return TestClient(make_app(state), base_url="http://localhost", **options)


@contextlib.contextmanager
def running(*args: object, command: str = "serve") -> Iterator[Address]:
    """Run `slugline serve`, or another command, on a free port; yield its address.

    What it says goes to a file, so that it never waits for a reader, and into the failure of a test
    that finds it ended or ending badly.
    """
    words_typed = [sys.executable, "-m", "slugline", command, "--port", "0", *map(str, args)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words_typed, stdout=said, stderr=said, env=dict(os.environ))

        def words() -> str:
            return os.pread(said.fileno(), 1 << 20, 0).decode(errors="replace")

        try:
            address = Address(_address(process, words))
            address.pid = process.pid
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"the server did not end:\n{words()}") from None
        assert code == 0, f"the server ended with {code}:\n{words()}"


def _address(process: subprocess.Popen[bytes], words: Callable[[], str]) -> str:
    """Wait until a server says where it listens."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"listening at (http://\S+)/", words())
        if found:
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"the server does not answer:\n{words()}")


def is_refused(address: Address) -> bool:
    """Return whether a server takes no new connection."""
    host, port = address.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=120).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False
