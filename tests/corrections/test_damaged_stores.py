"""Damaged files of corrections, generated from whole ones: each is refused in one line, or works.

Files of other programs are refused and left unchanged.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slugline.corrections.store import FORMAT, CorrectionStore
from slugline.errors import StoreError

# Whole files --------------------------------------------------------------------------------------


@functools.cache
def good() -> bytes:
    """Return a whole file that has rows in each table, and some pages of text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corrections.db")
        with CorrectionStore(path) as store:
            for number in range(12):
                store.add(
                    text=f"text {number} " * 200,
                    topic=("grain", 7) if number % 3 else "zinc 石",
                    answer=("earn",) if number % 3 else 4,
                    probability=number / 12,
                    model="news",
                    digest="abc",
                    who="Kim" if number % 2 else None,
                    is_named=number == 3,
                )
            store.approve(1, "Änne")
            store.undo(2)
            store.mark_learned([5, 6], "def")
            store.set_notes({"learned news": "6"})
        return path.read_bytes()


@contextlib.contextmanager
def stored(data: bytes) -> Iterator[Path]:
    """Yield the path of a file with these bytes, alone in its folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corrections.db")
        path.write_bytes(data)
        yield path


@contextlib.contextmanager
def changed(*statements: str, data: bytes | None = None) -> Iterator[Path]:
    """Yield the path of a whole file, or one with these bytes, after SQL statements."""
    with stored(good() if data is None else data) as path:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        yield path


# What becomes of a file ---------------------------------------------------------------------------

USES: tuple[Callable[[CorrectionStore], object], ...] = (
    lambda store: list(store.rows()),
    lambda store: store.get(range(14)),
    CorrectionStore.pending,
    lambda store: store.of_texts(["text 1 " * 200]),
    CorrectionStore.count,
    CorrectionStore.last,
    CorrectionStore.last_approval,
    lambda store: store.count(2, "news"),
    lambda store: store.count_approvals(0, "news", 9),
    lambda store: store.note("learned news"),
    lambda store: store.undo(7),
    lambda store: store.approve(8, "Kim"),
    lambda store: store.mark_learned([10], "def"),
    lambda store: store.set_notes({"learned news": "9"}),
    lambda store: store.add(
        text="new", topic="grain", answer="earn", probability=0.5, model="news", digest="abc"
    ),
)


def problems(path: Path) -> list[str]:
    """Return the messages of a file that is refused, or of all uses that are."""
    found = []
    try:
        with CorrectionStore(path, patience=0.1) as store:
            for use in USES:
                try:
                    use(store)
                except StoreError as error:
                    found.append(str(error))
    except StoreError as error:
        found.append(str(error))
    for message in found:
        assert message.startswith(str(path)), message
        assert "\n" not in message
        assert len(message) < 600
    return [message.removeprefix(str(path)) for message in found]


def assert_left_alone(path: Path) -> str:
    """Check that a file is refused, has the bytes it had, and got no other file beside it."""
    before = path.read_bytes()
    (message,) = problems(path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return message


def test_store_reads_a_whole_file() -> None:
    with stored(good()) as path:
        assert problems(path) == []


# Bytes --------------------------------------------------------------------------------------------


def test_store_refuses_a_truncated_file() -> None:
    data = good()
    accepted = []
    for length in (*range(1, 120, 7), *range(120, len(data), 509)):
        with stored(data[:length]) as path:
            if not problems(path):
                accepted.append(length)
    assert accepted == []


@pytest.mark.parametrize("length", [1, 15, 99])
def test_store_leaves_the_beginning_of_a_file_alone(length: int) -> None:
    with stored(good()[:length]) as path:
        assert "it is not an SQLite file" in assert_left_alone(path)


@settings(max_examples=80)
@given(st.integers(0), st.binary(min_size=1, max_size=40), st.booleans())
@example(0, b"SQLite format 4\0", False)
@example(18, b"\2\2", False)
def test_store_refuses_other_bytes_or_works(place: int, other: bytes, is_inserted: bool) -> None:
    data = good()
    place %= len(data)
    end = data[place + (0 if is_inserted else len(other)) :]
    with stored(data[:place] + other + end) as path:
        problems(path)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff"])
def test_store_refuses_a_file_without_one_of_its_pages(fill: bytes) -> None:
    data, n_bytes = good(), 4096
    accepted = []
    for start in range(0, len(data), n_bytes):
        with stored(data[:start] + fill * n_bytes + data[start + n_bytes :]) as path:
            if not problems(path):
                accepted.append(start)
    assert accepted == []


# Schemas ------------------------------------------------------------------------------------------

TABLES = ("corrections", "notes", "approvals", "learned", "undone")
ACTIONS = ("INSERT", "UPDATE", "DELETE")
OTHER_SCHEMAS = [
    *(f"DROP TABLE {table}" for table in TABLES),
    *(f"ALTER TABLE {table} RENAME TO other" for table in TABLES),
    *(f"ALTER TABLE {table} ADD COLUMN other" for table in TABLES),
    *(
        f"CREATE TRIGGER other AFTER {action} ON {table} BEGIN DELETE FROM corrections; END"  # noqa: S608
        for table, action in itertools.product(TABLES, ACTIONS)
    ),
    *(f"CREATE VIEW other AS SELECT * FROM {table}" for table in TABLES),  # noqa: S608
    "CREATE TABLE other (name)",
    "CREATE INDEX other ON corrections (at)",
    "CREATE VIRTUAL TABLE other USING fts5(name)",
]


#: As only a crafted file has them: a trigger with a name of SQLite's own, and a table's other SQL.
CRAFTED_SCHEMAS = {
    "a trigger named sqlite_t": (
        "CREATE TRIGGER t AFTER INSERT ON corrections BEGIN DELETE FROM corrections; END",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET name = 'sqlite_t', sql = replace(sql, 'TRIGGER t', "
        "'TRIGGER sqlite_t') WHERE name = 't'",
    ),
    "a table with another condition": (
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'undone TEXT,', "
        "'undone TEXT CHECK (id < 9),') WHERE name = 'corrections'",
    ),
}
OTHER_TABLES = (
    " is marked as a file of corrections, but has unknown tables, indexes, views or triggers; "
    "restore it from a copy, or name another file."
)


@pytest.mark.parametrize("statement", OTHER_SCHEMAS)
def test_store_leaves_a_file_with_another_schema_alone(statement: str) -> None:
    with changed(statement) as path:
        assert assert_left_alone(path) == OTHER_TABLES


@pytest.mark.parametrize("statements", CRAFTED_SCHEMAS.values(), ids=CRAFTED_SCHEMAS)
def test_store_leaves_a_file_with_a_crafted_schema_alone(statements: tuple[str, ...]) -> None:
    with changed(*statements) as path:
        assert assert_left_alone(path) == OTHER_TABLES


@pytest.mark.parametrize(
    "application", [0, 1, FORMAT.application_id - 1, FORMAT.application_id, -1, 2**31 - 1]
)
@pytest.mark.parametrize("version", [0, 1, 3, FORMAT.version, FORMAT.version + 1, -1, 2**31 - 1])
def test_store_leaves_a_file_with_another_mark_alone(application: int, version: int) -> None:
    pragmas = (f"PRAGMA application_id = {application}", f"PRAGMA user_version = {version}")
    with changed(*pragmas) as path:
        if (application, version) == (FORMAT.application_id, FORMAT.version):
            assert problems(path) == []
        else:
            assert_left_alone(path)


# Cells --------------------------------------------------------------------------------------------

ODD_CELLS = (
    *("NULL", "0", "-1", "9223372036854775807", "1e999", "-0.5", "'x'", "''", "x''", "x'ff'"),
    *(
        "x'edb080'",
        "CAST(x'ff' AS TEXT)",
        "'[' || char(0)",
        "'[{}]'",
        "'[1, []]'",
        "zeroblob(9999)",
    ),
    *("'2026-01-01T00:00:00.000Z'", "'[\"a\"]'"),
)


def columns() -> list[tuple[str, str]]:
    with stored(good()) as path, contextlib.closing(sqlite3.connect(path)) as connection:
        return [
            (table, row[1])
            for table in TABLES
            for row in connection.execute(f"PRAGMA table_info({table})")
        ]


@pytest.mark.parametrize(("table", "column"), columns())
def test_store_names_a_row_with_an_odd_cell_or_works(table: str, column: str) -> None:
    for cell in ODD_CELLS:
        with (
            contextlib.suppress(sqlite3.IntegrityError),
            changed(
                f"UPDATE OR FAIL {table} SET {column} = {cell} "  # noqa: S608
                f"WHERE rowid = (SELECT max(rowid) FROM {table})"
            ) as path,
        ):
            for message in problems(path):
                assert "is damaged: " in message or "can't be written: it numbers" in message


# Files of other programs --------------------------------------------------------------------------

FOREIGN: dict[str, tuple[str, ...]] = {
    "a table": ("CREATE TABLE users (name)",),
    "a table of the same name": ("CREATE TABLE corrections (id INTEGER PRIMARY KEY, text)",),
    "a view only": ("CREATE VIEW users AS SELECT 1",),
    "only a version": ("PRAGMA user_version = 2",),
    "only a mark": ("PRAGMA application_id = 7",),
    "a write-ahead log": ("PRAGMA journal_mode = WAL", "CREATE TABLE users (name)"),
    "UTF-16": ("PRAGMA encoding = 'UTF-16'", "CREATE TABLE users (name)"),
    "incremental vacuum": ("PRAGMA auto_vacuum = 2", "CREATE TABLE users (name)"),
    **{
        f"pages of {size} bytes": (f"PRAGMA page_size = {size}", "CREATE TABLE users (name)")
        for size in (512, 1024, 65536)
    },
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_store_leaves_a_file_of_another_program_alone(statements: tuple[str, ...]) -> None:
    with changed(*statements, data=b"") as path:
        assert "it is the file of another program" in assert_left_alone(path)


# Permissions --------------------------------------------------------------------------------------


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Work as a user who owns nothing, if this one is root, whom no permission stops."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions are others there")
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o444, 0o755), (0o444, 0o777)])
def test_store_says_that_it_must_be_able_to_write(file_mode: int, folder_mode: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "corrections.db"
        path.write_bytes(good())
        path.chmod(file_mode)
        folder.chmod(folder_mode)
        with without_privileges():
            found = problems(path)
        assert found
        for message in found:
            assert "allow writing to the file and its folder" in message
        assert path.read_bytes() == good()
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions are others there")
def test_store_says_that_it_may_not_read_the_file() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "corrections.db"
        path.write_bytes(good())
        path.chmod(0)
        folder.chmod(0o777)
        with without_privileges():
            (message,) = problems(path)
        assert "allow writing to the file and its folder" in message
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_store_refuses_what_is_no_file(tmp_path: Path) -> None:
    odd: dict[str, Callable[[Path], Any]] = {"folder": Path.mkdir, "pipe": os.mkfifo}
    for name, make in odd.items():
        make(tmp_path / name)
        (message,) = problems(tmp_path / name)
        assert "holds no corrections" in message
