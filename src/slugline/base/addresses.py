"""Reject URLs and database addresses where files are expected."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from slugline.errors import DataError, OptionError

# Addresses, even if `Path` has merged their slashes. A Windows drive has a one-letter "scheme".
_ADDRESS = re.compile(
    r"(?:jdbc:)?(?P<scheme>[a-z][a-z0-9+.-]+):/{1,2}(?P<rest>.*)", re.I | re.DOTALL
)
_DATABASES = (
    "postgres", "mysql", "mariadb", "sqlite", "mssql", "sqlserver", "oracle", "mongodb", "redis",
    "snowflake", "bigquery", "duckdb", "clickhouse", "db2", "odbc",
)  # fmt: skip
_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "wasb", "wasbs", "hdfs", "dbfs")
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
    kind, advice = "an address", _DOWNLOAD
    if scheme in _STORES:
        kind = "an address in a remote store"
    elif scheme in _WEB:
        kind, advice = "a web address", _SHEET if "docs.google.com" in place else _DOWNLOAD
    return _Address(f"{scheme}://{place}", kind, advice)
