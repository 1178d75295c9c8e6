"""`slugline predict -o out/`: a file of answers for each of many files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from slugline.base.names import is_pattern
from slugline.cli.options import check_model_first, is_model
from slugline.cli.output import say, show_progress
from slugline.errors import DataError, OptionError, SluglineError
from slugline.model.file.content import DEFAULT, SHIPPED

if TYPE_CHECKING:
    from slugline.prediction.job import JobResult
    from slugline.prediction.rows import PredictOptions


_PANEL = "With a folder for --output"

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="Format of the answers: csv, tsv, jsonl or parquet.",
        show_default="that of each FILE",
        rich_help_panel=_PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Processes that answer files side by side.",
        show_default="one for each core",
        rich_help_panel=_PANEL,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Let a Dask cluster answer them, such as tcp://10.0.0.1:8786; its machines must see "
        "FILE and the folder by the same paths.",
        show_default="this machine",
        rich_help_panel=_PANEL,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        metavar="",
        help="Replace answers of another model or of other options.",
        rich_help_panel=_PANEL,
    ),
]


class FolderRun(NamedTuple):
    """How to run a job, which changes no answer."""

    workers: int | None
    scheduler: str | None
    overwrite: bool
    quiet: bool


def is_folder(output: str) -> bool:
    """Whether an output is a folder: one that is there, or a name that ends in a slash."""
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def check_no_folder(files: Sequence[str] | None, options: PredictOptions, run: FolderRun) -> None:
    """Check that no option was given that needs a folder of answers; OptionError if one was."""
    values = {
        "--to": options.to,
        "--workers": run.workers,
        "--scheduler": run.scheduler,
        "--overwrite": run.overwrite or None,
    }
    for flag, value in values.items():
        if value is not None:
            raise OptionError(
                f"{flag} is about a folder of answers; name one, such as --output out/."
            )
    if files and (len(files) > 1 or is_pattern(files[0])):
        description = (
            f"{len(files)} files" if len(files) > 1 else f"{files[0]} is a pattern for files"
        )
        raise OptionError(
            f"{description}, whose answers go into a folder; name one, such as --output out/."
        )


def model_and_files(
    first: str | None, others: Sequence[str] | None, quiet: bool
) -> tuple[str, list[str]]:
    """Return MODEL and FILE, either of which may be left out.

    Raises
    ------
    DataError : if the first is neither a model nor a file, or they are in another order.
    """
    others = list(others or ())
    if first is not None and others:
        check_model_first("predict", first, others[0])
        return first, others
    if first is not None and is_model(first):
        return first, ["-"]
    if first not in (None, "-") and not (Path(first).exists() or is_pattern(first)):
        raise DataError(
            f"{first} is neither a model nor a file of texts: there is no such file; check the "
            f"path, or name a model: {', '.join(SHIPPED)}, or a file that ends in .slug."
        )
    say(
        f"using the shipped model {DEFAULT} ({SHIPPED[DEFAULT]}); "
        "name your own with slugline predict MODEL FILE",
        quiet=quiet,
    )
    return DEFAULT, [first or "-"]


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
    text = f"{out}: answers to {result.n_files:,} file{'s' if result.n_files != 1 else ''}"
    if result.n_files:
        text += f", {result.n_rows:,} rows in {result.seconds:,.1f} s, {speed:,.0f} a second"
    if result.n_there:
        text += f"; {result.n_there:,} had them before"
    say(text, quiet=quiet)
    if result.failed:
        n_files = result.n_files + len(result.failed)
        raise SluglineError(
            f"{len(result.failed):,} of {n_files:,} file{'s' if n_files > 1 else ''} could not be "
            "answered; fix them, and run this again: it answers only these."
        )
    if result.n_bad:
        files = f"{result.n_bad_files:,} file{'s' if result.n_bad_files > 1 else ''}"
        rows = f"{result.n_bad:,} row{'s' if result.n_bad > 1 else ''}"
        say(f'{rows} of {files} could not be classified; "error" there says why', quiet=quiet)
        raise typer.Exit(1)
