"""Commands that install extras work everywhere, and name no stranger's package."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import slugline
from slugline.base.lazy import install_command

ROOT = Path(slugline.__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
FOR_USERS = ("demo", "e5", "encoder", "mcp", "parquet", "scale", "serve")


def parts(requirement: str) -> tuple[str, set[str], str]:
    """Return name, versions and marker of a requirement."""
    package, _, marker = requirement.partition(";")
    name = re.match(r"[\w.-]+", package)
    assert name is not None
    versions = {version.strip() for version in package[name.end() :].split(",")}
    return name[0], versions, re.sub(r"[\s()]", "", marker)


@pytest.mark.parametrize("extra", FOR_USERS)
def test_install_command_names_the_packages_of_the_extra(extra: str) -> None:
    command = install_command(extra)

    assert command.startswith("pip install ")
    named = re.findall(r'"([^"]+)"', command)
    assert [*map(parts, named)] == [*map(parts, EXTRAS[extra])]


@pytest.mark.parametrize("extra", [*FOR_USERS, "unknown"])
def test_install_command_never_asks_an_index_for_slugline(extra: str) -> None:
    assert re.search(r"\bslugline\b", install_command(extra)) is None


def test_install_command_without_an_installation_is_for_the_clone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def requires(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert install_command("serve") == 'pip install ".[serve]" in a clone of Slugline'


TEXTS = [
    *(path for path in ROOT.glob("*") if path.suffix in ("", ".md") and path.is_file()),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("docs/**/*.ipynb"),
    *ROOT.glob("docs/extensions/*.py"),
    *ROOT.glob("examples/**/*"),
    *ROOT.glob("src/**/*.py"),
    *ROOT.glob("src/**/*.j2"),
]


def test_texts_never_install_slugline_from_an_index() -> None:
    # Until there is a release, anybody can put a package there under this name.
    from_index = re.compile(r"pip install\b[^\n`]*?[\s\"'](slugline(\[|[\"'`\s=]|$))", re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in TEXTS
        if path.is_file() and "_build" not in path.parts
        for match in from_index.finditer(path.read_text("utf-8", "replace"))
    ]
    assert found == []
