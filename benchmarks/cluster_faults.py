"""Workers and schedulers killed at random moments: the model is that of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import clusters
import sets
from processes import HERE, table
from slugline import TopicClassifier

# Blocks of rows, and seconds that a run may take before it counts as hanging.
_N_BLOCKS, _MOST_SECONDS = 8, 300


def learn(name: str, client: Any, checkpoint: str | None = None, *, by_rows: bool = False) -> bytes:
    """Return the saved model of a set; workers may share out rows in any case."""
    train, _ = sets.load(name)
    size = -(-len(train.texts) // _N_BLOCKS)
    with clusters.sharing(by_rows=by_rows):
        learned = TopicClassifier(n_jobs=1).fit_stream(
            clusters.batches(train.texts, train.topics, size),
            client=client,
            checkpoint=checkpoint,
            rows_per_block=size,
        )
    return clusters.bytes_of(learned)


def kills(name: str, n_rounds: int, seed: int) -> str:
    """Kill one of two workers in each round.

    In every second one it doesn't come back; of every four, two share out rows and two topics.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    wanted, seconds = _undisturbed(name)
    n_same = n_in_time = 0
    for number in range(n_rounds):
        by_rows = number % 4 < 2
        with clusters.Cluster(2, nannies=number % 2 == 0) as cluster:
            ids = cluster.worker_ids()
            killing = _Later(rng.uniform(0, 0.95) * seconds[by_rows], rng.choice(ids))
            with cluster.client() as client:
                killing.start()
                same = learn(name, client, by_rows=by_rows) == wanted[by_rows]
                in_time = killing.is_done
                killing.end()
        n_same += same
        n_in_time += in_time
        moment = "while it learned" if in_time else "too late"
        print(
            f"round {number + 1}, {_way(by_rows)}: killed after {killing.after:.2f} s of",
            f"{seconds[by_rows]:.2f}, {moment}: {'same' if same else 'OTHER'} bytes",
            flush=True,
        )
    head = ["workers killed", "of these while it learned", "models of the same bytes"]
    return table([head, [str(n_rounds), str(n_in_time), str(n_same)]])


class _Later:
    """Kills a process after some seconds, unless that is no longer wanted."""

    def __init__(self, after: float, process_id: int) -> None:
        self.after, self._process_id, self.is_done = after, process_id, False
        self._timer = threading.Timer(after, self._kill)
        self._timer.daemon = True

    def start(self) -> None:
        self._timer.start()

    def end(self) -> None:
        self._timer.cancel()
        self._timer.join()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process_id, signal.SIGKILL)
            self.is_done = True


def _way(by_rows: bool) -> str:
    return "by rows" if by_rows else "by topics"


def _undisturbed(name: str) -> tuple[dict[bool, bytes], dict[bool, float]]:
    """Return the models of one machine, and about how long two workers take, by rows or not.

    Where rows are shared out, few of them make several groups, so that the models differ.
    """
    wanted, seconds = dict[bool, bytes](), {}
    with clusters.Cluster(2) as cluster, cluster.client() as client:
        learn(name, client)  # so that all has been imported there
        for by_rows in (True, False):
            wanted[by_rows] = learn(name, None, by_rows=by_rows)
            start = time.perf_counter()
            if learn(name, client, by_rows=by_rows) != wanted[by_rows]:
                raise SystemExit(f"{name}: two workers learn other bytes than one machine.")
            seconds[by_rows] = time.perf_counter() - start
            print(f"{name}, {_way(by_rows)}: {seconds[by_rows]:.2f} s undisturbed", flush=True)
    return wanted, seconds


def resumed(name: str, n_rounds: int, seed: int) -> str:
    """Kill the scheduler in each round, and go on from the checkpoint with a new cluster.

    In every second round, rows are shared out in any case.
    """
    rng = random.Random(seed)  # noqa: S311
    wanted, seconds = _undisturbed(name)
    n_same = n_broken = n_begun = 0
    for number in range(n_rounds):
        with tempfile.TemporaryDirectory() as folder:
            kept, out = Path(folder, "kept"), Path(folder, "model.slug")
            by_rows = number % 2 == 0
            after = rng.uniform(0.1, 0.95) * seconds[by_rows]
            job = (name, str(kept), str(out), _way(by_rows))
            with clusters.Cluster(2) as cluster:
                broken = _broken_off(cluster, job, after)
            n_broken += broken
            # What is there to go on from; otherwise it begins anew.
            n_begun += broken and (kept / "checkpoint.json").exists()
            if broken:
                with clusters.Cluster(2) as cluster:
                    process = _started(cluster, job)
                    process.communicate(timeout=_MOST_SECONDS)
            same = out.exists() and out.read_bytes() == wanted[by_rows]
        n_same += same
        print(
            f"round {number + 1}, {_way(by_rows)}: scheduler killed after {after:.2f} s:",
            f"{'broken off' if broken else 'too late'}, {'same' if same else 'OTHER'} bytes",
            flush=True,
        )
    head = ["schedulers killed", "jobs broken off", "of these with a checkpoint", "same bytes"]
    return table([head, [str(n_rounds), str(n_broken), str(n_begun), str(n_same)]])


def _started(cluster: clusters.Cluster, job: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start a process that learns, and says when it begins."""
    command = [sys.executable, str(HERE / "cluster_one.py"), "learn", cluster.address, *job]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _broken_off(cluster: clusters.Cluster, job: tuple[str, ...], after: float) -> bool:
    """Learn, and kill the scheduler after some seconds; return whether that was in time."""
    process = _started(cluster, job)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after)
    cluster.kill_scheduler()
    try:
        _, said = process.communicate(timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        print("the client was still waiting, and was killed", flush=True)
        return True
    if process.returncode:
        print(f"the client said: {said.strip().splitlines()[-1][:90]}", flush=True)
    return bool(process.returncode)


def learn_there(address: str, name: str, checkpoint: str, out: str, way: str) -> None:
    """Learn on a cluster with a checkpoint, in this process; save what was learned."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2)
        print("begun", flush=True)
        by_rows = way == _way(by_rows=True)
        Path(out).write_bytes(learn(name, client, checkpoint, by_rows=by_rows))
