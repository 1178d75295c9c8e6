"""Finds data files: at a path, in `SLUGLINE_DATA`, in the user's cache, or by download.

pooch, the usual choice, neither resumes a download nor limits its size and time. Here,

* a file appears under its name complete and checked, or not at all;
* the bytes of a broken transfer stay beside the target as `<name>.part`, to be resumed;
* processes may need the same file at the same time;
* a download fails after `TIMEOUT` seconds without progress, even if the name lookup or a server
  hangs, or single bytes trickle in; slow progress is no failure.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import stat
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeAlias, TypeVar

from slugline.base import files
from slugline.base.progress import Progress, check_progress
from slugline.errors import DataError, DownloadError

if TYPE_CHECKING:
    import requests


# Transfers ----------------------------------------------------------------------------------------

TIMEOUT = 10.0  # seconds without progress after which a download fails
STALL = 5.0  # seconds without progress after which another connection is tried
CHUNK = 16 * 1024  # bytes that count as progress

_MAX_QUEUED = 64  # chunks that have arrived and not been written
_MAX_MESSAGE = 200  # characters of an error's text, which may come from the server


class TransferError(Exception):
    """A failed attempt; the next one may succeed."""


class PermanentError(TransferError):
    """A failure that another attempt would repeat."""


class BadPartError(TransferError):
    """The bytes of an earlier attempt can't be resumed; start again from nothing."""


class Chunk(NamedTuple):
    """Some bytes of a file."""

    offset: int  # in the file: a server may ignore the requested range
    data: bytes
    total: int  # bytes of the file, 0 if unknown


_Inbox: TypeAlias = "queue.Queue[Chunk | TransferError | None]"


class Deadline:
    """The time left for progress, shared among several addresses."""

    def __init__(self) -> None:
        self._end = time.monotonic() + TIMEOUT

    def begin(self, turn: int, n_turns: int) -> None:
        """Start with address `turn`, counted from 1, and reserve time for those after it."""
        self._reserve = TIMEOUT * (1 - turn / n_turns)
        self._best = 0
        self._since = time.monotonic()

    def note(self, size: int) -> None:
        """Restart the clock if the file has grown beyond its largest size so far."""
        if size >= self._best + CHUNK:
            self._best = size
            self._since = time.monotonic()
            self._end = self._since + TIMEOUT

    @property
    def remaining(self) -> float:
        """Seconds left for this address."""
        return max(0.0, self._end - self._reserve - time.monotonic())

    @property
    def elapsed(self) -> float:
        """Seconds since the last progress with this address."""
        return time.monotonic() - self._since


def receive_chunks(url: str, start: int, deadline: Deadline) -> Generator[Chunk, None, None]:
    """Yield the chunks of a reply as they arrive, from byte `start` of the file if possible.

    Another thread reads from the network, because neither a name lookup nor a header that trickles
    in can be interrupted. An abandoned thread ends with its connection or process. Raises
    TransferError if the reply breaks off, is an error, or makes no progress until `deadline`.
    """
    inbox: _Inbox = queue.Queue(_MAX_QUEUED)
    abandoned = threading.Event()
    threading.Thread(target=_pump, args=(url, start, inbox, abandoned), daemon=True).start()
    began = time.monotonic()
    try:
        while (item := _next_item(inbox, deadline, began)) is not None:
            if isinstance(item, TransferError):
                raise item
            yield item
    finally:
        abandoned.set()


def _next_item(inbox: _Inbox, deadline: Deadline, began: float) -> Chunk | TransferError | None:
    stalled = min(deadline.elapsed, time.monotonic() - began)
    try:
        return inbox.get(timeout=max(0.0, min(STALL - stalled, deadline.remaining)))
    except queue.Empty:
        raise TransferError(f"no progress in {deadline.elapsed:.0f} seconds") from None


def _pump(url: str, start: int, inbox: _Inbox, abandoned: threading.Event) -> None:
    """Request `url` from byte `start` on; post its chunks, then None or the failure."""
    end: TransferError | None = None
    try:
        for chunk in _chunks(url, start):
            if not _post(chunk, inbox, abandoned):
                return
    except TransferError as failure:
        end = failure
    except Exception as error:  # noqa: BLE001 - the waiting thread must hear of any error
        end = TransferError(_root_cause(error))
    _post(end, inbox, abandoned)


def _post(item: Chunk | TransferError | None, inbox: _Inbox, abandoned: threading.Event) -> bool:
    """Wait for space in the inbox; return whether the item was posted."""
    while not abandoned.is_set():
        with contextlib.suppress(queue.Full):
            inbox.put(item, timeout=STALL)
            return True
    return False


def _chunks(url: str, start: int) -> Generator[Chunk, None, None]:
    import requests

    # Archives must not be unpacked in transit.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(
        url, headers=headers, stream=True, timeout=TIMEOUT, hooks={"response": _drop_redirect}
    ) as response:
        offset, total = _check_response(response, start)
        # Other methods have no limit on the line before a chunk, or on a chunk of size -1.
        while data := response.raw.read1(CHUNK, decode_content=False):
            yield Chunk(offset, data, total)
            offset += len(data)


def _drop_redirect(response: requests.Response, **_: object) -> None:
    """Close a redirect, because requests would read its body to the end."""
    if response.is_redirect:
        response.close()


def _check_response(response: requests.Response, start: int) -> tuple[int, int]:
    """Return the offset of a reply's first byte in the file, and the file's length or 0."""
    status = response.status_code
    length = max(0, int(response.headers.get("Content-Length", 0)))
    if status == 200:
        return 0, length
    if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return start, start + length
    if status in (206, 416):
        raise BadPartError(f"HTTP status {status}")
    if status in (408, 429) or status >= 500:
        raise TransferError(f"HTTP status {status}")
    raise PermanentError(f"HTTP status {status}")


def _root_cause(error: BaseException) -> str:
    """Return the innermost cause of an exception from requests, on a short line."""
    while error.__context__:
        error = error.__context__
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)[:_MAX_MESSAGE]
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


# Files -------------------------------------------------------------------------------------------

if sys.platform != "win32":
    import fcntl


PAUSES = (0.5, 1.0, 2.0)  # seconds between the attempts at an address

# The beginning of a member in the directory of an archive. zipfile takes memory for all members
# when it opens an archive.
_MEMBER = b"PK\1\2"
_MAX_MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that can be downloaded."""

    name: str  # path in a data folder, such as "reuters/reuters.npz"
    urls: tuple[str, ...]  # tried in order; .zip is an archive that holds the file
    sha256: str | None  # hexadecimal; None if only the file's contents can be checked
    max_bytes: int


def fetch(
    remote: RemoteFile,
    path: files.PathLike | None = None,
    *,
    check: Callable[[Path], object] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the path of a file, downloaded into the user's cache if need be.

    Without `path`, the file is looked for in the folder of the environment variable
    `SLUGLINE_DATA`, in the cache (see `cache_folder`), and at `remote.urls`. A folder may hold it
    directly or under `remote.name`. The sha256 of files in `path` or `SLUGLINE_DATA` is not
    checked, so readers must be prepared for anything.

    Parameters
    ----------
    remote : RemoteFile
    path : path, optional
        The file under any name, or a folder that holds it.
    check : callable, optional
        Raises DataError if a download, by its path, has wrong contents.
    progress : Progress, optional
        For a download.

    Raises
    ------
    DataError : if the file isn't at `path`.
    DownloadError : if it is in none of these places. A download fails after `TIMEOUT` seconds
        without progress, shared among the addresses, or a few attempts at each.
    """
    if path is not None:
        return _at(_expanded(path), remote)
    data = os.environ.get("SLUGLINE_DATA")
    local = _look_in(_expanded(data), remote) if data else None
    if local:
        return local
    cached = files.cache_folder() / remote.name
    if _is_good(cached, remote):
        return cached
    try:
        with contextlib.closing(check_progress(progress)) as progress:
            _download(remote, cached, check, progress)
    except TransferError as failure:
        name = cached.name
        tried = f"it is not in {data} (SLUGLINE_DATA)" if data else "SLUGLINE_DATA is not set"
        raise DownloadError(
            f"{name} can't be found or downloaded: {tried}, there is no good copy in "
            f"{cached.parent}, and {failure}; put {name} into a folder and set SLUGLINE_DATA to "
            "that folder."
        ) from failure
    return cached


# os.path returns False where pathlib raises: unknown user, name too long, folder without access.


def _expanded(path: files.PathLike) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def _at(path: Path, remote: RemoteFile) -> Path:
    if _is_file(path):
        return path
    name = Path(remote.name).name
    if not os.path.isdir(path):  # noqa: PTH112
        raise DataError(f"{path}: no such file or folder; give the path of {name} or its folder.")
    file = _look_in(path, remote)
    if file is None:
        raise DataError(f"{path}: there is no {name} in this folder; give the path of the file.")
    return file


def _look_in(folder: Path, remote: RemoteFile) -> Path | None:
    below = folder / remote.name
    return next((file for file in (folder / below.name, below) if _is_file(file)), None)


def _is_good(path: Path, remote: RemoteFile) -> bool:
    try:
        fits = _is_file(path) and path.stat().st_size <= remote.max_bytes
        return fits and remote.sha256 in (None, files.file_sha256(path))
    except OSError:
        return False


def _download(
    remote: RemoteFile, target: Path, check: Callable[[Path], object] | None, progress: Progress
) -> None:
    """Download `remote` to `target`, complete and checked, or raise TransferError."""
    deadline, failures = Deadline(), []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for turn, url in enumerate(remote.urls, start=1):
            deadline.begin(turn, len(remote.urls))
            try:
                with _part_of(target, resumable=not _is_packed(url)) as part:
                    _attempts(remote, url, part, deadline, check, progress)
                    files.put_in_place(part, target)
            except TransferError as failure:
                failures.append(f"{url} failed ({failure})")
            else:
                return
    except OSError as error:  # of the disk; those of the network are TransferErrors
        raise TransferError(
            f"{target.parent} can't be written to: {error.strerror or error}"
        ) from error
    raise TransferError(", ".join(failures))


def _is_packed(url: str) -> bool:
    return url.endswith(".zip")


@contextlib.contextmanager
def _part_of(target: Path, *, resumable: bool) -> Iterator[BinaryIO]:
    """Open the file that receives a download; it stays for the next run if it is not finished.

    While another process downloads into the same folder, and for archives, it is a separate file
    that is removed if it isn't finished.
    """
    with _sole_use_of(target.parent) as alone:
        if not (alone and resumable):
            with files.fresh_part(target) as part:
                yield part
            return
        path = target.with_name(target.name + ".part")
        try:
            with _open_part(path) as part:
                files.remove_dead_parts(target, part)
                yield part
        finally:
            if path.exists() and path.stat().st_size == 0:
                path.unlink()


def _open_part(path: Path) -> BinaryIO:
    """Open the part of an earlier run if it is a regular file of this user, or else a new file.

    Others with access to the folder could plant a link to make the download write elsewhere.
    """
    with contextlib.suppress(OSError):
        part = open(path, "r+b", opener=_no_link)  # noqa: SIM115
        status = os.fstat(part.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid():
            return part
        part.close()
    path.unlink(missing_ok=True)
    return path.open("x+b")


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # and don't wait for a pipe


@contextlib.contextmanager
def _sole_use_of(folder: Path) -> Iterator[bool]:
    """Yield whether no other process is downloading into the folder, by a lock on the folder."""
    if sys.platform == "win32":  # folders can't be locked there, so downloads aren't resumed
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except OSError:  # locked already, or a network drive without locks
        alone = False
    try:
        yield alone
    finally:
        os.close(handle)


def _attempts(
    remote: RemoteFile,
    url: str,
    part: BinaryIO,
    deadline: Deadline,
    check: Callable[[Path], object] | None,
    progress: Progress,
) -> None:
    """Fill the part file from one address, in several attempts if need be."""
    pauses = iter(PAUSES)
    while True:
        try:
            resumed = _receive(url, remote.max_bytes, part, deadline, progress)
            _verify(remote, url, part, check, resumed)
        except TransferError as failure:
            if isinstance(failure, (BadPartError, PermanentError)):
                part.truncate(0)
            pause = next(pauses, None)
            if isinstance(failure, PermanentError) or pause is None or deadline.remaining <= pause:
                raise
            time.sleep(pause)
        else:
            return


def _receive(url: str, limit: int, part: BinaryIO, deadline: Deadline, progress: Progress) -> bool:
    """Append the bytes of one connection to the part file; return whether it held any before."""
    resumed = size = part.seek(0, os.SEEK_END)
    step = f"downloading {url.rpartition('/')[2]}"
    with contextlib.closing(receive_chunks(url, resumed, deadline)) as chunks:
        for number, chunk in enumerate(chunks):
            if number == 0:
                resumed = size = part.seek(part.truncate(chunk.offset))
            size += len(chunk.data)
            if max(size, chunk.total) > limit:
                raise PermanentError(f"it sends more than the {limit:,} bytes expected")
            part.write(chunk.data)
            deadline.note(size)
            progress.update(step, *_share(size, chunk.total))
    return resumed > 0


def _share(size: int, total: int) -> tuple[float | None, str]:
    """Return the share of the bytes received, None if the total is unknown, and a detail."""
    if not total:
        return None, f"{size / 1e6:,.1f} MB"
    return size / total, f"{size / 1e6:,.1f} of {total / 1e6:,.1f} MB"


def _verify(
    remote: RemoteFile,
    url: str,
    part: BinaryIO,
    check: Callable[[Path], object] | None,
    resumed: bool,
) -> None:
    """Unpack the part file if it is an archive, and check its contents."""
    path = Path(part.name)
    try:
        if _is_packed(url):
            _unpack(part, PurePosixPath(remote.name).name, remote.max_bytes)
        part.flush()
        if remote.sha256 not in (None, digest := files.file_sha256(path)):
            raise DataError(f"sha256 {digest} instead of {remote.sha256}")
        if check:
            check(path)
    except DataError as error:
        # A file received in one piece would be the same again.
        failure = BadPartError if resumed else PermanentError
        raise failure(f"it sent the wrong file: {error}") from error


def _unpack(part: BinaryIO, name: str, limit: int) -> None:
    """Replace an unchecked zip archive by the file needed from it."""
    part.seek(0)
    packed = part.read(limit)
    try:
        content = _member(packed, name, limit)
    except Exception as error:  # a crafted file can fail in any way
        raise DataError(str(error) or type(error).__name__) from error
    part.seek(0)
    part.truncate()
    part.write(content)


def _member(packed: bytes, name: str, limit: int) -> bytes:
    """Return the content of the archive's first file of that name, in any folder."""
    if packed.count(_MEMBER) > _MAX_MEMBERS:
        raise ValueError(f"the archive holds more than {_MAX_MEMBERS:,} files")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = (m for m in archive.infolist() if PurePosixPath(m.filename).name == name)
        member = next(members, None)
        if member is None:
            raise ValueError(f"there is no {name} in the archive")
        return read_member(archive, member, limit)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """Return the content of a file in an archive; ValueError if it may exceed `limit` bytes."""
    name = PurePosixPath(member.filename).name
    # Other compression methods can't be unpacked in bounded steps.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in an unknown way")
    if member.file_size > limit:
        raise ValueError(f"{name} has {member.file_size:,} bytes, too many")
    with archive.open(member) as file:
        return file.read(limit + 1)  # limited, as the declared size may be false


# The files of the newswires ----------------------------------------------------------------------

T = TypeVar("T")

_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_UCI_URL = "https://archive.ics.uci.edu/"
_KDD_URL = "https://kdd.ics.uci.edu/databases/reuters21578/"
FILES = {
    "sequences": RemoteFile(
        name="reuters/reuters.npz",
        urls=(_KERAS_URL + "reuters.npz",),
        sha256="d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
        max_bytes=4_000_000,
    ),
    "word index": RemoteFile(
        name="reuters/reuters_word_index.json",
        urls=(_KERAS_URL + "reuters_word_index.json",),
        sha256="9b56000edc4b34a32e89fd5a23b2605594682c74efcf7d8f4e2a5514b771e633",
        max_bytes=1_000_000,
    ),
    # The archive has been packed in several ways, so only its contents are checked (SGML_SHA256).
    "archive": RemoteFile(
        name="reuters/reuters21578.tar.gz",
        urls=(
            _UCI_URL + "static/public/137/reuters+21578+text+categorization+collection.zip",
            _KDD_URL + "reuters21578.tar.gz",
            _UCI_URL + "ml/machine-learning-databases/reuters21578-mld/reuters21578.tar.gz",
        ),
        sha256=None,
        max_bytes=16_000_000,
    ),
}


def read_original(path: Path, remote: RemoteFile, read: Callable[[Path], T]) -> T:
    """Return the content of a file; DataError if it is damaged or not the publisher's."""
    try:
        return read(path)
    except (OSError, ValueError, DataError) as error:
        raise DataError(
            f"{path} is damaged or not the original ({error_reason(error)}); "
            f"replace it with {PurePosixPath(remote.name).name} from {remote.urls[0]}."
        ) from error


def read_bounded(path: Path, remote: RemoteFile) -> bytes:
    """Return the bytes of a file; DataError if there are more than `remote.max_bytes`."""
    with path.open("rb") as file:
        content = file.read(remote.max_bytes + 1)
    if len(content) > remote.max_bytes:
        raise DataError(f"it has more than {remote.max_bytes:,} bytes")
    return content


def error_reason(error: Exception) -> str:
    """Return the message of an error, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
