"""Classification in batches across requests, on threads or the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from slugline.model.decision import N_GUESSES, Decision
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import AnsweredTexts, ServedModel
from slugline.serving.service_errors import BusyError
from slugline.serving.watch.recorder import Watch

# Maximum batch size. Larger batches are hardly faster and delay later requests.
_MAX_TEXTS = 128
_MAX_CHARACTERS = 1 << 17
# Maximum size of a batch on the event loop, which it blocks for half a millisecond; characters
# are weighted by `_weigh_characters`.
_MAX_BRIEF_TEXTS = 32
_MAX_BRIEF_CHARACTERS = 1 << 14
# Weight of a character in slow scripts: up to this many times the cost of an English one.
_SLOW_CHARACTER = 8
# Maximum number of topics per text in such a batch.
_MAX_BRIEF_TOP = 20
# Classify this many texts of a model on threads first, while it builds its tables.
_N_FIRST_TEXTS = 1024
# Smaller batches finish so quickly that new texts wait for their thread: a second thread would
# mostly wait for the GIL.
_FEW_TEXTS = 32

_Outcome: TypeAlias = list[Decision] | Exception


@dataclass(eq=False)
class _QueuedRequest:
    """Texts of one request."""

    model: ServedModel
    min_precision: float | None
    top: int
    texts: Sequence[str]
    is_watched: bool
    future: asyncio.Future[list[Decision]]
    queued_at: float = field(default_factory=time.perf_counter)
    #: Number of texts already passed to a thread.
    n_started: int = 0
    #: Decisions by index of the first text.
    decisions: dict[int, list[Decision]] = field(default_factory=dict)
    n_decided: int = 0

    def can_join(self, other: _QueuedRequest) -> bool:
        """True if both requests can share a batch."""
        return self.model is other.model and self.min_precision == other.min_precision

    def take(self, n_texts: int, n_characters: int, weigh: Callable[[str], int]) -> slice:
        """Return the next texts within the limits, at least one; `weigh` counts characters."""
        start = self.n_started
        end = start + 1
        n_characters -= weigh(self.texts[start])
        while end < min(len(self.texts), start + n_texts):
            n_characters -= weigh(self.texts[end])
            if n_characters < 0:
                break
            end += 1
        self.n_started = end
        return slice(start, end)

    def accept(self, start: int, outcome: _Outcome) -> None:
        """Store the decisions for the texts from `start` on, or their error."""
        if self.future.done():  # cancelled
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
            return
        self.decisions[start] = outcome
        self.n_decided += len(outcome)
        if self.n_decided == len(self.texts):
            parts = (self.decisions[at] for at in sorted(self.decisions))
            self.future.set_result(list(itertools.chain.from_iterable(parts)))


_Batch: TypeAlias = list[tuple[_QueuedRequest, slice]]


class _WaitingTexts:
    """Requests with texts waiting for a batch.

    Parameters
    ----------
    max_texts, max_characters : int
        Maximum per batch.
    weigh : callable, default len
        Returns the weighted number of characters in a text.

    Attributes
    ----------
    n_texts : int
        Number of texts not yet in a batch.
    """

    def __init__(
        self, max_texts: int, max_characters: int, weigh: Callable[[str], int] = len
    ) -> None:
        self._max_texts, self._max_characters, self._weigh = max_texts, max_characters, weigh
        self._requests: deque[_QueuedRequest] = deque()
        self.n_texts = 0

    def append(self, request: _QueuedRequest) -> None:
        """Add a request at the end."""
        self._requests.append(request)
        self.n_texts += len(request.texts)

    def take_batch(self) -> _Batch:
        """Return the next texts for one model, or an empty batch if no request is waiting."""
        batch: _Batch = []
        n_texts, n_characters = self._max_texts, self._max_characters
        while self._requests and n_texts > 0 and n_characters > 0:
            request = self._requests[0]
            if request.future.done():  # cancelled
                self._requests.popleft()
                self.n_texts -= len(request.texts) - request.n_started
                continue
            if batch and not request.can_join(batch[0][0]):
                break
            if batch and self._weigh(request.texts[request.n_started]) > n_characters:
                break
            part = request.take(n_texts, n_characters, self._weigh)
            batch.append((request, part))
            n_texts -= part.stop - part.start
            self.n_texts -= part.stop - part.start
            n_characters -= sum(map(self._weigh, request.texts[part]))
            self._requests.popleft()
            if request.n_started < len(request.texts):
                self._requests.append(request)  # behind the others
                break
        return batch


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
        self._n_threads = n_threads
        self._waiting = _WaitingTexts(_MAX_TEXTS, _MAX_CHARACTERS)
        self._waiting_brief = _WaitingTexts(
            _MAX_BRIEF_TEXTS, _MAX_BRIEF_CHARACTERS, _weigh_characters
        )
        self._is_scheduled = False
        # Number of texts in each running batch.
        self._batch_sizes: list[int] = []
        # Number of texts of each model classified on threads.
        self._n_answered = weakref.WeakKeyDictionary[ServedModel, int]()
        self._metrics, self._watch = metrics, watch
        # Topics in replies under construction, each of which takes some memory.
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
        loop = asyncio.get_running_loop()
        request = _QueuedRequest(model, min_precision, top, texts, is_watched, loop.create_future())
        self._metrics.change_queue(1)
        if self._is_brief(request):
            self._waiting_brief.append(request)
            self._schedule_brief(loop)
        else:
            self._waiting.append(request)
            self._start_batches()
        try:
            return await request.future
        finally:  # cancelled or not
            self._metrics.change_queue(-1)

    def close(self) -> None:
        """Shut down the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _is_brief(self, request: _QueuedRequest) -> bool:
        """True if the request can be answered on the event loop."""
        return (
            len(request.texts) <= _MAX_BRIEF_TEXTS
            and request.top <= _MAX_BRIEF_TOP
            and request.min_precision is None  # else it may need another decider
            and request.model.is_quick
            and self._n_answered.get(request.model, 0) >= _N_FIRST_TEXTS
            and sum(map(_weigh_characters, request.texts)) <= _MAX_BRIEF_CHARACTERS
        )

    def _schedule_brief(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer brief requests once all requests that have arrived are queued."""
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._answer_brief, loop)

    def _answer_brief(self, loop: asyncio.AbstractEventLoop) -> None:
        """Classify a batch of brief requests."""
        self._is_scheduled = False
        batch = self._waiting_brief.take_batch()
        if self._waiting_brief.n_texts:  # let other requests go first
            self._schedule_brief(loop)
        if batch:
            started = time.perf_counter()
            self._deliver(batch, _decide_batch(batch, self._watch), started)

    def _start_batches(self) -> None:
        """Start batches on idle threads."""
        while self._should_start() and (batch := self._waiting.take_batch()):
            self._batch_sizes.append(_n_texts(batch))
            self._pool.submit(self._run, batch, asyncio.get_running_loop())

    def _should_start(self) -> bool:
        """True if a thread is free and enough texts are waiting."""
        if len(self._batch_sizes) == self._n_threads:
            return False
        is_busy = max(self._batch_sizes, default=_FEW_TEXTS) >= _FEW_TEXTS
        return is_busy or self._waiting.n_texts >= _FEW_TEXTS

    def _run(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        """Classify a batch; runs on a thread."""
        started = time.perf_counter()
        outcomes = _decide_batch(batch, self._watch)
        loop.call_soon_threadsafe(self._finish, batch, outcomes, started)

    def _finish(self, batch: _Batch, outcomes: list[_Outcome], started: float) -> None:
        n_texts, model = _n_texts(batch), batch[0][0].model
        self._batch_sizes.remove(n_texts)
        self._n_answered[model] = self._n_answered.get(model, 0) + n_texts
        self._start_batches()  # first, to keep the thread busy
        self._deliver(batch, outcomes, started)

    def _deliver(self, batch: _Batch, outcomes: list[_Outcome], started: float) -> None:
        """Give each request its decisions and count them."""
        for (request, part), outcome in zip(batch, outcomes, strict=True):
            if part.start == 0:
                self._metrics.observe("request_queue_duration_seconds", started - request.queued_at)
            request.accept(part.start, outcome)
        self._count(outcomes, time.perf_counter() - started)

    def _count(self, outcomes: list[_Outcome], seconds: float) -> None:
        metrics = self._metrics
        decisions = [
            decision for result in outcomes if isinstance(result, list) for decision in result
        ]
        metrics.observe("request_inference_duration_seconds", seconds)
        metrics.observe("batch_size", len(decisions))
        metrics.add("documents", len(decisions))
        metrics.add("unsure", sum(decision.reason is not None for decision in decisions))
        metrics.observe("confidence", *(decision.probability for decision in decisions))


def _weigh_characters(text: str) -> int:
    """Return the length of an English text that takes at least as long to classify.

    >>> _weigh_characters("wheat"), _weigh_characters("Weizenähre")
    (5, 80)
    """
    return len(text) if text.isascii() else _SLOW_CHARACTER * len(text)


def _n_texts(batch: _Batch) -> int:
    return sum(part.stop - part.start for _, part in batch)


def _decide_batch(batch: _Batch, watch: Watch | None) -> list[_Outcome]:
    """Return each request's decisions, or its error."""
    model, min_precision = batch[0][0].model, batch[0][0].min_precision
    texts = [text for request, part in batch for text in request.texts[part]]
    try:
        answered = model.answer(texts, min_precision, max(request.top for request, _ in batch))
    except Exception as error:  # noqa: BLE001 - passed on to each request
        if len(batch) == 1:
            return [error]
        # Retry one by one: perhaps only one request is at fault.
        return [outcome for part in batch for outcome in _decide_batch([part], watch)]
    if watch is not None:
        _add_watched(batch, answered, watch)
    decisions = iter(answered.decisions)
    return [list(itertools.islice(decisions, part.stop - part.start)) for _, part in batch]


def _add_watched(batch: _Batch, answered: AnsweredTexts, watch: Watch) -> None:
    """Add the texts of watched requests to the daily sums."""
    is_watched = [request.is_watched for request, _ in batch]
    model = batch[0][0].model
    if all(is_watched):
        watch.add(model, answered)
    elif any(is_watched):
        sizes = [part.stop - part.start for _, part in batch]
        watch.add(model, answered.take(np.flatnonzero(np.repeat(is_watched, sizes))))
