"""Answers to data frames: one of pandas, such as engines hand out, and one of Dask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slugline.encoders.checked import Encoder
from slugline.errors import DataError, OptionError
from slugline.routing import NO_TEXT
from slugline.scale.answering import How, router_of
from slugline.scale.model_copy import ModelCopy

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

    from slugline.routing import Route, Router

__all__ = ["answer_frame", "predict_partitions"]


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
        See `slugline.routing.Router.of`.
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
        reasons = [NO_TEXT if route is None else route.reason for route in routes]
        columns["reason"] = column(reasons, pd.Series(["text"]).dtype)
        columns["guess"] = column([route and route.top[0][0] for route in routes])
    if router.coverage is not None:
        columns["set"] = column([route and route.topics for route in routes], "object")
    return pd.DataFrame(columns, index=index)
