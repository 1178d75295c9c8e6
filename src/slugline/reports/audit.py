"""The report on an audit: each suspicious document beside the document that casts doubt on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from markupsafe import Markup

from slugline.auditing.audit import Audit, Leak
from slugline.auditing.findings import Finding, Findings, Span
from slugline.base.wording import join_words, one_line, percent
from slugline.corpus.topic_sets import join_topics
from slugline.explanation.explanation import highlight
from slugline.reports.render import render, sentence, shorten

# Sentences ----------------------------------------------------------------------------------------

# Examples in a sentence.
_N_EXAMPLES = 3
# Places of copies in a sentence.
_N_PLACES = 6
# Characters of a text, and of the topics of a text, in the table of suspects.
_MAX_TEXT, _MAX_TOPICS = 48, 40
# A topic that is like so many others gets one note for all of them.
_MANY_ALIKE = 3


def headline(audit: Audit) -> str:
    """Return a sentence on the numbers of documents and of those whose topic is probably wrong."""
    return _sentence("headline", audit=audit)


def other_findings(audit: Audit) -> list[str]:
    """Return a sentence for each other kind of finding."""
    found = [
        _sentence("identical", audit=audit, examples=_contradicting_places(audit)),
        *(_sentence(kind, audit=audit) for kind in ("near", "leaks")),
    ]
    found += [*_alike(audit), *_odd(audit)]
    for line, n in audit.lines[:_N_EXAMPLES]:
        found.append(_sentence("line", n=n, line=repr(shorten(line))))
    return [text for text in found if text]


def suspect_table(findings: Findings, n_suspects: int, separator: float) -> list[list[str]]:
    """Return the most suspect documents with their topics, below a header; [] if there are none.

    A line separates documents with a suspicion under `separator`.
    """
    audit = findings.audit
    rows = [findings[row] for row in audit.suspects(MIN_SUSPICION)[:n_suspects].tolist()]
    if not rows:
        return []
    table = [[audit.corpus.unit, "suspicion", "topic", "likely", "text"]]
    has_separator = False
    for item in rows:
        if item.suspicion < separator and not has_separator:
            table.append(["", "", "", "", "(less suspect: these labels are probably right)"])
            has_separator = True
        table.append(
            [
                f"test {item.at}" if item.part == "test" else str(item.at),
                f"{item.suspicion:.2f}",
                shorten(join_topics(item.topic), _MAX_TOPICS),
                shorten(join_topics(item.likely), _MAX_TOPICS),
                one_line(audit.corpus.texts[item.row], _MAX_TEXT),
            ]
        )
    return table


def _contradicting_places(audit: Audit) -> str:
    """Return the places of texts whose copies have different topics, the copies side by side."""
    rows = [row for rows in audit.contradicting for row in rows.tolist()]
    return join_words([audit.corpus.places[row] for row in rows], _N_PLACES)


def _alike(audit: Audit) -> Iterator[str]:
    """Yield notes on topics that are similar to many others, and on other similar pairs."""
    mixed = [pair for pair in audit.alike if pair.mixed is not None]
    pair_counts = Counter(name for pair in mixed for name in pair[:2])
    document_counts = audit.corpus.topic_counts()
    noted: set[tuple[str, str]] = set()
    for name, _ in pair_counts.most_common():
        pairs = [pair for pair in mixed if name in pair[:2] and pair[:2] not in noted]
        if len(pairs) < _MANY_ALIKE:
            continue
        noted |= {pair[:2] for pair in pairs}
        others = [pair.other if pair.topic == name else pair.topic for pair in pairs]
        yield _sentence(
            "alike",
            topic=name,
            n_documents=document_counts.get(name, 0),
            n_others=len(others),
            examples=join_words(others, _N_EXAMPLES, last=None),
        )
    for pair in audit.alike:
        if pair[:2] not in noted:
            yield _sentence("pair", pair=pair)


def _odd(audit: Audit) -> Iterator[str]:
    """Yield a note on each kind of unusual text."""
    for kind, n in Counter(odd.kind for odd in audit.odd).items():
        places = [audit.corpus.places[odd.row] for odd in audit.odd if odd.kind == kind]
        examples = join_words(places, _N_EXAMPLES)
        yield _sentence("odd", kind=kind, n=n, unit=audit.corpus.unit, examples=examples)


_sentence = partial(sentence, "audit.txt.j2")

# The page -----------------------------------------------------------------------------------------

#: Documents with a lower suspicion are not shown.
MIN_SUSPICION = 0.1
# The largest number of suspects, and of rows of the other tables.
_MAX_CARDS, _MAX_ROWS = 100, 50
# Characters of a text, of its part before the first marked word, and of a text in a table.
_N_CHARACTERS, _N_BEFORE, _N_SHORT = 560, 120, 140


@dataclass(frozen=True)
class _Side:
    """One of two texts side by side."""

    place: str
    topic: str
    text: Markup


@dataclass(frozen=True)
class _Card:
    """A suspect, and the document that is shown beside it."""

    finding: Finding
    likely: str
    suspect: _Side
    other: _Side | None


class _LeakRow(NamedTuple):
    """The cells of a leak in the table, from left to right."""

    test_place: str
    training_place: str
    likeness: str
    topic: str
    text: str


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
        min_suspicion=MIN_SUSPICION,
        leaks=[_leak(findings, leak) for leak in audit.copies.leaks[:_MAX_ROWS]],
        odd=[
            (findings.place(row), kind, why, one_line(audit.corpus.texts[row], _N_SHORT))
            for row, kind, why in audit.odd[:_MAX_ROWS]
        ],
    )


def _distinct_suspects(audit: Audit) -> list[int]:
    """Return the most suspect documents, each text once."""
    rows_by_text: dict[str, int] = {}
    for row in audit.suspects(MIN_SUSPICION).tolist():
        rows_by_text.setdefault(audit.corpus.texts[row], row)
        if len(rows_by_text) == _MAX_CARDS:
            break
    return list(rows_by_text.values())


def _card(findings: Findings, row: int) -> _Card:
    finding = findings[row]
    return _Card(
        finding=finding,
        likely=join_topics(finding.likely),
        suspect=_side(findings, row, finding),
        other=(
            None
            if finding.comparison_row is None
            else _side(findings, finding.comparison_row, finding)
        ),
    )


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
    inside = [
        (a + shift, b + shift, attribution)
        for a, b, attribution in spans
        if a >= start and b <= end
    ]
    return highlight(f"{before}{text[start:end]}{after}", inside)


def _leak(findings: Findings, leak: Leak) -> _LeakRow:
    """Return the row of a leak in the table."""
    topics, texts = findings.audit.corpus.topics, findings.audit.corpus.texts
    topic, test_topic = join_topics(topics[leak.row]), join_topics(topics[leak.test_row])
    return _LeakRow(
        test_place=findings.place(leak.test_row),
        training_place=findings.place(leak.row),
        likeness="identical" if leak.likeness == 1 else f"{percent(leak.likeness, 0)} of terms",
        topic=topic if topic == test_topic else f"{test_topic}, but {topic} in training",
        text=one_line(texts[leak.test_row], _N_SHORT),
    )
