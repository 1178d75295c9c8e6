"""Files that commands write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from slugline.errors import OptionError

__all__ = ["check_apart", "check_mistakes", "check_not_read", "check_target"]


def check_apart(output: Path, report: Path, sources: Iterable[str | Path | None]) -> None:
    """See to it that no file overwrites another one."""
    sources = list(sources)
    for option, path in (("--output", output), ("--report", report)):
        check_not_read(option, path, sources)
    if os.path.realpath(output) == os.path.realpath(report):
        raise OptionError(
            f"model and report would both be written to {output}; "
            "name two files with --output and --report."
        )


def check_mistakes(path: Path | None, others: Iterable[str | Path | None]) -> None:
    """See to it that mistakes, if they are wanted, can be written, and over no other file."""
    if path is not None:
        check_target("--mistakes", path)
        check_not_read("--mistakes", path, others)


def check_not_read(option: str, path: Path, sources: Iterable[str | Path | None]) -> None:
    """See to it that a file to be written is none of those to be read; OptionError if it is."""
    # Not `Path.resolve`, which raises an error of its own where links go in a circle.
    if os.path.realpath(path) in {os.path.realpath(source) for source in sources if source}:
        raise OptionError(f"{option} {path}: would overwrite a file to be read; name another one.")


def check_target(option: str, path: Path) -> None:
    """Find out before the work, rather than after it, that a file can't be written.

    Raises
    ------
    OptionError : if `path` is no file, or no file can be made in its folder.
    """
    if str(path) == "-":
        raise OptionError(f"{option} -: this goes to a file, not to standard output; name one.")
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or pipe"
            raise OptionError(f"{option} {path}: is {kind}; name a file.")
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
            pass
    except OSError as error:
        raise OptionError(
            f"{option} {path}: no file can be written there ({error.strerror or error}); "
            "make the folder, mend its rights, or name another place."
        ) from error
