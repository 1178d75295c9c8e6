"""Runs a server, in one process or several, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import faulthandler
import functools
import gc
import json
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from slugline.corrections.retraining_loop import RetrainingLoop
from slugline.corrections.store import CorrectionStore
from slugline.errors import OptionError, ServerError
from slugline.model.decider import Decider
from slugline.serving.http.acceptor import Acceptor
from slugline.serving.http.app import make_app
from slugline.serving.http.batches import Metrics
from slugline.serving.http.bodies import make_protocol
from slugline.serving.http.health import BEAT_SECONDS, Heartbeats, ProbeProcess
from slugline.serving.http.operations import OPERATIONS
from slugline.serving.http.state import AppState
from slugline.serving.model import Models
from slugline.serving.settings import ServeSettings

# One process --------------------------------------------------------------------------------------

_log = logging.getLogger("slugline.server")

# Seconds between two looks at the models' files.
_WATCH_SECONDS = 1.0
# Objects after which garbage is looked for: a request for many texts makes hundreds, which go away
# by themselves.
_GARBAGE = (20_000, 20, 20)
# Seconds for which a thread that makes answers may keep the event loop from reading and writing.
_SWITCH_SECONDS = 0.0005
# Descriptors for files and other things than connections.
_FILES = 64
# Connections that ask nothing are closed after as many seconds.
_KEEP_ALIVE_SECONDS = 75


def run_process(
    settings: ServeSettings,
    models: Models,
    metrics: Metrics,
    listening: socket.socket,
    *,
    learns: bool = True,
    beat: Callable[[], None] | None = None,
) -> None:
    """Answer requests in this process, until it gets a signal.

    Only the process that `learns` retrains the model from corrections, if the settings ask for it.
    One of several processes calls `beat` to tell the others that it runs, and ends with its parent.
    """
    store = None if settings.corrections is None else CorrectionStore(settings.corrections)
    state = AppState(settings, models, metrics, store, make_learner(settings, models))
    config = uvicorn.Config(
        make_app(state),
        log_config=None,
        access_log=False,
        http=make_protocol(
            settings.timeout,
            # A file arrives, and waits for its answer.
            settings.file_timeout() + settings.timeout,
            _most_connections(settings),
        ),
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.grace),
        ws="none",
    )
    # It would warn of each request that is none.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # What is here to stay need not be looked through each time that garbage is collected.
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    with contextlib.ExitStack() as stack:
        stack.callback(state.close)
        if state.learner is not None:
            stack.callback(state.learner.stop)
            state.learner.open()
            if learns:
                state.learner.start()
        _Server(config, state, beat).run(sockets=[listening])


def _most_connections(settings: ServeSettings) -> int:
    """Return the most connections: some file descriptors are left for files."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return settings.max_connections
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY:
        return settings.max_connections
    return max(1, min(settings.max_connections, most - _FILES))


def make_learner(settings: ServeSettings, models: Models) -> RetrainingLoop | None:
    """Return the loop that retrains the first model from corrections; None if that is off.

    Raises
    ------
    OptionError : if that model comes with Slugline, `learn_every` is out of its range, or the model
        was trained to promise less than `min_precision`, so that a later version may break that.
    """
    if settings.learn_every is None or settings.corrections is None:
        return None
    model, precision = models.default, settings.min_precision or 0.0
    promise = Decider.from_fitted(model.fitted).promise
    if precision > promise:
        raise OptionError(
            f"--min-precision is {precision:g}, and {model.path} was trained to promise "
            f"{promise or 'nothing'}, so what it learns may not reach that; train it with "
            f"`--min-precision {precision:g}`, and leave the option out here."
        )
    return RetrainingLoop(
        model.path,
        settings.learn_from,
        settings.corrections,
        settings.learn_every,
        _log.info,
        warn=_log.warning,
        options=settings.train_options,
    )


class _Server(uvicorn.Server):
    """Answers requests, and watches the models' files."""

    def __init__(
        self, config: uvicorn.Config, state: AppState, beat: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._shared, self._beat = state, beat
        self._parent = os.getppid()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        hangup = asyncio.Event()
        loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, hangup.set)
        watching = asyncio.create_task(self._watch(hangup))
        beating = asyncio.create_task(self._beat_on())
        try:
            await super().serve(sockets)
        finally:
            watching.cancel()
            beating.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if sys.platform == "win32":  # whose event loop can't tell that a connection waits
            await super().startup(sockets)
            return
        await super().startup([])
        most = _most_connections(self._shared.settings)

        def make_protocol() -> asyncio.Protocol:
            protocol: Any = self.config.http_protocol_class
            made: asyncio.Protocol = protocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        acceptors: list[Any] = [Acceptor(each, make_protocol, most) for each in sockets or ()]
        self.servers = acceptors

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Finish running requests after a signal, and end without a traceback.

        uvicorn itself would raise the signal again afterwards.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Whatever hangs then, such as a thread that reads from a dead file system, is shown.
        if not self.should_exit:
            faulthandler.dump_traceback_later(self._shared.settings.grace + 1, exit=True)
        super().handle_exit(sig, frame)

    async def _beat_on(self) -> None:
        """Tell as long as the event loop runs that it does."""
        while self._beat is not None:
            self._beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _watch(self, hangup: asyncio.Event) -> None:
        """Read the models' files again when they change, and after SIGHUP."""
        loop = asyncio.get_running_loop()
        state = self._shared
        while True:
            if self._beat is not None and os.getppid() != self._parent:
                self.should_exit = True  # nobody is left who would end it
            is_requested = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hangup.wait(), _WATCH_SECONDS)
                is_requested = True
                hangup.clear()
            try:
                look = functools.partial(state.models.refresh, even_refused=is_requested)
                swapped = await loop.run_in_executor(None, look)
            except Exception:  # noqa: BLE001 - it must go on looking
                _log.exception("models could not be read again; those before go on answering")
                continue
            state.metrics.add("model_swaps_total", len(swapped))


# Ports to listen on ------------------------------------------------------------------------------

_BACKLOG = 1024


def bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    ServerError : if the address is not of this machine, or in use: by which process, if known.
    """
    host = host.strip("[]")
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ServerError(f"--host {host[:200]} is not known here; give an address.") from None
    # Of two, the one that whoever asks for "localhost" tries.
    addresses.sort(key=lambda candidate: candidate[0] != socket.AF_INET)
    family, kind, protocol, _, address = addresses[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # where it would let two servers have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ServerError(_explain_bind_error(error, host, port, option)) from None
    return listening


def _explain_bind_error(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = _owner(port)
        return (
            f"port {port} of {host} is taken{f' by {owner}' if owner else ''}; stop that, or give "
            f"another {option}."
        )
    if error.errno == errno.EACCES:
        return f"port {port} is not for everybody to take; give a {option} from 1024 on."
    return f"{host} port {port} can't be listened on: {error.strerror}; give another --host."


def _owner(port: int) -> str | None:
    """Return which process listens on a port, from /proc."""
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


# Several processes --------------------------------------------------------------------------------

# A process that ends sooner than this after its start is not started again at once.
_SHORT_LIFE = 1.0


class _Workers:
    """Forked processes, which share the memory of the models; one that dies is replaced.

    So is that of the `probes`, if there is one; it ends last.
    """

    def __init__(
        self,
        settings: ServeSettings,
        models: Models,
        metrics: Metrics,
        listening: socket.socket,
        beats: Heartbeats,
        probes: ProbeProcess | None,
    ) -> None:
        self._arguments = settings, models, metrics, listening
        self._beats, self._probes = beats, probes
        self._n = settings.workers
        self._running: dict[int, tuple[int, float]] = {}
        self._is_ending = False

    def run(self) -> None:
        """Answer requests until a signal ends the processes."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGALRM, lambda *_: self._pass_on(signal.SIGKILL, None))
        for process in range(self._n):
            if not self._is_ending:
                self._start(process)
        while self._running:
            with contextlib.suppress(InterruptedError):
                self._bury(*os.wait())

    def _start(self, process: int) -> None:
        try:
            child = os.fork()
        except OSError as error:
            _log.error("no process can be started: %s", error.strerror)
            self._pass_on(signal.SIGTERM, None)
            return
        if child:
            self._running[child] = process, time.monotonic()
            if self._is_ending:  # the signal came in between
                os.kill(child, signal.SIGTERM)
            return
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # models have just been read
            settings, models, metrics, listening = self._arguments
            metrics.select_process(process)
            beat = functools.partial(self._beats.beat, process)
            run_process(settings, models, metrics, listening, learns=process == 0, beat=beat)
            status = 0
        except Exception:  # noqa: BLE001 - nothing above would say so
            _log.exception("worker %d failed", process)
        finally:
            os._exit(status)

    def _bury(self, child: int, status: int) -> None:
        if self._probes is not None and child == self._probes.id:
            if not self._is_ending:
                _log.error("the process for probes ended; another one takes its place")
                time.sleep(_SHORT_LIFE)
                self._probes.start()
            return
        process, since = self._running.pop(child)
        self._arguments[2].reset_gauges(process)
        self._beats.reset(process)
        if self._is_ending:
            return
        code = os.waitstatus_to_exitcode(status)
        _log.error("worker %d ended with %d; another one takes its place", process, code)
        if time.monotonic() - since < _SHORT_LIFE:
            time.sleep(_SHORT_LIFE)
        if not self._is_ending:
            self._start(process)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if number != signal.SIGHUP and not self._is_ending:
            settings, _, _, listening = self._arguments
            self._is_ending = True
            self._beats.end()
            listening.close()
            signal.setitimer(signal.ITIMER_REAL, settings.grace + 1.5)
        for child in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)


# Logs --------------------------------------------------------------------------------------------


class JsonFormatter(logging.Formatter):
    """Makes a line of JSON of each record, with the time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {"time": time.isoformat(timespec="milliseconds"), "level": record.levelname}
        line["message"] = record.getMessage()
        if hasattr(record, "request_id"):
            line["request_id"] = record.request_id
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


# The server ---------------------------------------------------------------------------------------


def serve(settings: ServeSettings, names: list[str], announce: Callable[[str], object]) -> None:
    """Answer requests until SIGTERM or Ctrl-C, after which running requests are finished.

    SIGHUP reads the models' files again. `announce` receives the address when the server listens.

    Raises
    ------
    ServerError : if the address can't be used.
    OptionError : if two models have one name.
    ModelFileError, EncoderError : if a model can't be read.
    StoreError : if the file of corrections can't be opened.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    forks = settings.workers > 1 or settings.health_port is not None
    if forks and not hasattr(os, "fork"):
        raise OptionError(
            "--workers over 1 and --health-port need a system that can fork; leave them out."
        )
    beats = Heartbeats(settings.workers)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(contextlib.closing(bind(settings.host, settings.port)))
        probes = None
        if settings.health_port is not None:
            probe_socket = bind(settings.host, settings.health_port, "--health-port")
            stack.enter_context(contextlib.closing(probe_socket))
            probes = ProbeProcess(probe_socket, beats, listening)
            stack.callback(probes.end)
            probes.start()
            _log.info("answering probes at %shealth", _address(probe_socket))
        models = Models.load(names, settings.min_precision)
        if settings.corrections is not None:  # so that an error appears before the start
            CorrectionStore(settings.corrections).close()
        make_learner(settings, models)
        operations = [operation.name for operation in OPERATIONS]
        metrics = Metrics(settings.workers, operations, [model.name for model in models.all()])
        announce(_address(listening))
        if forks:
            _Workers(settings, models, metrics, listening, beats, probes).run()
        else:
            run_process(settings, models, metrics, listening)


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
