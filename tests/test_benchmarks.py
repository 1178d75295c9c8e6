"""Benchmarks: quick forms have options that they know, and tables are recorded as data."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Modules by subject."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    subjects = importlib.import_module("run").SUBJECTS
    return {subject: importlib.import_module(subject) for subject in subjects}


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that records results."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("records")


def test_quick_options_are_parameters_of_benchmarks(benchmarks: dict[str, Any]) -> None:
    for module in benchmarks.values():
        for name, options in module.QUICK.items():
            assert options.keys() <= inspect.signature(module.BENCHMARKS[name]).parameters.keys()


def test_recorded_tables_are_complete_and_listed(records: ModuleType) -> None:
    index = records.read_index()
    assert {path.stem for path in records.FOLDER.glob("*.csv")} == {
        "tables",
        *(record.table for record in index),
    }
    assert len({record.table for record in index}) == len(index)
    for record in index:
        rows = records.read_rows(records.FOLDER / f"{record.table}.csv")
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_recorded_tables_name_existing_benchmarks(
    benchmarks: dict[str, Any], records: ModuleType
) -> None:
    for record in records.read_index():
        if record.benchmark:
            subject, name = record.benchmark.split()
            assert name in benchmarks[subject].BENCHMARKS
