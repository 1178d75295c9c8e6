"""Several processes that answer on one port."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from types import FrameType

from slugline.errors import OptionError
from slugline.served.models import Models
from slugline.server.metrics import Metrics
from slugline.server.process import run_process
from slugline.server.settings import Settings

__all__ = ["run_workers"]

_log = logging.getLogger("slugline.server")

# A process that ends sooner than this after its start is not started again at once.
_SHORT_LIFE = 1.0


def run_workers(
    settings: Settings, models: Models, metrics: Metrics, listening: socket.socket
) -> None:
    """Answer in several processes, until a signal ends them; one that ends on its own is replaced.

    They are forked, and share the memory of the models that were read before.
    """
    if not hasattr(os, "fork"):
        raise OptionError("--workers over 1 needs a system that can fork; leave it out.")
    _Workers(settings, models, metrics, listening).run()


class _Workers:
    """The processes, and what ends and replaces them."""

    def __init__(
        self, settings: Settings, models: Models, metrics: Metrics, listening: socket.socket
    ) -> None:
        self._arguments = settings, models, metrics, listening
        self._n = settings.workers
        self._running: dict[int, tuple[int, float]] = {}
        self._is_ending = False

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        for process in range(self._n):
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
            metrics.be(process)
            run_process(settings, models, metrics, listening, learns=process == 0)
            status = 0
        except Exception:  # noqa: BLE001 - nothing above would say so
            _log.exception("worker %d failed", process)
        finally:
            os._exit(status)

    def _bury(self, child: int, status: int) -> None:
        process, since = self._running.pop(child)
        self._arguments[2].forget(process)
        if self._is_ending:
            return
        _log.error(
            "worker %d ended with %d; another one takes its place",
            process,
            os.waitstatus_to_exitcode(status),
        )
        if time.monotonic() - since < _SHORT_LIFE:
            time.sleep(_SHORT_LIFE)
        if not self._is_ending:
            self._start(process)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._is_ending = self._is_ending or number != signal.SIGHUP
        for child in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
