"""Reports on daily sums that serve many requests, and are made one at a time."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from served_days import FIRST, serve_days
from slugline.serving.background import BackgroundThreads
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.day_sums import DaySums
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.report import WatchReport
from slugline.serving.watch.report_cache import ReportCache
from slugline.serving.watch.store import StoredAlert, WatchStore


class SlowStore(WatchStore):
    """A store that takes its time, and counts who reads days at once."""

    n_reads = n_at_once = max_at_once = 0
    _counting = threading.Lock()

    def days(self, *args: Any, **options: Any) -> dict[datetime.date, DaySums]:
        with self._counting:
            self.n_reads += 1
            self.n_at_once += 1
            self.max_at_once = max(self.max_at_once, self.n_at_once)
        time.sleep(0.02)
        try:
            return super().days(*args, **options)
        finally:
            with self._counting:
                self.n_at_once -= 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlowStore]:
    """Return a file of daily sums."""
    with SlowStore(tmp_path / "watch.db") as found:
        yield found


@pytest.fixture
def model(news_slug: Path, store: SlowStore) -> ServedModel:
    """Return a model that has answered texts on two days."""
    found = ServedModel.load(str(news_slug))
    serve_days(store, found, [(2, 2, 2)] * 2)
    return found


@pytest.fixture
def now() -> list[float]:
    """Return the seconds that the cache's clock shows."""
    return [0.0]


@pytest.fixture
def use_cache(
    store: SlowStore, now: list[float]
) -> Callable[[Callable[[ReportCache, Watch], Awaitable[None]]], None]:
    """Return a function that runs a coroutine with a cache."""

    def run(use: Callable[[ReportCache, Watch], Awaitable[None]]) -> None:
        async def with_cache() -> None:
            threads = BackgroundThreads(4)
            watch = Watch(Metrics(), store, today=lambda: FIRST + datetime.timedelta(2))
            try:
                await use(ReportCache(watch, store, threads, clock=lambda: now[0]), watch)
            finally:
                threads.close()

        asyncio.run(with_cache())

    return run


def n_texts(report: WatchReport | None) -> int:
    assert report is not None
    return sum(day.n_texts for day in report.days)


def test_report_cache_makes_one_report_for_many_requests(
    store: SlowStore, model: ServedModel, use_cache: Any
) -> None:
    async def use(cache: ReportCache, _: Watch) -> None:
        reports = await asyncio.gather(*(cache.report(model) for _ in range(20)))
        assert all(report is reports[0] for report in reports)
        assert n_texts(reports[0]) == 12

    use_cache(use)
    assert store.n_reads == 2


def test_report_cache_makes_one_report_at_a_time(
    store: SlowStore, model: ServedModel, news_slug: Path, use_cache: Any
) -> None:
    models = [model, *(ServedModel.load(str(news_slug)) for _ in range(3))]

    async def use(cache: ReportCache, _: Watch) -> None:
        await asyncio.gather(*(cache.report(each) for each in models))

    use_cache(use)
    assert store.n_reads == 2 * len(models)
    assert store.max_at_once == 1


def test_report_cache_makes_another_report_after_some_seconds(
    model: ServedModel, now: list[float], use_cache: Any
) -> None:
    async def use(cache: ReportCache, watch: Watch) -> None:
        await cache.report(model)
        watch.add(model, model.answer(["wheat"]))
        now[0] = 4.9
        assert n_texts(await cache.report(model)) == 12
        now[0] = 5.0
        assert n_texts(await cache.report(model)) == 13

    use_cache(use)


def test_report_cache_makes_another_report_after_an_alert(
    store: SlowStore, model: ServedModel, use_cache: Any
) -> None:
    async def use(cache: ReportCache, _: Watch) -> None:
        for is_open in (False, True, False):
            report = await cache.report(model)
            assert report is not None
            assert bool(report.alerts) == is_open
            if is_open:
                store.accept(model.digest, "topic 1", FIRST)
            else:
                store.add_alert(model.digest, StoredAlert("topic 1", FIRST, FIRST))

    use_cache(use)


def test_report_cache_keeps_the_report_of_a_request_that_breaks_off(
    store: SlowStore, model: ServedModel, use_cache: Any
) -> None:
    async def use(cache: ReportCache, _: Watch) -> None:
        for _number in range(10):
            request = asyncio.ensure_future(cache.report(model))
            await asyncio.sleep(0.001)
            request.cancel()
        assert n_texts(await cache.report(model)) == 12

    use_cache(use)
    assert store.n_reads == 2
