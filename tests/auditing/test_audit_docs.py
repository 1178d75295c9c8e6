"""The example of docs/explanation/audit.md does what it says."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "audit.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the examples are, and where files may be left."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)


def blocks(language: str) -> list[str]:
    """Return what the page shows in a language, "" for what commands print."""
    found = re.findall(r"```(\w*)\n(.*?)\n```", PAGE, re.DOTALL)
    return [block for kind, block in found if kind == language]


def commands(containing: str) -> list[str]:
    """Return the lines of the first block of commands that holds a word."""
    return next(block for block in blocks("sh") if containing in block).splitlines()


def test_the_example_prints_and_writes_what_the_page_says(run: Run, tmp_path: Path) -> None:
    *prepare, audit = commands("mixed.csv -n 2")
    for line in prepare:
        subprocess.run(line, shell=True, check=True, cwd=tmp_path)  # noqa: S602
    audited, ranked, repaired = blocks("")
    found = run(*shlex.split(audit)[1:], "--ranking", "all.jsonl")
    assert [*found.out.splitlines()[:-3], *found.out.splitlines()[-2:]] == audited.splitlines()
    assert Path("audit.html").is_file()

    lines = Path("all.jsonl").read_text(encoding="utf-8").splitlines()
    said, expected = json.loads(lines[1]), json.loads(ranked)
    assert said == {**expected, "suspicion": pytest.approx(expected["suspicion"], abs=0.01)}

    with Path("review.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    column = "decision: keep, relabel or drop"
    rows[0][column], rows[1][column] = "drop", "relabel"
    with Path("review.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (repair,) = commands("--decisions")
    assert run(*shlex.split(repair)[1:]).out.splitlines() == repaired.splitlines()


def test_the_example_in_python_runs() -> None:
    shutil.copy("examples/tickets.csv", "mixed.csv")
    (example,) = blocks("python")
    exec(example, {})  # noqa: S102
