"""A server from its start to its end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from slugline.corrections.store import CorrectionStore
from slugline.served.models import Models
from slugline.server.metrics import Metrics
from slugline.server.ports import address_of, bind
from slugline.server.process import make_learner, run_process
from slugline.server.settings import Settings
from slugline.server.workers import run_workers

__all__ = ["serve"]


def serve(settings: Settings, names: list[str], announce: Callable[[str], object]) -> None:
    """Answer until a signal ends it: SIGTERM or Ctrl-C, after what is running is finished.

    SIGHUP reads the models' files again.

    Parameters
    ----------
    settings : Settings
    names : list of str
        Models; the one that comes with Slugline if there is none.
    announce : callable
        Told the address when it can be asked.

    Raises
    ------
    ServerError : if the address can't be had.
    OptionError : if two models have one name.
    ModelFileError, EncoderError : if a model can't be read.
    StoreError : if the file of corrections can't be opened.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    listening = bind(settings)
    with contextlib.closing(listening):
        models = Models.load(names)
        _check_store(settings)
        make_learner(settings, models)
        metrics = Metrics(settings.workers)
        announce(address_of(listening))
        if settings.workers == 1:
            run_process(settings, models, metrics, listening)
        else:
            run_workers(settings, models, metrics, listening)


def _check_store(settings: Settings) -> None:
    """Open the corrections' file once, so that what is wrong with it is said before the start."""
    if settings.corrections is not None:
        CorrectionStore(settings.corrections).close()
