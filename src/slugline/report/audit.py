"""The page that shows an audit: each suspect beside the document that tells why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.audit.auditing import Audit, Leak
from slugline.audit.findings import Finding, Findings, Span
from slugline.marks import highlighted
from slugline.report.audit_text import headline, other_findings
from slugline.report.page import render, write_page
from slugline.report.words import shortened

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["audit_page", "write_audit_page"]

# Suspects, leaks and odd texts that a page shows.
_N_CARDS, _FEWEST_CARDS, _N_ROWS = 100, 20, 50
# Characters of a text that are shown, and how many of them come before the first marked word.
_N_CHARACTERS, _N_BEFORE = 560, 120
_N_SHORT = 140


@dataclass(frozen=True)
class _Side:
    """One of two texts side by side."""

    place: str
    topic: str
    text: Markup


@dataclass(frozen=True)
class _Card:
    """A suspect, and the document to show beside it."""

    found: Finding
    own: _Side
    other: _Side | None


def write_audit_page(findings: Findings, path: str | os.PathLike[str]) -> Path:
    """Write `audit_page` to a file, completely or not at all.

    Raises
    ------
    SluglineError : if it can't be written there.
    """
    return write_page(audit_page(findings), path)


def audit_page(findings: Findings) -> str:
    """Return an audit as one HTML page that needs no other file.

    Parameters
    ----------
    findings : Findings
    """
    audit = findings.audit
    rows = _different(audit, max(_FEWEST_CARDS, len(audit.suspects())))
    return render(
        "audit.html.j2",
        audit=audit,
        headline=headline(audit),
        others=other_findings(audit),
        cards=[_card(findings, row) for row in rows],
        n_wrong=len(audit.suspects()),
        leaks=[_leak(findings, leak) for leak in audit.leaks[:_N_ROWS]],
        odd=[
            (findings.place(odd.row), odd.kind, odd.why, _start(audit.corpus.texts[odd.row]))
            for odd in audit.odd[:_N_ROWS]
        ],
    )


def _different(audit: Audit, n_most: int) -> list[int]:
    """Return the most suspect documents, each text once."""
    chosen: dict[str, int] = {}
    for row in audit.order[:n_most].tolist():
        chosen.setdefault(audit.corpus.texts[row], row)
        if len(chosen) == _N_CARDS:
            break
    return list(chosen.values())


def _card(findings: Findings, row: int) -> _Card:
    found = findings.of(row)
    own = _side(findings, row, found)
    return _Card(found, own, None if found.beside is None else _side(findings, found.beside, found))


def _side(findings: Findings, row: int, found: Finding) -> _Side:
    corpus = findings.audit.corpus
    spans = findings.spans(row, found.topic, found.likely) if found.topic != found.likely else []
    return _Side(findings.place(row), corpus.topics[row], _excerpt(corpus.texts[row], spans))


def _excerpt(text: str, spans: Sequence[Span]) -> Markup:
    """Return the part of a text around its first marked words, marked."""
    first = spans[0][0] if spans else 0
    start = max(0, min(first - _N_BEFORE, len(text) - _N_CHARACTERS))
    if start:
        start = text.find(" ", start, first) + 1 or start
    end = min(len(text), start + _N_CHARACTERS)
    before, after = "… " if start else "", " …" if end < len(text) else ""
    shift = len(before) - start
    inside = [(a + shift, b + shift, share) for a, b, share in spans if a >= start and b <= end]
    return highlighted(f"{before}{text[start:end]}{after}", inside)


def _start(text: str) -> str:
    return shortened(" ".join(text[: 4 * _N_SHORT].split()), _N_SHORT)


def _leak(findings: Findings, leak: Leak) -> tuple[str, str, str, str, str]:
    topics, texts = findings.audit.corpus.topics, findings.audit.corpus.texts
    return (
        findings.place(leak.test_row),
        findings.place(leak.row),
        "identical" if leak.likeness == 1 else f"{100 * leak.likeness:.0f} % of terms",
        topics[leak.row]
        if topics[leak.row] == topics[leak.test_row]
        else f"{topics[leak.test_row]}, but {topics[leak.row]} in training",
        _start(texts[leak.test_row]),
    )
