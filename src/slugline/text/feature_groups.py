"""Feature groups, their terms, and the weighting of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import numpy as np
from msgspec import Meta

from slugline.base.arrays import F32, I64
from slugline.base.checks import check_choice, check_number, check_whole, option_error
from slugline.base.wording import format_call
from slugline.errors import DataError, OptionError, Parameter
from slugline.text.characters import count_spaced_characters
from slugline.text.sparse import Entries, RowStack, SparseRows
from slugline.text.table_columns import MAX_COLUMNS, UNUSED, TableColumn
from slugline.text.terms import COLUMNS, KINDS, NGRAM_LENGTHS, TermKindName

if TYPE_CHECKING:
    import scipy.sparse as sp

# Weightings ---------------------------------------------------------------------------------------

#: The weight of a term in a document: 1 if it occurs; its count; or its count times `idf`, in rows
#: of length 1. "log-tf-idf" uses 1 + ln(count) instead of the count.
Weighting = Literal["multi-hot", "counts", "tf-idf", "log-tf-idf"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)

# idf is stored as float32, from which document frequencies are recovered for each batch.
_ROUNDING = 0.01


def idf(document_frequency: I64, n_documents: int) -> F32:
    """Return the smoothed inverse document frequency of terms: ln((1 + N) / (1 + df)) + 1.

    The same as in scikit-learn's TfidfTransformer; at least 1. Unsmoothed form: Manning,
    Raghavan and Schuetze (2008), Introduction to Information Retrieval, 6.2.1.

    Parameters
    ----------
    document_frequency : int array, shape (n_terms,)
        Number of documents that contain each term.
    """
    return (np.log((1 + n_documents) / (1 + document_frequency)) + 1).astype(np.float32)


def check_idf(idf: F32, n_documents: int) -> None:
    """Raise DataError unless `idf` is possible for terms in `n_documents` documents."""
    if not len(idf):
        return
    maximum = math.log(1 + n_documents) + 1
    least, largest = float(idf.min()), float(idf.max())
    if not 1 - _ROUNDING <= least <= largest <= maximum + _ROUNDING:
        raise DataError(
            f"idf runs from {least:.3g} to {largest:.3g}, but with {n_documents:,} documents it is "
            f"between 1 and {maximum:.3g}"
        )


def document_frequency(idf: F32, n_documents: int) -> I64:
    """Return the number of documents that contain each term, the inverse of `idf`.

    The result is exact up to a few million documents; beyond, float32 limits it to seven digits.
    """
    return np.rint((1 + n_documents) / np.exp(idf.astype(np.float64) - 1) - 1).astype(np.int64)


def apply_weighting(values: F32, weighting: str) -> None:
    """Turn counts into weights in place; rows are not yet scaled."""
    if weighting == "multi-hot":
        values[:] = 1
    if weighting == "log-tf-idf":
        np.log(values, out=values)
        values += 1


# Feature groups -----------------------------------------------------------------------------------

#: Maximum number of hash buckets; more aren't worth their memory.
MAX_BUCKETS = 1 << 24
# With larger weights, squares would overflow float32.
_MAX_WEIGHT = 1_000_000


@dataclass(frozen=True, slots=True, repr=False)
class FeatureGroup:
    """Terms of one kind; the columns of several groups are concatenated.

    Parameters
    ----------
    kind : str, default "words"
        "words"; "lead", a document's first words; "bigrams", pairs of neighbouring words; or
        n-grams in words: "characters" of four characters; "characters-2", "characters-3" and
        "characters-5" of two, three and five.
    weighting : {"multi-hot", "counts", "tf-idf", "log-tf-idf"}, default "log-tf-idf"
    weight : float over 0 and under a million, default 1.0
        Weight of the group relative to others. The groups of a row with idf are scaled to length 1
        together.
    max_terms : int, optional
        Keep at most this many terms, the most frequent ones; all by default.
    min_count : int, default 1
        Drop terms that occur less often in all documents together.
    n_buckets : int, optional
        Number of hash buckets, a power of two up to `MAX_BUCKETS`: feature hashing instead of a
        vocabulary. Columns then have no names, and separate processes give each term the same
        column. The idf of terms is still learned.
    columns : tuple of TableColumn, default ()
        The extra columns; only for the kind "columns", which fitting adds.

    Examples
    --------
    >>> from slugline import FeatureGroup, TopicClassifier
    >>> words = FeatureGroup("words", max_terms=1000)
    >>> characters = FeatureGroup("characters", n_buckets=4096)
    >>> classifier = TopicClassifier(feature_groups=[words, characters])
    """

    kind: TermKindName = "words"
    weighting: Weighting = "log-tf-idf"
    weight: float = 1.0
    max_terms: int | None = None
    min_count: int = 1
    n_buckets: int | None = None
    columns: Annotated[tuple[TableColumn, ...], Meta(max_length=MAX_COLUMNS)] = ()

    def __post_init__(self) -> None:
        kinds = (COLUMNS,) if self.columns else tuple(KINDS)
        check_choice("kind", self.kind, kinds)
        check_choice("weighting", self.weighting, tuple(WEIGHTINGS))
        check_number("weight", self.weight, over=0, under=_MAX_WEIGHT)
        check_whole("min_count", self.min_count, 0)
        if self.max_terms is not None:
            check_whole("max_terms", self.max_terms, 1)
        if self.n_buckets is not None:
            self._check_buckets(self.n_buckets)

    def __repr__(self) -> str:
        return format_call(self)

    @property
    def has_idf(self) -> bool:
        """True if terms that occur in more documents get less weight."""
        return self.weighting.endswith("idf")

    @property
    def is_unused(self) -> bool:
        """True if all extra columns of the group are unused, so that it has no terms."""
        return bool(self.columns) and all(column.kind == UNUSED for column in self.columns)

    def _check_buckets(self, n_buckets: int) -> None:
        is_whole = isinstance(n_buckets, int) and not isinstance(n_buckets, bool)
        if not is_whole or not 0 < n_buckets <= MAX_BUCKETS or n_buckets.bit_count() != 1:
            raise option_error(
                "n_buckets",
                n_buckets,
                f"a power of two up to {MAX_BUCKETS}, or None to learn a vocabulary",
            )
        if self.max_terms is not None or self.min_count != 1:
            raise OptionError(
                Parameter("max_terms"),
                " and ",
                Parameter("min_count"),
                " choose the terms of a vocabulary, and with ",
                Parameter("n_buckets"),
                " there is none; leave them out.",
            )


def check_feature_groups(feature_groups: Any) -> tuple[FeatureGroup, ...]:
    """Return feature groups as a tuple; OptionError unless they are a non-empty sequence."""
    is_list = isinstance(feature_groups, Sequence) and not isinstance(feature_groups, str)
    if (
        not is_list
        or not feature_groups
        or not all(isinstance(group, FeatureGroup) for group in feature_groups)
    ):
        raise option_error(
            "feature_groups", feature_groups, "a list of one or more `FeatureGroup` objects"
        )
    return tuple(feature_groups)


# Default feature groups ---------------------------------------------------------------------------

# Number of hash buckets of each group.
_N_BUCKETS = 1 << 20
# The weight of words and bigrams relative to character n-grams: 2 would be better for short English
# questions, 1 for few documents in most languages.
_WORD_WEIGHT = 1.25
#: The feature groups of rows with idf, by kind.
DEFAULT_GROUPS = {
    kind: FeatureGroup(
        kind, weight=1.0 if kind == "characters" else _WORD_WEIGHT, n_buckets=_N_BUCKETS
    )
    for kind in ("words", "lead", "bigrams", "characters")
}
# The numbers from here to `_WORD_WEIGHT_OF_TWO` were chosen by cross-validation on 40 data sets in
# 17 languages, with 10 and 50 documents per topic.

# Up to this number of documents, n-grams of more lengths improve accuracy.
_FEW = 500
# With more documents, n-grams of more lengths improve accuracy only if a character has at least
# this many bits (`benchmarks/run.py choices bits`).
_MANY_BITS = 5.5
# An n-gram weighs less than a longer one if characters have fewer bits than this.
_FULL_WEIGHT_BITS = 5.2
# The weight of words and bigrams for few documents.
_WORD_WEIGHT_OF_FEW = 1.5
# The same with only two topics, which may be opinions rather than subjects.
_WORD_WEIGHT_OF_TWO = 2.0
#: Number of first texts that the choice depends on.
N_EXAMINED = _FEW + 1
# As in the newswire lesson.
_LESSON = (FeatureGroup("words", "multi-hot", max_terms=10_000),)


def default_feature_groups(
    weighting: str,
    texts: Sequence[str] = (),
    n_topics: int = 0,
    *,
    multilabel: bool = False,
    is_complete: bool = True,
) -> tuple[FeatureGroup, ...]:
    """Return the default feature groups for a learner's weighting.

    Groups are words, bigrams and character n-grams. Multi-label documents, which are mostly longer,
    also get the first words; results are as good or better on all sets of longer texts. Few
    single-label documents, or characters with much information, get n-grams of more lengths: the
    fewer bits a character has, the less weight short n-grams get.

    Parameters
    ----------
    texts : sequence of str, optional
        Training documents, or the first `N_EXAMINED` of them; by default, many are assumed.
    n_topics : int, default 0
        Number of topics; 0 if unknown.
    is_complete : bool, default True
        True if fewer than `N_EXAMINED` texts are all training documents.
    """
    if weighting == "multi-hot":
        return _LESSON
    if multilabel:
        return tuple(DEFAULT_GROUPS.values())
    words, characters = (DEFAULT_GROUPS[kind] for kind in ("words", "characters"))
    bits = bits_per_character(texts[:_FEW])
    are_few = is_complete and 0 < len(texts) <= _FEW
    if bits < _MANY_BITS and not are_few:
        return words, DEFAULT_GROUPS["bigrams"], characters
    weight = _WORD_WEIGHT_OF_TWO if are_few and n_topics == 2 else _WORD_WEIGHT_OF_FEW
    return (
        replace(words, kind="words", weight=weight),
        replace(words, kind="bigrams", weight=weight),
        *(
            replace(characters, kind=cast("TermKindName", kind), weight=_ngram_weight(length, bits))
            for kind, length in NGRAM_LENGTHS.items()
        ),
    )


def _ngram_weight(length: int, bits: float) -> float:
    """Return the weight of n-grams of a length, relative to those of four characters.

    For characters of few bits, two more characters double the weight; for characters of
    `_FULL_WEIGHT_BITS` or more, all lengths have the same weight.
    """
    exponent = min(max(_FULL_WEIGHT_BITS - bits, 0), 1)
    return round(2 ** (exponent * (length - 4) / 2), 2)


def bits_per_character(texts: Sequence[str]) -> float:
    """Return the entropy of word characters in scripts with spaces, in bits; 0 without any.

    >>> bits_per_character(["abcd", "dcba!"])
    2.0
    """
    counts = np.array([*count_spaced_characters(texts).values()])
    probabilities = counts / counts.sum()
    return float(-(probabilities * np.log2(probabilities)).sum()) if len(counts) else 0.0


# Number of hash buckets for the terms of columns.
_COLUMN_BUCKETS = 1 << 16
#: Length of a row of extra columns with one term each, relative to the row of the text.
COLUMN_WEIGHT = 0.5


def add_columns_group(
    feature_groups: Sequence[FeatureGroup], columns: Sequence[TableColumn]
) -> tuple[FeatureGroup, ...]:
    """Return feature groups, followed by a group for the extra columns if there are any."""
    texts = tuple(group for group in feature_groups if group.kind != COLUMNS)
    if not columns:
        return texts
    n_used = sum(column.kind != UNUSED for column in columns)
    columns_group = FeatureGroup(
        COLUMNS,
        "multi-hot",
        weight=COLUMN_WEIGHT / max(n_used, 1) ** 0.5,
        n_buckets=_COLUMN_BUCKETS,
        columns=tuple(columns),
    )
    return (*texts, columns_group)


# Weights of rows ----------------------------------------------------------------------------------


class RowWeights:
    """Weights rows in which the columns of feature groups follow one another.

    Together, the entries of a row in groups with idf are scaled to length 1.

    Parameters
    ----------
    feature_groups : sequence of FeatureGroup
    widths : sequence of int
        Number of columns of each group.
    idf : sequence of float32 array, shape (n_terms,), or None for a group without idf
    """

    def __init__(
        self,
        feature_groups: Sequence[FeatureGroup],
        widths: Sequence[int],
        idf: Sequence[F32 | None],
    ) -> None:
        self.widths, self.idf = widths, idf
        self._weightings = [group.weighting for group in feature_groups]
        self._factors = np.array([group.weight for group in feature_groups]).astype(np.float32)

    def weigh(self, counts: Entries) -> None:
        """Turn counts into weights, in place.

        `counts` has one row for each document and group; its columns are numbered over all groups.
        """
        for weighting in {*self._weightings}:
            self._weigh_counts(counts, weighting)
        self._scale(counts)

    def weigh_stack(self, counts: RowStack) -> sp.csr_array:
        """Return the weighted rows of a stack, to which nothing more can be appended."""
        for part in counts.parts():
            self.weigh(part)
        return SparseRows(counts.concatenate(), sum(self.widths), len(self.widths)).csr()

    def _weigh_counts(self, counts: Entries, weighting: str) -> None:
        """Apply a weighting, except for idf, to the counts of its groups."""
        if len({*self._weightings}) == 1:
            apply_weighting(counts.values, weighting)
            return
        selected = counts.repeat_for_entries(np.array(self._weightings) == weighting)
        part = counts.values[selected]
        apply_weighting(part, weighting)
        counts.values[selected] = part

    def _scale(self, counts: Entries) -> None:
        """Multiply by idf and factors, and scale the groups with idf to length 1 together."""
        values, columns, lengths = counts
        values *= self._all_idf[columns]
        values *= counts.repeat_for_entries(self._factors)
        has_idf = counts.repeat_for_entries(np.array([each is not None for each in self.idf]))
        rows = (np.arange(len(lengths)) // len(self.widths)).repeat(lengths)
        squares = np.bincount(rows, np.where(has_idf, values, 0) ** 2, len(lengths))
        values *= np.where(has_idf, 1 / np.sqrt(np.where(squares > 0, squares, 1))[rows], 1)

    @cached_property
    def _all_idf(self) -> F32:
        """The idf of all columns, 1 in groups without idf."""
        groups = zip(self.idf, self.widths, strict=True)
        ones = np.ones(max(self.widths), dtype=np.float32)
        return np.concatenate([ones[:width] if each is None else each for each, width in groups])
