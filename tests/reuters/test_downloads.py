"""Downloads from a server of our own: where files are found, what is refused, what errors say."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from slugline.base.progress import SilentProgress
from slugline.errors import DataError, DownloadError
from slugline.reuters import downloads
from slugline.reuters.downloads import RemoteFile, fetch

CONTENT = bytes(range(256)) * 200
DIGEST = hashlib.sha256(CONTENT).hexdigest()

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.n_requests += 1
        self.server.behaviour(self)

    def reply(self, content: bytes, *, length: int | None = None, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    n_requests = 0
    behaviour: Behaviour = staticmethod(lambda handler: handler.reply(CONTENT))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/thing.bin"


def run_server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from run_server()


@pytest.fixture
def other() -> Iterator[Server]:
    yield from run_server()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache; there are no other places."""
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLUGLINE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@dataclass
class Bar(SilentProgress):
    """Records progress."""

    fractions: list[float | None] = field(default_factory=list)
    n_closed: int = 0

    def update(self, step: str, fraction: float | None = None, detail: str = "") -> None:
        assert step == "downloading thing.bin"
        assert detail.endswith(" MB")
        self.fractions.append(fraction)

    def close(self) -> None:
        self.n_closed += 1


def thing(*servers: Server, sha256: str | None = DIGEST, ending: str = "") -> RemoteFile:
    urls = tuple(server.url + ending for server in servers)
    return RemoteFile("box/thing.bin", urls, sha256, max_bytes=len(CONTENT))


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Places -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mine.bin", "thing.bin", "box/thing.bin"])
def test_fetch_takes_a_file_that_is_named_or_in_the_folder(
    name: str, server: Server, tmp_path: Path
) -> None:
    mine = put(tmp_path / "data" / name, b"of any content")
    path = mine if name == "mine.bin" else tmp_path / "data"
    assert fetch(thing(server), path) == mine
    assert server.n_requests == 0


@pytest.mark.parametrize("name", ["thing.bin", "box/thing.bin"])
def test_fetch_looks_into_slugline_data_first(
    name: str, server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache / "box/thing.bin")
    mine = put(tmp_path / "data" / name, b"of any content")
    monkeypatch.setenv("SLUGLINE_DATA", str(tmp_path / "data"))
    assert fetch(thing(server)) == mine


def test_fetch_rejects_a_path_without_the_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(thing(server), tmp_path / "no")
    assert str(caught.value) == (
        f"{tmp_path / 'no'}: no such file or folder; give the path of thing.bin or its folder."
    )
    with pytest.raises(DataError) as caught:
        fetch(thing(server), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: there is no thing.bin in this folder; give the path of the file."
    )


# Downloads ----------------------------------------------------------------------------------------


def test_fetch_downloads_once_and_reports_progress(server: Server, cache: Path) -> None:
    bar = Bar()
    path = fetch(thing(server), progress=bar)
    assert (path, path.read_bytes()) == (cache / "box/thing.bin", CONTENT)
    assert (bar.fractions[-1], bar.n_closed) == (1, 1)
    assert fetch(thing(server)) == path
    assert server.n_requests == 1
    assert [*cache.rglob("*.*")] == [path]


def test_fetch_replaces_a_damaged_copy_in_the_cache(server: Server, cache: Path) -> None:
    put(cache / "box/thing.bin", b"damaged")
    assert fetch(thing(server)).read_bytes() == CONTENT


def test_fetch_tries_again_after_a_server_error(server: Server) -> None:
    def fail_once(handler: Handler) -> None:
        is_first = server.n_requests == 1
        handler.reply(b"" if is_first else CONTENT, status=503 if is_first else 200)

    server.behaviour = fail_once
    assert fetch(thing(server)).read_bytes() == CONTENT


def redirect(handler: Handler) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.server.url)
    handler.end_headers()


BAD = {
    "missing": (lambda handler: handler.reply(b"", status=404), "HTTP status 404"),
    "another file": (lambda handler: handler.reply(b"another"), "checksum"),
    "too long": (lambda handler: handler.reply(CONTENT + b"x"), "it sends more than the 51,200"),
    "broken off": (lambda handler: handler.reply(CONTENT[:9], length=99), ""),
    "redirects without an end": (redirect, "Exceeded 30 redirects"),
}


@pytest.mark.parametrize(("behaviour", "reason"), BAD.values(), ids=BAD)
def test_fetch_leaves_no_file_of_a_bad_reply(
    behaviour: Behaviour, reason: str, server: Server, cache: Path
) -> None:
    server.behaviour = behaviour
    with pytest.raises(DownloadError) as caught:
        fetch(thing(server))
    message = str(caught.value)
    assert message.startswith(
        "thing.bin can't be found or downloaded: SLUGLINE_DATA is not set, there is no good copy "
        f"in {cache / 'box'}, and {server.url} failed ("
    )
    assert reason in message
    assert message.endswith("; put thing.bin into a folder and set SLUGLINE_DATA to that folder.")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_fetch_gives_up_a_server_that_is_silent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT", 0.1)
    ended = Event()

    def say_nothing(handler: Handler) -> None:
        ended.wait()

    server.behaviour = say_nothing
    try:
        with pytest.raises(DownloadError, match="timed out"):
            fetch(thing(server))
    finally:
        ended.set()


def test_fetch_gives_up_a_server_that_trickles(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trickle(handler: Handler) -> None:
        handler.reply(b"", length=len(CONTENT))
        while not ended.wait(0.01):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    ended = Event()
    monkeypatch.setattr(downloads, "MAX_SECONDS", 0.1)
    server.behaviour = trickle
    try:
        with pytest.raises(DownloadError, match="it took more than 0 seconds"):
            fetch(thing(server))
    finally:
        ended.set()


def test_fetch_tries_the_next_address(server: Server, other: Server) -> None:
    server.behaviour = lambda handler: handler.reply(b"", status=404)
    assert fetch(thing(server, other)).read_bytes() == CONTENT


def test_fetch_rejects_a_file_that_the_check_rejects(server: Server, cache: Path) -> None:
    def check(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise DataError("of other wires")

    with pytest.raises(DownloadError, match="it sent the wrong file: of other wires"):
        fetch(thing(server, sha256=None), check=check)
    assert not (cache / "box/thing.bin").exists()


def test_fetch_tells_of_a_folder_that_cannot_be_made(server: Server, cache: Path) -> None:
    put(cache, b"a file")
    with pytest.raises(DownloadError, match=r"Not a directory|File exists"):
        fetch(thing(server))


# Archives -----------------------------------------------------------------------------------------


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_fetch_unpacks_the_file_of_an_archive(server: Server) -> None:
    content = packed({"readme": b"", "folder/thing.bin": CONTENT})
    server.behaviour = lambda handler: handler.reply(content)
    assert fetch(thing(server, ending=".zip")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no archive", "File is not a zip file"),
        (packed({"other": b""}), "there is no thing.bin in the archive"),
        (packed({"thing.bin": bytes(10**6)}), "thing.bin has more than 100,000 bytes"),
    ],
    ids=["no archive", "another file", "too large"],
)
def test_fetch_rejects_a_bad_archive(content: bytes, reason: str, server: Server) -> None:
    server.behaviour = lambda handler: handler.reply(content)
    remote = RemoteFile("box/thing.bin", (server.url + ".zip",), None, max_bytes=100_000)
    with pytest.raises(DownloadError, match=reason):
        fetch(remote)


def test_reuters_imports_requests_only_to_download() -> None:
    code = (
        "import sys, slugline.reuters.sequences, slugline.reuters.wires; "
        "assert not {'requests'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
