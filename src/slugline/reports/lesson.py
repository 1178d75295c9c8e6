"""The report on the newswire lesson."""

from __future__ import annotations

import itertools
import os
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from slugline.experiment.lesson import NotebookResult
from slugline.learning.net.training import History
from slugline.reports.lesson_text import rules, takeaways
from slugline.reports.page import (
    layers,
    number,
    percent,
    render,
    spread,
    spread_percent,
    write_page,
)
from slugline.reports.pictures import (
    NetworkCurves,
    accuracy_by_network,
    accuracy_curves,
    learning_curves,
)

__all__ = [
    "Row",
    "compare_with_lesson",
    "notebook_page",
    "write_notebook_report",
]


# Every number from the newswire lesson beside ours, as rows of a table ----------------------------

NONE_GIVEN = "–"


class Row(NamedTuple):
    """One number; `lesson` is a dash where the lesson gives none."""

    step: str
    what: str
    lesson: str
    ours: str


def compare_with_lesson(result: NotebookResult) -> list[Row]:
    """Return the lesson's numbers beside ours, in the order of its steps."""
    return [
        *_data(result),
        *_training(result),
        *_baselines(result),
        *_predictions(result),
        *_bottleneck(result),
        *_experiments(result),
    ]


def _data(result: NotebookResult) -> list[Row]:
    data, lesson = result.data, result.notebook["data"]
    step = "Data"
    same = data.examples[0].sha256 == lesson["example_sha256"]
    return [
        Row(step, "training wires", number(lesson["n_train"], 0), number(data.n_train, 0)),
        Row(step, "test wires", number(lesson["n_test"], 0), number(data.n_test, 0)),
        Row(step, "topics", str(lesson["n_topics"]), str(data.n_topics)),
        Row(step, "text of wire 0", "printed", "the same" if same else "different"),
    ]


def _training(result: NotebookResult) -> list[Row]:
    curves, lesson = result.curves, result.notebook["curves"]
    retrained, lessons_own = result.retrained, result.notebook["retrained"]
    on_all = result.retrained_on_all
    first, second = f"{curves.epochs} epochs", f"{retrained.epochs} epochs, from scratch"
    digits = 0 if curves.best_epoch.sd is None else 1
    third = "Best epoch of each seed, all wires"
    return [
        Row(first, "best epoch", str(lesson["best_epoch"]), spread(curves.best_epoch, digits)),
        Row(
            first,
            "lowest validation loss",
            number(lesson["val_loss_lowest"]),
            spread(curves.val_loss_lowest),
        ),
        Row(
            first,
            "highest validation accuracy",
            percent(lesson["val_accuracy_peak"]),
            spread_percent(curves.val_accuracy_peak),
        ),
        Row(second, "test loss", number(lessons_own["test_loss"]), spread(retrained.test_loss)),
        Row(
            second,
            "test accuracy",
            percent(lessons_own["test_accuracy"]),
            spread_percent(retrained.test_accuracy),
        ),
        Row(third, "test loss", NONE_GIVEN, spread(on_all.test_loss)),
        Row(third, "test accuracy", NONE_GIVEN, spread_percent(on_all.test_accuracy)),
    ]


def _baselines(result: NotebookResult) -> list[Row]:
    ours, lesson = result.baselines, result.notebook["baselines"]
    return [
        Row(
            "Baselines",
            "shuffled topics",
            percent(lesson["shuffled"]),
            spread_percent(ours.shuffled),
        ),
        Row("Baselines", f"always “{ours.majority_topic}”", NONE_GIVEN, percent(ours.majority)),
    ]


def _predictions(result: NotebookResult) -> list[Row]:
    ours, lesson = result.predictions, result.notebook["predictions"]
    difference = result.integer_labels.max_difference
    step = "Test wire 0"
    return [
        Row(step, "probabilities", str(lesson["shape"][0]), str(ours.shape[0])),
        Row(step, "their sum", number(lesson["sum"], 4), number(ours.sum, 4)),
        Row(step, "most likely topic", str(lesson["argmax"]), f"{ours.argmax} ({ours.topic})"),
        Row(
            "Integer labels",
            "largest change in a loss",
            "none",
            f"{difference:.0e}" if difference else "none",
        ),
    ]


def _bottleneck(result: NotebookResult) -> list[Row]:
    ours, lesson = result.bottleneck, result.notebook["bottleneck"]
    step = f"Bottleneck {layers(ours.hidden)}"
    return [
        Row(
            step,
            "highest validation accuracy",
            percent(lesson["val_accuracy_peak"]),
            spread_percent(ours.val_accuracy_peak),
        ),
        Row(step, "test accuracy", NONE_GIVEN, spread_percent(ours.test_accuracy)),
    ]


def _experiments(result: NotebookResult) -> list[Row]:
    retrained = result.retrained.hidden
    known = percent(result.notebook["retrained"]["test_accuracy"])
    return [
        Row(
            "Test accuracy",
            layers(experiment.hidden),
            known if experiment.hidden == retrained else NONE_GIVEN,
            spread_percent(experiment.test_accuracy),
        )
        for experiment in result.experiments
    ]


# The report on the newswire lesson ----------------------------------------------------------------


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
    wide, narrow, lesson = result.curves, result.bottleneck, result.notebook
    return {
        "curves": learning_curves(History(wide.seeds[0]), lesson["curves"]),
        "bottleneck": accuracy_curves(
            [
                NetworkCurves(
                    f"{layers(network.hidden)} units",
                    [seed["val_accuracy"] for seed in network.seeds],
                    lesson[name]["val_accuracy"],
                    colour,
                )
                for name, network, colour in (
                    ("curves", wide, "validation"),
                    ("bottleneck", narrow, "best"),
                )
            ]
        ),
        "experiments": accuracy_by_network(
            [(layers(e.hidden), e.test_accuracy) for e in result.experiments],
            marked=layers(result.retrained.hidden),
        ),
    }
