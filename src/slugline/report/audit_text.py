"""What an audit found, in sentences."""

from __future__ import annotations

from collections import Counter

from slugline.audit.auditing import Audit
from slugline.displays import counted
from slugline.report.words import listed, shortened

__all__ = ["headline", "other_findings"]

# Examples that a sentence names.
_N_SHOWN = 3


def headline(audit: Audit) -> str:
    """Return how many documents were judged, and how many topics are probably wrong."""
    n_test = len(audit) - audit.n_train
    read = counted(len(audit), "document")
    if n_test:
        read += f" ({n_test:,} of them to test on)"
    n_wrong = len(audit.suspects())
    verdict = (
        f"{n_wrong:,} probably {'has' if n_wrong == 1 else 'have'} a wrong topic"
        if n_wrong
        else "none more likely has a wrong topic than a right one"
    )
    return f"{audit.corpus.name}: {read}, {counted(len(audit.topics), 'topic')}; {verdict}"


def other_findings(audit: Audit) -> list[str]:
    """Return a sentence for each other thing that was found."""
    return [
        *_copies(audit),
        *_leaks(audit),
        *(f"topics {a.topic} and {a.other}: {a.why}" for a in audit.alike),
        *_odd(audit),
        *(
            f"{counted(number, 'text')} begin or end with the line {shortened(line)!r}"
            for line, number in audit.lines[:_N_SHOWN]
        ),
    ]


def _copies(audit: Audit) -> list[str]:
    found = []
    if audit.copies:
        n, n_differ = len(audit.copies), audit.n_contradicting
        found.append(f"{counted(n, 'text')} {_occur(n)} several times, {_under(n, n_differ)}")
    if audit.near_copies:
        n_near = sum(map(len, audit.near_copies))
        found.append(f"{counted(n_near, 'text')} {_are(n_near)} nearly the same as another")
    return found


def _under(n: int, n_differ: int) -> str:
    if not n_differ:
        return "always under the same topic" if n == 1 else "each under one topic"
    return "under different topics" if n == 1 else f"{n_differ:,} of them under different topics"


def _leaks(audit: Audit) -> list[str]:
    if not audit.leaks:
        return []
    n_same = sum(leak.likeness == 1 for leak in audit.leaks)
    n_near = len(audit.leaks) - n_same
    return [
        f"{counted(len(audit.leaks), 'test document')} {_are(len(audit.leaks))} among the training "
        f"documents: {n_same:,} identical, {n_near:,} nearly"
    ]


def _odd(audit: Audit) -> list[str]:
    kinds = Counter(odd.kind for odd in audit.odd)
    found = []
    for kind, n in kinds.items():
        rows = [odd.row for odd in audit.odd if odd.kind == kind][:_N_SHOWN]
        places = listed([audit.corpus.places[row] for row in rows])
        more = f" and {n - _N_SHOWN:,} more" if n > _N_SHOWN else ""
        where = f"{audit.corpus.unit} {places}{more}"
        found.append(f"{counted(n, 'text')} {_are(n)} {_NAMES[kind]}: {where}")
    return found


_NAMES = {
    "blank": "without a word",
    "cut off": "cut off",
    "boilerplate": "boilerplate",
    "other script": "in another script",
    "other language": "probably in another language",
}


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _occur(n: int) -> str:
    return "occurs" if n == 1 else "occur"
