"""`slugline reproduce`: run the newswire lesson and compare its results with ours."""

from __future__ import annotations

from pathlib import Path

import click

from slugline.base.files import write_result
from slugline.base.wording import counted
from slugline.cli.options import COUNT, command, option, output_options
from slugline.cli.output import print_json, print_table, say, show, show_progress
from slugline.cli.output_paths import check_folder
from slugline.experiment import lesson
from slugline.experiment.lesson import NotebookResult
from slugline.reports.lesson import compare_with_lesson, notebook_page


@command()
@option(
    "--seeds N",
    "Number of times to train each network.",
    type=COUNT,
    default=1,
    parameters=("n_seeds",),
)
@option("--out DIR", "Folder to write report.html to.", type=Path, default=Path("reproduce-out"))
@option(
    "--seed N",
    "First random seed.",
    type=click.IntRange(min=0),
    default=0,
    parameters=("first_seed", "random_state"),
)
@output_options
def reproduce(seeds: int, out: Path, seed: int, as_json: bool) -> None:
    """Run the Keras newswire lesson and compare its results with Slugline's.

    For example:

      slugline reproduce
      slugline reproduce --seeds 10 --json > numbers.json
    """
    report = out / "report.html"
    check_folder("--out", out, [report.name])
    with show_progress() as progress:
        result = lesson.run(seeds, seed, progress)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)
    write_result(report, notebook_page(result), "report")
    tell = say if as_json else show
    tell(f"report  {report}")


def _print(result: NotebookResult) -> None:
    rows = compare_with_lesson(result)
    cells = ((f"{row.step}: {row.name}", row.lesson, row.ours) for row in rows)
    print_table([("", "lesson", "ours"), *cells])
    memory = "" if result.peak_memory_mb is None else f", at most {result.peak_memory_mb:,.0f} MB"
    show(f"{counted(len(result.seeds), 'seed')}, {result.seconds:.1f} s{memory}")
