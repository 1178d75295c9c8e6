"""Reads a server's reply chunk by chunk, in bounded time and memory, whatever the server does."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator

    import requests

__all__ = ["PATIENCE", "BadPart", "Chunk", "Failure", "Hopeless", "Patience", "listen"]

PATIENCE = 10.0  # seconds without progress after which a download is given up
STALL = 5.0  # seconds without progress after which another connection is tried
CHUNK = 16 * 1024  # bytes; so many must arrive to count as progress

_WAITING = 64  # chunks that may have arrived without being taken yet
_SHOWN = 200  # characters of an error's text, which may come from the server


class Failure(Exception):  # noqa: N818 - an attempt's outcome, seen by users as DownloadError
    """An attempt that failed; the next one may succeed."""


class Hopeless(Failure):
    """A failure that another attempt would only repeat."""


class BadPart(Failure):
    """The bytes kept from an earlier attempt can't be continued; start again from nothing."""


class Chunk(NamedTuple):
    """Some bytes of a file, and where they belong."""

    offset: int  # where in the file the data belong: a server may ignore that we have a part of it
    data: bytes
    total: int  # bytes of the whole file, 0 if unknown


_Inbox: TypeAlias = "queue.Queue[Chunk | Failure | None]"


class Patience:
    """The seconds left for something to arrive, shared among the addresses."""

    def __init__(self) -> None:
        self._end = time.monotonic() + PATIENCE

    def begin(self, turn: int, n_turns: int) -> None:
        """Start with an address (the first is `turn` 1), and leave time for those after it."""
        self._reserve = PATIENCE * (1 - turn / n_turns)
        self._best = 0
        self._since = time.monotonic()

    def note(self, size: int) -> None:
        """Restart the clock if the file has grown; bytes that we had before are no progress."""
        if size >= self._best + CHUNK:
            self._best = size
            self._since = time.monotonic()
            self._end = self._since + PATIENCE

    @property
    def left(self) -> float:
        """Seconds that this address still has."""
        return max(0.0, self._end - self._reserve - time.monotonic())

    @property
    def waited(self) -> float:
        """Seconds since the last progress with this address."""
        return time.monotonic() - self._since


def listen(url: str, start: int, patience: Patience) -> Generator[Chunk, None, None]:
    """Yield the chunks of a reply as they arrive, from byte `start` of the file if possible.

    The network is read on a separate thread, because neither a name lookup nor a header that
    trickles in can be interrupted. A thread that is given up ends with its connection or process.

    Raises
    ------
    Failure : if the reply breaks off, is an error, or makes no progress while `patience` lasts.
    """
    inbox: _Inbox = queue.Queue(_WAITING)
    given_up = threading.Event()
    threading.Thread(target=_pump, args=(url, start, inbox, given_up), daemon=True).start()
    began = time.monotonic()
    try:
        while (item := _next_item(inbox, patience, began)) is not None:
            if isinstance(item, Failure):
                raise item
            yield item
    finally:
        given_up.set()


def _next_item(inbox: _Inbox, patience: Patience, began: float) -> Chunk | Failure | None:
    still = min(patience.waited, time.monotonic() - began)
    try:
        return inbox.get(timeout=max(0.0, min(STALL - still, patience.left)))
    except queue.Empty:
        raise Failure(f"no progress in {patience.waited:.0f} seconds") from None


def _pump(url: str, start: int, inbox: _Inbox, given_up: threading.Event) -> None:
    """Request `url` from byte `start` on; post its chunks, then None or the failure."""
    end: Failure | None = None
    try:
        for chunk in _chunks(url, start):
            if not _post(chunk, inbox, given_up):
                return
    except Failure as failure:
        end = failure
    except Exception as error:  # noqa: BLE001 - whatever it is, the waiting thread must hear of it
        end = Failure(_root_cause(error))
    _post(end, inbox, given_up)


def _post(item: Chunk | Failure | None, inbox: _Inbox, given_up: threading.Event) -> bool:
    """Wait for room in the inbox; return whether anybody still wants the item."""
    while not given_up.is_set():
        with contextlib.suppress(queue.Full):
            inbox.put(item, timeout=STALL)
            return True
    return False


def _chunks(url: str, start: int) -> Generator[Chunk, None, None]:
    import requests

    # Files are stored as they are sent: an archive must not be unpacked on the way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(
        url, headers=headers, stream=True, timeout=PATIENCE, hooks={"response": _drop_redirect}
    ) as response:
        offset, total = _placed(response, start)
        # Other ways to read have no limit on the line before a chunk, or on a chunk of size -1.
        while data := response.raw.read1(CHUNK, decode_content=False):
            yield Chunk(offset, data, total)
            offset += len(data)


def _drop_redirect(response: requests.Response, **_: object) -> None:
    """Hang up on a redirect, because requests would read its body to the end."""
    if response.is_redirect:
        response.close()


def _placed(response: requests.Response, start: int) -> tuple[int, int]:
    """Return where a reply's first byte belongs in the file, and the file's length (0: unknown)."""
    status = response.status_code
    length = max(0, int(response.headers.get("Content-Length", 0)))
    if status == 200:
        return 0, length
    if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return start, start + length
    if status in (206, 416):
        raise BadPart(f"HTTP status {status}")
    if status in (408, 429) or status >= 500:
        raise Failure(f"HTTP status {status}")
    raise Hopeless(f"HTTP status {status}")


def _root_cause(error: BaseException) -> str:
    """Return the cause of an exception from requests, on a short line, without its wrappers."""
    while error.__context__:
        error = error.__context__
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)[:_SHOWN]
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
