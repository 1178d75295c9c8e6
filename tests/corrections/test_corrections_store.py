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

from slugline.corrections.store import MAX_TEXT_BYTES, Correction, CorrectionStore
from slugline.errors import DataError, StoreError

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
def store(path: Path) -> Iterator[CorrectionStore]:
    with CorrectionStore(path) as store:
        yield store


def add(store: CorrectionStore, **given: Any) -> Correction:
    return store.add(**GIVEN | given)


# What is kept -----------------------------------------------------------------------------------


def test_store_returns_a_correction_as_it_was_added(path: Path, store: CorrectionStore) -> None:
    kept = add(store)
    more = {"is_named": False, "approved": None, "approver": None}
    more |= {"learned": None, "learned_by": None}
    assert kept._asdict() | {"at": ""} == {"id": 1, "at": "", **GIVEN, **more}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", kept.at)
    for name, value in (("synchronous", 2), ("trusted_schema", 0), ("journal_mode", "wal")):
        assert store._database.query_value(f"PRAGMA {name}") == value
    with CorrectionStore(path) as another:
        assert list(another.rows()) == [kept]


@pytest.mark.parametrize(
    "text",
    ["", "half \ud800 a character", "a NUL \0 within", "😀 שלום", "x" * 1_000_000],
    ids=["empty", "surrogate", "NUL", "scripts", "a megabyte"],
)
def test_store_returns_any_text_unchanged(store: CorrectionStore, text: str) -> None:
    kept = add(store, text=text, who=text[:10], model=text[:10])
    assert (kept.text, kept.who, kept.model) == (text, text[:10], text[:10])
    assert list(store.rows()) == [kept]


@pytest.mark.parametrize(("topic", "answer"), [("new", 3), (-(1 << 63), 0), ("7", 7)])
def test_store_keeps_topics_as_texts_or_numbers(
    store: CorrectionStore, topic: str | int, answer: str | int
) -> None:
    add(store, topic=topic, answer=answer)
    (kept,) = store.rows()
    assert (kept.topic, kept.answer) == (topic, answer)
    assert (type(kept.topic), type(kept.answer)) == (type(topic), type(answer))


def test_store_accepts_an_unknown_person(store: CorrectionStore) -> None:
    assert add(store, who=None).who is None
    assert next(store.rows()).who is None


def test_store_undo_hides_a_correction_but_keeps_it(path: Path, store: CorrectionStore) -> None:
    first, second = add(store), add(store)
    assert store.undo(first.id)
    assert not store.undo(first.id), "once is enough"
    assert not store.undo(99)
    assert not store.undo(1 << 63)
    assert not store.undo(-(1 << 63) - 1)
    assert list(store.rows()) == [second]
    assert store.count() == 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT id, undone IS NULL FROM corrections").fetchall()
    assert rows == [(1, 0), (2, 1)]


def test_store_rows_start_after_and_stop_at_max_rows(store: CorrectionStore) -> None:
    for n in range(1, 8):
        add(store, topic=n)
    store.undo(4)
    assert [row.topic for row in store.rows(after=2)] == [3, 5, 6, 7]
    assert [row.topic for row in store.rows(after=2, max_rows=2)] == [3, 5]
    assert list(store.rows(max_rows=0)) == []
    assert store.count(after=2) == 4
    assert store.last() == 7


def test_store_count_counts_one_model(store: CorrectionStore) -> None:
    for model in ("news", "tickets", "news"):
        add(store, model=model)
    assert store.count(model="news") == 2
    assert store.count(after=1, model="news") == 1
    assert store.count(model="other") == 0


def test_store_rows_read_pages_without_gaps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slugline.corrections.store._PAGE_ROWS", 3)
    with CorrectionStore(path) as store:
        for n in range(10):
            add(store, topic=n)
        assert [row.topic for row in store.rows()] == list(range(10))
        assert [row.topic for row in store.rows(max_rows=4)] == list(range(4))


@pytest.mark.parametrize(("page_bytes", "remaining"), [(1999, [1, 4]), (2000, [1, 2, 4])])
def test_store_rows_read_few_long_texts_at_a_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, page_bytes: int, remaining: list[int]
) -> None:
    monkeypatch.setattr("slugline.corrections.store._PAGE_BYTES", page_bytes)
    with CorrectionStore(path) as store:
        for n in range(5):
            add(store, topic=n, text="x" * 1000)
        rows = store.rows()
        assert next(rows).topic == 0
        for number in (2, 3, 4):  # some of them still in the first page
            store.undo(number)
        assert [row.topic for row in rows] == remaining


def test_store_add_works_while_rows_are_read(store: CorrectionStore) -> None:
    for n in range(3):
        add(store, topic=n)
    rows = store.rows()
    next(rows)
    add(store, topic=3)
    assert [row.topic for row in rows] == [1, 2, 3]


def test_store_keeps_notes(path: Path, store: CorrectionStore) -> None:
    assert store.note("learned") is None
    store.set_notes({"learned": "3", "outcome": "none"})
    store.set_notes({"learned": "5"})
    with CorrectionStore(path) as another:
        assert (another.note("learned"), another.note("outcome")) == ("5", "none")


# What can't be kept -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": None}, "`text` is None; give a string."),
        (
            {"text": "x" * (MAX_TEXT_BYTES + 1)},
            "`text` has 16,777,217 characters, but texts of corrections are limited to "
            "16,777,216 bytes; shorten it.",
        ),
        (
            {"text": "€" * (MAX_TEXT_BYTES // 2)},
            "`text` has 8,388,608 characters, but texts of corrections are limited to "
            "16,777,216 bytes; shorten it.",
        ),
        (
            {"topic": " "},
            "topic ' ' is blank, or contains a NUL character or an unpaired surrogate; rename it.",
        ),
        ({"answer": 1 << 63}, f"topic {1 << 63} does not fit into 64 bits; make the topics "),
        ({"topic": 1.5}, "`topic` has 1.5 in row 0, counted from 0; topics are words or whole "),
        ({"probability": float("nan")}, "`probability` is nan; give a number from 0 to 1."),
        ({"probability": "high"}, "`probability` is 'high'; give a number from 0 to 1."),
        ({"probability": 1.5}, "`probability` is 1.5; give a number from 0 to 1."),
        ({"probability": -0.5}, "`probability` is -0.5; give a number from 0 to 1."),
        ({"probability": True}, "`probability` is True; give a number from 0 to 1."),
        ({"who": 7}, "`who` is 7; give a string of at most 1,000 characters."),
        ({"model": "x" * 1001}, "`model` is 'xxx"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_store_add_rejects_invalid_values(
    store: CorrectionStore, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        add(store, **given)
    assert store.count() == 0


def test_store_add_accepts_the_longest_values(store: CorrectionStore) -> None:
    given = {"who": "w" * 1000, "model": "m" * 1000, "digest": "d" * 1000}
    text = "€" * (MAX_TEXT_BYTES // 3) + "x"
    assert len(text.encode()) == MAX_TEXT_BYTES
    kept = [add(store, text=text, probability=0, **given), add(store, probability=1, **given)]
    assert list(store.rows()) == kept
    with pytest.raises(DataError, match="`text` has 5,592,407 characters, but texts of corr"):
        add(store, text=text + "x")


# Files that are none of ours --------------------------------------------------------------------


def another_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (name)")


def later_version(path: Path) -> None:
    CorrectionStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (4,)
        connection.execute("PRAGMA user_version = 5")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "UPDATE corrections SET id = 9223372036854775807",
        "UPDATE corrections SET id = 999999999999999999",
    ],
)
def test_store_says_when_no_number_is_left(path: Path, statement: str) -> None:
    with CorrectionStore(path) as store:
        add(store)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    with CorrectionStore(path) as store:
        with pytest.raises(StoreError, match=r"corrections up to 9[0-9]{17,18}, the maximum"):
            add(store)
        assert [row.text for row in store.rows()] == [GIVEN["text"]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            another_program,
            "{} holds no corrections: it is the file of another program; name another file, or one "
            "that doesn't exist yet.",
        ),
        (
            lambda path: path.write_text("no database\n"),
            "{} holds no corrections: it is not an SQLite file; name another file, or one that "
            "doesn't "
            "exist yet.",
        ),
        (
            lambda path: path.write_text("no database\n" * 1000),
            "{} holds no corrections: it is not an SQLite file; name another file, or one that "
            "doesn't "
            "exist yet.",
        ),
        (
            later_version,
            "{} contains corrections in format 5 of a later Slugline; this one supports format 4. "
            "Install a newer Slugline, or name another file.",
        ),
    ],
    ids=["another program", "short text", "long text", "later version"],
)
def test_store_rejects_another_file_and_leaves_it_unchanged(
    path: Path, make: Any, message: str
) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        CorrectionStore(path)
    assert str(caught.value) == message.format(path)
    assert path.read_bytes() == before


def test_store_takes_an_empty_file_as_new(path: Path) -> None:
    path.touch()
    with CorrectionStore(path) as store:
        add(store)
        assert store.count() == 1


def test_store_rejects_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        CorrectionStore(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no corrections: it is a folder; name another file, or one that doesn't "
        "exist yet."
    )


def test_store_names_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "corrections.db"
    with pytest.raises(StoreError) as caught:
        CorrectionStore(path)
    assert str(caught.value) == (
        f"there is no folder {path.parent} for corrections.db; create it, or name another file."
    )


def test_store_without_create_rejects_a_missing_file(path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        CorrectionStore(path, create=False)
    assert str(caught.value) == f"{path} doesn't exist; name a file of corrections."
    assert not path.exists()


def test_store_reads_no_row_that_is_too_large(path: Path) -> None:
    with CorrectionStore(path) as store:
        add(store)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE corrections SET text = zeroblob(?)", [MAX_TEXT_BYTES * 2])
    with CorrectionStore(path) as store, pytest.raises(StoreError, match="can't be read"):
        list(store.rows())


# When writing fails -----------------------------------------------------------------------------


def test_store_acknowledges_nothing_on_a_full_disk_and_recovers(
    path: Path, store: CorrectionStore
) -> None:
    kept = add(store)
    n_pages = store._database.query_value("PRAGMA page_count")
    store._database.query_value(f"PRAGMA max_page_count = {n_pages}")
    with pytest.raises(StoreError) as caught:
        add(store, text="x" * 100_000)
    assert str(caught.value) == (
        f"{path} can't be written: the disk is full; free some space and try again."
    )
    assert list(store.rows()) == [kept]
    store._database.query_value("PRAGMA max_page_count = 100000")
    again = add(store, text="x" * 100_000)
    assert list(store.rows()) == [kept, again]


def test_store_names_a_disk_that_is_really_full(small_disk: Path) -> None:
    filler = small_disk / "filler"
    with CorrectionStore(small_disk / "corrections.db") as store:
        kept = [add(store)]
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(StoreError, match="the disk is full"):
            kept.extend(add(store, text="x" * 10_000) for _ in range(100))
        assert list(store.rows()) == kept
        filler.unlink()
        kept.append(add(store, text="x" * 10_000))
        assert list(store.rows()) == kept
    with CorrectionStore(small_disk / "corrections.db") as store:
        assert list(store.rows()) == kept


def test_store_names_a_read_only_folder(small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,{}", str(small_disk)]
    path = small_disk / "corrections.db"
    with CorrectionStore(path) as store:
        add(store)
    subprocess.run([part.format("ro") for part in remount], check=True)
    try:
        with pytest.raises(StoreError, match="allow writing to the file and its folder"):
            CorrectionStore(path)
        with pytest.raises(StoreError, match="allow writing to the file and its folder"):
            CorrectionStore(small_disk / "new.db")
    finally:
        subprocess.run([part.format("rw") for part in remount], check=True)
    with CorrectionStore(path) as store:
        assert store.count() == 1


def test_store_gives_up_on_a_locked_file_after_its_patience(path: Path) -> None:
    with (
        CorrectionStore(path, patience=0.05) as store,
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
        assert store.count() == 1


def test_store_gives_up_on_a_busy_thread_after_its_patience(path: Path) -> None:
    with CorrectionStore(path, patience=0.05) as store:
        with (
            store._database.reading(),
            pytest.raises(StoreError, match="another thread or process has been using"),
        ):
            add(store)
        add(store)


def test_store_names_a_file_that_was_moved_and_keeps_everything(
    path: Path, store: CorrectionStore
) -> None:
    kept = [add(store)]
    moved = path.rename(path.with_name("moved.db"))
    with pytest.raises(StoreError) as caught:
        add(store)
    assert str(caught.value) == (
        f"{path} was moved, removed or replaced while it was in use; put it back, or start again."
    )
    with CorrectionStore(moved) as elsewhere:
        assert list(elsewhere.rows()) == kept
    moved.rename(path)
    kept.append(add(store))
    assert list(store.rows()) == kept


def test_store_close_keeps_everything_in_a_moved_file(path: Path, store: CorrectionStore) -> None:
    kept = add(store)
    moved = path.rename(path.with_name("moved.db"))
    store.close()
    with CorrectionStore(moved) as elsewhere, CorrectionStore(path) as new:
        assert list(elsewhere.rows()) == [kept]
        assert new.count() == 0


def test_store_rejects_calls_after_close(path: Path, store: CorrectionStore) -> None:
    store.close()
    store.close()
    for use in (store.count, lambda: add(store), lambda: next(store.rows())):
        with pytest.raises(StoreError) as caught:
            use()
        assert str(caught.value) == f"{path} was closed; open it again."


# Threads, processes and kills -------------------------------------------------------------------


def test_store_loses_nothing_with_many_threads_and_stores(path: Path) -> None:
    kept: list[Correction] = []

    def work(store: CorrectionStore) -> None:
        kept.extend(add(store, text=f"{n}") for n in range(20))

    with CorrectionStore(path, patience=60) as one, CorrectionStore(path, patience=60) as two:
        threads = [threading.Thread(target=work, args=[store]) for store in (one, two) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(two.rows()) == sorted(kept)
    assert len({correction.id for correction in kept}) == 120


OPEN = (
    "import sys; from slugline.corrections.store import CorrectionStore\n"
    "with CorrectionStore(sys.argv[1], patience=60) as store:\n"
    "    store.add(text='', topic=1, answer=2, probability=0, model='', digest='')"
)


@pytest.mark.slow
def test_store_is_created_once_by_many_processes(path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", OPEN, str(path)]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    with CorrectionStore(path) as store:
        assert store.count() == 4


def test_store_imports_nothing_that_learns() -> None:
    code = "import slugline.corrections.store, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    heavy = {b"scipy", b"sklearn", b"click", b"slugline.experiment", b"slugline.classifier"}
    assert heavy & set(loaded.split()) == set()


# Approved and pending -----------------------------------------------------------------------------


def test_store_keeps_who_approved_what(path: Path, store: CorrectionStore) -> None:
    first, second, third = (add(store, text=f"text {n}") for n in range(3))
    assert store.approve(first.id, "Änne \ud800")
    assert not store.approve(first.id, "another"), "once is enough"
    assert store.approve(second.id)
    assert store.undo(third.id)
    assert not any(store.approve(number) for number in (third.id, 99, 2**70))
    with CorrectionStore(path) as another:
        rows = list(another.rows())
    assert [(row.id, row.approver) for row in rows] == [(1, "Änne \ud800"), (2, None)]
    assert all(row.approved is not None and row.approved >= row.at for row in rows)
    assert store.count_approvals(0, "news", 2) == 2
    assert store.count_approvals(1, "news", 2) == 1
    assert store.count_approvals(0, "news", 1) == 1
    assert store.count_approvals(0, "another", 2) == 0
    last = store.last_approval()
    assert last >= 2
    assert store.count_approvals(last, "news", 2) == 0


def test_store_lists_corrections_that_wait_for_approval(store: CorrectionStore) -> None:
    for number in range(4):
        add(store, text=f"text {number}")
    approved = add(store, text="text 0", is_approved=True, who="anna", is_named=True)
    assert (approved.approver, approved.is_pending) == ("anna", False)
    assert store.get([approved.id]) == [approved]
    assert store.pending() == [1, 2, 3, 4]
    store.approve(1)
    store.undo(2)
    store.mark_learned([3], "abc")
    assert store.pending() == [4]
    assert [row.id for row in store.rows() if row.is_pending] == [4]
    assert store.get([4, 99, 1]) == [*reversed([row for row in store.rows() if row.id in (1, 4)])]


def test_store_finds_corrections_of_texts(store: CorrectionStore) -> None:
    add(store, text="half \ud800")
    store.undo(add(store, text="half \ud800").id)
    add(store, text="other")
    assert [row.id for row in store.of_texts(["half \ud800", "missing"])] == [1]


def test_store_notes_which_corrections_a_model_has_learned_from(store: CorrectionStore) -> None:
    for number in range(3):
        add(store, text=f"text {number}")
    store.mark_learned([1, 2, 3], "abc")
    store.mark_learned([1], "def")
    rows = list(store.rows())
    assert [row.learned_by for row in rows] == ["abc"] * 3, "the first one stays noted"
    assert all(row.learned is not None and row.learned >= row.at for row in rows)


def test_store_distinguishes_token_names_from_typed_names(store: CorrectionStore) -> None:
    named, typed = add(store, who="anna", is_named=True), add(store, who="anna")
    assert (named.is_named, typed.is_named) == (True, False)
    assert [(row.who, row.is_named) for row in store.rows()] == [("anna", True), ("anna", False)]
    with pytest.raises(DataError, match="can't be the name of a token"):
        add(store, who="änna", is_named=True)


def test_store_refuses_an_earlier_format(path: Path) -> None:
    with CorrectionStore(path):
        pass
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(StoreError) as caught:
        CorrectionStore(path)
    assert str(caught.value) == (
        f"{path} contains corrections in format 3 of an earlier Slugline; this one supports "
        "format 4. Install an older Slugline, or name another file."
    )


def test_undone_corrections_are_stored_with_who_undid_them(path: Path) -> None:
    with CorrectionStore(path) as store:
        first, second, kept = (add(store) for _ in range(3))
        assert store.undo(first.id, "änna")
        assert store.undo(second.id)
        assert not store.undo(first.id, "ben")
        assert [(each.id, each.who) for each in store.undone()] == [
            (first.id, "änna"),
            (second.id, None),
        ]
        assert [*store.rows()] == [kept]


def test_topics_are_those_of_a_models_corrections_that_were_not_undone(path: Path) -> None:
    with CorrectionStore(path) as store:
        for topic in ("metal", ("grain", "corn"), 7):
            add(store, topic=topic, answer=topic)
        store.undo(add(store, topic="gone").id)
        model = next(store.rows()).model
        assert store.topics(model) == {"metal", "grain", "corn", "7"}
        assert store.topics("another") == set()
