"""Executes pages if anything has changed that their output depends on, the longest first."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from myst_nb.core.execute import ExecutionError, create_client
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

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


def execute_pages(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute the pages that aren't in the cache, and put their output there.

    Sphinx reads neighbours in one process, so that reading would wait for the process that happens
    to have most of the long pages.
    """
    if app.config.nb_execution_mode != "cache" or app.parallel == 1:
        return
    longest = [page for page in app.config.longest_pages if page in docnames]
    pages = [*longest, *(page for page in docnames if page not in longest)]
    # Forked processes have the environment, which can't be sent to others.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(app.parallel, fork, _environments.append, (env,)) as pool:
        for execution in [pool.submit(_execute_page, page) for page in pages]:
            execution.result()


# The environment of a process that executes pages.
_environments: list[Any] = []


def _execute_page(page: str) -> None:
    (env,) = _environments
    path = Path(env.doc2path(page))
    text = path.read_text("utf-8")
    reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)
    if reader is None:
        return  # it has no cells
    logger = logging.getLogger(__name__)
    notebook = reader.read(text)
    try:
        with create_client(notebook, str(path), env.mystnb_config, logger, reader.read_fmt):
            pass
    except ExecutionError as error:
        raise ExecutionError(f"{path}: {error.__cause__}") from None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_config_value("cells_digest", "", "env", str)
    app.add_config_value("longest_pages", [], "", list)
    app.connect("builder-inited", open_cache)
    app.connect("env-before-read-docs", execute_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
