"""What `make lock` writes, against `pyproject.toml`: what CI and the image install."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
ENVIRONMENTS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system],
        "os_name": "nt" if system == "win32" else "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for python in ("3.11", "3.12", "3.13", "3.14")
    for system, machine in (("linux", "x86_64"), ("darwin", "arm64"), ("win32", "AMD64"))
]
LINE = re.compile(
    r"(?P<requirement>[^\\\n]+?)(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)


class Pin(NamedTuple):
    name: str
    version: Version
    marker: Marker | None


def pins_of(path: Path) -> list[Pin]:
    """Return what a file pins; whatever is no version with hashes is an error."""
    text = re.sub(r"(?m)^#.*\n", "", path.read_text("utf-8"))
    lines = list(LINE.finditer(text))
    assert "".join(line[0] for line in lines) == text, f"{path.name} has other lines"
    pins = []
    for line in lines:
        requirement = Requirement(line["requirement"])
        (only,) = requirement.specifier
        assert only.operator == "=="
        assert requirement.url is None
        name = canonicalize_name(requirement.name)
        pins.append(Pin(name, Version(only.version), requirement.marker))
    return pins


def versions_of(path: Path, environment: dict[str, str]) -> dict[str, Version]:
    """Return the version of each package that is installed in an environment."""
    valid = [p for p in pins_of(path) if p.marker is None or p.marker.evaluate(environment)]
    versions = {pin.name: pin.version for pin in valid}
    assert len(versions) == len(valid), f"{path.name} has a package twice"
    return versions


def required_by(extra: str) -> list[Requirement]:
    """Return what an extra requires besides Slugline, and what Slugline does."""
    own = [Requirement(text) for text in EXTRAS[extra]]
    others = [name for r in own if r.name == "slugline" for name in sorted(r.extras)]
    base = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    own = [requirement for requirement in own if requirement.name != "slugline"]
    return base + own + [each for name in others for each in required_by(name)]


def test_locks_exist_for_dev_and_each_extra() -> None:
    assert {path.stem for path in FILES} == {*EXTRAS, "build"} - {"bench", "wheel"}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_lock_has_what_pyproject_requires(path: Path) -> None:
    if path.stem == "build":
        required = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
    else:
        required = required_by(path.stem)
    assert required
    for environment in ENVIRONMENTS:
        versions = versions_of(path, environment)
        for requirement in required:
            if requirement.marker is None or requirement.marker.evaluate(environment):
                version = versions.get(canonicalize_name(requirement.name))
                assert version is not None, f"`make lock`: {requirement} is missing"
                assert version in requirement.specifier, f"`make lock`: {requirement}, {version}"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_locks_can_be_installed_together(path: Path) -> None:
    if path.stem != "build":
        for environment in ENVIRONMENTS:
            all_of_them = versions_of(ROOT / "requirements" / "dev.txt", environment)
            assert versions_of(path, environment).items() <= all_of_them.items()


def test_locks_name_no_address() -> None:
    for path in FILES:
        assert path.stat().st_size < 3_000_000
        assert "://" not in path.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["dev", "docs"])
def test_make_installs_by_hash_if_locked(extra: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    command = ["make", "-n", "-W", "pyproject.toml", f".venv/{extra}-ready"]
    locked = subprocess.check_output([*command, "LOCKED=1"], cwd=ROOT, text=True)
    wanted = f"--require-hashes -r requirements/build.txt -r requirements/{extra}.txt"
    assert wanted in locked
    assert "--no-deps --no-build-isolation --editable ." in locked
    unlocked = subprocess.check_output([*command, "LOCKED="], cwd=ROOT, text=True)
    assert f'--editable ".[{extra}]"' in unlocked
    assert "--require-hashes" not in unlocked


def test_ci_tests_locked_and_lowest_versions() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    jobs = dict(
        re.findall(r"(?m)^  (\w+):.*\n((?:(?:    .*)?\n)+)", text.partition("\njobs:\n")[2])
    )
    assert 'LOCKED: "1"' in jobs["test"]
    assert "LOCKED" not in jobs["lowest"]
