"""Dask clusters: clients, worker checks, and local worker processes."""

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


# Timeout in seconds for the scheduler, and for the first worker.
_PATIENCE = 10
# Evaluated on each worker, since a worker without Slugline can't unpickle its functions.
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
            "clusters require the packages dask and distributed, which are not installed; "
            f"run: {install_command('scale')}"
        ) from error
    return distributed


@contextmanager
def connected(client: Client | str) -> Iterator[Client]:
    """Connect to a cluster through a client or its scheduler's address, and check its workers.

    A client passed by the caller stays open. Raises ClusterError if the cluster doesn't answer or
    is unsuitable.
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
    """Suppress logging, such as Dask's messages about cancelled jobs."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


def _check_answers(address: str) -> None:
    """Raise ClusterError unless a scheduler answers; without one, a client is slow to close."""
    from distributed.comm.core import connect
    from distributed.security import Security

    async def ask() -> None:
        arguments = Security().get_connection_args("client")
        comm = await connect(address, timeout=_PATIENCE, **arguments)
        comm.abort()

    try:
        # Use another thread because notebooks run an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, ask()).result()
    except (OSError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"in {_PATIENCE} seconds"
        raise ClusterError(
            f"no scheduler answers at {address} ({reason}); check the address, or start one with "
            "`dask scheduler`."
        ) from error


def check_cluster(client: Client) -> None:
    """Raise ClusterError unless workers exist and their versions match this process."""
    wait_for_worker(
        client,
        _PATIENCE,
        f"no worker connected to {_address(client)} within {_PATIENCE} seconds; start some with "
        f"`dask worker {_address(client)}`.",
    )
    # The scheduler also deserializes tasks.
    answers = {"the scheduler": client.run_on_scheduler(eval, _QUESTION)}
    # Ignore workers that end in the meantime.
    answers_by_worker = client.run(eval, _QUESTION, on_error="ignore")
    answers |= {f"worker {name}": versions for name, versions in answers_by_worker.items()}
    for name, versions in answers.items():
        _check_versions(name, versions)


def is_lost(client: Client, error: BaseException | None) -> bool:
    """Return True if an error concerns the connection to the scheduler."""
    from distributed.comm.core import CommClosedError

    if isinstance(error, SluglineError) or not isinstance(error, Exception):
        return False
    # Dask raises various errors for connections that it has closed itself.
    return isinstance(error, CommClosedError) or client.status != "running"


def wait_for_worker(client: Client, seconds: int, message: str) -> None:
    """Wait for a worker that is not paused.

    Raises
    ------
    ClusterError : if no worker connects within `seconds` (with `message`), or all workers are
        paused because their memory is full (with advice on memory).
    """
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        if client.nthreads():
            message = (
                f"all workers have paused for {seconds} seconds because their memory is full; give "
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
    """Start single-threaded worker processes on this machine that share its memory evenly.

    Removes temporary files at the end. Raises ClusterError if a process can't be started.
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
    """Close a cluster on exit, ignoring Dask's KeyError for workers removed twice."""
    try:
        yield cluster
    finally:
        with suppress(KeyError):
            cluster.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in threads and processes started in the block; deliver it here afterwards.

    A terminal sends Ctrl-C to all processes, but only the client should act on it. Workers run
    until the client stops them.
    """
    if sys.platform == "win32":
        yield
        return
    # Python starts the resource tracker with the first process, which unblocks Ctrl-C.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
