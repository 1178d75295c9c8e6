"""The audit report: suspect documents next to the evidence against their topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from slugline.auditing.audit import Audit, Leak
from slugline.auditing.findings import Finding, Findings
from slugline.base.wording import join_words, one_line, percent
from slugline.corpus.topic_sets import join_topics
from slugline.experiment.evidence import passage
from slugline.explanation.explanation import highlight
from slugline.reports.render import render, sentence, shorten

# Sentences ----------------------------------------------------------------------------------------

# Maximum number of examples in a sentence.
_N_EXAMPLES = 3
# Maximum number of places of copies in a sentence.
_N_PLACES = 6
# Maximum lengths of a text and of its topics in the table of suspects.
_MAX_TEXT, _MAX_TOPICS = 48, 40
# A topic similar to this many others gets a single note.
_MANY_ALIKE = 3


def headline(audit: Audit) -> str:
    """Return a sentence with the numbers of documents and of probable label errors."""
    return _sentence("headline", audit=audit)


def other_findings(audit: Audit) -> list[str]:
    """Return a sentence for each other kind of finding."""
    found = [
        _sentence("identical", audit=audit, examples=_contradicting_places(audit)),
        *(_sentence(kind, audit=audit) for kind in ("near", "leaks")),
    ]
    found += [*_alike(audit), *_odd(audit)]
    return [text for text in found if text]


def suspect_table(findings: Findings, n_suspects: int, separator: float) -> list[list[str]]:
    """Return a table of the most suspect documents with a header, or an empty list.

    A separator line precedes documents with a suspicion under `separator`.
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
    """Return the places of identical texts with different topics; copies are adjacent."""
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
# Maximum number of suspects, and of rows in the other tables.
_MAX_CARDS, _MAX_ROWS = 100, 50
# Maximum length of a text, and of a text in a table.
_N_CHARACTERS, _N_SHORT = 560, 140


def audit_page(findings: Findings) -> str:
    """Return an audit as a self-contained HTML page."""
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
    """Return the most suspect documents without duplicate texts."""
    rows_by_text: dict[str, int] = {}
    for row in audit.suspects(MIN_SUSPICION).tolist():
        rows_by_text.setdefault(audit.corpus.texts[row], row)
        if len(rows_by_text) == _MAX_CARDS:
            break
    return list(rows_by_text.values())


def _card(findings: Findings, row: int) -> dict[str, Any]:
    """Return a suspect and the document shown next to it."""
    finding = findings[row]
    other = finding.comparison_row
    return {
        "finding": finding,
        "likely": join_topics(finding.likely),
        "suspect": _document(findings, row, finding),
        "other": None if other is None else _document(findings, other, finding),
    }


def _document(findings: Findings, row: int, finding: Finding) -> dict[str, Any]:
    """Return one of the two documents shown side by side, with the words for each topic marked."""
    corpus, topic, likely = findings.audit.corpus, finding.topic, finding.likely
    spans = findings.spans(row, topic, likely) if topic != likely else []
    return {
        "place": findings.place(row),
        "topic": join_topics(corpus.topics[row]),
        "text": highlight(*passage(corpus.texts[row], spans, _N_CHARACTERS)),
    }


def _leak(findings: Findings, leak: Leak) -> list[str]:
    """Return a row of the table of leaks: both places, likeness, topic and text."""
    topics, texts = findings.audit.corpus.topics, findings.audit.corpus.texts
    topic, test_topic = join_topics(topics[leak.row]), join_topics(topics[leak.test_row])
    return [
        findings.place(leak.test_row),
        findings.place(leak.row),
        "identical" if leak.likeness == 1 else f"{percent(leak.likeness, 0)} of terms",
        topic if topic == test_topic else f"{test_topic}, but {topic} in training",
        one_line(texts[leak.test_row], _N_SHORT),
    ]
