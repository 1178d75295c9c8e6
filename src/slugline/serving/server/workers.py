"""Serves in several processes with granian, replacing any that die."""

from __future__ import annotations

import math
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from granian import Granian

from slugline.serving.metrics import SHARED_FOLDER
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.addresses import Address
from slugline.serving.server.app_server import granian_options
from slugline.serving.server.process import make_process_app

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from slugline.corrections.learning_loop import LearningLoop


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
