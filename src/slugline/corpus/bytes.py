"""Lines of bytes from a file, a pipe or a keyboard, converted to UTF-8 from any encoding."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import select
import stat
from collections.abc import Sequence
from typing import Any, BinaryIO

from slugline.base.checks import short_repr
from slugline.errors import DataError, OptionError

# Encodings ----------------------------------------------------------------------------------------

# Replaces bytes that an encoding has no character for; it is not valid in UTF-8 either.
_INVALID = "\udcff"
# What people call the encodings of Windows.
_WINDOWS = re.compile(r"(?:ansi|win|windows)[-_ ]?(125[0-8])?")
_HANDLER = "slugline.mark"
# Letters and signs that ASCII lacks, of western Europe and of Turkish, and the encodings that have
# them. The code of ý, which the languages of western Europe hardly have, is that of ı in Turkish.
_SIGNS = "€£§°·«»‘’‚“”„–—…\N{NO-BREAK SPACE}"
_ALPHABETS = {
    "cp1252": {*"àáâãäåæçèéêëìíîïñòóôõöøœùúûüÿßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜŸ¿¡", *_SIGNS},
    "cp1254": {*"çğıöşüâîûÇĞİÖŞÜÂÎÛ", *_SIGNS},
}
# The byte-order marks of UTF-32 first, as that of UTF-16 is a prefix of one.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# The largest share of bytes above 127 in western text; Cyrillic, Greek and Chinese have more.
_MAX_FOREIGN_SHARE = 0.4
# Bytes to look at for a guess, and those above 127 without which one of other text is in doubt.
_N_SAMPLED, _MIN_FOREIGN = 20_000, 10


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return _INVALID, error.end
    raise error


codecs.register_error(_HANDLER, _mark_invalid)


def check_encoding(name: str) -> str | None:
    """Return Python's name for an encoding, or None for UTF-8.

    Raises OptionError if it is not a text encoding, or can't be decoded incrementally.
    """
    try:
        codec = codecs.lookup(name)
        _decoder(name).decode(b"")
    except (LookupError, ValueError) as error:
        windows = _WINDOWS.fullmatch(name.lower())
        advice = "give one such as cp1252, latin-1, utf-16 or shift_jis."
        if windows:
            advice = f"did you mean cp{windows[1] or 1252}?"
        raise OptionError(
            f"`encoding` is {short_repr(name)}, which is not an encoding that Python reads; "
            f"{advice}"
        ) from error
    return None if codec.name in ("utf-8", "utf-8-sig") else codec.name


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    if not codecs.lookup(encoding)._is_text_encoding:
        raise LookupError(encoding)
    return codecs.getincrementaldecoder(encoding)(_HANDLER)


class Utf8Stream:
    """A binary file converted to UTF-8 as it is read.

    Where the file has bytes that its encoding doesn't know, the result is not valid UTF-8.
    """

    def __init__(self, file: Any, encoding: str) -> None:
        self._file = file
        self._name = getattr(file, "name", "the stream")
        self._encoding = encoding
        self._decoder = _decoder(encoding)

    def read1(self, size: int) -> bytes:
        """Return about `size` bytes of the file as UTF-8; none only at its end."""
        while True:
            piece = self._file.read1(size)
            try:
                text = self._decoder.decode(piece, final=not piece)
            except UnicodeError as error:  # such as UTF-16 without a byte-order mark
                raise DataError(
                    f"{self._name} can't be read as {self._encoding} ({error}); "
                    "name another `encoding`."
                ) from error
            if text or not piece:
                return text.encode("utf-8", "surrogatepass")


def guess_utf16(head: bytes) -> str | None:
    """Return which UTF-16 a file without a byte-order mark has, if every other byte is zero."""
    start = head[:1000]
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(start) > 3 and zeros.count(0) > 0.4 * len(start) / 2:
            return name
    return None


def guess_encoding(samples: Sequence[bytes]) -> str | None:
    """Return the likely encoding of samples that are not UTF-8; None without a good guess.

    A few bytes are enough only for letters of western Europe and Turkish.
    """
    sample = b"\n".join(samples)[:_N_SAMPLED]
    foreign = [byte for byte in sample if byte > 127]
    if len(foreign) <= _MAX_FOREIGN_SHARE * len(sample):
        for encoding, alphabet in _ALPHABETS.items():
            if set(bytes(foreign).decode(encoding, errors="replace")) <= alphabet:
                return encoding
    if len(foreign) < _MIN_FOREIGN:
        return None
    # charset_normalizer often guesses cp1250 or cp1257 for such text, but is mostly right for
    # other text.
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    # A guess of UTF-16 means that pairs of letters were taken for Chinese.
    return None if best is None or best.encoding.startswith(("utf", "ascii")) else best.encoding


def detect_encoding(head: bytes, likely: str | None = None) -> str | None:
    """Return the encoding of a file with these first lines; None if that is UTF-8, or in doubt.

    It is that of a byte-order mark, or else the `likely` one wherever that can be.
    """
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    foreign = [line for line in head.split(b"\n") if not line.isascii()]
    has_nul = b"\0" in head  # as UTF-16 has
    if not has_nul and (not foreign or any(_is_in("utf-8", line) for line in foreign)):
        return None
    if likely and (not has_nul or likely.startswith("utf")) and _is_in(likely, head):
        return likely
    return None if has_nul else guess_encoding(foreign)


def _is_in(encoding: str, head: bytes) -> bool:
    """Whether bytes can be decoded; their last character may be cut off."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return False
    return True


# Lines --------------------------------------------------------------------------------------------

# Bytes to read at a time; a pipe on Linux holds as many.
_CHUNK_BYTES = 1 << 16
# Seconds to wait for a writer that pauses, so that batches of a steady stream stay whole; a person
# at the keyboard does not notice.
_MOMENT = 0.05


class LineStream:
    """Lines of a binary file, which nothing else may read, as UTF-8.

    Parameters
    ----------
    file : binary file, open for reading
    packed : bool, default False
        Whether it is gzip.
    encoding : str, optional
        See `check_encoding`.
    chunk_bytes : int, default 65536
        Bytes to read at a time.
    """

    def __init__(
        self,
        file: BinaryIO,
        packed: bool = False,
        encoding: str | None = None,
        *,
        chunk_bytes: int = _CHUNK_BYTES,
    ) -> None:
        self.packed = packed
        self._chunk_bytes = chunk_bytes
        self._file = file
        self._bytes: Any = gzip.GzipFile(fileobj=file) if packed else file
        if encoding is not None:
            self._bytes = Utf8Stream(self._bytes, encoding)
        self._size = _plain_size(file)
        self._buffer = b""
        self._at = 0  # where the next line begins in the buffer

    def readline(self, limit: int) -> bytes:
        """Return the next line with its end, or its first `limit` bytes; none at the end."""
        end = self._buffer.find(b"\n", self._at, self._at + limit) + 1 or self._read_on(limit)
        line = self._buffer[self._at : end]
        self._at = end
        return line

    def must_wait(self) -> bool:
        """Whether the next line has not been written yet, and isn't within a moment."""
        if self._size is not None or self._file.closed:  # closed after its end was read
            return False
        # Half a line doesn't count, so read until it is complete, or too long.
        while (
            self._buffer.find(b"\n", self._at) < 0
            and len(self._buffer) - self._at < self._chunk_bytes
        ):
            try:
                if not select.select([self._file], [], [], _MOMENT)[0]:
                    return True
            except (OSError, ValueError):  # bytes in memory; on Windows, all but sockets
                return self._file.isatty()
            piece = self._bytes.read1(self._chunk_bytes)
            if not piece:
                return False
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return False

    def share_read(self) -> float | None:
        """Return the share of a regular file that has been read; None for anything else."""
        if self._size is None:
            return None
        return 1.0 if self._file.closed else self._file.tell() / max(self._size, 1)

    def _read_on(self, limit: int) -> int:
        """Read until the buffer has a line or `limit` bytes, and return where they end in it."""
        pieces = [self._buffer[self._at :]]
        n_bytes = len(pieces[0])
        while n_bytes < limit and b"\n" not in pieces[-1]:
            # A single system call, which doesn't wait for more than has been written.
            piece = self._bytes.read1(self._chunk_bytes)
            if not piece:
                break
            pieces.append(piece)
            n_bytes += len(piece)
        self._buffer, self._at = b"".join(pieces), 0
        return self._buffer.find(b"\n", 0, limit) + 1 or min(n_bytes, limit)


def _plain_size(file: BinaryIO) -> int | None:
    """Return the size of a regular file in bytes; None for pipes, terminals and the like."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):  # bytes in memory
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
