"""Files that commands write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from slugline.errors import OptionError, os_errors_as


def check_not_read(option: str, path: Path, sources: Iterable[str | Path | None]) -> None:
    """Check that a file to write is not one of those to read; OptionError if it is."""
    # Not `Path.resolve`, which raises another error if links go in a circle.
    if os.path.realpath(path) in {os.path.realpath(source) for source in sources if source}:
        raise OptionError(f"{option} {path}: would overwrite an input file; name another one.")


def check_target(option: str, path: Path, sources: Iterable[str | Path | None] = ()) -> None:
    """Check, before the work, that a file can be written, and overwrites no source.

    Raises
    ------
    OptionError : if `path` is not a file, none can be created in its folder, or it is a source.
    """
    if str(path) == "-":
        raise OptionError(
            f"{option} -: this is written to a file, not standard output; name a file."
        )
    advice = "create the folder, fix its permissions, or name another place."
    with os_errors_as(OptionError, f"{option} {path}: can't write a file there", advice):
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or pipe"
            raise OptionError(f"{option} {path}: is {kind}; name a file.")
        tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
    check_not_read(option, path, sources)


def check_folder(
    option: str, folder: Path, names: Iterable[str], sources: Iterable[str | Path | None] = ()
) -> None:
    """Check, before the work, that files can be written into a folder, which may be missing.

    Raises
    ------
    OptionError : if the folder can't be created, or see `check_target`.
    """
    if folder.is_dir():
        for name in names:
            check_target(option, folder / name, sources)
        return
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    failure = f"{option} {folder}: the folder can't be created"
    with os_errors_as(OptionError, failure, "choose another one."):
        tempfile.TemporaryFile(dir=nearest).close()
