"""Passages of documents, with the words that spoke for one topic and against another."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["N_CHARACTERS", "Quote", "passage"]

#: How long a passage may be, in characters.
N_CHARACTERS = 280

_SPACES = re.compile(r"\s+")
_CUT = "…"
# A passage in which all words are marked is hard to read: spans that count less than this share of
# the strongest one are left out.
_FAINTEST = 0.3
# At most so many characters of a word are left out at the end of a passage.
_LONGEST_REST = 20

Span = tuple[int, int, float]


class Quote(NamedTuple):
    """A passage of a text, on one line.

    Attributes
    ----------
    text : str
        With an ellipsis where it is cut.
    spans : list of (start, end, share)
        `text[start:end]` adds `share` to a score. Those that count most, in their order.
    """

    text: str
    spans: list[Span]


def passage(text: str, spans: Sequence[Span], most: int = N_CHARACTERS) -> Quote:
    """Return the passage of a text whose words count most.

    Parameters
    ----------
    text : str
    spans : sequence of (start, end, share)
        As in `slugline.marks.highlighted`.
    most : int, default 280
        How many characters of the text it may have.
    """
    start = _weightiest(spans, len(text), most)
    start, end = _at_spaces(text, start, min(len(text), start + most))
    lead, tail = _CUT if start else "", _CUT if end < len(text) else ""
    found = [
        (max(a, start) - start, min(b, end) - start, share)
        for a, b, share in spans
        if a < end and b > start
    ]
    least = _FAINTEST * max((abs(share) for *_, share in found), default=0)
    strong = [span for span in found if abs(span[2]) >= least]
    cut, moved = _on_one_line(text[start:end], strong)
    n = len(lead)
    return Quote(f"{lead}{cut}{tail}", [(a + n, b + n, share) for a, b, share in moved])


def _weightiest(spans: Sequence[Span], length: int, most: int) -> int:
    """Return where the passage begins whose words count most, for or against."""
    if length <= most:
        return 0
    ordered = sorted(spans)
    starts = [start for start, _, _ in ordered]
    # The shares before each span, so that those in between are a difference.
    before = [0.0]
    for _, _, share in ordered:
        before.append(before[-1] + abs(share))
    best, begin = 0.0, 0
    for number, start in enumerate(starts):
        last = bisect.bisect_right(starts, start + most // 2)
        if before[last] - before[number] > best:
            best, begin = before[last] - before[number], start
    return min(max(0, begin - most // 4), length - most)


def _at_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a passage that cuts no word, unless it is a very long one."""
    if start and not text[start - 1].isspace():
        space = _SPACES.search(text, start, min(end, start + _LONGEST_REST))
        start = space.end() if space else start
    if end < len(text) and not text[end].isspace():
        spaces = [*_SPACES.finditer(text, max(start, end - _LONGEST_REST), end)]
        end = spaces[-1].start() if spaces else end
    return start, end


def _on_one_line(text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
    """Return a text with single spaces for line breaks and several spaces, and the spans in it."""
    places, kept, n = [], [], 0
    for number, character in enumerate(text):
        places.append(n)
        space = character.isspace()
        if not space or (number and not text[number - 1].isspace()):
            kept.append(" " if space else character)
            n += 1
    places.append(n)
    line = "".join(kept).rstrip()
    moved = [(places[a], min(places[b], len(line)), share) for a, b, share in spans]
    return line, [span for span in moved if span[0] < span[1]]
