"""The command line: each command parses its arguments, calls the library, and prints.

Data goes to standard output, messages and progress to standard error. Exit status 0: done; 1: the
job failed; 2: wrong usage; 130: interrupted.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NoReturn, TextIO

__all__ = ["main"]


def main() -> None:
    """Run `slugline` and exit with its status."""
    _open_closed_streams()
    try:
        gc.disable()  # imports create almost no garbage
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Some imports swallow KeyboardInterrupt or print its traceback.
            signal.signal(signal.SIGINT, _exit_at_once)
        _run()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        _end_imports()


def _end_imports() -> None:
    """Undo the settings for imports: re-enable garbage collection and KeyboardInterrupt."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    if signal.getsignal(signal.SIGINT) is _exit_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_at_once(*_: object) -> None:
    """Exit on Ctrl-C before a command has started."""
    os._exit(130)


def _run() -> None:
    import warnings

    import click

    from slugline.cli.app import make_app
    from slugline.cli.output import COMMAND, name_flags, show_warning
    from slugline.errors import Message, OptionError, SluglineError

    app = make_app(_end_imports)
    if "_SLUGLINE_COMPLETE" in os.environ:  # the shell requests completions
        app.main(prog_name="slugline")
    try:
        with app.make_context("slugline", sys.argv[1:]) as context, warnings.catch_warnings():
            warnings.showwarning = show_warning
            app.invoke(context)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "slugline"
        message = _on_one_line(_reword_number_error(error.format_message()))
        _fail(f"{message}\nTry '{command} -h' for help.", 2)
    except SluglineError as error:
        # Only `invoke` raises it, so `context` is bound.
        message = name_flags(Message(*error.parts), context.meta[COMMAND])
        _fail(_on_one_line(message), 2 if isinstance(error, OptionError) else 1)
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        _fail(f"out of memory{reason}; use fewer documents, or `slugline train --stream`.")
    except OSError as error:
        # The library converts errors of files that it opens, so an OSError without a file name
        # comes from standard output.
        if error.filename is not None:
            raise
        if isinstance(error, BrokenPipeError):
            _end_unread(error)
        _discard(sys.stdout)
        _fail(f"can't write the output ({error.strerror}); free disk space, or redirect it.")
    sys.exit(0)


def _end_unread(error: BrokenPipeError) -> NoReturn:
    """Exit silently if the output pipe is closed, such as by `| head`."""
    unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
    if not unread:
        raise error
    for stream in unread:
        _discard(stream)
    sys.exit(0)


def _is_unread(stream: TextIO) -> bool:
    """True if a stream is a pipe without a reader."""
    import select

    if not hasattr(select, "poll"):  # on Windows
        return True
    poll = select.poll()
    poll.register(stream, 0)  # errors are always reported
    return bool(poll.poll(0))


def _discard(stream: TextIO) -> None:
    """Discard a stream's buffered output, which would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_closed_streams() -> None:
    """Open the null device for standard streams closed by the caller (`<&-`, `>&-`)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _reword_number_error(message: str) -> str:
    """Reword click's messages about numbers."""
    import re

    message = re.sub(r" is not a valid integer( range)?\.", " is not a whole number.", message)
    return re.sub(r" is not a valid float( range)?\.", " is not a number.", message)


def _on_one_line(message: str) -> str:
    """Escape the line breaks in a message."""
    from slugline.base.wording import printable

    return printable(message, keep="")


def _fail(message: str, status: int = 1) -> NoReturn:
    from slugline.base.wording import printable

    print(f"slugline: error: {printable(message)}", file=sys.stderr)  # noqa: T201
    sys.exit(status)
