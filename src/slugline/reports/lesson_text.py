"""Sentences on the numbers of the newswire lesson."""

from __future__ import annotations

from dataclasses import dataclass

from slugline.base.wording import counted, join_words, percent
from slugline.experiment.lesson import NotebookResult
from slugline.reports.page import has_spread, points, sentences

#: Losses that differ by more are not equal up to rounding.
SAME_LOSS = 1e-6
#: Mean accuracies that differ by less than this count as equal.
A_HAIR = 0.002


@dataclass(frozen=True)
class LessonRule:
    """A rule from the end of the lesson, with the evidence of our numbers."""

    text: str
    verdict: str  # "holds", "not seen" or "not tested"
    evidence: str


_VERDICTS = {True: "holds", False: "not seen", None: "not tested"}


def takeaways(result: NotebookResult) -> dict[str, str]:
    """Return the text of each section, by its name."""
    effects = f"{_effect_of_depth(result)} {_effect_of_seeds(result)}"
    values = {"result": result, "effects": effects, "same_loss": SAME_LOSS, "negligible": A_HAIR}
    return sentences("lesson.txt.j2", **values)


def rules(result: NotebookResult) -> list[LessonRule]:
    """Return the rules from the end of the lesson, each with our evidence."""
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
