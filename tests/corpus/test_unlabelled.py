"""UnlabelledTexts without topics: from any file, whatever else its rows hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from slugline.corpus.labelled import UnlabelledTexts, read_texts
from slugline.corpus.readers import read_rows
from slugline.errors import DataError


def read(path: Path, content: str, text: str | None = None) -> UnlabelledTexts:
    path.write_text(content)
    return read_texts(read_rows(path, fallback="txt"), text)


def test_a_text_from_each_line(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", "one\n\ntwo\n")
    assert (found.texts, found.n_skipped) == (["one", "two"], 1)
    assert [row.at for row in found.rows] == [1, 3]


def test_topics_of_a_table_are_ignored_and_the_guess_is_noted(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "topic,text\n,one\nb,two\nc,\n")
    assert (found.texts, found.n_skipped) == (["one", "two"], 1)
    assert [row.values for row in found.rows] == [
        {"topic": "", "text": "one"},
        {"topic": "b", "text": "two"},
    ]
    assert found.note == "read column 'text' as text; name another with `text`"


def test_columns_can_be_named_and_joined(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "subject,body\none,two\n", "subject,body")
    assert (found.texts, found.note) == (["one\ntwo"], "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,c\n1,2,3\n", "has 'a', 'b', 'c', and none is known as text; name one with `text`."),
        ("text,b\n,2\n", "holds no texts; check the file, or name the column, `text`."),
        ("text\n", "holds no texts; check the file, or name the column, `text`."),
    ],
    ids=["unknown", "blank", "header"],
)
def test_without_a_text_there_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.csv", content)
    assert str(caught.value) == f"{tmp_path / 'a.csv'} {message}"
