"""Settings of the site: `make docs` builds it into docs/_build/html, without network access."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from slugline import __version__

DOCS = Path(__file__).parent
sys.path.append(str(DOCS / "extensions"))

from cell_cache import compute_cells_digest  # noqa: E402 - its folder is known from here on

project = "Slugline"
author = "The Slugline developers"
copyright = author  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "shell_cells",
    "install_blocks",
    "docstrings",
    "openapi_tables",
    "results",
    "page_search",
    "cell_cache",
    "recorded_pages",
]
exclude_patterns = ["_build", "extensions", "tests"]
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # types in docstrings are words, not links

# Pages are executed when they are built, each in an empty folder; an error fails the build. What
# they print is kept as long as nothing changes that it depends on.
nb_execution_mode = "cache"
cells_digest = compute_cells_digest()
nb_execution_cache_path = str(DOCS / "_build" / "cells" / cells_digest)
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # for a cell, also while other programs use the machine
nb_merge_streams = True
# They are executed first, so that none of them is waited for at the end.
longest_pages = [
    "tutorials/label-tickets",
    "tutorials/two-years",
    "tutorials/study",
    "tutorials/newswires",
    "start/unlabelled",
    "tutorials/cluster",
    "howto/compare",
    "howto/languages",
    "howto/label-next",
    "tutorials/few-labels",
    "howto/no-labels",
]
# Without SLUGLINE_DATA, these show the output that the notebooks hold; see tools/record_pages.py.
recorded_pages = ["tutorials/newswires", "tutorials/several-topics"]
nb_render_markdown_format = "myst"
# Cells see the terminal and the folders that a reader has, and the sample files by name.
os.environ |= {
    "IPYTHONDIR": str(DOCS / "extensions" / "ipython"),
    "SLUGLINE_EXAMPLES": str(DOCS.parent / "examples"),
    "COLUMNS": "80",
    "NO_COLOR": "1",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # docstrings say them in words
autodoc_member_order = "bysource"
napoleon_use_param = napoleon_use_rtype = False  # types stay words in the text
napoleon_custom_sections = [("Attributes", "params_style")]
strip_signature_backslash = True  # else `classes_` would lose its underscore
default_role = "code"  # docstrings write code between single backticks

html_theme = "furo"
html_title = "Slugline"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5c8f", "color-brand-content": "#1d5c8f"},
    "dark_css_variables": {"color-brand-primary": "#7fb8e6", "color-brand-content": "#7fb8e6"},
}
copybutton_exclude = ".linenos, .gp, .go"
