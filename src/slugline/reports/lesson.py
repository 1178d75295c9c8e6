"""The report on the newswire lesson; sentences are in the templates `lesson` and `rules`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from slugline.base.wording import join_words, percent
from slugline.experiment.lesson import EpochCurves, NotebookResult
from slugline.learning.net.training import History
from slugline.reports import pictures
from slugline.reports.render import (
    has_enough_seeds,
    mean_and_sd,
    mean_and_sd_percent,
    number,
    render,
    sentences,
    widths,
)

# Numbers of the lesson and ours -------------------------------------------------------------------

NONE_GIVEN = "–"


class LessonNumber(NamedTuple):
    """A row of the table; `lesson` is a dash if the lesson gives no number."""

    step: str
    name: str
    lesson: str
    ours: str


def compare_with_lesson(result: NotebookResult) -> list[LessonNumber]:
    """Return the lesson's numbers next to ours, in the order of its steps."""
    return [
        *_data(result),
        *_training(result),
        *_baselines(result),
        *_predictions(result),
        *_bottleneck(result),
        *_experiments(result),
    ]


def _data(result: NotebookResult) -> list[LessonNumber]:
    data, lesson = result.data, result.notebook["data"]
    is_same_text = data.examples[0].sha256 == lesson["example_sha256"]
    row = partial(LessonNumber, "Data")
    return [
        row("training wires", number(lesson["n_train"], 0), number(data.n_train, 0)),
        row("test wires", number(lesson["n_test"], 0), number(data.n_test, 0)),
        row("topics", str(lesson["n_topics"]), str(data.n_topics)),
        row("text of wire 0", "printed", "the same" if is_same_text else "different"),
    ]


def _training(result: NotebookResult) -> list[LessonNumber]:
    curves, lesson = result.curves, result.notebook["curves"]
    first = partial(LessonNumber, f"{curves.epochs} epochs")
    best_epoch = mean_and_sd(curves.best_epoch, 0 if curves.best_epoch.sd is None else 1)
    lesson_loss, lesson_accuracy = lesson["val_loss_lowest"], lesson["val_accuracy_peak"]

    retrained, lesson_test = result.retrained, result.notebook["retrained"]
    second = partial(LessonNumber, f"{retrained.epochs} epochs, from scratch")
    test_loss, test_accuracy = retrained.test_loss, retrained.test_accuracy
    lesson_test_loss = number(lesson_test["test_loss"])
    lesson_test_accuracy = percent(lesson_test["test_accuracy"])

    on_all = result.retrained_on_all
    third = partial(LessonNumber, "Best epoch of each seed, all wires")
    return [
        first("best epoch", str(lesson["best_epoch"]), best_epoch),
        first("lowest validation loss", number(lesson_loss), mean_and_sd(curves.val_loss_lowest)),
        first(
            "highest validation accuracy",
            percent(lesson_accuracy),
            mean_and_sd_percent(curves.val_accuracy_peak),
        ),
        second("test loss", lesson_test_loss, mean_and_sd(test_loss)),
        second("test accuracy", lesson_test_accuracy, mean_and_sd_percent(test_accuracy)),
        third("test loss", NONE_GIVEN, mean_and_sd(on_all.test_loss)),
        third("test accuracy", NONE_GIVEN, mean_and_sd_percent(on_all.test_accuracy)),
    ]


def _baselines(result: NotebookResult) -> list[LessonNumber]:
    ours, lesson = result.baselines, result.notebook["baselines"]
    row = partial(LessonNumber, "Baselines")
    return [
        row("shuffled topics", percent(lesson["shuffled"]), mean_and_sd_percent(ours.shuffled)),
        row(f"always “{ours.majority_topic}”", NONE_GIVEN, percent(ours.majority)),
    ]


def _predictions(result: NotebookResult) -> list[LessonNumber]:
    ours, lesson = result.predictions, result.notebook["predictions"]
    row = partial(LessonNumber, "Test wire 0")
    difference = result.integer_labels.max_difference
    change = f"{difference:.0e}" if difference else "none"
    return [
        row("probabilities", str(lesson["shape"][0]), str(ours.shape[0])),
        row("their sum", number(lesson["sum"], 4), number(ours.sum, 4)),
        row("most likely topic", str(lesson["argmax"]), f"{ours.argmax} ({ours.topic})"),
        LessonNumber("Integer labels", "largest change in a loss", "none", change),
    ]


def _bottleneck(result: NotebookResult) -> list[LessonNumber]:
    ours, lesson = result.bottleneck, result.notebook["bottleneck"]
    row = partial(LessonNumber, f"Bottleneck {widths(ours.hidden)}")
    return [
        row(
            "highest validation accuracy",
            percent(lesson["val_accuracy_peak"]),
            mean_and_sd_percent(ours.val_accuracy_peak),
        ),
        row("test accuracy", NONE_GIVEN, mean_and_sd_percent(ours.test_accuracy)),
    ]


def _experiments(result: NotebookResult) -> list[LessonNumber]:
    accuracy = percent(result.notebook["retrained"]["test_accuracy"])
    return [
        LessonNumber(
            "Test accuracy",
            widths(experiment.hidden),
            accuracy if experiment.hidden == result.retrained.hidden else NONE_GIVEN,
            mean_and_sd_percent(experiment.test_accuracy),
        )
        for experiment in result.experiments
    ]


# Sentences ----------------------------------------------------------------------------------------

#: Maximum difference of losses that are equal up to rounding.
SAME_LOSS = 1e-6
#: Mean accuracies that differ by less count as equal.
NEGLIGIBLE = 0.002


@dataclass(frozen=True)
class LessonRule:
    """A rule at the end of the lesson, with evidence from our results."""

    text: str
    verdict: str  # "holds", "not seen" or "not tested"
    evidence: str


_VERDICTS = {True: "holds", False: "not seen", None: "not tested"}


def takeaways(result: NotebookResult) -> dict[str, str]:
    """Return the text of each section by name."""
    return sentences(
        "lesson.txt.j2",
        result=result,
        depth=_effect_of_depth(result),
        max_spread=_max_spread(result),
        same_loss=SAME_LOSS,
        negligible=NEGLIGIBLE,
    )


def rules(result: NotebookResult) -> list[LessonRule]:
    """Return the rules at the end of the lesson, each with our evidence."""
    narrow, wide, n_topics = result.bottleneck, result.curves, result.data.n_topics
    pairs = zip(narrow.test_accuracy.values, wide.test_accuracy.values, strict=True)
    n_behind = sum(few < many for few, many in pairs)
    # The widest network with fewer units than topics.
    narrower = [e for e in result.experiments if min(e.hidden) < n_topics]
    widest = max(narrower, key=lambda experiment: min(experiment.hidden), default=None)
    holds = {
        "outputs": result.predictions.shape[0] == n_topics,
        "softmax": result.predictions.largest_sum_error < 1e-5,
        "crossentropy": None,
        "integers": result.integer_labels.max_difference <= SAME_LOSS,
        "bottleneck": n_behind == len(result.seeds),
    }
    texts = sentences("rules.txt.j2", result=result, n_behind=n_behind, widest=widest)
    return [
        LessonRule(texts[name], _VERDICTS[verdict], texts[f"{name}_evidence"])
        for name, verdict in holds.items()
    ]


def _effect_of_depth(result: NotebookResult) -> dict[str, Any]:
    """Return the template values for the sentence on the number of layers."""
    units = result.retrained.hidden[0]
    by_depth = sorted(
        (e for e in result.experiments if set(e.hidden) == {units}), key=lambda e: len(e.hidden)
    )
    means = [experiment.test_accuracy.mean for experiment in by_depth]
    trend = "none"
    if means == sorted(means, reverse=True):
        trend = "falling"
    elif means == sorted(means):
        trend = "rising"
    return {
        "units": units,
        "trend": trend,
        "depths": join_words([len(experiment.hidden) for experiment in by_depth]),
        "accuracies": join_words([percent(mean) for mean in means]),
    }


def _max_spread(result: NotebookResult) -> float | None:
    """Return the largest standard deviation of an experiment; None with too few seeds."""
    accuracies = [experiment.test_accuracy for experiment in result.experiments]
    return max((a.sd or 0.0 for a in accuracies if has_enough_seeds(a)), default=None)


# The report ---------------------------------------------------------------------------------------


def notebook_page(result: NotebookResult) -> str:
    """Return the report as a self-contained HTML page."""
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

    def network_curves(name: str, network: EpochCurves, colour: str) -> pictures.NetworkCurves:
        seeds = [seed["val_accuracy"] for seed in network.seeds]
        label = f"{widths(network.hidden)} units"
        return pictures.NetworkCurves(label, seeds, lesson[name]["val_accuracy"], colour)

    return {
        "curves": History(wide.seeds[0]).charts(lesson["curves"]),
        "bottleneck": pictures.accuracy_curves(
            [
                network_curves("curves", wide, "validation"),
                network_curves("bottleneck", narrow, "best"),
            ]
        ),
        "experiments": pictures.accuracy_by_network(
            [(widths(e.hidden), e.test_accuracy) for e in result.experiments],
            marked=widths(result.retrained.hidden),
        ),
    }
