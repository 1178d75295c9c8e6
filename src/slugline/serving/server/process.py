"""Answers requests in one process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from slugline.corrections.learning_loop import LearningLoop
from slugline.corrections.store import CorrectionStore
from slugline.errors import OptionError
from slugline.model.decider import Decider
from slugline.serving.metrics import Metrics
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.app import make_app
from slugline.serving.server.app_server import AppServer
from slugline.serving.service import Service
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.store import WatchStore
from slugline.serving.web.state import WebState

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log = logging.getLogger("slugline.server")

# Seconds between two checks of the models' files.
_WATCH_SECONDS = 1.0
# Thresholds of the garbage collector: a request for many texts makes hundreds of objects, which are
# freed without it.
_GARBAGE = (20_000, 20, 20)
# Seconds for which a thread that classifies may keep the event loop waiting.
_SWITCH_SECONDS = 0.0005


def run_process(
    settings: ServeSettings,
    models: ServedModels,
    metrics: Metrics,
    listener: socket.socket,
    *,
    learns: bool = True,
    is_worker: bool = False,
) -> None:
    """Answer requests in this process, until it gets a signal.

    If the settings ask for it, the process with `learns` retrains the model from corrections. A
    worker, which is one of several processes, ends when its parent does.
    """
    store = None if settings.corrections is None else CorrectionStore(settings.corrections)
    learner = make_learner(settings, models)
    watch = Watch(
        metrics,
        None if settings.watch is None else WatchStore(settings.watch),
        n_kept=settings.keep_texts,
        keep_days=settings.keep_days,
    )
    service = Service.from_settings(settings, models, metrics, store, learner, watch)
    app = make_app(WebState(settings, service))
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Objects that stay need not be examined by each collection.
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    with contextlib.ExitStack() as stack:
        stack.callback(service.close)
        watch.start()
        if learner is not None:
            stack.callback(learner.stop)
            learner.open()
            if learns:
                learner.start()
        _Server(app, service, settings, is_worker=is_worker).run(sockets=[listener])


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
        text=settings.text,
        topic=settings.topic,
        approve=settings.approve,
    )


class _Server(AppServer):
    """Answers requests, and watches the models' files."""

    def __init__(
        self, app: ASGIApp, service: Service, settings: ServeSettings, *, is_worker: bool
    ) -> None:
        super().__init__(app, settings)
        self._service = service
        self._parent = os.getppid() if is_worker else None

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

    async def _watch(self, hangup: asyncio.Event) -> None:
        """Read the models' files again when they change, and after SIGHUP."""
        loop = asyncio.get_running_loop()
        models, metrics = self._service.models, self._service.metrics
        while True:
            if self._parent is not None and os.getppid() != self._parent:
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
