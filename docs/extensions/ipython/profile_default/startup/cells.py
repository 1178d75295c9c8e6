"""What cells of the site can use: `%%sh`, and `Frame` for pages that they write."""

import atexit
import html
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from IPython.core.magic import register_cell_magic

#: The port that readers see, and the free one that servers of the build use.
SHOWN = "8080"
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    PORT = str(free.getsockname()[1])


@register_cell_magic
def sh(line, cell):
    """Run a cell in a shell; what it prints to both streams comes in its order.

    `%%sh background` waits until the command says that it listens, and lets it run.
    """
    run = subprocess.Popen(
        ["/bin/sh", "-e", "-c", cell.replace(SHOWN, PORT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"SLUGLINE_PORT": PORT},
    )
    for text in run.stdout:
        sys.stdout.write(text.replace(PORT, SHOWN))
        if line == "background" and "listening at" in text:
            atexit.register(os.killpg, run.pid, 15)
            return
    if run.wait():
        raise RuntimeError(f"exit status {run.returncode}")


class Frame:
    """An HTML file in a frame."""

    def __init__(self, path, title, height=420):
        page = html.escape(Path(path).read_text("utf-8"))
        self.html = f'<iframe srcdoc="{page}" title="{title}" height="{height}"></iframe>'

    def _repr_html_(self):
        return self.html


def example(*names):
    """Copy files of examples/ here."""
    for name in names:
        shutil.copy(Path(os.environ["SLUGLINE_EXAMPLES"]) / name, ".")
