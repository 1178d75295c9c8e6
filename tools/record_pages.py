"""Run the pages of the site that need the Reuters newswires, and keep their output in them.

`SLUGLINE_DATA=... python tools/record_pages.py` from the root of the repository. Builds of the site
without these data show this output; `make docs` runs the pages anew where the data are there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"
#: The tag of cells whose output is not kept: the wires can't be shipped.
SHOWS_TEXTS = "shows-texts"
PAGES = ("tutorials/newswires.ipynb", "tutorials/several-topics.ipynb")


def record(path: Path) -> None:
    """Run a notebook in an empty folder, and write it with its output."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=180, record_timing=False, resources=resources).execute()
    for cell in notebook.cells:
        if SHOWS_TEXTS in cell.metadata.get("tags", ()):
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, path)


def main() -> None:
    """Record all pages."""
    if "SLUGLINE_DATA" not in os.environ:
        sys.exit("set SLUGLINE_DATA to the folder that holds reuters/")
    for page in PAGES:
        record(DOCS / page)


if __name__ == "__main__":
    main()
