"""Whoever is killed while adding corrections loses none that was acknowledged."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from slugline.corrections.store import CorrectionStore

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module")
def kills() -> Any:
    spec = importlib.util.spec_from_file_location("kills", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_looking_finds_what_is_lost_changed_or_back_again(kills: Any, tmp_path: Path) -> None:
    path = tmp_path / "corrections.db"
    with CorrectionStore(path) as store:
        for text in ("one", "two"):
            store.add(text=text, topic=1, answer=2, probability=0.5, model="m", digest="d")
    one, two = map(kills.digest_of, ("one", "two"))
    assert kills.look(path, {1: one, 2: two}, set()) == (2, [])
    assert kills.look(path, {1: one, 2: one, 3: two}, {1}) == (2, [2, 3, 1])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_nothing_acknowledged_is_lost_in_ten_rounds_of_kills(kills: Any, tmp_path: Path) -> None:
    found = kills.kill_all(10, seed=1, folder=tmp_path)
    assert (found["killed"], found["lost"]) == (20, 0)
    assert found["acknowledged"] > 100
