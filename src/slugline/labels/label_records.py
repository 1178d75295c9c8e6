"""Tables of a label database, as rows for data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

from slugline.base.checks import short_repr
from slugline.corpus.label_database.codebook import Codebook
from slugline.corpus.label_database.records import Coder, DocumentLabels, LabelDecision
from slugline.errors import OptionError, Parameter

#: The tables of `LabelStore.to_records`.
LabelTable = Literal["documents", "labels", "decisions", "codebook"]


def check_label_table(table: str) -> None:
    """Raise OptionError unless there is such a table."""
    if table not in get_args(LabelTable):
        raise OptionError(
            Parameter("table"),
            f" is {short_repr(table)}; choose one of {', '.join(get_args(LabelTable))}.",
        )


def document_records(
    documents: Iterable[DocumentLabels], coders: Sequence[Coder]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each document, with the label of each coder."""
    for each in documents:
        labels = {
            decision.assignment.coder.name: list(decision.topics)
            for decision in each.decisions
            if decision.kind == "label"
        }
        yield {
            "id": each.document.id,
            "key": each.document.key,
            "text": each.document.text,
            "status": each.status,
            "topics": None if each.answer is None else list(each.answer),
            **{f"topics of {coder.name}": labels.get(coder.name) for coder in coders},
        }


def decision_records(decisions: Iterable[LabelDecision]) -> Iterator[dict[str, Any]]:
    """Yield a row for each decision, with the selection of its document."""
    for each in decisions:
        coder, selection = each.assignment.coder, each.assignment.selection
        guess = selection.guess
        yield {
            "id": each.id,
            "at": each.at,
            "document": each.assignment.document,
            "coder": coder.name,
            "coder_kind": coder.kind,
            "kind": each.kind,
            "topics": list(each.topics) if each.kind == "label" else None,
            "skip_reason": each.reason,
            "note": each.note,
            "selection": selection.reason,
            "probability": selection.probability,
            "n_candidates": selection.n_candidates,
            "guess": None if guess is None else list(guess.topics),
            "guess_probability": None if guess is None else guess.probability,
            "is_guess_shown": each.is_guess_shown,
            "supersedes": each.supersedes,
        }


def codebook_records(codebook: Codebook) -> Iterator[dict[str, Any]]:
    """Yield a row for each topic, merged ones included."""
    for topic in codebook.all_topics():
        is_merged = topic.merged_into is not None
        yield {
            "id": topic.id,
            "name": topic.name,
            "description": topic.description,
            "examples": list(topic.examples),
            "changed": topic.changed,
            "merged_into": codebook.resolve(topic.id).name if is_merged else None,
        }
