"""User-defined thresholds of a multilabel model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slugline.base.checks import is_number, option_error, short_repr
from slugline.base.wording import nearest
from slugline.corpus.documents import Topics
from slugline.errors import OptionError, Parameter
from slugline.model.multilabel_rule import MultilabelRule


def check_thresholds(thresholds: object, name: str = "thresholds") -> None:
    """Raise OptionError unless topics are mapped to probabilities over 0 and up to 1."""
    if not isinstance(thresholds, Mapping):
        raise option_error(name, thresholds, "a probability for each topic: {'grain': 0.7}")
    for topic, threshold in thresholds.items():
        if not is_number(threshold) or not 0 < threshold <= 1:
            raise OptionError(
                Parameter(name),
                f" has {short_repr(threshold)} for {short_repr(topic)}; give a probability "
                "over 0 and up to 1.",
            )


def _threshold_columns(topics: Topics, thresholds: Mapping[Any, float]) -> dict[int, float]:
    """Return thresholds by column; raise OptionError if a topic doesn't exist."""
    check_thresholds(thresholds)
    names = topics.names
    if unknown := [topic for topic in thresholds if topic not in names]:
        near = nearest(str(unknown[0]), [str(name) for name in names], 0.5)
        advice = f"it has {short_repr(names)}" if near is None else f"did you mean {near!r}?"
        raise OptionError(
            Parameter("thresholds"),
            f" has {short_repr(unknown[0])}, which is not a topic of the model; {advice}",
        )
    return {names.index(topic): value for topic, value in thresholds.items()}


def check_own_thresholds(
    topics: Topics, thresholds: Mapping[Any, float], *, multilabel: bool
) -> None:
    """Raise OptionError for thresholds of unknown topics or for single-label texts."""
    if thresholds and not multilabel:
        raise OptionError(
            Parameter("thresholds"),
            " say which of several topics a text gets, and these texts have one each; "
            "leave it out.",
        )
    _threshold_columns(topics, thresholds)


def with_own_thresholds(
    rule: MultilabelRule, topics: Topics, thresholds: Mapping[Any, float]
) -> MultilabelRule:
    """Return the rule with user-defined thresholds for some topics.

    Other subtopics have their thresholds raised to at least the threshold of their parent.

    Raises
    ------
    OptionError : if the rule needs no thresholds, a topic doesn't exist, or a threshold is not a
        probability or is below the threshold of the topic's parent.
    """
    if not thresholds:
        return rule
    if rule.path_ends:
        raise OptionError(
            Parameter("thresholds"),
            " say which of several topics a text gets, and here each text gets its "
            "most likely path, as those that were learned from have one each; leave it out.",
        )
    names, by_column = topics.names, _threshold_columns(topics, thresholds)
    values = rule.thresholds.copy()
    values[[*by_column]] = [*by_column.values()]
    raised = rule.raise_to_parents(values)
    for topic, parent in rule.parents:
        if topic in by_column and raised[topic] > values[topic]:
            raise OptionError(
                Parameter("thresholds"),
                f" has {values[topic]:g} for {short_repr(names[topic])}, under the "
                f"{raised[parent]:g} of its parent {short_repr(names[parent])}, without which it "
                "is never given; raise it, or lower that of the parent.",
            )
    manual = tuple(sorted({*rule.manual_thresholds, *by_column}))
    return replace(rule, thresholds=raised, manual_thresholds=manual)
