"""Lets the search answer whole questions: Sphinx's own wants every word of one on a page."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load the ranking on the page of results alone."""
    del templatename, context, doctree
    if pagename == "search":
        app.add_js_file("search.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
