"""Read lines of bytes from a file, pipe or terminal, and convert them to UTF-8."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import select
import stat
from typing import Any, BinaryIO

from slugline.base.checks import short_repr
from slugline.corpus.encodings import detect_encoding
from slugline.errors import DataError, OptionError, Parameter

# Encodings ----------------------------------------------------------------------------------------

# Surrogates, which are invalid UTF-8, mark bytes that are invalid in the file's encoding.
_INVALID = {byte: 0xDC00 + byte for byte in range(128, 256)}
_UNKNOWN = "\udcff"
# Common names of Windows encodings.
_WINDOWS = r"(?:ansi|win|windows)[-_ ]?(125[0-8])?"
_HANDLER = "slugline.mark"


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        invalid = error.object[error.start : error.end].decode("latin-1")
        marked = invalid.translate(_INVALID)
        return marked if marked != invalid else _UNKNOWN, error.end
    raise error


codecs.register_error(_HANDLER, _mark_invalid)


def check_encoding(name: str) -> str | None:
    """Return Python's name for an encoding, or None for UTF-8.

    Raises OptionError for an encoding that is unknown, not for text, or not incremental.
    """
    try:
        codec = codecs.lookup(name)
        _decoder(name).decode(b"")
    except (LookupError, ValueError) as error:
        windows = re.fullmatch(_WINDOWS, name.lower())
        advice = "give one such as cp1252, latin-1, utf-16 or shift_jis."
        if windows:
            advice = f"did you mean cp{windows[1] or 1252}?"
        raise OptionError(
            Parameter("encoding"),
            f" is {short_repr(name)}, which is not a Python encoding; {advice}",
        ) from error
    return None if codec.name in ("utf-8", "utf-8-sig") else codec.name


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    if not codecs.lookup(encoding)._is_text_encoding:
        raise LookupError(encoding)
    return codecs.getincrementaldecoder(encoding)(_HANDLER)


def decode_leniently(line: bytes) -> str:
    """Decode a line, replacing bytes that are not UTF-8 by the most likely characters."""
    try:
        text = line.decode("utf-8", "surrogatepass")  # as `Utf8Stream` marks bytes
    except UnicodeDecodeError:
        text = line.decode("utf-8", "surrogateescape")
    return re.sub(
        "[\udc80-\udcff]",
        lambda match: bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace"),
        text,
    )


class Utf8Stream:
    """A binary file converted to UTF-8 while reading.

    Bytes that are invalid in the file's encoding become invalid UTF-8.
    """

    def __init__(self, file: Any, encoding: str) -> None:
        self._file = file
        self._name = getattr(file, "name", "the stream")
        self._encoding = encoding
        self._decoder = _decoder(encoding)

    def read1(self, size: int) -> bytes:
        """Return about `size` bytes of the file as UTF-8; b"" only at its end."""
        return self.convert(self._file.read1(size), size)

    def convert(self, piece: bytes, size: int) -> bytes:
        """Convert bytes to UTF-8; read on until they contain a complete character."""
        while True:
            try:
                text = self._decoder.decode(piece, final=not piece)
            except UnicodeError as error:  # for example UTF-16 without a byte-order mark
                raise DataError(
                    f"{self._name} can't be read as {self._encoding} ({error}); choose another ",
                    Parameter("encoding"),
                    ".",
                ) from error
            if text or not piece:
                return text.encode("utf-8", "surrogatepass")
            piece = self._file.read1(size)


# Maximum number of bytes of a line to examine for its encoding.
_MAX_GUESSED = 1 << 20


class DetectingStream:
    """A binary file converted to UTF-8 in a single pass that also detects its encoding.

    ASCII passes unchanged until the first non-ASCII lines reveal the encoding.

    Parameters
    ----------
    file : binary file
    likely : str, optional
        See `slugline.corpus.encodings.detect_encoding`.

    Attributes
    ----------
    encoding : str or None
        Detected encoding; None for UTF-8 or if not detected yet.
    """

    def __init__(self, file: Any, likely: str | None) -> None:
        self.encoding: str | None = None
        self._file, self._likely = file, likely
        self._stream: Any = None  # None until the encoding is known
        self._has_begun = False

    def read1(self, size: int) -> bytes:
        """Return about `size` bytes of the file as UTF-8; b"" only at its end."""
        if self._stream is not None:
            return bytes(self._stream.read1(size))
        piece = bytes(self._file.read1(size))
        if not self._has_begun and piece.lstrip().startswith((b"{", codecs.BOM_UTF8)):
            self._stream = self._file  # JSON Lines, or marked as UTF-8
        self._has_begun = True
        if self._stream is not None or (piece.isascii() and b"\0" not in piece):
            return piece
        is_cut = True
        # Read to the end of the line, which the caller needs anyway.
        while is_cut and not _shows_encoding(piece) and len(piece) < _MAX_GUESSED:
            more = self._file.read1(size)
            piece, is_cut = piece + more, bool(more)
        self.encoding = detect_encoding(piece, self._likely, is_cut=is_cut)
        if self.encoding is None:
            self._stream = self._file
            return piece
        self._stream = Utf8Stream(self._file, self.encoding)
        return self._stream.convert(piece, size)


def _shows_encoding(piece: bytes) -> bool:
    """Return True if a complete line contains non-ASCII bytes."""
    return b"\0" in piece or not piece.rpartition(b"\n")[0].isascii()


# Lines --------------------------------------------------------------------------------------------

# Number of bytes to read at a time: the capacity of a pipe on Linux.
_CHUNK_BYTES = 1 << 16
# Seconds to wait for a paused writer: long enough to keep the batches of a steady stream whole, too
# short to notice at a keyboard.
_MOMENT = 0.05


class LineStream:
    """The lines of a binary file as UTF-8; requires exclusive access to the file.

    Parameters
    ----------
    file : binary file, open for reading
    packed : bool, default False
        True if the file is compressed with gzip.
    encoding : str, optional
        See `check_encoding`.
    detect : bool, default False
        True to detect the encoding if `encoding` is None; see `DetectingStream`.
    likely : str, optional
        A likely encoding, as a hint for detection.
    chunk_bytes : int, default 65536
        Number of bytes to read at a time.
    """

    def __init__(
        self,
        file: BinaryIO,
        packed: bool = False,
        encoding: str | None = None,
        *,
        detect: bool = False,
        likely: str | None = None,
        chunk_bytes: int = _CHUNK_BYTES,
    ) -> None:
        self.packed = packed
        self._chunk_bytes = chunk_bytes
        self._file = file
        self._bytes: Any = gzip.GzipFile(fileobj=file) if packed else file
        self._detecting: DetectingStream | None = None
        if encoding is not None:
            self._bytes = Utf8Stream(self._bytes, encoding)
        elif detect:
            self._bytes = self._detecting = DetectingStream(self._bytes, likely)
        self._size = _plain_size(file)
        self._buffer = b""
        self._at = 0  # start of the next line in the buffer

    @property
    def detected(self) -> str | None:
        """The detected encoding; None for UTF-8 or if an encoding was given."""
        return None if self._detecting is None else self._detecting.encoding

    def readline(self, limit: int) -> bytes:
        """Return the next line with its line end, or its first `limit` bytes; b"" at the end."""
        line_break = self._buffer.find(b"\n", self._at, self._at + limit)
        end = self._read_on(limit) if line_break < 0 else line_break + 1
        line = self._buffer[self._at : end]
        self._at = end
        return line

    def preview(self) -> bytes:
        """Return the buffered bytes of the next lines, without waiting for more."""
        return self._buffer[self._at :]

    def must_wait(self) -> bool:
        """Return True if the next line has not been written yet, even after a short wait."""
        if self._size is not None or self._file.closed:  # closed after its end was read
            return False
        # Partial lines don't count, so read until the line is complete or too long.
        while (
            self._buffer.find(b"\n", self._at) < 0
            and len(self._buffer) - self._at < self._chunk_bytes
        ):
            try:
                if not select.select([self._file], [], [], _MOMENT)[0]:
                    return True
            except (OSError, ValueError):  # in-memory bytes; on Windows, anything but a socket
                return self._file.isatty()
            piece = self._bytes.read1(self._chunk_bytes)
            if not piece:
                return False
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return False

    def fraction_read(self) -> float | None:
        """Return the fraction of a regular file that has been read; None for other files."""
        if self._size is None:
            return None
        return 1.0 if self._file.closed else self._file.tell() / max(self._size, 1)

    def _read_on(self, limit: int) -> int:
        """Read until the buffer has a line or `limit` bytes; return the offset of their end."""
        pieces = [self._buffer[self._at :]]
        n_bytes = len(pieces[0])
        while n_bytes < limit and b"\n" not in pieces[-1]:
            # A single system call, which returns whatever has been written.
            piece = self._bytes.read1(self._chunk_bytes)
            if not piece:
                break
            pieces.append(piece)
            n_bytes += len(piece)
        self._buffer, self._at = b"".join(pieces), 0
        line_break = self._buffer.find(b"\n", 0, limit)
        return min(n_bytes, limit) if line_break < 0 else line_break + 1


def _plain_size(file: BinaryIO) -> int | None:
    """Return the size of a regular file in bytes; None for pipes and terminals."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):  # in-memory bytes
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
