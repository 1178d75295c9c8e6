"""Predictions on a Dask cluster, for files and for data frames."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from distributed import Future, KilledWorker, Worker, WorkerPlugin, get_worker

from slugline.base.checks import short_repr
from slugline.base.clusters import is_lost
from slugline.errors import ClusterError, DataError, Message, OptionError, Parameter, SluglineError
from slugline.learning.encoder.registry import Encoder
from slugline.model.decider import Decider
from slugline.model.decision import Decision, Unsure
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.rows import PredictOptions
from slugline.prediction.task import FileResult, Task, predict_file

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    from distributed import Client


# Seconds between checks for workers.
_CHECK_INTERVAL = 5.0
# Maximum number of seconds without workers.
_PATIENCE = 60.0
# Model and options of each job running on this worker, by name.
_jobs: dict[str, tuple[ModelCopy, PredictOptions]] = {}


class _ModelPlugin(WorkerPlugin):
    """Sends the model once to each worker, including workers that join later, and ends the job.

    Scattered data would be lost with their workers, and arguments would be sent with each task.
    """

    def __init__(self, name: str, model: ModelCopy, options: PredictOptions) -> None:
        self.name = name
        self._job = (model, options)

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        """Begin the job on a worker."""
        _jobs[self.name] = self._job

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        """End the job and its running tasks on a worker."""
        _jobs.pop(self.name, None)


class _JobEnded(Exception):  # noqa: N818 (not an error)
    """Raised on a worker when the job has ended, to stop work on its file."""


def predict_on_cluster(
    client: Client, model: ModelCopy, options: PredictOptions, tasks: Sequence[Task]
) -> Generator[tuple[Task, FileResult]]:
    """Predict files on the workers of a cluster, and yield their results.

    Workers must see the files under the same paths. If a worker is killed, its file is reassigned.
    Closing the iterator ends the job.

    Raises
    ------
    ClusterError : if the cluster is lost.
    """
    name = f"slugline-predict-{uuid.uuid4().hex}"
    running: dict[Future[Any], Task] = {}
    finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    try:
        client.register_plugin(_ModelPlugin(name, model, options), name=name)
        for number, task in enumerate(tasks):
            # Workers have different working folders.
            there = task._replace(source=task.answers.marker.source)
            future = client.submit(
                _predict_on_worker, name, there, key=f"{name}-{number}", pure=False
            )
            running[future] = task
            future.add_done_callback(finished.put)
        while running:
            future = _next_finished(finished, client)
            task = running.pop(future)
            result = _file_result(future, task)
            # Release it before using the result, or the task would rerun if its worker is lost.
            future.release()
            yield task, result
    except Exception as error:
        if not is_lost(client, error):
            raise
        raise _connection_lost() from error
    finally:
        client.cancel([*running])
        client.unregister_worker_plugin(name)


def _next_finished(finished: queue.SimpleQueue[Future[Any]], client: Client) -> Future[Any]:
    """Return the next finished task; raise ClusterError after too long without workers."""
    last_seen = time.monotonic()
    while True:
        try:
            return finished.get(timeout=_CHECK_INTERVAL)
        except queue.Empty:
            if client.nthreads():
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > _PATIENCE:
                raise ClusterError(
                    f"the cluster has had no workers for {_PATIENCE:g} seconds; start some and "
                    "rerun: finished files are skipped."
                ) from None


def _file_result(future: Future[Any], task: Task) -> FileResult:
    """Return the result of a finished task."""
    try:
        # Waits if the task is rerunning because its worker was lost.
        result: FileResult = future.result()
    except CancelledError as error:
        raise _connection_lost() from error
    except KilledWorker as error:
        address = error.last_worker.address
        problem = f"several workers died, most recently {address}, perhaps out of memory."
        return FileResult(error=f"{task.source}: {problem}")
    except Exception as error:  # noqa: BLE001 (any error on a worker is an error of the file)
        return FileResult(error=f"{task.source}: {type(error).__name__}: {str(error)[:500]}")
    return result


def _connection_lost() -> ClusterError:
    return ClusterError(
        "lost the connection to the cluster; restart it and rerun: finished files are skipped."
    )


def _predict_on_worker(name: str, task: Task) -> FileResult:
    """Predict a file; runs on a worker."""
    address = get_worker().address

    def check_job(*progress: object) -> None:  # noqa: ARG001
        if name not in _jobs:
            raise _JobEnded

    check_job()
    model, options = _jobs[name]
    try:
        deciders = model.deciders(options)
    except SluglineError as error:  # such as an encoder that this machine lacks
        return FileResult(error=Message(f"worker {address}: ", *error.parts), is_fatal=True)
    result = predict_file(deciders, options, task, check_job)
    if result.error:
        return result._replace(error=f"{result.error} (on worker {address})")
    return result


# Data frames of pandas and of Dask ---------------------------------------------------------------


def predict_partitions(
    model: Any,
    frame: dd.DataFrame,
    text: str | Sequence[str] = "text",
    *,
    min_precision: float | None = None,
    per_topic: bool = False,
    encoder: str | Encoder | None = None,
) -> dd.DataFrame:
    """Return the predictions for the rows of a Dask data frame, as a lazy Dask data frame.

    Each worker receives and loads the model only once. The texts of several columns are joined
    by line breaks. For the precision, see `Decider.from_fitted`; for the encoder, which
    must be picklable, `slugline.load`.

    Returns
    -------
    dask.dataframe.DataFrame with the index and the divisions of `frame`, and the columns

    topic : text, or Int64 if topics are numbers
        Missing if there is no text, or if the model is unsure.
    probability : float64
        Probability of the most likely topic; NaN if there is no text.
    reason, guess
        With a required precision: why the model is unsure (missing if sure), and the most likely
        topic.

    Multilabel models return lists `topics` and `probabilities` instead of topic and probability,
    followed by reason, guess and `guess_probability`. Dask can't infer list types: pass `schema`
    with all columns to `to_parquet`.

    Raises
    ------
    DataError : if several columns have the name of a text column.
    OptionError : if `frame` is not a Dask data frame, or has no such column; see also
        `Decider.from_fitted`.
    ModelFileError, EncoderError : see `slugline.load`.
    """
    if not hasattr(frame, "map_partitions") or not hasattr(frame, "columns"):
        raise OptionError(
            Parameter("frame"),
            f" is of type {type(frame).__name__}; pass a dask.dataframe, or its texts to "
            "the model's `predict`.",
        )
    columns = _check_columns(frame, text)
    copy = model if isinstance(model, ModelCopy) else ModelCopy.from_model(model, encoder)
    options = PredictOptions(min_precision=min_precision, per_topic=per_topic)
    decider = copy.decider(options)
    from dask.delayed import delayed

    # All partitions share this graph node, so workers receive the model once.
    shared = delayed(copy, name=f"slugline-model-{copy.digest}", pure=True, traverse=False)
    meta = _frame([], [], decider)
    return frame[columns].map_partitions(_predict_partition, shared, columns, options, meta=meta)


def predict_frame(
    model: ModelCopy,
    frame: pd.DataFrame,
    text: str | Sequence[str] = "text",
    options: PredictOptions | None = None,
) -> pd.DataFrame:
    """Return the predictions for the rows of a pandas data frame; see `predict_partitions`.

    The process loads the model once for any number of frames. Only `min_precision` and `per_topic`
    of `options` are used.
    """
    columns = _check_columns(frame, text)
    decider = model.decider(options or PredictOptions())
    texts = [_text(cells) for cells in frame[columns].itertuples(index=False, name=None)]
    decisions = iter(decider.decide([text for text in texts if text is not None], top=1))
    return _frame(
        [None if text is None else next(decisions) for text in texts], frame.index, decider
    )


def _predict_partition(
    frame: pd.DataFrame, model: ModelCopy, columns: Sequence[str], options: PredictOptions
) -> pd.DataFrame:
    """Return the predictions for one partition."""
    return predict_frame(model, frame, columns, options)


def _check_columns(frame: Any, text: str | Sequence[str]) -> list[str]:
    """Return the text columns; raise an error if one is missing or ambiguous."""
    columns = [text] if isinstance(text, str) else [*text]
    if not columns:
        raise OptionError(Parameter("text"), " is empty; pass at least one column.")
    names = [*frame.columns]
    for column in columns:
        if column not in names:
            raise OptionError(f"the data frame has no column {short_repr(column)} (found {names}).")
        if names.count(column) > 1:
            raise DataError(
                f"the data frame has several columns named {short_repr(column)}; rename them."
            )
    return columns


def _text(cells: tuple[Any, ...]) -> str | None:
    """Return the text of a row, or None without text."""
    return "\n".join(cell for cell in cells if isinstance(cell, str) and cell.strip()) or None


def _frame(decisions: Sequence[Decision | None], index: Any, decider: Decider) -> pd.DataFrame:
    """Return a data frame with a row per decision; decisions are None for rows without text."""
    import pandas as pd

    text_type = pd.Series(["text"]).dtype
    has_numbers = any(isinstance(name, int) for name in decider.fitted.topics.names)
    topic_type = "Int64" if has_numbers else text_type

    def column(get: Callable[[Decision], Any], dtype: Any = topic_type) -> pd.Series[Any]:
        values = [None if decision is None else get(decision) for decision in decisions]
        return pd.Series(values, index=index, dtype=dtype)

    probability = column(lambda decision: decision.probability, "float64")
    multilabel = decider.fitted.multilabel
    columns = {}
    if multilabel:
        columns["topics"] = column(lambda d: None if d.reason else d.topics, "object")
        columns["probabilities"] = column(lambda d: None if d.reason else d.probabilities, "object")
    else:
        columns["topic"] = column(lambda d: d.topic)
        columns["probability"] = probability
    if decider.may_be_unsure:
        reasons = [Unsure("no_text") if each is None else each.reason for each in decisions]
        words = [None if reason is None else str(reason) for reason in reasons]
        columns["reason"] = pd.Series(words, index=index, dtype=text_type)
        columns["guess"] = column(lambda d: d.top[0][0])
    if multilabel:
        columns["guess_probability"] = probability
    return pd.DataFrame(columns, index=index)
