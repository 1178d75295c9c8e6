"""The content of a model file as typed values."""

# Annotations are evaluated here once; msgspec would compile each from a string, in each process.

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.base.arrays import I64
from slugline.base.checks import MAX_WEIGHT
from slugline.learning.encoder.limits import MAX_NAME as MAX_ENCODER_NAME
from slugline.learning.encoder.limits import MAX_WIDTH
from slugline.text.columns import split_lines
from slugline.text.sparse import row_offsets
from slugline.text.table_columns import MAX_BINS, MAX_COLUMNS
from slugline.text.table_columns import MAX_NAME as MAX_COLUMN_NAME

#: The types in which weights may be stored.
WeightType = Literal["float32", "float16", "int8"]
#: The version of the file format.
FORMAT = 3

# Limits on the numbers of topics, as each text gets a score for each, and of feature groups, as
# each text is read for each. Real models have hundreds of topics and five feature groups.
_MAX_TOPICS = 1 << 16
_MAX_FEATURE_GROUPS = 64
#: The largest whole number in a file.
MAX_COUNT = (1 << 63) - 1
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
_ClassWeight = Annotated[float, msgspec.Meta(ge=0, le=MAX_WEIGHT)]
_CalibrationWeight = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
_TopicNumbers = Annotated[tuple[_Count, ...], msgspec.Meta(max_length=_MAX_TOPICS)]


class ColumnInfo(msgspec.Struct, frozen=True):
    """A column of a table; see `slugline.text.table_columns.TableColumn`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_COLUMN_NAME)]
    kind: str
    bins: Annotated[tuple[float, ...], msgspec.Meta(max_length=MAX_BINS)]


class FeatureGroupInfo(msgspec.Struct, frozen=True):
    """A group of terms; see `slugline.text.feature_groups.FeatureGroup`."""

    kind: str
    weighting: str
    weight: float
    max_terms: int | None
    min_count: int
    n_terms: _Count
    #: None if terms are not hashed. If there are buckets but no terms, each bucket is a column.
    n_buckets: int | None
    #: Missing if the terms are those of the text itself.
    columns: (
        Annotated[tuple[ColumnInfo, ...], msgspec.Meta(min_length=1, max_length=MAX_COLUMNS)]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class HeadInfo(msgspec.Struct, frozen=True):
    """The numbers of an encoder's head; see `slugline.learning.encoder.head`."""

    sparse_factor: Annotated[float, msgspec.Meta(ge=0, lt=1e6)]
    uniform_weight: _CalibrationWeight
    high_temperature_weight: _CalibrationWeight
    #: The encoder's part in the spread of scores over topics, from 0 to 1.
    weight: _Fraction


class CascadeInfo(msgspec.Struct, frozen=True):
    """The texts for which a fast stage is enough; see `slugline.learning.encoder.head.Cascade`."""

    threshold: _Fraction
    encoded_fraction: _Fraction
    #: Missing if words alone are the fast stage.
    fast_head: HeadInfo | msgspec.UnsetType = msgspec.UNSET


class EncoderInfo(HeadInfo, frozen=True):
    """The encoder that a model needs, and its head; see `slugline.learning.encoder.head`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ENCODER_NAME)]
    #: A hash that changes with the encoder or its weights.
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, msgspec.Meta(ge=1, le=MAX_WIDTH)]
    #: Missing if the encoder reads every text.
    cascade: CascadeInfo | msgspec.UnsetType = msgspec.UNSET
    #: The version of the encoder's weights; missing if the encoder has none.
    version: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ENCODER_NAME)] | msgspec.UnsetType
    ) = msgspec.UNSET
    #: Number of documents in the sums from which the head can learn more; missing without sums.
    n_summed: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] | msgspec.UnsetType = msgspec.UNSET
    #: Number of unlabelled texts that the head learned from as well; missing if there are none.
    n_unlabelled: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class UnknownWordInfo(msgspec.Struct, frozen=True):
    """The usual rate of unknown words; see `slugline.text.features.UnknownWordRate`."""

    rate: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    max_errors: Annotated[float, msgspec.Meta(ge=0, lt=1e9)]


class HeldOutInfo(msgspec.Struct, frozen=True):
    """The data by which thresholds are chosen; see `slugline.model.heldout`."""

    #: None if all predictions are given.
    min_precision: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    #: None if unknown words are not counted.
    unknown_words: UnknownWordInfo | None


class TextProfileInfo(msgspec.Struct, frozen=True):
    """The numbers of a text profile; see `slugline.model.text_profile`."""

    #: Digest of the table of word vectors.
    table_digest: Annotated[str, msgspec.Meta(max_length=MAX_ENCODER_NAME)]


class MultilabelRuleInfo(msgspec.Struct, frozen=True):
    """`slugline.model.multilabel_rule.MultilabelRule` without its thresholds, an array."""

    at_least_one: bool
    max_topics: _Count
    average: Literal["micro", "macro", "samples"]
    as_indicator: bool
    separator: _Name | None
    #: The columns of topics at which paths end, if every document has one path.
    path_ends: _TopicNumbers
    #: The columns of topics whose threshold a person set.
    manual_thresholds: _TopicNumbers


class StreamInfo(msgspec.Struct, frozen=True):
    """Record of learning from a stream; see `slugline.model.fitted.StreamRecord`."""

    n_skipped: _Count
    n_evaluated: _Count
    n_right: _Count


class TopicFormInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """How several topics of a document were written; see `slugline.corpus.layout.TopicForm`."""

    kind: Literal["array", "separator", "columns", "label", "uris"]
    separator: Annotated[str, msgspec.Meta(max_length=100)] = ""
    columns: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=_MAX_TOPICS)] = ()


class LayoutInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the training data were read; see `slugline.corpus.layout.Layout`."""

    text: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=100)]
    #: With one column for each topic, the names of these columns, comma-separated and truncated.
    topic: _Name
    encoding: Annotated[str, msgspec.Meta(max_length=100)] | None
    #: Missing fields have their default values.
    skip_bad_rows: bool = False
    #: None if each document has one topic.
    topic_form: TopicFormInfo | None = None
    fold_topics: bool = False
    topic_map: Annotated[tuple[tuple[_Name, _Name], ...], msgspec.Meta(max_length=_MAX_TOPICS)] = ()
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt", "folder"] | None = None
    #: None for data without cells, or if the separator is the default of the format.
    separator: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `model.json`: what a model is, and where it comes from."""

    format: int = FORMAT
    kind: Literal["topic-classifier"] = "topic-classifier"
    topics: Annotated[list[str | int | bool], msgspec.Meta(min_length=1, max_length=_MAX_TOPICS)]
    #: Number of training documents of each topic.
    topic_counts: _TopicNumbers
    feature_groups: Annotated[list[FeatureGroupInfo], msgspec.Meta(max_length=_MAX_FEATURE_GROUPS)]
    #: The type and options of the learner; see `slugline.learning.learner`.
    learner: dict[str, Any]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    class_weight: Literal["balanced"] | dict[str, _ClassWeight] | None
    #: The versions of the libraries with which it was trained.
    versions: dict[str, str]
    #: SHA-256 of the training documents, and their number.
    data_digest: str
    n_documents: _Count
    #: Number of training documents that were not learned from because training was interrupted.
    n_unlearned: _Count
    #: Metrics that were measured after training, by name.
    metrics: dict[str, float]
    #: The type in which the file stores weights; in memory, they are float32.
    weight_type: WeightType
    #: Fraction of the documents that were drawn for the test; None with a test file or no test.
    test_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    #: SHA-256 of the user's validation documents; None if there were none.
    validation_digest: str | None
    #: Whether a user interrupted training, so that it can't be repeated.
    interrupted: bool
    #: Number of batches that `partial_fit` learned from; if not 0, one fit can't repeat the
    #: training.
    n_batches: _Count
    #: Markdown by the author of the model, for the card.
    card_notes: str
    # Each of the following fields is missing if the model has no such part.
    encoder: EncoderInfo | msgspec.UnsetType = msgspec.UNSET
    #: Descriptions of topics, by topic.
    descriptions: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    heldout: HeldOutInfo | msgspec.UnsetType = msgspec.UNSET
    stream: StreamInfo | msgspec.UnsetType = msgspec.UNSET
    #: The rule of a multilabel model.
    multilabel_rule: MultilabelRuleInfo | msgspec.UnsetType = msgspec.UNSET
    #: The layout of the training data.
    layout: LayoutInfo | msgspec.UnsetType = msgspec.UNSET
    text_profile: TextProfileInfo | msgspec.UnsetType = msgspec.UNSET


class FormatOnly(msgspec.Struct):
    """The version of the format, which is read first, as other versions have other fields."""

    format: int


@dataclass(frozen=True, eq=False)
class ModelFile:
    """Content of a model file.

    Attributes
    ----------
    info : ModelInfo
    arrays : mapping of str to float32 array
        All values are finite and within limits. `write` stores them as `info.weight_type`.
    vocabulary : bytes
        The vocabularies of all groups, one after the other, each in the order of its columns: a
        term in UTF-8 on each line.
    card : str
        Markdown.
    """

    info: ModelInfo
    arrays: Mapping[str, npt.NDArray[Any]]
    vocabulary: bytes
    card: str

    @property
    def terms(self) -> list[str]:
        """The terms of the vocabulary."""
        return split_lines(self.vocabulary)

    def group_names(self) -> Iterator[tuple[bytes, I64]]:
        """Yield the terms of each feature group: concatenated, and the length of each in bytes."""
        data = np.frombuffer(self.vocabulary, dtype=np.uint8)
        lengths = np.diff(np.flatnonzero(data == ord("\n")), prepend=-1) - 1
        names, bounds = self.vocabulary.replace(b"\n", b""), row_offsets(lengths)
        first = 0
        for group in self.info.feature_groups:
            last = first + group.n_terms
            yield names[bounds[first] : bounds[last]], lengths[first:last]
            first = last
