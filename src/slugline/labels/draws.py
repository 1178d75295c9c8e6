"""Selects the next text of a coder: what a selector does, and random draws."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from slugline.corpus.label_database import Selection
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.text_table import RowAssignments


class SelectedRow(NamedTuple):
    """A row of a `TextTable`, and why it was selected."""

    row: int
    selection: Selection


class Selector(Protocol):
    """Selects texts, one at a time, and may learn from labels how to select better.

    Methods are called from several threads, and must not take long: learning is for a thread of
    the selector's own.
    """

    def select_next(self, coder: str) -> SelectedRow | None:
        """Return the next row for a coder, who hasn't got it; None if none is left.

        No two calls run at the same time.
        """

    def notice_change(self) -> None:
        """Note that labels were stored or taken back."""

    @property
    def estimate(self) -> AccuracyEstimate | None:
        """The accuracy of a model of the present labels; None if there is none yet."""

    def close(self) -> None:
        """End all threads."""


class RandomSelector:
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
        self._double_fraction = double_fraction
        self._rng = np.random.default_rng(random_state)

    def select_next(self, coder: str) -> SelectedRow | None:
        """Return a random row; with probability `double_fraction`, one that another coder drew."""
        free = self._assignments.free_rows(coder)
        drawn = self._assignments.drawn_by_others(coder) if self._double_fraction else free[:0]
        fraction = self._double_fraction if drawn.size else 0.0
        if not free.size and not drawn.size:
            return None
        if not free.size:
            fraction = 1.0 if drawn.size and self._double_fraction else 0.0
        if self._rng.random() < fraction:
            selection = Selection("double-coded", fraction / drawn.size, int(drawn.size))
            return SelectedRow(int(self._rng.choice(drawn)), selection)
        selection = Selection("random", (1 - fraction) / free.size, int(free.size))
        return SelectedRow(int(self._rng.choice(free)), selection)

    def notice_change(self) -> None:
        """Do nothing, as draws don't depend on labels."""

    @property
    def estimate(self) -> AccuracyEstimate | None:
        """None, as there is no model."""
        return None

    def close(self) -> None:
        """Do nothing, as there are no threads."""
