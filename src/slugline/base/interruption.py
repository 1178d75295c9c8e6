"""Stops work on a thread, such as reading an endless file, when its result is no longer wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar


class Interruption(Exception):  # noqa: N818 - no error: nobody wants the result
    """The result of a thread's work is no longer wanted."""


_is_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("is_unwanted", default=None)


@contextlib.contextmanager
def interruptible(is_unwanted: Callable[[], bool]) -> Iterator[None]:
    """Let `check_interruption` call `is_unwanted` on this thread to decide whether to stop.

    >>> with interruptible(lambda: True):
    ...     check_interruption()
    Traceback (most recent call last):
        ...
    slugline.base.interruption.Interruption
    """
    token = _is_unwanted.set(is_unwanted)
    try:
        yield
    finally:
        _is_unwanted.reset(token)


def check_interruption() -> None:
    """Raise an Interruption if the result of this thread's work is no longer wanted.

    Functions that may take seconds call it regularly.
    """
    is_unwanted = _is_unwanted.get()
    if is_unwanted is not None and is_unwanted():
        raise Interruption
