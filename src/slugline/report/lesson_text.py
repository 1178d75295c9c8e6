"""What a reader should take away from each step of the lesson.

Every sentence follows from the numbers at hand: where they say otherwise, so does the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from slugline.lesson.results import NotebookResult, OverSeeds
from slugline.report.words import (
    counted,
    has_spread,
    layers,
    listed,
    number,
    percent,
    points,
    spread_percent,
    tiny,
)

__all__ = ["Rule", "rules", "takeaways"]

#: Losses that differ by no more are the same but for rounding.
SAME_LOSS = 1e-6
#: A mean accuracy closer to another than this is no difference worth a word.
A_HAIR = 0.002


@dataclass(frozen=True)
class Rule:
    """One rule from the end of the lesson, and what our numbers say of it."""

    text: str
    verdict: Literal["holds", "not seen", "not tested"]
    evidence: str


def takeaways(result: NotebookResult) -> dict[str, str]:
    """Write a few sentences for each section of the report."""
    return {
        "data": _data(result),
        "curves": _curves(result),
        "retrained": _retrained(result),
        "baselines": _baselines(result),
        "predictions": _predictions(result),
        "integer_labels": _integer_labels(result),
        "bottleneck": _bottleneck(result),
        "experiments": _experiments(result),
    }


def rules(result: NotebookResult) -> list[Rule]:
    """Return how our numbers agree with the rules that wrap up the lesson."""
    return [
        _rule_of_outputs(result),
        _rule_of_softmax(result),
        _rule_of_crossentropy(result),
        _rule_of_labels(result),
        _rule_of_bottlenecks(result),
    ]


# Sections ---------------------------------------------------------------------------------------


def _data(result: NotebookResult) -> str:
    data, matrix = result.data, result.data.multi_hot
    share = matrix.n_ones / (matrix.shape[0] * matrix.shape[1])
    return (
        f"A wire becomes a row of {matrix.shape[1]:,} columns, with a 1 for each word it holds, "
        f"however often it holds it; a topic becomes a row of {data.one_hot_shape[1]}, with a "
        f"single 1. Only {percent(share, 2)} of the words’ cells are ones. Kept alone, they take "
        f"{number(matrix.megabytes, 0)} MB; filled up with zeros, as in the lesson, "
        f"{number(matrix.megabytes_dense, 0)} MB. That is the main reason why all this takes "
        "seconds."
    )


def _curves(result: NotebookResult) -> str:
    curves, lesson = result.curves, result.notebook["curves"]
    best = int(curves.best_epoch.values[0])
    if best < curves.epochs:
        course = (
            f"The validation loss turns after epoch {best} and climbs from "
            f"{number(min(curves.val_loss))} to {number(curves.val_loss[-1])}, while the training "
            f"loss goes down to {number(curves.loss[-1])}: from there on the net learns its own "
            "wires by heart."
        )
    else:
        course = (
            f"After {curves.epochs} epochs the validation loss is still falling: more epochs might "
            "help, and nothing here shows overfitting yet."
        )
    return (
        f"{course} {_of_best_epochs(curves.best_epoch)} The lesson reads epoch "
        f"{lesson['best_epoch_said']} off its curves; the lowest loss that it prints is that of "
        f"epoch {lesson['best_epoch']}."
    )


def _of_best_epochs(best_epoch: OverSeeds) -> str:
    n_seeds = len(best_epoch.values)
    low, high = int(min(best_epoch.values)), int(max(best_epoch.values))
    if n_seeds == 1:
        return "Another seed may have its lowest an epoch or two earlier or later."
    if low == high:
        seeds = "Both" if n_seeds == 2 else f"All {n_seeds}"
        return f"{seeds} seeds have their lowest in epoch {low}."
    return f"Over {n_seeds} seeds, the lowest lies between epochs {low} and {high}."


def _retrained(result: NotebookResult) -> str:
    retrained, on_all = result.retrained, result.retrained_on_all
    own = result.notebook["retrained"]["test_accuracy"]
    return (
        f"Stopped after {retrained.epochs} epochs, a new net gets "
        f"{spread_percent(retrained.test_accuracy)} of the test wires right; the lesson’s got "
        f"{percent(own)}. {_of_going_on(result)} Once the wires set aside have told when to stop, "
        f"they can be learned from too: trained on all {result.data.n_train:,} for each seed’s own "
        f"best epoch, the net gets {spread_percent(on_all.test_accuracy)}, "
        f"{_change(on_all.test_accuracy, retrained.test_accuracy)}."
    )


def _of_going_on(result: NotebookResult) -> str:
    """Return what the epochs after stopping would have done on the test wires."""
    long, stopped = result.curves, result.retrained
    course = (
        f"Going on to epoch {long.epochs} takes the test loss from "
        f"{number(stopped.test_loss.mean)} to {number(long.test_loss.mean)} and the accuracy to "
        f"{percent(long.test_accuracy.mean)}"
    )
    if long.test_loss.mean <= stopped.test_loss.mean:
        return f"{course}: on the test wires, stopping early did not pay."
    if long.test_accuracy.mean < stopped.test_accuracy.mean - A_HAIR:
        return f"{course}: overfitting costs both."
    return (
        f"{course}: overfitting makes a net too sure of itself before it makes it wrong more often."
    )


def _change(after: OverSeeds, before: OverSeeds) -> str:
    difference = after.mean - before.mean
    if abs(difference) < A_HAIR:
        return "almost no change"
    return f"{points(difference)} {'more' if difference > 0 else 'less'}"


def _baselines(result: NotebookResult) -> str:
    ours, accuracy = result.baselines, result.retrained.test_accuracy.mean
    said = result.notebook["baselines"]["shuffled_said"]
    opponent = "a stronger" if ours.majority > ours.shuffled.mean else "a weaker"
    outcome = "beats it" if accuracy > ours.majority else "does not beat it"
    return (
        f"The lesson holds its net against topics in random order, about {percent(said, 0)} right. "
        f"Always answering “{ours.majority_topic}” takes no reading either and is {opponent} "
        f"opponent, with {percent(ours.majority)}. The net {outcome}: it gets "
        f"{percent(1 - accuracy)} of the test wires wrong, against {percent(1 - ours.majority)}."
    )


def _predictions(result: NotebookResult) -> str:
    ours = result.predictions
    right = "and it is" if ours.topic == ours.true_topic else f"but it is “{ours.true_topic}”"
    return (
        f"For every wire the net gives {ours.shape[0]} probabilities, which add up to 1 but for "
        f"rounding (at most {tiny(ours.largest_sum_error)} off). Of the first test wire, above, it "
        f"says “{ours.topic}” with {percent(ours.probability, 0)}, {right}. Having a place for "
        f"each topic is not the same as using it: of the {ours.n_topics_present} topics among the "
        f"test wires, {ours.n_topics_answered} are ever its first answer."
    )


def _integer_labels(result: NotebookResult) -> str:
    ours = result.integer_labels
    if ours.max_difference > SAME_LOSS:
        return (
            f"The two should be one loss, but over {ours.n_losses} losses they part by up to "
            f"{tiny(ours.max_difference)}. That is more than rounding and worth a bug report."
        )
    extent = f"by more than {tiny(SAME_LOSS)}" if ours.max_difference else "at all"
    return (
        "Trained twice from one seed, with one-hot rows and with plain integers, the net shows "
        f"{ours.n_losses} training and validation losses that do not differ {extent}. It is one "
        "loss, with two ways to hand over the labels. Integers take less memory; one-hot rows "
        "could also say “half this, half that”."
    )


def _bottleneck(result: NotebookResult) -> str:
    narrow, wide = result.bottleneck, result.curves
    said = result.notebook["bottleneck"]["test_accuracy_said"]
    drop = wide.val_accuracy_peak.mean - narrow.val_accuracy_peak.mean
    return (
        f"Squeezed through {min(narrow.hidden)} units, the net peaks at "
        f"{spread_percent(narrow.val_accuracy_peak)} of the validation wires, {points(drop)} "
        f"{'below' if drop > 0 else 'above'} the wide one. The lesson calls its {percent(said, 0)} "
        "test accuracy, but it is this same validation accuracy, and the best of "
        f"{narrow.epochs} epochs at that. On the test wires, which had no say, we measure "
        f"{spread_percent(narrow.test_accuracy)} after the last epoch."
    )


def _experiments(result: NotebookResult) -> str:
    ranked = sorted(result.experiments, key=lambda experiment: experiment.test_accuracy.mean)
    worst, best = ranked[0], ranked[-1]
    return (
        f"Best of these is {_name(best.hidden)} with {spread_percent(best.test_accuracy)}, last "
        f"{_name(worst.hidden)} with {spread_percent(worst.test_accuracy)}. {_of_depth(result)} "
        f"{_of_luck(result)}"
    )


def _of_depth(result: NotebookResult) -> str:
    units = result.retrained.hidden[0]
    by_depth = sorted(
        (e for e in result.experiments if set(e.hidden) == {units}), key=lambda e: len(e.hidden)
    )
    means = [experiment.test_accuracy.mean for experiment in by_depth]
    if means == sorted(means, reverse=True):
        effect = "every further hidden layer costs accuracy"
    elif means == sorted(means):
        effect = "every further hidden layer gains accuracy"
    else:
        effect = "more hidden layers are neither better nor worse as a rule"
    depths = listed([len(experiment.hidden) for experiment in by_depth])
    accuracies = listed([percent(mean) for mean in means])
    return f"At {units} units, {effect}: {accuracies} with {depths} of them."


def _of_luck(result: NotebookResult) -> str:
    accuracies = [experiment.test_accuracy for experiment in result.experiments]
    spreads = [accuracy.sd or 0.0 for accuracy in accuracies if has_spread(accuracy)]
    if not spreads:
        seeds = counted(len(result.seeds), "seed")
        return f"With {seeds}, a difference below a point may be luck: `--seeds 10` tells."
    return (
        "Seeds of one and the same net differ by a standard deviation of up to "
        f"{points(max(spreads))}, so a single run cannot rank neighbours."
    )


# Rules ------------------------------------------------------------------------------------------


def _rule_of_outputs(result: NotebookResult) -> Rule:
    n_outputs, n_topics = result.predictions.shape[0], result.data.n_topics
    return Rule(
        "End with a Dense layer of size N to tell N classes apart.",
        "holds" if n_outputs == n_topics else "not seen",
        f"Every net of this report ends in {n_outputs} units, for {n_topics} topics.",
    )


def _rule_of_softmax(result: NotebookResult) -> Rule:
    error = result.predictions.largest_sum_error
    return Rule(
        "End with softmax, so that the output is a probability distribution.",
        "holds" if error < 1e-5 else "not seen",
        f"Over all {result.data.n_test:,} test wires, no sum of probabilities is further than "
        f"{tiny(error)} from 1.",
    )


def _rule_of_crossentropy(result: NotebookResult) -> Rule:
    curves = result.curves
    return Rule(
        "Categorical crossentropy is almost always the loss to use.",
        "not tested",
        "No other loss is tried, neither in the lesson nor here. What can be seen is that it does "
        f"its work: on the training wires it goes from {number(curves.loss[0])} to "
        f"{number(curves.loss[-1])}, and accuracy from {percent(curves.accuracy[0])} to "
        f"{percent(curves.accuracy[-1])}.",
    )


def _rule_of_labels(result: NotebookResult) -> Rule:
    ours = result.integer_labels
    return Rule(
        "One-hot labels with categorical crossentropy, or integers with the sparse one.",
        "holds" if ours.max_difference <= SAME_LOSS else "not seen",
        f"The largest difference among {ours.n_losses} losses is {tiny(ours.max_difference)}.",
    )


def _rule_of_bottlenecks(result: NotebookResult) -> Rule:
    narrow, wide = result.bottleneck, result.curves
    pairs = zip(narrow.test_accuracy.values, wide.test_accuracy.values, strict=True)
    n_behind = sum(few < many for few, many in pairs)
    n_seeds = len(result.seeds)
    return Rule(
        "With many categories, avoid hidden layers that are too small.",
        "holds" if n_behind == n_seeds else "not seen",
        f"After {wide.epochs} epochs, {layers(narrow.hidden)} is behind {layers(wide.hidden)} on "
        f"the test wires in {n_behind} of {counted(n_seeds, 'run')}: "
        f"{spread_percent(narrow.test_accuracy)} against {spread_percent(wide.test_accuracy)}."
        f"{_of_narrow_layers(result)}",
    )


def _of_narrow_layers(result: NotebookResult) -> str:
    """Return how layers do that have fewer units than topics, but are no bottleneck."""
    narrower = [e for e in result.experiments if min(e.hidden) < result.data.n_topics]
    if not narrower:
        return ""
    widest = max(narrower, key=lambda experiment: min(experiment.hidden))
    return (
        f" After {widest.epochs}, {layers(widest.hidden)}, with fewer units than topics too, gets "
        f"{spread_percent(widest.test_accuracy)}; {layers(result.retrained.hidden)} gets "
        f"{spread_percent(result.retrained.test_accuracy)}."
    )


def _name(hidden: Sequence[int]) -> str:
    return layers(hidden) if len(hidden) > 1 else f"a single layer of {hidden[0]}"
