"""`slugline predict -o out/`: write an answer file for each input file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from slugline.base.clusters import unlogged
from slugline.base.wording import counted
from slugline.cli.output import explain_interrupt, say, show_progress
from slugline.errors import OptionError, SluglineError
from slugline.prediction.job import JobResult, predict_files
from slugline.prediction.rows import PredictOptions


def predict_folder(
    model: str,
    files: Sequence[str],
    out: Path,
    options: PredictOptions,
    *,
    n_workers: int | None,
    scheduler: str | None,
    overwrite: bool,
) -> None:
    """Write an answer file for each input file.

    `scheduler` is the address of a Dask cluster. With `overwrite`, answers made by a different
    model or with other options are replaced.

    Raises
    ------
    SluglineError : see `slugline.prediction.job.predict_files`; also if any file failed.
    """
    if scheduler is not None and n_workers is not None:
        raise OptionError(
            "--scheduler uses a cluster, and --workers this machine; give one of them."
        )
    message = "interrupted: the same command resumes the job."
    with unlogged(), explain_interrupt(lambda: message), show_progress() as progress:
        result = predict_files(
            model,
            files,
            out,
            options,
            overwrite=overwrite,
            n_workers=n_workers,
            client=scheduler,
            progress=progress,
        )
    _finish(result, out)


def _finish(result: JobResult, out: Path) -> None:
    speed = result.n_rows / max(result.seconds, 1e-3)
    text = f"{out}: answers to {counted(result.n_files, 'file')}"
    if result.n_files:
        text += f", {result.n_rows:,} rows in {result.seconds:,.1f} s, {speed:,.0f} a second"
    if result.n_up_to_date:
        text += f"; {result.n_up_to_date:,} had them already"
    say(text)
    if result.failed:
        files = counted(result.n_files + len(result.failed), "file")
        raise SluglineError(
            f"{len(result.failed):,} of {files} failed. Fix them and rerun; finished files are "
            "skipped."
        )
    if result.n_bad:
        rows, files = counted(result.n_bad, "row"), counted(result.n_bad_files, "file")
        say(f'{rows} of {files} could not be classified; see "error" in the answers')
        raise click.exceptions.Exit(1)
