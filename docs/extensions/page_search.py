"""Lets the search answer whole questions: Sphinx's own wants every word of one on a page."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

#: Titles and words of pages in German, as (title, words).
GERMAN: dict[str, tuple[str, str]] = {
    f"{folder}/{page}": (title, words)
    for folder, pages in tomllib.loads(
        (Path(__file__).parent / "german.toml").read_text("utf-8")
    ).items()
    for page, (title, words) in pages.items()
}


def split_keywords(app: Sphinx, doctree: nodes.document) -> None:
    """Put commas between the words of keywords, as the index has each keyword as one word.

    German words are keywords, too.
    """
    german = " ".join(GERMAN.get(app.env.docname, ()))
    for meta in doctree.findall(nodes.meta):
        if meta.get("name") == "keywords":
            words = re.findall(r"\w+", f"{meta['content']} {german}")
            meta["content"] = ", ".join(dict.fromkeys(words))


def check_pages(app: Sphinx, env: Any) -> None:
    """Fail if there is no page of a German title."""
    del app
    if gone := GERMAN.keys() - env.found_docs:
        raise ValueError(f"german.toml names pages that are gone: {', '.join(sorted(gone))}")


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load the ranking, and titles in German, on the page of results alone."""
    del templatename, context, doctree
    if pagename == "search":
        titles = json.dumps({page: title for page, (title, _) in GERMAN.items()})
        app.add_js_file(None, body=f"const GERMAN_TITLES = {titles};")
        app.add_js_file("search.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("doctree-read", split_keywords)
    app.connect("env-updated", check_pages)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
