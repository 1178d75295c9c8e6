"""What cells of the site can use: `%%sh`, and `Frame` for pages that they write."""

import html
import os
import shutil
import subprocess
import sys
from pathlib import Path

from IPython.core.magic import register_cell_magic


@register_cell_magic
def sh(line, cell):  # noqa: ARG001
    """Run a cell in a shell; what it prints to both streams comes in its order."""
    run = subprocess.run(
        ["/bin/sh", "-e", "-c", cell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    sys.stdout.write(run.stdout)
    if run.returncode:
        raise RuntimeError(f"exit status {run.returncode}")


class Frame:
    """An HTML file in a frame."""

    def __init__(self, path, title, height=420):
        page = html.escape(Path(path).read_text("utf-8"))
        self.html = f'<iframe srcdoc="{page}" title="{title}" height="{height}"></iframe>'

    def _repr_html_(self):
        return self.html


def example(name):
    """Copy a file of examples/ here."""
    shutil.copy(Path(os.environ["SLUGLINE_EXAMPLES"]) / name, ".")
