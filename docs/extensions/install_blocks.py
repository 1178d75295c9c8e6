"""`{install} serve`: how to install Slugline with extras, from a clone of its repository.

Until there is a release, no line installs it by its name: anybody can put a package there.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def install_line(extras: str = "") -> str:
    """Return the command that installs Slugline, in any shell."""
    return f'pip install ".[{extras}]"' if extras else "pip install ."


class Install(SphinxDirective):
    """The command that installs the extras named as argument, and where to type it."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a sentence and a block of code."""
        line = install_line("".join(self.arguments))
        place = nodes.paragraph("", "In a clone of the repository:")
        return [place, nodes.literal_block(text=line, language="sh")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("install", Install)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
