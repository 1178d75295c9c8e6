"""Detect files of other programs."""

from __future__ import annotations

import zipfile
from pathlib import Path

_PICTURE = "a picture; Slugline reads texts, so extract the text first"

#: Number of bytes to examine.
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
# Control characters not used in text. Counts above both limits indicate binary data.
_CONTROLS = bytes([*range(9), *range(14, 27), *range(28, 32)])
_MAX_CONTROLS, _MAX_FRACTION = 16, 0.05


def describe_foreign(start: bytes) -> str | None:
    """Describe a file of another program, with advice, from its first bytes; None for text."""
    for signature, description in _STARTS.items():
        if start.startswith(signature):
            return description
    start = start[:N_BYTES]
    # Ignore NULs: UTF-16 and UTF-32 contain one or more per character in most languages.
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
