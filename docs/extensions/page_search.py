"""Lets the search answer whole questions: Sphinx's own wants every word of one on a page."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def split_keywords(app: Sphinx, doctree: nodes.document) -> None:
    """Put commas between the words of keywords, as the index has each keyword as one word."""
    del app
    for meta in doctree.findall(nodes.meta):
        if meta.get("name") == "keywords":
            meta["content"] = ", ".join(dict.fromkeys(re.findall(r"\w+", meta["content"])))


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load the ranking on the page of results alone."""
    del templatename, context, doctree
    if pagename == "search":
        app.add_js_file("search.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("doctree-read", split_keywords)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
