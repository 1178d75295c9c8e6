"""Caches reports for some seconds, so that many requests can't keep the processor busy."""

from __future__ import annotations

import asyncio
import datetime
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from slugline.serving.background import BackgroundThreads
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.report import WatchReport, make_report
from slugline.serving.watch.store import StoredAlert, WatchStore

# The smallest number of seconds for which a report serves.
_SECONDS = 5.0
# The multiple of the time that a report took for which it serves, so that reports take at most a
# twentieth of a processor.
_PAUSE_FACTOR = 20


class _CachedReport(NamedTuple):
    """A report, and until when it serves.

    Attributes
    ----------
    report : WatchReport or None
    day : date
        The day on which it was made.
    alerts : list of StoredAlert
        The alerts that it was made with: any worker may add or accept some.
    expires : float
        By the clock of the cache.
    """

    report: WatchReport | None
    day: datetime.date
    alerts: list[StoredAlert]
    expires: float


class ReportCache:
    """Reports on the daily sums of models, of which only one is made at a time.

    Parameters
    ----------
    watch : Watch
        What sums the answers.
    store : WatchStore
        The file of the sums.
    threads : BackgroundThreads
    clock : callable, optional
        Returns seconds.
    """

    def __init__(
        self,
        watch: Watch,
        store: WatchStore,
        threads: BackgroundThreads,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch, self._store, self._threads, self._clock = watch, store, threads, clock
        self._lock = asyncio.Lock()
        # Versions of models that are no longer served drop out.
        self._reports = weakref.WeakKeyDictionary[ServedModel, _CachedReport]()

    async def report(self, model: ServedModel) -> WatchReport | None:
        """Return a report on a model that is some seconds old at most; None without texts.

        It is finished and kept even if the request that waits for it breaks off.

        Raises
        ------
        StoreError : if the file can't be read.
        """
        return await asyncio.shield(asyncio.ensure_future(self._latest_report(model)))

    async def _latest_report(self, model: ServedModel) -> WatchReport | None:
        async with self._lock:
            today = self._watch.today()
            alerts = await self._threads.run(self._store.alerts, model.digest)
            cached = self._reports.get(model)
            if (
                cached is not None
                and (cached.day, cached.alerts) == (today, alerts)
                and self._clock() < cached.expires
            ):
                return cached.report
            began = self._clock()
            await self._threads.run(self._watch.write)  # so that the latest texts count
            report = await self._threads.run(make_report, self._store, model, today)
            now = self._clock()
            expires = now + max(_SECONDS, _PAUSE_FACTOR * (now - began))
            self._reports[model] = _CachedReport(report, today, alerts, expires)
            return report
