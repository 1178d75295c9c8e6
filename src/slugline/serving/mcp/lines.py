"""Messages from standard input: lines, within limits."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

from slugline.base.checks import replace_surrogates

#: Bytes of a message, as many as the body of a request over HTTP may have by default.
MAX_BYTES = 1 << 24
_CHUNK = 1 << 16
# Chunks that wait to be taken apart, so that whoever writes faster has to wait.
_MOST_WAITING = 4
# Half of a character, as JSON may have it in an escape.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
# The number of a request, at one end of its line or the other; quotes in texts are escaped.
_NUMBER = re.compile(rb'(?<!\\)"id"\s*:\s*(\d{1,15}|"[\w.-]{1,100}")')
_END = 1024


class LineReader:
    """Lines of a file descriptor, read by a thread for which nobody has to wait at the end.

    `refuse` receives the id of a request whose line is too long, None if it is unknown.
    """

    def __init__(self, fd: int, refuse: Callable[[int | str | None], Awaitable[None]]) -> None:
        self._fd, self._refuse = fd, refuse
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(_MOST_WAITING)
        threading.Thread(target=self._read, name="slugline-lines", daemon=True).start()

    def end(self) -> None:
        """Yield no more lines, as if the input had ended."""
        self._chunks.put_nowait(b"")

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield each line."""
        parts: list[bytes] = []
        n_bytes = 0
        while chunk := await self._next():
            *ended, tail = chunk.split(b"\n")
            for line in ended:
                n_bytes += len(line)
                if n_bytes <= MAX_BYTES:
                    yield _to_text(b"".join((*parts, line)))
                else:
                    await self._refuse(_number(b"".join((*parts, line[-_END:]))))
                parts, n_bytes = [], 0
            n_bytes += len(tail)
            # Of a line that is too long, both ends are kept.
            parts.append(tail)
            if n_bytes > MAX_BYTES:
                line = b"".join(parts)
                parts = [line[:_END], line[-_END:]]

    async def _next(self) -> bytes:
        chunk = await self._chunks.get()
        self._room.release()
        return chunk

    def _read(self) -> None:
        """Read until the end; runs on a thread."""
        chunk = b"\n"
        while chunk:
            self._room.acquire()
            try:
                chunk = os.read(self._fd, _CHUNK)
            except OSError:
                chunk = b""
            try:
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:  # the loop has ended before
                return


def _number(line: bytes) -> int | str | None:
    match = _NUMBER.search(line[:_END]) or _NUMBER.search(line[-_END:])
    return json.loads(match[1]) if match else None


def _to_text(line: bytes) -> str:
    """Return a line as a text without lone surrogates, which the protocol can't encode."""
    text = line.decode("utf-8", "replace")
    if _HALF.search(line):
        try:
            return json.dumps(replace_surrogates(json.loads(text)))
        except (ValueError, RecursionError):
            pass  # whoever reads messages says so
    return text
