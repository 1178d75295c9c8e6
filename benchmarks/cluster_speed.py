"""Seconds and memory of learning in passes: on one machine, and with workers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import clusters
import processes
import watched
from processes import table
from slugline import TopicClassifier
from slugline.stream.counting import TermStatistics, count_batch
from slugline.stream.source import DocumentSource

#: Topics of the synthetic texts.
N_TOPICS = 100
# Passes of both descents for a block of topics, about, as far as `large` tells of whole jobs.
_PASSES_PER_BLOCK = 41
# Tasks, and weights that are sent, to find out what that costs.
_N_TASKS, _MOST_WEIGHTS = 2000, 1 << 25


def passes(
    folder: Path,
    n_texts: int,
    *,
    workers: Sequence[int],
    n_topic_blocks: int,
    by_rows: bool,
    tolerance: float,
    costs: Path | None,
) -> str:
    """Time the passes for some blocks of topics on one machine, and with workers.

    Parameters
    ----------
    folder : Path
        Of the texts.
    n_texts : int
    workers : sequence of int
        How many there are in turn.
    n_topic_blocks : int
    by_rows : bool
        Whether rows are shared out to workers in any case.
    tolerance : float
        A larger one than by default ends sooner; what a pass takes is the same.
    costs : Path, optional
        Where to write the costs, for `scale_simulation.py`.
    """
    files = clusters.text_files(folder, n_texts, N_TOPICS)
    rows, found = [], {}
    for n_workers in (0, *workers):
        with _client(n_workers) as client:
            one = watched.watch(
                files, n_topic_blocks, client=client, by_rows=by_rows, tolerance=tolerance
            )
            sent = _sent(client) if n_workers else {}
        found[n_workers] = one
        place = f"{n_workers} workers" if n_workers else "one machine, one thread"
        rows.append([place, f"{one.reading:.1f}", f"{one.passes:.1f}", str(one.n_passes)])
        rows[-1] += [
            f"{one.a_pass:.2f}",
            f"{found[min(workers[0], n_workers)].passes / one.passes:.2f}",
        ]
        print(*rows[-1], flush=True)
    head = ["", "reading, s", "passes, s", "passes", "a pass, s", "one worker's time by this"]
    measured = costs_of(found[0], {n: found[n].passes for n in workers}, by_rows=by_rows)
    measured |= {"topic_blocks": n_topic_blocks} | _told(files[0]) | sent
    if costs is not None:
        costs.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    about = found[0]
    said = (
        f"{about.n_texts:,} texts, {about.n_columns:,} columns, {about.n_topics} topics in "
        f"{about.n_blocks} blocks, of which {n_topic_blocks} were learned; "
        f"{'rows' if by_rows else 'topics'} shared out; tolerance {tolerance:g}"
    )
    return f"{said}\n\n{table([head, *rows])}\n\ncosts: {json.dumps(measured)}"


def costs_of(one: watched.Watched, seconds: dict[int, float], *, by_rows: bool) -> dict[str, Any]:
    """Return what texts, entries and weights cost, as `scale_simulation.Costs` has them."""
    dense = one.n_columns * one.width
    n_descents = one.n_passes
    return {
        "texts": one.n_texts,
        "topics": one.n_topics,
        "columns": one.n_columns,
        "width": one.width,
        "entries_per_text": one.n_entries / one.n_texts,
        "bytes_per_entry": one.n_bytes / one.n_entries,
        "seconds_per_text_read": one.reading / one.n_texts,
        "seconds_per_entry_and_topic": one.in_engine / (n_descents * one.n_entries * one.width),
        "seconds_per_weight": (one.passes - one.in_engine) / (n_descents * dense),
        "passes": one.n_passes,
        "by_rows": by_rows,
        "measured": {"0": one.passes} | {str(n): value for n, value in seconds.items()},
    }


def _sent(client: Any) -> dict[str, float]:
    """Return what tasks cost the scheduler, and how fast arrays travel, there and back."""
    start = time.perf_counter()
    client.gather(client.map(abs, range(_N_TASKS), pure=False))
    a_task = (time.perf_counter() - start) / _N_TASKS
    array = np.ones(_MOST_WEIGHTS, dtype=np.float32)
    start = time.perf_counter()
    client.gather(client.scatter([array], direct=False, hash=False))
    seconds = time.perf_counter() - start
    return {"seconds_per_task": a_task, "loopback": 4 * array.nbytes / seconds}  # four hops


def _told(file: str) -> dict[str, float]:
    """Return what it costs the client that a block of texts tells it which terms there are."""
    families = clusters.families()
    batch = next(next(iter(DocumentSource(file).parts())).batches())
    _, counted = count_batch(batch, families)
    sent = pickle.dumps(counted, protocol=5)
    terms = TermStatistics(families)
    terms.add(counted.found)
    start = time.perf_counter()
    terms.add(pickle.loads(sent).found)  # of terms that are known, as most are  # noqa: S301
    return {
        "seconds_per_block_told": time.perf_counter() - start,
        "bytes_per_block_told": len(sent),
        "most_columns": sum(family.n_buckets or 1 for family in families),
    }


@contextlib.contextmanager
def _client(n_workers: int) -> Iterator[Any]:
    if not n_workers:
        yield None
        return
    with clusters.Cluster(n_workers) as cluster, cluster.client() as client:
        yield client


def large(folder: Path, n_texts: int, n_small: int, *, n_steps: int) -> str:
    """Measure memory and time of many texts on one machine, and of fewer in the same way.

    The rows are read, and the last topics are taken some Newton steps, with as much memory in use
    for all topics before them as they would have left.
    """
    rows, found = [], []
    for n in (n_small, n_texts):
        files = clusters.text_files(folder, n, N_TOPICS)
        listed = folder / f"files-{n}.json"
        listed.write_text(json.dumps({"files": files, "n_steps": n_steps}), encoding="utf-8")
        one = processes.run("cluster_one.py", "watch", str(listed))
        found.append(one)
        a_pass = one["passes"] / one["n_passes"]
        rows.append([f"{n:,}", f"{one['reading']:.1f}", f"{a_pass:.2f}", f"{one['peak_mb']:,.0f}"])
        rows[-1] += [f"{one['n_columns']:,}", str(one["n_blocks"]), f"{one['n_bytes'] / 1e6:,.0f}"]
        one["whole"] = one["reading"] + _PASSES_PER_BLOCK * one["n_blocks"] * a_pass
        rows[-1].append(f"{one['whole'] / 60:.1f}")
        print(*rows[-1], flush=True)
    less, more = found
    ratios = ["ratio", f"{more['reading'] / less['reading']:.1f}", ""]
    ratios += [f"{more['peak_mb'] / less['peak_mb']:.1f}", "", "", ""]
    ratios.append(f"{more['whole'] / less['whole']:.1f}")
    head = ["texts", "reading, s", "a pass for a block of topics, s", "peak memory, MB"]
    head += ["columns", "blocks of topics", "rows, MB"]
    head.append(f"all, with {_PASSES_PER_BLOCK} passes for each block, min")
    return table([head, *rows, ratios])


def watch_here(listed: Path) -> dict[str, Any]:
    """Learn from listed files on all cores as `large` says; return what was measured."""
    given = json.loads(listed.read_text(encoding="utf-8"))
    steps = 1 + given["n_steps"]
    return dataclasses.asdict(watched.watch(given["files"], None, n_jobs=None, n_steps=steps))


def small(folder: Path, n_texts: int, n_rounds: int) -> str:
    """Time whole fits of few texts: on one machine's two threads, and with two workers."""
    files = clusters.text_files(folder, n_texts, N_TOPICS)
    seconds: dict[str, list[float]] = {"one machine": [], "cluster": []}
    with clusters.Cluster(2) as cluster, cluster.client() as client:
        for number in range(n_rounds):
            for place, own in (("one machine", None), ("cluster", client)):
                start = time.perf_counter()
                TopicClassifier(n_jobs=2).fit_stream(files, client=own)
                seconds[place].append(time.perf_counter() - start)
                print(f"round {number + 1}, {place}: {seconds[place][-1]:.1f} s", flush=True)
    here, there = (statistics.median(seconds[place]) for place in ("one machine", "cluster"))
    head = ["texts", "one machine, 2 threads, s", "2 workers, s", "ratio"]
    return table([head, [f"{n_texts:,}", f"{here:.1f}", f"{there:.1f}", f"{there / here:.2f}"]])
