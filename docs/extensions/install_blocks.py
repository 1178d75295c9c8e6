"""`{install} serve`: how to install Slugline with extras, until and after its first release."""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Install(SphinxDirective):
    """A command that installs the extras named as argument."""

    optional_arguments = 1
    option_spec: ClassVar = {"german": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return the command for a clone of the repository, and what it will be."""
        extras = f"[{self.arguments[0]}]" if self.arguments else ""
        block = nodes.literal_block(text=f'pip install ".{extras}"', language="sh")
        note = nodes.paragraph(classes=["until-release"])
        place = "in a clone of the repository; after the first release, "
        if "german" in self.options:
            place = "in einem Klon des Repositorys; nach der ersten Veröffentlichung "
        note += nodes.Text(place)
        note += nodes.literal(text=f'pip install "slugline{extras}"')
        note += nodes.Text(".")
        return [block, note]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("install", Install)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
