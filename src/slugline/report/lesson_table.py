"""Every number from the newswire lesson beside ours, as rows of a table."""

from __future__ import annotations

from typing import NamedTuple

from slugline.lesson.results import NotebookResult
from slugline.report.words import layers, number, percent, spread, spread_percent

__all__ = ["Row", "compare_with_lesson"]

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
