"""The items of a JSON array, cut out of a stream one after another."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

from slugline.corpus.lines import Lines
from slugline.corpus.rows import MAX_RECORD
from slugline.errors import DataError

__all__ = ["json_items"]

#: The least bytes to read at a time.
_PIECE = 1 << 16

_SPACES = re.compile(r"[ \t\r\n]*")
# This only finds where an item ends; decoding reports what else is wrong. Numbers and objects are
# not kept, only that they were there, as millions of them take much memory.
_scan = json.JSONDecoder(
    parse_int=len, parse_float=len, object_pairs_hook=len, strict=False
).raw_decode


def json_items(lines: Lines) -> Iterator[bytes]:
    """Return the bytes of each item of a JSON array.

    An item may exceed `MAX_RECORD` bytes, but not twice as many: it then counts as one without an
    end. At most some tens of megabytes are held at a time.

    Raises
    ------
    DataError : if the stream is not an array; later on, if the end of an item can't be found, or
        something follows the array.
    """
    text = _Text(lines)
    if text.take() != "[":
        raise DataError(
            f"{lines.name} is not a JSON array; put [ and ] around its objects and commas between "
            "them, or, if there is one on each line, use a name that ends in .jsonl."
        )
    mark = text.take() if text.peek() == "]" else ","
    for number in itertools.count(1):
        if mark == "]":
            break
        if mark != ",":
            raise text.broken(number - 1, "no comma after it")
        yield text.take_item(number)
        mark = text.take()
    if text.peek():
        raise DataError(
            f"{lines.name} goes on after its JSON array; put each array in its own file."
        )


class _Text:
    """JSON that has been read and not yet taken."""

    def __init__(self, lines: Lines) -> None:
        self._name = lines.name
        self._pieces = lines.pieces()
        # As Latin-1, in which each byte is a character: the marks of JSON are all ASCII.
        self._held = ""
        self._at = 0  # what is before has been taken

    def peek(self) -> str:
        """Return the next non-blank character, "" at the end, without taking it."""
        while True:
            spaces = _SPACES.match(self._held, self._at)
            self._at = spaces.end() if spaces else self._at
            if self._at < len(self._held) or not self._read_on():
                return self._held[self._at : self._at + 1]

    def take(self) -> str:
        """Take and return the next non-blank character, "" at the end."""
        character = self.peek()
        self._at += len(character)
        return character

    def take_item(self, number: int) -> bytes:
        """Return the bytes of the next item."""
        self.peek()
        end = None
        while end is None:
            end = self._find_end(number)
        first, self._at = self._at, end
        return self._held[first:end].encode("latin-1")

    def broken(self, number: int, reason: str) -> DataError:
        """Return the error for an item after which nothing can be read."""
        return DataError(f"{self._name}, item {number}: not valid JSON ({reason}); mend it.")

    def _find_end(self, number: int) -> int | None:
        """Return where the next item ends, or None if more must be read to find it."""
        try:
            _, end = _scan(self._held, self._at)
        except RecursionError as error:
            raise self.broken(number, "nested too deeply") from error
        except json.JSONDecodeError as error:
            if len(self._held) - self._at > 2 * MAX_RECORD:
                reason = f"or more than {2 * MAX_RECORD:,} bytes"
            elif self._read_on():
                return None
            else:
                reason = error.msg
            raise self.broken(number, reason) from error
        # A number may go on: what ends here may be only the 1 of 1e+6.
        return None if end + 2 >= len(self._held) and self._read_on() else end

    def _read_on(self) -> bool:
        """Read as much again as is held, so that scanning it again takes linear time overall."""
        wanted = max(len(self._held) - self._at, _PIECE)
        pieces = []
        while wanted > 0 and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            wanted -= len(piece)
        if pieces:
            self._held = self._held[self._at :] + b"".join(pieces).decode("latin-1")
            self._at = 0
        return bool(pieces)
