"""Help and usage errors: sections, widths, suggestions and completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from slugline.cli.app import COMMANDS

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.fixture
def help_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that returns the help of a command on a terminal of some width."""

    def help_of(command: str, columns: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = run(command, "-h")
        assert (code, err) == (0, "")
        return str(out)

    return help_of


def sections(text: str) -> dict[str, str]:
    """Return the lines below each heading."""
    parts = re.split(r"^(\S.*):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_help_has_a_section_for_arguments_and_each_panel(help_of: Callable[..., str]) -> None:
    train, predict = sections(help_of("train")), sections(help_of("predict"))
    assert [*train] == [
        "Arguments",
        "Options",
        "Options for --learner network",
        "With --corrections",
        "For DATA that is larger than memory",
    ]
    assert train["Arguments"].startswith("\n  DATA  CSV, TSV, JSONL")
    assert "\n  --hidden WIDTHS " in train["Options for --learner network"]
    assert "--check " not in train["Options"]
    assert [*predict] == ["Arguments", "Options", "With a folder for --output"]
    assert re.findall("^  ([A-Z]+) ", predict["Arguments"], re.MULTILINE) == ["MODEL", "FILE"]
    assert "[default: 1; x>=1]" in predict["Options"]
    assert "[env var: SLUGLINE_PORT; default: 8080; 0<=x<=65535]" in " ".join(
        help_of("serve").split()
    )


def test_examples_keep_their_lines(help_of: Callable[..., str]) -> None:
    example = (
        "  For example:\n\n"
        "    slugline audit tickets.csv --review review.csv -o audit.html\n"
        "    slugline audit tickets.csv --decisions review.csv -o repaired.jsonl\n\n"
    )
    for columns in (80, 40):
        assert example in help_of("audit", columns)


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_fits_on_a_terminal(
    help_of: Callable[..., str], command: str, columns: int
) -> None:
    text = help_of(command, columns)
    examples = text.partition("For example")[2].partition("\n\n")[2].partition("\n\n")[0]
    lines = [line for line in text.splitlines() if line not in examples.splitlines()]
    assert max(map(len, lines)) <= min(columns, 80)
    # Nor is there a column of words one below the other.
    assert len(lines) < 40 + 14_000 / columns


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_of_the_help_breaks_a_word_at_its_hyphen(
    help_of: Callable[..., str], command: str, columns: int
) -> None:
    text = help_of(command, columns)
    assert not re.findall(r".*\w-$", text, re.MULTILINE)
    assert text.isascii()


@pytest.mark.parametrize(
    ("arguments", "problem", "command"),
    [
        (["predict", "--top", 0], "Invalid value for '--top': 0 is not in the range x>=1.", 1),
        (["predict", "--tpo", 3], "No such option '--tpo'.", 1),
        (["info"], "Missing argument 'MODEL'.", 1),
        (["predit"], "No such command 'predit'.", 0),
        (["--vresion"], "No such option '--vresion'.", 0),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_wrong_usage_is_an_error_like_others_with_a_hint(
    run: Run, arguments: list[object], problem: str, command: int
) -> None:
    code, out, err = run(*arguments)
    name = " ".join(["slugline", *map(str, arguments[:command])])
    error, hint = err.splitlines()
    assert (code, out) == (2, "")
    assert error.startswith(f"slugline: error: {problem}")
    assert hint == f"Try '{name} -h' for help."


def test_a_misspelt_option_or_command_comes_with_the_right_one(run: Run) -> None:
    assert "'--top'" in run("predict", "--tpo", 3).err
    assert "'predict'" in run("predit").err


def test_a_shell_is_told_what_can_be_typed_next() -> None:
    answers = []
    for words in ("slugline ro", "slugline rollback --js"):
        environment = {
            "_SLUGLINE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        answers.append(
            subprocess.check_output(
                [sys.executable, "-m", "slugline"], env={**os.environ, **environment}, text=True
            )
        )
    assert answers == ["plain,rollback\n", "plain,--json\n"]


BROKEN = """
from slugline.cli import main
from slugline.model.file import content
def broken(*_): raise BrokenPipeError(32, "Broken pipe")
content.model_path = broken
main()
"""


def test_a_pipe_that_breaks_elsewhere_is_no_end_of_output() -> None:
    command = [sys.executable, "-c", BROKEN, "info", "reuters46"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert process.stderr.endswith("BrokenPipeError: [Errno 32] Broken pipe\n")
