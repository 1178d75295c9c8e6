"""Shows cells that begin with `%%sh` as the shell commands that they run."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

_MAGIC = re.compile(r"%%sh\b.*\n")


def show_as_shell(app: Sphinx, doctree: nodes.document) -> None:  # noqa: ARG001
    """Remove the magic line of shell cells, and highlight them as what they are."""
    for block in doctree.findall(nodes.literal_block):
        text = block.astext()
        if magic := _MAGIC.match(text):
            commands = text[magic.end() :]
            block.rawsource, block["language"] = commands, "sh"
            block.children[:] = [nodes.Text(commands)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("doctree-read", show_as_shell)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
