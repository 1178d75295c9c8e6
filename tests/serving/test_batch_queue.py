"""The queue of texts: which are answered on the event loop, and in which batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from slugline.model.decision import Decision
from slugline.serving.batch_queue import BatchQueue
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import AnsweredTexts, ServedModel
from slugline.text.features import WordCounts

FIRST = ["wheat"] * 1024


class Recorder:
    """A model that records its batches, and on which thread it answered them."""

    def __init__(self, *, is_quick: bool = True) -> None:
        self.is_quick = is_quick
        self.batches: list[list[str]] = []
        self.threads: list[int] = []

    def answer(self, texts: Sequence[str], *_: object) -> AnsweredTexts:
        self.batches.append([*texts])
        self.threads.append(threading.get_ident())
        if "error" in texts:
            raise ValueError("error")
        decisions = [Decision(text, 1.0, None, [(text, 1.0)]) for text in texts]
        counts = np.ones(len(texts), dtype=np.int64)
        return AnsweredTexts(
            texts, decisions, np.ones((len(texts), 1), np.float32), WordCounts(counts, counts)
        )


def ask(model: Any, *requests: Sequence[str], n_first: int = 1024, **options: Any) -> list[Any]:
    """Return the topics, or the errors, of requests that arrive together after first texts."""

    async def ask_all() -> list[Any]:
        queue = BatchQueue(1, Metrics(), 10**6, None)
        served: ServedModel = model
        if n_first:
            await queue.decide(served, FIRST[:n_first])
        model.batches.clear()
        model.threads.clear()
        coroutines = [queue.decide(served, texts, **options) for texts in requests]
        outcomes = await asyncio.gather(*coroutines, return_exceptions=True)
        queue.close()
        return outcomes

    return [
        outcome if isinstance(outcome, BaseException) else [each.topic for each in outcome]
        for outcome in asyncio.run(ask_all())
    ]


def is_on_event_loop(model: Recorder) -> bool:
    """Whether all batches were answered on the thread of the event loop, which is this one."""
    return set(model.threads) == {threading.get_ident()}


def test_decide_answers_short_texts_that_arrive_together_in_one_batch_on_the_event_loop() -> None:
    model = Recorder()
    assert ask(model, ["a"], ["b", "c"], ["d"]) == [["a"], ["b", "c"], ["d"]]
    assert model.batches == [["a", "b", "c", "d"]]
    assert is_on_event_loop(model)


def test_decide_limits_the_cost_of_batches_on_the_event_loop() -> None:
    model, long, slow = Recorder(), "a" * 20_000, "ä" * 2000
    requests = [["a"] * 60, ["b"] * 60, [long], [long], [slow], [slow], ["a"]]
    assert ask(model, *requests) == requests
    assert [len(batch) for batch in model.batches] == [120, 1, 1, 2, 1]
    assert is_on_event_loop(model)


def test_decide_splits_long_requests_and_lets_others_take_turns() -> None:
    model = Recorder()
    assert ask(model, ["a"] * 1000, ["b"], min_precision=0.5) == [["a"] * 1000, ["b"]]
    assert len(model.batches) == 3
    assert model.batches[1] == ["b", *["a"] * len(model.batches[1][1:])]
    assert ask(Recorder(), []) == [[]]


@pytest.mark.parametrize(
    ("model", "texts", "options"),
    [
        (Recorder(is_quick=False), ["a"], {}),
        (Recorder(), ["a"], {"n_first": 1023}),
        (Recorder(), ["a"] * 128, {}),
        (Recorder(), ["a" * 32_768], {}),
        (Recorder(), ["ä" * 4096], {}),
        (Recorder(), ["a"], {"top": 21}),
        (Recorder(), ["a"], {"min_precision": 0.9}),
    ],
    ids=[
        "slow model",
        "first texts",
        "many texts",
        "long text",
        "slow script",
        "many topics",
        "precision",
    ],
)
def test_decide_answers_what_may_take_long_on_threads(
    model: Recorder, texts: list[str], options: dict[str, Any]
) -> None:
    assert ask(model, texts, **options) == [texts]
    assert threading.get_ident() not in model.threads


def test_decide_on_the_event_loop_gives_an_error_to_the_request_that_causes_it() -> None:
    good, bad = ask(Recorder(), ["a"], ["error"])
    assert good == ["a"]
    assert repr(bad) == "ValueError('error')"


def test_decide_leaves_out_requests_that_were_cancelled() -> None:
    model = Recorder()

    async def cancel_one() -> list[str]:
        queue = BatchQueue(1, Metrics(), 10**6, None)
        served: Any = model
        await queue.decide(served, FIRST)
        model.batches.clear()
        first = asyncio.ensure_future(queue.decide(served, ["a"]))
        second = asyncio.ensure_future(queue.decide(served, ["b"]))
        await asyncio.sleep(0)  # both wait in the queue
        first.cancel()
        topics = [str(each.topic) for each in await second]
        queue.close()
        return topics

    assert asyncio.run(cancel_one()) == ["b"]
    assert model.batches == [["b"]]
