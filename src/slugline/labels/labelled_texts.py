"""Texts of a label store with their answers, for training and for estimates of accuracy.

A document has at most one answer, regardless of the coder. It counts in an estimate of accuracy if
its first assignment to a person was a draw with a known probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.corpus.label_database.records import Assignment, DocumentLabels, Selection
from slugline.labels.arrivals import Arrivals, AssignedRow
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# Reasons of assignments with a known probability.
_DRAW_REASONS = ("random", "spread", "suggested")
# A text counts as skipped once this many texts were shown after it without a decision on it. Coders
# may put off hard texts; the latest ones may still be open.
_N_PENDING = 20


class LabelledText(NamedTuple):
    """A selected text with a decision.

    Attributes
    ----------
    text : str
    topics : tuple of str, or None
        The answer; None if the text was skipped, or if coders disagree.
    weight : float or None
        Number of unlabelled texts that it represents in an estimate of accuracy, in any unit: the
        inverse of its selection probability, relative to a random draw. None if it doesn't count,
        because the probability is unknown or a coder saw a guess.
    document : int or None
        Number of the document in the store.
    """

    text: str
    topics: tuple[str, ...] | None
    weight: float | None = None
    document: int | None = None

    @property
    def is_measured(self) -> bool:
        """True if it counts in an estimate of accuracy."""
        return self.weight is not None


class LabelledTexts(NamedTuple):
    """The texts in a store with a decision by a person.

    Attributes
    ----------
    texts : list of LabelledText
        In the order of their draws.
    unmeasured_fraction : float
        Fraction of unlabelled texts that arrived too late to be measured.
    """

    texts: list[LabelledText]
    unmeasured_fraction: float = 0.0


def read_labelled_texts(
    store: LabelStore, table: TextTable, arrivals: Arrivals | None = None
) -> LabelledTexts:
    """Return the texts in a store with a decision by a person, in the order of their draws.

    - The answer is the topics on which coders agree, or the settlement. If coders disagree, the
      text counts as skipped.
    - Texts that the user has changed are left out. Texts that are missing from the user's file are
      used in training, but not measured, since the accuracy doesn't cover them.
    - A text that was shown long ago without a decision counts as skipped.
    - A double-coded text counts once, by its first draw.
    - Near copies labelled together with a text are left out, because a model trained on them has
      seen that text, so its answer would not be held out. Training includes them.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    arrivals : Arrivals, optional
        Arrival of the texts; by default, all were in the file from the start.
    """
    if arrivals is None:
        arrivals = Arrivals(np.zeros(len(table), dtype=np.intp), (0,))
    assignments = store.first_assignments()
    documents = [*_assigned_documents(store, assignments)]
    rows = _find_rows(documents, table)
    weights = _weigh(rows, arrivals, assignments.values())
    texts = _decided_texts(store, documents, weights)
    measured = {each.document for each in texts if each.is_measured}
    numbers = {assignment.id for assignment, each in documents if each.document.id in measured}
    fraction = arrivals.unmeasured_fraction(
        rows, [each for each in rows if each.assignment in numbers]
    )
    return LabelledTexts(texts, fraction)


def read_random_draws(store: LabelStore) -> LabelledTexts:
    """Return the labelled texts if the user's file is missing; only random draws are measured."""
    documents = [*_assigned_documents(store, store.first_assignments())]
    weights = {draw.id: 1.0 for draw, _ in documents if draw.selection.is_random}
    return LabelledTexts(_decided_texts(store, documents, weights))


def _decided_texts(
    store: LabelStore,
    documents: Sequence[tuple[Assignment, DocumentLabels]],
    weights: Mapping[int, float],
) -> list[LabelledText]:
    """Return the texts with a decision, with weights by assignment number."""
    abandoned = _find_abandoned(store, [assignment for assignment, _ in documents])
    texts = []
    for assignment, each in documents:
        is_decided = each.status != "unlabelled" or assignment.id in abandoned
        if not is_decided or assignment.selection.reason == "near copy":
            continue
        is_guess_shown = any(decision.is_guess_shown for decision in each.decisions)
        weight = None if is_guess_shown else weights.get(assignment.id)
        texts.append(LabelledText(each.document.text, each.answer, weight, each.document.id))
    return texts


def _assigned_documents(
    store: LabelStore, assignments: Mapping[int, Assignment]
) -> list[tuple[Assignment, DocumentLabels]]:
    """Return the documents assigned to people, in order of their first assignments.

    Documents that the user has changed and undone near copies are left out.
    """
    documents = []
    for each in store.labels():
        assignment = assignments.get(each.document.id)
        if assignment is None or each.is_replaced:
            continue
        if assignment.selection.reason != "near copy" or each.status != "unlabelled":
            documents.append((assignment, each))
    return sorted(documents, key=lambda pair: pair[0].id)


def _find_rows(
    documents: Sequence[tuple[Assignment, DocumentLabels]], table: TextTable
) -> list[AssignedRow]:
    """Return the texts of the table that are assigned to people, in order."""
    rows = []
    for assignment, each in documents:
        row = table.find_row(each.document)
        if row is not None:
            rows.append(AssignedRow(assignment.id, row, _probability(assignment.selection)))
    return rows


def _weigh(
    rows: Sequence[AssignedRow], arrivals: Arrivals, assignments: Iterable[Assignment]
) -> dict[int, float]:
    """Return the known weights of texts by assignment number."""
    draws = sorted(each.id for each in assignments if _probability(each.selection) is not None)
    weights = arrivals.weights(rows, draws).tolist()
    pairs = zip(rows, weights, strict=True)
    return {each.assignment: weight for each, weight in pairs if not math.isnan(weight)}


def _find_abandoned(store: LabelStore, assignments: Iterable[Assignment]) -> set[int]:
    """Return the numbers of open assignments that were followed by many others."""
    persons = [coder.name for coder in store.coders() if coder.kind == "person"]
    undecided = {each.id for name in persons for each in store.open_assignments(name)}
    return undecided.intersection(sorted(each.id for each in assignments)[:-_N_PENDING])


def _probability(selection: Selection) -> float | None:
    """Return the selection probability, or None if unknown."""
    is_known = selection.reason in _DRAW_REASONS and selection.n_candidates
    return selection.probability if is_known else None
