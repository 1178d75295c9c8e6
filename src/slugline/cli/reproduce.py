"""`slugline reproduce`: the newswire lesson from start to finish, its numbers beside ours."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slugline.cli.options import COUNT, command, option, output_options
from slugline.cli.output import print_json, print_table, say, show, show_progress
from slugline.cli.targets import check_target
from slugline.errors import OptionError, os_errors_as

if TYPE_CHECKING:
    from slugline.experiment.lesson import NotebookResult


@command()
@option("--seeds N", "How many times to train each network.", type=COUNT, default=1)
@option("--out DIR", "Folder for report.html.", type=Path, default=Path("reproduce-out"))
@option("--seed N", "The first seed.", type=click.IntRange(min=0), default=0)
@output_options
def reproduce(seeds: int, out: Path, seed: int, as_json: bool) -> None:
    """Run every step of the Keras newswire lesson and show its numbers beside ours.

    For example:

      slugline reproduce
      slugline reproduce --seeds 10 --json > numbers.json
    """
    from slugline.experiment.lesson import run
    from slugline.reports.lesson import notebook_page
    from slugline.reports.page import write_page

    _check_folder(out)
    with show_progress() as progress:
        result = run(seeds, seed, progress)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)
    report = write_page(notebook_page(result), out / "report.html")
    if as_json:
        say(f"report  {report}")
    else:
        show(f"report  {report}")


def _check_folder(out: Path) -> None:
    """Raise before the work rather than after it; the folder is created only then."""
    if out.is_dir():
        check_target("--out", out / "report.html")
        return
    nearest = next(folder for folder in (out, *out.parents) if os.path.lexists(folder))
    failure = f"--out {out}: the folder can't be created"
    with os_errors_as(OptionError, failure, "choose another one."):
        tempfile.TemporaryFile(dir=nearest).close()


def _print(result: NotebookResult) -> None:
    from slugline.reports.lesson import compare_with_lesson

    rows = compare_with_lesson(result)
    print_table(
        [
            ("", "lesson", "ours"),
            *((f"{row.step}: {row.name}", row.lesson, row.ours) for row in rows),
        ]
    )
    memory = "" if result.peak_memory_mb is None else f", at most {result.peak_memory_mb:,.0f} MB"
    n_seeds = len(result.seeds)
    show(f"{n_seeds} {'seed' if n_seeds == 1 else 'seeds'}, {result.seconds:.1f} s{memory}")
