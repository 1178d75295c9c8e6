"""Coders, documents, and what coders decided about them, as a label database has them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

CoderKind = Literal["person", "imported"]
SelectionReason = Literal[
    "random", "spread", "suggested", "double-coded", "repeated", "audit", "near copy", "imported"
]
DecisionKind = Literal["label", "skip", "undo"]
SkipReason = Literal["unclear", "none of these", "not for me"]
CODER_KINDS: tuple[str, ...] = get_args(CoderKind)
SELECTION_REASONS: tuple[str, ...] = get_args(SelectionReason)
DECISION_KINDS: tuple[str, ...] = get_args(DecisionKind)
SKIP_REASONS: tuple[str, ...] = get_args(SkipReason)


class Coder(NamedTuple):
    """Somebody, or something, that gives topics to documents.

    Attributes
    ----------
    id : int
    at : str
        When the coder was added: ISO 8601, UTC, as in "2026-01-31T08:15:00.250Z".
    name : str
    kind : {"person", "imported"}
        The labels of an imported coder, such as a language model, don't count as answers.
    """

    id: int
    at: str
    name: str
    kind: CoderKind


class ModelGuess(NamedTuple):
    """What a model said about a document when it was assigned.

    Attributes
    ----------
    topics : tuple of str
    probability : float, from 0 to 1
    """

    topics: tuple[str, ...]
    probability: float


class Selection(NamedTuple):
    """Why, and with which probability, a document was selected for a coder.

    Attributes
    ----------
    reason : {"random", "spread", "suggested", "double-coded", "repeated", "audit", "near copy", \
"imported"}
        Double-coded documents are random draws as well.
    probability : float or None
        The probability, above 0, with which this document was selected at this moment; None if it
        is unknown, as for imported labels.
    n_candidates : int or None
        The number of documents among which it was selected.
    guess : ModelGuess or None
        What the model said at this moment, whether or not it was shown.
    is_guess_shown : bool
        Whether the coder was to see the guess.
    original : int or None
        The number of the assignment whose document a near copy was labelled with.
    """

    reason: SelectionReason
    probability: float | None = None
    n_candidates: int | None = None
    guess: ModelGuess | None = None
    is_guess_shown: bool = False
    original: int | None = None

    @property
    def is_random(self) -> bool:
        """Whether the document is a random draw."""
        return self.reason in ("random", "double-coded")


class Assignment(NamedTuple):
    """A document that a coder was asked about.

    Attributes
    ----------
    id : int
    at : str
        When it was assigned.
    coder : Coder
    document : int
        The number of the document.
    selection : Selection
    """

    id: int
    at: str
    coder: Coder
    document: int
    selection: Selection


class LabelDecision(NamedTuple):
    """What a coder decided about a document.

    Attributes
    ----------
    id : int
    at : str
        When it was decided.
    assignment : Assignment
    kind : {"label", "skip", "undo"}
    topics : tuple of str
        The topics by their names of today.
    topic_ids : tuple of int
        The numbers of the topics that were chosen, before any merges.
    reason : {"unclear", "none of these", "not for me"} or None
        Why the document was skipped.
    note : str or None
    is_guess_shown : bool
        Whether the coder saw the model's guess.
    supersedes : int or None
        The number of the decision that this one replaces.
    """

    id: int
    at: str
    assignment: Assignment
    kind: DecisionKind
    topics: tuple[str, ...] = ()
    topic_ids: tuple[int, ...] = ()
    reason: SkipReason | None = None
    note: str | None = None
    is_guess_shown: bool = False
    supersedes: int | None = None


class Settlement(NamedTuple):
    """What a person decided about a document on which coders disagree.

    Attributes
    ----------
    id : int
    at : str
        When it was settled.
    document : int
    person : Coder
    kind : {"label", "skip", "undo"}
    topics : tuple of str
        The topics by their names of today.
    note : str or None
    supersedes : int or None
        The number of the settlement that this one replaces.
    """

    id: int
    at: str
    document: int
    person: Coder
    kind: DecisionKind
    topics: tuple[str, ...] = ()
    note: str | None = None
    supersedes: int | None = None


class Withdrawal(NamedTuple):
    """All labels that a coder had given at a moment, taken back.

    Attributes
    ----------
    id : int
    at : str
        When they were withdrawn.
    coder : Coder
    person : Coder
        Who withdrew them.
    last_decision : int
        The number of the last decision that was withdrawn.
    """

    id: int
    at: str
    coder: Coder
    person: Coder
    last_decision: int


class StoredDocument(NamedTuple):
    """A document of a label database.

    Attributes
    ----------
    id : int
    at : str
        When it was stored.
    key : str
        What identifies it in the user's file; see `slugline.labels.cells.document_keys`.
    text : str
    columns : dict
        Its other columns.
    replaces : int or None
        The number of the document that had this key before the user changed its text.
    """

    id: int
    at: str
    key: str
    text: str
    columns: dict[str, Any]
    replaces: int | None = None


Status = Literal["settled", "agreed", "open", "skipped", "unlabelled", "replaced"]


class DocumentLabels(NamedTuple):
    """A document with the current decision of each coder about it.

    Attributes
    ----------
    document : StoredDocument
    decisions : tuple of LabelDecision
        The latest decision of each coder, in order; without undone and withdrawn ones, and without
        those about texts that came again, which show how steady a coder is and change no label.
    settlement : Settlement or None
        The latest settlement that was not undone.
    is_replaced : bool
        Whether the user has changed the text since; the labels are of the old one.
    """

    document: StoredDocument
    decisions: tuple[LabelDecision, ...]
    settlement: Settlement | None
    is_replaced: bool

    @property
    def status(self) -> Status:
        """How far the document is labelled.

        "settled" or "agreed" if it has an answer, "open" if persons disagree, "skipped" if no
        person labelled it and one skipped it (or it was settled so), "replaced" if the text was
        changed.
        Labels of imported coders don't count.
        """
        if self.is_replaced:
            return "replaced"
        if self.settlement is not None:
            return "settled" if self.settlement.kind == "label" else "skipped"
        labels = self._labels()
        if labels:
            return "agreed" if len({frozenset(label) for label in labels}) == 1 else "open"
        return "skipped" if self._by_persons() else "unlabelled"

    @property
    def answer(self) -> tuple[str, ...] | None:
        """The topics that a person settled on, or that all persons gave; None if there are none."""
        status = self.status
        if status == "settled" and self.settlement is not None:
            return self.settlement.topics
        return self._labels()[0] if status == "agreed" else None

    def _by_persons(self) -> list[LabelDecision]:
        return [each for each in self.decisions if each.assignment.coder.kind == "person"]

    def _labels(self) -> list[tuple[str, ...]]:
        return [each.topics for each in self._by_persons() if each.kind == "label"]
