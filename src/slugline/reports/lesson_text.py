"""Sentences on the numbers of the newswire lesson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from slugline.base.words import counted, join_words, percent
from slugline.experiment.lesson import NotebookResult, SeedSummary
from slugline.reports.page import has_spread, number, points, power, spread_percent, widths

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


# Sections ---------------------------------------------------------------------------------------


def _data(result: NotebookResult) -> str:
    data, matrix = result.data, result.data.multi_hot
    share = matrix.n_ones / (matrix.shape[0] * matrix.shape[1])
    return (
        f"Each wire becomes a row of {matrix.shape[1]:,} columns, with a 1 for every word that "
        f"occurs in it, no matter how often; each topic becomes a row of {data.one_hot_shape[1]}, "
        f"with a single 1. Only {percent(share, 2)} of the cells for words are ones. Stored alone, "
        f"they take {number(matrix.megabytes, 0)} MB; with all the zeros, as in the lesson, they "
        f"take {number(matrix.megabytes_dense, 0)} MB. That is the main reason why all of this "
        "takes only seconds."
    )


def _curves(result: NotebookResult) -> str:
    curves, lesson = result.curves, result.notebook["curves"]
    best = int(curves.best_epoch.values[0])
    if best < curves.epochs:
        course = (
            f"The validation loss (lower is better) is lowest after epoch {best}. It then rises "
            f"from {number(min(curves.val_loss))} to {number(curves.val_loss[-1])}, while the "
            f"training loss falls to {number(curves.loss[-1])}: from epoch {best} on, the network "
            "overfits."
        )
    else:
        course = (
            f"After {curves.epochs} epochs the validation loss (lower is better) is still falling. "
            "More epochs might help, and there is no sign of overfitting yet."
        )
    return (
        f"{course} {_best_epochs(curves.best_epoch)} The lesson reads epoch "
        f"{lesson['best_epoch_said']} off its curves, but the lowest loss that it prints is that "
        f"of epoch {lesson['best_epoch']}."
    )


def _best_epochs(best_epoch: SeedSummary) -> str:
    n_seeds = len(best_epoch.values)
    low, high = int(min(best_epoch.values)), int(max(best_epoch.values))
    if n_seeds == 1:
        return "With another seed, the lowest loss may come an epoch or two earlier or later."
    if low == high:
        seeds = "Both" if n_seeds == 2 else f"All {n_seeds}"
        return f"{seeds} seeds have their lowest loss after epoch {low}."
    return f"Across {n_seeds} seeds, the lowest loss comes between epochs {low} and {high}."


def _retrained(result: NotebookResult) -> str:
    retrained, on_all = result.retrained, result.retrained_on_all
    lesson = result.notebook["retrained"]["test_accuracy"]
    return (
        f"A new network, stopped after {retrained.epochs} epochs, gets "
        f"{spread_percent(retrained.test_accuracy)} of the test wires right; the lesson’s network "
        f"got {percent(lesson)}. {_longer_training(result)} Once the validation wires have shown "
        "when to stop, the network can be trained on them too. On all "
        f"{result.data.n_train:,} wires, with the best number of epochs of each seed, it gets "
        f"{spread_percent(on_all.test_accuracy)}, "
        f"{_change(on_all.test_accuracy, retrained.test_accuracy)}."
    )


def _longer_training(result: NotebookResult) -> str:
    """Return the effect of further epochs on the test wires."""
    long, stopped = result.curves, result.retrained
    course = (
        f"Continuing to epoch {long.epochs} takes the test loss from "
        f"{number(stopped.test_loss.mean)} to {number(long.test_loss.mean)} and the accuracy to "
        f"{percent(long.test_accuracy.mean)}"
    )
    if long.test_loss.mean <= stopped.test_loss.mean:
        return f"{course}. On the test wires, stopping early did not pay off."
    if long.test_accuracy.mean < stopped.test_accuracy.mean - A_HAIR:
        return f"{course}. Overfitting makes both worse."
    return (
        f"{course}. Overfitting makes a network too confident before it makes it wrong more often."
    )


def _change(after: SeedSummary, before: SeedSummary) -> str:
    difference = after.mean - before.mean
    if abs(difference) < A_HAIR:
        return "almost no change"
    return f"{points(difference)} {'more' if difference > 0 else 'less'}"


def _baselines(result: NotebookResult) -> str:
    ours, accuracy = result.baselines, result.retrained.test_accuracy.mean
    shuffled = result.notebook["baselines"]["shuffled_said"]
    opponent = "a stronger" if ours.majority > ours.shuffled.mean else "a weaker"
    outcome = "beats it" if accuracy > ours.majority else "does not beat it"
    return (
        "The lesson compares its network with shuffled topics, that is, with guessing each topic "
        f"as often as it occurs, which is right for about {percent(shuffled, 0)} of the wires. "
        f"Always answering “{ours.majority_topic}” is {opponent} baseline, at "
        f"{percent(ours.majority)}. The network {outcome}: it gets {percent(1 - accuracy)} of "
        f"the test wires wrong, compared with {percent(1 - ours.majority)}."
    )


def _predictions(result: NotebookResult) -> str:
    ours = result.predictions
    right = (
        "and that is right"
        if ours.topic == ours.true_topic
        else f"but the right topic is “{ours.true_topic}”"
    )
    return (
        f"For every wire the network gives {ours.shape[0]} probabilities, which add up to 1 except "
        f"for rounding (off by at most {power(ours.largest_sum_error)}). The bars show the largest "
        f"for the first test wire: the network answers “{ours.topic}” with a probability of "
        f"{percent(ours.probability, 0)}, {right}. Having an output for each topic does not mean "
        f"using it: of the {ours.n_topics_present} topics among the test wires, "
        f"{ours.n_topics_answered} are the first answer for at least one wire."
    )


def _integer_labels(result: NotebookResult) -> str:
    ours = result.integer_labels
    if ours.max_difference > SAME_LOSS:
        return (
            f"The two losses should be the same, but over {ours.n_losses} values they differ by up "
            f"to {power(ours.max_difference)}. That is more than rounding error; please report it "
            "as a bug."
        )
    extent = f"by more than {power(SAME_LOSS)}" if ours.max_difference else "at all"
    return (
        "The network was trained twice from the same seed, once with one-hot rows and once with "
        f"plain integers. The {ours.n_losses} training and validation losses do not differ "
        f"{extent}. It is the same loss, with two ways to pass the labels. Integers take less "
        "memory; one-hot rows could also say “half this topic, half that”."
    )


def _bottleneck(result: NotebookResult) -> str:
    narrow, wide = result.bottleneck, result.curves
    claimed = result.notebook["bottleneck"]["test_accuracy_said"]
    drop = wide.val_accuracy_peak.mean - narrow.val_accuracy_peak.mean
    return (
        f"With a layer of only {min(narrow.hidden)} units, the network gets at most "
        f"{spread_percent(narrow.val_accuracy_peak)} of the validation wires right, "
        f"{points(drop)} {'below' if drop > 0 else 'above'} the wide network. The lesson calls its "
        f"{percent(claimed, 0)} test accuracy, but it is this validation accuracy, in the best of "
        f"{narrow.epochs} epochs. On the test wires, which were not used to choose anything, we "
        f"measure {spread_percent(narrow.test_accuracy)} after the last epoch."
    )


def _experiments(result: NotebookResult) -> str:
    ranked = sorted(result.experiments, key=lambda experiment: experiment.test_accuracy.mean)
    worst, best = ranked[0], ranked[-1]
    return (
        f"The best of these is {_name(best.hidden)}, with {spread_percent(best.test_accuracy)}; "
        f"the worst is {_name(worst.hidden)}, with {spread_percent(worst.test_accuracy)}. "
        f"{_effect_of_depth(result)} {_effect_of_seeds(result)}"
    )


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


def _name(hidden: Sequence[int]) -> str:
    return widths(hidden) if len(hidden) > 1 else f"a single layer of {hidden[0]}"
