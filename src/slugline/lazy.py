"""Imports names on first use, so that a package costs nothing until it is needed."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy_names", "moved_names"]


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package that imports each name from its home on first use.

    Parameters
    ----------
    package : str
        Its `__name__`.
    homes : mapping of str to str
        The module that defines each name. A name mapped to `package.name` is that module itself.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(homes[name])
        value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return find


def moved_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module whose names have moved; it warns on each use.

    Parameters
    ----------
    module : str
        Its `__name__`.
    homes : mapping of str to str
        The module that defines each name now.
    """
    find = lazy_names(module, homes)

    def find_moved(name: str) -> Any:
        value = find(name)
        delattr(sys.modules[module], name)
        warnings.warn(
            f"{module}.{name} has moved to {homes[name]}; import it from there.",
            DeprecationWarning,
            stacklevel=2,
        )
        return value

    return find_moved
