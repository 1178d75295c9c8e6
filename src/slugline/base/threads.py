"""Map a function over parts of the work on threads, in order; limit BLAS to one thread."""

from __future__ import annotations

import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

    from threadpoolctl import ThreadpoolController

S = TypeVar("S")
T = TypeVar("T")


def map_in_order(
    work: Callable[[S], T],
    parts: Iterable[S],
    n_threads: int,
    *,
    n_waiting: int = 1,
    is_full: Callable[[Sequence[S]], bool] | None = None,
) -> Generator[T, None, None]:
    """Yield `work(part)` for each part, in order.

    Parameters
    ----------
    work : callable
    parts : iterable
        The parts, possibly endless: a part is taken only when there is room for its result.
    n_threads : int
    n_waiting : int, default 1
        Number of results or submitted parts that may wait, in addition to one per thread. With
        0, threads are sometimes idle, but memory contains at most one result per thread.
    is_full : callable, optional
        Receives the parts whose results have not been yielded; True yields a result before taking
        another part. By default, True for `n_threads + n_waiting` parts.

    >>> list(map_in_order(len, ["a", "bcd", "ef"], n_threads=2))
    [1, 3, 2]
    """
    if n_threads < 2:
        yield from map(work, parts)
        return

    from concurrent.futures import ThreadPoolExecutor

    def has_enough(pending: Sequence[S]) -> bool:
        return len(pending) >= n_threads + n_waiting

    is_full = is_full or has_enough
    pending: deque[S] = deque()
    results: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for part in parts:
            pending.append(part)
            results.append(pool.submit(work, part))
            while pending and is_full(pending):
                pending.popleft()
                yield results.popleft().result()
        while results:
            pending.popleft()
            yield results.popleft().result()
    finally:
        # After an error, or if the caller stops early, the other results aren't needed.
        pool.shutdown(cancel_futures=True)


class _BlasLimit:
    """Limits BLAS to one thread while any thread of the process requests it."""

    def __init__(self) -> None:
        self._lock, self._n_users = threading.Lock(), 0
        self._lift: Callable[[], None] | None = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Limit BLAS to one thread, for bit-identical results.

        The limit applies to the whole process. Contexts may overlap; the last one lifts it.
        """
        with self._lock:
            if self._lift is None:
                limit = _thread_pools(len(sys.modules)).limit(limits=1, user_api="blas")
                self._lift = limit.restore_original_limits
            self._n_users += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if not self._n_users and self._lift is not None:
                    self._lift()
                    self._lift = None


limit_blas = _BlasLimit().hold


@functools.lru_cache(maxsize=1)
def _thread_pools(n_modules: int) -> ThreadpoolController:  # noqa: ARG001 only imports add pools
    """Return the thread pools of the process; cached because finding them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
