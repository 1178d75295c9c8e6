"""Runs a server in one or several processes."""

from __future__ import annotations

import datetime
import json
import logging
import math
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from granian import Granian

from slugline.errors import OptionError
from slugline.labels.store import LabelStore
from slugline.serving.metrics import SHARED_FOLDER
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.addresses import Address, find_address
from slugline.serving.server.app_server import AppServer, granian_options
from slugline.serving.server.process import make_learner, make_process_app
from slugline.serving.watch.store import WatchStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from slugline.corrections.learning_loop import LearningLoop


def serve(
    settings: ServeSettings,
    names: list[str],
    start_log: Callable[[], object],
    announce: Callable[[str], object],
) -> None:
    """Serve until SIGTERM or Ctrl-C; running requests are finished first.

    `start_log` is called in each process, `announce` with the address once the server listens.

    Raises
    ------
    ServerError : if the address can't be used.
    OptionError : if two models share a name.
    ModelFileError, EncoderError : if a model can't be loaded.
    StoreError : if the file of corrections or daily sums can't be opened.
    """
    if settings.workers > 1 and sys.platform == "win32":
        raise OptionError("--workers over 1 is not supported on Windows; remove it.")
    start_log()
    address = find_address(settings.host, settings.port)
    models = ServedModels.load(names, settings.min_precision)
    if settings.workers > 1:
        # Report errors before starting the workers.
        if settings.corrections is not None:
            LabelStore(settings.corrections).close()
        if settings.watch is not None:
            WatchStore(settings.watch).close()
        learner = make_learner(settings, models)
        address.call_when_open(lambda: announce(address.url))
        run_workers(settings, names, address, learner, start_log)
    else:
        server = AppServer(make_process_app(settings, models), settings, address)
        address.call_when_open(lambda: announce(address.url))
        server.run()


class JsonFormatter(logging.Formatter):
    """Formats each record as a line of JSON, with the time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {"time": time.isoformat(timespec="milliseconds"), "level": record.levelname}
        line["message"] = record.getMessage()
        if hasattr(record, "request_id"):
            line["request_id"] = record.request_id
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def run_workers(
    settings: ServeSettings,
    names: Sequence[str],
    address: Address,
    learner: LearningLoop | None,
    start_log: Callable[[], object],
) -> None:
    """Serve in several processes until SIGINT or SIGTERM.

    `start_log` is called in each process.
    """
    with tempfile.TemporaryDirectory(prefix="slugline-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        # Forked processes would inherit modules imported without the folder.
        multiprocessing.set_start_method("spawn", force=True)
        server = Granian(
            "slugline",
            workers=settings.workers,
            respawn_failed_workers=True,
            workers_kill_timeout=max(1, math.ceil(settings.grace)),
            **granian_options(settings, address),
        )
        if learner is not None:
            learner.open()
            server.on_startup(learner.start)
            server.on_shutdown(learner.stop)
        server.serve(
            target_loader=partial(_load_app, settings, names, start_log), wrap_loader=False
        )


def _load_app(
    settings: ServeSettings, names: Sequence[str], start_log: Callable[[], object]
) -> ASGIApp:
    """Build the application of a newly spawned worker."""
    start_log()
    models = ServedModels.load(names, settings.min_precision)
    return make_process_app(settings, models, is_worker=True)
