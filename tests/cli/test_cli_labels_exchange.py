"""`slugline labels import` and `export`: labels of other tools come in, and go out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.labels.store import LabelStore

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
IMPORT = ("labels", "import", "l.db")
EXPORT = ("labels", "export", "l.db")
TEXTS = ("--texts", "t.csv")


def _task(number: int, text: str, topic: str) -> dict[str, Any]:
    result = {"type": "choices", "from_name": "topic", "value": {"choices": [topic]}}
    annotations = [{"result": [result], "completed_by": "kim@example.org"}]
    return {"id": number, "data": {"text": text}, "annotations": annotations}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> None:
    """Have texts, an export of Label Studio, and answers of a model in the folder."""
    (tmp_path / "t.csv").write_text("id,body,price\n7,Wheat rose,1\n8,same,2\n9,same,3\n")
    items = [_task(5, "same", "a"), _task(6, "Wheat rose", "b")]
    (tmp_path / "tasks.json").write_text(json.dumps(items))
    (tmp_path / "llm.csv").write_text("id,topic\n7,x\n9,y\n10,z\n")


def test_labels_are_imported_and_exported(run: Run, tmp_path: Path) -> None:
    assert run(*IMPORT, "tasks.json", *TEXTS).err.splitlines() == [
        "t.csv: read column 'body' as text; choose another with --text",
        "tasks.json: 2 labels, 2 of them new; 2 new documents",
    ]
    assert run(*IMPORT, "llm.csv", "--coder", "llm", "--compare", "-q").err == ""
    assert run(*EXPORT, "out.csv").err.splitlines()[-1] == (
        "out.csv: 3 rows, 2 with a topic in column 'topic'"
    )
    assert (tmp_path / "out.csv").read_text() == (
        "id,body,price,topic\n7,Wheat rose,1,b\n8,same,2,a\n9,same,3,\n"
    )
    with LabelStore(tmp_path / "l.db") as store:
        kinds = {coder.name: coder.kind for coder in store.coders()}
        assert kinds["kim@example.org"] == "person"
        assert kinds["llm"] == "imported"


def test_import_reports_unknown_ids(run: Run) -> None:
    result = run(*IMPORT, "llm.csv", "--coder", "llm", "--compare", *TEXTS)
    assert result.err.splitlines()[-1] == (
        "llm.csv: 2 labels, 2 of them new; 2 new documents; left out: 1 row with an unknown id"
    )


def test_export_for_label_studio_is_imported_again(run: Run, tmp_path: Path) -> None:
    run(*IMPORT, "tasks.json", *TEXTS)
    assert run(*EXPORT, "p.json", "--for", "label-studio").code == 0
    tasks = json.loads((tmp_path / "p.json").read_text())
    assert [(task["data"]["text"], task["id"]) for task in tasks] == [
        ("same", 8),
        ("Wheat rose", 7),
    ]
    assert run("labels", "import", "other.db", "p.json", *TEXTS).code == 0
    with LabelStore(tmp_path / "other.db") as one, LabelStore(tmp_path / "l.db") as two:
        assert [each.answer for each in one.labels()] == [each.answer for each in two.labels()]


def test_export_writes_the_codebook(run: Run, tmp_path: Path) -> None:
    with LabelStore(tmp_path / "l.db") as store:
        store.add_coder("Kim")
        store.add_topic("a", "Kim", description="About a")
        store.add_topic("b", "Kim")
    assert run(*EXPORT, "c.csv", "--codebook").err == "c.csv: 2 topics\n"
    assert (tmp_path / "c.csv").read_text("utf-8-sig").splitlines() == [
        "name,description",
        "a,About a",
        "b,",
    ]
    result = run(*EXPORT, "c.xml", "--codebook", "--for", "label-studio")
    assert result.err == "c.xml: 2 topics\n"
    assert '<Choice value="a" hint="About a" />' in (tmp_path / "c.xml").read_text("utf-8")


def test_imported_table_has_labels_of_the_coder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,topic,other\nWheat rose,grain,x\n")
    assert run(*IMPORT, "mine.csv", *TEXTS, "--coder", "Kim", "--topic", "topic").code == 0
    with LabelStore(tmp_path / "l.db") as store:
        [labels] = store.labels()
        assert labels.decisions[0].assignment.coder.name == "Kim"
        assert (labels.document.key, labels.answer) == ("id 7", ("grain",))


def test_texts_are_imported_with_the_topic_column_that_is_stored(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("body,about\nWheat rose,grain\nZinc,\n")
    run(*IMPORT, "t.csv", *TEXTS, "--text", "body", "--topic", "about")
    assert run(*IMPORT, "../" + tmp_path.name + "/t.csv").code == 0
    with LabelStore(tmp_path / "l.db") as store:
        assert [each.answer for each in store.labels()] == [("grain",)]
    run(*EXPORT, "out.csv")
    assert (tmp_path / "out.csv").read_text() == "body,about\nWheat rose,grain\nZinc,\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*EXPORT, "t.csv", *TEXTS), "FILE t.csv: would overwrite an input file; choose another"),
        ((*EXPORT, "l.db"), "FILE l.db: would overwrite an input file; choose another one."),
        ((*EXPORT, "o.json", "--for", "excel"), "--for excel: unknown tool. Use label-studio, or "),
        ((*IMPORT, "llm.csv", "--compare"), "--compare requires --coder NAME."),
        ((*IMPORT, "llm.csv"), "l.db is new; pass the file of its texts with --texts."),
    ],
)
def test_labels_rejects_invalid_files(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert result.err.startswith(f"slugline: error: {message}")
    assert not (tmp_path / "l.db").exists()


def test_label_rejects_a_settler_without_a_token(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("anna 0123456789abcdef\nben fedcba9876543210\n")
    ran = run("label", "t.csv", "-o", "l.db", "--token-file", "tokens", "--settler", "ana")
    assert ran.code == 2
    assert "--settler has 'ana', who is not a coder; choose from anna and ben." in ran.err
    assert not (tmp_path / "l.db").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--topic", "topic"), "--topic is 'topic', but t.csv has the columns ['nr']"),
        (("--topic", "nr", "--coder", " "), "is blank; pass a coder name."),
    ],
)
def test_import_leaves_no_file_of_labels_behind_if_it_fails(
    run: Run, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "t.csv").write_text("text,nr\nWheat rose,1\nZinc,2\n")
    ran = run(*IMPORT, "t.csv", *TEXTS, *options)
    assert (ran.code != 0, [*tmp_path.glob("l.db*")]) == (True, []), ran.err
    assert message in ran.err, ran.err
