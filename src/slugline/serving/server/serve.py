"""Starts a server, in one process or several, and ends it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable

from slugline.corrections.store import CorrectionStore
from slugline.errors import OptionError
from slugline.serving.http.operations import OPERATIONS
from slugline.serving.metrics import Metrics
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.ports import address_of, bind
from slugline.serving.server.process import make_learner, run_process
from slugline.serving.server.workers import Workers
from slugline.serving.watch.store import WatchStore

_log = logging.getLogger("slugline.server")


def serve(settings: ServeSettings, names: list[str], announce: Callable[[str], object]) -> None:
    """Answer requests until SIGTERM or Ctrl-C, after which running requests are finished.

    SIGHUP reads the models' files again. `announce` receives the address when the server listens.

    Raises
    ------
    ServerError : if the address can't be used.
    OptionError : if two models have one name.
    ModelFileError, EncoderError : if a model can't be read.
    StoreError : if the file of corrections or of daily sums can't be opened.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the models have been read
    if settings.workers > 1 and not hasattr(os, "fork"):
        raise OptionError("--workers over 1 needs a system that can fork; leave it out.")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(bind(settings.host, settings.port)))
        models = ServedModels.load(names, settings.min_precision)
        if settings.corrections is not None:  # so that an error appears before the start
            CorrectionStore(settings.corrections).close()
        if settings.watch is not None:
            WatchStore(settings.watch).close()
        make_learner(settings, models)
        operations = [operation.name for operation in OPERATIONS]
        topics = {model.name: model.fitted.topics.names for model in models.all()}
        metrics = Metrics(settings.workers, operations, topics)
        announce(address_of(listener))
        if settings.workers > 1:
            Workers(settings, models, metrics, listener).run()
        else:
            run_process(settings, models, metrics, listener)
