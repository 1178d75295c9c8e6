"""Ids of corrections in addresses and forms."""

from __future__ import annotations

from slugline.serving.web.problems import HttpProblem

# Digits of a number that SQLite can hold.
_ID_DIGITS = 18


def parse_id(value: str, name: str) -> int:
    """Return the id of a correction; HttpProblem 422 if the value of `name` isn't an id."""
    if not value.isascii() or not value.isdecimal() or len(value) > _ID_DIGITS:
        raise HttpProblem(422, f"{name} is {value[:100]!r}; give the number of a correction.")
    return int(value)
