"""A model card, which is simple Markdown, as HTML."""

from __future__ import annotations

import re
from html import escape

__all__ = ["card_html"]

_HEADING = re.compile(r"#{1,6} +(.*)")
_ITEM = re.compile(r"[-*] +(.*)")


def card_html(card: str) -> str:
    r"""Return headings, lists and paragraphs as HTML, and any other mark as it is written.

    Whatever the card says is text: none of it becomes markup. The title is left out.

    >>> print(card_html("# Card\n\nOf <b>\n\n## Topics\n\n- oil\n- tin\n"))
    <p>Of &lt;b&gt;</p>
    <h3>Topics</h3>
    <ul><li>oil</li><li>tin</li></ul>
    """
    blocks = re.split(r"\n\s*\n", card.strip())
    return "\n".join(filter(None, map(_block, blocks)))


def _block(text: str) -> str:
    lines = text.strip().splitlines()
    heading = _HEADING.fullmatch(lines[0]) if len(lines) == 1 else None
    if heading is not None:
        return "" if text.startswith("# ") else f"<h3>{escape(heading[1])}</h3>"
    items = [_ITEM.fullmatch(line) for line in lines]
    if all(items):
        listed = (f"<li>{escape(item[1])}</li>" for item in items if item is not None)
        return f"<ul>{''.join(listed)}</ul>"
    return f"<p>{escape(' '.join(line.strip() for line in lines))}</p>"
