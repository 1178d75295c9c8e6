"""The report on the newswire lesson."""

from __future__ import annotations

import itertools
from operator import attrgetter
from typing import NamedTuple

from slugline.base.wording import percent
from slugline.experiment.lesson import EpochCurves, NotebookResult
from slugline.learning.net.training import History
from slugline.reports import pictures
from slugline.reports.lesson_text import rules, takeaways
from slugline.reports.render import mean_and_sd, mean_and_sd_percent, number, render, widths

# Numbers of the lesson and ours -------------------------------------------------------------------

NONE_GIVEN = "–"


class LessonNumber(NamedTuple):
    """A row of the table; `lesson` is a dash where the lesson gives no number."""

    step: str
    name: str
    lesson: str
    ours: str


def compare_with_lesson(result: NotebookResult) -> list[LessonNumber]:
    """Return the lesson's numbers beside ours, in the order of the lesson's steps."""
    steps = (_data, _training, _baselines, _predictions, _bottleneck, _experiments)
    return [LessonNumber(*row) for step in steps for row in step(result)]


_Rows = list[tuple[str, str, str, str]]


def _data(result: NotebookResult) -> _Rows:
    data, lesson = result.data, result.notebook["data"]
    same = data.examples[0].sha256 == lesson["example_sha256"]
    return [
        ("Data", "training wires", number(lesson["n_train"], 0), number(data.n_train, 0)),
        ("Data", "test wires", number(lesson["n_test"], 0), number(data.n_test, 0)),
        ("Data", "topics", str(lesson["n_topics"]), str(data.n_topics)),
        ("Data", "text of wire 0", "printed", "the same" if same else "different"),
    ]


def _training(result: NotebookResult) -> _Rows:
    curves, lesson = result.curves, result.notebook["curves"]
    retrained, on_all = result.retrained, result.retrained_on_all
    first, second = f"{curves.epochs} epochs", f"{retrained.epochs} epochs, from scratch"
    third = "Best epoch of each seed, all wires"
    best = mean_and_sd(curves.best_epoch, 0 if curves.best_epoch.sd is None else 1)
    loss, accuracy = number(lesson["val_loss_lowest"]), percent(lesson["val_accuracy_peak"])
    peak, test = mean_and_sd_percent(curves.val_accuracy_peak), result.notebook["retrained"]
    test_loss, test_accuracy = number(test["test_loss"]), percent(test["test_accuracy"])
    return [
        (first, "best epoch", str(lesson["best_epoch"]), best),
        (first, "lowest validation loss", loss, mean_and_sd(curves.val_loss_lowest)),
        (first, "highest validation accuracy", accuracy, peak),
        (second, "test loss", test_loss, mean_and_sd(retrained.test_loss)),
        (second, "test accuracy", test_accuracy, mean_and_sd_percent(retrained.test_accuracy)),
        (third, "test loss", NONE_GIVEN, mean_and_sd(on_all.test_loss)),
        (third, "test accuracy", NONE_GIVEN, mean_and_sd_percent(on_all.test_accuracy)),
    ]


def _baselines(result: NotebookResult) -> _Rows:
    ours, lesson = result.baselines, result.notebook["baselines"]
    always, shuffled = f"always “{ours.majority_topic}”", percent(lesson["shuffled"])
    return [
        ("Baselines", "shuffled topics", shuffled, mean_and_sd_percent(ours.shuffled)),
        ("Baselines", always, NONE_GIVEN, percent(ours.majority)),
    ]


def _predictions(result: NotebookResult) -> _Rows:
    ours, lesson = result.predictions, result.notebook["predictions"]
    difference = result.integer_labels.max_difference
    answer = f"{ours.argmax} ({ours.topic})"
    change = f"{difference:.0e}" if difference else "none"
    return [
        ("Test wire 0", "probabilities", str(lesson["shape"][0]), str(ours.shape[0])),
        ("Test wire 0", "their sum", number(lesson["sum"], 4), number(ours.sum, 4)),
        ("Test wire 0", "most likely topic", str(lesson["argmax"]), answer),
        ("Integer labels", "largest change in a loss", "none", change),
    ]


def _bottleneck(result: NotebookResult) -> _Rows:
    ours, peak = result.bottleneck, result.notebook["bottleneck"]["val_accuracy_peak"]
    step, ours_peak = (
        f"Bottleneck {widths(ours.hidden)}",
        mean_and_sd_percent(ours.val_accuracy_peak),
    )
    return [
        (step, "highest validation accuracy", percent(peak), ours_peak),
        (step, "test accuracy", NONE_GIVEN, mean_and_sd_percent(ours.test_accuracy)),
    ]


def _experiments(result: NotebookResult) -> _Rows:
    accuracy = percent(result.notebook["retrained"]["test_accuracy"])
    return [
        (
            "Test accuracy",
            widths(experiment.hidden),
            accuracy if experiment.hidden == result.retrained.hidden else NONE_GIVEN,
            mean_and_sd_percent(experiment.test_accuracy),
        )
        for experiment in result.experiments
    ]


# The report ---------------------------------------------------------------------------------------


def notebook_page(result: NotebookResult) -> str:
    """Return the report as one HTML page that needs no other file."""
    rows = compare_with_lesson(result)
    return render(
        "notebook.html.j2",
        result=result,
        section_texts=takeaways(result),
        rules=rules(result),
        comparison=[
            (step, list(group)) for step, group in itertools.groupby(rows, attrgetter("step"))
        ],
        pictures=_pictures(result),
    )


def _pictures(result: NotebookResult) -> dict[str, str | list[str]]:
    wide, narrow, lesson = result.curves, result.bottleneck, result.notebook

    def curves(name: str, network: EpochCurves, colour: str) -> pictures.NetworkCurves:
        seeds = [seed["val_accuracy"] for seed in network.seeds]
        label = f"{widths(network.hidden)} units"
        return pictures.NetworkCurves(label, seeds, lesson[name]["val_accuracy"], colour)

    return {
        "curves": History(wide.seeds[0]).charts(lesson["curves"]),
        "bottleneck": pictures.accuracy_curves(
            [curves("curves", wide, "validation"), curves("bottleneck", narrow, "best")]
        ),
        "experiments": pictures.accuracy_by_network(
            [(widths(e.hidden), e.test_accuracy) for e in result.experiments],
            marked=widths(result.retrained.hidden),
        ),
    }
