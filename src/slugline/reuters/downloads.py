"""Find data files at a path, in `SLUGLINE_DATA` or in the user's cache, or download them.

Downloads are limited in size and time, and moved into place only if their checksum matches.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from slugline.base import files
from slugline.base.progress import Progress, check_progress
from slugline.errors import DataError, DownloadError

#: Maximum seconds to connect, and to wait for the next bytes of a response.
TIMEOUT = 10.0
#: Maximum seconds for a whole file.
MAX_SECONDS = 300.0
#: Seconds to wait before the second attempt; doubles for each further attempt.
PAUSE = 1.0

_CHUNK = 16 * 1024
_N_RETRIES = 2
_MAX_MESSAGE = 200  # maximum length of an error message, which may come from the server


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that can be downloaded."""

    name: str  # path in a data folder, such as "reuters/reuters.npz"
    urls: tuple[str, ...]  # tried in order; a .zip archive contains the file
    sha256: str | None  # hexadecimal; None to check only the contents
    max_bytes: int


def fetch(
    remote: RemoteFile,
    path: files.PathLike | None = None,
    *,
    check: Callable[[Path], object] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the path of a file, downloading it into the user's cache if necessary.

    Without `path`, searches the folder in the environment variable `SLUGLINE_DATA`, then the cache
    (see `cache_folder`), then `remote.urls`. A folder may contain the file directly or under
    `remote.name`. Files in `path` or `SLUGLINE_DATA` are not checked, so readers must not trust
    them.

    Parameters
    ----------
    remote : RemoteFile
    path : path, optional
        The file, under any name, or its folder.
    check : callable, optional
        Takes the path of a download, and raises DataError for wrong contents.
    progress : Progress, optional
        Reports download progress.

    Raises
    ------
    DataError : if the file isn't at `path`.
    DownloadError : if the file is not found and no URL delivers it within `MAX_SECONDS` and without
        stalling for `TIMEOUT` seconds.
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
    with contextlib.closing(check_progress(progress)) as progress:
        failures = _download(remote, cached, check, progress)
    if failures:
        name = cached.name
        tried = f"it is not in {data} (SLUGLINE_DATA)" if data else "SLUGLINE_DATA is not set"
        raise DownloadError(
            f"{name} can't be found or downloaded: {tried}, there is no good copy in "
            f"{cached.parent}, and {', '.join(failures)}; put {name} into a folder and set "
            "SLUGLINE_DATA to that folder."
        )
    return cached


# os.path returns False where pathlib raises: unknown user, long name, inaccessible folder.


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


# Downloads ----------------------------------------------------------------------------------------


def _download(
    remote: RemoteFile, target: Path, check: Callable[[Path], object] | None, progress: Progress
) -> list[str]:
    """Download `remote` to `target` and check it; return the failure of each URL."""
    failures = []
    for url in remote.urls:
        try:
            content = _receive(url, remote, progress)
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.whole_file(target) as part:
                _write_checked(part, content, url, remote, check)
        except (OSError, DataError) as error:
            failures.append(f"{url} failed ({_printable(error)})")
        else:
            return []
    return failures


def _write_checked(
    part: BinaryIO,
    content: bytes,
    url: str,
    remote: RemoteFile,
    check: Callable[[Path], object] | None,
) -> None:
    """Unpack and write a response; raise DataError if it is the wrong file."""
    try:
        if url.endswith(".zip"):
            content = _member(content, PurePosixPath(remote.name).name, remote.max_bytes)
        if remote.sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise ValueError("its checksum (SHA-256) differs")
        part.write(content)
        part.flush()
        if check is not None:
            check(Path(part.name))
    except OSError:
        raise
    except Exception as error:  # a crafted file can fail in any way
        raise DataError(f"it sent the wrong file: {error}") from error


def _receive(url: str, remote: RemoteFile, progress: Progress) -> bytes:
    """Return the response of a URL; raise OSError if it is too large or too slow."""
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter

    statuses = [429, 500, 502, 503, 504]
    retry = urllib3.Retry(_N_RETRIES, backoff_factor=PAUSE / 2, status_forcelist=statuses)
    end, step = time.monotonic() + MAX_SECONDS, f"downloading {url.rpartition('/')[2]}"
    session = requests.Session()
    session.mount(url, HTTPAdapter(max_retries=retry))
    # The response must not be decompressed in transit.
    request = partial(
        session.get, headers={"Accept-Encoding": "identity"}, stream=True, timeout=TIMEOUT
    )
    try:
        with session, request(url) as response:
            if response.status_code != 200:
                raise OSError(f"HTTP status {response.status_code}")
            n_bytes = int(response.headers.get("Content-Length", 0))
            content = bytearray()
            # Other methods don't limit the chunk size.
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                content += chunk
                if max(len(content), n_bytes) > remote.max_bytes:
                    raise OSError(f"it sends more than the {remote.max_bytes:,} bytes expected")
                if time.monotonic() > end:
                    raise OSError(f"it took more than {MAX_SECONDS:.0f} seconds")
                fraction = len(content) / n_bytes if n_bytes else None
                progress.update(step, fraction, f"{len(content) / 1e6:,.1f} MB")
            return bytes(content)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        cause: BaseException = error
        while cause.__context__:  # the innermost one has the clearest message
            cause = cause.__context__
        raise OSError(_printable(cause)) from error


def _printable(error: BaseException) -> str:
    """Return the message of an exception as a short line."""
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)[:_MAX_MESSAGE]
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _member(packed: bytes, name: str, limit: int) -> bytes:
    """Return the content of the first file called `name` in any folder of an archive."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = (m for m in archive.namelist() if PurePosixPath(m).name == name)
        member = next(members, None)
        if member is None:
            raise ValueError(f"there is no {name} in the archive")
        with archive.open(member) as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name} has more than {limit:,} bytes")
    return content


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
    # Archives are packed differently, so only their contents are checked (`SGML_SHA256`).
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
    """Apply `read` to a file; raise DataError if it is damaged or not the original."""
    try:
        return read(path)
    except (OSError, ValueError, DataError) as error:
        raise DataError(
            f"{path} is damaged or not the original ({error_reason(error)}); "
            f"replace it with {PurePosixPath(remote.name).name} from {remote.urls[0]}."
        ) from error


def read_bounded(path: Path, remote: RemoteFile) -> bytes:
    """Return the bytes of a file; raise DataError above `remote.max_bytes`."""
    with path.open("rb") as file:
        content = file.read(remote.max_bytes + 1)
    if len(content) > remote.max_bytes:
        raise DataError(f"it has more than {remote.max_bytes:,} bytes")
    return content


def read_checked(path: Path, remote: RemoteFile) -> bytes:
    """Return the bytes of a file; raise DataError unless they match `remote.sha256`."""
    content = read_bounded(path, remote)
    if hashlib.sha256(content).hexdigest() != remote.sha256:
        raise DataError("checksum mismatch")
    return content


def error_reason(error: Exception) -> str:
    """Return the message of an error as one line."""
    return " ".join(str(error).split()) or type(error).__name__
