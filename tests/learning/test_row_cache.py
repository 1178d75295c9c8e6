"""The cache of encodings: bounded, shared by processes, and never trusted."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from slugline.learning.encoder.rows import RowCache, encode
from stand_ins import Letters

TEXTS = [f"{number} {'a' * (number % 9)}e" for number in range(300)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path))
    return tmp_path / "encodings-2.sqlite"


def sql(cache: Path, command: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(cache)) as connection, connection:
        return connection.execute(command, values).fetchall()


@pytest.mark.parametrize("n_bytes", [0, 9000], ids=["no database", "truncated"])
def test_row_cache_is_deleted_if_it_is_damaged(cache: Path, n_bytes: int) -> None:
    expected = encode(TEXTS, Letters())
    cache.write_bytes(cache.read_bytes()[:n_bytes] or b"junk" * 5000)
    with pytest.warns(RuntimeWarning, match=r"^the cache .*sqlite is damaged and is del"):
        np.testing.assert_array_equal(encode(TEXTS, Letters()), expected)
    encode(TEXTS, Letters())
    unused = Letters()
    np.testing.assert_array_equal(encode(TEXTS, unused), expected)
    assert unused.calls == []


def test_row_cache_ignores_a_row_of_another_width(cache: Path) -> None:
    encode(TEXTS, Letters())
    sql(cache, "UPDATE rows SET row = ? WHERE id = 2", b"\0" * 6)
    letters = Letters()
    encode(TEXTS, letters)
    assert letters.calls == [1]


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
