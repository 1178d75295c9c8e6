"""Where data files come from: a given path, `SLUGLINE_DATA`, the user's cache, or a download.

pooch, the usual choice, neither resumes a download nor bounds its size and time, so the transfer is
written here and in `transfers.py`, on requests. It holds four promises:

* a file appears under its name whole and checked, or not at all;
* what a broken transfer got is kept beside the target as `<name>.part` and continued later;
* processes that want the same file at the same time do not touch each other's work;
* with nothing coming in for `PATIENCE` seconds, it ends, even where the name lookup or the
  servers hang, or single bytes trickle in; a slow transfer that does move may take its time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from slugline.errors import DataError, DownloadError
from slugline.files import fresh_part, put_in_place, remove_dead_parts
from slugline.reuters.transfers import BadPart, Failure, Hopeless, Patience, listen

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

__all__ = ["ProgressBar", "RemoteFile", "cache_folder", "fetch"]

PAUSES = (0.5, 1.0, 2.0)  # seconds between attempts at one address, of which there is one more

# zipfile takes memory for all members when it opens an archive; in its directory, each begins so.
_MEMBER = b"PK\1\2"
_MAX_MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that can be downloaded, and how to tell that it is the right one."""

    name: str  # path below a data folder, such as "reuters/reuters.npz"
    urls: tuple[str, ...]  # tried in turn; where one ends in .zip, the file is in an archive there
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
        return _expanded(setting)
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
    environment variable `SLUGLINE_DATA` names; the cache (see `cache_folder`); `remote.urls`.
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
        progress, which the addresses share, or a few failed attempts at each.
    """
    if path is not None:
        return _at(_expanded(path), remote)
    data = os.environ.get("SLUGLINE_DATA")
    found = _look_in(_expanded(data), remote) if data else None
    if found:
        return found
    cached = cache_folder() / remote.name
    if _is_good(cached, remote):
        return cached
    try:
        _download(remote, cached, check, progress)
    except Failure as failure:
        name = cached.name
        tried = f"{data} (SLUGLINE_DATA) doesn't hold it" if data else "SLUGLINE_DATA is not set"
        raise DownloadError(
            f"{name} can't be had: {tried}, no good copy is in {cached.parent}, and {failure}; "
            f"put {name} into a folder and set SLUGLINE_DATA to that folder."
        ) from failure
    return cached


# os.path answers "no" where pathlib raises: no such user, a name too long, a folder that is closed.


def _expanded(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def _at(path: Path, remote: RemoteFile) -> Path:
    if _is_file(path):
        return path
    name = Path(remote.name).name
    if not os.path.isdir(path):  # noqa: PTH112
        raise DataError(f"{path}: no such file or folder; give the path of {name} or its folder.")
    found = _look_in(path, remote)
    if found is None:
        raise DataError(f"{path}: there is no {name} in this folder; give the path of the file.")
    return found


def _look_in(folder: Path, remote: RemoteFile) -> Path | None:
    below = folder / remote.name
    return next((file for file in (folder / below.name, below) if _is_file(file)), None)


def _is_good(path: Path, remote: RemoteFile) -> bool:
    try:
        fits = _is_file(path) and path.stat().st_size <= remote.max_bytes
        return fits and remote.sha256 in (None, _sha256(path))
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(
    remote: RemoteFile,
    target: Path,
    check: Callable[[Path], object] | None,
    progress: ProgressBar | None,
) -> None:
    """Bring `remote` to `target`, whole and checked, or raise Failure."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _from_the_first_that_has_it(remote, target, check, progress)
    except OSError as error:  # the disk; what goes wrong on the network is a Failure by now
        raise Failure(f"{target.parent} can't be written: {error.strerror or error}") from error
    finally:
        if progress:
            progress.close()


def _from_the_first_that_has_it(
    remote: RemoteFile,
    target: Path,
    check: Callable[[Path], object] | None,
    progress: ProgressBar | None,
) -> None:
    patience = Patience()
    failures = []
    for turn, url in enumerate(remote.urls, start=1):
        patience.begin(turn, len(remote.urls))
        try:
            with _part_of(target, resumable=not _is_packed(url)) as part:
                _attempts(remote, url, part, patience, check, progress)
                put_in_place(part, target)
        except Failure as failure:
            failures.append(f"{url} failed ({failure})")
        else:
            return
    raise Failure(", ".join(failures))


def _is_packed(url: str) -> bool:
    return url.endswith(".zip")


@contextlib.contextmanager
def _part_of(target: Path, *, resumable: bool) -> Iterator[BinaryIO]:
    """Open the file that a download grows in; leave it for the next run if it is cut short.

    While another process downloads into the same folder, this one works in a file of its own,
    which is removed if it isn't finished. So is an archive, which is none of the file's bytes.
    """
    with _sole_use_of(target.parent) as alone:
        if not (alone and resumable):
            with fresh_part(target) as part:
                yield part
            return
        path = target.with_name(target.name + ".part")
        try:
            with _kept_part(path) as part:
                remove_dead_parts(target, part)
                yield part
        finally:
            if path.exists() and path.stat().st_size == 0:
                path.unlink()


def _kept_part(path: Path) -> BinaryIO:
    """Open what an earlier run left, if it is a plain file of ours and no link; else a new file.

    Whoever may write to the folder could plant a link, and have the download write elsewhere.
    """
    with contextlib.suppress(OSError):
        part = open(path, "r+b", opener=_no_link)  # noqa: SIM115
        found = os.fstat(part.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid():
            return part
        part.close()
    path.unlink(missing_ok=True)
    return path.open("x+b")


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe must not stop us either


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
    url: str,
    part: BinaryIO,
    patience: Patience,
    check: Callable[[Path], object] | None,
    progress: ProgressBar | None,
) -> None:
    """Fill the part file from one address, trying again as long as that makes sense."""
    pauses = iter(PAUSES)
    while True:
        try:
            resumed = _receive(url, remote.max_bytes, part, patience, progress)
            _verify(remote, url, part, check, resumed)
        except Failure as failure:
            if isinstance(failure, (BadPart, Hopeless)):
                part.truncate(0)
            pause = next(pauses, None)
            if isinstance(failure, Hopeless) or pause is None or patience.left <= pause:
                raise
            time.sleep(pause)
        else:
            return


def _receive(
    url: str, limit: int, part: BinaryIO, patience: Patience, progress: ProgressBar | None
) -> bool:
    """Append to the part file what one connection brings; tell whether it held anything before."""
    kept = size = part.seek(0, os.SEEK_END)
    with contextlib.closing(listen(url, kept, patience)) as chunks:
        for number, chunk in enumerate(chunks):
            if number == 0:
                kept = size = part.seek(part.truncate(chunk.offset))
                _restart(progress, size, chunk.total)
            size += len(chunk.data)
            if max(size, chunk.total) > limit:
                raise Hopeless(f"it sends more than the {limit:,} bytes expected")
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
    remote: RemoteFile,
    url: str,
    part: BinaryIO,
    check: Callable[[Path], object] | None,
    resumed: bool,
) -> None:
    """Unpack the part file where it is an archive, and compare it with what was promised."""
    path = Path(part.name)
    try:
        if _is_packed(url):
            _unpack(part, PurePosixPath(remote.name).name, remote.max_bytes)
        part.flush()
        if remote.sha256 not in (None, digest := _sha256(path)):
            raise DataError(f"sha256 {digest} instead of {remote.sha256}")
        if check:
            check(path)
    except DataError as error:
        failure = BadPart if resumed else Hopeless  # a file in one piece would only come again
        raise failure(f"it sent something else: {error}") from error


def _unpack(part: BinaryIO, name: str, limit: int) -> None:
    """Put in the place of a zip archive, which nobody has checked, the one file wanted from it."""
    part.seek(0)
    packed = part.read(limit)
    try:
        content = _member(packed, name, limit)
    except Exception as error:  # a planted file can fail in any way it likes: one answer to all
        raise DataError(str(error) or type(error).__name__) from error
    part.seek(0)
    part.truncate()
    part.write(content)


def _member(packed: bytes, name: str, limit: int) -> bytes:
    """Content of the archive's first file of that name, in whichever folder it is."""
    if packed.count(_MEMBER) > _MAX_MEMBERS:
        raise ValueError(f"the archive holds more than {_MAX_MEMBERS:,} files")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        named = (m for m in archive.infolist() if PurePosixPath(m.filename).name == name)
        member = next(named, None)
        if member is None:
            raise ValueError(f"the archive holds no {name}")
        # The other ways to compress can't be unpacked in bounded steps.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is compressed in an unknown way")
        if member.file_size > limit:
            raise ValueError(f"{name} is {member.file_size:,} bytes large")
        with archive.open(member) as file:
            return file.read(limit + 1)  # a size, since the declared one may be a lie
