"""The command line: verbs, each of which parses, calls the library, and prints.

Data goes to standard output, talk and progress to standard error. Exit status 0: done; 1: the job
failed; 2: it was asked wrongly; 130: interrupted.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run `slugline`."""
    from slugline.cli.app import app
    from slugline.errors import OptionError, SluglineError

    try:
        app(prog_name="slugline")
    except SluglineError as error:
        print(f"slugline: error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, OptionError) else 1)
    except KeyboardInterrupt:
        print("slugline: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except BrokenPipeError:
        # The reader has had enough, as `head` does. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
