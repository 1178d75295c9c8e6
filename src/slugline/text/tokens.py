"""Splits texts into words and hashes them to 64 bits, a whole array at a time: the hot path.

Words are those of the classic newswire data set: the text is lower-cased, and white space and
ASCII punctuation except the apostrophe separate words. Punctuation of other scripts separates
words too.

A chunk of documents is joined into one byte buffer, and every later step is a NumPy operation over
all its words, so Python's loop runs per chunk, not per word. NumPy releases the interpreter lock,
so chunks can run on threads. A word's hash depends on its bytes alone, not on where chunks end.
Model files with feature hashing depend on hashes: they are the same on every machine and must never
change.
"""

from __future__ import annotations

import functools
import itertools
import re
import struct
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from slugline.base.arrays import I32, I64, U8, U32, U64, Mask
from slugline.base.threads import map_in_order
from slugline.corpus.documents import check_all_str, check_iterable_of_texts, check_texts
from slugline.text.sparse import boundaries, ranges

# Normalisation ------------------------------------------------------------------------------------

# Unicode blocks of scripts that are written without spaces, in ascending order: Thai and Lao,
# Myanmar, Khmer, Japanese syllables, Chinese characters, those for compatibility, narrow katakana,
# and the rarer Chinese characters.
_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u3005", "\u3007"),
    ("\u3040", "\u30ff"),
    ("\u31f0", "\u31ff"),
    ("\u3400", "\u4dbf"),
    ("\u4e00", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\uff66", "\uff9f"),
    ("\U00020000", "\U0003ffff"),
)
_BOUNDS = np.array([(ord(first), ord(last) + 1) for first, last in _UNSPACED]).ravel()
_UNSPACED_RUN = re.compile(f"[{''.join(f'{first}-{last}' for first, last in _UNSPACED)}]+")
# All characters beyond ASCII for which str.isspace() is true.
_WIDE_SPACE = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_APOSTROPHE = "\u2019"
# Characters of the first plane, of those with cases and combining marks, and planes in all.
_N_PLAIN, _N_TABLED, _N_PLANES = 0x10000, 0x20000, 17
# Syllables, which Unicode's tables of decompositions don't have.
_HANGUL = range(0xAC00, 0xD7A4)
# Its lower case depends on the letters around it.
_SIGMA = "\u03a3"
# Bits in the kernel's table of characters.
_SIDE_SHIFT, _MARK_SHIFT = 17, 24
_CHANGES, _LEADS, _FOLLOWS, _IS_HARD = (1 << bit for bit in range(19, 23))
# Marks on a character in Unicode's stream-safe text format, far more than any language has; and a
# length up to which sorting marks is fast however many they are.
_MOST_MARKS, _MOST_UNSEEN = 30, 1000


def normalize_text(text: str) -> str:
    """Return a text in lower case and normal form C, with ASCII separators only.

    Punctuation of any script and wide spaces become spaces, a typographic apostrophe an ASCII one;
    spaces surround each stretch of a script without spaces.

    >>> normalize_text("“Öl” aus dem Meer")
    ' öl  aus dem meer'
    >>> normalize_text("iPhone手机，很好")
    'iphone 手机   很好 '
    """
    return _UNSPACED_RUN.sub(r" \g<0> ", _mask_separators(normalize_nfc(text)))


def spaced_characters(text: str) -> str:
    """Return the characters of a text's words in scripts with spaces.

    >>> spaced_characters("iPhone 手机!")
    'iphone'
    """
    plain = _UNSPACED_RUN.sub("", _mask_separators(normalize_nfc(text)))
    return "".join(plain.translate(_NO_PUNCTUATION).split())


def find_unspaced(text: str) -> list[tuple[int, int]]:
    """Return where each stretch of a script without spaces is, in a text from `normalize_nfc`.

    >>> find_unspaced("iphone手机，很好")
    [(6, 8), (9, 11)]
    """
    return [run.span() for run in _UNSPACED_RUN.finditer(_mask_separators(text))]


def _mask_separators(text: str) -> str:
    """Replace punctuation and wide spaces with spaces; no character moves."""
    return _separator_pattern().sub(" ", text.replace(_APOSTROPHE, "'"))


def normalize_nfc(text: str) -> str:
    """Return a text in lower case and normal form C.

    Sorting combining marks takes quadratic time. A text with more marks in a row than any language
    has stays as it is.
    """
    text = text.lower()
    if len(text) > _MOST_UNSEEN and _longest_mark_run(text) > _MOST_MARKS:
        return text
    return unicodedata.normalize("NFC", text)


def _longest_mark_run(text: str) -> int:
    """Return the largest number of combining marks in a row."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    others = np.flatnonzero(~_is_combining()[np.minimum(points, _N_TABLED - 1)])
    return int(np.diff(others, prepend=-1, append=len(points)).max()) - 1


@functools.cache
def _is_combining() -> Mask:
    return np.fromiter(map(unicodedata.combining, map(chr, range(_N_TABLED))), dtype=bool)


@functools.cache
def character_table(n_planes: int) -> U32:
    """Return what the compiled kernel knows of each character; `_kernel.c` names the bits.

    For each character up to U+1FFFF, then for each of 17 planes. Python reads texts with characters
    of other than the first, or the first two, planes, as to make a table of these takes long.
    """
    stop = n_planes * _N_PLAIN
    low, flags = np.arange(_N_TABLED), np.zeros(_N_TABLED, dtype=np.int64)
    # Each vowel and last consonant of Hangul, of which Python has no table, is in one of these.
    jamo = _decompose("".join(map(chr, [*_HANGUL[:28], *_HANGUL[::28]])))
    hard, leads, follows = [ord(_SIGMA)], [*_HANGUL, *jamo], [*jamo]
    for point in _examined_points(stop):
        character, lower = chr(point), chr(point).lower()
        if mark := unicodedata.combining(character):
            flags[point] = mark << _MARK_SHIFT
        if lower == character and unicodedata.is_normalized("NFD", character):
            continue
        low[point] = ord(lower[0])
        if len(lower) > 1 or not unicodedata.is_normalized("NFC", lower):
            hard.append(point)
        first, *others = _decompose(character)
        if others and unicodedata.is_normalized("NFC", character):
            leads += first, point
            follows += others
    flags[leads] |= _LEADS
    flags[follows] |= _FOLLOWS
    table = np.full(_N_TABLED + _N_PLANES, _IS_HARD)
    table[:stop] = (low | flags[low] | np.where(low == np.arange(_N_TABLED), 0, _CHANGES))[:stop]
    table[hard] |= _IS_HARD
    sides = np.frombuffer(character_classes(), dtype=np.uint8).astype(np.int64) << _SIDE_SHIFT
    table[:_N_PLAIN] |= sides[:_N_PLAIN]
    table[_N_PLAIN:_N_TABLED] |= sides[_N_PLAIN + 1]
    table[_N_TABLED:] |= sides[_N_PLAIN:]
    return table.astype(np.uint32)


def _examined_points(stop: int) -> Iterator[int]:
    """Return the characters beyond ASCII but ideographs, Hangul and those for private use."""
    return itertools.chain(range(0x80, 0x3400), range(0xA000, 0xAC00), range(0xF900, stop))


def _decompose(text: str) -> list[int]:
    return [*map(ord, unicodedata.normalize("NFD", text))]


@functools.cache
def character_classes() -> bytes:
    """Return how `normalize_text` treats each character.

    For each character up to U+FFFF, then for each of 17 planes: 0 for word characters, 1 for
    scripts without spaces, 2 for separators, 3 for the apostrophe.
    """
    classes = np.zeros(_N_PLAIN + _N_PLANES, dtype=np.uint8)
    for first, last in _UNSPACED:
        if ord(last) < _N_PLAIN:
            classes[ord(first) : ord(last) + 1] = 1
        else:  # these are whole planes
            classes[_N_PLAIN + (ord(first) >> 16) : _N_PLAIN + (ord(last) >> 16) + 1] = 1
    classes[[ord(character) for character in _separator_characters()]] = 2
    classes[ord(_APOSTROPHE)] = 3
    return classes.tobytes()


@functools.cache
def _separator_pattern() -> re.Pattern[str]:
    """Return a pattern for one wide space or punctuation mark: few texts need it."""
    return re.compile(f"[{_separator_characters()}]")


def _separator_characters() -> str:
    examined = map(chr, _examined_points(_N_PLAIN))
    marks = [c for c in examined if unicodedata.category(c)[0] == "P"]
    return _WIDE_SPACE + "".join(marks)


def is_unspaced(array: U8, starts: I64) -> Mask:
    """Return whether the character at each start is of a script without spaces.

    `array` is UTF-8 with at least three more bytes after the last start.
    """
    lead = array[starts].astype(np.int64)
    is_long = np.flatnonzero(lead >= 0xE0)  # two bytes don't reach as far as these scripts
    result = np.zeros(len(starts), dtype=bool)
    first, places = lead[is_long], starts[is_long]
    following = [array[places + n].astype(np.int64) & 0x3F for n in (1, 2, 3)]
    points = (first & 0x0F) << 12 | following[0] << 6 | following[1]
    wide = first >= 0xF0
    long_points = (first & 0x07) << 18 | following[0] << 12 | following[1] << 6 | following[2]
    points[wide] = long_points[wide]
    result[is_long] = np.searchsorted(_BOUNDS, points, side="right") % 2 == 1
    return result


# Hashes -------------------------------------------------------------------------------------------

_WORD_BYTES = 8
#: Must follow the last span in a buffer, because an 8-byte load may start at any of its bytes.
PADDING = b" " * (_WORD_BYTES + 1)
# _KEEP[n] keeps the first n bytes of a little-endian 8-byte load, and _END[n] appends a byte that
# never occurs in UTF-8. Without it, a word and the same word followed by NUL would be equal.
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(_WORD_BYTES + 1)], dtype=np.uint64)
_END = np.array([*(0xFF << 8 * n for n in range(_WORD_BYTES)), 0], dtype=np.uint64)
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_64_BITS = (1 << 64) - 1
# More spans than this hash faster in array operations than one by one.
_MANY_SPANS = 32


def hash_spans(array: U8, starts: I64, lengths: I64) -> U64:
    """Return a hash of each span's bytes, 8 bytes a round; never 0, which marks empty slots.

    Parameters
    ----------
    array : uint8 array
        The buffer; `PADDING` follows the last span.
    starts, lengths : int64 arrays, shape (n_spans,)
    """
    # The same bytes, viewed as an (unaligned) 8-byte integer that starts at each position.
    loads = np.ndarray((len(array) - _WORD_BYTES + 1,), "<u8", array, strides=(1,))
    hashes = mix(_masked(loads, starts, lengths))
    longer = np.flatnonzero(lengths > _WORD_BYTES)
    offset = _WORD_BYTES
    # Few spans are very long. For a word of megabytes, array operations on one number each would be
    # slow, so the last few spans are finished one by one.
    while longer.size > min(offset // 4, _MANY_SPANS):
        remaining = lengths[longer] - offset
        hashes[longer] = mix(hashes[longer] ^ _masked(loads, starts[longer] + offset, remaining))
        offset += _WORD_BYTES
        longer = longer[remaining > _WORD_BYTES]
    for i in longer.tolist():
        tail = array[starts[i] + offset : starts[i] + lengths[i]].tobytes()
        hashes[i] = _continue_hash(int(hashes[i]), tail)
    return np.maximum(hashes, 1, out=hashes)


def _masked(loads: U64, starts: I64, lengths: I64) -> U64:
    lengths = np.minimum(lengths, _WORD_BYTES)
    loaded = loads[starts]
    loaded &= _KEEP[lengths]
    loaded |= _END[lengths]
    return loaded


def _continue_hash(hashed: int, tail: bytes) -> int:
    """Return the hash of a span, given the hash of its beginning and the remaining bytes."""
    first, second = _FACTORS
    n_last = len(tail) % _WORD_BYTES
    padding = b"\xff".ljust(_WORD_BYTES - n_last, b"\0") if n_last else b""
    for (block,) in struct.iter_unpack("<Q", tail + padding):
        hashed ^= block
        hashed ^= hashed >> 30
        hashed = hashed * first & _64_BITS
        hashed ^= hashed >> 27
        hashed = hashed * second & _64_BITS
        hashed ^= hashed >> 31
    return hashed


def mix(hashes: U64) -> U64:
    """Scramble bits in place, one to one, with splitmix64's finaliser (Steele et al., 2014)."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(_FACTORS[0])
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(_FACTORS[1])
    hashes ^= hashes >> np.uint64(31)
    return hashes


def number_distinct(hashes: U64) -> tuple[I64, I32]:
    """Number the distinct hashes in order of appearance, in linear time.

    Each hash writes its position into the slot that its low bits choose. If it reads back the
    position of an equal hash, the two share a number; else it tries again with other bits. Hashes
    crafted to share a slot separate at the next try.

    Returns the position where each distinct hash first occurs, and each hash's number.

    >>> first, numbers = number_distinct(np.array([40, 7, 40, 9], dtype=np.uint64))
    >>> first.tolist(), numbers.tolist()
    ([0, 1, 3], [0, 1, 0, 2])
    """
    mask = np.uint64((1 << (2 * len(hashes)).bit_length()) - 1)
    table = np.empty(int(mask) + 1, dtype=np.int32)

    def claim(keys: U64, places: I32) -> I32:
        slots = (keys & mask).astype(np.intp)
        table[slots[::-1]] = places[::-1]  # the last write stays: that of the first occurrence
        return table[slots]

    places = np.arange(len(hashes), dtype=np.int32)
    owner = claim(hashes, places)
    lost = places[hashes[owner] != hashes]
    keys = hashes[lost]
    while lost.size:
        owner[lost] = claim(mix(keys), lost)
        again = hashes[owner[lost]] != hashes[lost]
        lost, keys = lost[again], keys[again]
    first = np.flatnonzero(owner == places)
    numbers = np.empty_like(places)
    numbers[first] = places[: len(first)]
    return first, numbers[owner]


# Words --------------------------------------------------------------------------------------------

T = TypeVar("T")

#: The characters that separate words, besides white space. No apostrophe: "don't" is one word.
PUNCTUATION = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'
_NO_PUNCTUATION = str.maketrans(PUNCTUATION, " " * len(PUNCTUATION))


class ChunkSizes(NamedTuple):
    """Where chunks of texts end.

    The temporary arrays of a chunk stay in a core's own cache, where passes over memory are twice
    as fast as over a whole corpus. Smaller chunks make threads queue for the interpreter lock.
    """

    characters: int = 1 << 18
    piece: int = 64  # texts that are taken at once
    book: int = 1 << 22  # longer texts are alone: temporary arrays are many times as large


CHUNK_SIZES = ChunkSizes()
_ASCII_SPACE = "\t\n\v\f\r\x1c\x1d\x1e\x1f"
_SPACE = ord(" ")
_SEPARATORS = (PUNCTUATION + _ASCII_SPACE).encode()
#: Lower-cases ASCII and turns separators into spaces. Bytes from 128 up belong to multi-byte UTF-8
#: characters and stay as they are.
TRANSLATION = bytes(
    _SPACE if byte in _SEPARATORS else ord(chr(byte).lower()) if byte < 128 else byte
    for byte in range(256)
)
_SPACES = re.compile(" +")


@dataclass(frozen=True)
class Words:
    """All words of some documents, in order.

    Attributes
    ----------
    buffer : bytes
        The documents, normalised and joined, as UTF-8.
    starts, ends : int64 arrays, shape (n_words,)
        Where each word is in `buffer`.
    indptr : int64 array, shape (n_documents + 1,)
        Document `d` has the words from `indptr[d]` up to but not including `indptr[d + 1]`.
    hashes : uint64 array, shape (n_words,)
        Hash of each word's bytes, never 0.
    """

    buffer: bytes
    starts: I64
    ends: I64
    indptr: I64
    hashes: U64

    def __len__(self) -> int:
        return len(self.starts)

    def word(self, i: int) -> str:
        """Return the `i`-th word as text."""
        return span_text(self.buffer[self.starts[i] : self.ends[i]])

    @cached_property
    def distinct(self) -> tuple[Words, I32]:
        """The distinct words in order of appearance, each as a document, and each word's number."""
        first, numbers = number_distinct(self.hashes)
        indptr = np.arange(len(first) + 1)
        words = Words(self.buffer, self.starts[first], self.ends[first], indptr, self.hashes[first])
        return words, numbers

    def extract(self, chosen: I64) -> tuple[bytes, I64]:
        """Return the bytes of the chosen words, one after another, and the length of each."""
        lengths = self.ends[chosen] - self.starts[chosen]
        places = ranges(self.starts[chosen], lengths)
        return np.frombuffer(self.buffer, dtype=np.uint8)[places].tobytes(), lengths


def span_text(data: bytes) -> str:
    """Return the text of a word, or of neighbouring words with one space between them."""
    return _SPACES.sub(" ", data.decode("utf-8", "surrogatepass"))


def tokenize(text: str) -> list[str]:
    """Return the words of one document.

    >>> tokenize("OPEC's output up 1.5%, says Shell-Mex")
    ["opec's", 'output', 'up', '1', '5', 'says', 'shell', 'mex']
    """
    words = find_words([text])
    return [words.word(i) for i in range(len(words))]


def find_words(texts: Sequence[str]) -> Words:
    """Return all words of all `texts`, with their hashes, in a handful of array operations.

    Raises DataError if a document is not a `str`.
    """
    data, lengths = join_texts(check_texts(texts), normalize_text)
    # With spaces before, between and after documents, edges alternate between starts and ends, and
    # no word runs from one document into the next.
    buffer = b" ".join([b"", data, PADDING]).translate(TRANSLATION)
    array = np.frombuffer(buffer, dtype=np.uint8)
    is_space = array == _SPACE
    edges = np.flatnonzero(is_space[1:] != is_space[:-1])
    edges += 1
    starts, ends = edges[0::2], edges[1::2]
    lengths += 1  # for the space
    firsts = boundaries(lengths) + 1
    indptr = np.searchsorted(starts, firsts)
    return Words(buffer, starts, ends, indptr, hash_spans(array, starts, ends - starts))


def map_chunks(
    function: Callable[[Sequence[str]], T],
    texts: Iterable[str],
    n_threads: int = 1,
    sizes: ChunkSizes | None = None,
) -> Iterator[T]:
    """Apply `function` to consecutive chunks of `texts`, in order, on `n_threads` threads.

    Only a few chunks per thread are in memory at a time, so `texts` may be an endless stream.
    """
    chunks = _chunks(texts, sizes or CHUNK_SIZES)
    first_chunks = list(itertools.islice(chunks, 1 if n_threads == 1 else 2))
    if len(first_chunks) < 2:  # one thread, or nothing to share
        n_threads = 1
    chunks = itertools.chain(first_chunks, chunks)
    yield from map_in_order(function, chunks, n_threads, n_waiting=n_threads + 1)


def _chunks(texts: Iterable[str], sizes: ChunkSizes) -> Iterator[list[str]]:
    remaining = iter(check_iterable_of_texts(texts))
    chunk: list[str] = []
    n_given = size = 0
    # A few at a time: a Python step for every text would take noticeable time.
    while piece := list(itertools.islice(remaining, sizes.piece)):
        check_all_str(piece, n_given)
        n_given += len(piece)
        piece_size = sum(map(len, piece))
        if piece_size > sizes.book:
            yield from filter(None, [chunk, *([text] for text in piece)])
            chunk, size = [], 0
            continue
        size += piece_size
        chunk += piece
        if size >= sizes.characters:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def join_texts(
    texts: Sequence[str], prepare: Callable[[str], str] | None = None
) -> tuple[bytes, I64]:
    """Return the documents as bytes, joined with spaces, and the number of bytes of each.

    `prepare` is applied to texts beyond ASCII.
    """
    whole = " ".join(texts)
    if whole.isascii():
        return whole.encode(), np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if prepare is not None:
        texts = [text if text.isascii() else prepare(text) for text in texts]
    try:
        data = [*map(str.encode, texts)]
    except UnicodeEncodeError:  # rare, and encoding them all as such takes four times as long
        data = [*map(encode_text, texts)]
    return b" ".join(data), np.fromiter(map(len, data), dtype=np.int64, count=len(data))


def encode_text(text: str) -> bytes:
    """Return a text as UTF-8."""
    # A lone surrogate, as in broken JSON, counts as a character like any other.
    return text.encode("utf-8", "surrogatepass")
