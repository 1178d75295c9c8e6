"""Benchmarks that the docs name exist, and their quick forms have options that they know."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md", *ROOT.glob("docs/**/*.md")]
COMMAND = re.compile(r"benchmarks/run\.py(?: (?!all)([a-z_]+)((?: [a-z][a-z0-9-]*)*))?(.*?)`")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Modules by subject."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    subjects = importlib.import_module("run").SUBJECTS
    return {subject: importlib.import_module(subject) for subject in subjects}


def test_commands_in_the_docs_name_benchmarks_and_options(benchmarks: dict[str, Any]) -> None:
    parser = importlib.import_module("run").make_parser
    n_commands = 0
    for page in PAGES:
        for subject, names, options in COMMAND.findall(page.read_text(encoding="utf-8")):
            if subject:
                registered = benchmarks[subject].BENCHMARKS
                functions = [registered[name] for name in names.split() or registered]
                parser("run.py", functions).parse_args(options.split())
                n_commands += 1
    assert n_commands > 30


def test_quick_forms_set_parameters_that_benchmarks_have(benchmarks: dict[str, Any]) -> None:
    for module in benchmarks.values():
        for name, options in module.QUICK.items():
            assert options.keys() <= inspect.signature(module.BENCHMARKS[name]).parameters.keys()
