"""Checks of output paths."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from slugline.base.names import check_is_no_output_address
from slugline.base.wording import join_words
from slugline.errors import OptionError, os_errors_as


def check_not_read(option: str, path: Path, sources: Iterable[str | Path | None]) -> None:
    """Raise OptionError if an output file is also an input."""
    # `Path.resolve` would raise a different error for circular links.
    if os.path.realpath(path) in {os.path.realpath(source) for source in sources if source}:
        raise OptionError(f"{option} {path}: would overwrite an input file; choose another one.")


def check_target(
    option: str, path: Path, sources: Iterable[str | Path | None] = (), outputs: Iterable[Path] = ()
) -> None:
    """Check early that a file can be written and is not a source or another output.

    Raises
    ------
    OptionError : if `path` is a URL or not a file, can't be created in its folder, or is a source
        or another output.
    """
    if str(path) == "-":
        raise OptionError(f"{option} -: can't be written to standard output; name a file.")
    check_is_no_output_address(path)
    advice = "create the folder, fix its permissions, or choose another one."
    with os_errors_as(OptionError, f"{option} {path}: can't write a file there", advice):
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or pipe"
            raise OptionError(f"{option} {path}: is {kind}; name a file.")
        tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
    check_not_read(option, path, sources)
    if os.path.realpath(path) in map(os.path.realpath, outputs):
        raise OptionError(f"{option} {path}: would overwrite another output; choose another file.")


def check_ending(option: str, path: Path, suffixes: Sequence[str]) -> None:
    """Raise OptionError if a file name doesn't end in one of the suffixes, such as ".csv"."""
    if path.suffix.lower() not in suffixes:
        names = join_words([path.stem + suffix for suffix in suffixes], last="or")
        raise OptionError(f"{option} {path}: name it {names}.")


def check_database(option: str, path: Path, sources: Iterable[str | Path | None]) -> None:
    """Check early that labels can be stored in a file; OptionError for extensions of tables."""
    if path.suffix.lower() in (".html", ".csv", ".xlsx", ".jsonl"):
        raise OptionError(f"{option} {path}: --page writes a database; name it {path.stem}.db.")
    check_target(option, path, sources)


def check_folder(
    option: str, folder: Path, names: Iterable[str], sources: Iterable[str | Path | None] = ()
) -> None:
    """Check early that files can be written into a folder, or that it can be created.

    Raises
    ------
    OptionError : if the folder is a URL or can't be created; see also `check_target`.
    """
    if folder.is_dir():
        for name in names:
            check_target(option, folder / name, sources)
        return
    check_is_no_output_address(folder)
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    failure = f"{option} {folder}: the folder can't be created"
    with os_errors_as(OptionError, failure, "choose another one."):
        tempfile.TemporaryFile(dir=nearest).close()
