"""What `import slugline` offers: all that the commands do, documented, imported when it is used."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import slugline
from slugline.cli.app import COMMANDS

#: Commands whose work has another name in Python, and those that are of use on a terminal alone.
IN_PYTHON = {"predict": "predict_files", "info": "load"}
COMMANDS_ALONE = {"check", "mcp", "reproduce", "rollback"}
NAMES = [name for name in slugline.__all__ if not name.startswith("__")]


def test_a_command_does_what_a_function_does() -> None:
    wanted = {IN_PYTHON.get(name, name) for name in COMMANDS} - COMMANDS_ALONE
    assert wanted <= set(slugline.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented_with_an_example(name: str) -> None:
    value = getattr(slugline, name)
    assert value.__doc__
    assert isinstance(value, ModuleType) or ">>>" in value.__doc__


def test_a_function_is_not_hidden_by_a_package_of_its_name() -> None:
    code = (
        "import slugline\n"
        "for name in slugline.__all__: getattr(slugline, name)\n"
        "import pkgutil, importlib\n"
        "for module in pkgutil.iter_modules(slugline.__path__):\n"
        "    if module.name != '__main__': importlib.import_module('slugline.' + module.name)\n"
        "print([n for n in ('audit', 'compare', 'curve', 'evaluate', 'explain', 'export',\n"
        "    'suggest', 'train') if not callable(getattr(slugline, n))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_names_are_imported_when_they_are_used() -> None:
    code = "import slugline, sys; print(*(m for m in sys.modules if m.startswith('slugline.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "slugline.api" not in run.stdout
    assert "slugline.classifier" not in run.stdout
