"""Whether compiled kernels do what NumPy could do as well."""

from __future__ import annotations

import os

__all__ = ["are_wanted"]


def are_wanted() -> bool:
    """Return False if the variable `SLUGLINE_KERNEL` of the environment is 0."""
    return os.environ.get("SLUGLINE_KERNEL") != "0"
