"""Executes pages again if anything has changed that their output depends on."""

from __future__ import annotations

import hashlib
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
#: Files that cells run, import or read.
SOURCES = (
    "src/slugline/**/*",
    "examples/**/*",
    "benchmarks/**/*.py",
    "docs/extensions/**/*.py",
    "docs/simulation/*",
    "docs/conf.py",
    "pyproject.toml",
    "tests/browsers.py",
    "tests/label_page.py",
)
#: Packages whose versions change what cells print.
PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "myst-nb", "dask")

#: Length of a digest, after which the folder of a cache is named.
N_DIGITS = 16


def compute_cells_digest() -> str:
    """Return a digest of all that the output of cells depends on, besides the cells."""
    digest = hashlib.sha256(repr([sys.version, *map(version, PACKAGES)]).encode())
    for path in sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)}):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:N_DIGITS]


def open_cache(app: Sphinx) -> None:
    """Make the cache before processes share it, and remove those of other sources."""
    if app.config.nb_execution_mode != "cache":
        return
    folder = Path(app.config.nb_execution_cache_path)
    for other in folder.parent.glob("[0-9a-f]" * N_DIGITS):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    _ = get_cache(str(folder)).db  # its tables


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_config_value("cells_digest", "", "env", str)
    app.connect("builder-inited", open_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
