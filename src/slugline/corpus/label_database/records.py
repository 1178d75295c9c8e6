"""Records of a label database: coders, documents, assignments and decisions."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, get_args

from msgspec import Meta

CoderKind = Literal["person", "imported"]
SelectionReason = Literal[
    "random",
    "spread",
    "suggested",
    "double-coded",
    "repeated",
    "audit",
    "near copy",
    "imported",
    "corrected",
]
DecisionKind = Literal["label", "skip", "undo"]
SkipReason = Literal["unclear", "none of these", "not for me"]
CODER_KINDS: tuple[str, ...] = get_args(CoderKind)
SELECTION_REASONS: tuple[str, ...] = get_args(SelectionReason)
SKIP_REASONS: tuple[str, ...] = get_args(SkipReason)


class Coder(NamedTuple):
    """A person or program that labels documents.

    Attributes
    ----------
    id : int
    at : str
        Time of registration: ISO 8601, UTC, such as "2026-01-31T08:15:00.250Z".
    name : str
    kind : {"person", "imported"}
        The labels of an imported coder, such as a language model, don't count as answers.
    """

    id: int
    at: str
    name: str
    kind: CoderKind


class ModelGuess(NamedTuple):
    """A model's prediction for a document at the time of its assignment.

    Attributes
    ----------
    topics : tuple of str
    probability : float
    """

    topics: tuple[str, ...]
    probability: float


class Selection(NamedTuple):
    """The reason and probability of a document's selection for a coder.

    Attributes
    ----------
    reason : {"random", "spread", "suggested", "double-coded", "repeated", "audit", "near copy", \
"imported", "corrected"}
        Double-coded documents are also random draws. "corrected" documents were classified by a
        served model, whose answer somebody corrected.
    probability : float or None
        Selection probability, above 0; None if unknown, such as for imported labels.
    n_candidates : int or None
        Number of documents to select from.
    guess : ModelGuess or None
        The model's prediction, shown or not.
    is_guess_shown : bool
        True if the coder was to see the guess.
    original : int or None
        For a near copy, the number of the assignment whose label it shares.
    """

    reason: SelectionReason
    probability: Annotated[float, Meta(gt=0, le=1)] | None = None
    n_candidates: Annotated[int, Meta(gt=0)] | None = None
    guess: ModelGuess | None = None
    is_guess_shown: bool = False
    original: int | None = None

    @property
    def is_random(self) -> bool:
        """True for a random draw."""
        return self.reason in ("random", "double-coded")


class Assignment(NamedTuple):
    """A document assigned to a coder.

    Attributes
    ----------
    id : int
    at : str
        Time of the assignment.
    coder : Coder
    document : int
        Document number.
    selection : Selection
    """

    id: int
    at: str
    coder: Coder
    document: int
    selection: Selection


class LabelDecision(NamedTuple):
    """A coder's decision about a document.

    Attributes
    ----------
    id : int
    at : str
        Time of the decision.
    assignment : Assignment
    kind : {"label", "skip", "undo"}
    topics : tuple of str
        Topics by their current names.
    topic_ids : tuple of int
        Numbers of the chosen topics, before any merges.
    reason : {"unclear", "none of these", "not for me"} or None
        Reason for skipping the document.
    note : str or None
    is_guess_shown : bool
        True if the coder saw the model's guess.
    supersedes : int or None
        Number of the decision that this one replaces.
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
    """A person's decision about a document on which coders disagree.

    Attributes
    ----------
    id : int
    at : str
        Time of the settlement.
    document : int
    person : Coder
    kind : {"label", "skip", "undo"}
    topics : tuple of str
        Topics by their current names.
    note : str or None
    supersedes : int or None
        Number of the settlement that this one replaces.
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
    """Withdrawal of all labels that a coder had given so far.

    Attributes
    ----------
    id : int
    at : str
        Time of the withdrawal.
    coder : Coder
    person : Coder
        Person who withdrew them.
    last_decision : int
        Number of the last withdrawn decision.
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
        Time of storage.
    key : str
        Id in the user's file; see `slugline.labels.cells.document_keys`.
    text : str
    columns : dict
        Other columns.
    replaces : int or None
        Number of the document that had this key before the user changed its text.
    """

    id: int
    at: str
    key: str
    text: str
    columns: dict[str, Any]
    replaces: int | None = None


Status = Literal["settled", "agreed", "open", "skipped", "unlabelled", "replaced"]


class DocumentLabels(NamedTuple):
    """A document with the current decision of each coder.

    Attributes
    ----------
    document : StoredDocument
    decisions : tuple of LabelDecision
        Latest decision of each coder, in order. Excludes undone and withdrawn decisions, and
        decisions on repeated texts, which measure a coder's consistency and change no label.
    settlement : Settlement or None
        Latest settlement, unless undone.
    is_replaced : bool
        True if the user has changed the text since; the labels belong to the old text.
    """

    document: StoredDocument
    decisions: tuple[LabelDecision, ...]
    settlement: Settlement | None
    is_replaced: bool

    @property
    def status(self) -> Status:
        """Labelling status of the document; labels of imported coders don't count.

        "settled" or "agreed" if it has an answer, "open" if people disagree, "skipped" if it was
        skipped and not labelled, or settled as skipped, and "replaced" if the text was changed.
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
        """The topics that were settled or on which all people agree, or None."""
        status = self.status
        if status == "settled" and self.settlement is not None:
            return self.settlement.topics
        return self._labels()[0] if status == "agreed" else None

    def _by_persons(self) -> list[LabelDecision]:
        return [each for each in self.decisions if each.assignment.coder.kind == "person"]

    def _labels(self) -> list[tuple[str, ...]]:
        return [each.topics for each in self._by_persons() if each.kind == "label"]
