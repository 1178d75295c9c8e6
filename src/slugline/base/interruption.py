"""Stops work on a thread, such as reading an endless file, once its result is not wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar


class Interruption(Exception):  # noqa: N818 - no error: nobody wants the result
    """The work of a thread isn't wanted any more."""


_is_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("is_unwanted", default=None)


@contextlib.contextmanager
def interruptible(is_unwanted: Callable[[], bool]) -> Iterator[None]:
    """Let `check_interruption` ask `is_unwanted`, on this thread, whether to stop.

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
    """Raise an Interruption if the work of this thread isn't wanted any more.

    Whatever may take seconds calls it now and then.
    """
    is_unwanted = _is_unwanted.get()
    if is_unwanted is not None and is_unwanted():
        raise Interruption
