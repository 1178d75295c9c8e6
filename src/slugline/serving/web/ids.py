"""Correction ids in URLs and forms."""

from __future__ import annotations

from slugline.serving.web.problems import HttpProblem

# Number of digits that always fit in an SQLite integer.
_ID_DIGITS = 18


def parse_id(value: str, name: str) -> int:
    """Parse a correction id; HttpProblem 422 if `value` isn't one."""
    if not value.isascii() or not value.isdecimal() or len(value) > _ID_DIGITS:
        raise HttpProblem(422, f"{name} is {value[:100]!r}; use the number of a correction.")
    return int(value)
