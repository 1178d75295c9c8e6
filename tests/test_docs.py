"""README and docs name only modules and files that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import slugline

ROOT = Path(slugline.__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
#: Files in examples, and one inside a model file.
EXAMPLES = {"pipelines.py", "card.md"}


def has(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name in one."""
    module, _, name = dotted.rpartition(".")
    try:
        importlib.import_module(dotted)
    except ImportError:
        return bool(module) and hasattr(importlib.import_module(module), name)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_what_is_gone(page: Path) -> None:
    text = page.read_text("utf-8")
    names = set(
        re.findall(r"\bslugline(?:\.[a-z]\w*)*\.(?!(?:slug|toml|service)\b)[A-Za-z]\w*", text)
    )
    assert [name for name in sorted(names) if not has(name)] == []
    for line in re.findall(r"^from slugline\S* import [^(\n]+$", text, re.MULTILINE):
        exec(line, {})  # noqa: S102 - our own pages
    if page.parent != ROOT:
        return  # the build of the site checks its links
    paths = set(re.findall(r"[\w./-]*\w\.(?:py|c|md)\b", re.sub(r"\w+://\S+", "", text)))
    folders = (ROOT, page.parent, ROOT / "src" / "slugline")
    gone = [path for path in sorted(paths) if not any((f / path).exists() for f in folders)]
    assert set(gone) <= EXAMPLES
