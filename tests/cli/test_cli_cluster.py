"""`slugline train` on workers: the model of one machine, and plain words when there are none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slugline.base import clusters
from slugline.base.lazy import install_command

pytestmark = pytest.mark.slow

pytest.importorskip("distributed")

Run = Callable[..., Any]
News = list[tuple[str, str]]

SLUGLINE = [sys.executable, "-m", "slugline"]


@pytest.fixture
def folder(news: News, tmp_path: Path) -> Path:
    """Write the news, ten times over and numbered, to four files."""
    many = [(f"{text} {n}", topic) for n in range(10) for text, topic in news]
    for number in range(4):
        rows = [{"text": text, "topic": topic} for text, topic in many[number::4]]
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (tmp_path / f"part-{number}.jsonl").write_text(lines)
    return tmp_path


def train(folder: Path, *options: object) -> list[str]:
    return [*SLUGLINE, "train", "part-*.jsonl", *map(str, options)]


def test_train_scheduler_learns_the_model_of_one_machine(run: Run, folder: Path) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    how: Any = {"cwd": folder, "capture_output": True, "text": True, "env": environment}
    one = run("train", "part-*.jsonl", "--stream", "-q", "-o", "one.slug")
    two = subprocess.run(train(folder, "--workers", 2, "-o", "two.slug"), check=True, **how)
    assert (folder / "two.slug").read_bytes() == (folder / "one.slug").read_bytes()
    assert two.stderr.splitlines()[0].startswith("dashboard: http://127.0.0.1:")
    assert two.stdout.splitlines()[1] == one.out.splitlines()[1]
    assert list(temporary.iterdir()) == []


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a scheduler and a worker; give the scheduler and its address."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        place = Path(own) / "scheduler.json"
        how: Any = {"cwd": own, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        common = ["--no-dashboard", "--scheduler-file", str(place)]
        python = [sys.executable, "-m"]
        scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        worker = ["distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1"]
        started = [
            subprocess.Popen([*python, *command, *common], **how) for command in (scheduler, worker)
        ]
        try:
            while not place.exists():
                time.sleep(0.05)
            time.sleep(0.1)
            yield started[0], json.loads(place.read_text())["address"]
        finally:
            for process in started:
                process.kill()
                process.wait()


def test_train_scheduler_resumes_after_the_scheduler_was_killed(run: Run, folder: Path) -> None:
    how: Any = {"cwd": folder, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = ["-q", "--checkpoint", "kept", "-o", "two.slug"]
    with cluster(folder) as (scheduler, address):
        job = subprocess.Popen(train(folder, "--scheduler", address, *options), **how)
        while not (folder / "kept" / "checkpoint.json").exists() and job.poll() is None:
            time.sleep(0.001)
        scheduler.send_signal(signal.SIGKILL)
        assert job.communicate()[1] == (
            "slugline: error: the scheduler of the cluster is gone; start the cluster again, and "
            "then the same job, which resumes from its checkpoint, if it has one.\n"
        )
        assert job.returncode == 1
    assert not (folder / "two.slug").exists()
    with cluster(folder) as (_, address):
        subprocess.run(train(folder, "--scheduler", address, *options), check=True, cwd=folder)
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
        "slugline: error: clusters need the packages dask and distributed, which are not "
        f"installed; type: {install_command('scale')}\n"
    )
