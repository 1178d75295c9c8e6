"""The page on why one text gets its topic."""

from __future__ import annotations

import os
from pathlib import Path

from slugline.base.words import counted
from slugline.explain.explanation import Explanation, format_share, format_word
from slugline.reports.page import render, write_page

__all__ = [
    "explanation_page",
    "write_explanation",
]

#: Words in the table, and characters of the text that are shown.
N_WORDS, N_CHARACTERS = 25, 100_000
# Characters of a document that is shown.
_N_EXAMPLE = 600


def write_explanation(explanation: Explanation, path: str | os.PathLike[str]) -> Path:
    """Write `explanation_page` to a file, completely or not at all; create folders as needed.

    Raises
    ------
    SluglineError : if it can't be written there.
    """
    return write_page(explanation_page(explanation), path)


def explanation_page(explanation: Explanation) -> str:
    """Return the text with its words marked, and their shares, as a page that needs no other file.

    Parameters
    ----------
    explanation : Explanation
    """
    words = explanation.words()
    shown, rest = words[:N_WORDS], words[N_WORDS:]
    most = max((abs(each.share) for each in shown), default=0)
    return render(
        "explanation.html.j2",
        explanation=explanation,
        topic=str(explanation.topic),
        against=None if explanation.against is None else str(explanation.against),
        marked=explanation.marked(N_CHARACTERS),
        is_cut=len(explanation.text) > N_CHARACTERS,
        rows=[
            {
                "label": format_word(each),
                "share": format_share(each.share),
                "side": "for" if each.share > 0 else "against",
                "width": 100 * abs(each.share) / most if most else 0,
            }
            for each in shown
        ],
        heading=_heading(len(words)),
        n_rest=len(rest),
        rest_label="all others" if explanation.n_unlisted else counted(len(rest), "other"),
        rest=format_share(sum(each.share for each in rest)),
        bias=format_share(explanation.bias),
        score=format_share(explanation.score),
        examples=[
            (each, each.text[:_N_EXAMPLE] + ("…" if len(each.text) > _N_EXAMPLE else ""))
            for each in explanation.examples
        ],
    )


def _heading(n_words: int) -> str:
    if n_words < 2:
        return "One word counts" if n_words else "No word counts"
    return f"{n_words:,} words and phrases count"
