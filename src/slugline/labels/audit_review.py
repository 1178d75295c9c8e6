"""Review of an audit's suspects on the label page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slugline.auditing.findings import (
    Finding,
    Findings,
    document_id,
    parse_document_key,
    text_digest,
)
from slugline.base.wording import percent
from slugline.corpus.label_database.records import ModelGuess, Selection, StoredDocument
from slugline.corpus.label_database.tables import REVIEWED
from slugline.errors import DataError
from slugline.labels.draws import OrderedSelector
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable

# Higher probabilities are shown as "over 99 %".
_CERTAIN = 0.99


def open_decisions(path: Path, data: str) -> LabelStore:
    """Open the store of decisions about suspects of `data`, created if missing.

    Raises
    ------
    DataError : if the file has labels of texts.
    """
    store = LabelStore(path)
    try:
        _check_decisions(store)
        if store.setting(REVIEWED) != data:
            store.set_settings({REVIEWED: data})
    except BaseException:
        store.close()
        raise
    return store


def check_decisions(path: Path) -> None:
    """Raise DataError if a file has labels of texts instead of decisions about suspects."""
    if path.exists() and path.stat().st_size:
        with LabelStore(path, create=False) as store:
            _check_decisions(store)


def _check_decisions(store: LabelStore) -> None:
    if store.setting(REVIEWED) is None and any(store.last_change()):
        raise DataError(f"{store.path} contains labels, not audit decisions; choose another file.")


def decided_rows(findings: Findings, store: LabelStore) -> list[int]:
    """Return the rows of training documents with decisions in a store."""
    audit = findings.audit
    rows = {str(audit.corpus.places[row]): row for row in range(audit.n_train)}
    decided = []
    for each in store.labels():
        key = parse_document_key(each.document.key)
        if key is None or key.at not in rows or not each.decisions:
            continue
        row = rows[key.at]
        if _digest(findings, row) == key.digest:
            decided.append(row)
    return decided


class TopicReview(NamedTuple):
    """Evidence against the topics of a document.

    Attributes
    ----------
    topics : tuple of str
        Its current topics.
    proposal : tuple of str
        Its likely topics.
    reasons : tuple of str
    """

    topics: tuple[str, ...]
    proposal: tuple[str, ...]
    reasons: tuple[str, ...]


class AuditReview:
    """Documents of an audit, in the order of review.

    Attributes
    ----------
    table : TextTable

    Parameters
    ----------
    findings : Findings
    rows : sequence of int
        Rows of the documents in the audit, the most suspect first.
    columns : mapping of int to mapping
        Their other columns, where known.
    """

    def __init__(
        self, findings: Findings, rows: Sequence[int], columns: Mapping[int, Mapping[str, Any]]
    ) -> None:
        corpus = findings.audit.corpus
        self._findings, self._rows = findings, list(dict.fromkeys(rows))
        self.table = TextTable(
            corpus.name,
            [corpus.texts[row] for row in self._rows],
            [columns.get(row, {}) for row in self._rows],
            ids=[_document_id(findings, row) for row in self._rows],
        )
        self._by_key = dict(zip(self.table.keys, self._rows, strict=True))

    def make_selector(self, assignments: RowAssignments) -> OrderedSelector:
        """Return a selector of the documents, the most suspect first."""
        selections = (self._selection(self._findings[row]) for row in self._rows)
        return OrderedSelector(assignments, dict(enumerate(selections)))

    def _selection(self, finding: Finding) -> Selection:
        guess = ModelGuess(_topics(finding.likely), finding.suspicion)
        return Selection("audit", guess=guess, is_guess_shown=True)

    def review(self, document: StoredDocument) -> TopicReview | None:
        """Return the evidence against a document's topics, or None if it has changed since."""
        row = self._by_key.get(document.key)
        if row is None:
            return None
        finding = self._findings[row]
        topics, likely = _topics(finding.topic), _topics(finding.likely)
        return TopicReview(topics, likely, (_describe(finding.suspicion), *finding.reasons))


def _describe(suspicion: float) -> str:
    probability = "over 99 %" if suspicion > _CERTAIN else percent(suspicion, 0)
    return f"the topic is wrong with a probability of {probability}"


def _document_id(findings: Findings, row: int) -> str:
    audit = findings.audit
    part = "test" if audit.is_test(row) else "train"
    return document_id(part, audit.corpus.places[row], _digest(findings, row))


def _digest(findings: Findings, row: int) -> str:
    corpus = findings.audit.corpus
    return text_digest(corpus.texts[row], corpus.topics[row])


def _topics(topics: str | tuple[str, ...]) -> tuple[str, ...]:
    return topics if isinstance(topics, tuple) else (topics,)
