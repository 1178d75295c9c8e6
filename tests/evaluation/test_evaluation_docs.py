"""The page on evaluation shows what its commands print."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "probabilities.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+")


def block(language: str) -> str:
    """Return what the page shows in a language."""
    (shown,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(shown)


@pytest.fixture
def models(run: Run) -> str:
    """Run the commands of the page, and return what the last one prints."""
    shutil.copy(ROOT / "examples" / "tickets.csv", "tickets.csv")
    Path("later.csv").write_text(block("text"), encoding="utf-8")
    for line in block("sh").splitlines():
        found = run(*shlex.split(line)[1:])
        assert found.code == 0
    return str(found.out)


def test_the_page_shows_what_evaluate_prints(models: str) -> None:
    expected = block("text")
    assert NUMBER.sub("#", models) == NUMBER.sub("#", expected)
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (models, expected)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.02)


@pytest.mark.usefixtures("models")
def test_the_page_s_python_runs_and_agrees_with_what_evaluate_prints() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 -- our own page
    assert names["tickets"].accuracy == 0.9
    assert names["words"].accuracy == 0.7
