"""Number types with ranges that msgspec validates in files."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

#: The largest integer in a file.
MAX_COUNT = (1 << 63) - 1
Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
#: From 0 to 1.
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
