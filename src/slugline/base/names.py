"""File names, glob patterns, and addresses given in place of files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slugline.errors import DataError, OptionError

#: Characters that turn a name into a glob pattern.
PATTERN_CHARACTERS = frozenset("*?[")
_SYSTEM_FOLDERS = ("/proc/", "/sys/")
#: Folder of markers, not documents, in a folder of answers; see `slugline.prediction.markers`.
MARKERS = "_slugline"


def expand_patterns(names: Iterable[str | Path]) -> list[str]:
    """Return the files that match names and patterns; matches of a pattern are sorted by name.

    Raises DataError if nothing matches.
    """
    import glob

    paths: list[str] = []
    for name in map(str, names):
        if not is_pattern(name):
            paths.append(name)
            continue
        # Path.glob doesn't accept absolute patterns.
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
        matches = [path for path in matches if MARKERS not in Path(path).parts]
        if not matches:
            check_is_no_address(name)
            raise DataError(f"no file matches {name}; check the pattern and the folder.")
        for path in matches:
            check_is_stored(path, f"{path}, which matches {name},")
        paths += matches
    if not paths:
        raise DataError("no files given; pass at least one.")
    return paths


def check_is_stored(path: str, subject: str) -> None:
    """Raise DataError for a potentially endless file: a pipe, a device or a system file.

    Parameters
    ----------
    path : str
        A missing file is accepted; opening it raises an error later.
    subject : str
        Name of the file in messages.
    """
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(
            f"{subject} is a pipe or device; patterns are for files. Remove it, or name it alone."
        )
    check_is_no_system_file(path, subject)


def check_is_no_system_file(path: str | Path, subject: str) -> None:
    """Raise DataError for a file in /proc or /sys, which may block or never end."""
    real = os.path.realpath(path)
    if real.startswith(_SYSTEM_FOLDERS) and Path(real).is_file():
        raise DataError(
            f"{subject} is a file of the operating system, not a file of documents; if it contains "
            "documents, give a copy of it."
        )


def is_pattern(name: str) -> bool:
    """Return True if a name is a glob pattern and not the name of an existing file."""
    return bool(PATTERN_CHARACTERS & set(name)) and not Path(name).exists()


# Addresses ----------------------------------------------------------------------------------------


# Addresses, even if `Path` has merged their slashes. A Windows drive has a one-letter "scheme".
_ADDRESS = re.compile(
    r"(?:jdbc:)?(?P<scheme>[a-z][a-z0-9+.-]+):/{1,2}(?P<rest>.*)", re.I | re.DOTALL
)
_DATABASES = (
    "postgres", "mysql", "mariadb", "sqlite", "mssql", "sqlserver", "oracle", "mongodb", "redis",
    "snowflake", "bigquery", "duckdb", "clickhouse", "db2", "odbc",
)  # fmt: skip
_WEB = ("http", "https", "ftp", "ftps", "sftp")
_EXPORT = "export its texts as CSV with a query, and give that file"
_DOWNLOAD = "download the file, and give its path"
_SHEET = "choose File, Download, Comma-separated values (.csv) there, and give the downloaded file"


class _Address(NamedTuple):
    place: str  # without credentials
    kind: str  # such as "a web address"
    advice: str  # how to get a file to read


def check_is_no_address(source: str) -> None:
    """Raise DataError if `source` is an address; the message omits credentials."""
    description = describe_address(source)
    if description is not None:
        raise DataError(description)


def describe_address(source: str) -> str | None:
    """Return a description of an address, without credentials, and advice; None for a path."""
    address = _parse_address(source)
    return address and f"{address.place} is {address.kind}; {address.advice}."


def check_is_no_output_address(output: str | os.PathLike[str]) -> None:
    """Raise OptionError if `output` is an address; the message omits credentials."""
    address = None if Path(output).parent.is_dir() else _parse_address(os.fspath(output))
    if address is not None:
        raise OptionError(f"{address.place} is {address.kind}; name a file.")


def _parse_address(source: str) -> _Address | None:
    """Return the parts of an address, or None for a path."""
    match = _ADDRESS.match(source)
    if match is None or os.path.exists(source):  # noqa: PTH110 (a long name is no error)
        return None
    scheme = match["scheme"].lower()
    # The part before @ may contain a password, and the part after ? a token. If @ follows ?, the
    # text after @ may be part of either.
    before, _, after = match["rest"].rpartition("@")
    place = "" if re.search(r"[?#]", before) else re.split(r"[?#]", after)[0].lstrip("/")
    if scheme.startswith(_DATABASES):
        host = place.partition("/")[0]
        return _Address(f"{scheme}://{host}", "the address of a database", _EXPORT)
    if scheme == "file":
        return _Address(f"file:///{place}", "an address", f"give the path of the file, /{place}")
    kind = "a web address" if scheme in _WEB else "an address in a remote store"
    advice = _SHEET if "docs.google.com" in place else _DOWNLOAD
    return _Address(f"{scheme}://{place}", kind, advice)
