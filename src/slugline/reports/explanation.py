"""The report that explains the topic of a text."""

from __future__ import annotations

from typing import Any

from slugline.explanation.explanation import Explanation, format_attribution, format_word
from slugline.reports.render import render

#: Maximum number of words in the table.
N_WORDS = 25
#: Maximum length of the text.
N_CHARACTERS = 100_000
# Maximum length of each similar document.
_N_EXAMPLE = 600


def explanation_page(explanation: Explanation, unsure: str = "") -> str:
    """Return a self-contained HTML page of the text with marked words and their attributions.

    `unsure` explains why the model is unsure, if it is.
    """
    return render(
        "explanation.html.j2",
        unsure=unsure,
        is_cut=len(explanation.text) > N_CHARACTERS,
        parts=[*map(_part, (explanation, *explanation.others))],
    )


def _part(explanation: Explanation) -> dict[str, Any]:
    """Return the values of the page's section on one topic."""
    words, totals = explanation.totals(N_WORDS)
    most = max((abs(word.attribution) for word in words), default=0)
    return {
        "explanation": explanation,
        "topic": str(explanation.topic),
        "against": None if explanation.against is None else str(explanation.against),
        "marked": explanation.to_html(N_CHARACTERS),
        "rows": [
            {
                "label": format_word(word),
                "attribution": format_attribution(word.attribution),
                "side": "for" if word.attribution > 0 else "against",
                "width": 100 * abs(word.attribution) / most if most else 0,
            }
            for word in words
        ],
        "heading": _heading(len(explanation.words())),
        "totals": [(name, format_attribution(attribution)) for name, attribution in totals],
        "examples": [
            (example, example.text[:_N_EXAMPLE] + ("…" if len(example.text) > _N_EXAMPLE else ""))
            for example in explanation.examples
        ],
    }


def _heading(n_words: int) -> str:
    if n_words < 2:
        return "One word counts" if n_words else "No word counts"
    return f"{n_words:,} words and phrases count"
