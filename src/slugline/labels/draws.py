"""Selects the next text of a coder: what a selector does, and draws of texts that come again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from slugline.corpus.label_database.records import LabelDecision, Selection
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.label_report import LabelReport
from slugline.labels.text_table import RowAssignments

#: The fraction of a coder's texts that come again, and after how many others, by default.
REPEAT_FRACTION, REPEAT_AFTER = 0.02, 50


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

    @property
    def report(self) -> LabelReport | None:
        """The latest report, which may be of a slightly older model; None if there is none yet."""

    @property
    def problem(self) -> str | None:
        """Why there is no model of the latest labels; None if there is one, or too few labels."""

    def close(self) -> None:
        """End all threads."""


class SelectorWithoutModel:
    """What a `Selector` says if it learns nothing from labels."""

    def notice_change(self) -> None:
        """Do nothing, as selections don't depend on labels."""

    @property
    def estimate(self) -> AccuracyEstimate | None:
        """None, as there is no model of the labels."""
        return None

    @property
    def report(self) -> LabelReport | None:
        """None, as there is no model of the labels."""
        return None

    @property
    def problem(self) -> str | None:
        """None, as nothing is learned."""
        return None

    def close(self) -> None:
        """Do nothing, as there are no threads."""


class OrderedSelector(SelectorWithoutModel):
    """Selects texts in a fixed order, and learns nothing; see `Selector`.

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


class DoubleDraws:
    """Draws texts for a second coder from the random draws of others.

    Parameters
    ----------
    assignments : RowAssignments
    fraction : float
        The probability with which a coder gets such a text, if there is one.
    rng : numpy.random.Generator
    """

    def __init__(
        self, assignments: RowAssignments, fraction: float, rng: np.random.Generator
    ) -> None:
        self._assignments, self._fraction, self._rng = assignments, fraction, rng

    def draw(self, coder: str, n_free: int) -> tuple[float, SelectedRow | None]:
        """Return the probability that such a text is drawn, and the text; None if it is not.

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
    """Draws texts that a coder labelled some time ago, to see whether the label is the same.

    These draws are made before any other, so that the probabilities of the others are those of
    moments at which nothing is repeated.

    Parameters
    ----------
    fraction : float, default 0.02
        The probability with which a coder gets such a text, if there is one.
    n_between : int, default 50
        How many other texts the coder has decided about since, at least.
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
        """Return the label whose text comes again; None if nothing is repeated.

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
            if each.assignment.selection.reason in ("repeated", "audit")
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
