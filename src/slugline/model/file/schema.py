"""The content of a model file, as typed values; and its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy.typing as npt

from slugline.base.html import template_environment
from slugline.base.wording import counted, percent
from slugline.learning.encoder.encoder import MAX_NAME, MAX_WIDTH
from slugline.model.promise import PromiseCheck
from slugline.text.table_columns import MAX_BINS, MAX_COLUMNS, TableColumn, format_columns
from slugline.text.table_columns import MAX_NAME as MAX_NAME_LENGTH

#: How weights may be stored.
Precision = Literal["float32", "float16", "int8"]
#: The version of the format that this release writes and reads.
FORMAT = 2

# Limits on topics (each text gets a score for each) and on families of terms (each text is read for
# each). Real models have hundreds of topics and five families.
_MAX_TOPICS = 1 << 16
_MAX_FEATURE_GROUPS = 64
#: The largest whole number in a file.
MAX_COUNT = (1 << 63) - 1
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ColumnInfo(msgspec.Struct, frozen=True):
    """A column beside the text; see `slugline.text.table_columns.TableColumn`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
    kind: str
    bins: Annotated[tuple[float, ...], msgspec.Meta(max_length=MAX_BINS)]


class FeatureGroupInfo(msgspec.Struct, frozen=True):
    """A family of terms; see `slugline.text.feature_groups.FeatureGroup`."""

    kind: str
    weighting: str
    weight: float
    max_terms: int | None
    min_count: int
    n_terms: _Count
    #: Files of earlier releases lack it, or have buckets without terms, each of which is a column.
    n_buckets: int | None = None
    #: Left out of families of the text's own terms.
    columns: (
        Annotated[tuple[ColumnInfo, ...], msgspec.Meta(min_length=1, max_length=MAX_COLUMNS)]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class EncoderInfo(msgspec.Struct, frozen=True):
    """The encoder that a model needs, and its head; see `slugline.learning.encoder.head`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    #: Another encoder, or one with other weights, has another one.
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, msgspec.Meta(ge=1, le=MAX_WIDTH)]
    sparse_factor: Annotated[float, msgspec.Meta(ge=0, lt=1e6)]
    doubt: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    ambiguity: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    share: _Share
    #: From which probability by words, of the best topic against the second best, the encoder need
    #: not read a text, and the share of held-out documents that it had to read. Left out if it
    #: reads all, as in files of earlier releases.
    cascade: tuple[_Share, _Share] | msgspec.UnsetType = msgspec.UNSET
    #: How many texts without labels it learned from as well. Left out where there are none.
    n_unlabelled: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class RoutingInfo(msgspec.Struct, frozen=True):
    """What thresholds are chosen for; see `slugline.model.thresholds`."""

    #: None if all answers are given.
    min_precision: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    #: The usual share of unknown words, and how many standard errors more there may be; None where
    #: that is not looked at.
    unknown_words: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    most_unknown: Annotated[float, msgspec.Meta(ge=0, lt=1e9)] | None
    #: If no threshold reaches `min_precision`, the highest precision that can be promised, and for
    #: which share of texts; 0 if there is none. Left out if one does.
    alternative: tuple[_Share, _Share] | msgspec.UnsetType = msgspec.UNSET


class DecisionInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """`slugline.model.multilabel_rule.MultilabelRule` without its thresholds, an array."""

    at_least_one: bool
    most: _Count
    average: Literal["micro", "macro", "samples"]
    as_indicator: bool
    separator: _Name | None = None
    #: The columns of topics at which paths end, if every document has one path.
    ends: Annotated[tuple[_Count, ...], msgspec.Meta(max_length=_MAX_TOPICS)] = ()
    #: The columns of topics whose threshold a person set.
    by_hand: Annotated[tuple[_Count, ...], msgspec.Meta(max_length=_MAX_TOPICS)] = ()


class StreamInfo(msgspec.Struct, frozen=True):
    """How a model learned from a stream; see `slugline.model.fitted`."""

    n_passes: _Count
    n_skipped: _Count
    topic_counts: Annotated[tuple[_Count, ...], msgspec.Meta(max_length=_MAX_TOPICS)]
    n_judged: _Count
    n_right: _Count


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class TopicFormInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """How several topics of a document were written; see `slugline.corpus.layout.TopicForm`."""

    kind: Literal["array", "separator", "columns", "label", "uris"]
    separator: Annotated[str, msgspec.Meta(max_length=100)] = ""
    columns: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=_MAX_TOPICS)] = ()


class LayoutInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the training data were read; see `slugline.corpus.layout.DataLayout`."""

    text: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=100)]
    #: With one column for each topic, the beginning of their names with commas between them.
    topic: _Name
    encoding: Annotated[str, msgspec.Meta(max_length=100)] | None
    #: Left out if bad rows were not skipped, as by earlier releases.
    skip_bad_rows: bool = False
    #: Left out if each document has one topic: same documents, same bytes.
    topic_form: TopicFormInfo | None = None
    #: Left out if topics were neither merged nor renamed, and the format shows in files' names.
    fold_topics: bool = False
    topic_map: Annotated[tuple[tuple[_Name, _Name], ...], msgspec.Meta(max_length=_MAX_TOPICS)] = ()
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt", "folder"] | None = None
    #: Left out of data that are no tables of cells with separators.
    separator: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is and where it comes from: the content of `model.json`."""

    format: int = FORMAT
    kind: Literal["topic-classifier"] = "topic-classifier"
    topics: Annotated[list[str | int | bool], msgspec.Meta(min_length=1, max_length=_MAX_TOPICS)]
    feature_groups: Annotated[
        list[FeatureGroupInfo], msgspec.Meta(max_length=_MAX_FEATURE_GROUPS)
    ] = msgspec.field(name="blocks")
    #: Reserved: format 1, which no release wrote, had other values. Without it, the bytes of files
    #: would change.
    apart: Literal[False] = False
    #: Kind and options of the learner; see `slugline.learning.learner`.
    learner: dict[str, Any]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    class_weight: Literal["balanced"] | dict[str, float] | None
    #: Versions of the libraries that trained it.
    versions: dict[str, str]
    #: sha256 over the texts and topics it learned from, and how many there were.
    data_digest: str
    n_documents: _Count
    #: How many of these were not learned from, because training was interrupted.
    #: Left out where there are none, as by earlier releases: same documents, same bytes.
    n_heldout: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType = msgspec.UNSET
    #: Metrics measured when it was trained, by name.
    metrics: dict[str, float]
    #: How the file stores weights; in memory they are float32. Earlier files lack this.
    precision: Precision = "float32"
    #: Share of the documents that the seed chose to test on; None with a test file or no test.
    test_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    #: sha256 of the user's documents on which the best epoch was found; None if there were none.
    validation_digest: str | None = None
    #: Whether a person interrupted training, so that it can't be repeated.
    interrupted: bool = False
    #: How many batches `partial_fit` learned from; if any, training can't be repeated in one go.
    n_batches: _Count = 0
    #: Markdown by the maker of the model, for the card.
    card_notes: str = ""
    #: Left out where there is none: same documents, same bytes.
    encoder: EncoderInfo | msgspec.UnsetType = msgspec.UNSET
    #: What described topics are about, likewise.
    descriptions: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    #: How often answers that are given alone are to be right, if there are held-out answers.
    routing: RoutingInfo | msgspec.UnsetType = msgspec.UNSET
    #: How it learned, if from a stream, likewise.
    stream: StreamInfo | msgspec.UnsetType = msgspec.UNSET
    #: How several topics are given to a document; left out where each has one.
    decision: DecisionInfo | msgspec.UnsetType = msgspec.UNSET
    #: Where its data had texts and topics, likewise.
    layout: LayoutInfo | msgspec.UnsetType = msgspec.UNSET


class FormatOnly(msgspec.Struct):
    """The format, which is read first, as the rest may be from a later release."""

    format: int


@dataclass(frozen=True)
class ModelFile:
    """Content of a model file.

    Attributes
    ----------
    info : ModelInfo
    arrays : mapping of str to float32 array
        All values are finite, and few are large. `info.precision` is how `write` stores them.
    terms : list of str
        The vocabulary of each group in turn, in the order of its columns.
    card : str
        Markdown.
    """

    info: ModelInfo
    arrays: Mapping[str, npt.NDArray[Any]]
    terms: list[str]
    card: str


# The card -----------------------------------------------------------------------------------------


def write_card(
    info: ModelInfo, thresholds: npt.NDArray[Any] | None = None, promise: PromiseCheck | None = None
) -> str:
    """Return the card of a model.

    `thresholds` are those of a model of several topics a text, and `promise` is whether it keeps
    the precision that it was trained for.
    """
    environment = template_environment("slugline.model.file", "")
    environment.filters |= {"counted": counted, "percent": percent}
    return environment.get_template("card.md.j2").render(
        info=info,
        terms=map(_describe_terms, info.feature_groups),
        thresholds=thresholds,
        promise=promise and promise.text,
        is_broken=promise is not None and promise.is_broken,
        by_hand=_own_thresholds(info, thresholds),
        separator=repr(info.decision.separator) if info.decision else "",
        learner=describe_learner(info.learner),
        figures=[
            (_words(name), _format_number(name, value)) for name, value in info.metrics.items()
        ],
    )


def _own_thresholds(
    info: ModelInfo, thresholds: npt.NDArray[Any] | None
) -> list[tuple[str | int | bool, float]]:
    """Return the topics whose threshold a person set, and that."""
    if thresholds is None or info.decision is msgspec.UNSET:
        return []
    return [(info.topics[i], float(thresholds[i])) for i in info.decision.by_hand]


def _describe_terms(group: FeatureGroupInfo) -> str:
    if group.columns is not msgspec.UNSET:
        columns = [TableColumn(*msgspec.structs.astuple(column)) for column in group.columns]
        return f"{group.n_terms:,} values of columns beside the text: {format_columns(columns)}"
    if group.n_terms or group.n_buckets is None:
        return f"{group.n_terms:,} {group.kind} ({group.weighting})"
    return f"all {group.kind} by {group.n_buckets:,} hash buckets ({group.weighting})"


# Numbers that turn scores into probabilities say nothing to people, nor that nothing was left out.
_CALIBRATION = ("sharpness", "doubt", "ambiguity")
_NOTHING_SPECIAL = (("clean", True), ("n_left_out", 0))


def describe_learner(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and value of each setting of a learner for people, and of those within it.

    Names begin with `prefix`.
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


# Metrics that count documents; others may be whole by chance.
_COUNTS = ("test_documents", "test_answers", "test_right_answers")


def _format_number(name: str, value: float) -> str:
    is_count = name in _COUNTS or abs(value) > 1
    return f"{value:,.0f}" if float(value).is_integer() and is_count else f"{value:.4f}"


def _words(name: str) -> str:
    return name.replace("_", " ")
