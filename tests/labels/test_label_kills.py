"""Processes that are killed while they label lose and double nothing that they acknowledged."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.label_database.records import Selection
from slugline.labels.cells import NewDocument
from slugline.labels.store import LabelStore

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("label_store")


def test_kill_check_finds_lost_and_doubled_labels(kills: Any, tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    with LabelStore(path) as store:
        store.add_coder("Kim")
        for topic in kills.TOPICS:
            store.add_topic(topic, "Kim")
        for n in (1, 2):
            text = kills.make_text("text", n)
            [document] = store.add_documents([NewDocument(f"id {n}", text)])
            assignment = store.assign("Kim", document, Selection("random", 0.5))
            assert assignment is not None
            store.label(assignment.id, [kills.find_topic("Kim", n)])
    labels = {("label", "Kim", 1): 1, ("label", "Kim", 2): 2}
    assert kills.find_faults(path, labels) == []
    assert kills.find_faults(path, {("label", "Kim", 2): 1, ("undo", "Kim", 1): 1}) == [
        "lost: label of Kim, document 2",
        "lost: undo of Kim, document 1",
    ]
    with LabelStore(path) as store:
        store.label(1, [kills.find_topic("Kim", 1)], supersedes=1)
    assert kills.find_faults(path, labels) == ["doubled: ('label', 'Kim', 1)"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_store_loses_and_doubles_no_acknowledged_label_when_killed(
    kills: Any, tmp_path: Path
) -> None:
    counts = kills.kill_rounds(3, seed=1, folder=tmp_path)
    assert (counts["killed"], counts["lost"], counts["doubled"]) == (6, 0, 0)
    assert counts["acknowledged"] > 20
