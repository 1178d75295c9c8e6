"""Patterns of names are for files that end: no pipes, devices, or files of the system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slugline.base.names import expand_patterns
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import read_rows
from slugline.errors import DataError

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text('{"text": "one", "topic": "x"}\n')
    Path("c").mkdir()
    return tmp_path


def test_expand_patterns_sorts_matches(folder: Path) -> None:
    (folder / "b.jsonl").touch()
    assert expand_patterns(["b.jsonl", "*"]) == ["b.jsonl", "a.jsonl", "b.jsonl", "c"]


@needs_pipes
def test_expand_patterns_rejects_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "b.jsonl")
    message = "^b.jsonl, which matches [*].jsonl, is a pipe or device; patterns are for files. "
    with pytest.raises(DataError, match=message):
        expand_patterns(["*.jsonl"])
    assert expand_patterns(["b.jsonl"]) == ["b.jsonl"]  # somebody may write to it


@needs_pipes
def test_expand_patterns_rejects_a_link_to_a_device(folder: Path) -> None:
    (folder / "b.jsonl").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a pipe or device"):
        expand_patterns(["*.jsonl"])


@needs_proc
@pytest.mark.parametrize("name", ["/proc/self/status", "link.jsonl"])
def test_check_is_no_system_file_rejects_proc_and_sys(name: str, folder: Path) -> None:
    (folder / "link.jsonl").symlink_to("/proc/self/status")
    with pytest.raises(
        DataError, match="is a file of the operating system, not a file of documents"
    ):
        read_rows(name, ReadOptions(format="jsonl"))
    with pytest.raises(
        DataError, match="is a file of the operating system, not a file of documents"
    ):
        expand_patterns([f"{name[:-1]}[{name[-1]}]"])
