"""A function that is called in a thread of its own whenever something has changed."""

from __future__ import annotations

import threading

from slugline.base.latest_task import LatestTask


def test_latest_task_runs_once_for_requests_that_arrive_meanwhile() -> None:
    started, go_on, n_calls = threading.Event(), threading.Event(), 0

    def run() -> None:
        nonlocal n_calls
        n_calls += 1
        started.set()
        go_on.wait(60)

    task = LatestTask(run, name="test")
    task.request()
    assert started.wait(60)
    for _ in range(5):
        task.request()
    assert not task.is_latest
    go_on.set()
    assert task.wait(60)
    assert n_calls == 2
    task.close()


def test_latest_task_ends_its_thread_and_ignores_later_requests() -> None:
    task = LatestTask(lambda: None, name="test")
    task.close(60)
    task.request()
    assert not task.wait(60)
    assert not any(each.name == "test" for each in threading.enumerate())
