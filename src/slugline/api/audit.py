"""Audit and repair labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slugline.api.result import Data, TableResult, to_corpus, to_test_corpus
from slugline.auditing.audit import Audit, audit_corpus
from slugline.auditing.findings import MIN_TO_REVIEW, Findings, review_form, review_table
from slugline.auditing.repair import apply_decisions, read_decisions
from slugline.base.progress import Progress
from slugline.corpus.corpus import Corpus


class AuditResult(TableResult):
    """Probable label errors, duplicates, leaks and outliers.

    `to_records` returns a row per probable error, or for the 100 most suspect documents.
    `save("review.csv")` or `save("review.xlsx")` writes a table to fill in; `repair` applies your
    decisions.

    Attributes
    ----------
    audit : slugline.auditing.audit.Audit
        Includes `suspicion`, the probability that each topic is wrong; `likely`, the most likely
        topic of each document; and `copies`.
    findings : slugline.auditing.findings.Findings
        `findings[row]` gives the reasons for a document.
    """

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self.findings = Findings(audit)

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        from slugline.reports.audit import headline, other_findings

        return headline(self.audit), [("", line) for line in other_findings(self.audit)]

    def to_dict(self) -> dict[str, Any]:
        """Return all findings as plain data for JSON."""
        return self.findings.to_dict(MIN_TO_REVIEW)

    def to_records(self) -> list[dict[str, Any]]:
        """Return a row per suspect with its place, text, topics, suspicion and reasons."""
        records = []
        for row in self.findings.to_review():
            finding = self.findings[row]
            reasons = "; ".join(finding.reasons)
            text = self.audit.corpus.texts[row]
            place = {"row": row, "part": finding.part, "at": finding.at}
            records.append({**place, "text": text, **finding.to_dict(), "reasons": reasons})
        return records

    def repair(self, decisions: str | Path) -> Corpus:
        """Apply the decisions in a reviewed table and return the training documents.

        Raises DataError if the table can't be read or belongs to other documents.
        """
        train = self.audit.training_documents()
        return apply_decisions(train, read_decisions(decisions, form=review_form(train))).corpus

    def _page(self) -> str:
        from slugline.reports.audit import audit_page

        return audit_page(self.findings)

    def _table(self, delimiter: str | None = ",") -> bytes:
        return review_table(self.findings, self.findings.to_review(), delimiter)


def audit(
    data: Data,
    *,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    test: Data | None = None,
    random_state: int = 0,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> AuditResult:
    """Find probable label errors, duplicates, leaks and outliers.

    Parameters
    ----------
    data : Corpus, path, data frame, or pair of texts and topics
        See `train`.
    text : str or sequence of str, optional
        The columns to read; guessed by default.
    topic : str, optional
        The column to read; guessed by default.
    test : as `data`, optional
        Test documents to audit too. Copies of training documents are reported as leaks.
    random_state : int, default 0
    n_jobs : int, optional
        Number of threads, by default one per core. Results don't depend on it.
    progress : Progress, optional

    Raises
    ------
    DataError : if the data can't be read, or have only one topic, no words, or one distinct text.

    Examples
    --------
    >>> import slugline
    >>> result = slugline.audit("tickets-de")
    >>> len(result.audit.suspects()), result.audit.copies.identical
    (0, [])
    """
    corpus = to_corpus(data, text, topic)
    tests = to_test_corpus(test, text, topic)
    return AuditResult(
        audit_corpus(corpus, tests, random_state=random_state, n_jobs=n_jobs, progress=progress)
    )
