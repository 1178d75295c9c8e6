"""The command line: verbs, each of which parses, calls the library, and prints.

Data goes to standard output, messages and progress to standard error. Exit status 0: done; 1: the
job failed; 2: wrong usage; 130: interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> None:
    """Run `slugline`, and end the process with its exit status."""
    _open_closed_streams()
    try:
        _run()
    except KeyboardInterrupt:  # while commands are still being imported
        sys.exit(130)


def _run() -> None:
    from slugline.cli.app import make_app
    from slugline.cli.output import name_flags
    from slugline.errors import OptionError, SluglineError

    # Typer handles interrupts, and readers that stop early, as `head` does.
    try:
        make_app(sys.argv[1:])(prog_name="slugline")
    except SluglineError as error:
        _fail(name_flags(str(error)), 2 if isinstance(error, OptionError) else 1)
    except MemoryError as error:
        _fail(
            f"the memory is full ({error}); give less at a time, keep fewer words with "
            "--num-words, or narrow --hidden."
        )
    except OSError as error:
        # The library has its own errors for files that it opens: this is standard output.
        if error.filename is not None:
            raise
        # Writing the rest would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"the output can't be written ({error.strerror}); free space, or send it elsewhere.")


def _open_closed_streams() -> None:
    """Open the null device in place of streams that the caller has closed (`<&-`, `>&-`)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _fail(message: str, status: int = 1) -> NoReturn:
    from slugline.base.words import printable

    print(f"slugline: error: {printable(message)}", file=sys.stderr)  # noqa: T201
    sys.exit(status)
