"""Training from streams: time of passes on one machine and with workers, and memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np

import clusters
from data import synthetic_files, synthetic_texts
from measure import progress, run_child, run_in_turn, seconds, table
from slugline import TopicClassifier
from slugline.base.progress import SilentProgress
from slugline.base.wording import counted
from slugline.learning.linear.newton import TOLERANCE
from slugline.learning.linear.sums import RowBlock
from slugline.stream import descents, fit
from slugline.stream.checkpoint import Phase, StreamState
from slugline.stream.counting import (
    TermStatistics,
    Weighting,
    count_block,
    count_terms,
    weight_block,
)
from slugline.stream.descents import RowBlocks
from slugline.stream.fit import StreamOptions
from slugline.stream.source import DocumentSource

N_TOPICS = 100
# Tasks, and weights that are sent, to measure the cost of both.
_N_TASKS, _MAX_WEIGHTS = 2000, 1 << 25


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


def passes(
    texts: int = 1_000_000,
    workers: Sequence[int] = (1, 2),
    topic_batches: int = 2,
    by_rows: bool = False,
    tolerance: float = 0.1,
    costs: str | None = None,
    folder: str | None = None,
) -> str:
    """Time of the passes for some batches of topics, on one machine and with workers.

    A larger tolerance than the default ends sooner; a pass takes the same time. `by_rows` divides
    rows among workers instead of topics. `costs` is a file for `simulation`. Texts are written to
    `folder`, unless they are there.
    """
    rows, results = [], {}
    with _text_folder(folder) as path:
        files = synthetic_files(path, texts, N_TOPICS)
        for n_workers in (0, *workers):
            with _client(n_workers) as client:
                metrics = measure_stream(
                    files, topic_batches, client=client, by_rows=by_rows, tolerance=tolerance
                )
                cluster_costs = _cluster_costs(client) if n_workers else {}
            results[n_workers] = metrics
            place = counted(n_workers, "worker") if n_workers else "one machine, one thread"
            one_worker = results[min(workers[0], n_workers)].passes
            rows.append([place, f"{metrics.reading:.1f}", f"{metrics.passes:.1f}"])
            rows[-1] += [str(metrics.n_passes), f"{metrics.seconds_per_pass:.2f}"]
            rows[-1].append(f"{one_worker / metrics.passes:.2f}")
            progress(*rows[-1])
        local = results[0]
        n_trained = min(topic_batches, local.n_batches)
        measured = _to_costs(local, {n: results[n].passes for n in workers}, by_rows=by_rows)
        measured |= {"topic_batches": n_trained} | _statistics_costs(files[0]) | cluster_costs
    if costs is not None:
        Path(costs).write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    header = ["", "reading, s", "passes, s", "passes", "a pass, s", "one worker's time by this"]
    note = (
        f"{local.n_texts:,} texts, {local.n_columns:,} columns, {local.n_topics} topics in "
        f"{local.n_batches} batches, of which {n_trained} were trained; "
        f"{'rows' if by_rows else 'topics'} divided among workers; tolerance {tolerance:g}."
    )
    return f"{note}\n\n{table(header, rows)}"


def _to_costs(
    metrics: StreamMetrics, seconds_by_workers: dict[int, float], *, by_rows: bool
) -> dict[str, Any]:
    """Return what texts, entries and weights cost, as in `simulation.Costs`."""
    n_weights = metrics.n_columns * metrics.width
    return {
        "texts": metrics.n_texts,
        "topics": metrics.n_topics,
        "columns": metrics.n_columns,
        "width": metrics.width,
        "entries_per_text": metrics.n_entries / metrics.n_texts,
        "bytes_per_entry": metrics.n_bytes / metrics.n_entries,
        "seconds_per_text_read": metrics.reading / metrics.n_texts,
        "seconds_per_entry_and_topic": metrics.engine_seconds
        / (metrics.n_passes * metrics.n_entries * metrics.width),
        "seconds_per_weight": (metrics.passes - metrics.engine_seconds)
        / (metrics.n_passes * n_weights),
        "passes": metrics.n_passes,
        "by_rows": by_rows,
        "measured": {"0": metrics.passes}
        | {str(n): value for n, value in seconds_by_workers.items()},
    }


def _cluster_costs(client: Any) -> dict[str, float]:
    """Return what tasks cost the scheduler, and the bytes a second of arrays, there and back."""
    per_task = seconds(lambda: client.gather(client.map(abs, range(_N_TASKS), pure=False)))
    array = np.ones(_MAX_WEIGHTS, dtype=np.float32)
    sent = seconds(lambda: client.gather(client.scatter([array], direct=False, hash=False)))
    # Four hops.
    return {"seconds_per_task": per_task / _N_TASKS, "loopback": 4 * array.nbytes / sent}


def _statistics_costs(file: str) -> dict[str, float]:
    """Return what it costs the client to add the term statistics of a block of texts."""
    families = clusters.batch_families()
    batch = next(next(iter(DocumentSource(file).partitions())).blocks())
    _, summary = count_block(batch, families)
    serialized = pickle.dumps(summary, protocol=5)
    terms = TermStatistics(families)
    assert summary.statistics is not None
    terms.add(summary.statistics)
    # Most terms of a block are known already, as all are here.
    took = seconds(lambda: terms.add(pickle.loads(serialized).statistics))  # noqa: S301
    return {
        "seconds_per_block_read": took,
        "bytes_per_block_read": len(serialized),
        "most_columns": sum(family.n_buckets or 1 for family in families),
    }


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


# One row block ------------------------------------------------------------------------------------

N_ROUNDS = 7


def row_block(texts: int = 1 << 16, widths: Sequence[int] = (4, 8, 16, 17, 25, 32, 48, 100)) -> str:
    """Time of a pass over one row block for each entry and topic, by topics at a time.

    Both products of a pass: rows by weights, and the sums that rows add to, in memory that was used
    before and in memory that is new to the process. One thread.
    """
    block = _make_block(texts)
    rows = [[str(width), *_time_products(block, width)] for width in widths]
    header = ["topics together", "scores, ns", "sums, ns", "sums in new memory, ns"]
    return (
        f"Nanoseconds for each entry and topic; medians of {N_ROUNDS} rounds in turn. "
        f"{len(block.y):,} rows, {len(block.values):,} entries in {block.n_columns:,} columns.\n\n"
        f"{table(header, rows)}"
    )


def _make_block(n_texts: int) -> RowBlock:
    """Return synthetic texts as a row block."""
    families = clusters.batch_families()
    texts, topics = zip(*islice(synthetic_texts(n_texts, N_TOPICS, seed=0), n_texts), strict=True)
    counted, block_statistics = count_terms(texts, topics, families)
    terms = TermStatistics(families)
    terms.add(block_statistics)
    features = terms.features(n_texts, 1)
    weighting = Weighting.from_features(features, [*block_statistics.topics])
    return weight_block(counted, weighting)


def _time_products(block: RowBlock, width: int) -> list[str]:
    rng = np.random.default_rng(0)
    weights = rng.random((block.n_columns, width), dtype=np.float32)
    gradients = rng.random((len(block.y), width), dtype=np.float32)
    into = np.zeros_like(weights)
    products = {
        "scores": partial(seconds, block.scores, weights),
        "sums": partial(seconds, block.column_sums, gradients, into),
        "sums in new memory": partial(seconds, block.column_sums, gradients),
    }
    n = len(block.values) * width
    times = run_in_turn(products, N_ROUNDS)
    return [f"{statistics.median(values) / n * 1e9:.3f}" for values in times.values()]


# What is measured of fit_stream -------------------------------------------------------------------


class _Stop(Exception):  # noqa: N818
    """Ends training once all is measured."""


@dataclass
class StreamMetrics:
    """Time and size of training from a stream.

    Attributes
    ----------
    reading, passes : float
        Seconds from the first text to the rows, and of the passes.
    n_passes : int
        Passes of all topic batches and both descents.
    engine_seconds : float
        Seconds of the products and sums over row blocks; on one machine only.
    n_texts, n_columns, n_topics, n_batches, width : int
        Topics are trained in that many batches of about that width.
    n_entries, n_bytes : int
        Of all rows; on one machine only.
    """

    reading: float = 0.0
    passes: float = 0.0
    n_passes: int = 0
    engine_seconds: float = 0.0
    n_texts: int = 0
    n_columns: int = 0
    n_topics: int = 0
    n_batches: int = 0
    width: int = 0
    n_entries: int = 0
    n_bytes: int = 0

    @property
    def seconds_per_pass(self) -> float:
        """Seconds of a pass for one batch of topics."""
        return self.passes / max(1, self.n_passes)


class _TimedEngine:
    """An engine whose passes are timed."""

    def __init__(self, engine: Any, metrics: StreamMetrics) -> None:
        self._engine, self._metrics = engine, metrics

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def sum_blocks(self, *arguments: Any, **options: Any) -> Any:
        return self._time(self._engine.sum_blocks, *arguments, **options)

    def sum_blocks_storing(self, *arguments: Any, **options: Any) -> Any:
        return self._time(self._engine.sum_blocks_storing, *arguments, **options)

    def _time(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            self._metrics.engine_seconds += time.perf_counter() - start


class _CheckpointStub:
    """Stands for a checkpoint; ends training after the last descent."""

    def __init__(self, metrics: StreamMetrics) -> None:
        self._metrics = metrics

    def load(self, n_columns: int, blocks: list[slice], phases: Sequence[Phase]) -> StreamState:  # noqa: ARG002
        return StreamState(phases[0])

    def save(self, state: StreamState, *, is_last: bool = False) -> None:
        self._metrics.n_passes = state.n_passes
        if is_last:
            raise _Stop


def measure_stream(
    source: Any,
    n_topic_batches: int,
    *,
    client: Any = None,
    by_rows: bool = False,
    tolerance: float = TOLERANCE,
) -> StreamMetrics:
    """Train, and return time and size.

    Parameters
    ----------
    source : as for fit_stream
    n_topic_batches : int
        How many of the first batches of topics are trained.
    client : distributed.Client, optional
    by_rows : bool, default False
        Share rows out to workers even where each could hold all of them.
    tolerance : float, default TOLERANCE
    """
    metrics = StreamMetrics()
    started = time.perf_counter()

    def learn(rows: RowBlocks, report: Any, tolerance: float, _: Any) -> None:
        metrics.reading = time.perf_counter() - started
        few = _select_topics(rows, metrics, n_topic_batches, is_local=client is None)
        checkpoint = cast(Any, _CheckpointStub(metrics))
        metrics.engine_seconds, start = 0.0, time.perf_counter()
        try:
            descents.StreamTraining(few, report, tolerance, checkpoint).run()
        finally:
            metrics.passes = time.perf_counter() - start

    classifier = TopicClassifier(n_jobs=1)
    with mock.patch.object(fit, "StreamTraining", learn), clusters.share_rows(always=by_rows):
        try:
            options = StreamOptions(tolerance=tolerance)
            classifier.fit_stream(source, options, client=client)
        except _Stop:
            return metrics
    raise SystemExit("fit_stream ended before its last pass; measure_stream has to be adapted.")


def _select_topics(
    rows: Any, metrics: StreamMetrics, n_topic_batches: int, *, is_local: bool
) -> Any:
    """Record the size of rows, and return them with the topics that are to be trained."""
    batches = rows.topic_batches()
    metrics.n_texts, metrics.n_columns = int(rows.topic_counts.sum()), rows.n_columns
    metrics.n_topics, metrics.n_batches = rows.n_topics, len(batches)
    metrics.width = batches[0].stop - batches[0].start

    class FewTopics(RowBlocks):
        """Rows of which only some topics are trained."""

        def topic_batches(self) -> list[slice]:
            return batches[:n_topic_batches]

    fields = {field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)}
    if is_local:
        sizes = np.array(rows.engine.collect(_block_size))
        metrics.n_entries, metrics.n_bytes = (int(n) for n in sizes.sum(axis=0))
        fields["engine"] = _TimedEngine(rows.engine, metrics)
    return FewTopics(**fields)


def _block_size(block: Sequence[Any]) -> tuple[int, int]:
    """Return the entries and the bytes of a block."""
    arrays = [part for part in block if isinstance(part, np.ndarray)]
    return len(arrays[0]), sum(array.nbytes for array in arrays)


BENCHMARKS = {"passes": passes, "whole": whole, "row-block": row_block}
QUICK = {
    "passes": {"texts": 2000, "workers": (1,), "tolerance": 0.5},
    "whole": {"texts": (1000, 2000), "workers": (1,)},
    "row-block": {"texts": 2000, "widths": (8, 16)},
}
