"""Answers requests in several forked processes; one that dies is replaced."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import time
from types import FrameType

from slugline.serving.metrics import Metrics
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.probes import Heartbeats, ProbeProcess
from slugline.serving.server.process import run_process

_log = logging.getLogger("slugline.server")

# A process that ends sooner than this after its start is not started again at once.
_SHORT_LIFE = 1.0


class Workers:
    """Forked processes, which share the memory of the models; one that dies is replaced.

    The process of the `probes`, if there is one, is replaced as well, and ends last.
    """

    def __init__(
        self,
        settings: ServeSettings,
        models: ServedModels,
        metrics: Metrics,
        listening: socket.socket,
        beats: Heartbeats,
        probes: ProbeProcess | None,
    ) -> None:
        self._settings, self._models = settings, models
        self._metrics, self._listening = metrics, listening
        self._beats, self._probes = beats, probes
        self._running: dict[int, tuple[int, float]] = {}
        self._is_ending = False

    def run(self) -> None:
        """Answer requests until a signal ends the processes."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGALRM, lambda *_: self._pass_on(signal.SIGKILL, None))
        for process in range(self._settings.workers):
            if not self._is_ending:
                self._start(process)
        while self._running:
            with contextlib.suppress(InterruptedError):
                child, status = os.wait()
                self._replace(child, status)

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
            self._metrics.select_process(process)
            run_process(
                self._settings,
                self._models,
                self._metrics,
                self._listening,
                learns=process == 0,
                beat=functools.partial(self._beats.beat, process),
            )
            status = 0
        except Exception:  # noqa: BLE001 - nothing above would log it
            _log.exception("worker %d failed", process)
        finally:
            os._exit(status)

    def _replace(self, child: int, status: int) -> None:
        if self._probes is not None and child == self._probes.id:
            if not self._is_ending:
                _log.error("the process for probes ended; another one takes its place")
                time.sleep(_SHORT_LIFE)
                self._probes.start()
            return
        process, started_at = self._running.pop(child)
        self._metrics.reset_gauges(process)
        self._beats.reset(process)
        if self._is_ending:
            return
        code = os.waitstatus_to_exitcode(status)
        _log.error("worker %d ended with %d; another one takes its place", process, code)
        if time.monotonic() - started_at < _SHORT_LIFE:
            time.sleep(_SHORT_LIFE)
        if not self._is_ending:
            self._start(process)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if number != signal.SIGHUP and not self._is_ending:
            self._is_ending = True
            self._beats.end()
            self._listening.close()
            signal.setitimer(signal.ITIMER_REAL, self._settings.grace + 1.5)
        for child in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
