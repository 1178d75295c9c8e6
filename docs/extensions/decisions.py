"""`{decisions}`: the records of decisions in the folder of the page, the newest first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def list_decisions(folder: Path) -> list[str]:
    """Return the lines of a Markdown table of the records in a folder."""
    lines = ["| date | decision |", "|---|---|"]
    for path in sorted(folder.glob("2*.md"), reverse=True):
        (title,) = re.findall(r"^# (.+)$", path.read_text("utf-8"), re.MULTILINE)
        lines.append(f"| {path.name[:10]} | [{title}]({path.name}) |")
    return lines


class Decisions(SphinxDirective):
    """A table of the records beside the page."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for path in folder.glob("2*.md"):
            self.env.note_dependency(str(path))
        return self.parse_text_to_nodes("\n".join(list_decisions(folder)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("decisions", Decisions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
