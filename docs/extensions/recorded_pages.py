"""Marks pages whose output was recorded: without their data, they show what the notebook holds."""

from __future__ import annotations

import os
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

NOTE = (
    "The output on this page is recorded: the page needs the Reuters newswires, which can’t be "
    "shipped with Slugline, and this site was built without them. Output that shows the wires "
    "themselves is left out."
)


def exclude_pages(app: Sphinx) -> None:
    """Don't execute the pages without their data."""
    if "SLUGLINE_DATA" not in os.environ:
        # Not in the configuration, as all pages are read again when that changes.
        config = app.env.mystnb_config
        pages = [f"{page}.ipynb" for page in app.config.recorded_pages]
        patterns = [*config.execution_excludepatterns, *pages]
        app.env.mystnb_config = config.copy(execution_excludepatterns=patterns)


def find_outdated_pages(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """Return the pages if they were read with data and there are none now, or the reverse."""
    has_data = "SLUGLINE_DATA" in os.environ
    was_read = getattr(env, "recorded_pages_had_data", has_data)
    env.recorded_pages_had_data = has_data
    return [] if was_read == has_data else app.config.recorded_pages


def mark_page(app: Sphinx, doctree: nodes.document) -> None:
    """Say below the title of a page that was not executed where its output is from."""
    page = app.env.docname
    if page in app.config.recorded_pages and "SLUGLINE_DATA" not in os.environ:
        title = next(iter(doctree.findall(nodes.title)))
        section = title.parent
        section.insert(section.index(title) + 1, nodes.note("", nodes.paragraph(text=NOTE)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_config_value("recorded_pages", [], "env", list)
    # After myst-nb has made its settings.
    app.connect("builder-inited", exclude_pages, priority=900)
    app.connect("env-get-outdated", find_outdated_pages)
    app.connect("doctree-read", mark_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
