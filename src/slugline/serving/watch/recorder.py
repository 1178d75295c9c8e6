"""Sums what a server answers, by day, off the path of requests."""

from __future__ import annotations

import datetime
import itertools
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

import numpy as np

from slugline.base.arrays import I64
from slugline.model.decision import Decision
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import AnsweredTexts, ServedModel
from slugline.serving.watch.day_sums import DaySums
from slugline.serving.watch.store import WatchedModel, WatchStore
from slugline.text.features import WordCounts

_log = logging.getLogger("slugline.server")

# Seconds between two additions to the file.
_SECONDS = 5.0
# The largest number of probabilities that wait to be summed. Beyond it, the thread that classifies
# sums them.
_MAX_PENDING = 4_000_000


def utc_today() -> datetime.date:
    """Return the current day, in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


def watched_model(model: ServedModel) -> WatchedModel:
    """Return what identifies a model in the file."""
    names = tuple(model.fitted.topics.names)
    return WatchedModel(model.name, model.digest, names, model.fitted.multilabel)


class Watch:
    """Sums over the answers of a server, by day and version of the model.

    Answers are collected in memory, and summed and added to the file by a thread. If the file can't
    be written, the sums wait in memory, and requests are answered as always.

    Parameters
    ----------
    metrics : Metrics
    store : WatchStore or None, default None
        It is closed by `close`. Without it, sums are counted by the metrics only.
    today : callable, optional
        Returns the current day.
    seconds : float, default 5.0
        Seconds between two additions to the file.
    """

    def __init__(
        self,
        metrics: Metrics,
        store: WatchStore | None = None,
        *,
        today: Callable[[], datetime.date] = utc_today,
        seconds: float = _SECONDS,
    ) -> None:
        self.store, self.today = store, today
        #: Called on the thread after sums were written, with the store and the current day.
        self.on_written: Callable[[WatchStore, datetime.date], object] | None = None
        #: Why the file can't be written at the moment; None if it can.
        self.problem: str | None = None
        self._metrics, self._seconds = metrics, seconds
        self._pending: deque[tuple[ServedModel, datetime.date, AnsweredTexts | None]] = deque()
        self._n_pending = 0
        self._sums: dict[tuple[WatchedModel, datetime.date], DaySums] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. It must be in the process that answers, which may be forked."""
        self._thread = threading.Thread(target=self._run, name="slugline-watch", daemon=True)
        self._thread.start()

    def add(self, model: ServedModel, texts: AnsweredTexts) -> None:
        """Add answered texts; it takes about a microsecond."""
        self._pending.append((model, self.today(), texts))
        self._n_pending += texts.proba.size
        if self._n_pending > _MAX_PENDING:
            self._sum_pending()

    def count_correction(self, model: ServedModel) -> None:
        """Count a correction of an answer of a model."""
        self._pending.append((model, self.today(), None))

    def write(self) -> None:
        """Add the sums so far to the metrics and the file; `problem` says why if that fails."""
        self._sum_pending()
        if self.store is None:
            return
        with self._lock:
            sums, self._sums = self._sums, {}
        try:
            self.store.add(sums)
        except Exception as error:  # noqa: BLE001 - answers don't depend on it
            self._restore(sums)
            if self.problem is None:
                _log.error("daily sums can't be written, and wait in memory: %s", error)
            self.problem = f"{error}"
            return
        if self.problem is not None:
            _log.info("daily sums are written again")
        self.problem = None
        if self.on_written is not None:
            self.on_written(self.store, self.today())

    def close(self) -> None:
        """Write the last sums, end the thread, and close the file."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._seconds)
        self.write()
        if self.store is not None:
            self.store.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self.write()
            except Exception:  # noqa: BLE001 - it must go on, and answers don't depend on it
                _log.exception("daily sums could not be written")

    def _sum_pending(self) -> None:
        """Sum the answers that wait."""
        with self._lock:
            batches: dict[tuple[int, datetime.date], tuple[ServedModel, list[AnsweredTexts]]] = {}
            while self._pending:
                model, day, texts = self._pending.popleft()
                if texts is None:
                    if self.store is not None:
                        self._sums_of(model, day).n_corrections += 1
                    continue
                batches.setdefault((id(model), day), (model, []))[1].append(texts)
            self._n_pending = 0
            for (_, day), (model, parts) in batches.items():
                self._sum(model, day, parts)

    def _sum(self, model: ServedModel, day: datetime.date, parts: list[AnsweredTexts]) -> None:
        proba = np.concatenate([part.proba for part in parts])
        words = WordCounts.concatenate([part.words for part in parts])
        decisions = [decision for part in parts for decision in part.decisions]
        answers = _count_answers(model, decisions)
        counts = np.stack([answers, proba.sum(axis=0, dtype=np.float64)])
        self._metrics.count_topics(model.name, model.fitted.topics.names, counts)
        self._metrics.add("words_total", float(np.sum(words.n_words)))
        self._metrics.add("unknown_words_total", float(np.sum(words.n_unknown)))
        if self.store is not None:
            self._sums_of(model, day).add_texts(proba, words, decisions, answers)

    def _sums_of(self, model: ServedModel, day: datetime.date) -> DaySums:
        key = watched_model(model), day
        if key not in self._sums:
            self._sums[key] = DaySums(len(model.fitted.topics), model.fitted.multilabel)
        return self._sums[key]

    def _restore(self, sums: dict[tuple[WatchedModel, datetime.date], DaySums]) -> None:
        """Keep sums that could not be written for the next time."""
        with self._lock:
            for key, later in self._sums.items():
                if key in sums:
                    sums[key].add(later)
                else:
                    sums[key] = later
            self._sums = sums


def _count_answers(model: ServedModel, decisions: Sequence[Decision]) -> I64:
    """Return how many decisions give each topic, shape (n_topics,)."""
    given = (
        [decision.topic] if decision.topics is None else decision.topics for decision in decisions
    )
    counts = Counter(itertools.chain.from_iterable(given))
    return np.array([counts[name] for name in model.fitted.topics.names], dtype=np.int64)
