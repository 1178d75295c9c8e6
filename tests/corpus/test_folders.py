"""Folders, and paths, that hold other things than files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus import folders
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import load_corpus
from slugline.corpus.readers import read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError

Run = Callable[..., Any]

COPY = "copy it into the folder, or remove it"
NOT_INSIDE = ("not a regular file inside the folder", COPY)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts/a").mkdir(parents=True)
    Path("texts/a/1.txt").write_text("wheat")


def bad_rows() -> list[SourceRow | BadRow]:
    good, *bad = read_rows("texts")
    assert good == SourceRow("a/1.txt", {"text": "wheat", "topic": "a"})
    return bad


def test_folder_rows_give_bad_rows_for_broken_links() -> None:
    Path("texts/a/2.txt").symlink_to("3.txt")
    Path("texts/a/3.txt").symlink_to("2.txt")
    Path("texts/a/4.txt").symlink_to("gone.txt")

    assert bad_rows() == [BadRow(f"a/{n}.txt", *NOT_INSIDE) for n in (2, 3, 4)]


def test_folder_rows_give_bad_rows_for_links_out_of_the_folder() -> None:
    Path("secret.txt").write_text("a password")
    Path("texts/a/2.txt").symlink_to("../../secret.txt")
    Path("texts/a/3.txt").symlink_to("/dev/zero")
    Path("elsewhere").mkdir()
    Path("elsewhere/1.txt").write_text("a letter")
    Path("texts/b").symlink_to("../elsewhere")

    assert bad_rows() == [
        BadRow("a/2.txt", *NOT_INSIDE),
        BadRow("a/3.txt", *NOT_INSIDE),
        BadRow("b", "a link to a place outside the folder", COPY),
    ]


def test_folder_rows_follow_links_within_the_folder() -> None:
    Path("texts/a/2.txt").symlink_to("1.txt")
    Path("link").symlink_to("texts")

    assert load_corpus("texts").texts == ["wheat", "wheat"] == load_corpus("link").texts


def test_folder_rows_give_a_bad_row_for_a_pipe() -> None:
    os.mkfifo("texts/a/2.txt")

    assert bad_rows() == [BadRow("a/2.txt", *NOT_INSIDE)]


@pytest.mark.parametrize("format_", ["csv", "jsonl", "json", "txt", "parquet"])
def test_read_rows_rejects_a_device(format_: Any) -> None:
    with pytest.raises(DataError) as error:
        read_rows("/dev/zero", ReadOptions(format=format_))

    assert str(error.value) == ("/dev/zero is a device; pass a file, or - for a terminal.")


def test_read_rows_rejects_a_pipe_where_a_file_is_needed() -> None:
    os.mkfifo("a.parquet")

    with pytest.raises(DataError) as error:
        read_rows("a.parquet")

    assert str(error.value) == (
        "a.parquet is a pipe, which can't be read as parquet; save it as a file."
    )


@pytest.mark.slow
def test_read_rows_reads_a_named_pipe() -> None:
    command = f"{sys.executable} -m slugline predict <(printf 'wheat\\ncorn\\n') -q"

    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=600, check=False
    )

    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 2)


def test_load_corpus_reads_a_named_pipe() -> None:
    os.mkfifo("a.csv")
    with subprocess.Popen(["bash", "-c", "printf 'text,topic\\nwheat,grain\\n' > a.csv"]) as writer:
        corpus = load_corpus("a.csv")
        writer.wait(timeout=600)

    assert corpus.topics == ["grain"]


@pytest.mark.parametrize(
    "arguments", [["loop"], ["texts", "-o", "loop"], ["a.csv", "--test", "loop"]]
)
def test_read_rows_rejects_a_circular_link(run: Run, arguments: list[str]) -> None:
    Path("loop").symlink_to("loop")
    Path("a.csv").write_text("text,topic\nwheat,grain\n")

    result = run("train", *arguments)

    assert result.code in (1, 2)
    assert result.err.startswith("slugline: error: ")
    assert len(result.err.splitlines()) == 1 + result.err.count("read column")


# Files without topics ---------------------------------------------------------------------------


def test_text_file_rows_need_no_topics() -> None:
    Path("texts/b.txt").write_text("out")
    Path("texts/a/2.TXT").write_text("\ufeffgoal", encoding="utf-8")
    Path("texts/a/3.txt").write_bytes(b"\xff")
    Path("texts/a/4.txt").symlink_to("../b.txt")
    Path("texts/a/notes.md").write_text("no text")

    rows = read_rows("texts/a", fallback="txt")

    assert (rows.unit, rows.has_names) == ("file", False)
    first, second, third, fourth = rows
    assert [first, second] == [
        SourceRow("1.txt", {"text": "wheat", "id": "1.txt"}),
        SourceRow("2.TXT", {"text": "goal", "id": "2.TXT"}),
    ]
    assert isinstance(third, BadRow)
    assert (third.at, third.problem) == ("3.txt", "bytes that are not UTF-8")
    assert fourth == BadRow("4.txt", *NOT_INSIDE)
    with pytest.raises(DataError, match="texts/a has no sub-folders; make one for each topic"):
        load_corpus("texts/a")
    Path("notes").mkdir()
    Path("notes/a.md").write_text("no text")
    with pytest.raises(DataError) as caught:
        read_rows("notes", fallback="txt")
    assert str(caught.value) == (
        "notes contains no .txt or Parquet files; pass other files individually."
    )


def test_folder_rows_accept_files_of_max_record_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_RECORD", 5)
    Path("texts/a/2.txt").write_text("wheats")
    long = BadRow("a/2.txt", "more than 10,000,000 bytes", "split them")
    assert bad_rows() == [long]


def test_parquet_folder_rows_read_all_files(write_parquet: Any) -> None:
    for name, text in (("b", "goal"), ("a", "wheat")):
        write_parquet(f"texts/a/{name}.parquet", {"text": ("VARCHAR", [text]), "id": ("INT", [1])})
    Path("texts/a/1.txt").unlink()

    rows = read_rows("texts/a")

    assert (rows.unit, rows.has_names) == ("row", True)
    assert list(rows) == [
        SourceRow("a.parquet, row 1", {"text": "wheat", "id": 1}),
        SourceRow("b.parquet, row 1", {"text": "goal", "id": 1}),
    ]
    Path("elsewhere.parquet").write_bytes(Path("texts/a/a.parquet").read_bytes())
    Path("texts/a/c.parquet").symlink_to("../../elsewhere.parquet")
    with pytest.raises(DataError, match=r"c.parquet is not a regular file inside the folder"):
        list(read_rows("texts/a"))
