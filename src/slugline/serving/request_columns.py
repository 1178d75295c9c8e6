"""Adds column values to the texts of a request."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from slugline.base.checks import short_repr
from slugline.base.wording import counted, nearest
from slugline.corpus.documents import RowText
from slugline.errors import DataError, Parameter
from slugline.serving.requests import Cells
from slugline.serving.served_models import ServedModel
from slugline.text.table_columns import describe_odd_cells, odd_cells_note, unused_note


def add_columns(
    model: ServedModel, texts: Sequence[str], columns: Cells | Sequence[Cells]
) -> tuple[list[str], str | UnsetType]:
    """Return texts with the model's columns, and a note on missing or invalid ones.

    Raises
    ------
    DataError : if the model has no such column, or the number of objects differs from the texts.
    """
    if not columns and not model.fitted.features.table_columns:
        return list(texts), UNSET
    column_names = [column.name for column in model.fitted.features.table_columns]
    if not columns:
        rows: Sequence[Cells] = [{}] * len(texts)
    elif isinstance(columns, dict):
        rows = [columns]
    else:
        rows = columns
    if len(rows) != len(texts):
        raise DataError(
            Parameter("columns"),
            f" has {counted(len(rows), 'object')} for {counted(len(texts), 'text')}; give one "
            "for each.",
        )
    unknown = next((name for row in rows for name in row if name not in column_names), None)
    if unknown is not None:
        near = nearest(unknown, column_names)
        advice = f"it has {', '.join(column_names)}" if column_names else "it uses only the text"
        raise DataError(
            f"{model.name} has no column {short_repr(unknown)}; "
            + (f"did you mean {near!r}?" if near else f"{advice}.")
        )
    if not column_names:
        return list(texts), UNSET
    documents: list[str] = [RowText(text, row) for text, row in zip(texts, rows, strict=True)]
    notes = [
        odd_cells_note(describe_odd_cells(documents, model.fitted.columns).values()),
        unused_note((name for row in rows for name in row), model.fitted.features.table_columns),
    ]
    return documents, "; ".join(filter(None, notes)) or UNSET
