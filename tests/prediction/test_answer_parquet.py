"""Answers as Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import load
from slugline.corpus.parquet import ParquetTable
from slugline.corpus.readers import read_rows
from slugline.model.decider import Decider
from slugline.prediction.answers import AnswerColumns
from slugline.prediction.files import AnswerFile
from slugline.prediction.rows import predict_rows

duckdb = pytest.importorskip("duckdb")

Run = Callable[..., Any]


def types_of(path: str) -> dict[str, str]:
    described = duckdb.execute(f"DESCRIBE FROM '{path}'").fetchall()
    return {name: kind for name, kind, *_ in described}


def rows_of(path: str) -> list[tuple[Any, ...]]:
    return list(duckdb.execute(f"FROM '{path}'").fetchall())


@pytest.fixture(autouse=True)
def _model(news_slug: Path) -> None:
    """Have a model called news.slug in the folder."""


def test_parquet_answers_keep_all_input_columns(run: Run) -> None:
    duckdb.execute(
        "COPY (SELECT i AS id, 'wheat ' || i AS text, [i, i] AS vector, {'a': i} AS struct, "
        "'x'::BLOB AS bytes, 1.50::DECIMAL(5, 2) AS price, DATE '2020-01-01' AS day, "
        "'old' AS Topic FROM range(5000) r(i)) TO 'in.parquet' (FORMAT parquet)"
    )
    assert run("predict", "news.slug", "in.parquet", "-q", "-o", "out.parquet").code == 0

    given = types_of("in.parquet")
    rows = {"predicted_topic": "VARCHAR", "probability": "DOUBLE", "error": "VARCHAR"}
    assert types_of("out.parquet") == given | rows
    found = rows_of("out.parquet")
    assert [row[: len(given)] for row in found] == rows_of("in.parquet")
    assert {row[len(given)] for row in found} == {"grain"}


@pytest.mark.usefixtures("run")
def test_parquet_answers_do_not_copy_input_columns_through_json(
    write_parquet: Callable[..., None],
) -> None:
    write_parquet("in.parquet", {"text": ("VARCHAR", ["wheat", "goal"])})
    decider, lines = Decider.from_fitted(load("news.slug").fitted_), io.BytesIO()
    rows = read_rows("in.parquet")
    columns = AnswerColumns(["topic", "probability"])
    table = ParquetTable(Path("out.parquet"), lines, Path("in.parquet"))
    answers = AnswerFile(table, rows, {"": columns})
    for batch in predict_rows({"": decider}, rows):
        answers.write(batch)
    assert lines.getvalue().count(b"grain") == 1
    assert b"goal" not in lines.getvalue()


def test_parquet_answers_keep_the_place_of_bad_rows(
    run: Run, write_parquet: Callable[..., None]
) -> None:
    write_parquet("in.parquet", {"text": ("VARCHAR", ["wheat", None, "a\0b", "goal"])})

    assert run("predict", "news.slug", "in.parquet", "-q", "-o", "out.parquet").code == 1

    assert [(row[0], row[1], row[3]) for row in rows_of("out.parquet")] == [
        ("wheat", "grain", None),
        (None, None, "row 2: no text in column 'text'"),
        ("a\0b", None, "row 3: a NUL character"),
        ("goal", "sport", None),
    ]


def test_parquet_answers_keep_csv_cells_as_text(run: Run) -> None:
    Path("in.csv").write_text("id,text,when\n007,wheat,2020-01-01\n1,goal,\n")

    assert run("predict", "news.slug", "in.csv", "-q", "-o", "out.parquet").code == 0

    assert {*types_of("out.parquet").values()} == {"VARCHAR", "DOUBLE"}
    assert [row[:4] for row in rows_of("out.parquet")] == [
        ("007", "wheat", "2020-01-01", "grain"),
        ("1", "goal", "", "sport"),
    ]


def test_parquet_answers_infer_column_types_from_json(run: Run) -> None:
    lines: list[dict[str, Any]] = [
        {"text": "wheat", "n": 1, "x": 1, "yes": True, "odd": 1, "list": [1, "a"]},
        {"text": "goal", "n": None, "x": 0.5, "odd": "b", "big": 2**70, "late": {"a": 1}},
    ]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, lines)))

    assert run("predict", "news.slug", "in.jsonl", "-q", "-o", "out.parquet").code == 0

    kinds = {"text": "VARCHAR", "n": "BIGINT", "x": "DOUBLE", "yes": "BOOLEAN", "odd": "VARCHAR"}
    kinds |= {"list": "VARCHAR", "topic": "VARCHAR", "probability": "DOUBLE", "error": "VARCHAR"}
    found = types_of("out.parquet")
    assert {name: found[name] for name in kinds} == kinds
    first, second = (dict(zip(found, row, strict=True)) for row in rows_of("out.parquet"))
    assert (first["odd"], first["list"], second["odd"]) == ("1", '[1,"a"]', "b")
    assert second["big"] == str(2**70)


def test_parquet_answers_have_all_columns_without_rows(run: Run) -> None:
    duckdb.execute(
        "COPY (SELECT [1]::INTEGER[] AS n, '' AS text WHERE false) TO 'in.parquet' (FORMAT parquet)"
    )

    assert run("predict", "news.slug", "in.parquet", "-q", "-o", "out.parquet").code == 0

    assert types_of("out.parquet") == {
        "n": "INTEGER[]",
        "text": "VARCHAR",
        "topic": "VARCHAR",
        "probability": "DOUBLE",
        "error": "VARCHAR",
    }


def test_parquet_answers_reject_columns_that_differ_in_case(run: Run) -> None:
    Path("in.csv").write_text("text,n,N\nwheat,1,2\n")

    code, _, err = run("predict", "news.slug", "in.csv", "-q", "-o", "out.parquet")

    assert (code, err) == (
        1,
        "slugline: error: columns 'n' and 'N' are the same name in Parquet; rename one, or write "
        "CSV or JSON lines.\n",
    )
    assert not Path("out.parquet").exists()


def test_parquet_answers_quote_odd_column_names(run: Run) -> None:
    folder = Path("it's [a] *")
    folder.mkdir()
    Path("in.csv").write_text('text,"a\'""b; --"\nwheat,1\n')

    run("predict", "news.slug", "in.csv", "-q", "-o", folder / "out.parquet")

    assert [path.name for path in folder.iterdir()] == ["out.parquet"]
    Path("out.parquet").write_bytes((folder / "out.parquet").read_bytes())
    assert [*types_of("out.parquet")][:2] == ["text", "a'\"b; --"]


def test_parquet_answers_reject_a_file_that_changes(
    run: Run, write_parquet: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from slugline.prediction import rows

    write_parquet("in.parquet", {"text": ("VARCHAR", ["wheat"])})

    predict_batch = rows.predict_batch

    def change(*arguments: Any, **options: Any) -> Any:
        write_parquet("in.parquet", {"text": ("VARCHAR", ["goal", "cup"])})
        return predict_batch(*arguments, **options)

    monkeypatch.setattr(rows, "predict_batch", change)
    code, _, err = run("predict", "news.slug", "in.parquet", "-q", "-o", "out.parquet")

    assert (code, err) == (
        1,
        "slugline: error: in.parquet was changed while it was read; try again.\n",
    )
    assert not Path("out.parquet").exists()
