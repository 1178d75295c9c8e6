"""The folder for what can be downloaded or worked out again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the cache's folder: `SLUGLINE_CACHE`, or the system's folder for user caches."""
    setting = os.environ.get("SLUGLINE_CACHE")
    if setting:
        # Unlike pathlib, os.path returns an unknown user's folder as it is.
        return Path(os.path.expanduser(setting))  # noqa: PTH111
    from platformdirs import user_cache_path

    return user_cache_path("slugline")
