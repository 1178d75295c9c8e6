"""Texts with their answers, as the documents of a label store give them to a model.

A document has one answer, whoever gave it. Whether it counts in an estimate of accuracy depends on
how it was first assigned to a person, as that is the draw of which the probability is known.
"""

from __future__ import annotations

from typing import NamedTuple

from slugline.corpus.label_database import Assignment, DocumentLabels
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# Reasons of selections whose probability is known. Near copies, repeated texts and findings of an
# audit are selected because of other labels.
_DRAWS = ("random", "double-coded", "spread", "suggested")
# A text that was shown counts as skipped once so many others have been shown since: coders might
# leave the hard ones, and the latest are just being decided.
_N_PENDING = 20


class LabelledText(NamedTuple):
    """A text that was selected and decided about.

    Attributes
    ----------
    text : str
    topics : tuple of str, or None
        The answer; None if the text was skipped, or if coders disagree.
    probability : float or None
        The probability with which it was selected; None if that is unknown.
    n_candidates : int or None
        The number of texts among which it was selected.
    is_measured : bool
        Whether it may count in an estimate of accuracy: its probability is known, and nobody saw a
        guess.
    """

    text: str
    topics: tuple[str, ...] | None
    probability: float | None = None
    n_candidates: int | None = None
    is_measured: bool = False


def read_labelled(store: LabelStore, table: TextTable) -> list[LabelledText]:
    """Return the texts in a store about which persons decided, in the order of their draws.

    - The answer is that of the document: what coders agree on, or what was settled. If they
      disagree, the text counts as skipped.
    - Texts that the user has changed are left out. Texts that are gone from the user's file are
      learned from, and not measured, since they are not among the texts that accuracy is about.
    - A text that was shown long ago and not decided counts as skipped.
    - A text that is coded twice counts once, as the draw that it was first.
    """
    draws = store.first_assignments()
    undecided = _undecided(store)
    last = max((draw.id for draw in draws.values()), default=0)
    labelled: list[tuple[int, LabelledText]] = []
    for each in store.labels():
        draw = draws.get(each.document.id)
        if draw is None or each.is_replaced:
            continue
        is_left = draw.id in undecided and draw.id <= last - _N_PENDING
        if each.status == "unlabelled" and not is_left:
            continue
        is_in_table = table.find_row(each.document) is not None
        labelled.append((draw.id, _labelled_text(each, draw, is_in_table=is_in_table)))
    return [text for _, text in sorted(labelled, key=lambda pair: pair[0])]


def _undecided(store: LabelStore) -> set[int]:
    """Return the numbers of the assignments about which persons have not decided."""
    persons = [coder.name for coder in store.coders() if coder.kind == "person"]
    return {each.id for name in persons for each in store.open_assignments(name)}


def _labelled_text(each: DocumentLabels, draw: Assignment, *, is_in_table: bool) -> LabelledText:
    selection = draw.selection
    is_guess_shown = any(decision.is_guess_shown for decision in each.decisions)
    probability, n_candidates = selection.probability, selection.n_candidates
    if selection.reason == "double-coded" and n_candidates:
        # It was drawn from random draws, each with the same probability, and so is a random draw.
        probability = 1 / n_candidates
    return LabelledText(
        text=each.document.text,
        topics=each.answer,
        probability=probability,
        n_candidates=n_candidates,
        is_measured=is_in_table
        and selection.reason in _DRAWS
        and probability is not None
        and n_candidates is not None
        and not is_guess_shown,
    )
