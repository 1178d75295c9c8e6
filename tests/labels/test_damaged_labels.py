"""Damaged label databases, generated from whole ones: each is refused in one line, or works."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slugline.corpus.label_database.records import ModelGuess, Selection
from slugline.corpus.label_database.tables import FORMAT
from slugline.corpus.loading import load_corpus
from slugline.errors import DataError, SluglineError, StoreError
from slugline.labels.cells import ImportedLabel, NewDocument
from slugline.labels.formats.label_studio import export_label_studio
from slugline.labels.store import LabelStore


@functools.cache
def good() -> bytes:
    """Return a whole file that has rows in each table, and some pages of text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.db")
        with LabelStore(path) as store:
            fill(store)
        return path.read_bytes()


def fill(store: LabelStore) -> None:
    store.add_coder("Kim")
    store.add_coder("llm", "imported")
    store.set_settings({"text columns": '["text"]', "topic column": "topic"})
    for topic in ("grain", "earn", "old"):
        store.add_topic(topic, "Kim", description=f"about {topic}", examples=["an example"])
    store.rename_topic("earn", "profit", "Kim")
    store.add_documents(
        NewDocument(f"id {n}", f"text {n} " * 300, {"n": n, "list": [1]}) for n in range(8)
    )
    store.add_documents([NewDocument("id 7", "changed")])
    guess = ModelGuess(("grain",), 0.5)
    for number in range(1, 7):
        selection = Selection("random" if number % 2 else "suggested", 0.5, 8, guess)
        assignment = store.assign("Kim", number, selection, request=f"a{number}")
        assert assignment is not None
        if number % 3:
            store.label(assignment.id, ["grain"], note="a note", request=f"b{number}")
        else:
            store.skip(assignment.id, "unclear")
    store.undo(1)
    store.merge_topic("old", "grain", "Kim")
    store.import_labels("llm", [ImportedLabel(number, ("profit",)) for number in range(1, 5)])
    store.settle(2, ["profit"], "Kim", note="settled")
    store.restore(store.withdraw("llm", "Kim"), "Kim")
    for number in range(3):
        answer: dict[str, Any] = {"answer": "grain", "probability": 0.5}
        answer |= {"model": "news", "digest": "abc"}
        store.add_correction(text=f"wrong {number}", topic="profit", who="Ann", **answer)
    *_, first, second, third = store.pending_corrections()
    store.approve_correction(first, "Kim")
    store.undo_correction(second, "Kim")
    store.mark_learned([third], "def")


@contextlib.contextmanager
def stored(data: bytes, *statements: str) -> Iterator[Path]:
    """Yield the path of a file with these bytes, after SQL statements, alone in its folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.db")
        path.write_bytes(data)
        if statements:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                for statement in statements:
                    connection.execute(statement)
        yield path


USES: tuple[Callable[[LabelStore], object], ...] = (
    lambda store: list(store.labels()),
    lambda store: list(store.decisions()),
    lambda store: list(store.to_records()),
    LabelStore.counts,
    LabelStore.coders,
    LabelStore.codebook,
    LabelStore.last_change,
    LabelStore.first_assignments,
    lambda store: store.open_assignments("Kim"),
    lambda store: store.document(1),
    lambda store: store.find_texts(["changed"]),
    lambda store: store.find_keys(["id 1"]),
    lambda store: store.setting("text columns"),
    lambda store: store.is_multilabel,
    lambda store: store.add_documents([NewDocument("id 99", "new")]),
    lambda store: store.add_topic("new", "Kim", request="c"),
    lambda store: store.assign("Kim", 8, Selection("random", 0.5), request="d"),
    lambda store: store.label(1, ["grain"], request="e"),
    lambda store: store.settle(5, ["grain"], "Kim"),
    lambda store: store.withdraw("Kim", "Kim"),
    lambda store: store.import_labels("llm", [ImportedLabel(6, ("grain",))]),
    lambda store: list(store.corrections()),
    LabelStore.undone_corrections,
    LabelStore.pending_corrections,
    lambda store: store.corrections_of(["wrong 1"]),
    lambda store: store.corrected_topics("news"),
    lambda store: store.count_approvals(0, "news", 99),
    lambda store: store.approve_correction(store.last_correction(), "Kim"),
    lambda store: store.mark_learned([store.last_correction()], "ghi"),
    lambda store: store.add_correction(
        text="new", topic="grain", answer="profit", probability=0.5, model="news", digest="abc"
    ),
    lambda store: export_label_studio(store, store.path.with_name("out.json")),
)


def find_problems(path: Path) -> list[str]:
    """Return the messages of a file that is refused, or of all uses that are."""
    found = []
    with contextlib.suppress(DataError):
        load_corpus(path)
    try:
        with LabelStore(path, patience=0.1) as store:
            for use in USES:
                try:
                    use(store)
                except SluglineError as error:
                    found.append(str(error))
    except StoreError as error:
        found.append(str(error))
    for message in found:
        assert "\n" not in message
        assert len(message) < 700
    return found


def test_store_uses_a_whole_file() -> None:
    with stored(good()) as path:
        assert load_corpus(path).topics == ["profit", "grain", "grain", "profit"]
        assert find_problems(path) == []


def test_store_refuses_a_truncated_file() -> None:
    data = good()
    accepted = []
    for length in (*range(1, 120, 17), *range(120, len(data), 3011)):
        with stored(data[:length]) as path:
            if not find_problems(path):
                accepted.append(length)
    assert accepted == []


@settings(max_examples=50)
@given(st.integers(0), st.binary(min_size=1, max_size=40), st.booleans())
@example(0, b"SQLite format 4\0", False)
@example(18, b"\2\2", False)
def test_store_refuses_other_bytes_or_works(place: int, other: bytes, is_inserted: bool) -> None:
    data = good()
    place %= len(data)
    end = data[place + (0 if is_inserted else len(other)) :]
    with stored(data[:place] + other + end) as path:
        find_problems(path)


def test_store_refuses_a_file_without_one_of_its_pages() -> None:
    data, n_bytes = good(), 4096
    accepted = []
    for start in range(0, len(data), n_bytes):
        with stored(data[:start] + bytes(n_bytes) + data[start + n_bytes :]) as path:
            if not find_problems(path):
                accepted.append(start)
    assert accepted == []


ODD_CELLS = (
    *("NULL", "-1", "9223372036854775807", "1e999", "'x'", "x'ff'", "x'edb080'"),
    *("CAST(x'ff' AS TEXT)", "x'5b5b315d5d'"),
)


def find_columns() -> list[tuple[str, str]]:
    with stored(good()) as path, contextlib.closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        return [
            (table, row[1])
            for (table,) in tables
            for row in connection.execute(f"PRAGMA table_info({table})")
        ]


@pytest.mark.parametrize(("table", "column"), find_columns())
def test_store_names_a_row_with_an_odd_cell_or_works(table: str, column: str) -> None:
    for cell in ODD_CELLS:
        with (
            contextlib.suppress(sqlite3.IntegrityError),
            stored(
                good(),
                f"UPDATE OR FAIL {table} SET {column} = {cell} "  # noqa: S608
                f"WHERE rowid = (SELECT max(rowid) FROM {table})",
            ) as path,
        ):
            find_problems(path)


@pytest.mark.parametrize("version", [0, FORMAT.version + 1, -1])
def test_store_leaves_a_file_of_another_version_alone(version: int) -> None:
    with stored(good(), f"PRAGMA user_version = {version}") as path:
        before = path.read_bytes()
        assert len(find_problems(path)) == 1
        assert path.read_bytes() == before


def test_codebook_with_a_circle_of_merges_is_damaged() -> None:
    with (
        stored(
            good(),
            "INSERT INTO codebook (at, coder, kind, topic, target) "
            "VALUES ('2026-01-01T00:00:00.000Z', 1, 'merged', 1, 3)",
        ) as path,
        LabelStore(path) as store,
    ):
        for use in (
            lambda: [*store.labels()],
            store.codebook,
            lambda: store.add_topic("corn", "Kim"),
        ):
            with pytest.raises(StoreError, match=r"is damaged: .*merged into itself"):
                use()


def test_label_of_another_number_of_topics_than_the_file_says_is_damaged() -> None:
    for topics, n_topics in (("[]", 0), ("[1,2]", 2)):
        statement = f"UPDATE settlements SET topics = CAST('{topics}' AS BLOB)"  # noqa: S608
        with stored(good(), statement) as path, pytest.raises(DataError) as caught:
            load_corpus(path)
        assert str(caught.value).startswith(
            f"{path} is damaged: the label of document 2 can't be read (it has {n_topics} topics"
        )


# Full and read-only disks -------------------------------------------------------------------------


def test_store_acknowledges_nothing_on_a_full_disk_and_recovers(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        fill(store)
        before = [*store.labels()]
        n_pages = store._database.query_value("PRAGMA page_count")
        store._database.query_value(f"PRAGMA max_page_count = {n_pages}")
        with pytest.raises(StoreError) as caught:
            store.add_documents([NewDocument("id 50", "x" * 200_000)])
        assert str(caught.value) == (
            f"{store.path} can't be written: the disk is full; free some space and try again."
        )
        assert [*store.labels()] == before
        store._database.query_value("PRAGMA max_page_count = 100000")
        [number] = store.add_documents([NewDocument("id 50", "x" * 200_000)])
        assert store.document(number).text == "x" * 200_000


def test_store_that_is_read_only_changes_nothing() -> None:
    with stored(good()) as path:
        path.chmod(0o444)
        with LabelStore(path, is_read_only=True) as store:
            assert len([*store.labels()]) == 12
            with pytest.raises(StoreError, match="allow writing to the file"):
                store.add_coder("Lee")
        assert path.read_bytes() == good()
        assert [file.name for file in path.parent.iterdir()] == [path.name]


# Coders at the same moment ------------------------------------------------------------------------


def test_store_gives_a_document_to_one_of_two_coders(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    with LabelStore(path, patience=60) as one, LabelStore(path, patience=60) as two:
        fill(one)
        one.add_coder("Lee")
        found: list[Any] = []

        def work(store: LabelStore, coder: str) -> None:
            found.append(store.assign(coder, 9, Selection("suggested", 0.5), max_others=0))

        pairs = [(one, "Kim"), (two, "Lee")]
        threads = [threading.Thread(target=work, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(each is not None for each in found) == 1
