"""Items of a JSON array that is read piece by piece."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

from slugline.corpus import rows
from slugline.corpus.lines import TextLines
from slugline.errors import DataError

# Minimum number of bytes to read at a time.
_ITEM_CHUNK_BYTES = 1 << 16
# Maximum number of bytes of an item that is scanned at once, and in each step of a longer one; and
# the largest depth of nested lists and objects.
_LONG_ITEM, _STEP_BYTES, _MAX_DEPTH = 1 << 20, 1 << 16, 1000
_MARK = re.compile(r'["\[\]{}]')
_SPACES = re.compile(r"[ \t\r\n]*")
# Only finds the end of an item; decoding reports other faults. Numbers and objects are replaced by
# their lengths, as millions of them take much memory.
_scan = json.JSONDecoder(
    parse_int=len, parse_float=len, object_pairs_hook=len, strict=False
).raw_decode


def json_items(
    lines: TextLines,
    chunk_bytes: int = _ITEM_CHUNK_BYTES,
    *,
    long_item: int = _LONG_ITEM,
    step_bytes: int = _STEP_BYTES,
) -> Iterator[bytes]:
    """Yield the bytes of each item of a JSON array, with at most tens of megabytes in memory.

    Items of over `long_item` bytes are scanned in steps of `step_bytes`.

    Raises DataError if the stream is not an array, an item has no end or more than twice
    `MAX_RECORD` bytes, or something follows the array.
    """
    buffer = _JsonBuffer(lines, chunk_bytes, long_item, step_bytes)
    if buffer.take() != "[":
        raise DataError(
            f"{lines.name} is not a JSON array; put [ and ] around its objects and commas between "
            "them, or, if there is one on each line, use a name that ends in .jsonl."
        )
    mark = buffer.take() if buffer.peek() == "]" else ","
    for number in itertools.count(1):
        if mark == "]":
            break
        if mark != ",":
            raise buffer.invalid_item(number - 1, "no comma after it")
        yield buffer.take_item(number)
        mark = buffer.take()
    if buffer.peek():
        raise DataError(
            f"{lines.name} continues after its JSON array; put each array in its own file."
        )


class _JsonBuffer:
    """A buffer of JSON that has been read from a stream but not yet taken."""

    def __init__(self, lines: TextLines, chunk_bytes: int, long_item: int, step_bytes: int) -> None:
        self._long_item, self._step_bytes = long_item, step_bytes
        self._name, self._chunk_bytes = lines.name, chunk_bytes
        self._pieces = lines.pieces()
        # In Latin-1, in which each byte is a character: the syntax of JSON is all ASCII.
        self._buffer = ""
        self._at = 0  # offset; everything before it has been taken

    def peek(self) -> str:
        """Return the next non-blank character without taking it; "" at the end."""
        while True:
            spaces = _SPACES.match(self._buffer, self._at)
            self._at = spaces.end() if spaces else self._at
            if self._at < len(self._buffer) or not self._read_on():
                return self._buffer[self._at : self._at + 1]

    def take(self) -> str:
        """Take the next non-blank character and return it; "" at the end."""
        character = self.peek()
        self._at += len(character)
        return character

    def take_item(self, number: int) -> bytes:
        """Return the bytes of the next item."""
        self.peek()
        end = None
        while end is None:
            is_long = len(self._buffer) - self._at > self._long_item
            if is_long and self._buffer[self._at] in '"[{':
                end = self._find_long_end(number)
            else:
                end = self._find_end(number)
        first, self._at = self._at, end
        return self._buffer[first:end].encode("latin-1")

    def invalid_item(self, number: int, reason: str) -> DataError:
        """Return the error for an item that ends the reading of the file."""
        return DataError(f"{self._name}, item {number}: not valid JSON ({reason}); fix it.")

    def _find_end(self, number: int) -> int | None:
        """Return the end of the next item; None if the buffer had to be filled first."""
        try:
            _, end = _scan(self._buffer, self._at)
        except RecursionError as error:
            raise self.invalid_item(number, "nested too deeply") from error
        except json.JSONDecodeError as error:
            if len(self._buffer) - self._at > 2 * rows.MAX_RECORD:
                reason = f"or more than {2 * rows.MAX_RECORD:,} bytes"
            elif self._read_on():
                return None
            else:
                reason = error.msg
            raise self.invalid_item(number, reason) from error
        # A number may continue: this may be only the 1 of 1e+6.
        return None if end + 2 >= len(self._buffer) and self._read_on() else end

    def _find_long_end(self, number: int) -> int:
        """Return the end of a long list, object or string, scanned in short steps.

        Scanning megabytes at once would keep other threads waiting, and take twenty times as much
        memory.
        """
        depth, at, in_string = 0, self._at, False
        while True:
            if in_string:
                quote = self._buffer.find('"', at)
                mark, at = ("", len(self._buffer)) if quote < 0 else ('"', quote + 1)
                in_string = not mark or self._is_escaped(quote)
            else:
                match = _MARK.search(self._buffer, at, at + self._step_bytes)
                mark = match[0] if match else ""
                at = match.end() if match else min(at + self._step_bytes, len(self._buffer))
                in_string = mark == '"'
                depth += (mark in "[{") - (mark in "]}") if mark else 0
            if depth > _MAX_DEPTH:
                raise self.invalid_item(number, "nested too deeply")
            if mark and not depth and not in_string:
                return at
            if at == len(self._buffer):
                start = self._at
                if at - start > 2 * rows.MAX_RECORD:
                    raise self.invalid_item(number, f"or more than {2 * rows.MAX_RECORD:,} bytes")
                if not self._read_on():
                    raise self.invalid_item(number, "without an end")
                at -= start

    def _is_escaped(self, quote: int) -> bool:
        """Whether a quotation mark has an odd number of backslashes before it."""
        first = quote
        while self._buffer[first - 1] == "\\":
            first -= 1
        return (quote - first) % 2 == 1

    def _read_on(self) -> bool:
        """Double the buffer, so that all scans take linear time in total; False at the end."""
        n_missing = max(len(self._buffer) - self._at, self._chunk_bytes)
        pieces = []
        while n_missing > 0 and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            n_missing -= len(piece)
        if pieces:
            self._buffer = self._buffer[self._at :] + b"".join(pieces).decode("latin-1")
            self._at = 0
        return bool(pieces)
