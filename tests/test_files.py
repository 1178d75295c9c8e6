"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from slugline.files import write_whole


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_nothing_is_left_over(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.bin", b"\0new\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\0new\n"
    assert names_in(tmp_path) == ["a.bin"]


def test_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"a longer old one")
    write_whole(str(tmp_path / "a.bin"), b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_whole("a.bin", b"new")
    assert names_in(tmp_path) == ["a.bin"]


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "a.bin")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_if_a_step_fails_the_earlier_file_stays_and_nothing_is_left_over(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a.bin").write_bytes(b"old")
    monkeypatch.setattr(*{"fsync": ("os.fsync", fail), "replace": (Path, "replace", fail)}[step])

    with pytest.raises(OSError, match="No space left on device"):
        write_whole(tmp_path / "a.bin", b"new")

    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_a_folder_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a.bin", b"new")


def test_a_file_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "m.slug"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_whole(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
