"""Texts with their answers, as the documents of a label store give them to a model.

A document has one answer, whoever gave it. Whether it counts in an estimate of accuracy depends on
how it was first assigned to a person, as that is the draw of which the probability is known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from slugline.corpus.label_database import DocumentLabels, LabelDecision, Selection
from slugline.labels.arrivals import Arrivals, Draw
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# Reasons of selections whose probability is known. Findings of an audit are selected because of
# other labels.
_DRAWS = ("random", "double-coded", "spread", "suggested")
# Reasons for which a coder gets a text again.
_REPEATS = ("audit", "repeated")
# A text counts as skipped once this many texts were shown after it without a decision on it. Coders
# may put off hard texts; the latest ones may still be open.
_N_PENDING = 20


class LabelledText(NamedTuple):
    """A text that was selected and decided about.

    Attributes
    ----------
    text : str
    topics : tuple of str, or None
        The answer; None if the text was skipped, or if coders disagree.
    weight : float or None
        How many texts without a label it stands for in an estimate of accuracy, in any unit: the
        inverse of the probability with which it was selected, relative to that of a random draw.
        None if it doesn't count, as the probability is unknown, or somebody saw a guess.
    first_topics : tuple of str, or None
        The answer before a model's contradiction was shown; None if none was shown.
    document : int or None
        The number of the document in the store.
    """

    text: str
    topics: tuple[str, ...] | None
    weight: float | None = None
    first_topics: tuple[str, ...] | None = None
    document: int | None = None

    @property
    def measured_topics(self) -> tuple[str, ...] | None:
        """The answer with which held-out answers are compared.

        Labels that are shown again are those that a model contradicts. Compared with what becomes
        of them, the model would look better than it is: nobody looks again at wrong labels with
        which it agrees, and whoever looks again tends to follow it.
        """
        return self.topics if self.first_topics is None else self.first_topics

    @property
    def is_measured(self) -> bool:
        """Whether it counts in an estimate of accuracy."""
        return self.weight is not None


class LabelledTexts(NamedTuple):
    """The texts in a store about which persons decided.

    Attributes
    ----------
    texts : list of LabelledText
        In the order of their draws.
    unmeasured_fraction : float
        The fraction of texts without a label that came too lately for labels to say anything about
        them.
    """

    texts: list[LabelledText]
    unmeasured_fraction: float = 0.0


def read_labelled(
    store: LabelStore, table: TextTable, arrivals: Arrivals | None = None
) -> LabelledTexts:
    """Return the texts in a store about which persons decided, in the order of their draws.

    - The answer is that of the document: what coders agree on, or what was settled. If they
      disagree, the text counts as skipped.
    - Texts that the user has changed are left out. Texts that are gone from the user's file are
      learned from, and not measured, since they are not among the texts that accuracy is about.
    - A text that was shown long ago and not decided counts as skipped.
    - A text that is coded twice counts once, as the draw that it was first.
    - A label that was shown again, as a model contradicted it, is learned from as it is now, and
      measured as it was before.
    - Near copies that were labelled together with a text are left out: a model that has learned
      from them knows that text, and its answer to it would not be a held-out one. Training reads
      them.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    arrivals : Arrivals, optional
        When the texts of the table came; by default, all were there from the beginning.
    """
    if arrivals is None:
        arrivals = Arrivals(np.zeros(len(table), dtype=np.intp), (0,))
    assignments = store.first_assignments()
    undecided = _undecided(store)
    numbers = sorted(each.id for each in assignments.values())
    last_left = numbers[-_N_PENDING - 1] if len(numbers) > _N_PENDING else 0
    draws: list[Draw] = []
    decided: list[tuple[int, DocumentLabels]] = []
    for each in store.labels():
        assignment = assignments.get(each.document.id)
        if assignment is None or each.is_replaced:
            continue
        is_copy = assignment.selection.reason == "near copy"
        if is_copy and each.status == "unlabelled":
            continue  # its label was taken back
        row = table.find_row(each.document)
        if row is not None:
            draws.append(Draw(assignment.id, row, _probability(assignment.selection)))
        if is_copy:
            continue
        is_left = assignment.id in undecided and assignment.id <= last_left
        if each.status != "unlabelled" or is_left:
            decided.append((assignment.id, each))
    draws.sort()
    drawn = sorted(
        each.id for each in assignments.values() if _probability(each.selection) is not None
    )
    weights = arrivals.weights(draws, drawn).tolist()
    weight_of = {draw.number: weight for draw, weight in zip(draws, weights, strict=True)}
    texts, measured = [], set[int]()
    first_decisions = find_first_decisions(store)
    for number, each in sorted(decided, key=lambda pair: pair[0]):
        weight = weight_of.get(number)
        first = first_decisions.get(each.document.id)
        decisions = each.decisions if first is None else (first,)
        is_guess_shown = any(decision.is_guess_shown for decision in decisions)
        if weight is None or math.isnan(weight) or is_guess_shown:
            weight = None
        else:
            measured.add(number)
        first_topics = None if first is None or first.kind != "label" else first.topics
        text, document = each.document.text, each.document.id
        texts.append(LabelledText(text, each.answer, weight, first_topics, document))
    fraction = arrivals.unmeasured_fraction(
        draws, [draw for draw in draws if draw.number in measured]
    )
    return LabelledTexts(texts, fraction)


def find_first_decisions(store: LabelStore) -> dict[int, LabelDecision]:
    """Return the decision about each document that was shown again, as it was before that."""
    shown = store.shown_again()
    first: dict[int, LabelDecision] = {}
    for decision in store.decisions() if shown else ():
        assignment = decision.assignment
        at = shown.get(assignment.document)
        if at is None or decision.at > at or assignment.selection.reason in _REPEATS:
            continue
        if decision.kind == "undo":
            first.pop(assignment.document, None)
        else:
            first[assignment.document] = decision
    return first


def _probability(selection: Selection) -> float | None:
    """Return the probability with which a text was selected; None if it is unknown."""
    if selection.reason not in _DRAWS or not selection.n_candidates:
        return None
    if selection.reason == "double-coded":
        # It was drawn from random draws, each with the same probability, and so is a random draw.
        return 1 / selection.n_candidates
    return selection.probability


def _undecided(store: LabelStore) -> set[int]:
    """Return the numbers of the assignments about which persons have not decided."""
    persons = [coder.name for coder in store.coders() if coder.kind == "person"]
    return {each.id for name in persons for each in store.open_assignments(name)}
