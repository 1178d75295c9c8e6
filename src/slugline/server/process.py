"""One process of a server: signals, and new versions of models."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator

import uvicorn

from slugline.corrections.learner import Learner
from slugline.corrections.store import CorrectionStore
from slugline.served.models import Models
from slugline.server.app import make_app
from slugline.server.metrics import Metrics
from slugline.server.protocol import protocol_with
from slugline.server.settings import Settings
from slugline.server.state import State

__all__ = ["make_learner", "run_process"]

_log = logging.getLogger("slugline.server")

# Seconds between two looks at the models' files.
_WATCH_SECONDS = 1.0
# Objects after which garbage is looked for: a request for many texts makes hundreds, which go away
# by themselves.
_GARBAGE = (20_000, 20, 20)
# Connections that ask nothing are closed after as many seconds.
_KEEP_ALIVE_SECONDS = 75


def run_process(
    settings: Settings,
    models: Models,
    metrics: Metrics,
    listening: socket.socket,
    *,
    learns: bool = True,
) -> None:
    """Answer in this process, until it gets a signal.

    Parameters
    ----------
    settings : Settings
    models : Models
    metrics : Metrics
    listening : socket.socket
    learns : bool, default True
        Whether it is the process that learns from corrections, if that is wanted.
    """
    store = None if settings.corrections is None else CorrectionStore(settings.corrections)
    state = State(settings, models, metrics, store, make_learner(settings, models))
    config = uvicorn.Config(
        make_app(state),
        log_config=None,
        access_log=False,
        http=protocol_with(settings.timeout),
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.timeout) + 1,
        ws="none",
    )
    # What is here to stay need not be looked through each time that garbage is collected.
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    with contextlib.ExitStack() as stack:
        stack.callback(state.close)
        if state.learner is not None:
            stack.callback(state.learner.stop)
            state.learner.open()
            if learns:
                state.learner.start()
        _Server(config, state).run(sockets=[listening])


def make_learner(settings: Settings, models: Models) -> Learner | None:
    """Return what learns from corrections of the first model; None if nothing is to.

    Raises
    ------
    OptionError : if that model comes with Slugline, or `learn_every` is out of its range.
    """
    if settings.learn_every is None or settings.corrections is None:
        return None
    model = models.default
    return Learner(
        model.path,
        settings.learn_from,
        settings.corrections,
        settings.learn_every,
        _log.info,
        warn=_log.warning,
        options=settings.train_options,
    )


class _Server(uvicorn.Server):
    """Answers, and watches the models' files."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._shared = state
        self._parent = os.getppid()

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
        """End once what runs is finished, and without a traceback.

        uvicorn itself would raise the signal again afterwards.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending

    async def _watch(self, hangup: asyncio.Event) -> None:
        """Read the models' files again when they change, and when a signal asks for it."""
        loop = asyncio.get_running_loop()
        state = self._shared
        while True:
            if state.settings.workers > 1 and os.getppid() != self._parent:
                self.should_exit = True  # nobody is left who would end it
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
