"""The report on the newswire lesson."""

from __future__ import annotations

import itertools
import os
from operator import attrgetter
from pathlib import Path

from slugline.lesson.results import NotebookResult
from slugline.report.lesson_table import compare_with_lesson
from slugline.report.lesson_text import rules, takeaways
from slugline.report.page import render, write_page
from slugline.report.words import layers
from slugline.training.history import History

__all__ = ["notebook_page", "write_notebook_report"]


def write_notebook_report(result: NotebookResult, path: str | os.PathLike[str]) -> Path:
    """Write `notebook_page` to a file, completely or not at all; create folders as needed.

    Raises
    ------
    SluglineError : if it can't be written there.
    """
    return write_page(notebook_page(result), path)


def notebook_page(result: NotebookResult) -> str:
    """Return the report as one HTML page that needs no other file."""
    rows = compare_with_lesson(result)
    return render(
        "notebook.html.j2",
        result=result,
        says=takeaways(result),
        rules=rules(result),
        comparison=[
            (step, list(group)) for step, group in itertools.groupby(rows, attrgetter("step"))
        ],
        pictures=_pictures(result),
    )


def _pictures(result: NotebookResult) -> dict[str, str | list[str]]:
    from slugline.report.pictures import Curve, accuracy_curves, learning_curves, strips

    wide, narrow, lesson = result.curves, result.bottleneck, result.notebook
    return {
        "curves": learning_curves(
            History(wide.seeds[0]), {"Validation (lesson)": lesson["curves"]}
        ),
        "bottleneck": accuracy_curves(
            [
                Curve(
                    label=f"{layers(net.hidden)} units",
                    seeds=[seed["val_accuracy"] for seed in net.seeds],
                    lesson=lesson[name]["val_accuracy"],
                    marked=net is narrow,
                )
                for name, net in (("curves", wide), ("bottleneck", narrow))
            ]
        ),
        "experiments": strips(
            [(layers(e.hidden), e.test_accuracy) for e in result.experiments],
            marked=layers(result.retrained.hidden),
        ),
    }
