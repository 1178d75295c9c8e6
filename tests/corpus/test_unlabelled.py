"""UnlabelledTexts without topics: from any file, whatever else its rows hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from slugline.corpus.labelled import LabelledRows, SourceSchema
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import UnlabelledTexts, read_texts
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import SourceRow
from slugline.errors import DataError

SKIPPED = "skipped 1 row without text"


def read(path: Path, content: str, text: str | None = None) -> UnlabelledTexts:
    path.write_text(content)
    return read_texts(read_rows(path, fallback="txt"), text)


def test_take_schema_counts_rows_since_the_last_call(tmp_path: Path) -> None:
    lines = ["{"] * 4 + ['{"text": "a", "topic": "b"}'] * 3
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    options = ReadOptions(skip_bad_rows=True)
    labelled = LabelledRows(read_rows(tmp_path / "a.jsonl"), options, max_bad_rows=2)
    documents = iter(labelled)
    assert next(documents).at == 5
    first = labelled.take_report()
    assert (first.n_rows, first.n_bad, [row.at for row in first.bad]) == (5, 4, [1, 2])
    assert (first.is_last, labelled.is_stopped) == (False, False)
    assert [document.at for document in documents] == [6, 7]
    last = labelled.take_report()
    assert (last.n_rows, last.n_bad, last.bad, last.is_last) == (2, 0, (), True)
    assert first.schema == last.schema == SourceSchema(Layout(("text",), "topic"), "b", ("text",))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"text": 1, "topic": "b"}, "a number for a text in column 'text'"),
        ({"text": 1.5, "topic": "b"}, "a number for a text in column 'text'"),
        ({"text": True, "topic": "b"}, "a value of type bool for a text in column 'text'"),
        ({"text": ["a"], "topic": "b"}, "a list for a text in column 'text'"),
        ({"text": {"a": 1}, "topic": "b"}, "an object for a text in column 'text'"),
        ({"text": "a", "topic": ["b"]}, "several topics, but the first 100 rows have one each"),
        ({"text": "a", "topic": ["b", ["c"]]}, "a list in a list of topics"),
        ({"text": "a", "topic": ["b", {"c": 1}]}, "an object in a list of topics"),
        (
            {"text": "a", "topic": ["b", None]},
            "an empty topic, or one with a NUL character, in a list of topics",
        ),
        ({"text": "a", "topic": {"b": 1}}, "an object instead of a topic"),
        (
            {"text": "a", "topic": "5"},
            "a number as topic, such as '5', unlike most topics, such as 'b'",
        ),
        (
            {"text": "a", "topic": -2.0},
            "a number as topic, such as '-2', unlike most topics, such as 'b'",
        ),
    ],
)
def test_labelled_rows_name_cells_that_are_no_text_or_topic(
    values: dict[str, object], problem: str
) -> None:
    good = SourceRow(1, {"text": "a", "topic": "b"})
    schema = SourceSchema(Layout(("text",), "topic"), "b")
    rows = RowReader("a", "jsonl", iter([good, SourceRow(2, values), good]))
    labelled = LabelledRows(rows, ReadOptions(), schema=schema)
    assert [document.text for document in labelled] == ["a"]
    (bad,) = labelled.take_report().bad
    assert (bad.at, bad.problem, bad.values) == (2, problem, {})
    assert labelled.is_stopped


@pytest.mark.parametrize("text", ["a", " ", None, 5])
@pytest.mark.parametrize("topic", [None, float("nan"), "", " "])
def test_labelled_rows_count_rows_without_a_topic(text: object, topic: object) -> None:
    good = SourceRow(1, {"text": "a", "topic": "b"})
    row = SourceRow(2, {"text": text, "topic": topic})
    labelled = LabelledRows(RowReader("a", "jsonl", iter([good, row, row, good])), ReadOptions())
    assert [document.text for document in labelled] == ["a", "a"]
    report = labelled.take_report()
    assert (report.n_rows, report.n_bad, report.n_unlabelled) == (4, 0, 2)
    assert not labelled.is_stopped


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a,b,c\n1,2,3\n",
            ": cannot tell which of 'a', 'b', 'c' contains the text; choose columns with "
            "`text`, or add a header if these are not column names.",
        ),
        ("text,b\n,2\n", " contains no texts; check the file, or choose the column with `text`."),
        ("text\n", " contains no texts; check the file, or choose the column with `text`."),
    ],
    ids=["unknown", "blank", "header"],
)
def test_read_texts_rejects_a_source_without_texts(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.csv", content)
    assert str(caught.value) == f"{tmp_path / 'a.csv'}{message}"


def test_table_rows_keep_a_quoted_empty_cell_of_one_column(tmp_path: Path) -> None:
    texts = read(tmp_path / "a.csv", 'text\nwheat\n""\n\nrye\n')
    assert texts.texts == ["wheat", "rye"]
    assert texts.skipped_note == f"{SKIPPED} (line 3)"
    assert read(tmp_path / "b.csv", 'text,id\nwheat,1\n""\n').skipped_note == ""
