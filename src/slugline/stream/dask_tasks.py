"""Tasks on Dask's workers: submitting functions, waiting for results, and releasing them."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from slugline.base.clusters import wait_for_worker
from slugline.errors import ClusterError, SluglineError

if TYPE_CHECKING:
    from distributed import Client


# A distributed.Future, whose methods Dask doesn't annotate.
Future = Any
# Seconds to wait for a worker if there is none, and between checks.
_TIMEOUT, _CHECK_INTERVAL = 60, 10


class DaskTasks:
    """Submits functions to workers of a cluster, and gathers results.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self.client: Any = client
        self._futures: weakref.WeakSet[Any] = weakref.WeakSet()

    def close(self) -> None:
        """Release all remaining futures."""
        release(list(self._futures))

    def submit(self, function: Callable[..., Any], *arguments: Any, priority: int = 0) -> Future:
        """Submit a function; return the future of its result, which `close` eventually releases."""
        import dask

        key = f"slugline{function.__name__}-{uuid.uuid4().hex}"
        # Documents in memory are sent with their task on purpose.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            future = self.client.submit(
                function, *arguments, key=key, pure=False, priority=priority
            )
        self._futures.add(future)
        return future

    def wait(self, futures: Sequence[Future]) -> bool:
        """Wait for futures for up to about a minute; return whether they are done.

        Raises
        ------
        CancelledError : if data that they depend on is lost.
        ClusterError : if there are no workers.
        """
        from distributed import wait

        for _ in range(_TIMEOUT // _CHECK_INTERVAL):
            try:
                with self.client.as_current():
                    wait(list(futures), timeout=_CHECK_INTERVAL)
            except TimeoutError:
                self.wait_for_workers()
            else:
                return True
        if not any(self.client.processing().values()):
            # No worker runs the tasks, which may happen when workers leave and join.
            raise CancelledError
        return False

    def gather(self, futures: Sequence[Future]) -> list[Any]:
        """Return the results of futures.

        Raises
        ------
        CancelledError : if data that they depend on is lost.
        ClusterError : if workers died of the task again and again.
        """
        from distributed import KilledWorker

        try:
            while not self.wait(futures):
                pass
            return list(self.client.gather(list(futures)))
        except KilledWorker as error:
            raise ClusterError(
                "workers died again and again on the same task, most likely for lack of memory; "
                "give each worker more memory (`--memory-limit` of `dask worker`) or fewer threads."
            ) from error
        except SluglineError as error:  # without the traceback of the worker
            raise error.with_traceback(None) from None

    def wait_for_workers(self) -> None:
        """Wait until there is a worker: new workers may replace lost ones."""
        message = (
            f"all workers are gone, and no other connected within {_TIMEOUT} seconds; start some, "
            "and run the command again."
        )
        wait_for_worker(self.client, _TIMEOUT, message)


def release(futures: Iterable[Future | None]) -> None:
    """Release results; tasks that have not started, and that nothing else needs, are dropped."""
    for future in futures:
        if future is not None:
            future.release()
