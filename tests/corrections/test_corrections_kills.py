"""A process that is killed while it adds corrections loses none that it acknowledged."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from slugline.labels.store import LabelStore

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("corrections")


def test_kill_check_finds_lost_changed_and_undone_corrections(kills: Any, tmp_path: Path) -> None:
    path = tmp_path / "corrections.db"
    with LabelStore(path) as store:
        for text in ("one", "two"):
            store.add_correction(
                text=text, topic="1", answer="2", probability=0.5, model="m", digest="d"
            )
    one, two = map(kills.compute_digest, ("one", "two"))
    assert kills.check_file(path, {1: one, 2: two}, set()) == (2, [])
    assert kills.check_file(path, {1: one, 2: one, 3: two}, {1}) == (2, [2, 3, 1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_store_loses_no_acknowledged_correction_when_killed(kills: Any, tmp_path: Path) -> None:
    counts = kills.kill_rounds(3, seed=1, folder=tmp_path)
    assert (counts["killed"], counts["lost"]) == (6, 0)
    assert counts["acknowledged"] > 20
