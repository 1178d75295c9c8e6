"""Where files come from, with a server of our own on the loopback interface."""

from __future__ import annotations

import hashlib
import io
import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slugline.base.progress import SilentProgress
from slugline.errors import DataError, DownloadError
from slugline.reuters import downloads
from slugline.reuters import downloads as transfers
from slugline.reuters.downloads import RemoteFile, fetch

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 1024  # 16 chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PAUSES = downloads.PAUSES


class Clock:
    """Time that passes while a server lets its client wait, and at no other time.

    So tests of waiting end the same on a busy machine, and a client never waits for too long.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self.inbox: Inbox | None = None

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def pass_for(self, inbox: Inbox, seconds: float) -> None:
        """Let time pass for the client of a connection, if that is the last one."""
        if inbox is self.inbox:
            self._now = max(self._now, min(self._now + seconds, inbox.until))

    def make_inbox(self, size: int) -> Inbox:
        self.inbox = Inbox(self, size)
        return self.inbox


class Inbox(queue.Queue[Any]):
    """What arrives over a connection, waited for by a clock of the test."""

    def __init__(self, clock: Clock, size: int) -> None:
        super().__init__(size)
        self._clock = clock
        self.until = clock.monotonic()  # when the client gives up
        self.end_taken = 0  # the byte of the file after the last one that the client has taken

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self.until = self._clock.monotonic() + (timeout or 0)
        while True:
            is_over = self._clock.monotonic() >= self.until
            try:
                item = super().get(timeout=0.001)
            except queue.Empty:
                if is_over:
                    raise
            else:
                if isinstance(item, transfers.Chunk):
                    self.end_taken = item.offset + len(item.data)
                return item


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next behaviour in the server's list, then with the last."""

    server: Server

    def do_GET(self) -> None:
        self.inbox = self.server.clock.inbox if self.server.clock else None
        self.server.ranges.append(self.headers.get("Range"))
        behave = self.server.behaviours[0]
        if len(self.server.behaviours) > 1:
            self.server.behaviours.pop(0)
        behave(self)

    def wait(self, seconds: float) -> bool:
        """Let time pass, for the client of this connection alone; return whether all is over."""
        if self.server.clock and self.inbox:
            self.server.clock.pass_for(self.inbox, seconds)
            seconds = 0.001
        return self.server.released.wait(seconds)

    def wait_until_taken(self, end: int) -> None:
        """Wait until the client has all bytes of the file before `end`; this takes no time."""
        while self.inbox and self.inbox.end_taken < end and not self.server.released.wait(0.001):
            pass

    def send(self, content: bytes, start: int = 0, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


class Server(ThreadingHTTPServer):
    """A server with a list of behaviours, which remembers the Range header of each request."""

    daemon_threads = True
    block_on_close = False
    clock: Clock | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: list[Callable[[Handler], None]] = [honest]
        self.ranges: list[str | None] = []
        self.released = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is part of the game

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/thing.bin"


def honest(handler: Handler) -> None:
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if not asked:
        handler.send(CONTENT)
    elif int(asked[1]) >= len(CONTENT):
        handler.send_error(416)
    else:
        handler.send(CONTENT, int(asked[1]), status=206)


def without_ranges(handler: Handler) -> None:
    handler.send(CONTENT)


def with_wrong_range(handler: Handler) -> None:
    handler.send(CONTENT, start=1, status=206)


def wrong_bytes(handler: Handler) -> None:
    handler.send(CONTENT[::-1])


def wrong_rest(handler: Handler) -> None:
    handler.send(CONTENT[::-1], 98_304, status=206)


def too_many_bytes(handler: Handler) -> None:
    handler.send(CONTENT + b"!")


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(CONTENT)


def status(code: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send_error(code)


def cut_after(size: int) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:size])

    return behave


def reply(*head: str, endless: bytes = b"") -> Callable[[Handler], None]:
    """Return a behaviour that sends a head, and the same bytes for ever after."""

    def behave(handler: Handler) -> None:
        handler.wfile.write("\r\n".join([*head, "", ""]).encode())
        while endless and not handler.server.released.is_set():
            handler.wfile.write(endless)

    return behave


def silent(handler: Handler) -> None:
    while not handler.wait(0.05):
        pass


def silent_after(size: int) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        cut_after(size)(handler)
        handler.wfile.flush()
        handler.wait_until_taken(size)
        silent(handler)

    return behave


def dripping_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    for number, byte in enumerate(CONTENT, start=1):
        handler.wfile.write(bytes([byte]))
        handler.wait_until_taken(number)
        if handler.wait(0.05):
            return


def dripping_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.wait(0.05):
        handler.wfile.write(b"x")


def slow_but_live(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    for start in range(0, len(CONTENT), transfers.CHUNK):
        handler.wfile.write(CONTENT[start : start + transfers.CHUNK])
        handler.wait_until_taken(start + transfers.CHUNK)
        handler.wait(1 if handler.inbox else 0.1)


@contextmanager
def running_server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache, in a world without other places and with little time."""
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLUGLINE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSES", (0.01, 0.01, 0.01))
    return tmp_path / "cache"


@pytest.fixture
def clock(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let waiting go by a clock of the test."""
    clock = Clock()
    monkeypatch.setattr(Server, "clock", clock)
    monkeypatch.setattr(transfers, "time", clock)
    monkeypatch.setattr(downloads, "time", clock)
    monkeypatch.setattr(downloads, "PAUSES", PAUSES)
    inboxes = SimpleNamespace(Queue=clock.make_inbox, Empty=queue.Empty, Full=queue.Full)
    monkeypatch.setattr(transfers, "queue", inboxes)
    return clock


@dataclass
class Bar(SilentProgress):
    """Records what a progress bar is told."""

    shares: list[float | None] = field(default_factory=list)
    n_closed: int = 0

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        assert step == "downloading thing.bin"
        assert detail.endswith(" MB")
        self.shares.append(share)

    def close(self) -> None:
        self.n_closed += 1


def thing(*servers: Server, sha256: str | None = DIGEST, packed: bool = False) -> RemoteFile:
    urls = tuple(server.url + ".zip" * packed for server in servers)
    return RemoteFile("box/thing.bin", urls, sha256, max_bytes=len(CONTENT))


def files_in(folder: Path) -> list[str]:
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def failure(server: Server, cache: Path, reason: str) -> str:
    return nowhere(cache, f"{server.url} failed ({reason})")


def nowhere(cache: Path, reason: str) -> str:
    return (
        "thing.bin can't be found or downloaded: SLUGLINE_DATA is not set, there is no good copy "
        f"in {cache / 'box'}, and {reason}; put thing.bin into a folder and set "
        "SLUGLINE_DATA to that folder."
    )


# Places


def test_an_explicit_file_is_taken_under_any_name(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    mine = put(tmp_path / "renamed", b"mine")
    assert fetch(thing(server), mine) == mine
    assert fetch(thing(server), str(mine)) == mine
    assert server.ranges == []


@pytest.mark.parametrize("name", ["thing.bin", "box/thing.bin"], ids=["in it", "in its sub-folder"])
@pytest.mark.parametrize("way", ["path", "SLUGLINE_DATA"])
def test_a_folder_may_hold_the_file_or_its_sub_folder(
    name: str,
    way: str,
    server: Server,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = put(tmp_path / "data" / name, b"mine")
    put(cache / "box" / "thing.bin", CONTENT)
    if way == "SLUGLINE_DATA":
        monkeypatch.setenv("SLUGLINE_DATA", str(tmp_path / "data"))
        assert fetch(thing(server)) == mine
    else:
        assert fetch(thing(server), tmp_path / "data") == mine


def test_an_explicit_path_without_the_file_is_an_error_and_nothing_else_is_tried(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    put(cache / "box" / "thing.bin", CONTENT)
    nowhere = tmp_path / "nowhere"
    with pytest.raises(DataError) as caught:
        fetch(thing(server), nowhere)
    assert str(caught.value) == (
        f"{nowhere}: no such file or folder; give the path of thing.bin or its folder."
    )
    with pytest.raises(DataError) as caught:
        fetch(thing(server), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: there is no thing.bin in this folder; give the path of the file."
    )


def test_slugline_data_goes_before_the_cache_and_is_passed_over_if_it_lacks_the_file(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = put(cache / "box" / "thing.bin", CONTENT)
    monkeypatch.setenv("SLUGLINE_DATA", str(tmp_path / "data"))
    assert fetch(thing(server)) == cached
    mine = put(tmp_path / "data" / "thing.bin", b"mine")
    assert fetch(thing(server)) == mine


def test_a_good_copy_in_the_cache_saves_the_download(server: Server, cache: Path) -> None:
    cached = put(cache / "box" / "thing.bin", CONTENT)
    bar = Bar()
    assert fetch(thing(server), progress=bar) == cached
    assert server.ranges == []
    assert bar == Bar()


def test_a_damaged_copy_in_the_cache_is_downloaded_again(server: Server, cache: Path) -> None:
    cached = put(cache / "box" / "thing.bin", CONTENT[:-1])
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert fetch(thing(server)) == cached
    assert server.ranges == [None]


# Transfers that end well


@pytest.mark.parametrize(
    ("behaviours", "ranges"),
    [
        ([honest], [None]),
        ([cut_after(98_304), honest], [None, "bytes=98304-"]),
        ([cut_after(0), honest], [None, None]),
        ([cut_after(98_304), without_ranges], [None, "bytes=98304-"]),
        ([cut_after(98_304), with_wrong_range, honest], [None, "bytes=98304-", None]),
        ([cut_after(98_304), status(416), honest], [None, "bytes=98304-", None]),
        ([cut_after(98_304), wrong_rest, honest], [None, "bytes=98304-", None]),
        ([status(500), status(503), status(429), honest], [None] * 4),
        ([slow_but_live], [None]),
    ],
    ids=[
        "at once",
        "resumed after a cut",
        "nothing came at first",
        "server ignores Range",
        "server sends another range",
        "server refuses the range",
        "the rest is of something else",
        "server errors",
        "longer than the patience, but never still",
    ],
)
@pytest.mark.usefixtures("clock")
def test_a_download_arrives_whole(
    behaviours: list[Callable[[Handler], None]],
    ranges: list[str | None],
    server: Server,
    cache: Path,
) -> None:
    server.behaviours = behaviours.copy()
    bar = Bar()
    path = fetch(thing(server), progress=bar)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ranges
    assert (bar.shares[-1], bar.n_closed) == (1, 1)
    assert files_in(cache) == ["box/thing.bin"]


def test_a_later_run_resumes_what_an_earlier_one_left(server: Server, cache: Path) -> None:
    put(cache / "box" / "thing.bin.part", CONTENT[:77_777])
    bar = Bar()
    assert fetch(thing(server), progress=bar).read_bytes() == CONTENT
    assert server.ranges == ["bytes=77777-"]
    assert (bar.shares[-1], bar.n_closed) == (1, 1)
    assert bar.shares == sorted(filter(None, bar.shares))


@pytest.mark.parametrize(
    "left", [b"?" * 5000, CONTENT, CONTENT + b"?"], ids=["other bytes", "all bytes", "too many"]
)
def test_a_part_that_does_not_lead_to_the_file_is_thrown_away(
    left: bytes, server: Server, cache: Path
) -> None:
    put(cache / "box" / "thing.bin.part", left)
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(left)}-", None]


def test_a_download_without_digest_is_checked_by_its_contents(server: Server, cache: Path) -> None:
    def check(path: Path) -> None:
        if path.read_bytes() != CONTENT:
            raise DataError("not the thing")

    server.behaviours = [wrong_bytes, honest]
    with pytest.raises(DownloadError) as caught:
        fetch(thing(server, sha256=None), check=check)
    assert str(caught.value) == failure(server, cache, "it sent the wrong file: not the thing")
    assert files_in(cache) == []
    assert fetch(thing(server, sha256=None), check=check).read_bytes() == CONTENT


# Transfers that fail


def wrong_digest() -> str:
    reversed_digest = hashlib.sha256(CONTENT[::-1]).hexdigest()
    return f"it sent the wrong file: sha256 {reversed_digest} instead of {DIGEST}"


@pytest.mark.parametrize(
    ("behaviour", "reason", "n_requests"),
    [
        (status(404), "HTTP status 404", 1),
        (status(403), "HTTP status 403", 1),
        (status(500), "HTTP status 500", 4),
        (wrong_bytes, wrong_digest(), 1),
        (too_many_bytes, "it sends more than the 262,144 bytes expected", 1),
        (endless, "it sends more than the 262,144 bytes expected", 1),
        (cut_after(0), "IncompleteRead(0 bytes read, 262144 more expected)", 4),
        (silent, "no progress in 10 seconds", 2),
        (dripping_header, "no progress in 10 seconds", 2),
        (dripping_body, "no progress in 10 seconds", 2),
        (silent_after(98_304), "no progress in 10 seconds", 2),
    ],
    ids=[
        "missing",
        "forbidden",
        "server error",
        "other bytes",
        "one byte too many",
        "endless body",
        "cut each time",
        "never answers",
        "header in drips",
        "body in drips",
        "stops midway, ignores Range",
    ],
)
def test_a_failed_download_is_one_clear_error_in_time(
    behaviour: Callable[[Handler], None],
    reason: str,
    n_requests: int,
    server: Server,
    cache: Path,
    clock: Clock,
) -> None:
    server.behaviours = [behaviour]
    bar = Bar()
    with pytest.raises(DownloadError) as caught:
        fetch(thing(server), progress=bar)
    assert clock.monotonic() <= transfers.TIMEOUT + 1e-6
    assert str(caught.value) == failure(server, cache, reason)
    assert len(server.ranges) == n_requests
    assert bar.n_closed == 1
    assert "box/thing.bin" not in files_in(cache)


def test_waiting_is_limited_to_ten_seconds() -> None:
    assert transfers.TIMEOUT == 10
    assert sum(downloads.PAUSES) < transfers.TIMEOUT


def test_a_cut_download_leaves_its_part_and_no_file(server: Server, cache: Path) -> None:
    server.behaviours = [cut_after(98_304), cut_after(0)]
    with pytest.raises(DownloadError):
        fetch(thing(server))
    assert files_in(cache) == ["box/thing.bin.part"]
    server.behaviours = [honest]
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=98304-"


def test_with_nothing_listening_the_error_names_each_place(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as closed:
        pass
    monkeypatch.setenv("SLUGLINE_DATA", str(tmp_path / "data"))
    with pytest.raises(DownloadError) as caught:
        fetch(thing(closed))
    assert str(caught.value) == failure(closed, cache, "Connection refused").replace(
        "SLUGLINE_DATA is not set", f"it is not in {tmp_path / 'data'} (SLUGLINE_DATA)"
    )
    assert files_in(cache) == []


def test_a_cache_that_cannot_be_written_is_said_so(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    put(cache, b"a file where the folder should be")
    with pytest.raises(DownloadError) as caught:
        fetch(thing(server))
    assert str(caught.value) == nowhere(
        cache, f"{cache / 'box'} can't be written to: Not a directory"
    )
    assert server.ranges == []


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_disk_that_takes_no_more_is_said_so(server: Server, cache: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DownloadError) as caught:
            fetch(thing(server))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == nowhere(
        cache, f"{cache / 'box'} can't be written to: File too large"
    )
    assert "box/thing.bin" not in files_in(cache)
    assert fetch(thing(server)).read_bytes() == CONTENT


# Several addresses


@pytest.mark.parametrize(
    "first",
    [status(404), status(500), wrong_bytes, endless, silent, dripping_header, cut_after(0)],
    ids=["missing", "server error", "other bytes", "endless", "silent", "dripping", "cut"],
)
@pytest.mark.usefixtures("clock")
def test_if_an_address_fails_the_next_one_serves(
    first: Callable[[Handler], None], server: Server, other: Server, cache: Path
) -> None:
    server.behaviours = [first]
    bar = Bar()
    assert fetch(thing(server, other), progress=bar).read_bytes() == CONTENT
    assert other.ranges == [None]
    assert (bar.shares[-1], bar.n_closed) == (1, 1)
    assert files_in(cache) == ["box/thing.bin"]


def test_an_address_with_nothing_listening_is_passed_over(server: Server, cache: Path) -> None:
    with Server() as closed:
        pass
    assert fetch(thing(closed, server)).read_bytes() == CONTENT


def test_what_one_address_sent_is_continued_at_the_next(
    server: Server, other: Server, cache: Path
) -> None:
    server.behaviours = [cut_after(98_304), cut_after(0)]
    assert fetch(thing(server, other)).read_bytes() == CONTENT
    assert other.ranges == ["bytes=98304-"]


def test_wrong_bytes_of_one_address_do_not_spoil_the_next(
    server: Server, other: Server, cache: Path
) -> None:
    def wrong_start(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[98_304:0:-1])

    server.behaviours = [wrong_start, status(404)]
    assert fetch(thing(server, other)).read_bytes() == CONTENT
    assert other.ranges[-1] is None


def test_if_all_addresses_fail_one_error_names_them_all_in_the_time_of_one(
    server: Server, other: Server, cache: Path, clock: Clock
) -> None:
    server.behaviours = [silent]
    other.behaviours = [status(404)]
    with Server() as closed:
        pass
    remote = thing(server, other, closed, server)
    with pytest.raises(DownloadError) as caught:
        fetch(remote)
    assert clock.monotonic() == transfers.TIMEOUT
    assert str(caught.value) == nowhere(
        cache,
        f"{server.url} failed (no progress in 2 seconds), "
        f"{other.url} failed (HTTP status 404), "
        f"{closed.url} failed (Connection refused), "
        f"{server.url} failed (no progress in 4 seconds)",
    )
    assert files_in(cache) == []


def test_an_address_that_stops_midway_leaves_time_for_the_next(
    server: Server, other: Server, cache: Path, clock: Clock
) -> None:
    server.behaviours = [silent_after(98_304)]
    assert fetch(thing(server, other)).read_bytes() == CONTENT
    assert clock.monotonic() < transfers.TIMEOUT


# Archives


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Callable[[Handler], None]:
    """Return a behaviour that sends an archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return lambda handler: handler.send(content.getvalue())


def damaged_zip(handler: Handler) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("thing.bin", CONTENT[:1000])
    handler.send(content.getvalue().replace(CONTENT[:100], CONTENT[1:101]))


@pytest.mark.parametrize("name", ["thing.bin", "data/thing.bin"])
def test_a_file_may_come_in_a_zip_archive(name: str, server: Server, cache: Path) -> None:
    server.behaviours = [zipped({"README": b"-", "../escape": b"-", name: CONTENT})]
    assert fetch(thing(server, packed=True)).read_bytes() == CONTENT
    assert files_in(cache.parent) == ["cache/box/thing.bin"]


def test_an_archive_is_resumed_within_a_run_and_not_kept(server: Server, cache: Path) -> None:
    put(cache / "box" / "thing.bin.part", CONTENT[:77_777])
    server.behaviours = [cut_after(98_304), status(404)]
    with pytest.raises(DownloadError):
        fetch(thing(server, packed=True))
    assert server.ranges == [None, "bytes=98304-"]
    assert files_in(cache) == ["box/thing.bin.part"]


@pytest.mark.parametrize(
    ("behaviour", "found"),
    [
        (honest, "File is not a zip file"),
        (zipped({"other.bin": CONTENT}), "there is no thing.bin in the archive"),
        (zipped({"thing.bin": CONTENT[::-1]}), None),
        (zipped({"thing.bin": bytes(300_000)}), "thing.bin has 300,000 bytes, too many"),
        (
            zipped({"thing.bin": CONTENT}, zipfile.ZIP_BZIP2),
            "thing.bin is compressed in an unknown way",
        ),
        (zipped({str(n): b"" for n in range(1001)}), "the archive holds more than 1,000 files"),
        (damaged_zip, "Bad CRC-32 for file 'thing.bin'"),
    ],
    ids=["no zip", "not in it", "other bytes", "bomb", "other method", "many", "damaged"],
)
def test_an_archive_of_anything_else_is_said_so(
    behaviour: Callable[[Handler], None], found: str | None, server: Server, cache: Path
) -> None:
    server.behaviours = [behaviour]
    reason = f"it sent the wrong file: {found}" if found else wrong_digest()
    remote = thing(server, packed=True)
    with pytest.raises(DownloadError) as caught:
        fetch(remote)
    assert str(caught.value) == nowhere(cache, f"{remote.urls[0]} failed ({reason})")
    assert files_in(cache) == []


# Servers and folders that mean harm


@pytest.mark.parametrize(
    "behaviour",
    [
        reply(
            "HTTP/1.1 302 Found",
            "Location: /thing.bin",
            "Content-Length: 99999999999",
            endless=bytes(100_000),
        ),
        reply("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", endless=b"0" * 100_000),
        reply("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "-1", endless=bytes(100_000)),
        reply("HTTP/1.1 200 OK", endless=b"X: " + b"x" * 60_000 + b"\r\n"),
        reply("HTTP/1.1 200 OK", "Content-Length: -1", endless=bytes(100_000)),
    ],
    ids=["redirect", "length of a chunk", "chunk of size -1", "header", "negative length"],
)
def test_an_endless_reply_takes_no_memory(
    behaviour: Callable[[Handler], None],
    server: Server,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfers, "TIMEOUT", 1.0)
    monkeypatch.setattr(transfers, "STALL", 0.5)
    import requests  # noqa: F401 - its own memory doesn't count

    server.behaviours = [behaviour]
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError):
            fetch(thing(server))
        time.sleep(0.3)  # nor may it grow after that
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_server_that_is_faster_than_the_disk_waits(server: Server) -> None:
    sent = [0]

    def count(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while sent[0] < 2**28:
            handler.wfile.write(CONTENT)
            sent[0] += len(CONTENT)

    server.behaviours = [count]
    patience = transfers.Deadline()
    patience.begin(1, 1)
    chunks = transfers.receive_chunks(server.url, 0, patience)
    next(chunks)
    time.sleep(0.5)
    chunks.close()
    assert sent[0] < 2**25


def test_what_a_server_says_is_shown_short_and_without_control_characters(
    server: Server, cache: Path
) -> None:
    server.behaviours = [reply("\x1b[31mHELLO" + "x" * 5000)]
    with pytest.raises(DownloadError) as caught:
        fetch(thing(server))
    assert "HELLO" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


posix = pytest.mark.skipif(sys.platform == "win32", reason="there, no part is kept")


@posix
@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe", "nowhere"])
def test_what_was_planted_in_the_place_of_the_part_is_not_written_to(
    kind: str, server: Server, cache: Path, tmp_path: Path
) -> None:
    victim = put(tmp_path / "victim", CONTENT[:77_777])
    part = cache / "box" / "thing.bin.part"
    part.parent.mkdir(parents=True)
    {
        "symbolic link": lambda: part.symlink_to(victim),
        "hard link": lambda: part.hardlink_to(victim),
        "pipe": lambda: os.mkfifo(part),
        "nowhere": lambda: part.symlink_to(tmp_path / "new"),
    }[kind]()
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert server.ranges == [None]
    assert victim.read_bytes() == CONTENT[:77_777]
    assert files_in(tmp_path) == ["cache/box/thing.bin", "victim"]
    assert not (cache / "box" / "thing.bin").is_symlink()


@posix
def test_the_part_of_another_user_is_not_resumed(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache / "box" / "thing.bin.part", CONTENT[:77_777])
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_folder_in_the_place_of_the_file_is_said_so(server: Server, cache: Path) -> None:
    (cache / "box" / "thing.bin").mkdir(parents=True)
    with pytest.raises(DownloadError, match="can't be written to: Is a directory"):
        fetch(thing(server))


def test_a_copy_in_the_cache_that_is_too_large_is_not_read(server: Server, cache: Path) -> None:
    cached = put(cache / "box" / "thing.bin", CONTENT)
    os.truncate(cached, 2**42)
    assert fetch(thing(server)).read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["x" * 5000, "~nobody-of-that-name/data"], ids=["long", "nobody"])
def test_a_place_that_cannot_be_is_no_traceback(
    place: str, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError) as caught:
        fetch(thing(server), place)
    assert str(caught.value) == (
        f"{place}: no such file or folder; give the path of thing.bin or its folder."
    )
    monkeypatch.setenv("SLUGLINE_DATA", place)
    assert fetch(thing(server)).read_bytes() == CONTENT


# Several processes

FETCH = """
    from slugline.reuters.downloads import RemoteFile, fetch
    print(fetch(RemoteFile("box/thing.bin", ({url!r},), {digest!r}, {size})))
"""


def start_fetching(server: Server) -> subprocess.Popen[str]:
    code = textwrap.dedent(FETCH.format(url=server.url, digest=DIGEST, size=len(CONTENT)))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_processes_at_the_same_time_all_get_the_whole_file(server: Server, cache: Path) -> None:
    server.behaviours = [slow_but_live]
    processes = [start_fetching(server) for _ in range(4)]
    results = [(*process.communicate(timeout=600), process.returncode) for process in processes]
    assert results == [(f"{cache / 'box' / 'thing.bin'}\n", "", 0)] * 4
    assert (cache / "box" / "thing.bin").read_bytes() == CONTENT
    assert files_in(cache) == ["box/thing.bin"]
    assert len(server.ranges) > 1


@pytest.mark.skipif(sys.platform == "win32", reason="there, downloads don't outlive a process")
def test_a_killed_process_leaves_a_part_that_the_next_one_resumes(
    server: Server, cache: Path
) -> None:
    part = cache / "box" / "thing.bin.part"
    server.behaviours = [silent_after(200_000), honest]
    process = start_fetching(server)
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = part.stat().st_size
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]
    assert files_in(cache) == ["box/thing.bin"]


def test_while_a_process_downloads_another_leaves_its_part_alone(
    server: Server, cache: Path
) -> None:
    part = cache / "box" / "thing.bin.part"
    server.behaviours = [silent_after(200_000), honest]
    process = start_fetching(server)
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert server.ranges == [None, None]
    assert files_in(cache) == ["box/thing.bin", "box/thing.bin.part"]
    server.released.set()  # its connection ends, it tries again and continues
    assert process.communicate(timeout=600) == (f"{cache / 'box' / 'thing.bin'}\n", "")
    assert files_in(cache) == ["box/thing.bin"]


@posix
def test_what_a_killed_process_left_beside_another_goes_with_the_next_download(
    server: Server, cache: Path
) -> None:
    part = cache / "box" / "thing.bin.part"
    server.behaviours = [silent_after(200_000)]
    first = start_fetching(server)
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    second = start_fetching(server)
    wait_for(lambda: len(files_in(cache)) == 2)
    for process in (first, second):
        process.kill()
        process.communicate()
    server.behaviours = [honest]
    assert fetch(thing(server)).read_bytes() == CONTENT
    assert files_in(cache) == ["box/thing.bin"]
