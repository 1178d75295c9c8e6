"""Dask clusters: clients, checks of workers, and processes on this machine."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline import _version
from slugline.base.lazy import install_command
from slugline.errors import ClusterError, OptionError, Parameter, SluglineError

if TYPE_CHECKING:
    from distributed import Client


# Number of seconds to wait for a scheduler, and for the first worker.
_PATIENCE = 10
# Evaluated by each worker, since functions of Slugline can't be sent to a worker that lacks it.
_QUESTION = (
    "{name: getattr(__import__(name), '__version__', 'of no version') "
    "if __import__('importlib.util').util.find_spec(name) else None "
    "for name in ('slugline', 'numpy')}"
)


def dask_distributed() -> Any:
    """Return the package `distributed`; raise ClusterError if it is not installed."""
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            "clusters need the packages dask and distributed, which are not installed; "
            f"type: {install_command('scale')}"
        ) from error
    return distributed


@contextmanager
def connected(client: Client | str) -> Iterator[Client]:
    """Connect to a cluster by the address of its scheduler, or a client, and check it.

    A client that is passed stays open. ClusterError if the cluster doesn't answer, or can't do
    the work.
    """
    Client = dask_distributed().Client
    if isinstance(client, str):
        _check_answers(client)
        with Client(client, timeout=_PATIENCE, set_as_default=False) as connected_client:
            check_cluster(connected_client)
            yield connected_client
        return
    if not isinstance(client, Client) or client.asynchronous:
        kind = (
            "an asynchronous client"
            if isinstance(client, Client)
            else f"of type {type(client).__name__}"
        )
        raise OptionError(
            Parameter("client"),
            f" is {kind}; give a distributed.Client, or the address of a scheduler such as "
            "'tcp://10.0.0.1:8786'.",
        )
    check_cluster(client)
    yield client


@contextmanager
def unlogged() -> Iterator[None]:
    """Suppress logging: Dask's messages about a cancelled job are of no use."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


def _check_answers(address: str) -> None:
    """Raise ClusterError unless a scheduler answers: a client without one takes long to close."""
    from distributed.comm.core import connect
    from distributed.security import Security

    async def ask() -> None:
        arguments = Security().get_connection_args("client")
        comm = await connect(address, timeout=_PATIENCE, **arguments)
        comm.abort()

    try:
        # In a thread, since notebooks run an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, ask()).result()
    except (OSError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"in {_PATIENCE} seconds"
        raise ClusterError(
            f"no scheduler answers at {address} ({reason}); check the address, or start one with "
            "`dask scheduler`."
        ) from error


def check_cluster(client: Client) -> None:
    """Raise ClusterError unless there are workers, all with the versions of this process."""
    wait_for_worker(
        client,
        _PATIENCE,
        f"no worker connected to {_address(client)} within {_PATIENCE} seconds; start some with "
        f"`dask worker {_address(client)}`.",
    )
    # The scheduler deserializes tasks, too.
    answers = {"the scheduler": client.run_on_scheduler(eval, _QUESTION)}
    # A worker that ends in the meantime is ignored.
    answers_by_worker = client.run(eval, _QUESTION, on_error="ignore")
    answers |= {f"worker {name}": versions for name, versions in answers_by_worker.items()}
    for name, versions in answers.items():
        _check_versions(name, versions)


def is_lost(client: Client, error: BaseException | None) -> bool:
    """Whether an error is about the connection to the scheduler."""
    from distributed.comm.core import CommClosedError

    if isinstance(error, SluglineError) or not isinstance(error, Exception):
        return False
    # Dask raises various errors for a connection that it has closed itself.
    return isinstance(error, CommClosedError) or client.status != "running"


def wait_for_worker(client: Client, seconds: int, message: str) -> None:
    """Wait until there is a worker that has not paused.

    Raises
    ------
    ClusterError : with `message` if there is no worker within `seconds`; or with advice on memory
        if all workers have paused, as they do when their memory is full.
    """
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        if client.nthreads():
            message = (
                f"all workers have paused for {seconds} seconds, as their memory is full; give "
                "each worker more memory (`--memory-limit` of `dask worker`), or start more "
                "workers."
            )
        raise ClusterError(message) from error


def _check_versions(name: str, answer: dict[str, str | None]) -> None:
    version_here = _version.__version__
    if answer["slugline"] is None or answer["numpy"] is None:
        raise ClusterError(
            f"{name} lacks Slugline; install version {version_here} there, from a clone: "
            'pip install ".[scale]", and restart the worker.'
        )
    if answer["slugline"] != version_here:
        raise ClusterError(
            f"{name} has Slugline {answer['slugline']}, but this process has {version_here}; "
            "install one version everywhere."
        )
    if answer["numpy"].partition(".")[0] != np.__version__.partition(".")[0]:
        raise ClusterError(
            f"{name} has NumPy {answer['numpy']}, but this process has {np.__version__}; "
            "install one version everywhere."
        )


def _address(client: Any) -> str:
    return str(client.scheduler.address)


# Processes on this machine ------------------------------------------------------------------------


@contextmanager
def local_cluster(n_workers: int) -> Iterator[Client]:
    """Start workers on this machine: processes of one thread each, which share its memory evenly.

    Temporary files are removed at the end. Raises ClusterError if a process can't be started.
    """
    distributed = dask_distributed()
    import dask

    # On a busy machine, a replacement worker may take longer than the default of 15 seconds.
    settings = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    with (
        tempfile.TemporaryDirectory(prefix="slugline-", ignore_cleanup_errors=True) as folder,
        dask.config.set({"temporary-directory": folder, **settings}),
    ):
        try:
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
        except (RuntimeError, OSError) as error:  # such as "Nanny failed to start"
            raise ClusterError(
                f"a worker ended or failed while starting ({error}); if nobody stopped it, give "
                "the machine more memory or start fewer workers, and try again."
            ) from error
        with closed(cluster), distributed.Client(cluster, set_as_default=False) as client:
            yield client


@contextmanager
def closed(cluster: Any) -> Iterator[Any]:
    """Close a cluster at the end; ignore Dask's KeyError for workers that are removed twice."""
    try:
        yield cluster
    finally:
        with suppress(KeyError):
            cluster.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in threads and processes started in the block; this thread gets it afterwards.

    A terminal sends Ctrl-C to all processes. Only the client should act on it; workers continue
    until the client ends them.
    """
    if sys.platform == "win32":
        yield
        return
    # With the first process, Python starts the resource tracker, which unblocks Ctrl-C.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
