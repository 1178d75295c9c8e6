"""Lines of standard input, read within a limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

from slugline.base.checks import replace_surrogates

#: Bytes of a message, as many as the body of a request over HTTP may have by default.
MAX_BYTES = 1 << 24
# Bytes of a line that is too long which are kept of each end.
_END_BYTES = 1024
_CHUNK_BYTES = 1 << 16
# Lines that wait to be answered; then, the client has to wait with writing.
_MAX_WAITING = 1
# A surrogate escaped in JSON.
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# JSON-RPC id, searched near both ends of an oversized line; quotes in texts are escaped.
_ID = re.compile(rb'(?<!\\)"id"\s*:\s*(\d{1,15}|"[\w.-]{1,100}")')


class TruncatedLine(NamedTuple):
    """Both ends of a line that is too long."""

    start: bytes
    end: bytes

    def find_id(self) -> int | str | None:
        """Return the id of the request; None if neither end of the line contains it."""
        match = _ID.search(self.start) or _ID.search(self.end)
        return json.loads(match[1]) if match else None


def bounded_lines(
    chunks: Iterable[bytes], max_bytes: int = MAX_BYTES
) -> Iterator[bytes | TruncatedLine]:
    r"""Yield the lines of chunks of bytes, truncated if they have over `max_bytes`.

    What follows the last line break isn't a line.

    >>> list(bounded_lines([b"a\nb", b"c\n", b"d"]))
    [b'a', b'bc']
    """
    parts: list[bytes] = []
    n_bytes = 0
    for chunk in chunks:
        *lines, tail = chunk.split(b"\n")
        for line in lines:
            whole = b"".join((*parts, line))
            n_bytes += len(line)
            yield whole if n_bytes <= max_bytes else _truncate(whole)
            parts, n_bytes = [], 0
        parts.append(tail)
        n_bytes += len(tail)
        if n_bytes > max_bytes:
            parts = [*_truncate(b"".join(parts))]


def _truncate(line: bytes) -> TruncatedLine:
    return TruncatedLine(line[:_END_BYTES], line[-_END_BYTES:])


class InputLines:
    """Lines of a file descriptor, read on a daemon thread; the SDK iterates over them.

    Parameters
    ----------
    fd : int
    refuse : callable
        Called with the id of a request whose line is too long, or None if the id is unknown.
    """

    def __init__(self, fd: int, refuse: Callable[[int | str | None], Awaitable[None]]) -> None:
        self._fd, self._refuse = fd, refuse
        self._loop = asyncio.get_running_loop()
        # None after the last line.
        self._lines: asyncio.Queue[bytes | TruncatedLine | None] = asyncio.Queue()
        self._room = threading.Semaphore(_MAX_WAITING)
        threading.Thread(target=self._read, name="slugline-lines", daemon=True).start()

    def end(self) -> None:
        """Yield no more lines, as if the input had ended."""
        self._lines.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield each line as text."""
        while (line := await self._lines.get()) is not None:
            self._room.release()
            if isinstance(line, TruncatedLine):
                await self._refuse(line.find_id())
            else:
                yield _to_text(line)

    def _read(self) -> None:
        """Read until the end; runs on the thread."""
        for line in bounded_lines(self._chunks()):
            self._room.acquire()
            self._put(line)
        self._put(None)

    def _chunks(self) -> Iterator[bytes]:
        try:
            while chunk := os.read(self._fd, _CHUNK_BYTES):
                yield chunk
        except OSError:
            return

    def _put(self, line: bytes | TruncatedLine | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


def _to_text(line: bytes) -> str:
    """Return a line as text without lone surrogates, which the SDK can't encode."""
    text = line.decode("utf-8", "replace")
    if _ESCAPED_SURROGATE.search(line):
        try:
            return json.dumps(replace_surrogates(json.loads(text)))
        except (ValueError, RecursionError):
            pass  # invalid JSON, which the SDK reports
    return text
