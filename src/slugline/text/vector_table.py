"""Tables of word vectors: their file format, and the table that comes with Slugline.

All numbers are little-endian. A header of 128 bytes, ending with the digest of the file, precedes
these sections, each of which begins at a multiple of 64 bytes:

======= ================================ ===========================================================
slots   uint64, n_slots                  hash table of the words, see below
filter  uint8, n_slots                   bits of words that may be pieces
factors uint16, n_words                  factor of each word's numbers
rows    uint8, (n_words, n_columns / 2)  numbers from -7 to 7, plus 8: byte `j` holds column `j` in
                                         its low half and `j + n_columns / 2` in its high half
lengths uint8, n_words                   number of bytes of each word
text    uint8                            the words in UTF-8, one after another
notes   JSON                             the languages of the words
======= ================================ ===========================================================

Linear probing starts at slot `hash >> 32` modulo the number of slots. A slot contains the word's
row plus 1 in its lowest 22 bits and the hash in the others; empty slots are 0. Only 42 bits of
hashes are compared, so an unknown word is mistaken for one of n words with probability n / 2^42.

A vector's column is number x factor x scale. Numbers and factors are integers, so sums of vectors
are exact and independent of order until multiplied by the scale, a power of two.
"""

from __future__ import annotations

import functools
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from slugline.base.arrays import F32, I32, I64, U8, U16, U64, aligned
from slugline.base.files import PathLike
from slugline.base.wording import counted
from slugline.errors import EncoderError, os_errors_as
from slugline.text.sparse import row_offsets

try:
    from slugline.text import _kernel
except ImportError:  # there was no compiler
    _kernel = None  # type: ignore[assignment]

#: Version of the table used in training.
VERSION = 1
#: Folder of the package's tables.
FOLDER = Path(__file__).parent
#: Version of the rules by which texts are read; see `slugline.text.vector_sums`.
RULES_VERSION = 1
MAX_COLUMNS = 1024
#: Number of bits of a slot that hold a row's number; the others hold bits of the hash.
ROW_BITS = 22
MAGIC = b"SLUGVEC1"
N_BITS = 4
#: The value that stands for 0.
ZERO = 8
# The largest factor.
_MAX_FACTOR = 4095
_ALIGNMENT = 64
#: The header has the fields, zeros, the checksum of both, and the digest of the file without it.
HEADER_FIELDS = struct.Struct("<8s11If")
CHECKSUM_START, DIGEST_START, HEADER_SIZE = 92, 96, 128
# Maximum scale. The squared length of a sum of 2^24 vectors with 1,024 columns, each below 2^15
# times the scale, is less than 2^128, which fits single precision.
_MAX_SCALE = 2.0**20
#: The largest number of characters of a piece.
MAX_PIECE = 64
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
        Minimum and maximum number of characters of pieces of unknown words; the second minimum is
        for scripts without spaces.
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

    def section_sizes(self) -> list[int]:
        """Return the size of each section in bytes, including padding."""
        sizes = [np.dtype(dtype).itemsize * n for dtype, n in self.sections().values()]
        return [size + -size % _ALIGNMENT for size in sizes]

    def is_valid(self) -> bool:
        """Return True if fields are consistent and supported by this version of Slugline."""
        shortest = self.shortest_piece, self.shortest_unspaced_piece
        return (
            self.rules_version == RULES_VERSION
            and self.n_bits == N_BITS
            and 8 <= self.n_columns <= MAX_COLUMNS
            and self.n_columns % 8 == 0
            and 0 < self.n_words < 1 << ROW_BITS
            and self.n_words < self.n_slots <= 1 << ROW_BITS + 1
            and self.n_slots & (self.n_slots - 1) == 0
            and min(shortest) >= 1
            and max(*shortest, self.longest_piece) <= MAX_PIECE
            and self.longest_piece >= 1
            and 0 < self.scale <= _MAX_SCALE
        )


@dataclass(frozen=True, eq=False)
class VectorTable:
    """Table of word vectors in a memory-mapped file.

    Iterating yields the words in row order. A pickle contains only the path or, for the package's
    own table, the version.

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

    def __reduce__(self) -> tuple[object, ...]:
        # On another machine, the package's table may be in a different folder.
        if self.path == _table_path(self.header.version):
            return open_table, (self.header.version,)
        return map_table, (self.path,)

    def __len__(self) -> int:
        return self.header.n_words

    def __iter__(self) -> Iterator[str]:
        return map(self.word, range(len(self)))

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
        numbers -= ZERO
        numbers *= (self.factors[rows] & _MAX_FACTOR)[:, np.newaxis]
        return numbers

    def vectors(self, rows: I64) -> F32:
        """Return the contribution of each row's word to a text's sum, shape (n_rows, n_columns)."""
        return self.apply_scale(self.unpack(rows))

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
        return {word: row for row, word in enumerate(self)}

    def check_digest(self) -> None:
        """Raise EncoderError if the file doesn't match its digest.

        The first call reads the whole file. Called by fits, servers, `slugline check` and
        `slugline info`, but not by other predictions.
        """
        if not self._has_its_digest:
            raise EncoderError(f"{self.path}: checksum mismatch; ", _INSTALL)

    @functools.cached_property
    def _has_its_digest(self) -> bool:
        with _file_errors(self.path):
            return digest_of(self.path.read_bytes()) == self.digest


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
        header_bytes = file.read(HEADER_SIZE)
        header = _read_header(path, header_bytes)
        sizes = header.section_sizes()
        n_bytes, expected = file.seek(0, 2), HEADER_SIZE + sum(sizes)
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
    arrays, position = {}, HEADER_SIZE
    sizes = header.section_sizes()
    for size, (name, (dtype, n_items)) in zip(sizes, header.sections().items(), strict=True):
        array = np.frombuffer(data, dtype, n_items, position)
        arrays[name] = aligned(array, array.dtype.newbyteorder("="))
        position += size
    arrays["rows"] = arrays["rows"].reshape(header.n_words, -1)
    notes = msgspec.json.decode(arrays.pop("notes").tobytes(), type=Notes)
    digest = data[DIGEST_START:HEADER_SIZE].hex()
    return VectorTable(path, header, digest, **arrays, languages=notes.languages)


class Notes(msgspec.Struct, frozen=True):
    """The last section of a table."""

    languages: tuple[str, ...]


def _read_header(path: Path, data: bytes) -> Header:
    """Return the header in the first bytes of a file; raise EncoderError if it is invalid."""
    if len(data) < HEADER_SIZE or not data.startswith(MAGIC):
        raise EncoderError(f"{path}: not a table of word vectors; ", _INSTALL)
    _, *fields = HEADER_FIELDS.unpack_from(data)
    (checksum,) = struct.unpack_from("<I", data, CHECKSUM_START)
    if zlib.crc32(data[:CHECKSUM_START]) != checksum:
        raise _damage_error(path)
    header = Header(*fields)
    if not header.is_valid():
        raise EncoderError(
            f"{path}: this table of word vectors (version {header.version}, rules "
            f"{header.rules_version}) belongs to another version of Slugline; ",
            _INSTALL,
        )
    return header


def _damage_error(path: Path) -> EncoderError:
    return EncoderError(f"{path}: the table of word vectors is damaged; ", _INSTALL)


def _file_errors(path: Path) -> AbstractContextManager[None]:
    return os_errors_as(EncoderError, f"can't read the word vectors in {path}", _INSTALL)


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a table's bytes, without the stored digest."""
    import hashlib

    digest = hashlib.sha256(data[:DIGEST_START])
    digest.update(memoryview(data)[HEADER_SIZE:])
    return digest.hexdigest()


# The package's table ------------------------------------------------------------------------------


def open_table(version: int = VERSION) -> VectorTable:
    """Return the package's table of word vectors, mapped once.

    Raises
    ------
    EncoderError : if the package has no table of this version, or it is damaged.
    """
    return _open_once(_table_path(version), version)


@functools.cache
def _open_once(path: Path, version: int) -> VectorTable:
    if version != VERSION and not path.exists():
        raise EncoderError(
            f"this version of Slugline has no {path.name}; install the version that trained the "
            "model, or retrain the model."
        )
    table = map_table(path)
    if table.header.version != version:
        raise EncoderError(
            f"{path}: contains version {table.header.version} of the word vectors instead of "
            f"{version}; install slugline again."
        )
    return table


def _table_path(version: int) -> Path:
    return FOLDER / f"word_vectors_{version}.slugvec"
