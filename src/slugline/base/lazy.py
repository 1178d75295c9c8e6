"""Imports names on first use, so that a package costs nothing until it is needed, or is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from slugline.errors import SluglineError


def import_name(package: str, modules: Mapping[str, Sequence[str]], name: str) -> Any:
    """Import a name of a package from its module, on first use by the package's `__getattr__`.

    `modules` has the names of each module; that of `package.name` is the module itself.
    """
    home = next((module for module, names in modules.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home == f"{package}.{name}" else getattr(module, name)
    setattr(sys.modules[package], name, value)
    return value


def import_extra(module: str, user: str, extra: str, kind: type[SluglineError]) -> Any:
    """Import a module that an extra brings; an error of a kind if it is not installed.

    `user` is what needs it, in the plural.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise kind(
            f"{user} need the package {module.partition('.')[0]}, which is not installed; "
            f'pip install "slugline[{extra}]".'
        ) from error
