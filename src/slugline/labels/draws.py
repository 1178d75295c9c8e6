"""Select the next text for a coder: in a fixed order, for double coding, or again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from slugline.corpus.label_database.records import LabelDecision, Selection
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.label_report import LabelReport
from slugline.labels.text_table import RowAssignments

#: Default fraction of a coder's texts that are repeated, and number of other texts in between.
REPEAT_FRACTION, REPEAT_AFTER = 0.02, 50


class SelectedRow(NamedTuple):
    """A row of a `TextTable`, and why it was selected."""

    row: int
    selection: Selection


class Selector(Protocol):
    """Selects texts one at a time; by default, without a model of the labels.

    Methods are called from several threads and must return quickly: train in a separate thread.
    """

    def select_next(self, coder: str) -> SelectedRow | None:
        """Return an unassigned row for a coder, or None. Calls don't overlap."""

    def notice_change(self) -> None:
        """Note that labels were stored or undone."""
        return

    @property
    def estimate(self) -> AccuracyEstimate | None:
        """Accuracy of a model of the current labels, or None."""
        return None

    @property
    def report(self) -> LabelReport | None:
        """Report on the latest model, which may be slightly out of date, or None."""
        return None

    @property
    def problem(self) -> str | None:
        """Error of the last fit, or None."""
        return None

    def close(self) -> None:
        """End all threads."""
        return


class OrderedSelector(Selector):
    """Selects texts in a fixed order.

    Parameters
    ----------
    assignments : RowAssignments
    selections : mapping of int to Selection
        The rows in order, and the reason for each. Their probabilities are None: labels of a fixed
        order don't allow an unbiased estimate of the accuracy.
    """

    def __init__(self, assignments: RowAssignments, selections: Mapping[int, Selection]) -> None:
        self._assignments, self._selections = assignments, dict(selections)
        self._rows = np.array([*self._selections], dtype=np.int64)

    def select_next(self, coder: str) -> SelectedRow | None:
        """Return the first unassigned row, or None."""
        is_free = np.isin(self._rows, self._assignments.free_rows(coder))
        if not is_free.any():
            return None
        row = int(self._rows[is_free.argmax()])
        return SelectedRow(row, self._selections[row])


class DoubleDraws:
    """Draws texts for a second coder from the random draws of others.

    Parameters
    ----------
    assignments : RowAssignments
    fraction : float
        Probability of drawing such a text if there is one.
    rng : numpy.random.Generator
    """

    def __init__(
        self, assignments: RowAssignments, fraction: float, rng: np.random.Generator
    ) -> None:
        self._assignments, self._fraction, self._rng = assignments, fraction, rng

    def draw(self, coder: str, n_free: int) -> tuple[float, SelectedRow | None]:
        """Return the probability of drawing such a text, and the drawn text or None.

        Parameters
        ----------
        coder : str
        n_free : int
            Number of texts that the coder could get instead.
        """
        if not self._fraction:
            return 0.0, None
        drawn = self._assignments.drawn_by_others(coder)
        if not drawn.size:
            return 0.0, None
        fraction = self._fraction if n_free else 1.0
        if self._rng.random() >= fraction:
            return fraction, None
        selection = Selection("double-coded", fraction / drawn.size, int(drawn.size))
        return fraction, SelectedRow(int(self._rng.choice(drawn)), selection)


class RepeatedDraws:
    """Draws texts that a coder labelled some time ago, to measure consistency.

    Make these draws before any other: the probabilities of other draws assume that nothing is
    repeated.

    Parameters
    ----------
    fraction : float, default 0.02
        Probability of repeating a text if there is one.
    n_between : int, default 50
        Minimum number of other texts that the coder has decided since.
    random_state : int, optional
    """

    def __init__(
        self,
        fraction: float = REPEAT_FRACTION,
        n_between: int = REPEAT_AFTER,
        *,
        random_state: int | None = None,
    ) -> None:
        self._fraction, self._n_between = fraction, n_between
        self._rng = np.random.default_rng(random_state)

    def draw(self, decisions: Sequence[LabelDecision]) -> tuple[LabelDecision, Selection] | None:
        """Return the label whose text is repeated, or None.

        Parameters
        ----------
        decisions : sequence of LabelDecision
            The current decisions of a coder, in order.
        """
        if self._rng.random() >= self._fraction:
            return None
        shown = [each for each in decisions if each.assignment.selection.reason != "near copy"]
        n_earlier = max(len(shown) - self._n_between, 0)
        repeated = {
            each.assignment.document
            for each in shown
            if each.assignment.selection.reason == "repeated"
        }
        candidates = [
            each
            for each in shown[:n_earlier]
            if each.kind == "label"
            and not each.is_guess_shown
            and each.assignment.document not in repeated
        ]
        if not candidates:
            return None
        selection = Selection("repeated", self._fraction / len(candidates), len(candidates))
        return candidates[int(self._rng.integers(len(candidates)))], selection
