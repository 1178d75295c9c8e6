"""The application of a process and its resources."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from slugline.corrections.learning_loop import LearningLoop
from slugline.errors import OptionError
from slugline.labels.store import LabelStore
from slugline.model.decider import Decider
from slugline.serving.metrics import Metrics
from slugline.serving.page.rendering import compile_templates
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.server.app import make_app
from slugline.serving.service import Service
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.store import WatchStore
from slugline.serving.web.state import WebState

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log = logging.getLogger("slugline.server")

# Seconds between checks for changed model files.
_WATCH_SECONDS = 1.0
# Garbage collector thresholds: a request with many texts creates hundreds of objects, which
# reference counting frees.
_GARBAGE = (20_000, 20, 20)
# Maximum seconds that a classification thread delays the event loop.
_SWITCH_SECONDS = 0.0005


def make_process_app(
    settings: ServeSettings, models: ServedModels, *, is_worker: bool = False
) -> ASGIApp:
    """Build the application of a process; its lifespan closes all resources.

    A worker, one of several processes, leaves training to its parent and ends with it.
    """
    metrics = Metrics({model.name: model.fitted.topics.names for model in models.all()})
    store = None if settings.corrections is None else LabelStore(settings.corrections)
    learner = make_learner(settings, models)
    watch = Watch(
        metrics,
        None if settings.watch is None else WatchStore(settings.watch),
        n_kept=settings.keep_texts,
        keep_days=settings.keep_days,
    )
    service = Service(settings, models, metrics, store, learner, watch)

    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:  # noqa: ARG001
        with contextlib.ExitStack() as stack:
            stack.callback(service.close)
            watch.start()
            if learner is not None:
                stack.callback(learner.stop)
                learner.open()
                if not is_worker:
                    learner.start()
            refreshing = asyncio.create_task(_refresh_models(models, metrics))
            stack.callback(refreshing.cancel)
            if is_worker:
                ending = asyncio.create_task(_end_with_parent(os.getppid()))
                stack.callback(ending.cancel)
            yield

    compile_templates()
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Exclude permanent objects from garbage collection.
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    return make_app(WebState(settings, service), lifespan)


def make_learner(settings: ServeSettings, models: ServedModels) -> LearningLoop | None:
    """Create the loop that retrains the first model from corrections; None if disabled.

    Raises
    ------
    OptionError : if the model is included in Slugline, `learn_every` is out of range, or the model
        was trained for a precision below `min_precision`, which later versions might not reach.
    """
    if settings.learn_every is None or settings.corrections is None:
        return None
    model, precision = models.default, settings.min_precision or 0.0
    promise = Decider.from_fitted(model.fitted).promise
    if precision > promise:
        raise OptionError(
            f"--min-precision is {precision:g}, but {model.path} guarantees "
            f"{promise or 'none'}, so retrained versions may not reach it; train with "
            f"`--min-precision {precision:g}`, and remove the option here."
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
    )


async def _refresh_models(models: ServedModels, metrics: Metrics) -> None:
    """Reload model files when they change."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        try:
            replaced = await asyncio.to_thread(models.refresh)
        except Exception:  # noqa: BLE001 - keep watching
            _log.exception("models could not be reloaded; still serving the previous versions")
            continue
        metrics.add("model_swaps", len(replaced))


async def _end_with_parent(parent: int) -> None:
    """End this process if its parent died without ending it."""
    while os.getppid() == parent:
        await asyncio.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
