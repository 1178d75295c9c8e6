"""Limits of encoders, which model files have as well."""

from __future__ import annotations

#: The largest number of columns of an encoder; the widest known encoders have 4,096.
MAX_WIDTH = 4096
#: The largest number of characters of an encoder's name or digest.
MAX_NAME = 200
