"""Present the findings of an audit as sentences and as a table to review."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.auditing.audit import Audit
from slugline.auditing.suspicion import SetEvidence
from slugline.base.arrays import F64, Index
from slugline.base.wording import have, join_words
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import TopicForm
from slugline.corpus.table_writers import decimal_cell, guard_cell
from slugline.corpus.tables import table_file
from slugline.corpus.topic_cells import format_topics
from slugline.corpus.topic_sets import join_topics
from slugline.learning.labels import Labels

#: Minimum number of documents in a table to review.
MIN_TO_REVIEW = 100
#: A span of a text and its weight for the likely topic; see `Findings.spans`.
Span = tuple[int, int, float]

# Number of words to mark in a text for each of the two topics.
_N_WORDS = 8
# Added to the relative frequency of a word, so that rare words have little weight.
_SMOOTHING = 1e-4
# Documents with a lower score are unlike the documents of the topic.
_UNLIKE = -0.5
# Maximum number of documents to name in a reason.
_N_PLACES = 3


@dataclass(frozen=True)
class Finding:
    """The findings about one document."""

    row: int  # The row of the document in the audit
    at: int | str  # Its position in the source
    part: str  # "train" or "test"
    suspicion: float  # Probability that its topic is wrong
    topic: str | tuple[str, ...]
    likely: str | tuple[str, ...]
    reasons: list[str]
    # A document to compare with: a copy with another topic, or the nearest of the likely topic.
    comparison_row: int | None
    is_copy: bool  # True if the document to compare with is a copy

    def to_dict(self) -> dict[str, object]:
        """Return suspicion, topics and reasons as plain data for JSON."""
        return {
            "suspicion": round(self.suspicion, 4),
            "topic": self.topic,
            "likely": self.likely,
            "reasons": self.reasons,
        }


class Findings:
    """The findings of an audit: `findings[row]` is the `Finding` about a document."""

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._odd: dict[int, list[str]] = {}
        for odd in audit.odd:
            self._odd.setdefault(odd.row, []).append(f"{odd.kind}: {odd.why}")
        self._copies = {row: rows for rows in audit.copies.identical for row in rows.tolist()}

    def __getitem__(self, row: int) -> Finding:
        audit = self.audit
        copy = self._copy(row)
        return Finding(
            row=row,
            at=audit.corpus.places[row],
            part="test" if audit.is_test(row) else "train",
            suspicion=float(audit.suspicion[row]),
            topic=audit.corpus.topics[row],
            likely=audit.likely[row],
            reasons=self._reasons(row),
            comparison_row=copy if copy is not None else self._nearest(row),
            is_copy=copy is not None,
        )

    def to_dict(self, n: int) -> dict[str, Any]:
        """Return all findings as plain data for JSON, with the `n` most suspect documents."""
        audit = self.audit
        suspects = [self[row] for row in audit.order[:n].tolist()]
        return {
            "data": audit.corpus.name,
            "documents": len(audit),
            "test_documents": len(audit) - audit.n_train,
            "topics": len(audit.topics),
            "probably_wrong": len(audit.suspects()),
            "unit": audit.corpus.unit,
            "suspects": [{"at": item.at, "part": item.part, **item.to_dict()} for item in suspects],
            "copies": [self._places(rows) for rows in audit.copies.identical],
            "near_copies": [self._places(rows) for rows in audit.copies.near],
            "leaks": [
                {
                    "train": audit.corpus.places[leak.row],
                    "test": audit.corpus.places[leak.test_row],
                    "likeness": round(leak.likeness, 4),
                }
                for leak in audit.copies.leaks
            ],
            "topics_alike": [item._asdict() for item in audit.alike],
            "odd_texts": [
                {"at": audit.corpus.places[odd.row], "kind": odd.kind, "why": odd.why}
                for odd in audit.odd
            ],
        }

    def _places(self, rows: Index) -> list[dict[str, Any]]:
        corpus = self.audit.corpus
        return [{"at": corpus.places[row], "topic": corpus.topics[row]} for row in rows.tolist()]

    def to_review(self, min_documents: int = MIN_TO_REVIEW) -> list[int]:
        """Return the most suspect documents: all probably wrong ones, at least `min_documents`."""
        n_wrong = len(self.audit.suspects())
        return [int(row) for row in self.audit.order[: max(min_documents, n_wrong)]]

    def place(self, row: int) -> str:
        """Return the position of a document, such as "line 12"."""
        part = "test " if self.audit.is_test(row) else ""
        return f"{part}{self.audit.corpus.unit} {self.audit.corpus.places[row]}"

    def spans(self, row: int, topic: Any, likely: Any) -> list[Span]:
        """Return the spans of the words with the largest weights for one of two topics.

        Positive weights are for `likely`, negative ones for `topic`. A weight is the log ratio of
        the word's frequencies in documents of the two topics, excluding this document and its
        copies.
        """
        weights = self._word_weights(row, topic, likely)
        text = self.audit.corpus.texts[row]
        spans = []
        for word, weight in weights.items():
            matches = re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
            spans += [(match.start(), match.end(), weight) for match in matches]
        return sorted(spans)

    def _word_weights(self, row: int, topic: Any, likely: Any) -> dict[str, float]:
        words = self.audit.words
        entries = slice(words.indptr[row], words.indptr[row + 1])
        columns, values = words.indices[entries], words.data[entries]
        if not len(columns):
            return {}
        numbers = self.audit.topics.encode(
            [topic, likely] if isinstance(topic, str) else [*topic, *likely]
        )
        counts = self._by_topic[:, numbers][columns].toarray()
        n_copies = self._is_topic[self._copies.get(row, np.array([row]))][:, numbers].sum(axis=0)
        n_copies = n_copies.astype(np.int64)
        counts -= values[:, np.newaxis] * n_copies
        frequencies = np.log(np.maximum(counts, 0) / (self._totals[numbers] + 1) + _SMOOTHING)
        if isinstance(topic, str):
            weights = values * (frequencies[:, 1] - frequencies[:, 0])
        else:  # topics in both sets cancel out
            overall = np.asarray(self._by_topic[columns].sum(axis=1)) / self._totals.sum()
            frequencies -= np.log(overall + _SMOOTHING)[:, np.newaxis]
            n = len(topic)
            weights = values * (frequencies[:, n:].sum(axis=1) - frequencies[:, :n].sum(axis=1))
        order = np.argsort(weights, kind="stable")
        strongest = [*order[::-1][:_N_WORDS], *order[:_N_WORDS]]
        terms = {int(n): self.audit.features.term(int(columns[n])) for n in strongest if weights[n]}
        return {term: float(weights[n]) for n, term in terms.items() if term}

    @cached_property
    def _by_topic(self) -> sp.csc_array:
        """Return the sum of each word's weights in each topic, shape (n_words, n_topics)."""
        return (self.audit.words.T.tocsr() @ self._is_topic).tocsc()

    @cached_property
    def _is_topic(self) -> sp.csr_array:
        evidence = self.audit.evidence
        if isinstance(evidence, SetEvidence):
            return sp.csr_array(evidence.has.astype(np.float32))
        return Labels.from_topics(evidence.y).to_csr(len(self.audit.topics))

    @cached_property
    def _totals(self) -> F64:
        return np.asarray(self._by_topic.sum(axis=0), dtype=np.float64).ravel()

    def _others(self, row: int) -> Index:
        rows = self._copies.get(row)
        return np.zeros(0, dtype=np.intp) if rows is None else rows[rows != row]

    def _near(self, row: int) -> list[int]:
        """Return the nearest documents."""
        return [near for near in self.audit.nearest.rows[row].tolist() if near >= 0]

    def _copy(self, row: int) -> int | None:
        """Return the best supported copy of a document with another topic, if any."""
        y, suspicion = self.audit.evidence.y, self.audit.suspicion
        others = self._others(row)
        others = others[y[others] != y[row]]
        return int(others[suspicion[others].argmin()]) if len(others) else None

    def _nearest(self, row: int) -> int | None:
        """Return the nearest document with the likely topic, or else with another topic."""
        audit = self.audit
        near, topics = self._near(row), audit.corpus.topics
        alike = [n for n in near if topics[n] == audit.likely[row]]
        if audit.corpus.multilabel:
            added, removed = self._changes(row)
            alike += [n for n in near if {*added} & {*topics[n]}]
            near = [n for n in near if not {*removed} & {*topics[n]}]
        other = [n for n in near if topics[n] != topics[row]]
        return next(iter([*alike, *other]), None)

    def _changes(self, row: int) -> tuple[list[str], list[str]]:
        """Return a document's probably missing and probably wrong topics."""
        topics, likely = self.audit.corpus.topics[row], self.audit.likely[row]
        return [t for t in likely if t not in topics], [t for t in topics if t not in likely]

    def _by_changes(self, row: int) -> list[str]:
        near, reasons = self._near(row), []
        for changes, verdict, words in zip(
            self._changes(row), ("missing", "wrong"), ("are", "are not"), strict=True
        ):
            for topic in changes:
                n = sum(topic in self.audit.corpus.topics[other] for other in near)
                reasons.append(
                    f"{topic} is probably {verdict}: the words {words} typical of it; {n} of the "
                    f"{len(near)} nearest documents {have(n)} it"
                )
        return reasons

    def _reasons(self, row: int) -> list[str]:
        if self.audit.corpus.multilabel:
            reasons = [*self._by_copies(row), *self._by_changes(row)]
        else:
            reasons = [*self._by_copies(row), *self._by_scores(row), *self._by_nearest(row)]
        return reasons + self._odd.get(row, [])

    def _by_copies(self, row: int) -> list[str]:
        topics, y, others = self.audit.corpus.topics, self.audit.evidence.y, self._others(row)
        different = others[y[others] != y[row]]
        if len(different):
            names = [f"{join_topics(topics[n])} ({self.place(n)})" for n in different.tolist()]
            return [f"the same text has the topic {join_words(names, _N_PLACES)}"]
        if len(others):
            places = join_words([self.place(n) for n in others.tolist()], _N_PLACES)
            return [f"the same text occurs in {places}, with the same topic"]
        return []

    def _by_scores(self, row: int) -> list[str]:
        evidence, topic = self.audit.evidence, self.audit.corpus.topics[row]
        likely, scores = self.audit.likely[row], evidence.scores[row]
        score = scores[evidence.y[row]]
        if scores.max() > score and str(self.audit.topics.names[int(scores.argmax())]) == likely:
            return [f"its words are typical of {likely} rather than {topic}"]
        if score < _UNLIKE:
            return [f"its words are not typical of {topic}"]
        return []

    def _by_nearest(self, row: int) -> list[str]:
        near = self._near(row)
        topics, likely = self.audit.corpus.topics, self.audit.likely[row]
        n_same = sum(topics[n] == topics[row] for n in near)
        n_likely = sum(topics[n] == likely for n in near)
        if not n_likely or n_likely <= n_same:
            return []
        return [
            f"of the {len(near)} nearest documents, {n_likely} {_are(n_likely)} {likely} and "
            f"{n_same or 'none'} {_are(n_same)} {topics[row]}"
        ]


def _are(n: int) -> str:
    return "is" if n < 2 else "are"


# Files --------------------------------------------------------------------------------------------

#: The decisions of a reviewer.
DECISIONS = ("keep", "relabel", "drop")
#: Columns of a table to review. Reviewers fill in the first two; instructions follow the colon.
REVIEW_COLUMNS = (
    "decision: keep, relabel or drop", "new_topic: for relabel", "topic", "suspicion", "reasons",
    "text", "part", "at", "digest",
)  # fmt: skip
# Number of hexadecimal digits of the digest that detects changed texts, and its first character:
# without a letter, spreadsheets would read digests such as 1234e567 as numbers.
_DIGITS, _LETTER = 16, "d"
# A document key made by `slugline.labels.cells.document_keys` from an id, which several documents
# may share, for example if a file is given twice.
_KEY = re.compile(
    rf"id (?P<digest>{_LETTER}[0-9a-f]{{{_DIGITS}}}) (?P<part>train|test) (?P<at>.*?)"
    r"( text [0-9a-f]{64} [0-9]+)?",
    re.DOTALL,
)
# Spreadsheet cells are limited to 32,767 characters; longer texts are truncated, because the table
# is only for reading.
_MAX_CHARACTERS = 32_000


def review_form(corpus: Corpus) -> TopicForm | None:
    """Return the form of topics in a table for review; None for single-label data."""
    if not corpus.multilabel:
        return None
    form = None if corpus.layout is None else corpus.layout.topic_form
    return form if form and form.kind == "separator" else TopicForm("separator", ";")


def _cell(topics: Any, form: TopicForm | None) -> Any:
    """Return one or more topics as a cell; a separator alone stands for no topic."""
    return topics if form is None else format_topics(topics, form) or form.separator


def text_digest(text: str, topic: Any) -> str:
    """Return a short digest of a text and its topic or topics."""
    topic = topic if isinstance(topic, str) else "\0".join(topic)
    data = f"{len(topic)}:{topic}{text}".encode("utf-8", "surrogatepass")
    return _LETTER + hashlib.sha256(data).hexdigest()[:_DIGITS]


class DocumentKey(NamedTuple):
    """Identifies an audited document in a label database."""

    part: str  # "train" or "test"
    at: str  # its place
    digest: str


def document_id(part: str, at: object, digest: str) -> str:
    """Return a document id, from which label databases derive the key.

    >>> parse_document_key("id " + document_id("train", 12, text_digest("Wheat", "grain")))
    DocumentKey(part='train', at='12', digest='d53760b8e529fb1e3')
    """
    return f"{digest} {part} {at}"


def parse_document_key(key: str) -> DocumentKey | None:
    """Parse a key of a label database; None if it is not from an audit."""
    match = _KEY.fullmatch(key)
    return None if match is None else DocumentKey(match["part"], match["at"], match["digest"])


def column_name(head: str) -> str:
    """Return a column name without the instruction in its header.

    >>> column_name("decision: keep, relabel or drop")
    'decision'
    """
    return head.partition(":")[0]


def review_table(findings: Findings, rows: Iterable[int], delimiter: str | None = ",") -> bytes:
    """Return a table of documents for review: CSV, or Excel if `delimiter` is empty.

    Reviewers write decisions into the first column. The second column contains the likely topic for
    `relabel`, to be corrected if wrong. See `REVIEW_COLUMNS` and `table_file`.
    """
    rows_of_cells: list[Sequence[Any]] = [REVIEW_COLUMNS]
    form = review_form(findings.audit.corpus)
    for finding in map(findings.__getitem__, rows):
        text = findings.audit.corpus.texts[finding.row]
        excerpt = text[:_MAX_CHARACTERS]
        suspicion = decimal_cell(f"{finding.suspicion:.4f}", delimiter)
        topics = _cell(finding.likely, form), _cell(finding.topic, form)
        reasons, digest = "; ".join(finding.reasons), text_digest(text, finding.topic)
        excerpt = excerpt if delimiter is None else guard_cell(excerpt)
        rows_of_cells.append(
            ("", *topics, suspicion, reasons, excerpt, finding.part, str(finding.at), digest)
        )
    return table_file(rows_of_cells, delimiter)
