"""Many files answered on one worker and on two: processes of this machine, and a Dask cluster.

Rounds take turns, so that what else the machine does hits both; medians are compared. On a machine
that does other things as well, see the processor's seconds too: two workers that need no more of it
than one does take half the time where two cores are free.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import synthetic
from processes import table
from slugline import TopicClassifier
from slugline.prediction.job import predict_files
from slugline.prediction.task import PredictOptions

_N_TOPICS = 100
_N_LEARNED = 50_000


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=["jsonl", "parquet"])
    parser.add_argument("--cluster", action="store_true", help="on a Dask cluster as well")
    how = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _make(place, how.texts, how.files)
        rows = []
        for form in how.formats:
            if form != "jsonl":  # by the way that is measured
                predict_files(
                    place / "model.slug", [place / "jsonl/*"], place / form, PredictOptions(to=form)
                )
                (place / form / "_slugline.jsonl").unlink()
            rows.append([f"{form}, processes", *_row(_by_processes(place, form, how.rounds))])
            print(*rows[-1], flush=True)
            if how.cluster:
                rows.append([f"{form}, cluster", *_row(_by_cluster(place, form, how.rounds))])
                print(*rows[-1], flush=True)
        head = ["", "1 worker, s", "2 workers, s", "ratio", "processor, s", "of 2 workers, s"]
        print(table([head, *rows]))


def _make(place: Path, n_texts: int, n_files: int) -> None:
    """Write a model, and files of texts."""
    learned = list(synthetic.texts(_N_LEARNED, _N_TOPICS, seed=1))
    texts, topics = zip(*learned, strict=True)
    TopicClassifier().fit(list(texts), list(topics)).save(place / "model.slug")
    (place / "jsonl").mkdir()
    source = synthetic.texts(n_texts, _N_TOPICS, seed=0)
    n_each = -(-n_texts // n_files)
    for number in range(n_files):
        with (place / f"jsonl/{number:03d}.jsonl").open("w") as file:
            for _, (text, topic) in zip(range(n_each), source, strict=False):
                file.write(json.dumps({"text": text, "own": topic}) + "\n")


Seconds = dict[int, list[tuple[float, float]]]


def _by_processes(place: Path, form: str, n_rounds: int) -> Seconds:
    """Return the seconds that the command takes, by the clock and of processors.

    Start and end of worker processes count.
    """
    seconds: Seconds = {1: [], 2: []}
    for n_workers in [1, 2] * n_rounds:
        out = place / "out"
        shutil.rmtree(out, ignore_errors=True)
        command = [
            *(sys.executable, "-m", "slugline", "predict", str(place / "model.slug")),
            *(f"{place}/{form}/*", "-o", f"{out}/", "--workers", str(n_workers)),
        ]
        before = _processor_seconds()
        said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        words = said.rpartition("rows in ")[2].split()
        own = _processor_seconds() - before
        seconds[n_workers].append((float(words[0].replace(",", "")), own))
    return seconds


def _by_cluster(place: Path, form: str, n_rounds: int) -> Seconds:
    """Return the seconds that a cluster takes, its start aside; of processors with its start."""
    seconds: Seconds = {1: [], 2: []}
    for n_workers in [1, 2] * n_rounds:
        out = place / "out"
        shutil.rmtree(out, ignore_errors=True)
        before = _processor_seconds()
        with _cluster(n_workers) as client:
            done = predict_files(place / "model.slug", [f"{place}/{form}/*"], out, client=client)
        seconds[n_workers].append((done.seconds, _processor_seconds() - before))
    return seconds


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _cluster(n_workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _row(seconds: Seconds) -> list[str]:
    (one, own_one), (two, own_two) = (
        (statistics.median(kind) for kind in zip(*seconds[n], strict=True)) for n in (1, 2)
    )
    return [f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}", f"{own_one:.1f}", f"{own_two:.1f}"]


if __name__ == "__main__":
    main()
