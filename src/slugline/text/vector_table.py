"""The file of a table of word vectors: what is in it, how it is written, and how it is mapped.

All numbers are little-endian. A header of 128 bytes, ending with the digest of the file, precedes
these sections, each of which begins at a multiple of 64 bytes:

======= ================================ ===========================================================
steps   float32, 256                     steps of quantisation
slots   uint32, n_slots                  hash table of the words, see `slots_of`
offsets uint32, n_words + 1              where each word begins in `text`, and the end of the last
codes   uint8, n_words                   number of the step of each word's vector
rows    uint8, (n_words, n_columns / 2)  vectors in steps, plus 8: byte `j` holds column `j` in its
                                         low half, column `j + n_columns / 2` in its high half
text    uint8                            the words in UTF-8, one after another
notes   JSON                             the languages of the words
======= ================================ ===========================================================
"""

from __future__ import annotations

import hashlib
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
import numpy.typing as npt

from slugline.base.arrays import F32, I64, U8, U32, U64, aligned
from slugline.base.checks import check_whole, has_surrogates, short_repr
from slugline.base.files import PathLike, write_whole
from slugline.base.wording import counted
from slugline.errors import DataError, EncoderError, Parameter, os_errors_as
from slugline.text.sparse import row_lengths, row_offsets
from slugline.text.tokens import find_words

#: The rules by which texts are read, see `slugline.text.word_vectors`.
RULES = 1
MAX_COLUMNS = 1024
#: The number of bits of a row's number in a slot; the other bits are the lowest ones of the hash.
ROW_BITS = 22
_MAGIC = b"SLUGVEC1"
_N_BITS = 4
#: The largest absolute value of a number in steps, and what is added to it.
_MAX_STEPS, _ZERO = 7, 8
_N_STEPS = 256
_ALIGNMENT = 64
# The checksum and the digest follow at the end.
_FIELDS = struct.Struct("<8s11I")
_N_CHECKED, _N_DIGESTED, _N_HEADER = 92, 96, 128
_MAX_PIECE = 64
# At most so many slots of 4 are in use.
_USED_SLOTS = 3
_INSTALL = "install slugline again."


class Header(NamedTuple):
    """What the header of a table says.

    Attributes
    ----------
    version : int
        Version of the table.
    rules : int
        Version of the rules by which texts are read.
    n_words, n_columns, n_bits, n_slots, n_text, n_notes : int
        Sizes of the sections.
    shortest_piece, shortest_unspaced_piece, longest_piece : int
        Number of characters of words that may be pieces of an unknown word; the second is for
        scripts without spaces.
    """

    version: int
    rules: int
    n_words: int
    n_columns: int
    n_bits: int
    n_slots: int
    n_text: int
    n_notes: int
    shortest_piece: int
    shortest_unspaced_piece: int
    longest_piece: int

    def sections(self) -> dict[str, tuple[str, int]]:
        """Return the type and the number of items of each section, in order."""
        return {
            "steps": ("<f4", _N_STEPS),
            "slots": ("<u4", self.n_slots),
            "offsets": ("<u4", self.n_words + 1),
            "codes": ("u1", self.n_words),
            "rows": ("u1", self.n_words * (self.n_columns // 2)),
            "text": ("u1", self.n_text),
            "notes": ("u1", self.n_notes),
        }

    def is_valid(self) -> bool:
        """Return whether the numbers go together, and this version of Slugline can use them."""
        shortest = self.shortest_piece, self.shortest_unspaced_piece
        return (
            self.rules == RULES
            and self.n_bits == _N_BITS
            and 8 <= self.n_columns <= MAX_COLUMNS
            and self.n_columns % 8 == 0
            and 0 < self.n_words < 1 << ROW_BITS
            and self.n_words < self.n_slots <= 1 << ROW_BITS + 1
            and self.n_slots & (self.n_slots - 1) == 0
            and min(shortest) >= 1
            and max(*shortest, self.longest_piece) <= _MAX_PIECE
        )


@dataclass(frozen=True, eq=False)
class VectorTable:
    """The sections of a table of word vectors, mapped from a file and read when they are used.

    Attributes
    ----------
    path : Path
    header : Header
    digest : str
        SHA-256 of the file but for the digest itself, in hexadecimal.
    steps, slots, offsets, codes, rows, text : arrays
    languages : tuple of str
    """

    path: Path
    header: Header
    digest: str
    steps: F32
    slots: U32
    offsets: U32
    codes: U8
    rows: U8
    text: U8
    languages: tuple[str, ...]

    def vectors(self, rows: npt.NDArray[np.integer]) -> F32:
        """Return the vectors with these numbers, shape (n_rows, n_columns)."""
        packed = self.rows[rows]
        steps = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)
        steps -= np.float32(_ZERO)
        steps *= self.steps[self.codes[rows], np.newaxis]
        return steps

    def word(self, row: int) -> str:
        """Return the word with this number."""
        start, end = self.offsets[row : row + 2].tolist()
        return self.text[start:end].tobytes().decode(errors="replace")

    def compute_digest(self) -> str:
        """Return the digest of the file as it is now, which reads all of it."""
        with _file_errors(self.path):
            return _digest(self.path.read_bytes())


# Mapping ------------------------------------------------------------------------------------------


def map_table(path: PathLike) -> VectorTable:
    """Map the file of a table.

    The header and the size of the file are checked, but not its digest: that would read all of it.

    Raises
    ------
    EncoderError : if there is no such file, or it is damaged or of another version.
    """
    path = Path(path)
    with _file_errors(path), path.open("rb") as file:
        start = file.read(_N_HEADER)
        header = _read_header(path, start)
        n_bytes, expected = file.seek(0, 2), sum(_section_sizes(header))
        if n_bytes != expected:
            raise EncoderError(
                f"{path}: has {counted(n_bytes, 'byte')} in place of {expected:,}; ", _INSTALL
            )
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays, position = {}, _N_HEADER
    for size, (name, (dtype, n_items)) in zip(
        _section_sizes(header)[1:], header.sections().items(), strict=True
    ):
        array = np.frombuffer(data, dtype, n_items, position)
        arrays[name] = aligned(array, array.dtype.newbyteorder("="))
        position += size
    arrays["rows"] = arrays["rows"].reshape(header.n_words, -1)
    if not (np.isfinite(arrays["steps"]).all() and (arrays["steps"] >= 0).all()):
        raise _damaged(path)
    try:
        notes = msgspec.json.decode(arrays.pop("notes").tobytes(), type=_Notes)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(path) from error
    return VectorTable(path, header, start[_N_DIGESTED:].hex(), **arrays, languages=notes.languages)


class _Notes(msgspec.Struct, frozen=True):
    languages: tuple[str, ...]


def _read_header(path: Path, start: bytes) -> Header:
    if len(start) < _N_HEADER or not start.startswith(_MAGIC):
        raise EncoderError(f"{path}: isn't a table of word vectors; ", _INSTALL)
    _, *numbers = _FIELDS.unpack_from(start)
    (checksum,) = struct.unpack_from("<I", start, _N_CHECKED)
    if zlib.crc32(start[:_N_CHECKED]) != checksum:
        raise _damaged(path)
    header = Header(*numbers)
    if not header.is_valid():
        raise EncoderError(
            f"{path}: this table of word vectors (version {header.version}, rules {header.rules}) "
            "is of another version of Slugline; ",
            _INSTALL,
        )
    return header


def _section_sizes(header: Header) -> list[int]:
    """Return the number of bytes of the header and of each section, with zeros at their ends."""
    sizes = [np.dtype(dtype).itemsize * n for dtype, n in header.sections().values()]
    return [_N_HEADER, *(size + -size % _ALIGNMENT for size in sizes)]


def _damaged(path: Path) -> EncoderError:
    return EncoderError(f"{path}: the table of word vectors is damaged; ", _INSTALL)


def _file_errors(path: Path) -> AbstractContextManager[None]:
    return os_errors_as(EncoderError, f"can't read the word vectors in {path}", _INSTALL)


def _digest(data: bytes) -> str:
    digest = hashlib.sha256(data[:_N_DIGESTED])
    digest.update(memoryview(data)[_N_HEADER:])
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
    """Write a table of word vectors, and return its digest.

    Parameters
    ----------
    path : path
    words : sequence of str
        Distinct words of Slugline's, as `tokenize` returns them. If the most frequent ones come
        first, texts need fewer pages of memory.
    vectors : float array, shape (n_words, n_columns)
        The vector that is added for each word, which includes its weight. The number of columns is
        a multiple of 8, up to 1,024.
    version : int
    languages : sequence of str
        Codes of the languages of the words.
    shortest_piece, shortest_unspaced_piece, longest_piece : int
        Number of characters of words that may be pieces of an unknown word; see `Header`.

    Raises
    ------
    DataError : if a word occurs twice or isn't one of Slugline's, or vectors don't fit the words.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    _check_vectors(words, vectors)
    check_whole("version", version, 1)
    check_whole("longest_piece", longest_piece, 1, _MAX_PIECE)
    check_whole("shortest_piece", shortest_piece, 1, _MAX_PIECE)
    check_whole("shortest_unspaced_piece", shortest_unspaced_piece, 1, _MAX_PIECE)
    text, offsets, hashes = _read_words(words)
    steps, codes, rows = _quantise(vectors)
    slots = slots_of(hashes)
    notes = msgspec.json.encode(_Notes(tuple(languages)))
    header = Header(
        version=version,
        rules=RULES,
        n_words=len(words),
        n_columns=vectors.shape[1],
        n_bits=_N_BITS,
        n_slots=len(slots),
        n_text=len(text),
        n_notes=len(notes),
        shortest_piece=shortest_piece,
        shortest_unspaced_piece=shortest_unspaced_piece,
        longest_piece=longest_piece,
    )
    start = _FIELDS.pack(_MAGIC, *header).ljust(_N_CHECKED, b"\0")
    start += struct.pack("<I", zlib.crc32(start))
    data = start + bytes(_N_HEADER - _N_DIGESTED)
    arrays = steps, slots, offsets.astype(np.uint32), codes, rows
    sections = [*(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays)]
    for section, size in zip([*sections, text, notes], _section_sizes(header)[1:], strict=True):
        data += section.ljust(size, b"\0")
    digest = _digest(data)
    write_whole(path, start + bytes.fromhex(digest) + data[_N_HEADER:])
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
            f" has {counted(n_columns, 'column')}; give a multiple of 8 up to {MAX_COLUMNS:,}.",
        )
    if not np.isfinite(vectors).all():
        raise DataError(Parameter("vectors"), " holds NaN or infinity; leave out such words.")


def _read_words(words: Sequence[str]) -> tuple[bytes, I64, U64]:
    """Return the words as UTF-8, where each begins, and their hashes."""
    if has_surrogates("".join(words)):
        raise DataError("a word has a lone surrogate in it, which is no character; leave it out.")
    found = find_words(words)
    n_each = row_lengths(found.indptr)
    if (n_each != 1).any():
        wrong = words[int(np.flatnonzero(n_each != 1)[0])]
        raise DataError(f"{short_repr(wrong)} isn't one word; give words as Slugline reads them.")
    text, lengths = found.extract(np.arange(len(found)))
    offsets = row_offsets(lengths)
    if text != "".join(words).encode():
        wrong = next(word for i, word in enumerate(words) if found.word(i) != word)
        raise DataError(
            f"Slugline reads {short_repr(wrong)} in another way; give words in lower case and "
            "normal form C without separators."
        )
    if len(set(words)) < len(words):
        wrong = next(word for i, word in enumerate(words) if word in words[:i])
        raise DataError(f"the word {short_repr(wrong)} occurs twice; leave out one of the two.")
    return text, offsets, found.hashes


def slots_of(hashes: U64) -> U32:
    """Return the hash table of words with these hashes.

    A word is in the first free slot, counted from slot `hash >> 32` modulo the number of slots. A
    slot holds the word's row plus 1 in its lowest 22 bits and the lowest bits of the hash in the
    others; 0 if it is empty.
    """
    n_slots = 1 << (len(hashes) * 4 // _USED_SLOTS).bit_length()
    slots = [0] * n_slots
    entries = (hashes << np.uint64(ROW_BITS)).astype(np.uint32)
    entries += np.arange(1, len(hashes) + 1, dtype=np.uint32)
    starts = (hashes >> np.uint64(32)).astype(np.uint32) & np.uint32(n_slots - 1)
    for slot, entry in zip(starts.tolist(), entries.tolist(), strict=True):
        while slots[slot]:
            slot = (slot + 1) % n_slots
        slots[slot] = entry
    return np.array(slots, dtype=np.uint32)


def _quantise(vectors: F32) -> tuple[F32, U8, U8]:
    """Return the steps, the number of the step of each vector, and the vectors in steps."""
    largest = np.abs(vectors).max(axis=1) / np.float32(_MAX_STEPS)
    # Steps are exact in binary, the same on every machine: 16 of them between two powers of two.
    exponent = math.frexp(float(largest.max()))[1] - 15
    steps = np.array(
        [math.ldexp(1 + code % 16 / 16, exponent + code // 16) for code in range(_N_STEPS)],
        dtype=np.float32,
    )
    codes = np.searchsorted(steps, largest)
    numbers = np.rint(vectors / steps[codes, np.newaxis]).astype(np.int8)
    nibbles = (np.clip(numbers, -_MAX_STEPS, _MAX_STEPS) + _ZERO).astype(np.uint8)
    half = vectors.shape[1] // 2
    return steps, codes.astype(np.uint8), nibbles[:, :half] | nibbles[:, half:] << 4
