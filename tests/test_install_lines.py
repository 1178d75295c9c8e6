"""Lines that install Slugline are right in bash and in PowerShell, and its first commands, too."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_powershell

import slugline
from slugline.base.lazy import install_command

ROOT = Path(slugline.__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "extensions"))

install_line: Callable[[str], str]
install_line = importlib.import_module("install_blocks").install_line

README = (ROOT / "README.md").read_text("utf-8")
START = ROOT / "docs" / "start"
EXTRAS = ("demo", "e5", "encoder", "mcp", "parquet", "scale", "serve")
# The PowerShell of Windows, 5.1, chains no commands in these ways, and has no such redirection.
_NOT_IN_5 = re.compile(r"&&|\|\||<<")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def powershell_arguments(line: str) -> list[list[str]]:
    """Return the words of each command of a line; ValueError if PowerShell can't parse it."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    root = parser.parse(line.encode()).root_node
    unquoted = re.sub(r"\"[^\"]*\"|'[^']*'|#.*", "", line)
    if root.has_error or _NOT_IN_5.search(unquoted):
        raise ValueError(f"PowerShell can't read: {line}")
    found: list[list[str]] = []

    def visit(node: tree_sitter.Node) -> None:
        if node.type == "command":
            words = (node.text or b"").decode()
            parts = re.findall(r"\"([^\"]*)\"|'([^']*)'|(\S+)", words)
            found.append(["".join(part) for part in parts])
        for child in node.children:
            visit(child)

    visit(root)
    return found


def check_bash(line: str) -> None:
    subprocess.run(["bash", "-n", "-c", line], check=True)


@pytest.mark.parametrize("line", ['pip install ".[serve]', "a && b", "cat <<END", "pip install ("])
def test_powershell_arguments_rejects_what_powershell_cannot_read(line: str) -> None:
    with pytest.raises(ValueError, match="PowerShell can't read"):
        powershell_arguments(line)


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_install_line_works_in_each_shell(extra: str) -> None:
    line = install_line(extra)

    check_bash(line)
    assert powershell_arguments(line) == [["pip", "install", f".[{extra}]" if extra else "."]]


@pytest.mark.parametrize("extra", EXTRAS)
def test_install_command_works_in_each_shell(extra: str) -> None:
    line = install_command(extra)

    check_bash(line)
    (words,) = powershell_arguments(line)
    assert words == ["pip", "install", *re.findall(r'"([^"]+)"', line)]


def test_readme_installs_in_each_shell() -> None:
    (windows,) = blocks("powershell")
    unix = blocks("sh")[0].strip()

    check_bash(unix)
    assert unix.endswith(f"&& {install_line('serve')}")
    assert powershell_arguments(windows)[-1] == ["pip", "install", ".[serve]"]


@pytest.mark.parametrize("name", ["five-minutes.md", "auf-deutsch.md"])
def test_start_pages_install_as_the_readme_does(name: str) -> None:
    page = (START / name).read_text("utf-8")

    # Code that the site shows as Python or shell is executed; this is not.
    assert blocks("text", page)[0] == blocks("sh")[0]
    assert blocks("powershell", page) == blocks("powershell")


def test_start_pages_have_no_blocks_that_only_the_site_shows() -> None:
    pages = {path.name: path.read_text("utf-8") for path in START.glob("*.md")}

    assert len(pages) == 3
    assert [name for name, page in pages.items() if "{install}" in page] == []


def test_readme_commands_work_in_powershell() -> None:
    (commands,) = (block for block in blocks("sh") if "slugline train" in block)

    assert [words[:2] for words in powershell_arguments(commands) if words[0] == "slugline"] == [
        ["slugline", "train"],
        ["slugline", "predict"],
        ["slugline", "predict"],
        ["slugline", "serve"],
    ]
