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


TWO_TABLES = """Medians of
3 rounds.

#### Seconds
| | **ours** | theirs |
|---|---|---|
| 1,000 texts | **1.5** | - |
| `a \\| b` | 2,345.5 | 1e-3 |

#### Memory

| | MB |
|---|---|
| all | 1,234 |

Another machine differs.
"""


def test_record_results_writes_a_table_for_each_heading(
    records: ModuleType, tmp_path: Path
) -> None:
    names = records.record_results(
        "scale fit", "run", TWO_TABLES, "2026-01-02", "v", "none", tmp_path
    )

    assert names == ["scale-fit-seconds", "scale-fit-memory"]
    assert records.read_rows(tmp_path / "scale-fit-seconds.csv") == [
        ["", "ours", "theirs"],
        ["1,000 texts", "1.5", ""],
        ["`a | b`", "2345.5", "1e-3"],
    ]
    memory, seconds = records.read_index(tmp_path)
    assert seconds == records.TableRecord(
        table="scale-fit-seconds",
        benchmark="scale fit",
        title="Seconds",
        command="run",
        note="Medians of 3 rounds.",
        date="2026-01-02",
        versions="v",
        default_encoder="none",
    )
    assert (memory.title, memory.note) == ("Memory", "Another machine differs.")


def test_record_results_replaces_tables_of_the_same_benchmark_only(
    records: ModuleType, tmp_path: Path
) -> None:
    table = "| set, labels | 5 |\n|---|---|\n| trec | 0.4 |"
    for benchmark in ("labels few", "labels encoders"):
        records.record_results(
            benchmark, "run", f"{table}\n\n{table}", "2026-01-02", "v", "none", tmp_path
        )

    names = records.record_results("labels few", "", table, "2026-01-03", "", "none", tmp_path)
    assert names == ["labels-few"]
    assert [record.table for record in records.read_index(tmp_path)] == [
        "labels-encoders-set",
        "labels-encoders-set-2",
        "labels-few",
    ]
    assert {path.stem for path in tmp_path.iterdir()} == {
        "labels-encoders-set",
        "labels-encoders-set-2",
        "labels-few",
        "tables",
    }


def test_record_results_rejects_a_text_without_a_table(records: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^scale fit prints no table"):
        records.record_results("scale fit", "run", "Nothing.", "2026-01-02", "v", "none", tmp_path)


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
