"""Sentences on the newswire lesson, worded in the templates `lesson` and `rules`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slugline.base.wording import join_words, percent
from slugline.experiment.lesson import NotebookResult
from slugline.reports.render import has_enough_seeds, sentences

#: Losses that differ by more are not equal up to rounding.
SAME_LOSS = 1e-6
#: Mean accuracies that differ by less than this count as equal.
NEGLIGIBLE = 0.002


@dataclass(frozen=True)
class LessonRule:
    """A rule from the end of the lesson, with the evidence from our numbers."""

    text: str
    verdict: str  # "holds", "not seen" or "not tested"
    evidence: str


_VERDICTS = {True: "holds", False: "not seen", None: "not tested"}


def takeaways(result: NotebookResult) -> dict[str, str]:
    """Return the text of each section, by its name."""
    return sentences(
        "lesson.txt.j2",
        result=result,
        depth=_effect_of_depth(result),
        max_spread=_max_spread(result),
        same_loss=SAME_LOSS,
        negligible=NEGLIGIBLE,
    )


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


def _effect_of_depth(result: NotebookResult) -> dict[str, Any]:
    """Return the values of the sentence on the number of layers."""
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
