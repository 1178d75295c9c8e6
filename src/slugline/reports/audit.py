"""The report on an audit: each suspicious document beside the one that makes it so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from slugline.auditing.audit import Audit, Leak
from slugline.auditing.findings import Finding, Findings, Span
from slugline.base.wording import counted, join_words, one_line, percent
from slugline.corpus.topic_sets import join_topics
from slugline.explanation.explanation import highlight
from slugline.reports.page import render, sentence, shorten

# Sentences ----------------------------------------------------------------------------------------

# Examples in a sentence.
_N_EXAMPLES = 3
# A topic that is like so many others gets one note.
_SEVERAL = 3


def headline(audit: Audit) -> str:
    """Return the number of documents, and of those whose topic is probably wrong."""
    return sentence("audit.txt.j2", "headline", audit=audit)


def other_findings(audit: Audit) -> list[str]:
    """Return a sentence for each other kind of finding."""
    texts = (sentence("audit.txt.j2", kind, audit=audit) for kind in ("identical", "near", "leaks"))
    return [
        *filter(None, texts),
        *_alike(audit),
        *_odd(audit),
        *(
            f"{counted(n, 'text')} begin or end with the line {shorten(line)!r}"
            for line, n in audit.lines[:_N_EXAMPLES]
        ),
    ]


def _alike(audit: Audit) -> Iterator[str]:
    """Yield pairs of topics that are alike; those of a topic that is like several as one note."""
    mixed = [pair for pair in audit.alike if pair.mixed is not None]
    n_pairs = Counter(name for pair in mixed for name in pair[:2])
    n_documents = audit.corpus.topic_counts()
    told: set[tuple[str, str]] = set()
    for name, n in n_pairs.most_common():
        pairs = [pair for pair in mixed if name in pair[:2] and pair[:2] not in told]
        if n < _SEVERAL or len(pairs) < _SEVERAL:
            continue
        told |= {pair[:2] for pair in pairs}
        others = [pair.other if pair.topic == name else pair.topic for pair in pairs]
        size = counted(n_documents.get(name, 0), "document")
        yield (
            f"topic {name} ({size}) looks like {len(others)} others: "
            f"{join_words(others, _N_EXAMPLES, last=None)}; add documents to it, or merge it"
        )
    for pair in audit.alike:
        if pair[:2] not in told:
            yield f"topics {pair.topic} and {pair.other}: {pair.why}"


def _odd(audit: Audit) -> Iterator[str]:
    for kind, n in Counter(odd.kind for odd in audit.odd).items():
        rows = [odd.row for odd in audit.odd if odd.kind == kind]
        places = join_words([audit.corpus.places[row] for row in rows], _N_EXAMPLES)
        are = "is" if n == 1 else "are"
        yield f"{counted(n, 'text')} {are} {_NAMES[kind]}: {audit.corpus.unit} {places}"


_NAMES = {
    "blank": "without a word",
    "cut off": "cut off",
    "boilerplate": "boilerplate",
    "other script": "in another script",
    "other language": "probably in another language",
}


# The page -----------------------------------------------------------------------------------------

#: Suspicion from which on a document is worth a look.
LEAST_SUSPICION = 0.1
# Suspects at most, and rows of the other tables.
_N_CARDS, _N_ROWS = 100, 50
# Characters of a text, of those before its first marked word, and of a text in a table.
_N_CHARACTERS, _N_BEFORE, _N_SHORT = 560, 120, 140


@dataclass(frozen=True)
class _Side:
    """One of two texts side by side."""

    place: str
    topic: str
    text: Markup


@dataclass(frozen=True)
class _Card:
    """A suspect, and the document to show beside it."""

    finding: Finding
    likely: str
    suspect: _Side
    other: _Side | None


def audit_page(findings: Findings) -> str:
    """Return an audit as one HTML page that needs no other file."""
    audit = findings.audit
    rows = _distinct_suspects(audit)
    return render(
        "audit.html.j2",
        audit=audit,
        headline=headline(audit),
        others=other_findings(audit),
        cards=[_card(findings, row) for row in rows],
        n_wrong=len(audit.suspects()),
        least=LEAST_SUSPICION,
        leaks=[_leak(findings, leak) for leak in audit.copies.leaks[:_N_ROWS]],
        odd=[
            (findings.place(row), kind, why, one_line(audit.corpus.texts[row], _N_SHORT))
            for row, kind, why in audit.odd[:_N_ROWS]
        ],
    )


def _distinct_suspects(audit: Audit) -> list[int]:
    """Return the most suspect documents, each text once."""
    chosen: dict[str, int] = {}
    for row in audit.suspects(LEAST_SUSPICION).tolist():
        chosen.setdefault(audit.corpus.texts[row], row)
        if len(chosen) == _N_CARDS:
            break
    return list(chosen.values())


def _card(findings: Findings, row: int) -> _Card:
    finding = findings[row]
    beside = finding.beside
    other = None if beside is None else _side(findings, beside, finding)
    return _Card(finding, join_topics(finding.likely), _side(findings, row, finding), other)


def _side(findings: Findings, row: int, finding: Finding) -> _Side:
    corpus, topic, likely = findings.audit.corpus, finding.topic, finding.likely
    spans = findings.spans(row, topic, likely) if topic != likely else []
    return _Side(
        findings.place(row), join_topics(corpus.topics[row]), _excerpt(corpus.texts[row], spans)
    )


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
    return highlight(f"{before}{text[start:end]}{after}", inside)


def _leak(findings: Findings, leak: Leak) -> tuple[str, str, str, str, str]:
    topics, texts = findings.audit.corpus.topics, findings.audit.corpus.texts
    topic, test_topic = join_topics(topics[leak.row]), join_topics(topics[leak.test_row])
    return (
        findings.place(leak.test_row),
        findings.place(leak.row),
        "identical" if leak.likeness == 1 else f"{percent(leak.likeness, 0)} of terms",
        topic if topic == test_topic else f"{test_topic}, but {topic} in training",
        one_line(texts[leak.test_row], _N_SHORT),
    )
