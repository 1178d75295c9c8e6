"""Gives texts to coders in an order that was decided before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slugline.corpus.label_database.records import Selection
from slugline.labels.draws import SelectedRow, SelectorWithoutModel
from slugline.labels.text_table import RowAssignments


class OrderedSelector(SelectorWithoutModel):
    """Selects texts in a fixed order, and learns nothing; see `slugline.labels.draws.Selector`.

    Parameters
    ----------
    assignments : RowAssignments
    selections : mapping of int to Selection
        The rows to select, in order, and why each is selected. The probability of a selection is
        None: with a fixed order, labels can't tell how often a model is right for all texts.
    """

    def __init__(self, assignments: RowAssignments, selections: Mapping[int, Selection]) -> None:
        self._assignments, self._selections = assignments, dict(selections)
        self._rows = np.array([*self._selections], dtype=np.int64)

    def select_next(self, coder: str) -> SelectedRow | None:
        """Return the first row that nobody has; None if none is left."""
        is_free = np.isin(self._rows, self._assignments.free_rows(coder))
        if not is_free.any():
            return None
        row = int(self._rows[is_free.argmax()])
        return SelectedRow(row, self._selections[row])
