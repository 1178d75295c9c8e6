"""When training stops, which epoch it goes back to, and what Ctrl-C does to it."""

from __future__ import annotations

import math
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from slugline.base.interruption import catch_interrupt
from slugline.base.progress import SilentProgress
from slugline.errors import OptionError
from slugline.learning.net.training import BestEpoch, EarlyStopping


def run(stopping: EarlyStopping, values: list[float]) -> tuple[int, int]:
    """Return the best epoch of a run with such values, and the one after which it stopped."""
    best = BestEpoch(stopping)
    for epoch, value in enumerate(values, start=1):
        best.improves(epoch, {stopping.monitor: value})
        if best.is_over(epoch):
            break
    return best.epoch, epoch


@pytest.mark.parametrize(
    ("stopping", "values", "expected"),
    [
        pytest.param(EarlyStopping(), [5, 4, 3, 3.5, 3.4, 3.3, 1], (3, 6), id="three bad epochs"),
        pytest.param(EarlyStopping(), [5, 4, 6, 6, 3, 4], (5, 6), id="better just in time"),
        pytest.param(EarlyStopping(), [3, 3, 3, 3, 3], (1, 4), id="a tie is no improvement"),
        pytest.param(EarlyStopping(), [math.inf] * 5, (1, 3), id="no progress from the start"),
        pytest.param(EarlyStopping(patience=0), [5, 4, 6, 1], (2, 3), id="patience 0"),
        pytest.param(EarlyStopping(patience=1), [5, 4, 6, 1], (2, 3), id="patience 1, the same"),
        pytest.param(EarlyStopping(patience=None), [5, 1, 6, 7, 8, 9], (2, 6), id="no end"),
        pytest.param(
            EarlyStopping(min_delta=1), [5, 4.5, 3.9, 3.5, 3, 3, 1], (5, 6), id="min_delta"
        ),
        pytest.param(
            EarlyStopping(min_delta=1), [5, 4, 4, 4, 1], (2, 4), id="min_delta is to be beaten"
        ),
        pytest.param(EarlyStopping("val_accuracy"), [1, 3, 2, 2, 2, 9], (2, 5), id="should rise"),
        pytest.param(EarlyStopping("loss"), [3, 1, 2, 2, 2, 0], (2, 5), id="training loss"),
        pytest.param(
            EarlyStopping("val_accuracy", min_delta=0.5),
            [1, 1.4, 1.6, 2, 2, 2, 9],
            (4, 6),
            id="should rise by min_delta",
        ),
    ],
)
def test_early_stopping_stops_when_patience_ends(
    stopping: EarlyStopping, values: list[float], expected: tuple[int, int]
) -> None:
    assert run(stopping, values) == expected


def test_early_stopping_rejects_an_unknown_metric() -> None:
    with pytest.raises(OptionError) as caught:
        BestEpoch(EarlyStopping()).improves(1, {"loss": 1.0, "accuracy": 0.5})
    assert str(caught.value) == (
        "early stopping monitors 'val_loss', but the only metrics are loss, accuracy; pass "
        "`validation_data`, or monitor one of these."
    )


# Ctrl-C -----------------------------------------------------------------------------------------

Press = Callable[..., None]


@pytest.fixture
def press_ctrl_c() -> Iterator[Press]:
    """Return a way to press it."""

    def press(times: int = 1) -> None:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    yield press
    signal.signal(signal.SIGINT, before)


def test_catch_interrupt_sets_a_flag_and_restores_the_handler(press_ctrl_c: Press) -> None:
    with catch_interrupt() as interrupt:
        requested = [interrupt.requested]
        press_ctrl_c()
        requested.append(interrupt.requested)
    assert requested == [False, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_catch_interrupt_acknowledges_at_once_even_if_the_stream_is_busy(
    press_ctrl_c: Press,
) -> None:
    notes, is_free = queue.Queue[str](), threading.Event()

    class Busy(SilentProgress):
        def note(self, text: str) -> None:
            assert is_free.wait(600)  # what interrupted code has begun, such as a line, ends first
            notes.put(text)

    with catch_interrupt(Busy(), "this candidate"):
        press_ctrl_c()
        is_free.set()
        assert notes.get(timeout=600) == (
            "interrupted: finishing this candidate; press Ctrl-C again to stop now"
        )


def test_catch_interrupt_leaves_a_handler_of_the_application(press_ctrl_c: Press) -> None:
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    with catch_interrupt() as interrupt:
        press_ctrl_c()
    assert received == [signal.SIGINT]
    assert not interrupt.requested


def test_catch_interrupt_leaves_signals_on_another_thread(press_ctrl_c: Press) -> None:
    during = []

    def work() -> None:
        with catch_interrupt() as interrupt:
            during.append((signal.getsignal(signal.SIGINT), interrupt.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == [(signal.default_int_handler, False)]


@pytest.mark.parametrize("shared", [True, False])
def test_catch_interrupt_shares_the_flag_with_an_inner_block(
    shared: bool, press_ctrl_c: Press
) -> None:
    with catch_interrupt(shared=shared) as outer:
        with catch_interrupt() as inner:
            press_ctrl_c()
        assert outer.requested
        assert inner.requested == shared
        with catch_interrupt() as later:
            assert later.requested == shared
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
