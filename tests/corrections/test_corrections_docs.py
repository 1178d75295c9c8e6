"""The examples of docs/explanation/corrections.md do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.corrections.gate import ALPHA, FEWEST, clearly_worse
from slugline.corrections.learning import DEFAULT_WEIGHT
from slugline.model.file.generations import MAX_EARLIER

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "corrections.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_s_commands_print_what_it_says(run: Run, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    first, second = blocks("sh")[0].splitlines()
    assert run(*shlex.split(first)[1:]).code == 0
    before = Path("tickets.slug").read_bytes()

    (example,) = blocks("python")
    exec(example, {})  # noqa: S102

    (shown,) = blocks("text")
    lines = run(*shlex.split(second)[1:]).out.splitlines()
    assert lines[lines.index("what corrections.db changed") : -1] == shown.splitlines()
    assert Path("tickets.slug.before.1").read_bytes() == before

    (back,) = blocks("sh")[1].splitlines()
    assert run(*shlex.split(back)[1:]).code == 0
    assert Path("tickets.slug").read_bytes() == before
    assert Path("tickets.slug.rolled-back").is_file()


def test_what_the_page_says_of_the_gate_is_so() -> None:
    assert ALPHA == 0.05
    assert FEWEST == 5
    assert "At least five test documents must have become worse." in PAGE
    assert clearly_worse([(0, 7)]) == [True]
    assert clearly_worse([(4, 7)]) == [False]
    assert MAX_EARLIER == 5
    assert pytest.approx(1) == DEFAULT_WEIGHT
