"""Classification in batches across requests, on threads or the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from slugline.model.decision import N_GUESSES, Decision
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.service_errors import BusyError
from slugline.serving.watch.recorder import Watch

# Costs are in English characters. Maximum cost of a batch on a thread: larger batches are hardly
# faster and delay later requests.
_MAX_COST = 1 << 17
# Maximum cost of a batch on the event loop; such a batch blocks it for half a millisecond.
_MAX_BRIEF_COST = 1 << 15
# Fixed cost per text, and cost per character of a non-ASCII text.
_TEXT_COST, _SLOW_CHARACTER = 256, 8
# Maximum number of topics per text in a batch on the event loop.
_MAX_BRIEF_TOP = 20
# Classify this many texts of a model on threads first, while it builds its tables.
_N_FIRST_TEXTS = 1024

_Outcome: TypeAlias = list[Decision] | Exception


@dataclass(eq=False)
class _Part:
    """Texts of a request that are classified together."""

    model: ServedModel
    min_precision: float | None
    top: int
    texts: Sequence[str]
    cost: int
    is_watched: bool
    future: asyncio.Future[list[Decision]]
    queued_at: float = field(default_factory=time.perf_counter)

    def can_join(self, other: _Part) -> bool:
        """True if both parts can share a batch."""
        return (self.model, self.min_precision, self.is_watched) == (
            other.model,
            other.min_precision,
            other.is_watched,
        )


class BatchQueue:
    """Classifies the texts of many requests.

    Each free thread takes a batch of waiting texts. A batch combines requests for the same model;
    a long request is split, and other requests take turns with its parts.

    A few short texts are classified on the event loop, because waking a thread takes longer.
    Requests that arrive together share a batch.
    """

    def __init__(
        self, n_threads: int, metrics: Metrics, most_guesses: int, watch: Watch | None
    ) -> None:
        self._pool = ThreadPoolExecutor(n_threads, "slugline-answers")
        self._n_threads, self._n_running = n_threads, 0
        self._waiting: deque[_Part] = deque()
        self._waiting_brief: deque[_Part] = deque()
        self._is_scheduled = False
        # Number of texts of each model classified on threads.
        self._n_answered = weakref.WeakKeyDictionary[ServedModel, int]()
        self._metrics, self._watch = metrics, watch
        # Number of guesses in pending replies, limited because each takes memory.
        self._n_guesses, self._most_guesses = 0, most_guesses

    @contextlib.contextmanager
    def reserve_guesses(self, n_texts: int, top: int) -> Iterator[None]:
        """Reserve room for the guesses of a request until its reply is complete.

        Raises
        ------
        BusyError : if pending replies already contain too many guesses.
        """
        n_guesses = n_texts * max(top, N_GUESSES)
        if self._n_guesses and self._n_guesses + n_guesses > self._most_guesses:
            raise BusyError
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
        *,
        is_watched: bool = False,
    ) -> list[Decision]:
        """Return the decision on each text, with `top` guesses; see `ServedModel.answer`.

        With `is_watched`, the texts count towards the daily sums.
        """
        decisions: list[Decision] = []
        loop = asyncio.get_running_loop()
        self._metrics.change_queue(1)
        try:
            parts = (
                _Part(model, min_precision, top, part, cost, is_watched, loop.create_future())
                for part, cost in _split(texts)
            )
            while window := [*itertools.islice(parts, self._n_threads)]:
                for part in window:
                    self._enqueue(part, loop)
                for decided in await asyncio.gather(*(part.future for part in window)):
                    decisions += decided
        finally:  # cancelled or not
            self._metrics.change_queue(-1)
        return decisions

    def close(self) -> None:
        """Shut down the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _enqueue(self, part: _Part, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_brief(part):
            self._waiting_brief.append(part)
            self._schedule_brief(loop)
        else:
            self._waiting.append(part)
            self._start_batches()

    def _is_brief(self, part: _Part) -> bool:
        """True if the part can be answered on the event loop."""
        return (
            part.cost <= _MAX_BRIEF_COST
            and part.top <= _MAX_BRIEF_TOP
            and part.min_precision is None  # else it may need another decider
            and part.model.is_quick
            and self._n_answered.get(part.model, 0) >= _N_FIRST_TEXTS
        )

    def _schedule_brief(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer brief parts once all requests that have arrived are queued."""
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._answer_brief, loop)

    def _answer_brief(self, loop: asyncio.AbstractEventLoop) -> None:
        """Classify a batch of brief parts."""
        self._is_scheduled = False
        batch = _take_batch(self._waiting_brief, _MAX_BRIEF_COST)
        if self._waiting_brief:  # let other requests go first
            self._schedule_brief(loop)
        if batch:
            started = time.perf_counter()
            self._deliver(batch, _decide_batch(batch, self._watch), started)

    def _start_batches(self) -> None:
        """Start batches on idle threads."""
        while self._n_running < self._n_threads:
            batch = _take_batch(self._waiting, _MAX_COST)
            if not batch:
                break
            self._n_running += 1
            self._pool.submit(self._run, batch, asyncio.get_running_loop())

    def _run(self, batch: Sequence[_Part], loop: asyncio.AbstractEventLoop) -> None:
        """Classify a batch; runs on a thread."""
        started = time.perf_counter()
        outcomes = _decide_batch(batch, self._watch)
        loop.call_soon_threadsafe(self._finish, batch, outcomes, started)

    def _finish(self, batch: Sequence[_Part], outcomes: list[_Outcome], started: float) -> None:
        model, n_texts = batch[0].model, sum(len(part.texts) for part in batch)
        self._n_running -= 1
        self._n_answered[model] = self._n_answered.get(model, 0) + n_texts
        self._start_batches()  # first, to keep the thread busy
        self._deliver(batch, outcomes, started)

    def _deliver(self, batch: Sequence[_Part], outcomes: list[_Outcome], started: float) -> None:
        """Give each part its decisions and count them."""
        decisions: list[Decision] = []
        for part, outcome in zip(batch, outcomes, strict=True):
            self._metrics.observe("request_queue_duration_seconds", started - part.queued_at)
            if isinstance(outcome, list):
                decisions += outcome
            if part.future.done():  # cancelled
                continue
            if isinstance(outcome, Exception):
                part.future.set_exception(outcome)
            else:
                part.future.set_result(outcome)
        seconds = time.perf_counter() - started
        self._metrics.observe("request_inference_duration_seconds", seconds)
        self._metrics.observe("batch_size", len(decisions))
        self._metrics.count_decisions(decisions)


def _split(texts: Sequence[str]) -> Iterator[tuple[Sequence[str], int]]:
    """Split texts into parts that fit into a batch, with costs; a longer text is its own part."""
    start, cost = 0, 0
    for index, text in enumerate(texts):
        more = _text_cost(text)
        if index > start and cost + more > _MAX_COST:
            yield texts[start:index], cost
            start, cost = index, 0
        cost += more
    if start < len(texts):
        yield texts[start:], cost


def _text_cost(text: str) -> int:
    """Return the cost of a text: the length of an English text that takes at least as long.

    >>> _text_cost("wheat"), _text_cost("Weizenähre")
    (261, 336)
    """
    return _TEXT_COST + (len(text) if text.isascii() else _SLOW_CHARACTER * len(text))


def _take_batch(waiting: deque[_Part], max_cost: int) -> list[_Part]:
    """Remove and return the next parts that can share a batch; empty if none are waiting."""
    batch: list[_Part] = []
    while waiting:
        part = waiting[0]
        if not part.future.done():  # else cancelled
            if batch and (part.cost > max_cost or not part.can_join(batch[0])):
                break
            batch.append(part)
            max_cost -= part.cost
        waiting.popleft()
    return batch


def _decide_batch(batch: Sequence[_Part], watch: Watch | None) -> list[_Outcome]:
    """Return each part's decisions, or its error."""
    model, min_precision = batch[0].model, batch[0].min_precision
    texts = [text for part in batch for text in part.texts]
    try:
        answered = model.answer(texts, min_precision, max(part.top for part in batch))
    except Exception as error:  # noqa: BLE001 - passed on to each request
        if len(batch) == 1:
            return [error]
        # Retry one by one: perhaps only one request is at fault.
        return [outcome for part in batch for outcome in _decide_batch([part], watch)]
    if watch is not None and batch[0].is_watched:
        watch.add(model, answered)
    decisions = iter(answered.decisions)
    return [list(itertools.islice(decisions, len(part.texts))) for part in batch]
