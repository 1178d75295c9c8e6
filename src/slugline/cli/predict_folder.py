"""`slugline predict -o out/`: a file of answers for each of many files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from slugline.base.words import counted
from slugline.cli.output import say, show_progress
from slugline.errors import OptionError, SluglineError

if TYPE_CHECKING:
    from slugline.prediction.job import JobResult
    from slugline.prediction.rows import PredictOptions


class FolderRun(NamedTuple):
    """How to run a job, which changes no answer."""

    workers: int | None
    scheduler: str | None
    overwrite: bool
    quiet: bool


def predict_folder(
    model: str, files: Sequence[str], out: Path, options: PredictOptions, run: FolderRun
) -> None:
    """Write a file of answers for each file.

    Raises
    ------
    SluglineError : see `slugline.prediction.job.predict_files`; also if a file has no answers.
    """
    if run.scheduler is not None and run.workers is not None:
        raise OptionError("--scheduler and --workers name two places to work at; give one of them.")
    from slugline.base.clusters import unlogged
    from slugline.prediction.job import predict_files

    with unlogged(), show_progress(run.quiet) as progress:
        try:
            result = predict_files(
                *(model, files, out, options),
                overwrite=run.overwrite,
                n_workers=run.workers,
                client=run.scheduler,
                progress=progress,
            )
        except KeyboardInterrupt:
            say("interrupted: the same command goes on from there.", quiet=run.quiet)
            raise
    _finish(result, out, run.quiet)


def _finish(result: JobResult, out: Path, quiet: bool) -> None:
    speed = result.n_rows / max(result.seconds, 1e-3)
    text = f"{out}: answers to {counted(result.n_files, 'file')}"
    if result.n_files:
        text += f", {result.n_rows:,} rows in {result.seconds:,.1f} s, {speed:,.0f} a second"
    if result.n_there:
        text += f"; {result.n_there:,} had them before"
    say(text, quiet=quiet)
    if result.failed:
        files = counted(result.n_files + len(result.failed), "file")
        raise SluglineError(
            f"{len(result.failed):,} of {files} could not be answered; fix them, and run this "
            "again: it answers only these."
        )
    if result.n_bad:
        rows, files = counted(result.n_bad, "row"), counted(result.n_bad_files, "file")
        say(f'{rows} of {files} could not be classified; "error" there says why', quiet=quiet)
        raise click.exceptions.Exit(1)
