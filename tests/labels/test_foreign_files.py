"""Files of other programs, versions and permissions: refused in one line, and left unchanged."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.label_database.tables import FORMAT
from slugline.errors import StoreError
from slugline.labels.store import LabelStore


@functools.cache
def good() -> bytes:
    """Return a whole file with a correction."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.db")
        with LabelStore(path) as store:
            add(store)
        return path.read_bytes()


def add(store: LabelStore) -> None:
    store.add_correction(
        text="Wheat", topic="grain", answer="earn", probability=0.5, model="news", digest="abc"
    )


@contextlib.contextmanager
def stored(data: bytes) -> Iterator[Path]:
    """Yield the path of a file with these bytes, alone in its folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.db")
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


def problems(path: Path) -> list[str]:
    """Return the messages of a file that is refused, or of all uses that are."""
    found = []
    try:
        with LabelStore(path, patience=0.1) as store:
            for use in (add, lambda store: list(store.labels())):
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


@pytest.mark.parametrize("length", [1, 15, 99])
def test_store_leaves_the_beginning_of_a_file_alone(length: int) -> None:
    with stored(good()[:length]) as path:
        assert "it is not an SQLite file" in assert_left_alone(path)


# Schemas ------------------------------------------------------------------------------------------

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
        "UPDATE sqlite_schema SET sql = replace(sql, 'who BLOB, is_named', "
        "'who BLOB CHECK (id < 9), is_named') WHERE name = 'corrections'",
    ),
}
OTHER_TABLES = (
    " is marked as a file of labels, but has unknown tables, indexes, views or triggers; "
    "restore it from a copy, or choose another file."
)


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


# Files of other programs --------------------------------------------------------------------------

FOREIGN: dict[str, tuple[str, ...]] = {
    "a table": ("CREATE TABLE users (name)",),
    "a table of the same name": ("CREATE TABLE documents (id INTEGER PRIMARY KEY, text)",),
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
        path = folder / "labels.db"
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
        path = folder / "labels.db"
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
        assert "holds no labels" in message
