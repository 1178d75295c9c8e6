"""Links packages into an environment of a test, such as what Slugline requires: no unpacking."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["link_package", "link_requirements"]


def link_requirements(target: Path, extras: Sequence[str] = ()) -> None:
    """Link the files of what Slugline and some of its extras require into a folder.

    Nothing else is linked; what is too old here, pip installs. It replaces and removes
    links, and the files here stay as they are.
    """
    root = Path(__file__).parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    required = list(project["dependencies"])
    for extra in extras:
        required += project["optional-dependencies"][extra]
    names: set[str] = set()
    while required:
        requirement = Requirement(required.pop())
        marker = requirement.marker
        name = canonicalize_name(requirement.name)
        if name in names or (marker and not marker.evaluate({"extra": ""})):
            continue
        names.add(name)
        package = importlib.metadata.distribution(name)
        required += package.requires or []
        link_package(package, target)


def link_package(package: importlib.metadata.Distribution, target: Path) -> None:
    """Link the files of a package into a folder, except its commands."""
    for top in {path.parts[0] for path in package.files or []} - {"..", "__pycache__"}:
        found = Path(str(package.locate_file(top)))
        if found.is_dir():
            shutil.copytree(found, target / top, copy_function=_link)
        else:
            _link(found, target / top)


def _link(source: str | Path, target: str | Path) -> None:
    """Link a file; copy it where it can't be linked, as between two disks."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
