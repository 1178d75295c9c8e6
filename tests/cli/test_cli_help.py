"""Help and usage errors: sections, widths, suggestions and completion."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from slugline.cli.app import COMMANDS

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
#: Commands whose options have more than one panel.
GROUPED = {
    "train",
    "predict",
    "evaluate",
    "audit",
    "check",
    "compare",
    "curve",
    "suggest",
    "label",
    "serve",
}


@pytest.fixture
def help_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that returns the help of a command on a terminal of some width."""

    def help_of(command: str, columns: int = 80, flag: str = "-h") -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = run(command, flag)
        assert (code, err) == (0, "")
        return str(out)

    return help_of


def sections(text: str) -> dict[str, str]:
    """Return the lines below each heading."""
    parts = re.split(r"^(\S.*):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_short_help_explains_the_main_options_and_names_the_rest(
    help_of: Callable[..., str],
) -> None:
    train = sections(help_of("train"))
    assert [*train] == ["Arguments", "Options", "More options (see --help-all)"]
    assert train["Arguments"].startswith("\n  DATA  Labelled texts: CSV, TSV, JSONL")
    explained = re.findall(r"^  (?:-\w, )?(--[\w-]+)", train["Options"], re.MULTILINE)
    assert len(explained) <= 14
    assert {"--output", "--text", "--topic", "--test", "--encoder"} <= {*explained}
    named = set(re.findall(r"--[\w-]+", train["More options (see --help-all)"]))
    every = sections(help_of("train", flag="--help-all"))
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", "".join(every.values()), re.MULTILINE)
    assert {*listed} == {*explained, *named}
    assert "--check" not in listed


def test_help_all_has_a_section_for_arguments_and_each_panel(help_of: Callable[..., str]) -> None:
    train, predict = (sections(help_of(name, flag="--help-all")) for name in ("train", "predict"))
    assert [*train] == [
        *("Arguments", "Options", "Reading the data", "Testing", "Learning", "The model's file"),
        *("With --corrections", "Larger than memory"),
    ]
    assert [*predict] == [*("Arguments", "Options", "Reading the data", "With --output FOLDER")]
    assert re.findall("^  ([A-Z]+) ", predict["Arguments"], re.MULTILINE) == ["MODEL", "FILE"]
    assert "[default: 1]" in predict["Options"]
    assert "[env var: SLUGLINE_PORT; default: 8080]" in " ".join(help_of("serve").split())


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_on_a_terminal(help_of: Callable[..., str], command: str, columns: int) -> None:
    text = help_of(command, columns, "--help-all" if command in GROUPED else "-h")
    examples = text.partition("For example")[2].partition("\n\n")[2].partition("\n\n")[0]
    lines = [line for line in text.splitlines() if line not in examples.splitlines()]
    assert max(map(len, lines)) <= min(columns, 80)
    # Nor is there a column of words one below the other.
    n_panels = sum(line.endswith(":") and line[0] != " " for line in lines if line)
    assert len(lines) < 30 + 4 * n_panels + 14_000 / columns


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
def test_usage_error_has_a_hint(
    run: Run, arguments: list[object], problem: str, command: int
) -> None:
    code, out, err = run(*arguments)
    name = " ".join(["slugline", *map(str, arguments[:command])])
    error, hint = err.splitlines()
    assert (code, out) == (2, "")
    assert error.startswith(f"slugline: error: {problem}")
    assert hint == f"Try '{name} -h' for help."


def test_usage_error_proposes_the_nearest_option_or_command(run: Run) -> None:
    assert "'--top'" in run("predict", "--tpo", 3).err
    assert "'predict'" in run("predit").err


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("slugline ro", ["plain,rollback"]),
        ("slugline rollback --js", ["plain,--json"]),
        ("slugline train --learner n", ["plain,network"]),
        ("slugline train --encoder u", ["plain,use", "plain,use,e5"]),
        ("slugline train --output ", ["file,"]),
        (
            "slugline train re",
            ["file,re", "plain,reuters", "plain,reuters-corrected", "plain,reuters-modapte"],
        ),
        ("slugline info re", ["file,re", "plain,reuters46"]),
        ("slugline serve models/", ["file,models/"]),
    ],
)
def test_completion_proposes_what_can_be_typed(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: str, proposed: list[str]
) -> None:
    monkeypatch.setenv("_SLUGLINE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert run().out.split() == proposed


# Packages of extras. Each command prints its help without them.
EXTRAS = ["dask", "distributed", "duckdb", "granian", "mcp", "prometheus_client", "starlette"]


def test_every_command_prints_its_help_without_extras() -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({EXTRAS}))\n"
        "from slugline.cli.app import COMMANDS, make_app\n"
        "for name in COMMANDS:\n"
        "    make_app()([name, '--help'], standalone_mode=False)\n"
        "    print(f'{name}: done')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.findall(r"^(\w+): done$", result.stdout, re.MULTILINE) == [*COMMANDS]
