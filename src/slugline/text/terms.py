"""Terms made from words: the first words of a document, bigrams and character n-grams."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from slugline.base.arrays import I32, I64, U64, Integers
from slugline.text.characters import find_unspaced, is_unspaced, normalize_nfc
from slugline.text.hashing import PADDING, hash_spans, mix
from slugline.text.sparse import ranges, row_lengths, row_offsets
from slugline.text.tokens import Words

#: The names of all kinds of terms.
TermKindName: TypeAlias = Literal[
    "words",
    "lead",
    "bigrams",
    "characters",
    "characters-2",
    "characters-3",
    "characters-5",
    "columns",
]
#: Number of words in the lead of a document, in which news states its subject.
N_LEAD = 48
#: Number of characters in the n-grams of each kind.
NGRAM_LENGTHS = {"characters": 4, "characters-2": 2, "characters-3": 3, "characters-5": 5}
#: Numbers of characters in the n-grams of scripts without spaces, which belong to the first kind.
UNSPACED_NGRAM_LENGTHS = (1, 2, 3, 4)
# Longer words are codes, such as base64; their beginning is enough.
_MAX_WORD = 100
_SPACE = ord(" ")
# Factor on the hash of a pair's first word, which makes the order of words count. Any large odd
# number works; this is 2**64 divided by the golden ratio.
_PAIR_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def find_lead_words(words: Words) -> Words:
    """Return the first `N_LEAD` words of each document.

    >>> from slugline.text.tokens import find_words
    >>> find_lead_words(find_words(["rise " * 50, "fall"])).indptr.tolist()
    [0, 48, 49]
    """
    lengths = np.minimum(row_lengths(words.indptr), N_LEAD)
    numbers = ranges(words.indptr[:-1], lengths)
    return Words(
        words.buffer,
        words.starts[numbers],
        words.ends[numbers],
        row_offsets(lengths),
        words.hashes[numbers],
    )


def find_bigrams(words: Words) -> Words:
    """Return each pair of adjacent words as one term.

    >>> from slugline.text.tokens import find_words
    >>> pairs = find_bigrams(find_words(["oil, gas and tin", "tin"]))
    >>> [pairs.word(i) for i in range(len(pairs))]
    ['oil gas', 'gas and', 'and tin']
    """
    lengths = np.maximum(row_lengths(words.indptr) - 1, 0)
    first = ranges(words.indptr[:-1], lengths)
    return Words(
        words.buffer,
        words.starts[first],
        words.ends[first + 1],
        row_offsets(lengths),
        _hash_word_pairs(words.hashes[first], words.hashes[first + 1]),
    )


def _hash_word_pairs(first: U64, second: U64) -> U64:
    """Hash pairs of words; "gas oil" and "oil gas" are different terms."""
    return np.maximum(mix(first * _PAIR_FACTOR + second), 1)


def find_character_ngrams(words: Words, kind: str = "characters") -> Words:
    """Return the character n-grams of each word, including the surrounding spaces.

    In scripts without spaces, the kind "characters" has n-grams of 1 to 4 characters, delimited by
    other scripts and punctuation; other kinds have none. In other scripts, only the space before a
    word and its first 100 characters count.

    >>> from slugline.text.tokens import find_words
    >>> grams = find_character_ngrams(find_words(["is rice"]))
    >>> [grams.word(i) for i in range(len(grams))]
    [' is ', ' ric', 'rice', 'ice ']
    """
    length, unspaced_lengths = NGRAM_LENGTHS[kind], UNSPACED_NGRAM_LENGTHS * (kind == "characters")
    array = np.frombuffer(words.buffer, dtype=np.uint8)
    characters = np.flatnonzero((array & 0xC0) != 0x80)  # other bytes continue a UTF-8 character
    first = np.searchsorted(characters, words.starts)
    lengths = np.searchsorted(characters, words.ends) - first
    # In the buffer, a space precedes and follows each word; both count as part of it.
    n_ngrams = np.maximum(np.minimum(lengths, _MAX_WORD) + 2 - length + 1, 0)
    unspaced = is_unspaced(array, words.starts)
    start: Integers
    size: Integers | int
    if unspaced.any():
        # The word, first character and number of characters of each n-gram.
        n_each = [np.where(unspaced, 0, n_ngrams)]
        n_each += [np.where(unspaced, np.maximum(lengths - n + 1, 0), 0) for n in unspaced_lengths]
        owner = np.concatenate([np.arange(len(words)).repeat(n) for n in n_each])
        places = ranges(first - 1, n_each[0]), *(ranges(first, n) for n in n_each[1:])
        size = np.repeat((length, *unspaced_lengths), [int(n.sum()) for n in n_each])
        order = np.argsort(owner, kind="stable")  # word after word
        start, size = np.concatenate(places)[order], size[order]
        n_ngrams = np.bincount(owner, minlength=len(words))
    else:
        start, size = ranges(first - 1, n_ngrams), length
    starts, ends = characters[start], characters[start + size]
    del characters, start  # to free as much memory as hashing takes
    hashes = hash_spans(array, starts, ends - starts)
    return Words(words.buffer, starts, ends, row_offsets(n_ngrams)[words.indptr], hashes)


class GroupedTerms(NamedTuple):
    """Terms of documents in groups, each stored once regardless of its frequency.

    The character n-grams of a word form a group, so they are found, hashed and looked up once for
    all occurrences of the word.

    Attributes
    ----------
    spans : Words
        The terms; each of its documents is a group.
    groups : int array, shape (n_occurrences,)
    indptr : int64 array, shape (n_documents + 1,)
        Document `d` has `groups[indptr[d]:indptr[d + 1]]`.
    """

    spans: Words
    groups: Integers
    indptr: I64

    def counts(self) -> I64:
        """Return the frequency of each span in all documents."""
        group_lengths = row_lengths(self.spans.indptr)
        return np.repeat(np.bincount(self.groups, minlength=len(group_lengths)), group_lengths)

    def columns_in_order(self, columns: I32) -> tuple[I32, I64]:
        """Return each document's term columns in reading order, and `indptr`.

        `columns` maps spans to columns; spans with a negative column are skipped.
        """
        has_column = columns >= 0
        starts = row_offsets(has_column)[self.spans.indptr]
        lengths = row_lengths(starts)[self.groups]
        places = ranges(starts[self.groups], lengths)
        return columns[has_column][places], row_offsets(lengths)[self.indptr]


def group_words(words: Words) -> GroupedTerms:
    """Return terms in which each word, or each pair of words, is a group."""
    distinct, numbers = words.distinct
    return GroupedTerms(distinct, numbers, words.indptr)


def _group_character_ngrams(words: Words, kind: str) -> GroupedTerms:
    distinct, numbers = words.distinct
    return GroupedTerms(find_character_ngrams(distinct, kind), numbers, words.indptr)


class TermKind(NamedTuple):
    """A kind of term: functions to find its terms in documents and to hash terms of `join_terms`.

    Terms of another kind are skipped in hashing.
    """

    find: Callable[[Words], GroupedTerms]
    hash: Callable[[bytes, I64], U64]


def join_terms(terms: Sequence[str]) -> tuple[bytes, I64]:
    """Return the concatenated bytes of terms and their lengths."""
    whole = "".join(terms)
    if whole.isascii():
        return whole.encode(), np.fromiter(map(len, terms), dtype=np.int64, count=len(terms))
    data = [term.encode("utf-8", "surrogatepass") for term in terms]
    return b"".join(data), np.fromiter(map(len, data), dtype=np.int64, count=len(data))


def split_terms(data: bytes, lengths: I64) -> list[str]:
    """Return the terms; the inverse of `join_terms`.

    >>> split_terms(*join_terms(["oil", "", "Öl"]))
    ['oil', '', 'Öl']
    """
    return [
        data[start:end].decode("utf-8", "surrogatepass")
        for start, end in itertools.pairwise(row_offsets(lengths).tolist())
    ]


def _hash_terms(data: bytes, lengths: I64) -> U64:
    array = np.frombuffer(data + PADDING, dtype=np.uint8)
    return hash_spans(array, row_offsets(lengths)[:-1], lengths)


def _hash_pairs(data: bytes, lengths: I64) -> U64:
    """Return the hash of each term that consists of two words with a space between them."""
    array = np.frombuffer(data + PADDING, dtype=np.uint8)
    bounds = row_offsets(lengths)
    spaces = np.flatnonzero(array[: len(data)] == _SPACE)
    n_before = np.searchsorted(spaces, bounds)
    has_one = np.diff(n_before) == 1
    middles = spaces[n_before[:-1][has_one]]
    starts, ends = bounds[:-1][has_one], bounds[1:][has_one]
    is_pair = (starts < middles) & (middles + 1 < ends)
    middles, starts, ends = middles[is_pair], starts[is_pair], ends[is_pair]
    first = hash_spans(array, starts, middles - starts)
    return _hash_word_pairs(first, hash_spans(array, middles + 1, ends - middles - 1))


KINDS = {
    "words": TermKind(group_words, _hash_terms),
    "lead": TermKind(lambda words: group_words(find_lead_words(words)), _hash_terms),
    "bigrams": TermKind(lambda words: group_words(find_bigrams(words)), _hash_pairs),
    **{
        kind: TermKind(functools.partial(_group_character_ngrams, kind=kind), _hash_terms)
        for kind in NGRAM_LENGTHS
    },
}
#: The name of a further kind: terms from extra columns.
COLUMNS: Final = "columns"


def find_hash(kind: str) -> Callable[[bytes, I64], U64]:
    """Return the function that hashes the terms of a kind, or of extra columns."""
    return _hash_terms if kind == COLUMNS else KINDS[kind].hash


# Positions in the original text -------------------------------------------------------------------

# An ASCII character may combine with the next character, but not with the previous one.
_BEYOND_ASCII = "[\0-\x7f]?[^\0-\x7f]+"


class SpanMapper:
    r"""Maps spans of a text's normalised bytes back to characters of the text.

    Parameters
    ----------
    text : str
    words : Words
        The result of `slugline.text.tokens.find_words` for this one text.

    >>> from slugline.text.tokens import find_words
    >>> text = "E\u0301TE\u0301: Öl, İznik"
    >>> words = find_words([text])
    >>> starts, ends = SpanMapper(text, words).to_text_positions(words.starts, words.ends)
    >>> [text[a:b] for a, b in zip(starts, ends)] == ["E\u0301TE\u0301", "Öl", "İznik"]
    True
    """

    def __init__(self, text: str, words: Words) -> None:
        self._starts: Integers | None = None
        if text.isascii():
            return
        normalized = normalize_nfc(text)
        starts, ends = _origins(text, normalized)
        runs = find_unspaced(normalized)
        # `normalize_text` adds a space on either side of each span in such a script.
        added = np.array(runs, dtype=np.intp).ravel()
        self._starts, self._ends = np.insert(starts, added, 0), np.insert(ends, added, 0)
        array = np.frombuffer(words.buffer, dtype=np.uint8)
        self._characters = np.flatnonzero((array & 0xC0) != 0x80)

    def to_text_positions(self, starts: Integers, ends: Integers) -> tuple[list[int], list[int]]:
        """Return the starts and ends in the text of spans of `words.buffer`.

        Spans are words, or n-grams that don't begin or end with a space.
        """
        # The buffer begins with a space that the text doesn't have.
        if self._starts is None:
            return (starts - 1).tolist(), (ends - 1).tolist()
        first = np.searchsorted(self._characters, starts) - 1
        last = np.searchsorted(self._characters, ends) - 2
        return self._starts[first].tolist(), self._ends[last].tolist()


def _origins(text: str, normalized: str) -> tuple[Integers, Integers]:
    """Return the start and end in the text of each character of the normalised text."""
    lowered = text.lower()
    origins = np.arange(len(text))
    if len(lowered) != len(text):  # such as a dotted capital I, which becomes two characters
        origins = origins.repeat([len(character.lower()) for character in text])
    if normalized == lowered:
        return origins, origins + 1
    first: list[Integers] = []
    last: list[Integers] = []
    end_before = 0
    for start, end, n_after in _changes(lowered):
        # A composed character maps to all characters that it is composed of.
        first += [origins[end_before:start], origins[start].repeat(n_after)]
        last += [origins[end_before:start], origins[end - 1].repeat(n_after)]
        end_before = end
    tail = origins[end_before:]
    return np.concatenate([*first, tail]), np.concatenate([*last, tail]) + 1


def _changes(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield start and end of characters that change in normal form C, and how many they become."""
    for match in re.finditer(_BEYOND_ASCII, text):
        if unicodedata.is_normalized("NFC", match[0]):
            continue
        start = match.start()
        for cluster in _clusters(match[0]):
            normal = unicodedata.normalize("NFC", cluster)
            if normal != cluster:
                n_unchanged = _n_unchanged(cluster, normal)
                yield start + n_unchanged, start + len(cluster), len(normal) - n_unchanged
            start += len(cluster)


def _clusters(text: str) -> Iterator[str]:
    """Yield the shortest parts of a text that can be normalized independently."""
    cluster = ""
    for character in text:
        if cluster and _starts_cluster(character, cluster):
            yield cluster
            cluster = ""
        cluster += character
    yield cluster


def _starts_cluster(character: str, before: str) -> bool:
    """Return True if a character neither combines with those before it nor is reordered."""
    if unicodedata.combining(character):
        return False
    separate = (unicodedata.normalize("NFC", part) for part in (before, character))
    return unicodedata.normalize("NFC", before + character) == "".join(separate)


def _n_unchanged(cluster: str, normal: str) -> int:
    """Return 1 if the first character is unchanged and not combined with another, else 0."""
    tail = unicodedata.normalize("NFC", cluster[1:])
    return int(len(cluster) > 1 and normal == cluster[0] + tail)
