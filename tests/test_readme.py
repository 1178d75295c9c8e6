"""The first example of the README does what it says, in Python and on the command line."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the examples are, and where files may be left."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)


def blocks(language: str, page: str = README) -> list[str]:
    """Return what the README shows in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_readme_python_example_prints_what_it_shows() -> None:
    (example,) = blocks("pycon")
    test = doctest.DocTestParser().get_doctest(example, {}, "README", None, 0)

    assert doctest.DocTestRunner().run(test) == doctest.TestResults(failed=0, attempted=15)
    assert Path("tickets.slug").is_file()
    assert Path("report.html").is_file()


# Commands that need a server, a cluster, a network or files larger than memory.
ELSEWHERE = ("pip", "make", "serve", "--stream", "--scheduler", "reproduce")


def commands(page: str, *, with_answers: bool) -> list[str]:
    """Return a page's commands in order, each with the answer that is shown below it.

    With answers, only those of blocks that show some.
    """
    shown = [block for block in blocks("sh", page) if "\n# {" in block or not with_answers]
    lines = [line for block in shown for line in re.split(r"\n(?!# )", block.strip())]
    return [line for line in lines if not any(word in line for word in ELSEWHERE)]


NUMPY = importlib.import_module("numpy._core._multiarray_umath")
# Compiled kernels and the instructions of this processor; and NumPy in place of kernels, with the
# instructions of older processors.
PROCESSORS: dict[str, dict[str, str]] = {
    "this": {},
    "older, no kernels": {
        "NPY_DISABLE_CPU_FEATURES": " ".join(
            name for name in NUMPY.__cpu_dispatch__ if NUMPY.__cpu_features__[name]
        ),
        "OPENBLAS_CORETYPE": "Nehalem",
        "SLUGLINE_KERNEL": "0",
        "OMP_NUM_THREADS": "1",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("environment", PROCESSORS.values(), ids=PROCESSORS)
def test_readme_commands_answer_as_it_shows(environment: dict[str, str], tmp_path: Path) -> None:
    assert type_commands(README, environment, tmp_path, with_answers=bool(environment)) == 2


def type_commands(
    page: str, environment: dict[str, str], tmp_path: Path, *, with_answers: bool
) -> int:
    """Run a page's commands, and compare answers; return how many answers it shows."""
    (tmp_path / "slugline").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m slugline "$@"\n')
    (tmp_path / "slugline").chmod(0o755)
    paths = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLUGLINE_CACHE": str(tmp_path / "cache")}
    n_answers = 0
    for command in commands(page, with_answers=with_answers):
        line, _, answer = command.partition("\n# ")
        result = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", line],
            env=os.environ | paths | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, (line, result.stderr)
        if answer:
            assert result.stdout == f"{answer}\n"
            n_answers += 1
    return n_answers
