"""The cache of encodings: bounded, shared by processes, and never trusted."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import zlib
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from slugline.learning.encoder.head import MAX_WIDTH
from slugline.learning.encoder.rows import RowCache, encode
from stand_ins import Letters

TEXTS = [f"{number} {'a' * (number % 9)}e" for number in range(300)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path))
    return tmp_path / "encodings.sqlite"


def sql(cache: Path, command: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(cache)) as connection, connection:
        return connection.execute(command, values).fetchall()


def assert_encodes_again_and_keeps(match: str) -> None:
    """Expect one warning, right rows, and a cache that works afterwards."""
    letters = Letters()
    expected = encode(TEXTS, Letters(), cache_rows=False)
    with pytest.warns(RuntimeWarning, match=match):
        np.testing.assert_array_equal(encode(TEXTS, letters), expected)
    assert sum(letters.calls) == len(TEXTS)
    unused = Letters()
    np.testing.assert_array_equal(encode(TEXTS, unused), expected)
    assert unused.calls == []


def test_row_cache_is_replaced_if_the_file_is_no_database(cache: Path) -> None:
    cache.write_bytes(b"junk" * 5000)
    assert_encodes_again_and_keeps(r"^the cache .*encodings.sqlite is damaged \(file is not a data")


@pytest.mark.parametrize(
    ("command", "match"),
    [
        ("DROP TABLE rows", "no such table"),
        ("ALTER TABLE rows RENAME COLUMN row TO line", "no such column"),
        ("PRAGMA user_version = 7", "its format is 7"),
    ],
    ids=["table", "column", "format"],
)
def test_row_cache_is_replaced_if_the_tables_differ(cache: Path, command: str, match: str) -> None:
    encode(TEXTS, Letters())
    sql(cache, command)
    assert_encodes_again_and_keeps(rf"is damaged \({match}")


@pytest.mark.parametrize(
    "row",
    [b"", b"\0\0\0\0", b"1234ab", zlib.crc32(b"abc").to_bytes(4, "little") + b"abc"],
    ids=repr,
)
def test_row_cache_is_replaced_if_a_checksum_differs(cache: Path, row: bytes) -> None:
    encode(TEXTS, Letters())
    sql(cache, "UPDATE rows SET row = ? WHERE id = 250", row)
    with pytest.warns(RuntimeWarning, match=r"is damaged \(a checksum differs\) and is deleted"):
        rows = encode(TEXTS, Letters())
    np.testing.assert_array_equal(rows, encode(TEXTS, Letters(), cache_rows=False))


def test_row_cache_ignores_a_row_that_is_too_large_or_no_bytes(cache: Path) -> None:
    encode(TEXTS, Letters())
    sql(cache, "UPDATE rows SET row = ? WHERE id = 1", b"\0" * (2 * MAX_WIDTH + 5))
    sql(cache, "UPDATE rows SET row = 7 WHERE id = 2")
    letters = Letters()
    encode(TEXTS, letters)
    assert letters.calls == [2]


def test_row_cache_is_replaced_if_the_file_is_truncated(cache: Path) -> None:
    encode(TEXTS, Letters())
    cache.write_bytes(cache.read_bytes()[:9000])
    with pytest.warns(RuntimeWarning, match="is damaged"):
        rows = encode(TEXTS, Letters())
    np.testing.assert_array_equal(rows, encode(TEXTS, Letters(), cache_rows=False))


def test_row_cache_is_replaced_if_the_file_is_too_large(cache: Path) -> None:
    encode(TEXTS, Letters())
    with cache.open("ab") as file:
        file.truncate(3 << 20)
    rows = np.ones((1, 4), dtype=np.float16)
    with ExitStack() as stack:
        with pytest.warns(RuntimeWarning, match=r"is damaged \(it is too large\)"):
            cached = stack.enter_context(RowCache("d", max_bytes=1 << 20))
        keys = cached.keys(["a"])
        cached.add(keys, rows)
        np.testing.assert_array_equal(cached.find(keys)[keys[0]], rows[0])
    assert cache.stat().st_size < 1 << 20


def test_row_cache_drops_the_oldest_rows(cache: Path) -> None:
    rows = np.ones((100, 100), dtype=np.float16)
    with RowCache("d", max_bytes=200_000) as cached:
        keys = cached.keys([str(number) for number in range(3000)])
        for start in range(0, 3000, 100):
            cached.add(keys[start : start + 100], rows)
        found = cached.find(keys)
    assert set(keys[-100:]) <= set(found)
    assert not set(keys[:1000]) & set(found)
    assert cache.stat().st_size < 300_000


def test_row_cache_warns_if_the_folder_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(RuntimeWarning, match=r"can't be used: .*; encodings are not cached\.$"):
        rows = encode(["ae"], Letters())
    assert rows.shape == (1, 4)


def test_row_cache_warns_if_another_process_locks_the_file(cache: Path) -> None:
    encode(["a"], Letters())
    with closing(sqlite3.connect(cache, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with RowCache("d", patience=0.01) as cached:
            keys, rows = cached.keys(["a"]), np.ones((1, 4), dtype=np.float16)
            with pytest.warns(RuntimeWarning, match=r"can't be used: database is locked; "):
                cached.add(keys, rows)
            assert cached.find(keys) == {}
    assert cache.exists()


WRITER = """
import sys
from stand_ins import Letters
from slugline.learning.encoder.rows import encode
for start in range(0, 2000, 100):
    encode([f"{number} a" for number in range(start, start + 150)], Letters())
"""


def test_row_cache_can_be_written_by_several_processes(cache: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", WRITER]
    folder = Path(__file__).parents[1]
    writers = [subprocess.Popen(command, cwd=folder) for _ in range(3)]
    assert [writer.wait(600) for writer in writers] == [0, 0, 0]
    letters = Letters()
    encode([f"{number} a" for number in range(2050)], letters)
    assert letters.calls == []
    assert sql(cache, "PRAGMA integrity_check") == [("ok",)]


def test_row_cache_keys_of_equal_texts_differ_between_encoders() -> None:
    assert len({*RowCache("1").keys(["a", "b"]), *RowCache("2").keys(["a", "b"])}) == 4
