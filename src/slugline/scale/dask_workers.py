"""Workers of a Dask cluster that answer files."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from distributed import Future, KilledWorker, Worker, WorkerPlugin, get_worker

from slugline.errors import ClusterError, SluglineError
from slugline.scale.answering import How, Outcome, SoFar, Stopped, Task, answer, router_of
from slugline.scale.connecting import is_lost
from slugline.scale.model_copy import ModelCopy
from slugline.scale.processes import Heard

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["answer_on_cluster"]

# What is heard of files; None if their task has ended.
_News = queue.SimpleQueue[tuple[int, SoFar | None]]
# Seconds between two looks at who works, and how long all workers may be gone.
_LOOK, _PATIENCE = 5.0, 60.0
# Of each job that is under way on this worker: what it was sent.
_jobs: dict[str, tuple[ModelCopy, How]] = {}


class _Job(WorkerPlugin):
    """Brings the model to each worker, once, and to those that come later; its end ends the job.

    Scattered data would be lost with the workers that have it, and arguments of tasks would travel
    with each.
    """

    def __init__(self, name: str, model: ModelCopy, how: How) -> None:
        self.name = name
        self._given = (model, how)

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        """Keep what tasks need."""
        _jobs[self.name] = self._given

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        """Let tasks that are under way end."""
        _jobs.pop(self.name, None)


def answer_on_cluster(
    client: Client, model: ModelCopy, how: How, tasks: Sequence[Task], heard: Heard
) -> None:
    """Answer files on the workers of a cluster, each of which must see them by the same paths.

    A file whose worker is killed gets another one. What is heard comes to the thread that calls.

    Parameters
    ----------
    client : distributed.Client
    model : ModelCopy
    how : How
    tasks : sequence of Task
    heard : callable
        Told of rows and outcomes; what it raises ends the job.

    Raises
    ------
    ClusterError : if the cluster is lost.
    """
    try:
        _answer_all(client, model, how, tasks, heard)
    except Exception as error:
        if not is_lost(client, error):
            raise
        raise _lost() from error


def _answer_all(
    client: Client, model: ModelCopy, how: How, tasks: Sequence[Task], heard: Heard
) -> None:
    name = f"slugline-predict-{uuid.uuid4().hex}"
    news: _News = queue.SimpleQueue()
    client.subscribe_topic(name, lambda event: news.put(_told(*event[1])))
    client.register_plugin(_Job(name, model, how), name=name)
    futures: dict[int, Future[Any]] = {}
    try:
        for task in tasks:
            future = client.submit(_answer, name, task, key=f"{name}-{task.number}", pure=False)
            future.add_done_callback(_teller(news, task.number))
            futures[task.number] = future
        while futures:
            number, message = _next(news, client)
            if message is not None:
                heard(number, message)
                continue
            outcome = _outcome(futures[number], tasks[number])
            # What is heard is forgotten: it would be done again if its worker were lost now.
            futures.pop(number).release()
            heard(number, outcome)
    finally:
        client.unsubscribe_topic(name)
        client.cancel([*futures.values()])
        client.unregister_worker_plugin(name)


def _told(number: int, n_rows: int, share: float) -> tuple[int, SoFar]:
    return number, SoFar(n_rows, share)


def _next(news: _News, client: Client) -> tuple[int, SoFar | None]:
    """Return what is heard next; ClusterError if there is nobody left to hear of."""
    has_workers = time.monotonic()
    while True:
        try:
            return news.get(timeout=_LOOK)
        except queue.Empty:
            if client.nthreads():
                has_workers = time.monotonic()
            elif time.monotonic() - has_workers > _PATIENCE:
                raise ClusterError(
                    f"the cluster has had no workers for {_PATIENCE:g} seconds; start some, and "
                    "run this again: it goes on from there."
                ) from None


def _teller(news: _News, number: int) -> Callable[[Future[Any]], None]:
    return lambda _: news.put((number, None))


def _outcome(future: Future[Any], task: Task) -> Outcome:
    """Return what became of a task."""
    try:
        # Waits, as it is done again if its worker was lost meanwhile.
        outcome: Outcome = future.result()
    except CancelledError as cancelled:
        raise _lost() from cancelled
    except Exception as raised:  # noqa: BLE001 (whatever happened there is told of the file)
        error: Exception = raised
    else:
        return outcome
    if isinstance(error, KilledWorker):
        return Outcome(
            error=f"{task.source}: several workers ended at it, the last one "
            f"{error.last_worker.address}; they may lack memory."
        )
    return Outcome(error=f"{task.source}: {type(error).__name__}: {str(error)[:500]}")


def _lost() -> ClusterError:
    return ClusterError(
        "the connection to the cluster is lost; start it, and run this again: it goes on from "
        "there."
    )


def _answer(name: str, task: Task) -> Outcome:
    """Answer a file, on a worker."""
    worker = get_worker()

    def tell(so_far: SoFar) -> None:
        if name not in _jobs:
            raise Stopped
        worker.log_event(name, [task.number, *so_far])

    given = _jobs.get(name)
    if given is None:
        raise Stopped
    try:
        router = router_of(*given)
    except SluglineError as error:  # such as an encoder that this machine lacks
        return Outcome(error=f"worker {worker.address}: {error}", is_fatal=True)
    outcome = answer(router, given[1], task, tell)
    if outcome.error:
        return outcome._replace(error=f"{outcome.error} (on worker {worker.address})")
    return outcome
