"""Answers requests in one process."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import gc
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from slugline.corrections.learning_loop import LearningLoop
from slugline.corrections.store import CorrectionStore
from slugline.errors import OptionError
from slugline.model.decider import Decider
from slugline.serving.metrics import Metrics
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.app import make_app
from slugline.serving.server.probes import BEAT_SECONDS
from slugline.serving.service import Service
from slugline.serving.web.acceptor import Acceptor
from slugline.serving.web.connections import make_protocol
from slugline.serving.web.state import WebState

_log = logging.getLogger("slugline.server")

# Seconds between two checks of the models' files.
_WATCH_SECONDS = 1.0
# Thresholds of the garbage collector: a request for many texts makes hundreds of objects, which are
# freed without it.
_GARBAGE = (20_000, 20, 20)
# Seconds for which a thread that classifies may keep the event loop waiting.
_SWITCH_SECONDS = 0.0005
# File descriptors for other things than connections.
_FILES = 64
# Seconds after which an idle connection is closed.
_KEEP_ALIVE_SECONDS = 75


def run_process(
    settings: ServeSettings,
    models: ServedModels,
    metrics: Metrics,
    listener: socket.socket,
    *,
    learns: bool = True,
    beat: Callable[[], None] | None = None,
) -> None:
    """Answer requests in this process, until it gets a signal.

    If the settings ask for it, the process with `learns` retrains the model from corrections. If
    there are several processes, each calls `beat` to show that it runs, and ends when its parent
    does.
    """
    store = None if settings.corrections is None else CorrectionStore(settings.corrections)
    learner = make_learner(settings, models)
    service = Service.from_settings(settings, models, metrics, store, learner)
    config = uvicorn.Config(
        make_app(WebState(settings, service)),
        log_config=None,
        access_log=False,
        http=make_protocol(
            settings.timeout,
            # A file arrives, and waits for its answer.
            settings.file_timeout() + settings.timeout,
            _max_connections(settings),
        ),
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.grace),
        ws="none",
    )
    # uvicorn would log a warning for each malformed request.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Objects that stay need not be examined by each collection.
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    with contextlib.ExitStack() as stack:
        stack.callback(service.close)
        if learner is not None:
            stack.callback(learner.stop)
            learner.open()
            if learns:
                learner.start()
        _Server(config, service, settings, beat).run(sockets=[listener])


def _max_connections(settings: ServeSettings) -> int:
    """Return the limit of connections, which leaves some file descriptors for files."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return settings.max_connections
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return settings.max_connections
    return max(1, min(settings.max_connections, limit - _FILES))


def make_learner(settings: ServeSettings, models: ServedModels) -> LearningLoop | None:
    """Return the loop that retrains the first model from corrections; None if learning is off.

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
    return LearningLoop(
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
        self,
        config: uvicorn.Config,
        service: Service,
        settings: ServeSettings,
        beat: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._service, self._settings, self._beat = service, settings, beat
        self._parent = os.getppid()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        hangup = asyncio.Event()
        loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, hangup.set)
        watching = asyncio.create_task(self._watch(hangup))
        beating = asyncio.create_task(self._send_heartbeats())
        try:
            await super().serve(sockets)
        finally:
            watching.cancel()
            beating.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if sys.platform == "win32":  # its event loop can't watch a listening socket
            await super().startup(sockets)
            return
        await super().startup([])
        limit = _max_connections(self._settings)

        def make_protocol() -> asyncio.Protocol:
            protocol: Any = self.config.http_protocol_class
            made: asyncio.Protocol = protocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        acceptors: list[Any] = [Acceptor(each, make_protocol, limit) for each in sockets or ()]
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
        # Shows where a thread hangs, such as in reading from a dead file system.
        if not self.should_exit:
            faulthandler.dump_traceback_later(self._settings.grace + 1, exit=True)
        super().handle_exit(sig, frame)

    async def _send_heartbeats(self) -> None:
        """Send heartbeats as long as the event loop runs."""
        while self._beat is not None:
            self._beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _watch(self, hangup: asyncio.Event) -> None:
        """Read the models' files again when they change, and after SIGHUP."""
        loop = asyncio.get_running_loop()
        models, metrics = self._service.models, self._service.metrics
        while True:
            if self._beat is not None and os.getppid() != self._parent:
                self.should_exit = True  # the parent, which would end it, is gone
            is_requested = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hangup.wait(), _WATCH_SECONDS)
                is_requested = True
                hangup.clear()
            try:
                refresh = functools.partial(models.refresh, even_refused=is_requested)
                replaced = await loop.run_in_executor(None, refresh)
            except Exception:  # noqa: BLE001 - it must go on watching
                _log.exception(
                    "models could not be read again; the previous ones continue to answer"
                )
                continue
            metrics.add("model_swaps_total", len(replaced))
