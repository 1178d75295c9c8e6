"""Runs a server in one or several processes."""

from __future__ import annotations

import sys
from collections.abc import Callable

from slugline.corrections.store import CorrectionStore
from slugline.errors import OptionError
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.addresses import find_address
from slugline.serving.server.app_server import AppServer
from slugline.serving.server.process import make_learner, make_process_app
from slugline.serving.server.workers import run_workers
from slugline.serving.watch.store import WatchStore


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
            CorrectionStore(settings.corrections).close()
        if settings.watch is not None:
            WatchStore(settings.watch).close()
        learner = make_learner(settings, models)
        address.call_when_open(lambda: announce(address.url))
        run_workers(settings, names, address, learner, start_log)
    else:
        server = AppServer(make_process_app(settings, models), settings, address)
        address.call_when_open(lambda: announce(address.url))
        server.run()
