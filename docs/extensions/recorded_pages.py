"""Marks pages whose output was recorded: without their data, they show what the notebook holds."""

from __future__ import annotations

import os
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

NOTE = (
    "The output on this page is recorded: the page needs the Reuters newswires, which can’t be "
    "shipped with Slugline, and this site was built without them. Output that shows the wires "
    "themselves is left out."
)


def exclude_pages(app: Sphinx, config: Config) -> None:
    """Don't execute the pages without their data."""
    del app
    if "SLUGLINE_DATA" not in os.environ:
        config.nb_execution_excludepatterns = [
            *config.nb_execution_excludepatterns,
            *(f"{page}.ipynb" for page in config.recorded_pages),
        ]


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
    # Before myst-nb checks its settings.
    app.connect("config-inited", exclude_pages, priority=100)
    app.connect("doctree-read", mark_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
