"""Stop a thread's work, such as reading an endless file, when its result is no longer needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar


class Interruption(Exception):  # noqa: N818 - not an error
    """Raised when the result of a thread's work is no longer needed."""


_is_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("is_unwanted", default=None)


@contextlib.contextmanager
def interruptible(is_unwanted: Callable[[], bool]) -> Iterator[None]:
    """Make `check_interruption` stop this thread's work if `is_unwanted` returns True.

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
    """Raise Interruption if the result of this thread's work is no longer needed.

    Call it regularly in functions that may take seconds.
    """
    is_unwanted = _is_unwanted.get()
    if is_unwanted is not None and is_unwanted():
        raise Interruption
