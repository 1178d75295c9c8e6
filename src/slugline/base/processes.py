"""Local worker processes that end with their parent process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from multiprocessing.connection import Connection


@contextlib.contextmanager
def worker_processes(
    n_workers: int, environment: Mapping[str, str] | None = None, *, silent: bool = False
) -> Iterator[Executor]:
    """Start worker processes; on exit, kill them and their children immediately.

    Workers don't import the main script, so it needs no `if __name__ == "__main__":`. Ctrl-C
    reaches only this process.

    Parameters
    ----------
    n_workers : int
    environment : mapping, optional
        Environment variables to change in the workers.
    silent : bool, default False
        Discard the output of workers.

    Yields
    ------
    Executor; its futures raise `concurrent.futures.BrokenExecutor` if a worker dies.
    """
    from joblib.externals.loky import ProcessPoolExecutor  # takes half a second

    # Without psutil and pgrep, loky can kill only the workers; `_end_with` kills their children.
    warnings.filterwarnings("ignore", "Failed to kill subprocesses", UserWarning)
    # A worker with growing memory is replaced without losing its task.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    end_reader, end_writer = multiprocessing.Pipe(duplex=False)
    with end_reader, end_writer:
        executor = ProcessPoolExecutor(
            n_workers,
            initializer=_begin,
            initargs=(end_reader, silent),
            env=dict(environment or {}),
        )
        try:
            yield executor
        finally:
            end_writer.close()
            executor.shutdown(kill_workers=True)


def _begin(end: Connection, silent: bool) -> None:
    """Initialize a worker that ends when the other end of the pipe is closed."""
    if silent:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
    # Ctrl-C in a terminal interrupts all processes of its session.
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        os.setsid()
    threading.Thread(target=_end_with, args=(end,), daemon=True).start()


def _end_with(end: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        end.recv()
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
