"""The processes of a server: ports, signals, and new versions of models."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from slugline.corrections.store import CorrectionStore
from slugline.errors import OptionError
from slugline.server.app import make_app
from slugline.server.metrics import Metrics
from slugline.server.models import Models
from slugline.server.settings import Settings
from slugline.server.state import State

__all__ = ["bind", "serve"]

_log = logging.getLogger("slugline.server")

# Seconds between two looks at the models' files.
_WATCH_SECONDS = 1.0
_BACKLOG = 1024
# Connections that ask nothing are closed after as many seconds.
_KEEP_ALIVE_SECONDS = 75


def bind(settings: Settings) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    OptionError : if the address is not of this machine, or taken: says by whom, if it can.
    """
    host, port = settings.host.strip("[]"), settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OptionError(f"--host {host[:200]} is not known here; give an address.") from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # where it would let two servers have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise OptionError(_why_not(error, host, port)) from None
    return listening


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = _owner(port)
        return (
            f"port {port} of {host} is taken{f' by {owner}' if owner else ''}; stop that, or give "
            "another --port."
        )
    if error.errno == errno.EACCES:
        return f"port {port} is not for everybody to take; give a --port from 1024 on."
    return f"{host} port {port} can't be listened on: {error.strerror}; give another --host."


def _owner(port: int) -> str | None:
    """Return which process listens on a port, as far as /proc tells."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
                cells = line.split()
                if cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{cells[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) in inodes for file in (process / "fd").iterdir()):
                name = (process / "comm").read_text("utf-8", "replace").strip()
                return f"{name} (process {process.name})"
    return None


def serve(settings: Settings, names: list[str], announce: Callable[[str], object]) -> None:
    """Answer until a signal ends it: SIGTERM or Ctrl-C, after what is running is finished.

    SIGHUP reads the models' files again.

    Parameters
    ----------
    settings : Settings
    names : list of str
        Models; the one that comes with Slugline if there is none.
    announce : callable
        Told the address when it can be asked.

    Raises
    ------
    OptionError : if the address can't be had, or two models have one name.
    ModelFileError, EncoderError : if a model can't be read.
    StoreError : if the file of corrections can't be opened.
    """
    listening = bind(settings)
    with contextlib.closing(listening):
        models = Models.load(names)
        _check_store(settings)
        metrics = Metrics(settings.workers)
        announce(_address(listening))
        if settings.workers == 1:
            run_process(settings, models, metrics, listening)
        else:
            from slugline.server.workers import run_workers

            run_workers(settings, models, metrics, listening)


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _check_store(settings: Settings) -> None:
    """Open the corrections' file once, so that what is wrong with it is said before the start."""
    if settings.corrections is not None:
        CorrectionStore(settings.corrections).close()


def run_process(
    settings: Settings, models: Models, metrics: Metrics, listening: socket.socket
) -> None:
    """Answer in this process, until it gets a signal."""
    store = None if settings.corrections is None else CorrectionStore(settings.corrections)
    state = State(settings, models, metrics, store)
    config = uvicorn.Config(
        make_app(state),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.timeout) + 1,
        ws="none",
    )
    with contextlib.ExitStack() as stack:
        if store is not None:
            stack.callback(store.close)
        stack.callback(state.batches.close)
        _Server(config, state).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Answers, and watches the models' files."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._shared = state

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        hangup = asyncio.Event()
        loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, hangup.set)
        watching = asyncio.create_task(self._watch(hangup))
        try:
            await super().serve(sockets)
        finally:
            watching.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End without a traceback: uvicorn would raise the signal again afterwards."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _watch(self, hangup: asyncio.Event) -> None:
        """Read the models' files again when they change, and when a signal asks for it."""
        loop = asyncio.get_running_loop()
        state = self._shared
        while True:
            asked = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hangup.wait(), _WATCH_SECONDS)
                asked = True
                hangup.clear()
            try:
                look = functools.partial(state.models.refresh, even_refused=asked)
                swapped = await loop.run_in_executor(None, look)
            except Exception:  # noqa: BLE001 - it must go on looking
                _log.exception("models could not be read again; those before go on answering")
                continue
            state.metrics.add("model_swaps", len(swapped))
