"""Classification on threads, in batches of texts from several requests; and metrics."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import mmap
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeAlias

from slugline._version import __version__
from slugline.model.decider import N_GUESSES, Decision
from slugline.serving.http.bodies import busy_problem
from slugline.serving.model import ServedModel

# Metrics ------------------------------------------------------------------------------------------

# Upper edges of buckets: seconds, texts of a batch, probabilities.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

_COUNTERS = {
    "documents_total": "Texts that were classified.",
    "unsure_total": "Texts of which the model was unsure.",
    "corrections_total": "Corrections that were kept.",
    "model_swaps_total": "New versions of a model that took the place of one before.",
}
_REQUESTS = "requests_total"
#: Operation of requests for the page, and for what isn't there.
PAGE = "page"
# Statuses of answers; 0 where the client left before there was one.
_STATUSES = (
    *(0, 200, 201, 204, 303, 304, 400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 429),
    *(500, 503, 504),
)
_GAUGES = {"queue_size": "Requests that wait for an answer."}
_HISTOGRAMS = {
    "request_duration_seconds": ("Seconds from a request to its reply.", _SECONDS),
    "request_queue_duration_seconds": ("Seconds that a request waited.", _SECONDS),
    "request_inference_duration_seconds": ("Seconds that a batch of texts took.", _SECONDS),
    "batch_size": ("Texts that were classified at once.", _SIZES),
    "confidence": ("Probability of the most likely topic.", _SHARES),
}


class Metrics:
    """Counters, gauges and histograms in memory that `n_processes` processes share.

    Requests are counted by operation, model and status.
    """

    def __init__(
        self, n_processes: int = 1, operations: Sequence[str] = (), models: Sequence[str] = ()
    ) -> None:
        self._first: dict[str, int] = {}
        labels = itertools.product((PAGE, *operations), ("", *models), _STATUSES)
        self._requests = {label: slot for slot, label in enumerate(labels)}
        n_slots = len(self._requests)
        for name in (*_COUNTERS, *_GAUGES):
            self._first[name], n_slots = n_slots, n_slots + 1
        for name, (_, edges) in _HISTOGRAMS.items():
            # A slot for each bucket, one for what is over the last edge, and one for the sum.
            self._first[name], n_slots = n_slots, n_slots + len(edges) + 2
        self._n_slots, self._n_processes = n_slots, n_processes
        self._memory = memoryview(mmap.mmap(-1, 8 * n_slots * n_processes)).cast("d")
        self._own = 0

    def select_process(self, process: int) -> None:
        """Write to the slots of a process, counted from 0."""
        self._own = process * self._n_slots

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to a counter or gauge."""
        self._memory[self._own + self._first[name]] += amount

    def count_request(self, operation: str, model: str, status: int) -> None:
        """Count a request; a model is named by those that ask for one."""
        if status not in _STATUSES:
            status = status // 100 * 100
        self._memory[self._own + self._requests[operation, model, status]] += 1

    def observe(self, name: str, *values: float) -> None:
        """Add values to a histogram."""
        edges = _HISTOGRAMS[name][1]
        first = self._own + self._first[name]
        memory = self._memory
        for value in values:
            memory[first + bisect.bisect_left(edges, value)] += 1
        memory[first + len(edges) + 1] += sum(values)

    def reset_gauges(self, process: int) -> None:
        """Set the gauges of a process that has ended to 0."""
        for name in _GAUGES:
            self._memory[process * self._n_slots + self._first[name]] = 0.0

    def text(self) -> str:
        """Return all of it in Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _head("build_info", "The version of Slugline.", "gauge")
        yield f'slugline_build_info{{version="{__version__}"}} 1'
        yield from _head(_REQUESTS, "Requests.", "counter")
        for labels, slot in self._requests.items():
            if count := self._sum(slot):
                operation, model, status = labels
                pairs = f'operation="{operation}",model="{_escape(model)}",status="{status}"'
                yield f"slugline_{_REQUESTS}{{{pairs}}} {count:.10g}"
        for kind, names in (("counter", _COUNTERS), ("gauge", _GAUGES)):
            for name, meaning in names.items():
                yield from _head(name, meaning, kind)
                yield f"slugline_{name} {self._sum(self._first[name]):.10g}"
        for name, (meaning, edges) in _HISTOGRAMS.items():
            yield from _head(name, meaning, "histogram")
            first = self._first[name]
            counts = [self._sum(first + number) for number in range(len(edges) + 1)]
            up_to = list(accumulate(counts))
            for edge, count in zip((*map(str, edges), "+Inf"), up_to, strict=True):
                yield f'slugline_{name}_bucket{{le="{edge}"}} {count:.10g}'
            yield f"slugline_{name}_sum {self._sum(first + len(edges) + 1):.10g}"
            yield f"slugline_{name}_count {up_to[-1]:.10g}"

    def _sum(self, slot: int) -> float:
        return sum(self._memory[slot :: self._n_slots][: self._n_processes])


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _head(name: str, meaning: str, kind: str) -> Iterator[str]:
    yield f"# HELP slugline_{name} {meaning}"
    yield f"# TYPE slugline_{name} {kind}"


# Batches ------------------------------------------------------------------------------------------

# Texts, and characters, that are classified at once: larger batches are hardly faster, and what
# comes after them waits the longer.
_MOST_TEXTS = 128
_MOST_CHARACTERS = 1 << 17
# Fewer texts are done so soon that those which come meanwhile rather wait for the same thread: two
# would mostly wait for the interpreter's lock.
_FEW_TEXTS = 32

_Result: TypeAlias = list[Decision] | Exception


@dataclass(eq=False)
class _QueuedRequest:
    """Texts of one request."""

    model: ServedModel
    min_precision: float | None
    top: int
    texts: Sequence[str]
    future: asyncio.Future[list[Decision]]
    since: float = field(default_factory=time.perf_counter)
    #: How many texts have been given to a thread.
    n_started: int = 0
    #: Answers by the number of the first text.
    parts: dict[int, list[Decision]] = field(default_factory=dict)
    n_answered: int = 0

    def fits(self, other: _QueuedRequest) -> bool:
        return self.model is other.model and self.min_precision == other.min_precision

    def take(self, n_texts: int, n_characters: int) -> slice:
        """Return the next texts within limits, at least one."""
        start = self.n_started
        end = start + 1
        n_characters -= len(self.texts[start])
        while end < min(len(self.texts), start + n_texts):
            n_characters -= len(self.texts[end])
            if n_characters < 0:
                break
            end += 1
        self.n_started = end
        return slice(start, end)

    def accept(self, start: int, outcome: _Result) -> None:
        """Store the decisions of the texts from `start` on, or their error."""
        if self.future.done():  # whoever asked has gone
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
            return
        self.parts[start] = outcome
        self.n_answered += len(outcome)
        if self.n_answered == len(self.texts):
            self.future.set_result([r for at in sorted(self.parts) for r in self.parts[at]])


_Batch: TypeAlias = list[tuple[_QueuedRequest, slice]]


class BatchQueue:
    """Classifies texts of many requests on threads.

    Whenever a thread is free, it takes waiting texts: those of several requests for the same model
    in one batch, and a long request in parts, between which others have their turn.
    """

    def __init__(self, n_threads: int, metrics: Metrics, most_guesses: int) -> None:
        self._pool = ThreadPoolExecutor(n_threads, "slugline-answers")
        self._n_threads = n_threads
        # Numbers of texts: of those that wait, and of each batch that a thread works on.
        self._n_waiting, self._running = 0, list[int]()
        self._waiting: deque[_QueuedRequest] = deque()
        self._metrics = metrics
        # Topics that requests get, each of which takes some memory until the reply is written.
        self._n_guesses, self._most_guesses = 0, most_guesses

    @contextlib.contextmanager
    def guesses(self, n_texts: int, top: int) -> Iterator[None]:
        """Count the guesses of a request until its reply is made.

        Raises
        ------
        HttpProblem : 503 if other requests get too many already.
        """
        n_guesses = n_texts * max(top, N_GUESSES)
        if self._n_guesses and self._n_guesses + n_guesses > self._most_guesses:
            raise busy_problem()
        self._n_guesses += n_guesses
        try:
            yield
        finally:
            self._n_guesses -= n_guesses

    async def decide(
        self,
        model: ServedModel,
        texts: Sequence[str],
        min_precision: float | None = None,
        top: int = N_GUESSES,
    ) -> list[Decision]:
        """Return the decision on each text, with `top` guesses; see `ServedModel.decide`."""
        future: asyncio.Future[list[Decision]] = asyncio.get_running_loop().create_future()
        job = _QueuedRequest(model, min_precision, top, texts, future)
        self._waiting.append(job)
        self._n_waiting += len(texts)
        self._metrics.add("queue_size")
        self._start_batches()
        try:
            return await future
        finally:  # it may have been cancelled
            self._metrics.add("queue_size", -1)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_batches(self) -> None:
        """Start batches on free threads."""
        while self._is_worth_a_thread() and (batch := self._next()):
            self._running.append(_n_texts(batch))
            self._pool.submit(self._answer, batch, asyncio.get_running_loop())

    def _is_worth_a_thread(self) -> bool:
        """Whether a thread is free, and enough texts wait for it."""
        if len(self._running) == self._n_threads:
            return False
        return max(self._running, default=_FEW_TEXTS) >= _FEW_TEXTS or self._n_waiting >= _FEW_TEXTS

    def _next(self) -> _Batch:
        """Take the next texts of one model from the queue."""
        batch: _Batch = []
        n_texts, n_characters = _MOST_TEXTS, _MOST_CHARACTERS
        while self._waiting and n_texts > 0 and n_characters > 0:
            job = self._waiting[0]
            if job.future.done():  # whoever asked has gone
                self._waiting.popleft()
                self._n_waiting -= len(job.texts) - job.n_started
                continue
            if batch and not job.fits(batch[0][0]):
                break
            part = job.take(n_texts, n_characters)
            batch.append((job, part))
            n_texts -= part.stop - part.start
            self._n_waiting -= part.stop - part.start
            n_characters -= sum(map(len, job.texts[part]))
            self._waiting.popleft()
            if job.n_started < len(job.texts):
                self._waiting.append(job)  # behind the others
                break
        return batch

    def _answer(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        """Classify a batch; runs on a thread."""
        started = time.perf_counter()
        outcomes = _route_batch(batch)
        loop.call_soon_threadsafe(self._hand_over, batch, outcomes, started)

    def _hand_over(self, batch: _Batch, outcomes: list[_Result], started: float) -> None:
        self._running.remove(_n_texts(batch))
        self._start_batches()  # before anything else: the thread has nothing to do
        for (job, part), outcome in zip(batch, outcomes, strict=True):
            if part.start == 0:
                self._metrics.observe("request_queue_duration_seconds", started - job.since)
            job.accept(part.start, outcome)
        self._count(outcomes, time.perf_counter() - started)

    def _count(self, outcomes: list[_Result], seconds: float) -> None:
        metrics = self._metrics
        decisions = [
            decision for result in outcomes if isinstance(result, list) for decision in result
        ]
        metrics.observe("request_inference_duration_seconds", seconds)
        metrics.observe("batch_size", len(decisions))
        metrics.add("documents_total", len(decisions))
        metrics.add("unsure_total", sum(decision.reason is not None for decision in decisions))
        metrics.observe("confidence", *(decision.probability for decision in decisions))


def _n_texts(batch: _Batch) -> int:
    return sum(part.stop - part.start for _, part in batch)


def _route_batch(batch: _Batch) -> list[_Result]:
    """Return the decisions of each request's texts, or their error."""
    model, min_precision = batch[0][0].model, batch[0][0].min_precision
    texts = [text for job, part in batch for text in job.texts[part]]
    try:
        decisions = iter(model.decide(texts, min_precision, max(job.top for job, _ in batch)))
    except Exception as error:  # noqa: BLE001 - whoever asked is told
        if len(batch) == 1:
            return [error]
        # Only one of them may be to blame.
        return [outcome for request in batch for outcome in _route_batch([request])]
    return [list(itertools.islice(decisions, part.stop - part.start)) for _, part in batch]
