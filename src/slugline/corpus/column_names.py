"""Common column names for texts, topics and ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from slugline.base.checks import short_repr
from slugline.errors import DataError

#: Recognized column names, ignoring case, most likely first: English names, then names in other
#: widespread languages. A message's subject is part of its text.
_NAMES = msgspec.json.decode(Path(__file__).with_name("column_names.json").read_bytes())
TEXT_NAMES: list[str] = _NAMES["text"]
TOPIC_NAMES: list[str] = _NAMES["topic"]
ID_NAMES: list[str] = _NAMES["id"]
#: Text, topic and id names together.
KNOWN_NAMES = frozenset((*TEXT_NAMES, *TOPIC_NAMES, *ID_NAMES))


def check_unique(source: str, names: Iterable[str]) -> None:
    """Raise DataError if two columns have the same name."""
    counts = Counter(names)
    duplicate = next((name for name, n in counts.items() if n > 1), None)
    if duplicate is not None:
        raise DataError(f"{source} has two columns named {short_repr(duplicate)}; rename one.")
