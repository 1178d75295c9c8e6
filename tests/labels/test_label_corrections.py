"""Corrections in a file: on disk when acknowledged, whole after any error, and ours alone."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.label_database.records import Selection
from slugline.corpus.label_database.tables import MAX_TEXT_BYTES
from slugline.errors import DataError, StoreError
from slugline.labels.cells import NewDocument
from slugline.labels.store import Correction, LabelStore

GIVEN: dict[str, Any] = {
    "text": "Wheat prices fell",
    "topic": "grain",
    "answer": "earn",
    "probability": 0.75,
    "model": "news",
    "digest": "abc",
    "who": "Kim",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corrections.db"


@pytest.fixture
def store(path: Path) -> Iterator[LabelStore]:
    with LabelStore(path) as store:
        yield store


def add(store: LabelStore, **given: Any) -> Correction:
    return store.add_correction(**GIVEN | given)


# What is kept -----------------------------------------------------------------------------------


def test_store_returns_a_correction_as_it_was_added(path: Path, store: LabelStore) -> None:
    kept = add(store)
    more = {"is_named": False, "approved": None, "approver": None}
    more |= {"learned": None, "learned_by": None}
    assert kept._asdict() | {"at": ""} == {"id": 1, "at": "", **GIVEN, **more}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", kept.at)
    for name, value in (("synchronous", 2), ("trusted_schema", 0), ("journal_mode", "wal")):
        assert store._database.query_value(f"PRAGMA {name}") == value
    with LabelStore(path) as another:
        assert list(another.corrections()) == [kept]


@pytest.mark.parametrize(
    "text",
    ["half \ud800 a character", "a NUL \0 within", "😀 שלום", "x" * 1_000_000],
    ids=["surrogate", "NUL", "scripts", "a megabyte"],
)
def test_store_returns_any_text_unchanged(store: LabelStore, text: str) -> None:
    kept = add(store, text=text, who=text[:10], model=text[:10])
    assert (kept.text, kept.who, kept.model) == (text, text[:10], text[:10])
    assert list(store.corrections()) == [kept]


def test_store_accepts_an_unknown_person(store: LabelStore) -> None:
    assert add(store, who=None).who is None
    assert next(store.corrections()).who is None


def test_store_undo_hides_a_correction_but_keeps_it(path: Path, store: LabelStore) -> None:
    first, second = add(store), add(store)
    assert store.undo_correction(first.id)
    assert not store.undo_correction(first.id), "once is enough"
    assert not store.undo_correction(99)
    assert not store.undo_correction(1 << 63)
    assert not store.undo_correction(-(1 << 63) - 1)
    assert list(store.corrections()) == [second]
    assert store.count_corrections() == 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM corrections").fetchall() == [(1,), (2,)]


def test_store_rows_start_after_and_stop_at_max_rows(store: LabelStore) -> None:
    for n in range(1, 8):
        add(store, topic=str(n))
    store.undo_correction(4)
    assert [row.topic for row in store.corrections(after=2)] == [*"3567"]
    assert [row.topic for row in store.corrections(after=2, max_rows=2)] == ["3", "5"]
    assert list(store.corrections(max_rows=0)) == []
    assert store.count_corrections(after=2) == 4
    assert store.last_correction() == 7


def test_store_count_counts_one_model(store: LabelStore) -> None:
    for model in ("news", "tickets", "news"):
        add(store, model=model)
    assert store.count_corrections(model="news") == 2
    assert store.count_corrections(after=1, model="news") == 1
    assert store.count_corrections(model="other") == 0


def test_store_rows_read_pages_without_gaps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slugline.labels.store._PAGE_ROWS", 3)
    with LabelStore(path) as store:
        for n in range(10):
            add(store, topic=str(n))
        assert [row.topic for row in store.corrections()] == [*"0123456789"]
        assert [row.topic for row in store.corrections(max_rows=4)] == [*"0123"]


@pytest.mark.parametrize(("page_bytes", "remaining"), [(1999, "14"), (2000, "124")])
def test_store_rows_read_few_long_texts_at_a_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, page_bytes: int, remaining: str
) -> None:
    monkeypatch.setattr("slugline.labels.store._PAGE_BYTES", page_bytes)
    with LabelStore(path) as store:
        for n in range(5):
            add(store, topic=str(n), text="x" * 1000)
        rows = store.corrections()
        assert next(rows).topic == "0"
        for number in (2, 3, 4):  # some of them still in the first page
            store.undo_correction(number)
        assert [row.topic for row in rows] == [*remaining]


def test_store_add_works_while_rows_are_read(store: LabelStore) -> None:
    for n in range(3):
        add(store, topic=str(n))
    rows = store.corrections()
    next(rows)
    add(store, topic="3")
    assert [row.topic for row in rows] == [*"123"]


def test_store_keeps_notes(path: Path, store: LabelStore) -> None:
    assert store.setting("learned") is None
    store.set_settings({"learned": "3", "outcome": "none"})
    store.set_settings({"learned": "5"})
    with LabelStore(path) as another:
        assert (another.setting("learned"), another.setting("outcome")) == ("5", "none")


# What can't be kept -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": None}, "`text` is None; give a string."),
        (
            {"text": "x" * (MAX_TEXT_BYTES + 1)},
            "`text` has 16,777,217 characters; the maximum is 16,777,216 bytes. Shorten it.",
        ),
        (
            {"text": "€" * (MAX_TEXT_BYTES // 2)},
            "`text` has 8,388,608 characters; the maximum is 16,777,216 bytes. Shorten it.",
        ),
        (
            {"topic": " "},
            "topic ' ' is blank, or contains a NUL character or an unpaired surrogate; rename it.",
        ),
        ({"probability": float("nan")}, "`guess` has the probability nan; give one from 0 to 1."),
        ({"probability": "high"}, "`guess` has the probability 'high'; give one from 0 to 1."),
        ({"probability": 1.5}, "`guess` has the probability 1.5; give one from 0 to 1."),
        ({"probability": -0.5}, "`guess` has the probability -0.5; give one from 0 to 1."),
        ({"probability": True}, "`guess` has the probability True; give one from 0 to 1."),
        ({"who": 7}, "`who` is 7; give a string of at most 1,000 characters."),
        ({"model": "x" * 1001}, "`model` is 'xxx"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_store_add_rejects_invalid_values(
    store: LabelStore, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        add(store, **given)
    assert store.count_corrections() == 0


def test_store_add_accepts_the_longest_values(store: LabelStore) -> None:
    given = {"who": "w" * 1000, "model": "m" * 1000, "digest": "d" * 1000}
    text = "€" * (MAX_TEXT_BYTES // 3) + "x"
    assert len(text.encode()) == MAX_TEXT_BYTES
    kept = [add(store, text=text, probability=0, **given), add(store, probability=1, **given)]
    assert list(store.corrections()) == kept
    with pytest.raises(DataError, match="`text` has 5,592,407 characters; the max"):
        add(store, text=text + "x")


# When writing fails -----------------------------------------------------------------------------


def test_store_acknowledges_nothing_on_a_full_disk_and_recovers(
    path: Path, store: LabelStore
) -> None:
    kept = add(store)
    n_pages = store._database.query_value("PRAGMA page_count")
    store._database.query_value(f"PRAGMA max_page_count = {n_pages}")
    with pytest.raises(StoreError) as caught:
        add(store, text="x" * 100_000)
    assert str(caught.value) == (
        f"{path} can't be written: the disk is full; free some space and try again."
    )
    assert list(store.corrections()) == [kept]
    store._database.query_value("PRAGMA max_page_count = 100000")
    again = add(store, text="x" * 100_000)
    assert list(store.corrections()) == [kept, again]


def test_store_names_a_disk_that_is_really_full(small_disk: Path) -> None:
    filler = small_disk / "filler"
    with LabelStore(small_disk / "corrections.db") as store:
        kept = [add(store)]
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(StoreError, match="the disk is full"):
            kept.extend(add(store, text="x" * 10_000) for _ in range(100))
        assert list(store.corrections()) == kept
        filler.unlink()
        kept.append(add(store, text="x" * 10_000))
        assert list(store.corrections()) == kept
    with LabelStore(small_disk / "corrections.db") as store:
        assert list(store.corrections()) == kept


def test_store_names_a_read_only_folder(small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,{}", str(small_disk)]
    path = small_disk / "corrections.db"
    with LabelStore(path) as store:
        add(store)
    subprocess.run([part.format("ro") for part in remount], check=True)
    try:
        with pytest.raises(StoreError, match="allow writing to the file and its folder"):
            LabelStore(path)
        with pytest.raises(StoreError, match="allow writing to the file and its folder"):
            LabelStore(small_disk / "new.db")
    finally:
        subprocess.run([part.format("rw") for part in remount], check=True)
    with LabelStore(path) as store:
        assert store.count_corrections() == 1


def test_store_gives_up_on_a_locked_file_after_its_patience(path: Path) -> None:
    with (
        LabelStore(path, patience=0.05) as store,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            add(store)
        assert str(caught.value) == (
            f"{path} can't be written: another thread or process has been using it for 0.05 s; "
            "try again."
        )
        other.execute("ROLLBACK")
        add(store)
        assert store.count_corrections() == 1


def test_store_gives_up_on_a_busy_thread_after_its_patience(path: Path) -> None:
    with LabelStore(path, patience=0.05) as store:
        with (
            store._database.reading(),
            pytest.raises(StoreError, match="another thread or process has been using"),
        ):
            add(store)
        add(store)


def test_store_names_a_file_that_was_moved_and_keeps_everything(
    path: Path, store: LabelStore
) -> None:
    kept = [add(store)]
    moved = path.rename(path.with_name("moved.db"))
    with pytest.raises(StoreError) as caught:
        add(store)
    assert str(caught.value) == (
        f"{path} was moved, removed or replaced while it was in use; move it back, or restart."
    )
    with LabelStore(moved) as elsewhere:
        assert list(elsewhere.corrections()) == kept
    moved.rename(path)
    kept.append(add(store))
    assert list(store.corrections()) == kept


def test_store_close_keeps_everything_in_a_moved_file(path: Path, store: LabelStore) -> None:
    kept = add(store)
    moved = path.rename(path.with_name("moved.db"))
    store.close()
    with LabelStore(moved) as elsewhere, LabelStore(path) as new:
        assert list(elsewhere.corrections()) == [kept]
        assert new.count_corrections() == 0


def test_store_rejects_calls_after_close(path: Path, store: LabelStore) -> None:
    store.close()
    store.close()
    for use in (store.count_corrections, lambda: add(store), lambda: next(store.corrections())):
        with pytest.raises(StoreError) as caught:
            use()
        assert str(caught.value) == f"{path} was closed; open it again."


# Threads, processes and kills -------------------------------------------------------------------


def test_store_loses_nothing_with_many_threads_and_stores(path: Path) -> None:
    kept: list[Correction] = []

    def work(store: LabelStore) -> None:
        kept.extend(add(store, text=f"{n}") for n in range(20))

    with LabelStore(path, patience=60) as one, LabelStore(path, patience=60) as two:
        threads = [threading.Thread(target=work, args=[store]) for store in (one, two) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(two.corrections()) == sorted(kept)
    assert len({correction.id for correction in kept}) == 120


OPEN = (
    "import sys; from slugline.labels.store import LabelStore\n"
    "with LabelStore(sys.argv[1], patience=60) as store:\n"
    "    store.add_correction(text='', topic='a', answer='b', probability=0, model='', digest='')"
)


@pytest.mark.slow
def test_store_is_created_once_by_many_processes(path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", OPEN, str(path)]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    with LabelStore(path) as store:
        assert store.count_corrections() == 4


def test_store_imports_nothing_that_learns() -> None:
    code = "import slugline.labels.store, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    heavy = {b"scipy", b"sklearn", b"click", b"slugline.experiment", b"slugline.classifier"}
    assert heavy & set(loaded.split()) == set()


# Approved and pending -----------------------------------------------------------------------------


def test_store_keeps_who_approved_what(path: Path, store: LabelStore) -> None:
    first, second, third = (add(store, text=f"text {n}") for n in range(3))
    assert store.approve_correction(first.id, "Änne \ud800")
    assert not store.approve_correction(first.id, "another"), "once is enough"
    assert store.approve_correction(second.id)
    assert store.undo_correction(third.id)
    assert not any(store.approve_correction(number) for number in (third.id, 99, 2**70))
    with LabelStore(path) as another:
        rows = list(another.corrections())
    assert [(row.id, row.approver) for row in rows] == [(1, "Änne \ud800"), (2, None)]
    assert all(row.approved is not None and row.approved >= row.at for row in rows)
    assert store.count_approvals(0, "news", 2) == 2
    assert store.count_approvals(1, "news", 2) == 1
    assert store.count_approvals(0, "news", 1) == 1
    assert store.count_approvals(0, "another", 2) == 0
    last = store.last_approval()
    assert last >= 2
    assert store.count_approvals(last, "news", 2) == 0


def test_store_lists_corrections_that_wait_for_approval(store: LabelStore) -> None:
    for number in range(4):
        add(store, text=f"text {number}")
    approved = add(store, text="text 0", is_approved=True, who="anna", is_named=True)
    assert (approved.approver, approved.is_pending) == ("anna", False)
    assert store.get_corrections([approved.id]) == [approved]
    assert store.pending_corrections() == [1, 2, 3, 4]
    store.approve_correction(1)
    store.undo_correction(2)
    store.mark_learned([3], "abc")
    assert store.pending_corrections() == [4]
    assert [row.id for row in store.corrections() if row.is_pending] == [4]
    assert store.get_corrections([4, 99, 1]) == [
        *reversed([row for row in store.corrections() if row.id in (1, 4)])
    ]


def test_store_finds_corrections_of_texts(store: LabelStore) -> None:
    add(store, text="half \ud800")
    store.undo_correction(add(store, text="half \ud800").id)
    add(store, text="other")
    assert [row.id for row in store.corrections_of(["half \ud800", "missing"])] == [1]


def test_store_notes_which_corrections_a_model_has_learned_from(store: LabelStore) -> None:
    for number in range(3):
        add(store, text=f"text {number}")
    store.mark_learned([1, 2, 3], "abc")
    store.mark_learned([1], "def")
    rows = list(store.corrections())
    assert [row.learned_by for row in rows] == ["abc"] * 3, "the first one stays noted"
    assert all(row.learned is not None and row.learned >= row.at for row in rows)


def test_store_distinguishes_token_names_from_typed_names(store: LabelStore) -> None:
    named, typed = add(store, who="anna", is_named=True), add(store, who="anna")
    assert (named.is_named, typed.is_named) == (True, False)
    assert [(row.who, row.is_named) for row in store.corrections()] == [
        ("anna", True),
        ("anna", False),
    ]


def test_undone_corrections_are_stored_with_who_undid_them(path: Path) -> None:
    with LabelStore(path) as store:
        first, second, kept = (add(store) for _ in range(3))
        assert store.undo_correction(first.id, "änna")
        assert store.undo_correction(second.id)
        assert not store.undo_correction(first.id, "ben")
        assert [(each.id, each.who) for each in store.undone_corrections()] == [
            (first.id, "änna"),
            (second.id, None),
        ]
        assert [*store.corrections()] == [kept]


def test_topics_are_those_of_a_models_corrections_that_were_not_undone(path: Path) -> None:
    with LabelStore(path) as store:
        for topic in (("metal",), ("grain", "corn"), ()):
            add(store, topic=topic, answer=topic)
        store.undo_correction(add(store, topic=("gone",), answer=()).id)
        model = next(store.corrections()).model
        assert store.corrected_topics(model) == {"metal", "grain", "corn"}
        assert store.corrected_topics("another") == set()


# Labels -------------------------------------------------------------------------------------------


def test_approved_correction_is_a_label_of_its_person(store: LabelStore) -> None:
    first, second = add(store), add(store, text="Maize", topic="corn", who=None)
    assert (store.codebook().names(), store.coders()) == ([], [])
    assert [each.status for each in store.labels()] == ["unlabelled", "unlabelled"]
    assert store.approve_correction(first.id, "Ann")
    assert store.approve_correction(second.id)
    assert store.codebook().names() == ["grain", "corn"]
    assert [coder.name for coder in store.coders()] == ["Kim", "anonymous"]
    assert [each.answer for each in store.labels()] == [("grain",), ("corn",)]
    [label, _] = store.current_decisions()
    assert label.assignment.selection.reason == "corrected"
    assert label.assignment.selection.guess == (("earn",), 0.75)
    assert label.is_guess_shown


def test_undone_correction_is_no_label(store: LabelStore) -> None:
    correction = add(store, is_approved=True)
    assert store.undo_correction(correction.id)
    assert [each.answer for each in store.labels()] == [None]
    assert store.open_assignments("Kim") == []
    assert not store.approve_correction(correction.id)


def test_correction_of_a_labelled_text_is_about_the_same_document(store: LabelStore) -> None:
    store.add_coder("Lee")
    store.add_topic("earn", "Lee")
    [document] = store.add_documents([NewDocument("id 7", str(GIVEN["text"]))])
    assignment = store.assign("Lee", document, Selection("random", 0.5, 2))
    assert assignment is not None
    store.label(assignment.id, ["earn"])
    add(store, is_approved=True)
    [labels] = store.labels()
    assert (labels.document.key, labels.status) == ("id 7", "open")
    assert store.first_assignments()[document] == assignment


def test_store_keeps_corrections_and_labels_of_one_kind(store: LabelStore) -> None:
    add(store, topic=("grain", "corn"), answer=("earn",))
    with pytest.raises(DataError, match=r"news is a single-label model, but .* multi-label labels"):
        add(store)
    with pytest.raises(DataError, match=r"correction 1 in .* has several topics or none; undo it"):
        store.set_multilabel(False)
    store.undo_correction(1)
    store.set_multilabel(False)
    assert add(store).topic == "grain"


def test_store_rejects_a_correction_by_an_imported_coder(store: LabelStore) -> None:
    store.add_coder("llm", "imported")
    with pytest.raises(DataError, match="'llm' is already used for an imported coder"):
        add(store, who="llm", is_approved=True)
    assert store.count_corrections() == 0
