"""Import optional or slow packages on first use."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slugline.errors import OptionError, SluglineError


def import_name(package: str, modules: Mapping[str, Sequence[str]], name: str) -> Any:
    """Import a package's name from its module on first use, for the package's `__getattr__`.

    `modules` maps each module to its names. If `package.name` is a module, return the module.
    """
    home = next((module for module, names in modules.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home == f"{package}.{name}" else getattr(module, name)
    setattr(sys.modules[package], name, value)
    return value


def import_extra(module: str, user: str, extra: str, kind: type[SluglineError]) -> Any:
    """Import a module of an extra; raise an error of type `kind` if it is not installed.

    `user` names the feature that needs the module, in the plural.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise kind(
            f"{user} need the package {module.partition('.')[0]}, which is not installed; "
            f"run: {install_command(extra)}"
        ) from error


_EXTRA = r"\bextra *== *[\"']([\w.-]+)[\"']$"


def install_command(extra: str) -> str:
    """Return a command for any shell and folder that installs the packages of an extra.

    The command names these packages rather than Slugline, since an index may contain another
    package of that name and the current folder may not be a clone.
    """
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires("slugline") or []
    except PackageNotFoundError:
        requirements = []
    packages = []
    for requirement in requirements:
        package, _, marker = requirement.partition(";")
        needed_by = re.search(_EXTRA, marker)
        if needed_by is not None and needed_by[1] == extra:
            # The marker's other conditions, in quotes that differ from the inner ones.
            condition = marker[: needed_by.start()].strip().removesuffix("and").strip(" ()")
            condition = condition.replace('"', "'")
            packages.append(f'"{package}; {condition}"' if condition else f'"{package}"')
    if packages:
        return f"pip install {' '.join(packages)}"
    return f'pip install ".[{extra}]" in a clone of Slugline'  # if Slugline is not installed


# Data frames --------------------------------------------------------------------------------------


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
                "`to_frame` requires pandas or polars, which are not installed; "
                "pip install pandas, or use `to_records`."
            ) from None
    return frames.DataFrame(list(records))
