"""What a model file says, as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy.typing as npt

from slugline.encoders.checked import MAX_NAME, MAX_WIDTH
from slugline.saving.quantization import Precision

__all__ = [
    "FORMAT",
    "MAX_COUNT",
    "BlockInfo",
    "EncoderInfo",
    "FormatOnly",
    "ModelFile",
    "ModelInfo",
    "RoutingInfo",
]

#: The version of the format that this release writes. It also reads all earlier ones.
FORMAT = 2

# Limits on topics (each text gets a score for each) and on families of terms (each text is read for
# each). Real models have hundreds of topics and five families.
_MAX_TOPICS = 1 << 16
_MAX_BLOCKS = 64
#: The largest whole number in a file.
MAX_COUNT = (1 << 63) - 1
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class BlockInfo(msgspec.Struct, frozen=True):
    """One family of terms; see `slugline.text.block.Block`."""

    kind: str
    weighting: str
    weight: float
    max_terms: int | None
    min_count: int
    n_terms: _Count
    #: Files of earlier releases lack it, or have buckets without terms, each of which is a column.
    n_buckets: int | None = None


class EncoderInfo(msgspec.Struct, frozen=True):
    """The encoder that a model needs, and what it adds; see `slugline.learners.dense_head`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    #: Another encoder, or one with other weights, has another one.
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, msgspec.Meta(ge=1, le=MAX_WIDTH)]
    sparse_factor: Annotated[float, msgspec.Meta(ge=0, lt=1e6)]
    doubt: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    ambiguity: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]


class RoutingInfo(msgspec.Struct, frozen=True):
    """What thresholds are chosen for; see `slugline.thresholds.answers`."""

    min_precision: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    #: The usual share of unknown words, and how many standard errors more there may be; None where
    #: that is not looked at.
    unknown_words: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None
    most_unknown: Annotated[float, msgspec.Meta(ge=0, lt=1e9)] | None


class StreamInfo(msgspec.Struct, frozen=True):
    """How a model learned from a stream; see `slugline.stream_record`."""

    n_passes: _Count
    n_skipped: _Count
    topic_counts: Annotated[tuple[_Count, ...], msgspec.Meta(max_length=_MAX_TOPICS)]
    n_judged: _Count
    n_right: _Count


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is and where it comes from: the content of `model.json`."""

    format: int = FORMAT
    kind: Literal["topic-classifier"] = "topic-classifier"
    topics: Annotated[list[str | int], msgspec.Meta(min_length=1, max_length=_MAX_TOPICS)]
    blocks: Annotated[list[BlockInfo], msgspec.Meta(max_length=_MAX_BLOCKS)]
    #: Whether each block's part of a row was scaled on its own, as in format 1.
    apart: bool = False
    #: Kind and options of the learner; see `slugline.learners`.
    learner: dict[str, Any]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    class_weight: str | dict[str, float] | None
    #: Versions of the libraries that trained it.
    versions: dict[str, str]
    #: sha256 over the texts and topics it learned from, and how many there were.
    data_digest: str
    n_documents: _Count
    #: How many of these were not learned from, because training was interrupted.
    #: Left out where there are none, as by earlier releases: same documents, same bytes.
    n_held_out: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType = msgspec.UNSET
    #: Metrics measured when it was trained, by name.
    metrics: dict[str, float]
    #: How the file stores weights; in memory they are float32. Earlier files lack this.
    precision: Precision = "float32"
    #: The most bytes that the file may have; weights nearest to 0 were dropped for it if need be.
    #: Left out where there is none: same documents, same bytes.
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] | msgspec.UnsetType = msgspec.UNSET
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
    #: How often answers that are given alone are to be right, likewise.
    routing: RoutingInfo | msgspec.UnsetType = msgspec.UNSET
    #: How it learned, if from a stream, likewise.
    stream: StreamInfo | msgspec.UnsetType = msgspec.UNSET


class FormatOnly(msgspec.Struct):
    """What is read first, as the rest may be from a later release."""

    format: int


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    info : ModelInfo
    arrays : mapping of str to float32 array
        All values are finite, and few are large. `info.precision` is how `write` stores them.
    terms : list of str
        The vocabulary of each block in turn, in the order of its columns.
    card : str
        Markdown.
    """

    info: ModelInfo
    arrays: Mapping[str, npt.NDArray[Any]]
    terms: list[str]
    card: str
