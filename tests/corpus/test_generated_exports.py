"""Generated exports are read right by each command, or refused with a remedy."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the benchmark."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("exports")


def test_commands_read_generated_exports(exports: Any, tmp_path: Path) -> None:
    outcomes = [
        (export.name, export.head, *outcome)
        for export in exports.make_exports(30, seed=7)
        for outcome in exports.run_commands(export, tmp_path)
    ]

    assert len(outcomes) == 120
    assert [outcome for outcome in outcomes if "right" not in outcome] == []


def test_export_benchmark_notices_lost_texts(exports: Any, tmp_path: Path) -> None:
    export = next(iter(exports.make_exports(1, seed=7)))
    export = export._replace(texts=[f"{text}." for text in export.texts])

    assert {outcome.kind for outcome in exports.run_commands(export, tmp_path)} >= {"wrong"}
