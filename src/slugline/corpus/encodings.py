"""Bytes that are not UTF-8: read in the encoding that the user names, or guessed at."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from slugline.errors import DataError, OptionError

__all__ = ["Decoded", "guess_encoding", "guess_utf16", "known_encoding"]

#: What bytes become that an encoding has no characters for; in UTF-8 there is none for it either.
_NOTHING = "\udcff"
_HANDLER = "slugline.mark"
# Letters and signs of western Europe that ASCII hasn't.
_WESTERN = set(
    "àáâãäåæçèéêëìíîïñòóôõöøœùúûüýÿßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜÝŸ"
    "€£§°·«»¿¡‘’‚“”„–—…\N{NO-BREAK SPACE}"
)
#: Of western text most bytes are ASCII; of Cyrillic, Greek or Chinese text few are.
_MOST_WESTERN = 0.4
#: Bytes that are looked at to guess.
_N_GUESSED = 20_000


def _mark(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return _NOTHING, error.end
    raise error


codecs.register_error(_HANDLER, _mark)


def known_encoding(name: str) -> str | None:
    """Return the name that Python has for an encoding, None for UTF-8.

    Raises
    ------
    OptionError : if it is no encoding of text, or one that can't be read bit by bit.
    """
    try:
        found = codecs.lookup(name)
        _decoder(name).decode(b"")
    except (LookupError, ValueError) as error:
        raise OptionError(
            f"`encoding` is {name!r}, which Python can't read text in; "
            "give one such as cp1252, latin-1, utf-16 or shift_jis."
        ) from error
    return None if found.name in ("utf-8", "utf-8-sig") else found.name


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    if not codecs.lookup(encoding)._is_text_encoding:
        raise LookupError(encoding)
    return codecs.getincrementaldecoder(encoding)(_HANDLER)


class Decoded:
    """The bytes of a binary file as UTF-8, which makes of any encoding what lines are cut from.

    Where the file has bytes that its encoding doesn't know, what is read is no UTF-8.

    Parameters
    ----------
    file : binary file, open for reading
    encoding : str, from `known_encoding`
    """

    def __init__(self, file: Any, encoding: str) -> None:
        self._file = file
        self._name = getattr(file, "name", "the stream")
        self._encoding = encoding
        self._decoder = _decoder(encoding)

    def read1(self, size: int) -> bytes:
        """Return what there is, from some `size` bytes of the file; nothing at its end only."""
        while True:
            piece = self._file.read1(size)
            try:
                text = self._decoder.decode(piece, final=not piece)
            except UnicodeError as error:  # such as UTF-16 without its mark
                raise DataError(
                    f"{self._name} can't be read as {self._encoding} ({error}); "
                    "name another `encoding`."
                ) from error
            if text or not piece:
                return text.encode("utf-8", "surrogatepass")


def guess_utf16(head: bytes) -> str | None:
    """Return which UTF-16 a file without a mark seems to be: every other byte is zero."""
    start = head[:1000]
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(start) > 3 and zeros.count(0) > 0.4 * len(start) / 2:
            return name
    return None


def guess_encoding(samples: Sequence[bytes]) -> str | None:
    """Return what encoding bytes that are not UTF-8 seem to be in; None where it can't be told.

    Parameters
    ----------
    samples : sequence of bytes
        Pieces of the texts, with some of the bytes in question in each.
    """
    sample = b"\n".join(samples)[:_N_GUESSED]
    foreign = [byte for byte in sample if byte > 127]
    western = bytes(foreign).decode("cp1252", errors="replace")
    if len(foreign) <= _MOST_WESTERN * len(sample) and set(western) <= _WESTERN:
        return "cp1252"
    # Of western text it says cp1250 or cp1257 as often; of others it is mostly right.
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    # Its guesses at UTF-16 are Chinese made of pairs of letters.
    return None if best is None or best.encoding.startswith(("utf", "ascii")) else best.encoding
