"""The file format of tables of word vectors: writing and mapping them.

All numbers are little-endian. A header of 128 bytes, ending with the digest of the file, precedes
these sections, each of which begins at a multiple of 64 bytes:

======= ================================ ===========================================================
slots   uint64, n_slots                  hash table of the words, see `VectorTable.find_rows`
filter  uint8, n_slots                   bits of pieces, see `_make_filter`
factors uint16, n_words                  factor of each word's numbers
rows    uint8, (n_words, n_columns / 2)  numbers from -7 to 7, plus 8: byte `j` holds column `j` in
                                         its low half and `j + n_columns / 2` in its high half
lengths uint8, n_words                   number of bytes of each word
text    uint8                            the words in UTF-8, one after another
notes   JSON                             the languages of the words
======= ================================ ===========================================================

A vector's column is number x factor x scale. As numbers and factors are integers, a sum of vectors
is exact, in whichever order they are added, until it is multiplied by the scale, a power of two.
"""

from __future__ import annotations

import functools
import math
import mmap
import struct
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from slugline.base.arrays import F32, I32, I64, U8, U16, U64, aligned
from slugline.base.checks import check_whole, has_surrogates, short_repr
from slugline.base.files import PathLike, write_whole
from slugline.base.wording import counted
from slugline.corpus.documents import check_texts
from slugline.errors import DataError, EncoderError, Parameter, os_errors_as
from slugline.text.characters import is_unspaced
from slugline.text.hashing import hash_spans
from slugline.text.sparse import row_lengths, row_offsets
from slugline.text.tokens import Words, find_words

try:
    from slugline.text import _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

#: Version of the rules by which texts are read; see `slugline.text.vector_sums`.
RULES_VERSION = 1
MAX_COLUMNS = 1024
#: Number of bits of a slot that hold a row's number; the others hold bits of the hash.
ROW_BITS = 22
_ROW_MASK = np.uint64((1 << ROW_BITS) - 1)
# A hash shifted to the right by these numbers of bits is the number of a word's first slot, of a
# piece's bit in the filter, and of the bit of a piece's first characters there; by the last number,
# that of the first two characters of a word in `longest_by_start`.
_SLOT_SHIFT, _PIECE_SHIFT, _BEGINNING_SHIFT = np.uint64(32), np.uint64(12), np.uint64(36)
_START_SHIFT = np.uint64(48)
_MAGIC = b"SLUGVEC1"
_N_BITS = 4
# The largest absolute value of a number, the value that stands for 0, and the largest factor.
_MAX_NUMBER, _ZERO, _MAX_FACTOR = 7, 8, 4095
#: The largest number of bytes of a word.
MAX_WORD_BYTES = 255
_ALIGNMENT = 64
# The header has the fields, zeros, the checksum of both, and the digest of the file without it.
_FIELDS = struct.Struct("<8s11If")
_CHECKSUM_START, _DIGEST_START, _HEADER_SIZE = 92, 96, 128
_MAX_UINT32 = (1 << 32) - 1
# The largest absolute value of vectors is at least this, as the scale, which is stored in single
# precision, must not be 0.
_MIN_LARGEST = 1e-30
# The largest scale, and so the largest absolute value of vectors: the squares of a sum of 2^24
# vectors of 1,024 columns, each below 2^15 times the scale, add up to less than 2^128, which single
# precision can hold.
_MAX_SCALE = 2.0**20
_MAX_LARGEST = 1e10
# The largest number of characters of a piece.
_MAX_PIECE = 64
# The largest fraction of slots in use: with more, words are further from their first slot.
_MAX_LOAD_FACTOR = 0.75
_INSTALL = "install slugline again."


class Header(NamedTuple):
    """The header of a table.

    Attributes
    ----------
    version : int
        Version of the table.
    rules_version : int
        Version of the rules by which texts are read.
    n_words, n_columns, n_bits, n_slots, n_text, n_notes : int
        Sizes of the sections.
    shortest_piece, shortest_unspaced_piece, longest_piece : int
        Least and largest number of characters of words that may be pieces of an unknown word; the
        second is for scripts without spaces.
    scale : float
    """

    version: int
    rules_version: int
    n_words: int
    n_columns: int
    n_bits: int
    n_slots: int
    n_text: int
    n_notes: int
    shortest_piece: int
    shortest_unspaced_piece: int
    longest_piece: int
    scale: float

    def sections(self) -> dict[str, tuple[str, int]]:
        """Return the type and the number of items of each section, in order."""
        return {
            "slots": ("<u8", self.n_slots),
            "filter": ("u1", self.n_slots),
            "factors": ("<u2", self.n_words),
            "rows": ("u1", self.n_words * (self.n_columns // 2)),
            "lengths": ("u1", self.n_words),
            "text": ("u1", self.n_text),
            "notes": ("u1", self.n_notes),
        }

    def is_valid(self) -> bool:
        """Return whether the fields are consistent, and this version of Slugline can use them."""
        shortest = self.shortest_piece, self.shortest_unspaced_piece
        return (
            self.rules_version == RULES_VERSION
            and self.n_bits == _N_BITS
            and 8 <= self.n_columns <= MAX_COLUMNS
            and self.n_columns % 8 == 0
            and 0 < self.n_words < 1 << ROW_BITS
            and self.n_words < self.n_slots <= 1 << ROW_BITS + 1
            and self.n_slots & (self.n_slots - 1) == 0
            and min(shortest) >= 1
            and max(*shortest, self.longest_piece) <= _MAX_PIECE
            and self.longest_piece >= 1
            and 0 < self.scale <= _MAX_SCALE
        )


@dataclass(frozen=True, eq=False)
class VectorTable:
    """The sections of a table of word vectors, mapped from a file and read when they are used.

    Attributes
    ----------
    path : Path
    header : Header
    digest : str
        SHA-256 of the file without the digest itself, in hexadecimal, as stated in the file; see
        `check_digest`.
    slots, filter, factors, rows, lengths, text : arrays
    languages : tuple of str
    """

    path: Path
    header: Header
    digest: str
    slots: U64
    filter: U8
    factors: U16
    rows: U8
    lengths: U8
    text: U8
    languages: tuple[str, ...]

    @functools.cached_property
    def kernel_arguments(self) -> tuple[object, ...]:
        """Arguments of the compiled kernel."""
        header = self.header
        return (
            self.slots,
            self.filter,
            self.factors,
            self.rows,
            self.longest_by_start,
            header.n_columns,
            header.shortest_piece,
            header.shortest_unspaced_piece,
            header.longest_piece,
            header.scale,
        )

    def unpack(self, rows: I64) -> I32:
        """Return the unscaled vectors of rows, shape (n_rows, n_columns)."""
        packed = self.rows[rows]
        numbers = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.int32)
        numbers -= _ZERO
        numbers *= (self.factors[rows] & _MAX_FACTOR)[:, np.newaxis]
        return numbers

    def apply_scale(self, sums: I64 | I32) -> F32:
        """Return scaled sums of vectors from sums of integers."""
        return (sums * self.header.scale).astype(np.float32)

    def word(self, row: int) -> str:
        """Return the word of a row."""
        start, end = self._offsets[row : row + 2].tolist()
        return self.text[start:end].tobytes().decode(errors="replace")

    @functools.cached_property
    def _offsets(self) -> I64:
        return row_offsets(self.lengths)

    @functools.cached_property
    def longest_by_start(self) -> U8:
        """Length in characters of the longest word for each pair of first characters.

        Indexed by the highest bits of the pair's hash; 0 if no word starts with the pair. In
        scripts without spaces, most characters start words of two or three characters.
        """
        return np.frombuffer(_kernel.longest_by_start(self.text, self.lengths), dtype=np.uint8)

    @functools.cached_property
    def row_of_word(self) -> dict[str, int]:
        """Row of each word, for look-ups without the kernel."""
        return {self.word(row): row for row in range(self.header.n_words)}

    def find_rows(self, hashes: U64) -> I64:
        """Return the row of the word with each hash, or -1.

        Linear probing starts at slot `hash >> 32` modulo the number of slots. A slot contains the
        word's row plus 1 in its lowest 22 bits and the hash in the others; empty slots are 0. Only
        42 bits of hashes are compared, so an unknown word is mistaken for one of n words with
        probability n / 2^42.
        """
        n_slots, n_words = self.header.n_slots, self.header.n_words
        rows = np.full(len(hashes), -1, dtype=np.int64)
        remaining = np.arange(len(hashes))
        slots = _first_slots(hashes, n_slots)
        for _ in range(n_slots):
            entries = self.slots[slots[remaining]]
            is_used = entries != 0
            remaining, entries = remaining[is_used], entries[is_used]
            if not remaining.size:
                break
            entry_rows = (entries & _ROW_MASK).astype(np.int64) - 1
            is_match = (entries & ~_ROW_MASK) == (hashes[remaining] & ~_ROW_MASK)
            is_match &= (entry_rows >= 0) & (entry_rows < n_words)
            rows[remaining[is_match]] = entry_rows[is_match]
            remaining = remaining[~is_match]
            slots[remaining] = (slots[remaining] + 1) & (n_slots - 1)
        return rows

    def compute_digest(self) -> str:
        """Compute the digest of the whole file."""
        with _file_errors(self.path):
            return _digest(self.path.read_bytes())

    def check_digest(self) -> None:
        """Raise EncoderError if the file doesn't match its digest.

        The first call reads the whole file. Called by fits, servers, `slugline check` and
        `slugline info`, but not by other predictions.
        """
        if not self._has_its_digest:
            raise EncoderError(f"{self.path}: checksum mismatch; ", _INSTALL)

    @functools.cached_property
    def _has_its_digest(self) -> bool:
        return self.compute_digest() == self.digest


# Mapping ------------------------------------------------------------------------------------------


def map_table(path: PathLike) -> VectorTable:
    """Map the file of a table.

    Checks the header and the size of the file, but not its digest, which requires reading the whole
    file; see `VectorTable.check_digest`.

    Raises
    ------
    EncoderError : if the file is missing, damaged, or of another version.
    """
    path = Path(path)
    with _file_errors(path), path.open("rb") as file:
        header_bytes = file.read(_HEADER_SIZE)
        header = _read_header(path, header_bytes)
        sizes = _section_sizes(header)
        n_bytes, expected = file.seek(0, 2), _HEADER_SIZE + sum(sizes)
        if n_bytes != expected:
            raise EncoderError(
                f"{path}: has {counted(n_bytes, 'byte')} instead of {expected:,}; ", _INSTALL
            )
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _read_sections(data, header, path)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damage_error(path) from error


def _read_sections(data: mmap.mmap, header: Header, path: Path) -> VectorTable:
    """Return the table from the content of its file."""
    arrays, position = {}, _HEADER_SIZE
    sizes = _section_sizes(header)
    for size, (name, (dtype, n_items)) in zip(sizes, header.sections().items(), strict=True):
        array = np.frombuffer(data, dtype, n_items, position)
        arrays[name] = aligned(array, array.dtype.newbyteorder("="))
        position += size
    arrays["rows"] = arrays["rows"].reshape(header.n_words, -1)
    notes = msgspec.json.decode(arrays.pop("notes").tobytes(), type=_Notes)
    digest = data[_DIGEST_START:_HEADER_SIZE].hex()
    return VectorTable(path, header, digest, **arrays, languages=notes.languages)


class _Notes(msgspec.Struct, frozen=True):
    languages: tuple[str, ...]


def _read_header(path: Path, data: bytes) -> Header:
    """Return the header in the first bytes of a file; raise EncoderError if it is invalid."""
    if len(data) < _HEADER_SIZE or not data.startswith(_MAGIC):
        raise EncoderError(f"{path}: not a table of word vectors; ", _INSTALL)
    _, *fields = _FIELDS.unpack_from(data)
    (checksum,) = struct.unpack_from("<I", data, _CHECKSUM_START)
    if zlib.crc32(data[:_CHECKSUM_START]) != checksum:
        raise _damage_error(path)
    header = Header(*fields)
    if not header.is_valid():
        raise EncoderError(
            f"{path}: this table of word vectors (version {header.version}, rules "
            f"{header.rules_version}) belongs to another version of Slugline; ",
            _INSTALL,
        )
    return header


def _section_sizes(header: Header) -> list[int]:
    """Return the size of each section in bytes, including padding."""
    sizes = [np.dtype(dtype).itemsize * n for dtype, n in header.sections().values()]
    return [size + -size % _ALIGNMENT for size in sizes]


def _damage_error(path: Path) -> EncoderError:
    return EncoderError(f"{path}: the table of word vectors is damaged; ", _INSTALL)


def _file_errors(path: Path) -> AbstractContextManager[None]:
    return os_errors_as(EncoderError, f"can't read the word vectors in {path}", _INSTALL)


def _digest(data: bytes) -> str:
    """Return the SHA-256 of a table's bytes, without the stored digest."""
    import hashlib

    digest = hashlib.sha256(data[:_DIGEST_START])
    digest.update(memoryview(data)[_HEADER_SIZE:])
    return digest.hexdigest()


# Writing ------------------------------------------------------------------------------------------


def write_table(
    path: PathLike,
    words: Sequence[str],
    vectors: F32,
    *,
    version: int,
    languages: Sequence[str],
    shortest_piece: int = 3,
    shortest_unspaced_piece: int = 2,
    longest_piece: int = 12,
) -> str:
    """Write a table of word vectors and return its digest.

    Parameters
    ----------
    path : path
    words : sequence of str
        Distinct words, as returned by `slugline.text.tokens.tokenize`. Put the most frequent ones
        first: texts then touch fewer pages of memory.
    vectors : float array, shape (n_words, n_columns)
        Contribution of each word to the sum of a text, including the word's weight. The number of
        columns is a multiple of 8, up to 1,024.
    version : int
    languages : sequence of str
        Codes of the languages of the words.
    shortest_piece, shortest_unspaced_piece, longest_piece : int
        Number of characters of words that may be pieces of an unknown word; see `Header`.

    Raises
    ------
    DataError : if a word is duplicated or not a token of `tokenize`, or vectors are invalid.
    OptionError : if a number is out of range.
    """
    words = check_texts(words, "words")
    with np.errstate(over="ignore"):  # values that are too large become infinity
        vectors = np.asarray(vectors, dtype=np.float32)
    _check_vectors(words, vectors)
    check_whole("version", version, 1, _MAX_UINT32)
    check_whole("longest_piece", longest_piece, 1, _MAX_PIECE)
    check_whole("shortest_piece", shortest_piece, 1, _MAX_PIECE)
    check_whole("shortest_unspaced_piece", shortest_unspaced_piece, 1, _MAX_PIECE)
    text, lengths, tokens = _read_words(words)
    scale, factors, rows = _quantise(vectors)
    slots = _make_slots(tokens.hashes)
    notes = msgspec.json.encode(_Notes(tuple(languages)))
    header = Header(
        version=version,
        rules_version=RULES_VERSION,
        n_words=len(words),
        n_columns=vectors.shape[1],
        n_bits=_N_BITS,
        n_slots=len(slots),
        n_text=len(text),
        n_notes=len(notes),
        shortest_piece=shortest_piece,
        shortest_unspaced_piece=shortest_unspaced_piece,
        longest_piece=longest_piece,
        scale=scale,
    )
    start = _FIELDS.pack(_MAGIC, *header).ljust(_CHECKSUM_START, b"\0")
    start += struct.pack("<I", zlib.crc32(start))
    arrays = slots, _make_filter(tokens, header), factors, rows, lengths.astype(np.uint8)
    sections = [array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays]
    sections += text, notes
    body = b"".join(
        section.ljust(size, b"\0")
        for section, size in zip(sections, _section_sizes(header), strict=True)
    )
    digest = _digest(start + bytes(_HEADER_SIZE - _DIGEST_START) + body)
    write_whole(path, start + bytes.fromhex(digest) + body)
    return digest


def _check_vectors(words: Sequence[str], vectors: F32) -> None:
    if vectors.ndim != 2 or len(vectors) != len(words) or not 0 < len(words) < 1 << ROW_BITS:
        raise DataError(
            Parameter("vectors"),
            f" has shape {vectors.shape} for {counted(len(words), 'word')}; give one row for each "
            f"word, of which there may be up to {(1 << ROW_BITS) - 1:,}.",
        )
    n_columns = vectors.shape[1]
    if n_columns % 8 or not 0 < n_columns <= MAX_COLUMNS:
        raise DataError(
            Parameter("vectors"),
            f" has {counted(n_columns, 'column')}; pass a multiple of 8 up to {MAX_COLUMNS:,}.",
        )
    if not np.isfinite(vectors).all():
        raise DataError(
            Parameter("vectors"),
            " contains NaN, infinity or a number too large for float32; remove such words.",
        )
    largest = float(np.abs(vectors).max())
    if largest and not _MIN_LARGEST <= largest <= _MAX_LARGEST:
        raise DataError(
            Parameter("vectors"),
            f" has a largest absolute value of {largest:.2g}; multiply all vectors by one factor, "
            f"so that it is from {_MIN_LARGEST:g} to {_MAX_LARGEST:g}.",
        )


def _read_words(words: Sequence[str]) -> tuple[bytes, I64, Words]:
    """Return the words as UTF-8, the number of bytes of each, and their places and hashes."""
    tokens = find_words(words)
    for word in words:
        if has_surrogates(word):
            raise DataError(f"{short_repr(word)} contains a lone surrogate; remove it.")
    n_tokens = row_lengths(tokens.indptr)
    if (n_tokens != 1).any():
        word = words[int(np.flatnonzero(n_tokens != 1)[0])]
        raise DataError(f"{short_repr(word)} isn't one word; pass words as returned by `tokenize`.")
    text, lengths = tokens.extract(np.arange(len(tokens)))
    if text != "".join(words).encode():
        i = next(i for i, word in enumerate(words) if tokens.word(i) != word)
        raise DataError(
            f"Slugline reads {short_repr(words[i])} as {short_repr(tokens.word(i))}; pass words as "
            "returned by `tokenize`."
        )
    if lengths.max() > MAX_WORD_BYTES:
        word = words[int(lengths.argmax())]
        raise DataError(f"{short_repr(word)} has over {MAX_WORD_BYTES} bytes; remove it.")
    # Words whose hashes differ only in the lowest bits would collide as well.
    compared = tokens.hashes & ~_ROW_MASK
    _, first, n_equal = np.unique(compared, return_index=True, return_counts=True)
    if (n_equal > 1).any():
        word = words[int(first[n_equal > 1].min())]
        raise DataError(f"the word {short_repr(word)} is duplicated; remove one of the two.")
    return text, lengths, tokens


def _first_slots(hashes: U64, n_slots: int) -> I64:
    return (hashes >> _SLOT_SHIFT).astype(np.int64) & (n_slots - 1)


def _make_slots(hashes: U64) -> U64:
    """Return the hash table of the words with these hashes."""
    n_slots = 1 << int(len(hashes) / _MAX_LOAD_FACTOR).bit_length()
    slots = [0] * n_slots
    entries = hashes & ~_ROW_MASK
    entries += np.arange(1, len(hashes) + 1, dtype=np.uint64)
    starts = _first_slots(hashes, n_slots)
    for slot, entry in zip(starts.tolist(), entries.tolist(), strict=True):
        while slots[slot]:
            slot = (slot + 1) % n_slots
        slots[slot] = entry
    return np.array(slots, dtype=np.uint64)


def _make_filter(words: Words, header: Header) -> U8:
    """Return the filter of words that may be pieces, and of their first characters."""
    array = np.frombuffer(words.buffer, dtype=np.uint8)
    unspaced = is_unspaced(array, words.starts)
    shortest = np.where(unspaced, header.shortest_unspaced_piece, header.shortest_piece)
    characters = np.flatnonzero((array & 0xC0) != 0x80)
    first = np.searchsorted(characters, words.starts)
    n_characters = np.searchsorted(characters, words.ends) - first
    pieces = np.flatnonzero((n_characters >= shortest) & (n_characters <= header.longest_piece))
    starts, ends = words.starts[pieces], characters[(first + shortest)[pieces]]
    beginnings = hash_spans(array, starts, ends - starts)
    filter_ = np.zeros(header.n_slots, dtype=np.uint8)
    for numbers in (words.hashes[pieces] >> _PIECE_SHIFT, beginnings >> _BEGINNING_SHIFT):
        indices, bits = _filter_bits(filter_, numbers)
        np.bitwise_or.at(filter_, indices, bits)
    return filter_


def _filter_bits(filter_: U8, numbers: U64) -> tuple[I64, U8]:
    """Return the index of each number's byte in a filter, and its bit in that byte."""
    bits = numbers.astype(np.int64) & (8 * len(filter_) - 1)
    return bits >> 3, np.left_shift(1, bits & 7).astype(np.uint8)


def _quantise(vectors: F32) -> tuple[float, U16, U8]:
    """Return the scale, the factor of each vector, and the packed values of the vectors."""
    largest = np.abs(vectors).max(axis=1).astype(np.float64) / _MAX_NUMBER
    scale = math.ldexp(1, math.frexp(float(largest.max()) / _MAX_FACTOR)[1])
    factors = np.ceil(largest / scale)
    numbers = np.rint(vectors / np.maximum(factors * scale, scale)[:, np.newaxis])
    nibbles = (numbers.astype(np.int8) + _ZERO).astype(np.uint8)
    half = vectors.shape[1] // 2
    return scale, factors.astype(np.uint16), nibbles[:, :half] | nibbles[:, half:] << 4
