"""What learning takes on machines that we don't have: a small simulation, from measured costs.

    python benchmarks/scale_simulation.py [--costs costs.json] [--threads 8] [--network 1.25e9]

Costs are those that `cluster.py --parts passes --costs costs.json` writes. The model:

- Reading: machines share the texts out. Each block of 65,536 tells the client which terms it has,
  which the client takes one after another: at some number of machines, that is the limit.
- Topics are learned a block at a time, whose weights are dense: columns times width, at most
  3 * 2^24.
- A cluster has a worker of one thread for each thread of a machine. One machine goes through blocks
  on its threads, and needs no network.
- By topics: where a third of a worker's memory holds all rows, and there are blocks of topics for
  half of the workers, each worker has all rows (they travel once), and descends by itself.
- By rows: otherwise, each worker has some of the rows. In each pass the client sends a direction
  to all workers, which pass it on in a tree; these go through their rows; sums are added in a tree
  and come back by way of the scheduler; the client does the rest of the step, on one thread.
- Rows that memory doesn't hold are read from the disk in each pass.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from processes import table
from slugline.stream.descents import MAX_TOPICS, MAX_WEIGHTS
from slugline.stream.engine import entries_per_group

# What the library has: rows of a block, the share of memory that rows may have where topics are
# shared out, arrays of a descent, and what it reckons with.
_ROWS = 1 << 16
_SHARE, _ARRAYS = 1 / 3, 12
_SECONDS_OF_BYTE, _BYTES_A_SECOND = 5e-11, 1e9
# Bytes of blocks that a task may add up in any case.
_MOST_ADDED = 1 << 27
# The share of memory that rows may have before Dask moves them to the disk.
_SPILLED = 0.6


@dataclass(frozen=True)
class Costs:
    """What texts, entries and weights cost; short texts of 24 words on one core of 2026 here.

    Attributes
    ----------
    entries_per_text, bytes_per_entry : float
        Of the rows.
    columns, texts : float
        There were so many columns of so many texts. They grow as the power `columns_power` of the
        texts, up to `most_columns`, which is the number of buckets.
    seconds_per_text_read : float
        To read, tokenise, hash and weigh.
    seconds_per_entry_and_topic : float
        Of a pass.
    seconds_per_weight : float
        Of a pass, for who adds up the step: the client by rows, the worker by topics.
    seconds_per_block_told, bytes_per_block_told : float
        For the client to take what a block of texts tells.
    seconds_per_task : float
        For the scheduler.
    passes_per_block : float
        Passes of both descents for a block of topics.
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
    seconds_per_block_told: float = 0.024
    bytes_per_block_told: float = 4e7
    seconds_per_task: float = 1.5e-3
    passes_per_block: float = 41

    def columns_of(self, n_texts: float) -> float:
        """Return how many columns so many texts have."""
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
    """So many texts of so many topics, of which some blocks are learned: by default, all."""

    n_texts: float
    n_topics: int
    n_topic_blocks: int | None = None


@dataclass(frozen=True)
class Outcome:
    """Seconds of each part, and the most of them.

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
        """What takes most of the time of the passes."""
        return max(self.parts, key=lambda name: self.parts[name])


def simulate(job: Job, machines: Machines, costs: Costs, *, by_rows: bool = False) -> Outcome:
    """Return what a job takes.

    Parameters
    ----------
    by_rows : bool, default False
        Share rows out even where topics could be.
    """
    columns = costs.columns_of(job.n_texts)
    width = min(MAX_TOPICS, max(1, MAX_WEIGHTS // columns))
    n_blocks = math.ceil(job.n_topics / width)
    n_blocks += n_blocks % 2 if n_blocks > 1 else 0
    width = math.ceil(job.n_topics / n_blocks)
    n_descents = job.n_topic_blocks or n_blocks
    reading, reading_limit = _reading(job, machines, costs)
    n_bytes = job.n_texts * costs.entries_per_text * costs.bytes_per_entry
    n_workers, memory = machines.n * machines.threads, machines.memory / machines.threads
    fits = max(n_bytes, _ARRAYS * 4 * columns * width) <= _SHARE * memory
    # As `slugline.stream.topic_parallel` reckons.
    alone = n_bytes * width * _SECONDS_OF_BYTE
    sent = (2 * math.log2(n_workers) + 3) * 4 * columns * width / _BYTES_A_SECOND
    turns = math.ceil(n_descents / n_workers)
    is_worth = turns * alone <= n_descents * (alone / n_workers + sent)
    if machines.n > 1 and fits and is_worth and not by_rows:
        parts = _by_topics(job, machines, costs, columns * width, n_descents)
        passes = sum(parts.values())
    else:
        by_rows = True
        parts = _by_rows(job, machines, costs, columns * width)
        passes = sum(parts.values()) * n_descents * costs.passes_per_block
    return Outcome(reading, passes, by_rows, parts, reading_limit)


def _reading(job: Job, machines: Machines, costs: Costs) -> tuple[float, str]:
    """Return seconds, and what takes them: machines and the client work at the same time."""
    n_told = math.ceil(job.n_texts / _ROWS)
    own = job.n_texts * costs.seconds_per_text_read / (machines.n * machines.threads)
    parts = {"texts": own, "client": n_told * costs.seconds_per_block_told}
    if machines.n > 1:
        parts["network"] = 2 * n_told * costs.bytes_per_block_told / machines.network
    limit = max(parts, key=lambda name: parts[name])
    return parts[limit], limit


def _by_rows(job: Job, machines: Machines, costs: Costs, dense: float) -> dict[str, float]:
    """Return seconds of a pass for a block of topics."""
    n_entries, columns = job.n_texts * costs.entries_per_text, costs.columns_of(job.n_texts)
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
        # Three for each stretch of a group, which fits into a worker, and one for a sum of two.
        room = max(_MOST_ADDED, _SHARE * machines.memory / machines.threads)
        n_stretches = n_groups * math.ceil(n_bytes * machines.n / n_groups / room)
        parts["scheduler"] = (3 * n_stretches + n_groups) * costs.seconds_per_task
    return parts


def _by_topics(
    job: Job, machines: Machines, costs: Costs, dense: float, n_descents: int
) -> dict[str, float]:
    """Return seconds of all descents."""
    n_entries = job.n_texts * costs.entries_per_text
    width = dense / costs.columns_of(job.n_texts)
    turns = math.ceil(n_descents / (machines.n * machines.threads))
    n_passes = turns * costs.passes_per_block
    return {
        "rows": n_passes * n_entries * width * costs.seconds_per_entry_and_topic,
        "weights": n_passes * dense * costs.seconds_per_weight,
        "network": machines.threads * n_entries * costs.bytes_per_entry / machines.network
        + n_descents * 8 * dense / machines.network,
    }


# Tables ------------------------------------------------------------------------------------------


def by_texts(costs: Costs, kind: Machines, n_topics: int) -> str:
    """Return a table of 1e6 to 1e9 texts on 1 to 100 machines."""
    rows = [["texts", "machines", "reading", "limit", "passes", "shared out by", "limit"]]
    for n_texts in (1e6, 1e7, 1e8, 1e9):
        for n in (1, 4, 16, 100):
            found = simulate(Job(n_texts, n_topics), replace(kind, n=n), costs)
            way = "-" if n == 1 else "rows" if found.by_rows else "topics"
            rows.append([f"{n_texts:,.0f}", str(n), _time(found.reading), found.reading_limit])
            rows[-1] += [_time(found.passes), way, found.limit]
    return table(rows)


def by_topics(costs: Costs, kind: Machines, n_texts: float) -> str:
    """Return a table of 10 to 10,000 topics on 1 to 100 machines."""
    rows = [["topics", "machines", "passes", "shared out by", "limit"]]
    for n_topics in (10, 100, 1_000, 10_000):
        for n in (1, 4, 16, 100):
            found = simulate(Job(n_texts, n_topics), replace(kind, n=n), costs)
            way = "-" if n == 1 else "rows" if found.by_rows else "topics"
            rows.append([f"{n_topics:,}", str(n), _time(found.passes), way, found.limit])
    return table(rows)


def enough_machines(costs: Costs, kind: Machines, n_topics: int) -> str:
    """Return a table of how many machines are worth having: twice as many save under a fifth."""
    rows = [["texts", "machines worth having", "reading", "passes", "limit there"]]
    for n_texts in (1e6, 1e7, 1e8, 1e9):
        job, n = Job(n_texts, n_topics), 1
        while n < 1024 and _total(job, kind, costs, 2 * n) < 0.8 * _total(job, kind, costs, n):
            n *= 2
        found = simulate(job, replace(kind, n=n), costs)
        rows.append([f"{n_texts:,.0f}", str(n), _time(found.reading), _time(found.passes)])
        rows[-1].append(found.limit)
    return table(rows)


def _total(job: Job, kind: Machines, costs: Costs, n: int) -> float:
    found = simulate(job, replace(kind, n=n), costs)
    return found.reading + found.passes


def against_measured(costs: Costs, measured: dict[str, Any], loopback: float) -> str:
    """Return a table of what was measured with workers of one thread on one machine."""
    job = Job(measured["texts"], measured["topics"], measured["topic_blocks"])
    own = replace(costs, passes_per_block=measured["passes"] / measured["topic_blocks"])
    rows = [["workers", "passes measured, s", "simulated, s", "simulated by measured"]]
    for name, seconds in measured["measured"].items():
        machines = Machines(max(1, int(name)), threads=1, network=loopback)
        by_rows = bool(measured["by_rows"])
        found = simulate(job, machines, own, by_rows=by_rows)
        place = name if int(name) else "one machine"
        rows.append([place, f"{seconds:.1f}", f"{found.passes:.1f}"])
        rows[-1].append(f"{found.passes / seconds:.2f}")
    return table(rows)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def main() -> None:
    """Print the tables of docs/scale.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--costs", type=Path, help="from cluster.py")
    parser.add_argument("--topics", type=int, default=100)
    parser.add_argument("--threads", type=int, default=8, help="of a machine")
    parser.add_argument("--memory", type=float, default=64e9, help="bytes of a machine")
    parser.add_argument("--network", type=float, default=1.25e9, help="bytes a second")
    parser.add_argument("--disk", type=float, default=1e9, help="bytes a second")
    parser.add_argument(
        "--loopback", type=float, default=5e8, help="bytes a second, where measured"
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="docs/scale.md, to be updated")
    for field in fields(Costs):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, help="a cost")
    given = vars(parser.parse_args())
    measured = json.loads(given["costs"].read_text(encoding="utf-8")) if given["costs"] else {}
    names = [field.name for field in fields(Costs)]
    known = {name: measured[name] for name in names if name in measured}
    known |= {name: given[name] for name in names if given[name] is not None}
    costs = replace(Costs(), **known)
    loopback = measured.get("loopback", given["loopback"])
    kind = Machines(1, given["threads"], given["memory"], given["network"], given["disk"])
    tables = {
        "texts": by_texts(costs, kind, given["topics"]),
        "topics": by_topics(costs, kind, 1e8),
        "machines": enough_machines(costs, kind, given["topics"]),
    }
    if measured:
        tables["measured"] = against_measured(costs, measured, loopback)
    for name, shown in tables.items():
        print(f"### {name}\n\n{shown}\n")
    if given["write"]:
        _write(given["write"], tables)


def _write(page: Path, tables: dict[str, str]) -> None:
    """Put tables where a page has marks for them."""
    text = page.read_text(encoding="utf-8")
    for name, shown in tables.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not mark or not end:
            raise SystemExit(f"{page} has no place for {name}; it begins with <!-- {name} -->.")
        text = f"{before}{mark}{shown}\n{end}{after}"
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
