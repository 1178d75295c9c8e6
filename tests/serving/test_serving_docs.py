"""What docs/howto/serve.md shows is what happens."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

import httpx

from server import running
from slugline.cli.serve import serve
from slugline.serving.http.batches import Metrics
from slugline.serving.http.operations import OPERATIONS
from slugline.serving.mcp.tools import TOOLS

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "serve.md").read_text(encoding="utf-8")
#: Differ each time, or with each version of the model.
MASKED = {"at", "request_id", "version", "digest"}


def blocks(language: str) -> list[str]:
    """Return what the page shows in a language."""
    return re.findall(rf"```{language}\n(.*?)\n```", PAGE, re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table that begins with a heading."""
    table = re.search(rf"^\| {re.escape(heading)} .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def calls() -> Iterator[tuple[str, list[str]]]:
    """Yield each curl line of the API with the lines that it prints."""
    for block in blocks("sh"):
        lines = block.splitlines()
        if not lines[0].startswith("curl"):
            continue
        starts = [at for at, line in enumerate(lines) if line.startswith("curl")]
        for at, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield lines[at], [line.removeprefix("# ") for line in lines[at + 1 : end]]


def masked(value: Any) -> Any:
    """Return a value of JSON without what differs each time."""
    if isinstance(value, dict):
        return {k: "..." if k in MASKED else masked(each) for k, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list) else value


def near(value: Any) -> Any:
    """Return a value that is equal to one with nearly the same numbers."""
    if isinstance(value, dict):
        return {key: near(each) for key, each in value.items()}
    if isinstance(value, list):
        return [near(each) for each in value]
    return pytest.approx(value, abs=0.002) if isinstance(value, float) else value


# What happens -----------------------------------------------------------------------------------


def test_curl_prints_what_the_page_says(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    n_calls = 0
    with running("--corrections", tmp_path / "corrections.db") as address:
        for line, expected in calls():
            assert expected, f"the page doesn't say what {line} prints"
            command = shlex.split(line.replace("localhost:8080", address))
            printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
            said = [json.loads(text) for text in printed.splitlines()]
            for found, shown in zip(said, map(json.loads, expected), strict=True):
                assert masked(found) == near(masked(shown)), line
                if isinstance(shown, dict):
                    assert list(found) == list(shown), line
                    assert re.fullmatch("[0-9a-f]{12}", found.get("version", "0" * 12))
            n_calls += 1
    assert n_calls >= 9


def test_a_server_behind_the_proxy_is_used_by_its_own_page_alone() -> None:
    (snippet,) = blocks("nginx")
    name = re.search(r"server_name (\S+);", snippet)
    assert name
    assert "proxy_set_header Host $http_host;" in snippet
    assert any(f"--allowed-host {name[1]}" in block for block in blocks("sh"))
    with running("--allowed-host", name[1]) as address:
        asked = {"url": f"{address}/v1/classify", "json": {"text": "wheat"}}
        passed_on = {"Host": name[1], "X-Forwarded-Proto": "https"}
        for origin, status in ((name[1], 200), ("elsewhere.example", 403)):
            headers = {**passed_on, "Origin": f"https://{origin}"}
            assert httpx.post(**asked, headers=headers).status_code == status  # type: ignore[arg-type]
        assert httpx.post(**asked, headers={"Host": "elsewhere.example"}).status_code == 421  # type: ignore[arg-type]


# What there is ----------------------------------------------------------------------------------


def test_every_option_is_in_the_table_with_its_variable_and_default() -> None:
    shown: dict[str, tuple[str, str]] = {}
    for cell, variables, by_default, _ in rows("option"):
        options = [words.split()[0] for words in names(cell)]
        shown |= {
            option: (variable, by_default.strip("`"))
            for option, variable in zip(options, names(variables), strict=True)
        }
    assert shown.pop("MODEL") == ("SLUGLINE_MODELS", "reuters46")
    expected = {}
    for param in serve.params[1:]:
        flag, default = param.opts[0], param.to_info_dict()["default"]
        said = {None: "", (): "", False: "no"}.get(default, str(default))
        if isinstance(default, int) and flag.startswith("--max"):
            said = f"{default:,}"
        name = param.envvar or f"SLUGLINE_{str(param.name).upper()}"
        expected[flag] = (name, said)
    assert shown == expected


def test_every_metric_and_every_error_is_in_its_table() -> None:
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", Metrics(1).text(), re.MULTILINE)
    assert [(names(row[0])[0], row[1]) for row in rows("name")] == kinds
    statuses = {status for operation in OPERATIONS for status in operation.all_errors}
    assert statuses | {401, 403, 405, 421, 429, 431, 500, 503} == {
        int(row[0]) for row in rows("status")
    }


def test_tools_for_agents_and_what_they_take_are_in_the_table() -> None:
    shown = {names(row[0])[0]: names(row[1]) for row in rows("tool")}
    assert list(shown) == [tool.name for tool in TOOLS]
    for tool in TOOLS:
        assert set(shown[tool.name]) == set(tool.arguments.__struct_fields__)
    (configuration,) = blocks("json")
    server = json.loads(configuration)["mcpServers"]["slugline"]
    assert (server["command"], server["args"][0]) == ("slugline", "mcp")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    (unit,) = blocks("ini")
    assert [
        line for line in unit.splitlines() if not re.fullmatch(r"(\[\w+\]|\w+=.*|#.*|)", line)
    ] == []
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    file = tmp_path / "slugline.service"
    file.write_text(unit.replace("/opt/slugline/bin/slugline", sys.executable), encoding="utf-8")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file],
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr) == (0, "")

    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)]
    found = subprocess.run(command, capture_output=True, text=True)
    if "unrecognized option" in found.stderr:
        pytest.skip("this systemd-analyze rates no files")
    level = re.search(r"exposure level for slugline.service: ([\d.]+) OK", found.stdout)
    assert level, found.stdout + found.stderr
    # Later versions may weigh it a little differently.
    assert float(level[1]) == pytest.approx(1.5, abs=0.5)
    assert 'calls the exposure "OK", 1.5 of 10' in PAGE
