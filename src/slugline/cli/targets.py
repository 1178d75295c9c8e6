"""Files that commands write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from slugline.errors import OptionError

__all__ = ["check_apart", "check_mistakes", "check_not_read", "check_target"]


def check_apart(output: Path, report: Path, sources: Iterable[str | Path | None]) -> None:
    """Check that no file overwrites another."""
    sources = list(sources)
    for option, path in (("--output", output), ("--report", report)):
        check_not_read(option, path, sources)
    if os.path.realpath(output) == os.path.realpath(report):
        raise OptionError(
            f"the model and the report would both be written to {output}; "
            "name two files with --output and --report."
        )


def check_mistakes(path: Path | None, others: Iterable[str | Path | None]) -> None:
    """Check that mistakes, if requested, can be written, and overwrite no other file."""
    if path is not None:
        check_target("--mistakes", path)
        check_not_read("--mistakes", path, others)


def check_not_read(option: str, path: Path, sources: Iterable[str | Path | None]) -> None:
    """Check that a file to write is not one of those to read; OptionError if it is."""
    # Not `Path.resolve`, which raises another error if links go in a circle.
    if os.path.realpath(path) in {os.path.realpath(source) for source in sources if source}:
        raise OptionError(f"{option} {path}: would overwrite an input file; name another one.")


def check_target(option: str, path: Path) -> None:
    """Check, before the work, that a file can be written.

    Raises
    ------
    OptionError : if `path` is not a file, or none can be created in its folder.
    """
    if str(path) == "-":
        raise OptionError(
            f"{option} -: this is written to a file, not standard output; name a file."
        )
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or pipe"
            raise OptionError(f"{option} {path}: is {kind}; name a file.")
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
            pass
    except OSError as error:
        raise OptionError(
            f"{option} {path}: can't write a file there ({error.strerror or error}); "
            "create the folder, fix its permissions, or name another place."
        ) from error
