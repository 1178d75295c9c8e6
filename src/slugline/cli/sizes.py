"""Sizes of files, as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

from slugline.checks import shown
from slugline.errors import OptionError

__all__ = ["read_size"]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
# With so few digits, it is always a size that a file can have.
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([a-z]*)", re.IGNORECASE)


def read_size(flag: str, size: str) -> int:
    """Return a size in whole bytes.

    >>> [read_size("--max-size", size) for size in ("5MB", "1.5 MB", "500kB", "2000000")]
    [5000000, 1500000, 500000, 2000000]

    Raises
    ------
    OptionError : if it is no size, or under a byte; the message names the flag.
    """
    found = _SIZE.fullmatch(size.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    n_bytes = int(Decimal(found[1]) * unit) if found and unit else 0
    if not n_bytes:
        raise OptionError(
            f"{flag} is {shown(size)}; give a number of bytes, kB, MB or GB, such as 2000000, "
            "500kB or 1.5MB."
        )
    return n_bytes
