"""Answers requests in several forked processes; one that dies is replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from types import FrameType
from typing import NamedTuple

from slugline.serving.metrics import Metrics
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.process import run_process

_log = logging.getLogger("slugline.server")

# A process that ends sooner than this after its start is not started again at once.
_SHORT_LIFE = 1.0


class _Worker(NamedTuple):
    """A running process: its number, counted from 0, and when it started."""

    number: int
    started_at: float


class Workers:
    """Forked processes, which share the memory of the models; one that dies is replaced."""

    def __init__(
        self,
        settings: ServeSettings,
        models: ServedModels,
        metrics: Metrics,
        listener: socket.socket,
    ) -> None:
        self._settings, self._models = settings, models
        self._metrics, self._listener = metrics, listener
        # By process id.
        self._running: dict[int, _Worker] = {}
        self._is_ending = False

    def run(self) -> None:
        """Answer requests until a signal ends the processes."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._forward_signal)
        signal.signal(signal.SIGALRM, lambda *_: self._forward_signal(signal.SIGKILL, None))
        for worker in range(self._settings.workers):
            if not self._is_ending:
                self._start(worker)
        while self._running:
            with contextlib.suppress(InterruptedError):
                child, status = os.wait()
                self._replace(child, status)

    def _start(self, worker: int) -> None:
        """Fork a process that answers requests as the worker with this number."""
        try:
            child = os.fork()
        except OSError as error:
            _log.error("no process can be started: %s", error.strerror)
            self._forward_signal(signal.SIGTERM, None)
            return
        if child:
            self._running[child] = _Worker(worker, time.monotonic())
            if self._is_ending:  # the signal came in between
                os.kill(child, signal.SIGTERM)
            return
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # models have just been read
            self._metrics.select_process(worker)
            run_process(
                self._settings,
                self._models,
                self._metrics,
                self._listener,
                learns=worker == 0,
                is_worker=True,
            )
            status = 0
        except Exception:  # noqa: BLE001 - nothing above would log it
            _log.exception("worker %d failed", worker)
        finally:
            os._exit(status)

    def _replace(self, child: int, status: int) -> None:
        """Start another process in place of one that has ended, unless the server is ending."""
        worker = self._running.pop(child)
        self._metrics.reset_gauges(worker.number)
        if self._is_ending:
            return
        code = os.waitstatus_to_exitcode(status)
        _log.error("worker %d ended with %d; another one takes its place", worker.number, code)
        if time.monotonic() - worker.started_at < _SHORT_LIFE:
            time.sleep(_SHORT_LIFE)
        if not self._is_ending:
            self._start(worker.number)

    def _forward_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Send a signal to all workers; except for SIGHUP, the server ends."""
        if number != signal.SIGHUP and not self._is_ending:
            self._is_ending = True
            self._listener.close()
            signal.setitimer(signal.ITIMER_REAL, self._settings.grace + 1.5)
        for child in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
