"""Where data files come from: a given path, `SLUGLINE_DATA`, the user's cache, or a download.

pooch, the usual choice, neither resumes a download nor bounds its size and time, so the transfer is
written here, on requests. It holds four promises:

* a file appears under its name whole and checked, or not at all;
* what a broken transfer got is kept beside the target as `<name>.part` and continued later;
* processes that want the same file at the same time do not touch each other's work;
* with nothing coming in for `PATIENCE` seconds, it ends, even where the name lookup or the
  server hangs, or single bytes trickle in; a slow transfer that does move may take its time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from slugline.errors import DataError, DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import BinaryIO

    import requests

__all__ = ["ProgressBar", "RemoteFile", "cache_folder", "fetch"]


if sys.platform != "win32":
    import fcntl


PATIENCE = 10.0  # seconds without progress after which a download is given up
STALL = 5.0  # seconds without progress after which another connection is tried
PAUSES = (0.5, 1.0, 2.0)  # seconds between attempts; there is one attempt more than pauses
CHUNK = 16 * 1024  # bytes; what counts as progress when it arrives


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that can be downloaded, and how to tell that it is the right one."""

    name: str  # path below a data folder, such as "reuters/reuters.npz"
    url: str
    sha256: str | None  # hexadecimal; None where only the file's contents can be checked
    max_bytes: int  # a longer reply is not this file


class ProgressBar(Protocol):
    """What a download reports to: the interface of tqdm, which others share."""

    total: int  # bytes; 0 where the server doesn't tell

    def update(self, n: int, /) -> object:
        """Count `n` more bytes."""

    def reset(self) -> object:
        """Start from zero: a transfer begins, perhaps anew."""

    def close(self) -> object:
        """Finish: the transfer is over, well or not."""


def cache_folder() -> Path:
    """Folder for downloaded files: `SLUGLINE_CACHE`, or the system's place for a user's caches."""
    setting = os.environ.get("SLUGLINE_CACHE")
    if setting:
        return Path(setting).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("slugline")


def fetch(
    remote: RemoteFile,
    path: str | os.PathLike[str] | None = None,
    *,
    check: Callable[[Path], object] | None = None,
    progress: ProgressBar | None = None,
) -> Path:
    """Find a file on this machine, or download it into the user's cache.

    The places, in this order: `path`, and no other if it is given; the folder that the
    environment variable `SLUGLINE_DATA` names; the cache (see `cache_folder`); `remote.url`.
    A folder may hold the file itself or in the sub-folder that `remote.name` tells.

    Parameters
    ----------
    remote : which file.
    path : the file under any name, or a folder that holds it.
    check : called with the path of a finished download before that gets its name; raises
        DataError if the contents are not what they should be. For a `remote` without sha256.
    progress : told of a download's bytes, then closed; left alone where none is needed.

    Returns
    -------
    Path of the file. Its sha256 has been checked if it comes from the cache or the network, not
    if it comes from `path` or `SLUGLINE_DATA`: whoever reads it must expect anything there.

    Raises
    ------
    DataError : if `path` is given and the file isn't there.
    DownloadError : if the file is in none of the places; after `PATIENCE` seconds without
        progress, or a few failed attempts.
    """
    if path is not None:
        return _at(Path(path).expanduser(), remote)
    data = os.environ.get("SLUGLINE_DATA")
    found = _look_in(Path(data).expanduser(), remote) if data else None
    if found:
        return found
    cached = cache_folder() / remote.name
    if _is_good(cached, remote):
        return cached
    try:
        _download(remote, cached, check, progress)
    except _Failure as failure:
        name = cached.name
        tried = f"{data} (SLUGLINE_DATA) doesn't hold it" if data else "SLUGLINE_DATA is not set"
        raise DownloadError(
            f"{name} can't be had: {tried}, no good copy is in {cached.parent}, and {remote.url}"
            f" failed ({failure}); put {name} into a folder and set SLUGLINE_DATA to that folder."
        ) from failure
    return cached


def _at(path: Path, remote: RemoteFile) -> Path:
    if path.is_file():
        return path
    name = Path(remote.name).name
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; give the path of {name} or its folder.")
    found = _look_in(path, remote)
    if found is None:
        raise DataError(f"{path}: there is no {name} in this folder; give the path of the file.")
    return found


def _look_in(folder: Path, remote: RemoteFile) -> Path | None:
    below = folder / remote.name
    return next((file for file in (folder / below.name, below) if file.is_file()), None)


def _is_good(path: Path, remote: RemoteFile) -> bool:
    try:
        return path.is_file() and remote.sha256 in (None, _sha256(path))
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Failure(Exception):  # noqa: N818 - an attempt's outcome, seen by users as DownloadError
    """An attempt that came to nothing; the next one may fare better."""


class _Hopeless(_Failure):
    """A failure that another attempt would only repeat."""


class _BadPart(_Failure):
    """The bytes kept from an earlier attempt can't be continued; start from nothing."""


class _Chunk(NamedTuple):
    offset: int  # where in the file the data belong: a server may ignore that we have a part
    data: bytes
    total: int  # bytes of the whole file, 0 if unknown


_Inbox: TypeAlias = "queue.SimpleQueue[_Chunk | _Failure | None]"


class _Patience:
    """The seconds left in which something has to arrive."""

    def __init__(self) -> None:
        self._best = 0
        self._end = time.monotonic() + PATIENCE

    def note(self, size: int) -> None:
        """Start counting anew if the file has grown; bytes that we had before are no progress."""
        if size >= self._best + CHUNK:
            self._best = size
            self._end = time.monotonic() + PATIENCE

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())


def _download(
    remote: RemoteFile,
    target: Path,
    check: Callable[[Path], object] | None,
    progress: ProgressBar | None,
) -> None:
    """Bring `remote` to `target`, whole and checked, or raise _Failure."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part_of(target) as part:
            with part.open("ab") as file:
                _attempts(remote, file, check, progress)
            part.replace(target)
    except OSError as error:  # the disk; what goes wrong on the network is a _Failure by now
        raise _Hopeless(f"{target.parent} can't be written: {error.strerror or error}") from error
    finally:
        if progress:
            progress.close()


@contextlib.contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """Name the file that a download grows in; leave it for the next run if it is cut short.

    While another process downloads into the same folder, this one works in a file of its own,
    which is removed if it isn't finished.
    """
    with _sole_use_of(target.parent) as alone:
        suffix = ".part" if alone else f".{uuid.uuid4().hex}.part"
        part = target.with_name(target.name + suffix)
        try:
            yield part
        finally:
            if part.exists() and (not alone or part.stat().st_size == 0):
                part.unlink()


@contextlib.contextmanager
def _sole_use_of(folder: Path) -> Iterator[bool]:
    """Tell whether no other process is in here for the same folder.

    The lock is on the folder itself, so it leaves no file behind, and goes when its owner dies.
    """
    if sys.platform == "win32":  # folders can't be locked there: downloads don't outlive a process
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except OSError:  # taken, or a network drive without locks
        alone = False
    try:
        yield alone
    finally:
        os.close(handle)


def _attempts(
    remote: RemoteFile,
    part: BinaryIO,
    check: Callable[[Path], object] | None,
    progress: ProgressBar | None,
) -> None:
    """Fill the part file, trying again as long as that makes sense."""
    patience = _Patience()
    pauses = iter(PAUSES)
    while True:
        try:
            resumed = _receive(remote, part, patience, progress)
            _verify(remote, part, check, resumed)
        except _Failure as failure:
            if isinstance(failure, (_BadPart, _Hopeless)):
                part.truncate(0)
            pause = next(pauses, None)
            if isinstance(failure, _Hopeless) or pause is None or patience.left <= pause:
                raise
            time.sleep(pause)
        else:
            return


def _receive(
    remote: RemoteFile, part: BinaryIO, patience: _Patience, progress: ProgressBar | None
) -> bool:
    """Append to the part file what one connection brings; tell whether it held anything before."""
    kept = size = part.seek(0, os.SEEK_END)
    with contextlib.closing(_listen(remote.url, kept, patience)) as chunks:
        for number, chunk in enumerate(chunks):
            if number == 0:
                kept = size = part.truncate(chunk.offset)
                _restart(progress, size, chunk.total)
            size += len(chunk.data)
            if max(size, chunk.total) > remote.max_bytes:
                raise _Hopeless(f"it sends more than the {remote.max_bytes:,} bytes expected")
            part.write(chunk.data)
            patience.note(size)
            if progress:
                progress.update(len(chunk.data))
    return kept > 0


def _restart(progress: ProgressBar | None, size: int, total: int) -> None:
    if progress:
        progress.total = total
        progress.reset()
        progress.update(size)


def _verify(
    remote: RemoteFile, part: BinaryIO, check: Callable[[Path], object] | None, resumed: bool
) -> None:
    """Put the part file on the disk for good and compare it with what was promised."""
    part.flush()
    os.fsync(part.fileno())
    path = Path(part.name)
    try:
        if remote.sha256 not in (None, digest := _sha256(path)):
            raise DataError(f"sha256 {digest} instead of {remote.sha256}")
        if check:
            check(path)
    except DataError as error:
        failure = _BadPart if resumed else _Hopeless  # a file in one piece would only come again
        raise failure(f"it sent something else: {error}") from error


def _listen(url: str, start: int, patience: _Patience) -> Generator[_Chunk, None, None]:
    """Give the chunks of one reply as they come.

    The network is read on a thread of its own, because neither a name lookup nor a header that
    trickles in can be interrupted. Given up, the thread dies with its connection or the process.
    """
    inbox: _Inbox = queue.SimpleQueue()
    given_up = threading.Event()
    threading.Thread(target=_pump, args=(url, start, inbox, given_up), daemon=True).start()
    try:
        while (item := _next_item(inbox, patience)) is not None:
            if isinstance(item, _Failure):
                raise item
            yield item
    finally:
        given_up.set()


def _next_item(inbox: _Inbox, patience: _Patience) -> _Chunk | _Failure | None:
    try:
        return inbox.get(timeout=min(STALL, patience.left))
    except queue.Empty:
        raise _Failure(f"no progress in {PATIENCE:g} seconds") from None


def _pump(url: str, start: int, inbox: _Inbox, given_up: threading.Event) -> None:
    """Request `url` from byte `start` on; post its chunks, then None or the failure."""
    # Files are stored as they are sent: an archive must not be unpacked on its way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        import requests

        with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as response:
            offset, total = _placed(response, start)
            for data in response.raw.stream(CHUNK, decode_content=False):
                if given_up.is_set():
                    return
                inbox.put(_Chunk(offset, data, total))
                offset += len(data)
        inbox.put(None)
    except _Failure as failure:
        inbox.put(failure)
    except Exception as error:  # noqa: BLE001 - whatever it is, the waiting thread must hear of it
        inbox.put(_Failure(_root_cause(error)))


def _placed(response: requests.Response, start: int) -> tuple[int, int]:
    """Where a reply's first byte belongs in the file, and how long the file is (0 if unknown)."""
    status = response.status_code
    length = int(response.headers.get("Content-Length", 0))
    if status == 200:
        return 0, length
    if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return start, start + length
    if status in (206, 416):
        raise _BadPart(f"HTTP status {status}")
    if status in (408, 429) or status >= 500:
        raise _Failure(f"HTTP status {status}")
    raise _Hopeless(f"HTTP status {status}")


def _root_cause(error: BaseException) -> str:
    """What an exception of requests is about, without the layers that wrap it."""
    while error.__context__:
        error = error.__context__
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
