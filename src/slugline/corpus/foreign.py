"""Detects unsupported sources: addresses, and files of other programs."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

from slugline.errors import DataError

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

_PICTURE = "a picture; Slugline reads texts, so extract the text first"

#: Number of bytes examined to identify a file.
N_BYTES = 1024
# Signatures of other programs' files, each with a description and advice.
_STARTS = {
    b"%PDF-": "a PDF document; save its text as .txt, for example with pdftotext, or its table as "
    "CSV",
    b"{\\rtf": "an RTF document; save it as plain text (.txt)",
    bytes.fromhex("d0cf11e0a1b11ae1"): "an Outlook message, or a document or spreadsheet in an old "
    "Office format; save texts as plain text (.txt), and a spreadsheet as .xlsx or CSV",
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"GIF8": _PICTURE,
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
}
ZIP_START, _GZIP_START = b"PK\x03\x04", b"\x1f\x8b"
ZIP = "a zip archive, a spreadsheet or a Word document; unpack it, or save it as CSV or plain text"
_BINARY = "binary data, not text; export its texts as CSV, JSONL or plain text (.txt)"
# Folders in the zip archives of Office documents.
_OFFICE = {
    "word/": "a Word document; save it as plain text (.txt)",
    "ppt/": "a PowerPoint presentation; save its texts as plain text (.txt)",
    "xl/": "a spreadsheet; give it a name that ends in .xlsx",
}
# Control characters that text doesn't contain. More than both limits indicates binary data.
_CONTROLS = bytes([*range(9), *range(14, 27), *range(28, 32)])
_MAX_CONTROLS, _MAX_FRACTION = 16, 0.05


def check_is_no_address(source: str) -> None:
    """Raise DataError for an address of a database, web page or store; omit passwords."""
    match = _ADDRESS.match(source)
    if match is None or os.path.exists(source):  # noqa: PTH110 (a long name is no error)
        return
    scheme = match["scheme"].lower()
    # The part before @ may contain a password, and the part after ? a token.
    place = re.split(r"[?#]", match["rest"].rpartition("@")[2])[0].lstrip("/")
    if scheme.startswith(_DATABASES):
        host = place.partition("/")[0]
        raise DataError(f"{scheme}://{host} is the address of a database; {_EXPORT}.")
    if scheme == "file":
        raise DataError(f"file:///{place} is an address; give the path of the file, /{place}.")
    kind, advice = "an address", _DOWNLOAD
    if scheme in _STORES:
        kind = "an address in a remote store"
    elif scheme in _WEB:
        kind, advice = "a web address", _SHEET if "docs.google.com" in place else _DOWNLOAD
    raise DataError(f"{scheme}://{place} is {kind}; {advice}.")


def describe_foreign(start: bytes) -> str | None:
    """Describe a file of another program, with advice, from its first bytes; None for text."""
    for signature, description in _STARTS.items():
        if start.startswith(signature):
            return description
    start = start[:N_BYTES]
    # NULs don't count: UTF-16 and UTF-32 contain one per character in most languages.
    n_controls = len(start) - len(start.translate(None, _CONTROLS)) - start.count(0)
    return _BINARY if n_controls > max(_MAX_CONTROLS, _MAX_FRACTION * len(start)) else None


def describe_foreign_file(path: Path) -> str | None:
    """Describe a file of another program, with advice; None for text and gzip files."""
    with path.open("rb") as file:
        start = file.read(N_BYTES)
    if start.startswith(_GZIP_START):
        return None
    if not start.startswith(ZIP_START):
        return describe_foreign(start)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return ZIP
    return next((_OFFICE[f] for f in _OFFICE if any(name.startswith(f) for name in names)), ZIP)
