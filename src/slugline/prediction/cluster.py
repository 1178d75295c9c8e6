"""Workers of a Dask cluster that answer files."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from distributed import Future, KilledWorker, Worker, WorkerPlugin, get_worker

from slugline.base.clusters import is_lost
from slugline.errors import ClusterError, DataError, OptionError, SluglineError
from slugline.learning.encoder.encoder import Encoder
from slugline.model.routing import Unsure
from slugline.prediction.processes import Heard
from slugline.prediction.task import (
    How,
    ModelCopy,
    Outcome,
    SoFar,
    Stopped,
    Task,
    answer,
    router_of,
)

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    from distributed import Client

    from slugline.model.routing import Route, Router

__all__ = [
    "answer_frame",
    "answer_on_cluster",
    "predict_partitions",
]


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


# Answers to data frames: one of pandas, such as engines hand out, and one of Dask -----------------


def predict_partitions(
    model: Any,
    frame: dd.DataFrame,
    text: str | Sequence[str] = "text",
    *,
    min_precision: float | None = None,
    per_topic: bool = False,
    coverage: float | None = None,
    encoder: str | Encoder | None = None,
) -> dd.DataFrame:
    """Return the answers to the rows of a Dask data frame, as another one, which is lazy too.

    The model travels to each worker once, which loads it once.

    Parameters
    ----------
    model : path, name of a shipped model, fitted TopicClassifier, or `ModelCopy`
    frame : dask.dataframe.DataFrame
    text : str or sequence of str, default "text"
        The column of the texts; cells of several are joined by line breaks.
    min_precision, per_topic, coverage
        See `slugline.model.routing.Router.of`.
    encoder : "use" or an object with `encode`, optional
        See `slugline.load`; an object must be one that can be pickled.

    Returns
    -------
    dask.dataframe.DataFrame with the index and the divisions of `frame`, and the columns

    topic : text, or Int64 if topics are numbers
        Missing if there is no text, or if the model is unsure.
    probability : float64
        Of the most likely topic; NaN if there is no text.
    reason, guess
        With a precision: why it is unsure, missing if it is not; the most likely topic, missing if
        there is no text.
    set : list of topics
        With `coverage`; missing if there is no text.

    Raises
    ------
    DataError : if there is no such column.
    OptionError : if it is no Dask data frame; see also `Router.of`.
    ModelFileError, EncoderError : see `slugline.load`.
    """
    if not hasattr(frame, "map_partitions") or not hasattr(frame, "columns"):
        raise OptionError(
            f"`frame` is a {type(frame).__name__}; give a dask.dataframe, or let the model predict "
            "the texts of this one."
        )
    columns = _columns(frame, text)
    copy = model if isinstance(model, ModelCopy) else ModelCopy.of(model, encoder)
    how = How(min_precision=min_precision, per_topic=per_topic, coverage=coverage)
    router = router_of(copy, how)
    from dask.delayed import delayed

    # One node of the graph, which all partitions share, so that workers get it once.
    shared = delayed(copy, name=f"slugline-model-{copy.digest}", pure=True, traverse=False)
    meta = _frame([], [], router)
    return frame[columns].map_partitions(_answers, shared, columns, how, meta=meta)


def answer_frame(
    model: ModelCopy,
    frame: pd.DataFrame,
    text: str | Sequence[str] = "text",
    how: How | None = None,
) -> pd.DataFrame:
    """Return the answers to the rows of a data frame of pandas.

    Parameters
    ----------
    model : ModelCopy
        Which this process loads once, however many frames there are.
    frame : pandas.DataFrame
    text : str or sequence of str, default "text"
    how : How, optional
        Of which precision, `per_topic` and coverage count here.

    Returns
    -------
    pandas.DataFrame with the index of `frame`, and columns as `predict_partitions` has them.

    Raises
    ------
    DataError : if there is no such column.
    ModelFileError, EncoderError, OptionError : see `slugline.load` and `Router.of`.
    """
    columns = _columns(frame, text)
    router = router_of(model, how or How())
    texts = [_text(cells) for cells in frame[columns].itertuples(index=False, name=None)]
    routes = iter(router.route([text for text in texts if text is not None], top=1))
    return _frame([None if text is None else next(routes) for text in texts], frame.index, router)


def _answers(
    frame: pd.DataFrame, model: ModelCopy, columns: Sequence[str], how: How
) -> pd.DataFrame:
    """Return the answers to one partition."""
    return answer_frame(model, frame, columns, how)


def _columns(frame: Any, text: str | Sequence[str]) -> list[str]:
    """Return the columns of the texts, which are there."""
    columns = [text] if isinstance(text, str) else [*text]
    if not columns:
        raise OptionError("`text` names no column; give at least one.")
    known = [*frame.columns]
    for column in columns:
        if column not in known:
            raise DataError(f"the data frame has no column {column!r}; it has {known}.")
        if known.count(column) > 1:
            raise DataError(f"the data frame has several columns {column!r}; rename them.")
    return columns


def _text(cells: tuple[Any, ...]) -> str | None:
    """Return the text of a row; None if it has none."""
    return "\n".join(cell for cell in cells if isinstance(cell, str) and cell.strip()) or None


def _frame(routes: Sequence[Route | None], index: Any, router: Router) -> pd.DataFrame:
    import pandas as pd

    is_number = any(isinstance(name, int) for name in router.fitted.topics.names)
    topic_type = "Int64" if is_number else pd.Series(["text"]).dtype

    def column(values: list[Any], kind: Any = topic_type) -> pd.Series[Any]:
        return pd.Series(values, index=index, dtype=kind)

    columns = {
        "topic": column([route and route.topic for route in routes]),
        "probability": column([route and route.probability for route in routes], "float64"),
    }
    if router.precision is not None:
        reasons = [Unsure("no_text") if route is None else route.reason for route in routes]
        words = [None if reason is None else str(reason) for reason in reasons]
        columns["reason"] = column(words, pd.Series(["text"]).dtype)
        columns["guess"] = column([route and route.top[0][0] for route in routes])
    if router.coverage is not None:
        columns["set"] = column([route and route.topics for route in routes], "object")
    return pd.DataFrame(columns, index=index)
