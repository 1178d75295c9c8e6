"""The content of a model file as typed values."""

# Annotations are evaluated once here; msgspec would compile each from a string in every process.

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.base.arrays import I64, MAX_COUNT, Count
from slugline.base.checks import MAX_WEIGHT
from slugline.corpus.layout import Layout
from slugline.errors import DataError
from slugline.learning.encoder.head import HeadSettings
from slugline.learning.encoder.identity import MAX_NAME as MAX_ENCODER_NAME
from slugline.learning.encoder.identity import EncoderIdentity
from slugline.model.fitted import StreamRecord
from slugline.model.multilabel_rule import MultilabelRule
from slugline.text.columns import split_lines
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import UnknownWordRate
from slugline.text.sparse import row_offsets

#: Storage types of weights.
WeightType = Literal["float32", "float16", "int8"]
#: Version of the file format.
FORMAT = 4

# Limits on topics and feature groups: each text is scored for every topic and read for every group.
# Real models have hundreds of topics and five feature groups.
_MAX_TOPICS = 1 << 16
_MAX_FEATURE_GROUPS = 64
_ClassWeight = Annotated[float, msgspec.Meta(ge=0, le=MAX_WEIGHT)]


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of `model.json`: description and provenance of a model.

    Missing parts are None.
    """

    format: int = FORMAT
    kind: Literal["topic-classifier"] = "topic-classifier"
    topics: Annotated[list[str | int | bool], msgspec.Meta(min_length=1, max_length=_MAX_TOPICS)]
    #: Number of training documents of each topic.
    topic_counts: Annotated[tuple[Count, ...], msgspec.Meta(max_length=_MAX_TOPICS)]
    feature_groups: Annotated[list[FeatureGroup], msgspec.Meta(max_length=_MAX_FEATURE_GROUPS)]
    #: Number of lines of the vocabulary for each feature group. If there are buckets but no terms,
    #: each bucket is a column.
    n_terms: Annotated[tuple[Count, ...], msgspec.Meta(max_length=_MAX_FEATURE_GROUPS)]
    #: The type and options of the learner; see `slugline.learning.learner`.
    learner: dict[str, Any]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    class_weight: Literal["balanced"] | dict[str, _ClassWeight] | None
    #: Versions of the libraries used for training.
    versions: dict[str, str]
    #: SHA-256 of the training documents, and their number.
    data_digest: str
    n_documents: Count
    #: Number of training documents not used because training was interrupted.
    n_unlearned: Count
    #: Metrics measured after training, by name.
    metrics: dict[str, float]
    #: Type of weights in the file; they are float32 in memory.
    weight_type: WeightType
    #: Fraction of the documents drawn for the test; None with a test file or without a test.
    test_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    #: SHA-256 of the user's validation documents, or None.
    validation_digest: str | None
    #: True if a user interrupted training, which makes it irreproducible.
    interrupted: bool
    #: Number of `partial_fit` batches; if not 0, a single fit can't reproduce the training.
    n_batches: Count
    #: Markdown from the model's author, included in the card.
    card_notes: str
    encoder: EncoderIdentity | None
    #: The head of the encoder, and the head of word vectors in the fast stage of its cascade.
    head: HeadSettings | None
    fast_head: HeadSettings | None
    #: Number of documents in the sums for further training of the head.
    n_summed: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] | None
    #: Descriptions of topics, by topic.
    descriptions: dict[str, str]
    #: Requested precision, or None.
    min_precision: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    #: Normal rate of unknown words, from held-out documents; None if not checked.
    unknown_words: UnknownWordRate | None
    stream: StreamRecord | None
    #: The rule of a multilabel model.
    multilabel_rule: MultilabelRule | None
    #: The layout of the training data.
    layout: Layout | None
    #: Digest of the table of word vectors in the text profile.
    text_profile: Annotated[str, msgspec.Meta(max_length=MAX_ENCODER_NAME)] | None


class FormatOnly(msgspec.Struct):
    """Format version; read first, because other versions have other fields."""

    format: int


# Thresholds are the only array in `model.json`; all others are weights.


def encode_info(info: ModelInfo) -> bytes:
    """Return the content of `model.json`."""
    return msgspec.json.format(msgspec.json.encode(info, enc_hook=to_plain), indent=1)


def decode_info(data: bytes) -> ModelInfo:
    """Return the checked content of `model.json`.

    Raises
    ------
    msgspec.ValidationError : if a value is invalid.
    DataError : if a field is unknown or missing.
    """
    info = msgspec.json.decode(data, type=ModelInfo, dec_hook=_to_array)
    # msgspec accepts unknown fields and missing fields with defaults in dataclasses. They use slots
    # because msgspec would otherwise omit such fields here.
    if msgspec.json.decode(encode_info(info)) != msgspec.json.decode(data):
        raise DataError("model.json has missing, unknown or rounded fields")
    return info


def to_plain(value: Any) -> Any:
    """Convert an array or a NumPy number to plain data."""
    if not isinstance(value, np.ndarray | np.generic):
        raise NotImplementedError(type(value))
    return value.tolist()


def _to_array(_: Any, numbers: Any) -> npt.NDArray[np.float32]:
    return np.array(msgspec.convert(numbers, list[float]), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ModelFile:
    """Content of a model file.

    Attributes
    ----------
    info : ModelInfo
    arrays : mapping of str to float32 array
        All values are finite and within limits. `write` stores them as `info.weight_type`.
    vocabulary : bytes
        Vocabularies of all groups, concatenated, each in column order: one term per line, in UTF-8.
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
        """Yield the concatenated terms of each feature group, and their lengths in bytes."""
        data = np.frombuffer(self.vocabulary, dtype=np.uint8)
        lengths = np.diff(np.flatnonzero(data == ord("\n")), prepend=-1) - 1
        names, bounds = self.vocabulary.replace(b"\n", b""), row_offsets(lengths)
        first = 0
        for n_terms in self.info.n_terms:
            last = first + n_terms
            yield names[bounds[first] : bounds[last]], lengths[first:last]
            first = last
