"""Convert rows to data frames of pandas or polars, whichever is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slugline.errors import OptionError


def to_frame(records: Iterable[Mapping[str, Any]]) -> Any:
    """Return rows as a pandas data frame, or a polars one if pandas is missing.

    Raises OptionError if neither is installed.
    """
    try:
        import pandas as frames
    except ImportError:
        try:
            import polars as frames
        except ImportError:
            raise OptionError(
                "`to_frame` needs pandas or polars, and neither is installed; "
                "pip install pandas, or use `to_records`."
            ) from None
    return frames.DataFrame(list(records))
