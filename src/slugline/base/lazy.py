"""Imports names on first use, so that a package costs nothing until it is needed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def import_name(package: str, homes: Mapping[str, str], name: str) -> Any:
    """Import a name of a package from its module, on first use by the package's `__getattr__`.

    `homes` maps each name to its module. A name mapped to `package.name` is that module itself.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module = importlib.import_module(homes[name])
    value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
    setattr(sys.modules[package], name, value)
    return value
