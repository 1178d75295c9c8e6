"""The first example of the README does what it says, in Python and on the command line."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the examples are, and where files may be left."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)


def blocks(language: str) -> list[str]:
    """Return what the README shows in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_in_python_prints_what_the_readme_says() -> None:
    (example,) = blocks("pycon")
    test = doctest.DocTestParser().get_doctest(example, {}, "README", None, 0)

    assert doctest.DocTestRunner().run(test) == doctest.TestResults(failed=0, attempted=8)
    assert Path("tickets.slug").is_file()


def test_the_example_on_the_command_line_answers_as_the_readme_says(run: Run) -> None:
    train, ask, answer = next(block for block in blocks("sh") if "echo" in block).splitlines()
    (_, text), (_, *predict) = map(shlex.split, ask.split(" | "))

    run(*shlex.split(train)[1:])
    said = json.loads(run(*predict, stdin=text).out)

    expected = json.loads(answer.removeprefix("# "))
    assert said == {**expected, "probability": pytest.approx(expected["probability"], abs=0.01)}


def test_the_included_model_is_unsure_as_the_readme_says(run: Run) -> None:
    block = next(block for block in blocks("sh") if "cake" in block)
    _, ask, answer = block.splitlines()
    said = json.loads(run("predict", stdin=shlex.split(ask)[1]).out)
    shown = json.loads(answer.removeprefix("# "))
    assert (said["topic"], said["reason"]) == (None, shown["reason"])
    for guess, expected in zip(said["topics"], shown["topics"], strict=True):
        probability = pytest.approx(expected["probability"], abs=0.001)
        assert guess == {**expected, "probability": probability}


def test_the_readme_shows_lines_of_the_examples() -> None:
    (shown,) = blocks("csv")
    tickets = (ROOT / "examples" / "tickets.csv").read_text(encoding="utf-8")
    assert set(shown.splitlines()) <= set(tickets.splitlines())
