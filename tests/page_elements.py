"""What a page consists of, for tests of reports."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Elements(HTMLParser):
    """Collects what a page consists of; fails on an element that is closed out of turn."""

    VOID = frozenset({"meta", "br", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    @property
    def sections(self) -> list[str | None]:
        return [attributes["id"] for tag, attributes in self.seen if tag == "section"]


def rows_of(page: str, section: str, number: int = 0) -> list[list[str]]:
    """Return the cells' texts of one of the tables of a section."""
    whole = page[page.index(f'<section id="{section}">') :]
    table = re.findall(r"<table.*?</table>", whole, re.DOTALL)[number]
    rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
    return [
        [Elements(cell).text.strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]
