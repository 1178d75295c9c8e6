"""Model card: a readable description of a model file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slugline.base.html import template_environment
from slugline.base.wording import counted, percent
from slugline.learning.encoder.registry import describe_names, list_names
from slugline.model.file.schema import ModelInfo
from slugline.text.feature_groups import FeatureGroup
from slugline.text.table_columns import format_columns

if TYPE_CHECKING:
    from slugline.model.promise import PromiseCheck


def write_card(info: ModelInfo, promise: PromiseCheck | None = None) -> str:
    """Return the model card.

    `promise` states whether the model keeps the precision it was trained for.
    """
    environment = template_environment("slugline.model.file", "")
    environment.filters |= {"counted": counted, "percent": percent}
    return environment.get_template("card.md.j2").render(
        info=info,
        knowledge=describe_names(info.encoder.name) if info.encoder else "",
        languages=_name_languages(info),
        terms=map(_describe_terms, info.feature_groups, info.n_terms),
        promise=promise and promise.text,
        is_missed=promise is not None and promise.is_missed,
        manual_thresholds=_manual_thresholds(info),
        separator=repr(info.multilabel_rule.separator) if info.multilabel_rule else "",
        learner=describe_learner(info.learner),
        metrics=[
            (_words(name), _format_number(name, value)) for name, value in info.metrics.items()
        ],
    )


def _name_languages(info: ModelInfo) -> str:
    """Return the names of pretrained components, such as word vectors; empty without any."""
    names = info.encoder.name if info.encoder else ""
    return list_names(names).replace("word vectors", "its word vectors")


def _manual_thresholds(info: ModelInfo) -> list[tuple[str | int | bool, float]]:
    """Return the topics with user-defined thresholds, and the thresholds."""
    rule = info.multilabel_rule
    if rule is None:
        return []
    return [(info.topics[i], float(rule.thresholds[i])) for i in rule.manual_thresholds]


def _describe_terms(group: FeatureGroup, n_terms: int) -> str:
    if group.columns:
        return f"{n_terms:,} values of table columns: {format_columns(group.columns)}"
    if n_terms or group.n_buckets is None:
        return f"{n_terms:,} {group.kind} ({group.weighting})"
    return f"all {group.kind} by {group.n_buckets:,} hash buckets ({group.weighting})"


# Settings of no interest to readers of the card.
_CALIBRATION = ("calibration", "inverse_temperature")
_NOTHING_SPECIAL = (("clean", True), ("n_suspect_labels", 0))


def describe_learner(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the readable name and value of each setting of a learner and its nested learners.

    All names begin with `prefix`.
    """
    for name, value in settings.items():
        if name in _CALIBRATION or (name, value) in _NOTHING_SPECIAL:
            continue
        if name == "learners":
            for number, part in enumerate(value, start=1):
                yield from describe_learner(part, f"{prefix}{number}. ")
        elif value is not None:
            yield prefix + _words(name), _format_value(value)


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_format_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# Count metrics, shown as integers; other metrics may be whole numbers by chance.
_COUNTS = ("test_documents", "test_answers", "test_right_answers", "labels_of_estimate")


def _format_number(name: str, value: float) -> str:
    is_count = name in _COUNTS or abs(value) > 1
    return f"{value:,.0f}" if float(value).is_integer() and is_count else f"{value:.4f}"


def _words(name: str) -> str:
    return name.replace("_", " ")
