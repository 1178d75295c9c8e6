"""The user's own files: labels are read from a column, and written back with all columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import load_corpus, read_texts
from slugline.corpus.readers import read_rows
from slugline.errors import DataError
from slugline.labels.cells import NewDocument, document_keys
from slugline.labels.formats.importing import ImportReport
from slugline.labels.formats.tables import TableExportReport, export_table, import_table
from slugline.labels.store import LabelStore
from slugline.labels.text_table import SourceColumns, TextTable

TEXTS = ["Wheat rose", "same", "same", "Zinc"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels.db") as store:
        store.add_coder("Kim")
        yield store


def add(store: LabelStore, ids: list[object] | None, *topics: str | None) -> None:
    """Store the texts, with topics by Kim."""
    keys = document_keys(TEXTS, ids)
    store.add_documents(NewDocument(key, text) for key, text in zip(keys, TEXTS, strict=True))
    for number, topic in enumerate(topics, 1):
        if topic is not None:
            if store.codebook().find(topic) is None:
                store.add_topic(topic, "Kim")
            store.settle(number, [topic], "Kim")


# Import -------------------------------------------------------------------------------------------


def test_import_table_finds_documents_by_id_without_texts(
    store: LabelStore, tmp_path: Path
) -> None:
    add(store, [7, 8, 9, 10])
    path = tmp_path / "llm.csv"
    path.write_text("id,topic\n9,grain\n7,earn\n11,earn\n8,\n")
    report = import_table(store, path, "llm")
    assert report == ImportReport(3, 0, 2, 2, n_unknown=1)
    assert [[d.topics for d in each.decisions] for each in store.labels()] == [
        [("earn",)],
        [],
        [("grain",)],
        [],
    ]
    assert store.coders()[-1].kind == "imported"


def test_import_table_finds_documents_by_text(store: LabelStore, tmp_path: Path) -> None:
    add(store, None)
    path = tmp_path / "old.jsonl"
    rows = [("same", "a"), ("new", "b"), ("same", "c"), ("Zinc", "a")]
    path.write_text("".join(json.dumps({"text": t, "topic": x, "n": 1}) + "\n" for t, x in rows))
    report = import_table(store, path, "Lee", kind="person")
    assert report == ImportReport(4, 1, 4, 4)
    assert [each.answer for each in store.labels()] == [None, ("a",), ("c",), ("a",), ("b",)]
    document = store.document(5)
    assert (document.key, document.columns) == (document_keys(["new"])[0], {"n": 1})
    assert import_table(store, path, "Lee", kind="person").n_new_labels == 0


def test_import_table_leaves_rows_with_another_text_out(store: LabelStore, tmp_path: Path) -> None:
    add(store, [7, 8, 9, 10])
    path = tmp_path / "llm.csv"
    path.write_text("id,text,topic\n7,Wheat fell,grain\n10,Zinc,metal\n")
    report = import_table(store, path, "llm")
    assert report == ImportReport(2, 0, 1, 1, n_changed=1)


def test_import_table_stores_documents_of_the_users_file(store: LabelStore, tmp_path: Path) -> None:
    table = TextTable("a.csv", TEXTS, ids=[7, 8, 9, 10])
    path = tmp_path / "llm.csv"
    path.write_text("id,topic\n9,grain\n7,earn\n11,earn\n")
    assert import_table(store, path, "llm", user_file=table).n_unknown == 1
    assert [(each.document.key, each.document.text) for each in store.labels()] == [
        ("id 9", "same"),
        ("id 7", "Wheat rose"),
    ]


def test_import_table_reads_several_topics(store: LabelStore, tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("text,topic\nx,a;b\ny,b\n")
    import_table(store, path, "Lee", options=ReadOptions(topic_separator=";"))
    assert store.is_multilabel
    assert [each.decisions[0].topics for each in store.labels()] == [("a", "b"), ("b",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "id,text\n7,x\n",
            "{}: cannot tell which column contains the topic; name it with `topic`.",
        ),
        ("id,text,topic\n7,x,a,b\n", "{}, line 2: 4 cells instead of 3; fix them."),
        ("id,topic\n7,a\n,b\n", "{}, line 3: neither a text nor an id; correct the file."),
        ("id,topic\n7,a\n8,x\0y\n", "{}, line 3: a NUL character; delete NULs"),
    ],
)
def test_import_table_names_the_place_of_what_it_can_not_read(
    store: LabelStore, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    before = store.last_change()
    with pytest.raises(DataError) as caught:
        import_table(store, path, "llm")
    assert str(caught.value).startswith(message.format(path))
    assert store.last_change() == before


# Export -------------------------------------------------------------------------------------------


def test_export_table_writes_a_table_as_it_came_in(store: LabelStore, tmp_path: Path) -> None:
    add(store, [7, 8, 9, 10], "größer; als", None, "earn")
    source, output = tmp_path / "a.csv", tmp_path / "b.csv"
    lines = ["id;Betreff;text;n", "7;ä;Wheat rose;1", "8;;same;2", '9;"b;c";same;', "10;d;Zinc;4"]
    source.write_bytes("\r\n".join([*lines, ""]).encode("cp1252"))
    export = export_table(store, source, output)
    assert export == TableExportReport(4, 2, "topic")
    assert output.read_bytes().decode("cp1252").split("\r\n") == [
        "id;Betreff;text;n;topic",
        '7;ä;Wheat rose;1;"größer; als"',
        "8;;same;2;",
        '9;"b;c";same;;earn',
        "10;d;Zinc;4;",
        "",
    ]


def test_export_table_guards_topics_that_spreadsheets_read_as_formulas(
    store: LabelStore, tmp_path: Path
) -> None:
    add(store, [7, 8, 9, 10], "=1+1", None, "@a", "-3.5")
    source = tmp_path / "a.csv"
    source.write_text("id,text\n7,Wheat rose\n8,same\n9,same\n10,Zinc\n")
    export_table(store, source, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == (
        "id,text,topic\n7,Wheat rose,'=1+1\n8,same,\n9,same,'@a\n10,Zinc,-3.5\n"
    )
    export_table(store, source, tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())[0]["topic"] == "=1+1"


def test_export_table_fills_the_topic_column_of_the_source(
    store: LabelStore, tmp_path: Path
) -> None:
    add(store, None, None, "b", "c")
    source, output = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("queue,text,product\n,Zinc,p\n,same,q\nkept,Wheat rose,r\nold,same,s\n")
    assert export_table(store, source, output) == TableExportReport(4, 2, "queue")
    assert output.read_text() == (
        "queue,text,product\n,Zinc,p\nb,same,q\nkept,Wheat rose,r\nc,same,s\n"
    )


def test_export_table_overwrites_no_other_column(store: LabelStore, tmp_path: Path) -> None:
    add(store, None, "a")
    source, output = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("text,product\nWheat rose,p\n")
    export_table(store, source, output)
    assert output.read_text() == "text,product,topic\nWheat rose,p,a\n"


def test_export_table_keeps_json_values(store: LabelStore, tmp_path: Path) -> None:
    store.set_multilabel(True)
    add(store, None, "a", "b")
    rows = [{"text": text, "list": [1, {"a": None}], "n": 1.5} for text in TEXTS]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps(row, indent=None) + "\n" for row in rows))
    export_table(store, source, tmp_path / "b.jsonl")
    lines = [*map(json.loads, (tmp_path / "b.jsonl").read_text().splitlines())]
    assert lines == [{**rows[0], "topic": ["a"]}, {**rows[1], "topic": ["b"]}, *rows[2:]]
    export_table(store, source, tmp_path / "b.json", options=ReadOptions(topic="tags"))
    assert json.loads((tmp_path / "b.json").read_text())[0] == {**rows[0], "tags": ["a"]}
    export_table(store, source, tmp_path / "b.csv")
    assert load_corpus(tmp_path / "b.csv", topic_separator=";", text="text").topics == [
        ("a",),
        ("b",),
        (),
        (),
    ]


@pytest.mark.parametrize("header", [("text", "n"), ("text", "topic", "n")])
def test_export_table_keeps_an_excel_file(
    store: LabelStore, tmp_path: Path, header: tuple[str, ...]
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    add(store, None, "007", None, "c")
    book = openpyxl.Workbook()
    book.active.append(header)
    for text in TEXTS:
        book.active.append([text, *["" for _ in header[2:]], 5])
    source, output = tmp_path / "a.xlsx", tmp_path / "b.xlsx"
    book.save(source)
    export_table(store, source, output)
    rows = [dict(row.values) for row in read_rows(output)]
    assert [row.get("topic") or "" for row in rows] == ["007", "", "c", ""]
    assert [row["n"] for row in rows] == [5] * 4
    export_table(store, tmp_path / "b.xlsx", tmp_path / "c.csv")
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 5


PARQUET_COLUMNS = {
    "id": "n::BIGINT",
    "text": "texts[n - 6]",
    "Price": "(n / 3)::DECIMAL(9, 2)",
    "at": "TIMESTAMP '2026-01-02 03:04:05' + n * INTERVAL 1 DAY",
    "vector": "[n::FLOAT, 0.5]",
    "nested": "{'a': n, 'b': [n::VARCHAR, NULL]}",
    "uuid": "'6f1f0f2c-5d0a-4a3e-9a5e-736c7567736c'::UUID",
    "blob": "'\\xFF'::BLOB",
    'a "b", c': "NULLIF(n, 8)::UTINYINT",
}


def write_parquet_source(path: Path, **columns: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    values = {**PARQUET_COLUMNS, **columns}
    listed = ", ".join(f"{sql} AS {_quote(name)}" for name, sql in values.items())
    texts = ", ".join(f"'{text}'" for text in TEXTS)
    query = f"SELECT {listed} FROM range(7, 11) r(n), (SELECT [{texts}] AS texts)"  # noqa: S608
    duckdb.sql(query).write_parquet(str(path))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def read_parquet(path: Path) -> tuple[list[str], list[str], list[Any]]:
    """Return the names, types and rows of a file."""
    import duckdb

    relation = duckdb.read_parquet(str(path))
    return relation.columns, [*map(str, relation.types)], relation.fetchall()


def test_export_table_adds_topics_to_all_columns_of_parquet(
    store: LabelStore, tmp_path: Path
) -> None:
    write_parquet_source(tmp_path / "in'put*.parquet")
    add(store, [7, 8, 9, 10], "grain", None, "earn's")
    report = export_table(store, tmp_path / "in'put*.parquet", tmp_path / "out.parquet")
    assert report == TableExportReport(4, 2, "topic")
    names, types, rows = read_parquet(tmp_path / "out.parquet")
    write_parquet_source(tmp_path / "plain.parquet")
    old_names, old_types, old_rows = read_parquet(tmp_path / "plain.parquet")
    assert (names, types) == ([*old_names, "topic"], [*old_types, "VARCHAR"])
    assert [row[:-1] for row in rows] == old_rows
    assert [row[-1] for row in rows] == ["grain", None, "earn's", None]


@pytest.mark.parametrize(
    ("column", "is_multilabel", "expected"),
    [
        ("'q' || n", False, ["grain", "q8", "earn", "q10"]),
        ("['q' || n]", True, [["grain"], ["q8"], ["earn"], ["q10"]]),
    ],
    ids=["one topic", "lists"],
)
def test_export_table_fills_the_topic_column_of_parquet(
    store: LabelStore, tmp_path: Path, column: str, is_multilabel: bool, expected: list[Any]
) -> None:
    write_parquet_source(tmp_path / "in.parquet", queue=column)
    add(store, [7, 8, 9, 10], "grain", None, "earn")
    store.set_multilabel(is_multilabel)
    export_table(store, tmp_path / "in.parquet", tmp_path / "out.parquet")
    names, types, rows = read_parquet(tmp_path / "out.parquet")
    assert (names, types) == read_parquet(tmp_path / "in.parquet")[:2]
    assert [row[-1] for row in rows] == expected
    corpus = load_corpus(tmp_path / "out.parquet", text="text", topic="queue")
    assert corpus.topics[0] == (("grain",) if is_multilabel else "grain")


def test_export_table_writes_parquet_from_csv(store: LabelStore, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    (tmp_path / "in.csv").write_text("text,price\nWheat rose,1.50\n")
    add(store, None, "grain")
    export_table(store, tmp_path / "in.csv", tmp_path / "out.parquet")
    assert read_parquet(tmp_path / "out.parquet") == (
        ["text", "price", "topic"],
        ["VARCHAR"] * 3,
        [("Wheat rose", "1.50", "grain")],
    )


def test_export_table_says_which_topic_is_no_number(store: LabelStore, tmp_path: Path) -> None:
    write_parquet_source(tmp_path / "in.parquet", topic="n")
    add(store, [7, 8, 9, 10], "grain")
    with pytest.raises(DataError, match=r"a topic doesn't fit into its column .*'grain'"):
        export_table(store, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_export_table_writes_no_second_parquet_column_of_a_name(
    store: LabelStore, tmp_path: Path
) -> None:
    write_parquet_source(tmp_path / "in.parquet")
    add(store, [7, 8, 9, 10], "grain")
    with pytest.raises(DataError, match="columns 'Price' and 'price' are the same name in Parquet"):
        export_table(
            store,
            tmp_path / "in.parquet",
            tmp_path / "out.parquet",
            options=ReadOptions(topic="price"),
        )


def test_export_table_finds_rows_by_ids_that_are_written_in_another_way(
    store: LabelStore, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    items = [{"text": "a"}, {"text": "b", "id": 7.0}, {"text": "c", "id": " 8 "}]
    path.write_text("".join(json.dumps(item) + "\n" for item in items), "utf-8")
    table = TextTable.from_texts(str(path), read_texts(read_rows(path), "text"), SourceColumns())
    assert table.keys[1:] == ["id 7", "id 8"]
    for number in store.add_documents(map(table.document, range(3))):
        store.add_topic("grain", "Kim")
        store.settle(number, ["grain"], "Kim")
    report = export_table(store, path, tmp_path / "out.jsonl", options=ReadOptions(text="text"))
    assert report.n_labelled == 3


def test_export_table_says_which_topic_a_separator_splits(
    store: LabelStore, tmp_path: Path
) -> None:
    store.set_multilabel(True)
    add(store, None, "a;b")
    source = tmp_path / "a.csv"
    source.write_text("text,n\nWheat rose,1\n")
    with pytest.raises(DataError, match="topic 'a;b' contains the separator ';'"):
        export_table(store, source, tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()
