"""Sentences on the numbers of the newswire lesson."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slugline.base.words import counted, join_words, percent
from slugline.experiment.lesson import NotebookResult
from slugline.reports.page import (
    has_spread,
    number,
    points,
    power,
    sentences,
    spread_percent,
    widths,
)

#: Losses that differ by more are not equal up to rounding.
SAME_LOSS = 1e-6
#: Mean accuracies that differ by less than this count as equal.
A_HAIR = 0.002


@dataclass(frozen=True)
class LessonRule:
    """A rule from the end of the lesson, with the evidence of our numbers."""

    text: str
    verdict: Literal["holds", "not seen", "not tested"]
    evidence: str


def takeaways(result: NotebookResult) -> dict[str, str]:
    """Return the text of each section, by its name."""
    effects = f"{_effect_of_depth(result)} {_effect_of_seeds(result)}"
    values = {"result": result, "effects": effects, "same_loss": SAME_LOSS, "negligible": A_HAIR}
    return sentences("lesson.txt.j2", **values)


def rules(result: NotebookResult) -> list[LessonRule]:
    """Return the rules from the end of the lesson, each with our evidence."""
    predictions, curves, integers = result.predictions, result.curves, result.integer_labels
    n_outputs, n_topics = predictions.shape[0], result.data.n_topics
    error = predictions.largest_sum_error
    return [
        LessonRule(
            "To distinguish N classes, end with a Dense layer of size N.",
            "holds" if n_outputs == n_topics else "not seen",
            f"Every network in this report ends in {n_outputs} units, for {n_topics} topics.",
        ),
        LessonRule(
            "End with softmax, so that the output is a probability distribution.",
            "holds" if error < 1e-5 else "not seen",
            f"For all {result.data.n_test:,} test wires, the probabilities add up to 1 to within "
            f"{power(error)}.",
        ),
        LessonRule(
            "Categorical crossentropy is almost always the loss to use.",
            "not tested",
            "Neither the lesson nor this report tries any other loss. This one does its job: on "
            f"the training wires it falls from {number(curves.loss[0])} to "
            f"{number(curves.loss[-1])}, and the accuracy rises from "
            f"{percent(curves.accuracy[0])} to {percent(curves.accuracy[-1])}.",
        ),
        LessonRule(
            "Use one-hot labels with categorical crossentropy, or integers with its sparse "
            "version.",
            "holds" if integers.max_difference <= SAME_LOSS else "not seen",
            f"The largest difference over {integers.n_losses} losses is "
            f"{power(integers.max_difference)}.",
        ),
        _bottleneck_rule(result),
    ]


# Experiments -------------------------------------------------------------------------------------


def _effect_of_depth(result: NotebookResult) -> str:
    units = result.retrained.hidden[0]
    by_depth = sorted(
        (e for e in result.experiments if set(e.hidden) == {units}), key=lambda e: len(e.hidden)
    )
    means = [experiment.test_accuracy.mean for experiment in by_depth]
    if means == sorted(means, reverse=True):
        effect = "every extra hidden layer lowers the accuracy"
    elif means == sorted(means):
        effect = "every extra hidden layer raises the accuracy"
    else:
        effect = "extra hidden layers neither help nor hurt consistently"
    depths = join_words([len(experiment.hidden) for experiment in by_depth])
    accuracies = join_words([percent(mean) for mean in means])
    return f"With {units} units per layer, {effect}: {accuracies} with {depths} hidden layers."


def _effect_of_seeds(result: NotebookResult) -> str:
    accuracies = [experiment.test_accuracy for experiment in result.experiments]
    spreads = [accuracy.sd or 0.0 for accuracy in accuracies if has_spread(accuracy)]
    if not spreads:
        seeds = counted(len(result.seeds), "seed")
        return f"With {seeds}, a difference of less than a point may be chance; try `--seeds 10`."
    return (
        "With different seeds, the results of the same network have a standard deviation of up to "
        f"{points(max(spreads))}, so a single run cannot rank networks that are this close."
    )


# Rules ------------------------------------------------------------------------------------------


def _bottleneck_rule(result: NotebookResult) -> LessonRule:
    narrow, wide = result.bottleneck, result.curves
    pairs = zip(narrow.test_accuracy.values, wide.test_accuracy.values, strict=True)
    n_behind = sum(few < many for few, many in pairs)
    n_seeds = len(result.seeds)
    is_behind = "is behind" if n_behind or n_seeds > 1 else "is not behind"
    runs = f" in {n_behind} of {n_seeds} runs" if n_seeds > 1 else ""
    return LessonRule(
        "With many categories, avoid hidden layers that are too small.",
        "holds" if n_behind == n_seeds else "not seen",
        f"After {wide.epochs} epochs, {widths(narrow.hidden)} {is_behind} "
        f"{widths(wide.hidden)} on the test wires{runs}: "
        f"{spread_percent(narrow.test_accuracy)} compared with "
        f"{spread_percent(wide.test_accuracy)}."
        f"{_narrow_layers(result)}",
    )


def _narrow_layers(result: NotebookResult) -> str:
    """Return the accuracy of the widest network with fewer units than topics."""
    narrower = [e for e in result.experiments if min(e.hidden) < result.data.n_topics]
    if not narrower:
        return ""
    widest = max(narrower, key=lambda experiment: min(experiment.hidden))
    return (
        f" After {widest.epochs} epochs, {widths(widest.hidden)}, which has fewer units than "
        f"topics too, gets {spread_percent(widest.test_accuracy)}; "
        f"{widths(result.retrained.hidden)} gets "
        f"{spread_percent(result.retrained.test_accuracy)}."
    )
