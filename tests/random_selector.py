"""A selector that draws at random, for tests of what needs one."""

from __future__ import annotations

import numpy as np

from slugline.corpus.label_database.records import Selection
from slugline.labels.draws import DoubleDraws, SelectedRow, Selector
from slugline.labels.text_table import RowAssignments

__all__ = ["RandomSelector"]


class RandomSelector(Selector):
    """Draws texts at random, each with the same probability; learns nothing.

    Parameters
    ----------
    assignments : RowAssignments
    double_fraction : float, default 0.0
        The fraction of a coder's texts that another coder has drawn as well, so that their
        agreement can be measured.
    random_state : int, optional
    """

    def __init__(
        self,
        assignments: RowAssignments,
        *,
        double_fraction: float = 0.0,
        random_state: int | None = None,
    ) -> None:
        self._assignments = assignments
        self._rng = np.random.default_rng(random_state)
        self._double_draws = DoubleDraws(assignments, double_fraction, self._rng)

    def select_next(self, coder: str) -> SelectedRow | None:
        """Return a random row; with probability `double_fraction`, one that another coder drew."""
        free = self._assignments.free_rows(coder)
        fraction, double = self._double_draws.draw(coder, len(free))
        if double is not None or not free.size:
            return double
        selection = Selection("random", (1 - fraction) / free.size, int(free.size))
        return SelectedRow(int(self._rng.choice(free)), selection)
