"""Simulates training from streams on machines that we don't have, from measured costs.

`python benchmarks/run.py streams passes --costs costs.json` measures the costs. The model:

- Reading: machines share the texts. The client adds the term statistics of each block of 65,536
  texts, one block after another: with many machines, that is the limit.
- Topics are trained a batch at a time, whose weights are dense: columns times width, at most
  3 * 2^24.
- A cluster has a worker of one thread for each thread of a machine. One machine processes blocks on
  its threads, and needs no network.
- By topics: where a third of a worker's memory holds all rows, and there are batches of topics for
  half of the workers, each worker has all rows (they are sent once), and trains by itself.
- By rows: otherwise, each worker has some of the rows. In each pass the client sends a direction
  to all workers along a tree; these process their rows; sums are added along a tree and return by
  way of the scheduler; the client computes the remainder of the step, on one thread.
- Rows that don't fit into memory are read from the disk in each pass.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measure import table
from slugline.stream.descents import topics_per_batch
from slugline.stream.engine import entries_per_group

# As in the library: rows of a block, the fraction of memory for rows where topics are divided,
# arrays of a descent, and assumed speeds.
_ROWS = 1 << 16
_SHARE, _ARRAYS = 1 / 3, 12
_SECONDS_OF_BYTE, _BYTES_A_SECOND = 5e-11, 1e9
# Bytes of blocks that a task may sum in any case.
_MAX_ADDED = 1 << 27
# The fraction of memory that rows may take before Dask moves them to the disk.
_SPILLED = 0.6


@dataclass(frozen=True)
class Costs:
    """Cost of texts, entries and weights: short texts of 24 words, on one core of 2026.

    Attributes
    ----------
    entries_per_text, bytes_per_entry : float
        Of the rows.
    columns, texts : float
        Columns of a measured number of texts. They grow as the power `columns_power` of the texts,
        up to `most_columns`, which is the number of buckets.
    seconds_per_text_read : float
        To read, tokenise, hash and weigh.
    seconds_per_entry_and_topic : float
        Of a pass.
    seconds_per_weight : float
        Of a pass, in the process that computes the step: the client by rows, the worker by topics.
    seconds_per_block_read, bytes_per_block_read : float
        Of the term statistics of a block of texts, for the client.
    seconds_per_task : float
        For the scheduler.
    passes_per_batch : float
        Passes of both descents for a batch of topics.
    """

    entries_per_text: float = 202
    bytes_per_entry: float = 7.2
    columns: float = 1_700_701
    texts: float = 1_000_000
    columns_power: float = 0.25
    most_columns: float = 3 * 2**20
    seconds_per_text_read: float = 2e-5
    seconds_per_entry_and_topic: float = 2.7e-10
    seconds_per_weight: float = 3.6e-9
    seconds_per_block_read: float = 0.024
    bytes_per_block_read: float = 4e7
    seconds_per_task: float = 1.5e-3
    passes_per_batch: float = 41

    def n_columns(self, n_texts: float) -> float:
        """Return the number of columns of a number of texts."""
        grown = self.columns * (n_texts / self.texts) ** self.columns_power
        return min(self.most_columns, grown)


@dataclass(frozen=True)
class Machines:
    """A cluster of machines of one kind.

    Attributes
    ----------
    n : int
    threads : int
        Of each machine.
    memory : float
        Bytes of each.
    network, disk : float
        Bytes a second to and from each; `network` may be infinite.
    """

    n: int
    threads: int = 8
    memory: float = 64e9
    network: float = 1.25e9
    disk: float = 1e9


@dataclass(frozen=True)
class Job:
    """Numbers of texts, of topics, and of the topic batches that are trained: by default, all."""

    n_texts: float
    n_topics: int
    n_topic_batches: int | None = None


@dataclass(frozen=True)
class Result:
    """Seconds of a job, and what takes most of them.

    Attributes
    ----------
    reading, passes : float
    by_rows : bool
    parts : dict of str to float
        Of a pass by rows, or of all descents by topics.
    reading_limit : str
    """

    reading: float
    passes: float
    by_rows: bool
    parts: dict[str, float]
    reading_limit: str

    @property
    def limit(self) -> str:
        """The part that takes most of the time of the passes."""
        return max(self.parts, key=lambda name: self.parts[name])


def simulate(job: Job, machines: Machines, costs: Costs, *, by_rows: bool = False) -> Result:
    """Return the time of a job.

    Parameters
    ----------
    by_rows : bool, default False
        Share rows out even where topics could be.
    """
    columns = costs.n_columns(job.n_texts)
    width = min(topics_per_batch(int(columns)), job.n_topics)
    n_batches = math.ceil(job.n_topics / width)
    n_descents = job.n_topic_batches or n_batches
    reading, reading_limit = _reading(job, machines, costs)
    n_bytes = job.n_texts * costs.entries_per_text * costs.bytes_per_entry
    n_workers, memory = machines.n * machines.threads, machines.memory / machines.threads
    fits = max(n_bytes, _ARRAYS * 4 * columns * width) <= _SHARE * memory
    # As in `slugline.stream.topic_parallel`.
    one_pass = n_bytes * width * _SECONDS_OF_BYTE
    sent = (2 * math.log2(n_workers) + 3) * 4 * columns * width / _BYTES_A_SECOND
    turns = math.ceil(n_descents / n_workers)
    is_faster = turns * one_pass <= n_descents * (one_pass / n_workers + sent)
    if machines.n > 1 and fits and is_faster and not by_rows:
        parts = _by_topics(job, machines, costs, columns * width, n_descents)
        passes = sum(parts.values())
    else:
        by_rows = True
        parts = _by_rows(job, machines, costs, columns * width)
        passes = sum(parts.values()) * n_descents * costs.passes_per_batch
    return Result(reading, passes, by_rows, parts, reading_limit)


def _reading(job: Job, machines: Machines, costs: Costs) -> tuple[float, str]:
    """Return seconds and their limit: machines and the client work at the same time."""
    n_blocks = math.ceil(job.n_texts / _ROWS)
    texts = job.n_texts * costs.seconds_per_text_read / (machines.n * machines.threads)
    parts = {"texts": texts, "client": n_blocks * costs.seconds_per_block_read}
    if machines.n > 1:
        parts["network"] = 2 * n_blocks * costs.bytes_per_block_read / machines.network
    limit = max(parts, key=lambda name: parts[name])
    return parts[limit], limit


def _by_rows(job: Job, machines: Machines, costs: Costs, dense: float) -> dict[str, float]:
    """Return seconds of a pass for a batch of topics."""
    n_entries, columns = job.n_texts * costs.entries_per_text, costs.n_columns(job.n_texts)
    work = n_entries * dense / columns * costs.seconds_per_entry_and_topic
    n_bytes = n_entries * costs.bytes_per_entry / machines.n
    n_groups = math.ceil(n_entries / entries_per_group(int(n_entries), int(columns)))
    parts = {
        "rows": work / min(machines.n * machines.threads, n_groups),
        "client": dense * costs.seconds_per_weight,
        "disk": n_bytes / machines.disk if n_bytes > _SPILLED * machines.memory else 0.0,
    }
    if machines.n > 1:
        levels = math.ceil(math.log2(machines.n * machines.threads))
        # Out: to one worker, then on, level by level. Back: level by level, and by the scheduler.
        parts["network"] = (2 * levels + 3) * 4 * dense / machines.network
        # Three for each row range of a group that fits into a worker, and one for a sum of two.
        limit = max(_MAX_ADDED, _SHARE * machines.memory / machines.threads)
        n_ranges = n_groups * math.ceil(n_bytes * machines.n / n_groups / limit)
        parts["scheduler"] = (3 * n_ranges + n_groups) * costs.seconds_per_task
    return parts


def _by_topics(
    job: Job, machines: Machines, costs: Costs, dense: float, n_descents: int
) -> dict[str, float]:
    """Return seconds of all descents."""
    n_entries = job.n_texts * costs.entries_per_text
    width = dense / costs.n_columns(job.n_texts)
    turns = math.ceil(n_descents / (machines.n * machines.threads))
    n_passes = turns * costs.passes_per_batch
    return {
        "rows": n_passes * n_entries * width * costs.seconds_per_entry_and_topic,
        "weights": n_passes * dense * costs.seconds_per_weight,
        "network": machines.threads * n_entries * costs.bytes_per_entry / machines.network
        + n_descents * 8 * dense / machines.network,
    }


# Tables ------------------------------------------------------------------------------------------


def _table_by_texts(costs: Costs, kind: Machines, n_topics: int) -> str:
    """Return a table of 1e6 to 1e9 texts on 1 to 100 machines."""
    rows = []
    for n_texts in (1e6, 1e7, 1e8, 1e9):
        for n in (1, 4, 16, 100):
            result = simulate(Job(n_texts, n_topics), replace(kind, n=n), costs)
            unit = "-" if n == 1 else "rows" if result.by_rows else "topics"
            rows.append([f"{n_texts:,.0f}", str(n), _time(result.reading), result.reading_limit])
            rows[-1] += [_time(result.passes), unit, result.limit]
    header = ["texts", "machines", "reading", "limit", "passes", "divided by", "limit"]
    return table(header, rows)


def _table_by_topics(costs: Costs, kind: Machines, n_texts: float) -> str:
    """Return a table of 10 to 10,000 topics on 1 to 100 machines."""
    rows = []
    for n_topics in (10, 100, 1_000, 10_000):
        for n in (1, 4, 16, 100):
            result = simulate(Job(n_texts, n_topics), replace(kind, n=n), costs)
            unit = "-" if n == 1 else "rows" if result.by_rows else "topics"
            rows.append([f"{n_topics:,}", str(n), _time(result.passes), unit, result.limit])
    header = ["topics", "machines", "passes", "divided by", "limit"]
    return table(header, rows)


def _machine_table(costs: Costs, kind: Machines, n_topics: int) -> str:
    """Return a table of the machines worth having: twice as many save under a fifth."""
    rows = []
    for n_texts in (1e6, 1e7, 1e8, 1e9):
        job, n = Job(n_texts, n_topics), 1
        while n < 1024 and _total(job, kind, costs, 2 * n) < 0.8 * _total(job, kind, costs, n):
            n *= 2
        result = simulate(job, replace(kind, n=n), costs)
        rows.append([f"{n_texts:,.0f}", str(n), _time(result.reading), _time(result.passes)])
        rows[-1].append(result.limit)
    header = ["texts", "machines worth having", "reading", "passes", "limit there"]
    return table(header, rows)


def _total(job: Job, kind: Machines, costs: Costs, n: int) -> float:
    result = simulate(job, replace(kind, n=n), costs)
    return result.reading + result.passes


def _measured_table(costs: Costs, measured: dict[str, Any], loopback: float) -> str:
    """Return a table beside measurements with workers of one thread on one machine."""
    job = Job(measured["texts"], measured["topics"], measured["topic_batches"])
    job_costs = replace(costs, passes_per_batch=measured["passes"] / measured["topic_batches"])
    rows = []
    for name, seconds in measured["measured"].items():
        machines = Machines(max(1, int(name)), threads=1, network=loopback)
        by_rows = bool(measured["by_rows"])
        result = simulate(job, machines, job_costs, by_rows=by_rows)
        place = name if int(name) else "one machine"
        rows.append([place, f"{seconds:.1f}", f"{result.passes:.1f}"])
        rows[-1].append(f"{result.passes / seconds:.2f}")
    header = ["workers", "passes measured, s", "simulated, s", "simulated by measured"]
    return table(header, rows)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def tables(
    costs: str | None = None,
    cost: Sequence[str] = (),
    topics: int = 100,
    threads: int = 8,
    memory: float = 64e9,
    network: float = 1.25e9,
    disk: float = 1e9,
    loopback: float = 5e8,
) -> str:
    """Reading and passes on 1 to 100 machines.

    `costs` is a file of `streams passes`; `cost` changes single ones, such as
    entries_per_text=800. Machines have `threads`, bytes of `memory`, and bytes a second of
    `network` and `disk`; `loopback` is the network where costs were measured.
    """
    measured = json.loads(Path(costs).read_text(encoding="utf-8")) if costs else {}
    names = Costs.__dataclass_fields__
    values = {name: measured[name] for name in names if name in measured}
    for setting in cost:
        name, _, value = setting.partition("=")
        if name not in names:
            raise SystemExit(f"There is no cost {name}; choose from {', '.join(names)}.")
        values[name] = float(value)
    all_costs = replace(Costs(), **values)
    kind = Machines(1, threads, memory, network, disk)
    results = {
        "texts": _table_by_texts(all_costs, kind, topics),
        "topics": _table_by_topics(all_costs, kind, 1e8),
        "machines": _machine_table(all_costs, kind, topics),
    }
    if measured:
        network = measured.get("loopback", loopback)
        results["measured"] = _measured_table(all_costs, measured, network)
    return "\n".join(f"#### {name}\n\n{text}\n" for name, text in results.items())


BENCHMARKS = {"tables": tables}
QUICK: dict[str, dict[str, Any]] = {"tables": {}}
