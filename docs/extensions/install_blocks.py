"""`{install} serve`: how to install Slugline with extras, from a clone of its repository.

Until there is a release, no line installs it by its name: anybody can put a package there.
"""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# Without the policy, which holds for this window alone, Windows runs no script.
_NEW_PLACE = {
    "sh": ("python3 -m venv .venv", ". .venv/bin/activate"),
    "powershell": (
        "py -m venv .venv",
        "Set-ExecutionPolicy -Scope Process RemoteSigned -Force",
        ".venv\\Scripts\\Activate.ps1",
    ),
}
_PLACES = {
    "en": ("In a clone of the repository", "On Windows, in PowerShell"),
    "de": ("In einem Klon des Repositorys", "Unter Windows, in der PowerShell"),
}


def install_lines(extras: str = "", *, in_new_place: bool = False) -> dict[str, str]:
    """Return the commands by shell; one of them if all shells have the same.

    `in_new_place` is for a first page: the commands begin with a virtual environment.
    """
    line = f'pip install ".[{extras}]"' if extras else "pip install ."
    if not in_new_place:
        return {"sh": line}
    return {
        "sh": " && ".join((*_NEW_PLACE["sh"], line)),
        "powershell": "\n".join((*_NEW_PLACE["powershell"], line)),
    }


class Install(SphinxDirective):
    """Commands that install the extras named as argument."""

    optional_arguments = 1
    option_spec: ClassVar = {"german": directives.flag, "new": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return a block for each shell, and where to type it."""
        lines = install_lines("".join(self.arguments), in_new_place="new" in self.options)
        content: list[nodes.Node] = []
        places = _PLACES["de" if "german" in self.options else "en"]
        for place, (shell, line) in zip(places, lines.items(), strict=False):
            content.append(nodes.paragraph("", f"{place}:"))
            content.append(nodes.literal_block(text=line, language=shell))
        return content


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("install", Install)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
