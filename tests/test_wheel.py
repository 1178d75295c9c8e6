"""The wheel and the source distribution work where nothing but Python is installed."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from linked_packages import link_requirements

Run = Callable[..., Any]

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
#: What the source distribution is made of.
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md")
#: Of the wheel, and of the source distribution, which has the tests as well.
MAX_BYTES, MAX_SOURCE_BYTES = 8_000_000, 9_000_000
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}
#: As in examples/quickstart.py, on data that need no download.
STEPS = (
    "train tickets.csv -o tickets.slug",
    "predict tickets.slug texts.txt -o answers.csv",
    "export tickets.slug -o page.html",
)
OUTPUTS = ("tickets.slug", "answers.csv", "page.html")


def execute(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Return what a command writes to standard output."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def prepare(folder: Path) -> Path:
    """Make a folder with what the steps read."""
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "tickets.csv", folder)
    (folder / "texts.txt").write_text(
        "Wo bleibt mein Päckchen?\nDie Rechnung ist falsch\n", "utf-8"
    )
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    """Return the files that the steps have written."""
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def check_kernels(environment: Mapping[str, str], folder: Path) -> None:
    """Run what checks each wheel of a release, its Python in one process."""
    commands = [shlex.split(each) for each in PROJECT["tool"]["cibuildwheel"]["test-command"]]
    code = "\n".join(command[-1] for command in commands if command[:2] == ["python", "-c"])
    others = [command for command in commands if command[:2] != ["python", "-c"]]
    for command in [["python", "-c", code], *others]:
        execute(command, folder, environment)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Copy the files of the source distribution, without compiled ones."""
    folder = tmp_path / "sources"
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.mark.slow
def test_setup_leaves_out_kernels_without_a_compiler_unless_required(
    sources: Path, setuptools: Path
) -> None:
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    environment = os.environ | NO_COMPILER | {"PYTHONPATH": str(setuptools)}
    execute(command, sources, environment | {"SLUGLINE_KERNEL": ""})
    assert not list(sources.rglob("*.so"))
    done = subprocess.run(
        command, cwd=sources, env=environment | {"SLUGLINE_KERNEL": "1"}, capture_output=True
    )
    assert done.returncode == 1
    assert b"/bin/false" in done.stderr


@pytest.mark.slow
def test_wheel_without_kernels_is_for_any_system(
    sources: Path, setuptools: Path, tmp_path: Path
) -> None:
    hook = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    environment = os.environ | NO_COMPILER | {"PYTHONPATH": str(setuptools), "SLUGLINE_KERNEL": ""}
    execute([sys.executable, "-c", hook], sources, environment)
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(r"slugline-[\d.]+-py3-none-any\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        (tags,) = (name for name in archive.namelist() if name.endswith("/WHEEL"))
        lines = archive.read(tags).decode().splitlines()
        assert "slugline/classifier.py" in archive.namelist()
    assert {"Root-Is-Purelib: true", "Tag: py3-none-any"} <= {*lines}


@pytest.mark.slow
def test_wheel_of_the_sdist_trains_the_same_model_as_the_sources(
    run: Run, sources: Path, setuptools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        pytest.skip("no compiler")
    # Kernels are compiled in a fifth of the time, and compute the same.
    quick = tmp_path / "cc"
    quick.write_text(f'#!/bin/sh\nexec {compiler} "$@" -O0\n')
    quick.chmod(0o755)
    dist, empty = tmp_path / "dist", tmp_path / "empty"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = os.environ | {"PYTHONPATH": str(setuptools), "SLUGLINE_KERNEL": "1", "CC": str(quick)}
    hook = f"from setuptools import build_meta; build_meta.build_sdist({str(dist)!r})"
    execute([sys.executable, "-c", hook], sources, build)
    (sdist,) = dist.glob("slugline-*.tar.gz")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(dist)]
    execute([*pip, "wheel", *options, str(sdist)], tmp_path, build)
    (wheel,) = dist.glob("slugline-*.whl")
    assert re.fullmatch(r"slugline-[\d.]+-cp311-abi3-\w+\.whl", wheel.name)
    for path, most in ((sdist, MAX_SOURCE_BYTES), (wheel, MAX_BYTES)):
        assert path.stat().st_size <= most, path.name
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("slugline/")}
    package = sources / "src" / "slugline"
    files = {
        path.relative_to(package.parent)
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".h"
    }
    compiled = {path.with_suffix(".abi3.so") if path.suffix == ".c" else path for path in files}
    assert packed == {path.as_posix() for path in compiled}

    # The same versions as here: models are the same with the same libraries.
    versions = {package.name: package.version for package in importlib.metadata.distributions()}
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(
        "\n".join(f"{name}=={version}" for name, version in versions.items() if name != "slugline")
    )
    execute([sys.executable, "-m", "venv", "--without-pip", str(empty)], tmp_path, os.environ)
    (packages,) = empty.glob("lib/python*/site-packages")
    link_requirements(packages)
    install = [*pip, "--python", str(empty / "bin" / "python"), "install", "--no-compile"]
    inside = {**NO_COMPILER, "PATH": str(empty / "bin"), "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    inside |= {k: v for k, v in os.environ.items() if k.startswith(("OMP_", "OPENBLAS_"))}
    assert shutil.which("gcc", path=inside["PATH"]) is None
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    install_wheel = [*install, "--constraint", str(constraints), str(wheel)]
    execute(install_wheel, tmp_path, outside | NO_COMPILER)
    check_kernels(inside, tmp_path)
    here, there = prepare(tmp_path / "here"), prepare(tmp_path / "of wheel")
    monkeypatch.chdir(here)
    for step in STEPS:
        assert run(*step.split()).code == 0
        execute(["slugline", *step.split()], there, inside)
    assert outputs(there) == outputs(here)


def test_ci_runs_on_all_supported_versions_of_python() -> None:
    classifiers = "\n".join(PROJECT["project"]["classifiers"])
    versions = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", classifiers, re.M)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    (matrix,) = re.findall(r"^ +python: \[(.*)\]$", workflow, re.M)
    assert re.findall(r"[\d.]+", matrix) == versions
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"
