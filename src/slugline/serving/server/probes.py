"""Probes on a separate port, which a small process answers from the heartbeats of the workers.

An orchestrator such as Kubernetes ends a server whose probes aren't answered in time. On the main
port, probes wait in the same queue as other requests.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec
import uvicorn
from starlette.responses import Response

from slugline.serving.web.connections import make_protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# Heartbeats ---------------------------------------------------------------------------------------

#: Seconds between two heartbeats of a worker.
BEAT_SECONDS = 0.5
# Seconds without a heartbeat after which a worker counts as hanging: far longer than it is busy.
_HANGING_SECONDS = 10.0


class Probe(msgspec.Struct, frozen=True):
    """The reply to a probe."""

    status: str


class Heartbeats:
    """When the event loop of each worker last ran, in memory that processes share.

    Parameters
    ----------
    n_workers : int
    clock : callable, optional
        A clock, in seconds, that is the same in all processes.
    """

    def __init__(self, n_workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        memory = memoryview(mmap.mmap(-1, 8 * (n_workers + 1))).cast("d")
        # The time of each worker's last beat, 0 before the first one.
        self._last_beats = memory[:n_workers]
        # One number: 1 if the server is ending, else 0.
        self._ending = memory[n_workers:]

    def beat(self, worker: int) -> None:
        """Note that the event loop of a worker runs."""
        self._last_beats[worker] = self._clock()

    def reset(self, worker: int) -> None:
        """Note that a worker has ended and is replaced."""
        self._last_beats[worker] = 0.0

    def note_ending(self) -> None:
        """Note that the server is ending."""
        self._ending[0] = 1.0

    def health(self) -> tuple[int, Probe]:
        """Return the status and reply for /health: 503 if a worker hangs."""
        now = self._clock()
        for worker, last in enumerate(self._last_beats):
            if last and now - last > _HANGING_SECONDS:
                return 503, Probe(f"worker {worker} has not answered for {now - last:.0f} seconds")
        return 200, Probe("ok")

    def readiness(self) -> tuple[int, Probe]:
        """Return the status and reply for /ready: 200 if a worker answers requests."""
        if self._ending[0]:
            return 503, Probe("ending")
        now, beats = self._clock(), self._last_beats.tolist()
        n_running = sum(now - last <= _HANGING_SECONDS for last in beats if last)
        if n_running:
            return 200, Probe(f"ready: {n_running} of {len(beats)} workers")
        return 503, Probe("hanging" if any(beats) else "starting")


def make_probe_app(beats: Heartbeats) -> Callable[[Scope, Receive, Send], object]:
    """Return the ASGI application that answers probes, and nothing else."""
    probes = {"/health": beats.health, "/ready": beats.readiness}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        status, reply = 404, Probe("not found; the probes are /health and /ready")
        if scope["path"] in probes and scope["method"] in ("GET", "HEAD"):
            status, reply = probes[scope["path"]]()
        headers = {"Cache-Control": "no-store"}
        body = msgspec.json.encode(reply)
        await Response(body, status, headers, "application/json")(scope, receive, send)

    return answer


# The process --------------------------------------------------------------------------------------

# Maximum number of seconds until a request has arrived.
_TIMEOUT_SECONDS = 5.0
_MAX_CONNECTIONS = 64


class _ProbeServer(uvicorn.Server):
    """Answers probes until it gets a signal, or its parent has ended."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._parent = os.getppid()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `ProbeProcess`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; called ten times a second."""
        return await super().on_tick(counter) or os.getppid() != self._parent


class ProbeProcess:
    """The process that answers probes.

    Parameters
    ----------
    probe_socket : socket
        Where probes arrive.
    beats : Heartbeats
    main_socket : socket
        Where other requests arrive. The process closes its copy of it.

    Attributes
    ----------
    id : int
        Process id; 0 before its start.
    """

    def __init__(
        self, probe_socket: socket.socket, beats: Heartbeats, main_socket: socket.socket
    ) -> None:
        self._probe_socket, self._beats, self._main_socket = probe_socket, beats, main_socket
        self.id = 0

    def start(self) -> None:
        """Start the process, or another one in its place."""
        self.id = os.fork()
        if self.id:
            return
        status = 1
        try:
            self._main_socket.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # The parent gets these as well, and ends this process after all workers.
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
            self._answer()
            status = 0
        except Exception:
            logging.getLogger("slugline.server").exception("the process for probes failed")
        finally:
            os._exit(status)

    def end(self) -> None:
        """End the process."""
        if self.id:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.id, signal.SIGTERM)
                os.waitpid(self.id, 0)

    def _answer(self) -> None:
        config = uvicorn.Config(
            make_probe_app(self._beats),
            log_config=None,
            access_log=False,
            http=make_protocol(_TIMEOUT_SECONDS, _TIMEOUT_SECONDS, _MAX_CONNECTIONS),
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(_TIMEOUT_SECONDS),
            ws="none",
        )
        # uvicorn would log a warning for each malformed request.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        _ProbeServer(config).run(sockets=[self._probe_socket])
