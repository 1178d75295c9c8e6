"""A cluster of processes on this machine, for as long as it is needed."""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from slugline.scale.connecting import dask_distributed

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["closed", "local_cluster"]


@contextmanager
def local_cluster(n_workers: int) -> Iterator[Client]:
    """Start processes of one thread each, which share this machine's memory evenly.

    What they leave in files is in the system's folder for temporary files, and goes at the end.

    Parameters
    ----------
    n_workers : int

    Raises
    ------
    OptionError : if Dask is not installed.
    """
    distributed = dask_distributed()
    import dask

    # On a busy machine, a worker that comes in place of another one may take longer than the 15
    # seconds after which it would be forgotten.
    settings = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    with (
        tempfile.TemporaryDirectory(prefix="slugline-", ignore_cleanup_errors=True) as folder,
        dask.config.set({"temporary-directory": folder, **settings}),
    ):
        with _without_interrupts():
            cluster = distributed.LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                local_directory=folder,
                silence_logs=logging.CRITICAL,
            )
        with closed(cluster), distributed.Client(cluster, set_as_default=False) as client:
            yield client


@contextmanager
def closed(cluster: Any) -> Iterator[Any]:
    """Close a cluster in the end, at which Dask stumbles over workers that went twice."""
    try:
        yield cluster
    finally:
        with suppress(KeyError):
            cluster.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from threads and processes that begin here; this thread gets it afterwards.

    A terminal sends it to all processes. Only the client is to act on it, and workers go on until
    it ends them.
    """
    if sys.platform == "win32":
        yield
        return
    # Whoever starts the first process starts this as well, and has Ctrl-C let through then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
