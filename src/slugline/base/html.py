"""HTML from templates and from Markdown."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def template_environment(package: str, folder: str = "templates") -> Environment:
    """Return the Jinja environment of a package's templates, each compiled once.

    Values are escaped; a name that isn't defined is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


# Markdown -----------------------------------------------------------------------------------------

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_ITEM = re.compile(r"\s*[-*+]\s+(.*)")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()<>]+)\)")
_STRONG = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_FENCE = "```"


def render_markdown(text: str, level: int = 1) -> Markup:
    r"""Return Markdown as HTML: headings, paragraphs, lists, code, links and bold words.

    All other characters are text: no markup of the source becomes part of the page.

    Parameters
    ----------
    text : str
    level : int, default 1
        Level of headings with one "#".

    >>> render_markdown("## A *b*")
    Markup('<h2>A *b*</h2>')
    >>> render_markdown("- one\n- `<two>`")
    Markup('<ul>\n<li>one</li>\n<li><code>&lt;two&gt;</code></li>\n</ul>')
    """
    return Markup("\n").join(_blocks(text.splitlines(), level))


def _blocks(lines: list[str], level: int) -> Iterator[Markup]:
    at = 0
    while at < len(lines):
        line = lines[at]
        heading = _HEADING.match(line)
        if not line.strip():
            at += 1
        elif line.startswith(_FENCE):
            end = _end(lines, at + 1, lambda line: line.startswith(_FENCE))
            yield Markup("<pre>{}</pre>").format("\n".join(lines[at + 1 : end]))
            at = end + 1
        elif heading:
            tag = f"h{min(level - 1 + len(heading[1]), 6)}"
            yield Markup("<{0}>{1}</{0}>").format(tag, _inline(heading[2]))
            at += 1
        else:
            is_list = bool(_ITEM.match(line))
            end = _end(lines, at + 1, _ends_list if is_list else _ends_paragraph)
            block = lines[at:end]
            yield _list(block) if is_list else Markup("<p>{}</p>").format(_inline("\n".join(block)))
            at = end


def _end(lines: list[str], start: int, is_over: Callable[[str], bool]) -> int:
    """Return the number of the first line after a block that goes on at `start`."""
    return next((n for n in range(start, len(lines)) if is_over(lines[n])), len(lines))


def _ends_list(line: str) -> bool:
    return not line.strip() or bool(_HEADING.match(line)) or line.startswith(_FENCE)


def _ends_paragraph(line: str) -> bool:
    return _ends_list(line) or bool(_ITEM.match(line))


def _list(lines: list[str]) -> Markup:
    items: list[str] = []
    for line in lines:
        item = _ITEM.match(line)
        if item:
            items.append(item[1])
        else:  # the item above goes on
            items[-1] += f"\n{line.strip()}"
    rows = Markup("\n").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
    return Markup("<ul>\n{}\n</ul>").format(rows)


def _inline(text: str) -> Markup:
    """Return a line with its code, links and bold words; code is left as it is."""
    parts = _CODE.split(text)  # every second one was in backticks
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else _links_and_bold(part)
        for i, part in enumerate(parts)
    )


def _links_and_bold(text: str) -> Markup:
    # Escaping changes nothing that the patterns look for, except & in addresses.
    linked = _LINK.sub(r'<a href="\2" rel="noreferrer">\1</a>', str(escape(text)))
    return Markup(_STRONG.sub(r"<strong>\1</strong>", linked))  # noqa: S704 - it was escaped
