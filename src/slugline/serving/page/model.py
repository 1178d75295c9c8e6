"""What there is to know of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from slugline.model.file.content import SHIPPED
from slugline.model.file.schema import ModelInfo
from slugline.reports.page import percent, typeset
from slugline.serving.http.settings import state_of
from slugline.serving.page.page import chosen_model, page

__all__ = [
    "Figure",
    "as_html",
    "show_model",
]


# Markdown as HTML: as much of it as model cards have, and nothing that a page must not hold -------

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_ITEM = re.compile(r"\s*[-*+]\s+(.*)")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()<>]+)\)")
_STRONG = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_FENCE = "```"


def as_html(text: str, level: int = 1) -> Markup:
    r"""Return a text in Markdown as HTML: headings, paragraphs, lists, code, links, bold words.

    Parameters
    ----------
    text : str
    level : int, default 1
        Of the headings that have one "#".

    >>> as_html("## A *b*")
    Markup('<h2>A *b*</h2>')
    >>> as_html("- one\n- `<two>`")
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
            end = _end(lines, at + 1, lambda each: each.startswith(_FENCE))
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
    """Return the number of the first line from `start` on for which a block is over."""
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
        else:  # goes on with the one before
            items[-1] += f"\n{line.strip()}"
    rows = Markup("\n").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
    return Markup("<ul>\n{}\n</ul>").format(rows)


def _inline(text: str) -> Markup:
    """Return a line with its code, links and bold words; in code, nothing else counts."""
    parts = _CODE.split(text)  # every second one was in backticks
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else _words(part)
        for number, part in enumerate(parts)
    )


def _words(text: str) -> Markup:
    # Neither pattern has anything in it that escaping changes, but for & in addresses.
    found = _LINK.sub(r'<a href="\2" rel="noreferrer">\1</a>', str(escape(text)))
    return Markup(_STRONG.sub(r"<strong>\1</strong>", found))  # noqa: S704 - it was escaped


# What there is to know of a model -----------------------------------------------------------------


class Figure(NamedTuple):
    """A number, and what it is."""

    value: str
    name: str


async def show_model(request: Request) -> Response:
    """Show a model's card and topics."""
    model = chosen_model(request)
    info = model.file.info
    return page(
        request,
        "model.html.j2",
        title=f"The model {model.name}",
        shipped=SHIPPED.get(model.name),
        key=_key(info, model.router.precision),
        topics=[(topic, _description(info, topic)) for topic in info.topics],
        card=as_html(_without_title(model.file.card)),
        problem=state_of(request).models.problems.get(model.name),
    )


def _key(info: ModelInfo, precision: float | None) -> list[Figure]:
    """Return the few numbers to remember."""
    found = [
        Figure(f"{len(info.topics):,}", "topic" if len(info.topics) == 1 else "topics"),
        Figure(f"{info.n_documents:,}", "documents learned from"),
    ]
    if "test_accuracy" in info.metrics:
        right = typeset(percent(info.metrics["test_accuracy"]))
        found.append(Figure(right, "right on documents left out to test"))
    if precision is not None:
        share = typeset(f"{100 * precision:g} %")
        found.append(Figure(share, "of its answers are to be right; else it says “unsure”"))
    return found


def _description(info: ModelInfo, topic: str | int) -> str:
    descriptions: Mapping[str, str] = info.descriptions or {}
    return descriptions.get(str(topic), "")


def _without_title(card: str) -> str:
    """Return a card without its heading, and without its topics, which the page lists itself."""
    before, heading, after = card.rpartition("\n## Its ")
    if heading and "topic" in after.partition("\n")[0]:
        card = before
    first, _, rest = card.partition("\n")
    return rest if first.startswith("# ") else card
