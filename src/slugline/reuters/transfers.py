"""One reply of a server, chunk by chunk, in bounded time and memory, whatever the server does."""

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
CHUNK = 16 * 1024  # bytes; what counts as progress when it arrives

_WAITING = 64  # chunks that may have arrived and not been taken yet
_SHOWN = 200  # characters of an error's text, which may be the server's


class Failure(Exception):  # noqa: N818 - an attempt's outcome, seen by users as DownloadError
    """An attempt that came to nothing; the next one may fare better."""


class Hopeless(Failure):
    """A failure that another attempt would only repeat."""


class BadPart(Failure):
    """The bytes kept from an earlier attempt can't be continued; start from nothing."""


class Chunk(NamedTuple):
    """Some bytes of a file, and where they belong."""

    offset: int  # where in the file the data belong: a server may ignore that we have a part
    data: bytes
    total: int  # bytes of the whole file, 0 if unknown


_Inbox: TypeAlias = "queue.Queue[Chunk | Failure | None]"


class Patience:
    """The seconds left in which something has to arrive, shared out among the addresses."""

    def __init__(self) -> None:
        self._end = time.monotonic() + PATIENCE

    def begin(self, turn: int, n_turns: int) -> None:
        """Start with an address, the first of which is `turn` 1; leave time for those after it."""
        self._reserve = PATIENCE * (1 - turn / n_turns)
        self._best = 0
        self._since = time.monotonic()

    def note(self, size: int) -> None:
        """Start counting anew if the file has grown; bytes that we had before are no progress."""
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
    """Yield the chunks of one reply as they come, from byte `start` of the file on if it can.

    The network is read on a thread of its own, because neither a name lookup nor a header that
    trickles in can be interrupted. Given up, the thread dies with its connection or the process.

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
    """Wait for room in the inbox; tell whether anybody still wants what comes."""
    while not given_up.is_set():
        with contextlib.suppress(queue.Full):
            inbox.put(item, timeout=STALL)
            return True
    return False


def _chunks(url: str, start: int) -> Generator[Chunk, None, None]:
    import requests

    # Files are stored as they are sent: an archive must not be unpacked on its way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(
        url, headers=headers, stream=True, timeout=PATIENCE, hooks={"response": _drop_redirect}
    ) as response:
        offset, total = _placed(response, start)
        # Other ways to read have no limit on the line before a chunk, nor on a chunk of size -1.
        while data := response.raw.read1(CHUNK, decode_content=False):
            yield Chunk(offset, data, total)
            offset += len(data)


def _drop_redirect(response: requests.Response, **_: object) -> None:
    """Hang up on a redirect, the body of which requests would read to the end."""
    if response.is_redirect:
        response.close()


def _placed(response: requests.Response, start: int) -> tuple[int, int]:
    """Where a reply's first byte belongs in the file, and how long the file is (0 if unknown)."""
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
    """What an exception of requests is about, on a short line, without the layers that wrap it."""
    while error.__context__:
        error = error.__context__
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)[:_SHOWN]
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
