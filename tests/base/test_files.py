"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from slugline.base import files
from slugline.base.files import write_whole

posix = pytest.mark.skipif(sys.platform == "win32", reason="no such locks, links or pipes there")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_whole_replaces_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"a longer old one")
    write_whole(str(tmp_path / "a.bin"), b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_write_whole_replaces_the_target_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "a.bin")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_write_whole_keeps_the_existing_file_if_a_step_fails(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a.bin").write_bytes(b"old")
    owner: Any = {"fsync": os, "replace": Path}[step]
    monkeypatch.setattr(owner, step, fail)

    with pytest.raises(OSError, match="No space left on device"):
        write_whole(tmp_path / "a.bin", b"new")

    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_os_advice_mentions_excel_for_a_locked_file() -> None:
    for number in (errno.EACCES, errno.EPERM, errno.EBUSY):
        assert "open in another program, such as Excel" in files.os_advice(OSError(number, ""))
    assert "Excel" not in files.os_advice(OSError(errno.EIO, ""))


def test_write_whole_rejects_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a.bin", b"new")


def test_write_whole_keeps_permissions(tmp_path: Path) -> None:
    path = tmp_path / "m.slug"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_whole(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)


@posix
def test_part_is_private_until_it_has_the_permissions_of_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights = []
    monkeypatch.setattr("os.fsync", lambda handle: rights.append(os.fstat(handle).st_mode & 0o777))
    (tmp_path / "m.slug").write_bytes(b"old")
    (tmp_path / "m.slug").chmod(0o640)
    write_whole(tmp_path / "m.slug", b"new")
    assert rights == [0o600]
    assert (tmp_path / "m.slug").stat().st_mode & 0o777 == 0o640


@posix
def test_write_whole_rejects_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a device or pipe"):
        write_whole(tmp_path / "pipe", b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert names_in(tmp_path) == ["pipe"]


@pytest.mark.parametrize("path", ["/", "."], ids=["the root", "this folder"])
def test_write_whole_rejects_a_folder(path: str) -> None:
    with pytest.raises(IsADirectoryError):
        write_whole(path, b"new")


@posix
def test_write_whole_rejects_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    write_whole(tmp_path / "loop", b"new")
    assert (tmp_path / "loop").read_bytes() == b"new"


def test_write_whole_is_safe_in_several_processes(tmp_path: Path) -> None:
    code = """
        import sys
        from slugline.base.files import write_whole

        for number in range(50):
            write_whole(sys.argv[1], bytes(100_000))
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), tmp_path / "a.bin"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(4)
    ]
    assert [process.wait(600) for process in processes] == [0] * 4
    assert names_in(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == bytes(100_000)
