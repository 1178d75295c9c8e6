"""`slugline train --stream`: train on files larger than memory."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.base.names import expand_patterns
from slugline.cli.output import exit_if_interrupted, explain_interrupt, show_progress, warn
from slugline.cli.output_paths import check_target
from slugline.cli.train_options import TrainRequest
from slugline.cli.train_results import print_results, save_model
from slugline.corpus.layout import convert_options
from slugline.corpus.loading import is_named_corpus
from slugline.errors import OptionError
from slugline.experiment.experiment import Experiment, run_stream
from slugline.model.parts.fit import StreamOptions

if TYPE_CHECKING:
    from distributed import Client


def train_stream(request: TrainRequest) -> None:
    """Train on files of any size, save the model, and print its metrics."""
    _check(request)
    with explain_interrupt(lambda: "interrupted; no model was saved"):
        experiment = _fit(request)
        _warn(experiment, request)
        results = save_model(experiment, request.output)
    print_results(results, request.as_json)
    exit_if_interrupted(experiment.fitted)


def _warn(experiment: Experiment, request: TrainRequest) -> None:
    """Print problems of a model before it is saved."""
    if experiment.fitted.interrupted:
        advice = "Rerun for a better model."
        if request.output.exists():
            advice += f" `slugline rollback {request.output}` restores the previous one."
        warn([f"training was interrupted and used only some of the documents. {advice}"])
    warn(experiment.warnings)


def _check(request: TrainRequest) -> None:
    """Check that DATA are files and that the model can be written."""
    corpus = next((name for name in request.data if is_named_corpus(name)), None)
    if corpus is not None:
        raise OptionError(
            f"{corpus} is a small built-in data set; omit --stream, --workers and "
            "--scheduler, or name files."
        )
    check_target("--output", request.output, expand_patterns(request.data))
    folder = os.environ.get("TMPDIR")
    if folder and not (Path(folder).is_dir() and os.access(folder, os.W_OK)):
        raise OptionError(
            f"TMPDIR={folder} is not a writable folder; choose one with enough space, or unset it."
        )


def _fit(request: TrainRequest) -> Experiment:
    files = expand_patterns(request.data)
    if request.scheduler is not None or request.workers is not None:
        # Workers may run in a different folder.
        files = [file if file == "-" else os.path.abspath(file) for file in files]  # noqa: PTH100
    with _clean_up_on_sigterm(), show_progress() as progress, _dask_client(request) as client:
        return run_stream(
            files,
            request.settings,
            convert_options(request.reading, StreamOptions),
            name=" ".join(request.data),
            client=client,
            progress=progress,
        )


@contextmanager
def _dask_client(request: TrainRequest) -> Iterator[Client | str | None]:
    """Start the requested workers; yield the `client` argument of `fit_stream`."""
    if request.scheduler is None and request.workers is None:
        yield None
        return
    from slugline.base.clusters import local_cluster, unlogged

    with unlogged():
        if request.workers is None:
            yield request.scheduler
            return
        with local_cluster(request.workers) as client:
            yield client


@contextmanager
def _clean_up_on_sigterm() -> Iterator[None]:
    """Exit cleanly on SIGTERM: remove temporary files and stop workers."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
