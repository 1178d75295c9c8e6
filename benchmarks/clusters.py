"""Clusters of processes on this machine that can be killed one by one, and what they learn from."""

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
from unittest import mock

import synthetic
from slugline import TopicClassifier
from slugline.learning.linear.learner import LinearLearner
from slugline.model.settings import FitSettings
from slugline.stream import engine
from slugline.stream.cluster import DaskEngine
from slugline.text.blocks import Block

# Texts of a file, and seconds for a scheduler or a worker to begin or to end.
_PER_FILE, _PATIENCE = 250_000, 60


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
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def kill_scheduler(self) -> None:
        """Kill the scheduler."""
        self._processes[0].kill()

    def worker_ids(self) -> list[int]:
        """Return the process ids of workers."""
        with self.client() as client:
            return sorted(client.run(os.getpid).values())

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Connect to the cluster, all workers of which have come."""
        from distributed import Client

        with Client(self.address, timeout=_PATIENCE, set_as_default=False) as client:
            client.wait_for_workers(self._n_workers, timeout=_PATIENCE)
            yield client

    def _start(self) -> None:
        file = Path(self._folder.name, "scheduler.json")
        self._run("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        for _ in range(10 * _PATIENCE):
            with contextlib.suppress(OSError, ValueError, KeyError):
                self.address = json.loads(file.read_text(encoding="utf-8"))["address"]
                break
            time.sleep(0.1)
        else:
            raise SystemExit("the scheduler didn't start; try `dask scheduler` by hand.")
        nanny = "--nanny" if self._nannies else "--no-nanny"
        own = ("--nthreads", "1", nanny, "--local-directory", self._folder.name)
        for _ in range(self._n_workers):
            self._run("worker", self.address, "--host", "127.0.0.1", *own)
        with self.client():
            pass

    def _run(self, what: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard"]
        self._processes.append(
            subprocess.Popen(
                [*command, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )


@contextlib.contextmanager
def threads(n_workers: int) -> Iterator[Any]:
    """Have a cluster whose workers are threads of this process, which is quick to start."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=False,
            memory_limit=None,  # all would count what the process has, and pause
            dashboard_address=":0",
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextlib.contextmanager
def sharing(*, by_rows: bool) -> Iterator[None]:
    """Have rows shared out to workers, even if they are few and each could hold all of them.

    Parameters
    ----------
    by_rows : bool
        Otherwise, fit_stream chooses.
    """
    if not by_rows:
        yield
        return
    with (
        mock.patch.object(DaskEngine, "apart", return_value=None),
        mock.patch.object(engine, "_LEAST_PER_COLUMN", 0),
    ):
        yield


def batches(
    texts: Sequence[str], topics: Sequence[str], size: int
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield texts and topics, so many at a time."""
    for first in range(0, len(texts), size):
        yield list(texts[first : first + size]), list(topics[first : first + size])


def bytes_of(classifier: TopicClassifier) -> bytes:
    """Return what a saved model holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.slug")
        classifier.save(path)
        return path.read_bytes()


def text_files(folder: Path, n: int, n_topics: int) -> list[str]:
    """Write synthetic texts to JSONL files, unless they are there; return the files.

    Fewer texts are the first of more, so that their files are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    firsts = range(0, n, _PER_FILE)
    paths = {
        first: folder / f"{n_topics}-{first}-{min(n - first, _PER_FILE)}.jsonl" for first in firsts
    }
    if not all(path.exists() for path in paths.values()):
        source = synthetic.texts(n, n_topics, seed=0)
        for first, path in paths.items():
            part = path.with_suffix(".part")
            with part.open("w", encoding="utf-8") as file:
                for _ in range(min(n - first, _PER_FILE)):
                    text, topic = next(source)  # letters and spaces
                    file.write(f'{{"text":"{text}","topic":"{topic}"}}\n')
            part.replace(path)
    return [str(path) for path in paths.values()]


def families() -> list[Block]:
    """Return the families of terms that are counted by default."""
    settings = FitSettings(
        learner=LinearLearner(),
        blocks=None,
        class_weight=None,
        tune=False,
        n_jobs=1,
        random_state=0,
    )
    return settings.batch_blocks()
