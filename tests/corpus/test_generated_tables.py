"""Generated tables are read right, or refused with a remedy; nothing of them is lost."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the benchmark."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("tables")


def test_read_rows_keeps_cells_of_generated_tables(tables: Any, tmp_path: Path) -> None:
    files = list(tables.make_files(96, seed=7))
    outcomes = [tables.answer_file(file, tmp_path) for file in files]

    assert any(file.bad for file in files)
    assert {len(file.names) for file in files} >= {1, 5}
    assert Counter(outcome.kind for outcome in outcomes)["wrong"] == 0
    assert Counter(outcome.kind for outcome in outcomes)["right"] >= 90
    assert sum(outcome.n_lost for outcome in outcomes) == 0
    assert sum(outcome.n_blank for outcome in outcomes) == 0


def test_table_benchmark_notices_lost_cells(tables: Any, tmp_path: Path) -> None:
    file = next(file for file in tables.make_files(96, seed=7) if file.bad)
    rows = [["0"] * len(row) for row in file.rows]

    assert tables.answer_file(file, tmp_path).kind == "right"
    assert tables.answer_file(file._replace(rows=rows), tmp_path).kind == "wrong"
    assert tables.answer_file(file._replace(rows=rows), tmp_path).n_lost > 0
