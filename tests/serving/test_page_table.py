"""Tables that are dropped on the page."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import signal
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from server import client, make_state, running
from slugline.classifier import load
from slugline.corpus.layout import Layout
from slugline.corpus.tables import table_file
from slugline.serving.requests import Limits

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
TICKETS = 'ticket_id,body,note\n7,"wheat, ""corn""\ncrop",=1+1\n8,goal,-3\n9,,\n'


@pytest.fixture
def page(news_slug: Path) -> Iterator[TestClient]:
    """Return a client of a server with a small limit on files."""
    state = make_state(news_slug, max_file=200_000)
    yield client(state)
    state.service.close()


def lines(
    page: TestClient, content: str | bytes, name: str = "a.csv", **query: Any
) -> list[dict[str, Any]]:
    found = page.post("/table/answers", content=content, params={"name": name, **query})
    assert found.status_code == 200, found.text
    return [json.loads(line) for line in found.text.splitlines()]


def problem(page: TestClient, content: str | bytes, **query: str) -> tuple[int, str]:
    found = page.post("/table/answers", content=content, params=query)
    return found.status_code, found.json()["detail"]


def test_table_answers_are_counted_by_the_metrics(page: TestClient) -> None:
    def counted() -> dict[str, float]:
        lines = [line.split() for line in page.get("/metrics").text.splitlines()]
        names = ("documents_total", "unsure_total", "confidence_total")
        return {parts[0]: float(parts[1]) for parts in lines if parts[0][9:] in names}

    assert set(counted().values()) == {0}
    lines(page, TICKETS)
    assert counted()["slugline_documents_total"] == 2
    assert 0 < counted()["slugline_confidence_total"] <= 2
    page.post("/table/file", content=TICKETS, params={"name": "a.csv"})
    assert counted()["slugline_documents_total"] == 4
    assert counted()["slugline_unsure_total"] == 0


def test_table_answers_shorten_a_long_text(page: TestClient) -> None:
    long = "wheat " * 4_000
    (_, batch, _) = lines(page, f"body\n{long}\n")
    assert batch["rows"][0][6] is None


def test_table_answers_are_in_the_order_of_rows(page: TestClient) -> None:
    head, *batches, end = lines(page, TICKETS)
    names = ["ticket_id", "body", "note"]
    assert head == {
        "columns": names,
        "text": ["body"],
        "encoding": None,
        "separator": ",",
        "sheet": "",
        "unit": "line",
        "head": [["7", 'wheat, "corn" crop', "=1+1"], ["8", "goal", "-3"], ["9", "", ""]],
    }
    rows = [row for batch in batches for row in batch["rows"]]
    assert [(row[0], row[1], row[4], row[5]) for row in rows] == [
        (2, "grain", 'wheat, "corn" crop', None),
        (4, "sport", "goal", None),
        (5, None, "9", "no text in column 'body'"),
    ]
    assert batches[-1]["read"] == 1
    # What is shown on one line is explained and corrected as it stands.
    assert [row[6:] for row in rows] == [['wheat, "corn"\ncrop'], ["goal"], []]
    assert end == {"n_rows": 3}


def test_table_file_keeps_the_dialect_of_the_upload(page: TestClient) -> None:
    content = 'Nr;Nachricht\r\n07;"Währung; wheat"\r\n'.encode("cp1252")
    found = page.post("/table/file", content=content, params={"name": "a.csv"})
    assert found.headers["content-type"] == "text/csv; charset=cp1252"
    header, row, end = found.content.decode("cp1252").split("\r\n")
    assert header == "Nr;Nachricht;topic;probability;error"
    assert row.startswith('07;"Währung; wheat";grain;')
    assert end == ""


def test_table_answers_equal_those_of_the_library(
    page: TestClient, news_slug: Path, texts: list[str]
) -> None:
    from slugline import load

    content = "text\n" + "\n".join(texts * 10)
    rows = [row for line in lines(page, content)[1:-1] for row in line["rows"]]
    assert [row[1] for row in rows] == load(news_slug).predict(texts * 10).tolist()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", b"body\tid\nwheat\t1\n"),
        ("a.jsonl", b'{"body": "wheat", "id": 1}\n'),
        ("a.json", b'[{"body": "wheat", "id": 1}]'),
        ("a.csv.gz", gzip.compress(b"id,body\n1,wheat\n", mtime=0)),
        ("A.TXT", b"wheat\n"),
        ("../a\\b.csv", b"id,body\n1,wheat\n"),
    ],
)
def test_table_answers_read_files_of_many_formats(
    page: TestClient, name: str, content: bytes
) -> None:
    _, batch, _ = lines(page, content, name)
    assert batch["rows"][0][1] == "grain"


def test_table_answers_join_several_text_columns(page: TestClient) -> None:
    content = "a,b,c\nwheat,corn,x\ngoal,,x\n"
    head, batch, _ = lines(page, content, text=["a", "b"])
    assert head["text"] == ["a", "b"]
    assert [row[4] for row in batch["rows"]] == ["wheat corn", "goal"]


def test_table_answers_use_columns_and_encoding_of_the_training_data(
    news_slug: Path, tmp_path: Path
) -> None:
    classifier = load(news_slug)
    layout = Layout(("a", "b"), "topic", "cp1250")
    classifier.fitted_ = replace(classifier.fitted_, layout=layout)
    classifier.save(tmp_path / "a.slug")
    state = make_state(tmp_path / "a.slug")
    head, batch, _ = lines(client(state), "a,b,text\nwheat,\xb3\xf3d\x9f,x\n".encode("latin-1"))
    state.service.close()
    assert (head["text"], head["encoding"]) == (["a", "b"], "cp1250")
    assert batch["rows"][0][4] == "wheat łódź"


def test_table_answers_ask_for_an_unknown_text_column(page: TestClient) -> None:
    content = "one,two,three\nwheat,7,corn\n"
    (asked,) = lines(page, content)
    assert (asked["columns"], asked["text"]) == (["one", "two", "three"], None)
    assert asked["head"] == [["wheat", "7", "corn"]]
    head, batch, _ = lines(page, content, text="three")
    assert head["text"] == ["three"]
    assert batch["rows"][0][4] == "corn"
    file = page.post("/table/file", content=content, params={"name": "a.csv"})
    assert (file.status_code, file.json()["detail"]) == (
        422,
        "a.csv: cannot tell which column contains the text; name it with `text`.",
    )


def test_table_answers_detect_encodings_other_than_utf8(page: TestClient) -> None:
    head, batch, _ = lines(page, b"id,body\n1,wheat f\xfcr K\xf6ln\n" * 3, "a.csv")
    assert head["encoding"] == "cp1252"
    assert batch["rows"][0][4] == "wheat für Köln"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"name": "a.doc"}, "a.doc is in an unknown format; use a name that ends in one of "),
        ({}, "add the file's `name` to the query, with at most 200 characters."),
        ({"name": "x" * 201}, "add the file's `name` to the query, with at most 200 characters."),
        ({"name": "a.csv", "text": "boddy"}, "a.csv has no column 'boddy'; found 'ticket_id', "),
        ({"name": "a.parquet"}, "a.parquet"),
    ],
    ids=["format", "no name", "long name", "column", "damaged"],
)
def test_table_answers_reject_unreadable_files(
    page: TestClient, query: dict[str, str], said: str
) -> None:
    status, detail = problem(page, TICKETS, **query)
    assert status == 422
    assert detail.startswith(said)
    assert "tmp" not in detail


def test_table_answers_take_an_encoding_and_a_separator(page: TestClient) -> None:
    content = "Nr~text\n1~Weizen für Köln, prompt\n".encode("cp850")

    head, batch, _ = lines(page, content, encoding="cp850", separator="~")

    assert (head["encoding"], head["separator"], head["columns"]) == ("cp850", "~", ["Nr", "text"])
    assert head["head"] == [["1", "Weizen für Köln, prompt"]]
    assert batch["rows"][0][4] == "Weizen für Köln, prompt"
    params = {"name": "a.csv", "encoding": "cp850", "separator": "~"}
    written = page.post("/table/file", content=content, params=params)
    assert written.content.decode("cp850").startswith("Nr~text~topic~")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"encoding": "klingon"}, "`encoding` is 'klingon', which is not a Python en"),
        ({"separator": "ab"}, "`separator` is 'ab'; give the character between the cells"),
        ({"encoding": "cp1252"}, "a.csv is UTF-8, but `encoding` is cp1252; choose “as"),
    ],
)
def test_table_answers_reject_invalid_encodings_and_separators(
    page: TestClient, query: dict[str, str], said: str
) -> None:
    status, detail = problem(page, "text\nÄpfel für Köln\n", name="a.csv", **query)

    assert (status, detail[: len(said)]) == (422, said)


def test_table_of_one_column_has_no_separator(page: TestClient) -> None:
    head, batch, _ = lines(page, b"text\nwheat, corn; crop\n")

    assert (head["separator"], head["head"]) == ("one column", [["wheat, corn; crop"]])
    assert batch["rows"][0][4] == "wheat, corn; crop"


def test_table_answers_show_the_cells_of_bad_rows(page: TestClient) -> None:
    _, batch, _ = lines(page, b"id,text\n7,wheat,corn\n")

    assert batch["rows"] == [[2, None, None, None, "7 · wheat,corn", "3 cells instead of 2"]]


def test_table_that_is_too_large_is_rejected(page: TestClient) -> None:
    status, detail = problem(page, b"x" * 200_001, name="a.csv")
    assert (status, detail.partition(";")[0]) == (413, "the body is larger than 200,000 bytes")


def test_table_answers_end_with_an_error_where_a_file_breaks_off(page: TestClient) -> None:
    rows = b"".join(b"%d,%b\n" % (n, b"wheat " * 60) for n in range(5000))
    whole = gzip.compress("id,body\n0,maïs\n".encode() + rows)
    *_, last = lines(page, whole[:-9], "a.csv.gz")
    assert last["error"].startswith("a.csv.gz is truncated")


def test_table_answers_end_with_an_error_after_too_many_rows(news_slug: Path) -> None:
    state = make_state(news_slug)
    state.service.limits = Limits(rows=300)
    *batches, last = lines(client(state), "wheat\n" * 600, "a.txt")[1:]
    state.service.close()
    assert sum(len(batch["rows"]) for batch in batches) == 512
    assert last == {
        "error": "a.txt has more than 300 rows; the rest is not answered here. Use "
        "`slugline predict`."
    }


def test_table_file_keeps_the_columns_of_the_upload(page: TestClient) -> None:
    found = page.post("/table/file", content=TICKETS, params={"name": "my tickets.csv"})
    assert found.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''my%20tickets-topics.csv"
    )
    header, *rows = csv.reader(io.StringIO(found.text), strict=True)
    assert header == ["ticket_id", "body", "note", "topic", "probability", "error"]
    assert [row[:4] for row in rows] == [
        ["7", 'wheat, "corn"\ncrop', "=1+1", "grain"],
        ["8", "goal", "-3", "sport"],
        ["9", "", "", ""],
    ]
    assert rows[2][5] == "line 5: no text in column 'body'"


def test_table_file_is_excel_for_an_excel_upload(page: TestClient) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    content = table_file(
        [("nr", "body"), ("=1+1", "wheat corn crop"), (8, "goal"), (9, None)], None
    )
    found = page.post("/table/file", content=content, params={"name": "My Tickets.XLSX"})
    assert found.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''My%20Tickets-topics.xlsx"
    )
    assert found.headers["content-type"] == (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    )
    sheet = openpyxl.load_workbook(io.BytesIO(found.content)).active
    header, *rows = sheet.iter_rows(values_only=True)
    assert header == ("nr", "body", "topic", "probability", "error")
    assert [row[:3] for row in rows] == [
        ("=1+1", "wheat corn crop", "grain"),
        (8, "goal", "sport"),
        (9, None, None),
    ]
    assert [sheet["A2"].data_type, type(rows[0][3]), rows[0][4]] == ["s", float, None]
    assert rows[2][4] == "row 4: no text in column 'body'"


def test_table_in_old_excel_format_is_rejected_with_advice(page: TestClient) -> None:
    assert problem(page, bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500), name="Alt.XLS") == (
        422,
        "Alt.XLS is a spreadsheet in an unsupported format; open it in Excel or "
        "LibreOffice, and "
        "save it as .xlsx.",
    )


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_table_file_equals_that_of_the_command_line(
    page: TestClient, run: Run, tmp_path: Path, ending: str
) -> None:
    rows = list(csv.reader(io.StringIO(TICKETS)))
    content = (
        table_file(rows, None) if ending == ".xlsx" else TICKETS.replace(",", ";").encode("cp1252")
    )
    (tmp_path / f"in{ending}").write_bytes(content)

    found = page.post("/table/file", content=content, params={"name": f"in{ending}"})
    run("predict", "news.slug", f"in{ending}", "-q", "-o", f"out{ending}")

    ours = (tmp_path / f"out{ending}").read_bytes()
    if ending == ".csv":
        assert found.content == ours
        return
    theirs, written = (zipfile.ZipFile(io.BytesIO(data)) for data in (found.content, ours))
    assert theirs.namelist() == written.namelist()
    assert all(theirs.read(name) == written.read(name) for name in written.namelist())


def test_table_leaves_no_temporary_file(
    page: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines(page, TICKETS)
    problem(page, TICKETS, name="a.doc")
    problem(page, b"x" * 200_001, name="a.csv")
    assert [path for path in tmp_path.iterdir() if path.suffix != ".slug"] == []


def endless_table() -> bytes:
    """Return a packed table of one good row, and a hundred million that can't be read."""
    pieces = zlib.compressobj(wbits=31)
    first = pieces.compress(b"id,body\n1,wheat\n") + pieces.flush(zlib.Z_FULL_FLUSH)
    # Nothing in it refers to what comes before, so that it can be repeated.
    million = pieces.compress(b"1\n" * 1_000_000) + pieces.flush(zlib.Z_FULL_FLUSH)
    return first + million * 100 + pieces.flush()


def test_server_ends_while_it_reads_an_endless_table() -> None:
    with running("--grace", "0") as url, httpx.Client(base_url=url, timeout=120) as browser:
        params, content = {"name": "a.csv.gz"}, endless_table()
        with browser.stream("POST", "/table/answers", params=params, content=content) as found:
            received = found.iter_lines()
            assert json.loads(next(received))["text"] == ["body"]
            os.kill(url.pid, signal.SIGTERM)
            with contextlib.suppress(httpx.HTTPError):
                assert not any('"n_rows"' in line for line in received)


def test_table_is_abandoned_when_the_client_leaves() -> None:
    with running("--threads", "1") as url, httpx.Client(base_url=url, timeout=120) as browser:
        params, content = {"name": "a.csv.gz"}, endless_table()
        for _ in range(17):  # one more than are answered at a time
            with browser.stream("POST", "/table/answers", params=params, content=content) as found:
                assert json.loads(next(found.iter_lines()))["text"] == ["body"]
        found = browser.post("/table/answers", params={"name": "a.csv"}, content=TICKETS)
        assert json.loads(found.text.splitlines()[-1]) == {"n_rows": 3}


def test_table_answers_name_the_sheet_behind_a_cover(news_slug: Path, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "told.slug"
    classifier = load(news_slug)
    classifier.fitted_ = replace(classifier.fitted_, layout=Layout(("Wortlaut",), "topic"))
    classifier.save(path)
    book = openpyxl.Workbook()
    book.active.append(["Stand", "2026-11-29"])
    for row in (["Nr", "Wortlaut"], [1, "wheat corn"]):
        (book["Mails"] if "Mails" in book else book.create_sheet("Mails")).append(row)
    content = io.BytesIO()
    book.save(content)
    state = make_state(path)
    head, batch, _ = lines(client(state), content.getvalue(), "a.xlsx")
    state.service.close()
    assert head["sheet"] == "read sheet 'Mails' of 2, which has column 'Wortlaut'"
    assert (head["text"], batch["rows"][0][1]) == (["Wortlaut"], "grain")
