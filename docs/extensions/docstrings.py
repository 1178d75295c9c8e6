"""Errors in docstrings, `DataError : if there is none`, as napoleon reads them: in two lines."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_ERROR = re.compile(r"(\s*)([\w, ]+) : (.+)")


def split_errors(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Write what an error or a warning is for below its name."""
    del app, what, name, obj, options
    for number in range(len(lines) - 1, 0, -1):
        is_underline = re.fullmatch(r"\s*-{3,}", lines[number])
        if is_underline and lines[number - 1].strip() in ("Raises", "Warns"):
            lines[number + 1 :] = _split(lines[number + 1 :])


def _split(lines: list[str]) -> list[str]:
    split: list[str] = []
    for number, line in enumerate(lines):
        if not line.strip():
            return split + lines[number:]
        error = _ERROR.fullmatch(line)
        split += [error[1] + error[2], f"{error[1]}    {error[3]}"] if error else [line]
    return split


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, before napoleon's."""
    app.connect("autodoc-process-docstring", split_errors, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
