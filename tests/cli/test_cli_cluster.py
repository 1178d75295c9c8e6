"""`slugline train` on workers: the model of one machine, and plain words when there are none."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slugline.base import clusters
from slugline.base.lazy import install_command
from slugline.base.progress import LineProgress

pytestmark = pytest.mark.slow

pytest.importorskip("distributed")

Run = Callable[..., Any]
News = list[tuple[str, str]]


@pytest.fixture
def folder(news: News, tmp_path: Path) -> Path:
    """Write the news, ten times over and numbered, to four files."""
    many = [(f"{text} {n}", topic) for n in range(10) for text, topic in news]
    for number in range(4):
        rows = [{"text": text, "topic": topic} for text, topic in many[number::4]]
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (tmp_path / f"part-{number}.jsonl").write_text(lines)
    return tmp_path


def test_train_scheduler_learns_the_model_of_one_machine(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    one = run("train", "part-*.jsonl", "--stream", "-q", "-o", "one.slug")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    two = run("train", "part-*.jsonl", "--workers", 2, "-o", "two.slug")
    assert (two.code, two.err.startswith("dashboard: http://127.0.0.1:")) == (0, True), two.err
    assert (folder / "two.slug").read_bytes() == (folder / "one.slug").read_bytes()
    assert two.out.splitlines()[1] == one.out.splitlines()[1]
    assert list(temporary.iterdir()) == []


# A scheduler and a worker in one process, which ends with the stream that it reads.
CLUSTER = """
import sys
from distributed import LocalCluster

with LocalCluster(
    n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@contextmanager
def cluster() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a cluster in a process; yield the process, and the address of the scheduler."""
    streams: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", CLUSTER], text=True, **streams) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_train_scheduler_starts_again_after_the_scheduler_was_killed(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ("train", "part-*.jsonl", "-o", "two.slug")
    with cluster() as (process, address), monkeypatch.context() as patch:

        def kill(self: Any, step: str, share: float | None = None, detail: str = "") -> None:
            if step == "reading":
                process.kill()
                process.wait()

        patch.setattr(LineProgress, "update", kill)
        lost = run(*train, "--scheduler", address)
    assert (lost.code, lost.err.splitlines()[-1]) == (
        1,
        "slugline: error: the scheduler of the cluster is gone; restart the cluster and rerun the "
        "job.",
    )
    assert not (folder / "two.slug").exists()
    with cluster() as (_, address):
        assert run(*train, "--scheduler", address).code == 0
    assert run("train", "part-*.jsonl", "--stream", "-q", "-o", "one.slug").code == 0
    assert (folder / "two.slug").read_bytes() == (folder / "one.slug").read_bytes()
    assert not (folder / "kept").exists()


def test_train_scheduler_rejects_an_address_without_a_scheduler(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_PATIENCE", 0.2)
    result = run("train", "part-*.jsonl", "--scheduler", "tcp://127.0.0.1:1")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(
        "slugline: error: no scheduler answers at tcp://127.0.0.1:1 (in 0.2 seconds); check"
    )


@pytest.mark.parametrize("options", [("--workers", 2), ("--scheduler", "tcp://127.0.0.1:1")])
def test_train_scheduler_names_the_missing_packages(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run("train", "part-*.jsonl", *options)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "slugline: error: clusters require the packages dask and distributed, which are not "
        f"installed; run: {install_command('scale')}\n"
    )
