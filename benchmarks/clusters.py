"""Dask clusters of this machine, whose processes can be killed, and batches to train on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slugline import TopicClassifier

# Seconds for a scheduler or a worker to start or to end.
_TIMEOUT = 60


class Cluster:
    """A scheduler of Dask and workers of one thread, each started by its command.

    Parameters
    ----------
    n_workers : int
    nannies : bool, default True
        Whether workers that die are replaced.
    """

    def __init__(self, n_workers: int, *, nannies: bool = True) -> None:
        self._n_workers, self._nannies = n_workers, nannies
        self._processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> Cluster:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def worker_ids(self) -> list[int]:
        """Return the process ids of workers."""
        with self.client() as client:
            return sorted(client.run(os.getpid).values())

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Connect to the cluster once all workers have connected."""
        from distributed import Client

        with Client(self.address, timeout=_TIMEOUT, set_as_default=False) as client:
            client.wait_for_workers(self._n_workers, timeout=_TIMEOUT)
            yield client

    def _start(self) -> None:
        file = Path(self._folder.name, "scheduler.json")
        self._run("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        for _ in range(10 * _TIMEOUT):
            with contextlib.suppress(OSError, ValueError, KeyError):
                self.address = json.loads(file.read_text(encoding="utf-8"))["address"]
                break
            time.sleep(0.1)
        else:
            raise SystemExit("the scheduler didn't start; try `dask scheduler` by hand.")
        nanny = "--nanny" if self._nannies else "--no-nanny"
        options = ("--nthreads", "1", nanny, "--local-directory", self._folder.name)
        for _ in range(self._n_workers):
            self._run("worker", self.address, "--host", "127.0.0.1", *options)
        with self.client():
            pass

    def _run(self, program: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--no-dashboard"]
        self._processes.append(
            subprocess.Popen(
                [*command, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )


@contextlib.contextmanager
def local_cluster(n_workers: int, *, processes: bool = True) -> Iterator[Any]:
    """Start a cluster of workers with one thread each, and yield its client.

    Workers that are threads of this process start quickly.
    """
    from distributed import Client, LocalCluster

    # Threads would each count what the process has, and pause.
    options: dict[str, Any] = {} if processes else {"memory_limit": None}
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=processes,
            host="127.0.0.1" if processes else None,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            **options,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def split_batches(
    texts: Sequence[str], topics: Sequence[str], size: int
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield `size` texts and topics at a time."""
    for first in range(0, len(texts), size):
        yield list(texts[first : first + size]), list(topics[first : first + size])


def to_bytes(classifier: TopicClassifier) -> bytes:
    """Return the bytes of the saved model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.slug")
        classifier.save(path)
        return path.read_bytes()
