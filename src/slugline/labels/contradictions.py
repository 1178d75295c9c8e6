"""Labels that a model of all other labels contradicts, which are shown to their coder again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.wording import percent
from slugline.corpus.label_database.records import (
    Assignment,
    LabelDecision,
    ModelGuess,
    Selection,
    StoredDocument,
)
from slugline.labels.labelled_texts import find_first_decisions
from slugline.labels.learner import LabelModel
from slugline.labels.learning_selector import LearningSelector
from slugline.labels.reviews import RepeatedRow, TopicReview
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable

#: The fraction of a coder's texts that are such labels, at most.
FRACTION = 0.05
# A label is contradicted if the model is this sure of another answer. In simulations on training
# splits of six sets with 150 and 400 labels, one in ten of them wrong, 56 % of those were wrong.
_MIN_CONFIDENCE = 0.7
# With fewer labels, a model contradicts too many that are right.
_MIN_LABELS = 50
# How many texts a coder has decided about since, at least.
_N_BETWEEN = 10


class Contradiction(NamedTuple):
    """A label, and the answer of a model that did not learn from it.

    Attributes
    ----------
    document : int
    topics : tuple of str
        The label.
    answer : ModelGuess
    """

    document: int
    topics: tuple[str, ...]
    answer: ModelGuess


def find_contradictions(model: LabelModel) -> list[Contradiction]:
    """Return the labels that a model contradicts, those first of which it is surest."""
    if model.n_labels < _MIN_LABELS:
        return []
    answered = [each for each in model.labelled if each.topics is not None]
    heldout = zip(answered, model.heldout.topics, model.heldout.confidence.tolist(), strict=True)
    found = [
        Contradiction(each.document, each.topics, ModelGuess(answer, confidence))
        for each, answer, confidence in heldout
        if each.document is not None
        and each.topics is not None
        and confidence >= _MIN_CONFIDENCE
        and {*answer} != {*each.topics}
    ]
    return sorted(found, key=lambda each: -each.answer.probability)


class ContradictedLabels:
    """Draws labels that a model contradicts; see also `slugline.labels.reviews.Reviewer`.

    A label is shown again once. Texts that two coders have are left out: what they agree on is
    rarely wrong, and their agreement has to be theirs alone.

    These draws are made before any other, so that the probabilities of the others are those of
    moments at which nothing is shown again.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    assignments : RowAssignments
    selector : LearningSelector
        Has the model of the present labels.
    fraction : float, default `FRACTION`
        The probability with which a coder gets such a label, if there is one.
    rng : numpy.random.Generator, optional
    """

    def __init__(
        self,
        store: LabelStore,
        table: TextTable,
        assignments: RowAssignments,
        selector: LearningSelector,
        fraction: float = FRACTION,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._store, self._table, self._assignments = store, table, assignments
        self._selector, self._fraction = selector, fraction
        self._rng = np.random.default_rng() if rng is None else rng

    def draw(self, decisions: Sequence[LabelDecision]) -> RepeatedRow | None:
        """Return a label that is shown again; None if none is.

        Parameters
        ----------
        decisions : sequence of LabelDecision
            The current decisions of a coder, in order.
        """
        model = self._selector.model
        if model is None or self._rng.random() >= self._fraction:
            return None
        earlier = decisions[: max(len(decisions) - _N_BETWEEN, 0)]
        labels = {each.assignment.document: each for each in earlier if each.kind == "label"}
        shown = self._store.shown_again()
        for document, topics, answer in find_contradictions(model):
            label = labels.get(document)
            if label is None or document in shown or {*label.topics} != {*topics}:
                continue
            row = self._table.find_row(self._store.document(document))
            if row is not None and self._assignments.n_coders(row) == 1:
                selection = Selection("audit", guess=answer, is_guess_shown=True)
                return RepeatedRow(document, row, selection)
        return None

    def review(self, assignment: Assignment, document: StoredDocument) -> TopicReview | None:
        """Return what the model says instead of a label that is shown again."""
        guess = assignment.selection.guess
        if assignment.selection.reason != "audit" or guess is None:
            return None
        first = find_first_decisions(self._store).get(document.id)
        if first is None or first.kind != "label":
            return None
        reason = f"the model gives this a probability of {percent(guess.probability, 0)}"
        return TopicReview(first.topics, guess.topics, (reason,))
