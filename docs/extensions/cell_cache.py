"""Executes pages if anything has changed that their output depends on, the longest first."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import sys
import tempfile
import uuid
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from jupyter_client.manager import AsyncKernelManager
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from traitlets import CaselessStrEnum, default

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


class LocalKernelManager(AsyncKernelManager):
    """Talks to its kernel through files: a free port may be taken before the kernel has it."""

    transport = CaselessStrEnum(["ipc"], default_value="ipc")

    @default("ip")
    def _choose_path(self) -> str:
        """Return the beginning of the paths of the sockets; systems limit their length."""
        return f"{tempfile.gettempdir()}/{uuid.uuid4().hex}"


def execute_pages(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute the pages that aren't in the cache, and put their output there.

    Sphinx gives neighbouring pages to one process, so that the build would wait for the process
    that has most of the long ones.
    """
    if app.config.nb_execution_mode != "cache":
        return
    longest = [page for page in app.config.longest_pages if page in docnames]
    pages = [*longest, *(page for page in docnames if page not in longest)]
    # Forked processes have the environment, which can't be sent to others.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(app.parallel, fork, _environments.append, (env,)) as pool:
        try:
            for execution in [pool.submit(_execute_page, page) for page in pages]:
                execution.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


# The environment of a process that executes pages.
_environments: list[Any] = []


def _execute_page(page: str) -> None:
    (env,) = _environments
    path, config = Path(env.doc2path(page)), env.mystnb_config
    text = path.read_text("utf-8")
    reader = create_nb_reader(str(path), env.myst_config, config, text)
    if reader is None or any(map(path.match, config.execution_excludepatterns)):
        return
    notebook = reader.read(text)
    cache = get_cache(config.execution_cache_path)
    with suppress(KeyError):
        cache.match_cache_notebook(notebook)
        return
    with tempfile.TemporaryDirectory() as folder:
        result = single_nb_execution(
            notebook,
            cwd=folder,
            timeout=config.execution_timeout,
            allow_errors=False,
            kernel_manager_class=LocalKernelManager,
            startup_timeout=config.execution_timeout,
        )
    if result.err is not None:
        raise RuntimeError(f"{path}: {result.exc_string}")
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": result.time})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_config_value("cells_digest", "", "env", str)
    app.add_config_value("longest_pages", [], "", list)
    app.connect("builder-inited", open_cache)
    app.connect("env-before-read-docs", execute_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
