"""Answers off the event loop, those that wait together in one batch."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from slugline.routing import N_GUESSES, Route
from slugline.served import ServedModel
from slugline.server.metrics import Metrics

__all__ = ["Batches"]

# Texts, and characters, that are classified at once: larger batches are hardly faster, and what
# comes after them waits the longer.
_MOST_TEXTS = 128
_MOST_CHARACTERS = 1 << 17
# Fewer texts are done so soon that those which come meanwhile rather wait for the same thread: two
# would mostly wait for the interpreter's lock.
_FEW = 32

_Outcome: TypeAlias = list[Route] | Exception


@dataclass(eq=False)
class _Job:
    """Texts of one request."""

    model: ServedModel
    min_precision: float | None
    top: int
    texts: Sequence[str]
    future: asyncio.Future[list[Route]]
    since: float = field(default_factory=time.perf_counter)
    #: How many texts have been given to a thread.
    n_given: int = 0
    #: Answers by the number of the first text.
    parts: dict[int, list[Route]] = field(default_factory=dict)
    n_answered: int = 0

    def fits(self, other: _Job) -> bool:
        return self.model is other.model and self.min_precision == other.min_precision

    def take(self, n_texts: int, n_characters: int) -> slice:
        """Give texts, as many as may be; one at least."""
        start = self.n_given
        end = start + 1
        n_characters -= len(self.texts[start])
        while end < min(len(self.texts), start + n_texts):
            n_characters -= len(self.texts[end])
            if n_characters < 0:
                break
            end += 1
        self.n_given = end
        return slice(start, end)

    def accept(self, start: int, outcome: _Outcome) -> None:
        """Take the answers to the texts from `start` on, or what went wrong with them."""
        if self.future.done():  # whoever asked has gone
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
            return
        self.parts[start] = outcome
        self.n_answered += len(outcome)
        if self.n_answered == len(self.texts):
            self.future.set_result([r for at in sorted(self.parts) for r in self.parts[at]])


_Batch: TypeAlias = list[tuple[_Job, slice]]


class Batches:
    """Answers texts of many requests on threads.

    Whenever a thread is free, it takes what waits: texts of several requests for the same model in
    one batch, and a long request in parts, between which others have their turn.

    Parameters
    ----------
    n_threads : int
    metrics : Metrics
    """

    def __init__(self, n_threads: int, metrics: Metrics) -> None:
        self._pool = ThreadPoolExecutor(n_threads, "slugline-answers")
        self._n_threads = n_threads
        # Numbers of texts: of those that wait, and of each batch that a thread works on.
        self._n_waiting, self._running = 0, list[int]()
        self._waiting: deque[_Job] = deque()
        self._metrics = metrics

    async def route(
        self,
        model: ServedModel,
        texts: Sequence[str],
        min_precision: float | None = None,
        top: int = N_GUESSES,
    ) -> list[Route]:
        """Return the answer to each text, with `top` guesses or more; see `ServedModel.route`."""
        future: asyncio.Future[list[Route]] = asyncio.get_running_loop().create_future()
        job = _Job(model, min_precision, top, texts, future)
        self._waiting.append(job)
        self._n_waiting += len(texts)
        self._metrics.add("queue_size")
        self._give()
        try:
            return await future
        finally:  # it may have been cancelled
            self._metrics.add("queue_size", -1)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _give(self) -> None:
        """Give free threads what waits."""
        while self._is_worth_a_thread() and (batch := self._next()):
            self._running.append(_n_texts(batch))
            self._pool.submit(self._answer, batch, asyncio.get_running_loop())

    def _is_worth_a_thread(self) -> bool:
        """Whether a thread is free, and what waits is worth it."""
        if len(self._running) == self._n_threads:
            return False
        return max(self._running, default=_FEW) >= _FEW or self._n_waiting >= _FEW

    def _next(self) -> _Batch:
        """Take the next texts of one model from the queue."""
        batch: _Batch = []
        n_texts, n_characters = _MOST_TEXTS, _MOST_CHARACTERS
        while self._waiting and n_texts > 0 and n_characters > 0:
            job = self._waiting[0]
            if job.future.done():  # whoever asked has gone
                self._waiting.popleft()
                self._n_waiting -= len(job.texts) - job.n_given
                continue
            if batch and not job.fits(batch[0][0]):
                break
            taken = job.take(n_texts, n_characters)
            batch.append((job, taken))
            n_texts -= taken.stop - taken.start
            self._n_waiting -= taken.stop - taken.start
            n_characters -= sum(map(len, job.texts[taken]))
            self._waiting.popleft()
            if job.n_given < len(job.texts):
                self._waiting.append(job)  # behind the others
                break
        return batch

    def _answer(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        """Answer a batch; runs on a thread."""
        started = time.perf_counter()
        outcomes = _outcomes(batch)
        loop.call_soon_threadsafe(self._hand_over, batch, outcomes, started)

    def _hand_over(self, batch: _Batch, outcomes: list[_Outcome], started: float) -> None:
        self._running.remove(_n_texts(batch))
        self._give()  # before anything else: the thread has nothing to do
        for (job, taken), outcome in zip(batch, outcomes, strict=True):
            if taken.start == 0:
                self._metrics.observe("request_queue_duration", started - job.since)
            job.accept(taken.start, outcome)
        self._count(outcomes, time.perf_counter() - started)

    def _count(self, outcomes: list[_Outcome], seconds: float) -> None:
        metrics = self._metrics
        routes = [route for found in outcomes if isinstance(found, list) for route in found]
        metrics.observe("request_inference_duration", seconds)
        metrics.observe("batch_size", len(routes))
        metrics.add("documents", len(routes))
        metrics.add("unsure", sum(route.reason is not None for route in routes))
        metrics.observe_all("confidence", [route.probability for route in routes])


def _n_texts(batch: _Batch) -> int:
    return sum(taken.stop - taken.start for _, taken in batch)


def _outcomes(batch: _Batch) -> list[_Outcome]:
    """Return the answers to each job's texts, or what went wrong with them."""
    model, min_precision = batch[0][0].model, batch[0][0].min_precision
    texts = [text for job, taken in batch for text in job.texts[taken]]
    try:
        routes = iter(model.route(texts, min_precision, max(job.top for job, _ in batch)))
    except Exception as error:  # noqa: BLE001 - whoever asked is told
        if len(batch) == 1:
            return [error]
        # Only one of them may be to blame.
        return [outcome for each in batch for outcome in _outcomes([each])]
    return [list(itertools.islice(routes, taken.stop - taken.start)) for _, taken in batch]
