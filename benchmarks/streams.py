"""Training from streams: time and memory, on one machine and with workers."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import clusters
from data import synthetic_files
from measure import progress, run_child, table
from slugline import TopicClassifier
from slugline.base.progress import SilentProgress
from slugline.base.wording import counted

N_TOPICS = 100


@contextlib.contextmanager
def _text_folder(folder: str | None) -> Iterator[Path]:
    """Yield the folder for synthetic texts, or a temporary one."""
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(folder or temporary)


@contextlib.contextmanager
def _client(n_workers: int) -> Iterator[Any]:
    if not n_workers:
        yield None
        return
    with clusters.Cluster(n_workers) as cluster, cluster.client() as client:
        yield client


def whole(
    texts: Sequence[int] = (1_000_000, 10_000_000),
    workers: Sequence[int] = (2,),
    folder: str | None = None,
) -> str:
    """Time and memory of a whole fit, on one machine with a thread for each core, and with workers.

    Memory is that of the process that learns. With workers, only the fewest texts are learned.
    """
    rows = []
    with _text_folder(folder) as path:
        jobs = [(0, n) for n in texts] + [(n_workers, min(texts)) for n_workers in workers]
        for n_workers, n in jobs:
            files = synthetic_files(path, n, N_TOPICS)
            job = path / f"whole-{n}-{n_workers}.json"
            job.write_text(json.dumps({"files": files, "workers": n_workers}), encoding="utf-8")
            metrics = run_child("streams", "measure_whole", str(job))
            place = counted(n_workers, "worker") if n_workers else "one machine"
            cells = [f"{n:,}", place, f"{metrics['reading'] / 60:.1f}"]
            cells += [f"{metrics['total'] / 60:.1f}", f"{metrics['peak_mb']:,.0f}"]
            rows.append([*cells, f"{metrics['accuracy']:.4f}"])
            progress(*rows[-1])
    header = ["texts", "", "reading, min", "all, min", "peak memory, MB", "held-out accuracy"]
    return table(header, rows)


class _Reading(SilentProgress):
    """Records when reading ends."""

    seconds = 0.0

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def update(self, step: str, *_: Any) -> None:
        if step == "reading":
            self.seconds = time.perf_counter() - self._started


def measure_whole(path: str) -> dict[str, Any]:
    """Train from the files of a job, and return metrics."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    with _client(job["workers"]) as client:
        started, reading = time.perf_counter(), _Reading()
        classifier = TopicClassifier(n_jobs=None)
        classifier.fit_stream(job["files"], client=client, progress=reading)
        total = time.perf_counter() - started
    stream = classifier.fitted_.stream
    assert stream is not None
    return {"reading": reading.seconds, "total": total, "accuracy": stream.accuracy}


BENCHMARKS = {"whole": whole}
QUICK = {"whole": {"texts": (1000, 2000), "workers": (1,)}}
