"""What speaks against one document's topic, in words, and the document to show beside it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from slugline.audit.audit import Audit
from slugline.base.arrays import F64, Index

__all__ = [
    "DECISIONS",
    "REVIEW_COLUMNS",
    "Finding",
    "Findings",
    "Span",
    "ranking_lines",
    "review_table",
    "text_digest",
]


#: Start, end, and how much it speaks for the likely topic; see `Findings.spans`.
Span = tuple[int, int, float]

# Words of a text that are marked for each of the two topics.
_N_WORDS = 8
# Added to a word's share of a topic: words that are rarer tell little.
_SMOOTHING = 1e-4
# A score under -1 says that a document looks like none of the topic's.
_UNLIKE = -0.5
# Places that a reason names.
_N_PLACES = 3


@dataclass(frozen=True)
class Finding:
    """One document, and what was found about its topic.

    Attributes
    ----------
    row : int
        Which document of the audit it is.
    at : int or str
        Where it stands in its source.
    part : str
        "train", or "test" if it is one to test on.
    suspicion : float
        How likely its topic is wrong.
    topic, likely : str
    reasons : list of str
    beside : int or None
        The document that shows why: a copy with another topic, or the nearest of the likely topic.
    is_copy : bool
        Whether that is a copy.
    """

    row: int
    at: int | str
    part: str
    suspicion: float
    topic: str
    likely: str
    reasons: list[str]
    beside: int | None
    is_copy: bool


class Findings:
    """The findings of an audit.

    Parameters
    ----------
    audit : Audit
    """

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._odd: dict[int, list[str]] = {}
        for odd in audit.odd:
            self._odd.setdefault(odd.row, []).append(f"{odd.kind}: {odd.why}")
        self._copies = {row: rows for rows in audit.copies for row in rows.tolist()}

    def of(self, row: int) -> Finding:
        """Return what was found about a document."""
        audit = self.audit
        copy = self._copy(row)
        beside = copy if copy is not None else self._near(row)
        return Finding(
            row=row,
            at=audit.corpus.places[row],
            part="test" if audit.is_test(row) else "train",
            suspicion=float(audit.suspicion[row]),
            topic=audit.corpus.topics[row],
            likely=audit.likely[row],
            reasons=self._reasons(row),
            beside=beside,
            is_copy=copy is not None,
        )

    def to_review(self, fewest: int) -> list[int]:
        """Return the documents that are probably wrong, or so many of the most suspect."""
        n_wrong = len(self.audit.suspects())
        return [int(row) for row in self.audit.order[: max(fewest, n_wrong)]]

    def place(self, row: int) -> str:
        """Return where a document stands, in words, such as "line 12"."""
        part = "test " if self.audit.is_test(row) else ""
        return f"{part}{self.audit.corpus.unit} {self.audit.corpus.places[row]}"

    def spans(self, row: int, topic: str, likely: str) -> list[Span]:
        """Return the words of a document that speak most for one of two topics, as spans of it.

        Parameters
        ----------
        row : int
        topic, likely : str
            Over 0 speaks for `likely`, under 0 for `topic`: the log of how much more frequent the
            word is in the documents of one than of the other, this one and its copies left out.
        """
        weights = self._word_weights(row, topic, likely)
        text = self.audit.corpus.texts[row]
        found = []
        for word, weight in weights.items():
            matches = re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
            found += [(match.start(), match.end(), weight) for match in matches]
        return sorted(found)

    def _word_weights(self, row: int, topic: str, likely: str) -> dict[str, float]:
        words = self._words
        entries = slice(words.indptr[row], words.indptr[row + 1])
        columns, values = words.indices[entries], words.data[entries]
        if not len(columns):
            return {}
        numbers = self.audit.topics.encode([topic, likely])
        counts = self._by_topic[:, numbers][columns].toarray()
        y = self.audit.evidence.y[self._copies.get(row, np.array([row]))]
        n_copies = np.array([np.count_nonzero(y == number) for number in numbers])
        counts -= values[:, np.newaxis] * n_copies
        shares = np.log(np.maximum(counts, 0) / (self._totals[numbers] + 1) + _SMOOTHING)
        found = values * (shares[:, 1] - shares[:, 0])
        order = np.argsort(found, kind="stable")
        best = [*order[::-1][:_N_WORDS], *order[:_N_WORDS]]
        kept = [n for n in best if abs(found[n]) > 0]
        terms = {int(n): self.audit.features.term(int(columns[n])) for n in kept}
        return {term: float(found[n]) for n, term in terms.items() if term}

    @cached_property
    def _words(self) -> sp.csr_array:
        return self.audit.words()

    @cached_property
    def _by_topic(self) -> sp.csc_array:
        """Return the sum of each word's weights in each topic, shape (n_words, n_topics)."""
        y, n_topics = self.audit.evidence.y, len(self.audit.topics)
        ones = np.ones(len(y), dtype=np.float32)
        of_topics = sp.csr_array((ones, y, np.arange(len(y) + 1)), shape=(len(y), n_topics))
        return (self._words.T.tocsr() @ of_topics).tocsc()

    @cached_property
    def _totals(self) -> F64:
        return np.asarray(self._by_topic.sum(axis=0), dtype=np.float64).ravel()

    def _others(self, row: int) -> Index:
        rows = self._copies.get(row)
        return np.zeros(0, dtype=np.intp) if rows is None else rows[rows != row]

    def _copy(self, row: int) -> int | None:
        """Return the best supported copy of a document with another topic, if there is one."""
        y, suspicion = self.audit.evidence.y, self.audit.suspicion
        others = self._others(row)
        others = others[y[others] != y[row]]
        return int(others[suspicion[others].argmin()]) if len(others) else None

    def _near(self, row: int) -> int | None:
        """Return the nearest document of the likely topic, or the nearest of another."""
        audit = self.audit
        near = [n for n in audit.nearest.rows[row].tolist() if n >= 0]
        alike = [n for n in near if audit.corpus.topics[n] == audit.likely[row]]
        other = [n for n in near if audit.corpus.topics[n] != audit.corpus.topics[row]]
        return next(iter([*alike, *other]), None)

    def _reasons(self, row: int) -> list[str]:
        reasons = [*self._of_copies(row), *self._of_scores(row), *self._of_nearest(row)]
        return reasons + self._odd.get(row, [])

    def _of_copies(self, row: int) -> list[str]:
        topics, y, others = self.audit.corpus.topics, self.audit.evidence.y, self._others(row)
        different = others[y[others] != y[row]]
        if len(different):
            listed = _several(different, lambda n: f"{topics[n]} ({self.place(n)})")
            return [f"the same text stands under {listed}"]
        if len(others):
            return [f"the same text stands at {_several(others, self.place)}, with the same topic"]
        return []

    def _of_scores(self, row: int) -> list[str]:
        evidence, topic, likely = (
            self.audit.evidence, self.audit.corpus.topics[row], self.audit.likely[row]
        )  # fmt: skip
        scores = evidence.scores[row]
        own = scores[evidence.y[row]]
        if scores.max() > own and str(self.audit.topics.names[int(scores.argmax())]) == likely:
            return [f"its words are those of {likely} rather than of {topic}"]
        if own < _UNLIKE:
            return [f"its words are not those of {topic}"]
        return []

    def _of_nearest(self, row: int) -> list[str]:
        near = self.audit.nearest.rows[row]
        near = near[near >= 0].tolist()
        topics, likely = self.audit.corpus.topics, self.audit.likely[row]
        n_own = sum(topics[n] == topics[row] for n in near)
        n_likely = sum(topics[n] == likely for n in near)
        if not n_likely or n_likely <= n_own:
            return []
        return [
            f"of the {len(near)} nearest documents, {n_likely} {_are(n_likely)} {likely} and "
            f"{n_own or 'none'} {_are(n_own)} {topics[row]}"
        ]


def _are(n: int) -> str:
    return "is" if n < 2 else "are"


def _several(rows: Index, name: Callable[[int], str]) -> str:
    """Return the names of the first few rows, and how many more there are."""
    names = [name(row) for row in rows[:_N_PLACES].tolist()]
    if len(rows) > _N_PLACES:
        names.append(f"{len(rows) - _N_PLACES:,} more")
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


# An audit as files: every document in JSON Lines, and a table of the suspects to review -----------

#: What a reviewer can decide.
DECISIONS = ("keep", "relabel", "drop")
#: The columns of a table to review. The first two are for the reviewer.
REVIEW_COLUMNS = (
    "decision", "new_topic", "topic", "suspicion", "reasons", "text", "part", "at", "digest",
)  # fmt: skip
# Hexadecimal digits: enough to see that a text is no longer the same. A spreadsheet takes some such
# digits for a number, as 1234e567, unless a letter comes first.
_DIGITS, _LETTER = 16, "d"
# A spreadsheet's cell holds 32,767 characters, and the text is there to be read alone.
_MOST_CHARACTERS = 32_000


def text_digest(text: str, topic: str) -> str:
    """Return a letter and the beginning of the SHA-256 of a text and its topic, in hexadecimal."""
    data = f"{len(topic)}:{topic}{text}".encode("utf-8", "surrogatepass")
    return _LETTER + hashlib.sha256(data).hexdigest()[:_DIGITS]


def ranking_lines(findings: Findings) -> Iterator[str]:
    """Yield every document as a line of JSON, the most suspect first."""
    has_test = findings.audit.n_train < len(findings.audit)
    for row in findings.audit.order.tolist():
        found = findings.of(row)
        line = {"at": found.at, **({"part": found.part} if has_test else {}), **plain(found)}
        # Half characters, which UTF-8 lacks, stay escaped.
        yield json.dumps(line, ensure_ascii=not _is_unicode(line)) + "\n"


def plain(found: Finding) -> dict[str, object]:
    """Return what is said of a document, without its place."""
    return {
        "suspicion": round(found.suspicion, 4),
        "topic": found.topic,
        "likely": found.likely,
        "reasons": found.reasons,
    }


def _is_unicode(line: dict[str, object]) -> bool:
    try:
        str(line).encode()
    except UnicodeEncodeError:
        return False
    return True


def review_table(findings: Findings, found: Iterable[Finding]) -> bytes:
    """Return documents as CSV, for a person to write decisions into the first column.

    The second holds the likely topic, which `relabel` gives the document unless it is changed. The
    table is UTF-8 with a mark, without which a spreadsheet would take it for something else.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, REVIEW_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in found:
        text = findings.audit.corpus.texts[each.row]
        writer.writerow(
            {
                "decision": "",
                "new_topic": each.likely,
                "topic": each.topic,
                "suspicion": f"{each.suspicion:.4f}",
                "reasons": "; ".join(each.reasons),
                "text": text[:_MOST_CHARACTERS],
                "part": each.part,
                "at": each.at,
                "digest": text_digest(text, each.topic),
            }
        )
    return table.getvalue().encode("utf-8-sig", "backslashreplace")
