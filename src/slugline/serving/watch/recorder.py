"""Adds up a server's answers by day, in the background."""

from __future__ import annotations

import datetime
import itertools
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32
from slugline.corpus.documents import Topic
from slugline.model.decision import Decision
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import AnsweredTexts, ServedModel
from slugline.serving.watch.day_sums import DaySums, TextSample, draw_keys, utc_today
from slugline.serving.watch.store import WatchedModel, WatchStore
from slugline.text.features import WordCounts

_log = logging.getLogger("slugline.server")

# Seconds between writes to the file, and between additions to the totals in memory.
_SECONDS, _SUM_SECONDS = 5.0, 0.5
# Maximum number of pending probabilities. Beyond it, the classification thread adds them up.
_MAX_PENDING = 1_000_000


def watched_model(model: ServedModel) -> WatchedModel:
    """Return the identity of a model in the file."""
    names = tuple(model.fitted.topics.names)
    return WatchedModel(model.name, model.digest, names, model.fitted.multilabel)


class _PendingTexts(NamedTuple):
    """Texts answered together, not yet added up.

    Arrays instead of decision objects spare the garbage collector.

    Attributes
    ----------
    model : ServedModel
    day : date
    proba : float32 array, shape (n_texts, n_topics)
    words : WordCounts
    given : tuple of topics
        The assigned topics of all texts.
    n_unsure : int
    texts : sequence of str
        Empty unless texts are kept.
    """

    model: ServedModel
    day: datetime.date
    proba: F32
    words: WordCounts
    given: tuple[Topic, ...]
    n_unsure: int
    texts: Sequence[str]


def _is_empty(decision: Decision) -> bool:
    """True for an empty text, which `slugline count` skips as well."""
    return decision.reason is not None and decision.reason.kind == "no_text"


class Watch:
    """Totals of a server's answers, by day and model version.

    A thread adds up the answers and writes the totals to the file. If the file can't be written,
    the totals wait in memory and requests are still answered.

    Parameters
    ----------
    metrics : Metrics
    store : WatchStore or None, default None
        Closed by `close`. Without it, only the metrics are updated.
    today : callable, optional
        Returns the current day.
    seconds : float, default 5.0
        Seconds between writes to the file.
    n_kept : int, default 0
        Number of random texts to keep per day and version.
    keep_days : int, default 90
        Number of days to keep texts.
    seed : int, optional
        Seed of the random draws; by default, different in each process.
    """

    def __init__(
        self,
        metrics: Metrics,
        store: WatchStore | None = None,
        *,
        today: Callable[[], datetime.date] = utc_today,
        seconds: float = _SECONDS,
        n_kept: int = 0,
        keep_days: int = 90,
        seed: int | None = None,
    ) -> None:
        self.store, self.today = store, today
        #: Called on the thread after each write, with the store and the current day.
        self.on_written: Callable[[WatchStore, datetime.date], object] | None = None
        #: Why the file currently can't be written, or None.
        self.problem: str | None = None
        self._metrics, self._seconds = metrics, seconds
        self._n_kept = n_kept if store is not None else 0
        self._keep_days = keep_days
        self._rng = np.random.default_rng(seed)
        # Last day on which old texts were deleted.
        self._cleared: datetime.date | None = None
        self._pending: deque[_PendingTexts] = deque()
        self._n_pending = 0
        self._sums: dict[tuple[WatchedModel, datetime.date], DaySums] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Call it after forking, since threads don't survive a fork."""
        self._thread = threading.Thread(target=self._run, name="slugline-watch", daemon=True)
        self._thread.start()

    def add(self, model: ServedModel, texts: AnsweredTexts) -> None:
        """Add answered texts, skipping empty ones; takes microseconds."""
        has_text = [not _is_empty(decision) for decision in texts.decisions]
        if not all(has_text):
            texts = texts.take(np.flatnonzero(has_text))
        if not texts.decisions:
            return
        decisions = texts.decisions
        if model.fitted.multilabel:
            given = [topic for decision in decisions for topic in decision.topics or ()]
        else:
            given = [decision.topic for decision in decisions if decision.topic is not None]
        n_unsure = sum(decision.reason is not None for decision in decisions)
        self._pending.append(
            _PendingTexts(
                model=model,
                day=self.today(),
                proba=texts.proba,
                words=texts.words,
                given=tuple(given),
                n_unsure=n_unsure,
                texts=texts.texts if self._n_kept else (),
            )
        )
        self._n_pending += texts.proba.size
        if self._n_pending > _MAX_PENDING:
            self._sum_pending()

    def count_correction(self, model: ServedModel) -> None:
        """Count a correction of a model's answer."""
        if self.store is not None:
            with self._lock:
                self._sums_of(model, self.today()).n_corrections += 1

    def write(self) -> None:
        """Write the totals to the metrics and the file; a failure is reported in `problem`."""
        self._sum_pending()
        if self.store is None:
            return
        with self._lock:
            sums, self._sums = self._sums, {}
        try:
            self.store.add(sums)
        except Exception as error:  # noqa: BLE001 - must not affect answers
            self._restore(sums)
            if self.problem is None:
                _log.error("daily sums can't be written and wait in memory: %s", error)
            self.problem = f"{error}"
            return
        if self.problem is not None:
            _log.info("daily sums are written again")
        self.problem = None

    def close(self) -> None:
        """Write the last totals, end the thread, and close the file."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._seconds)
        self.write()
        if self.store is not None:
            self.store.close()

    def delete_old_texts(self, store: WatchStore) -> None:
        """Delete expired texts, once a day."""
        today = self.today()
        if self._cleared != today:
            store.delete_texts(before=today - datetime.timedelta(self._keep_days))
            self._cleared = today

    def _run(self) -> None:
        written_at = -math.inf
        while not self._stopping.wait(min(self._seconds, _SUM_SECONDS)):
            try:
                self._sum_pending()
                if time.monotonic() - written_at >= self._seconds:
                    written_at = time.monotonic()
                    self.write()
                    if self.store is not None and self.problem is None:
                        self.delete_old_texts(self.store)
                    if self.store is not None and self.on_written is not None:
                        self.on_written(self.store, self.today())
            except Exception:  # noqa: BLE001 - keep running; must not affect answers
                _log.exception("daily sums could not be written or tested")

    def _sum_pending(self) -> None:
        """Add up the pending answers."""
        with self._lock:
            batches: dict[tuple[int, datetime.date], list[_PendingTexts]] = {}
            while self._pending:
                texts = self._pending.popleft()
                batches.setdefault((id(texts.model), texts.day), []).append(texts)
            self._n_pending = 0
            for parts in batches.values():
                self._sum(parts)

    def _sum(self, parts: list[_PendingTexts]) -> None:
        """Add up the texts that one model answered on one day."""
        model, day = parts[0].model, parts[0].day
        names = model.fitted.topics.names
        proba = np.concatenate([part.proba for part in parts])
        words = WordCounts.concatenate([part.words for part in parts])
        given = Counter(itertools.chain.from_iterable(part.given for part in parts))
        answers = np.array([given[name] for name in names], dtype=np.int64)
        counts = np.stack([answers, proba.sum(axis=0, dtype=np.float64)])
        self._metrics.count_topics(model.name, names, counts)
        self._metrics.add("words", float(np.sum(words.n_words)))
        self._metrics.add("unknown_words", float(np.sum(words.n_unknown)))
        if self.store is not None:
            sums = self._sums_of(model, day)
            sums.n_unsure += sum(part.n_unsure for part in parts)
            heldout = model.fitted.heldout_predictions
            sums.add_texts(proba, words, None if heldout is None else heldout.words)
            if self._n_kept:
                texts = [text for part in parts for text in part.texts]
                if sums.sample is None:
                    sums.sample = TextSample(self._n_kept)
                sums.sample.add_texts(texts, draw_keys(self._rng, len(texts)))

    def _sums_of(self, model: ServedModel, day: datetime.date) -> DaySums:
        key = watched_model(model), day
        if key not in self._sums:
            self._sums[key] = DaySums(len(model.fitted.topics), model.fitted.multilabel)
        return self._sums[key]

    def _restore(self, sums: dict[tuple[WatchedModel, datetime.date], DaySums]) -> None:
        """Keep totals that could not be written for the next attempt."""
        with self._lock:
            for key, later in self._sums.items():
                if key in sums:
                    sums[key].add(later)
                else:
                    sums[key] = later
            self._sums = sums
