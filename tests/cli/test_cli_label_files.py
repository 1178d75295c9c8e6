"""`slugline label` with files: labels of other tools come in, and go out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.labels.store import LabelStore

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
COMMAND = ("label", "t.csv", "-o", "l.db", "--coder", "Kim", "-q")


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


def test_label_imports_and_exports_labels(run: Run, tmp_path: Path) -> None:
    files = ("--import", "tasks.json", "--import-coder", "llm=llm.csv", "--export", "out.csv")
    assert run(*COMMAND[:-1], *files).err.splitlines() == [
        "t.csv: read column 'body' as text; choose another with --text",
        "tasks.json: 2 labels, 2 of them new; 2 new documents",
        "llm.csv: 2 labels, 2 of them new; 1 new document; left out: 1 row with an unknown id",
        "out.csv: 3 rows, 2 with a topic in column 'topic'",
    ]
    assert (tmp_path / "out.csv").read_text() == (
        "id,body,price,topic\n7,Wheat rose,1,b\n8,same,2,a\n9,same,3,\n"
    )
    with LabelStore(tmp_path / "l.db") as store:
        assert [(coder.name, coder.kind) for coder in store.coders()] == [
            ("Kim", "person"),
            ("kim@example.org", "person"),
            ("llm", "imported"),
        ]


def test_label_exports_for_label_studio_and_imports_that_again(run: Run, tmp_path: Path) -> None:
    run(*COMMAND, "--import", "tasks.json")
    assert run(*COMMAND, "--export", "p.json", "--export-for", "label-studio").code == 0
    tasks = json.loads((tmp_path / "p.json").read_text())
    assert [(task["data"]["text"], task["id"]) for task in tasks] == [
        ("same", 8),
        ("Wheat rose", 7),
    ]
    other = ("label", "t.csv", "-o", "other.db", "--coder", "Kim", "-q")
    assert run(*other, "--import", "p.json").code == 0
    with LabelStore(tmp_path / "other.db") as one, LabelStore(tmp_path / "l.db") as two:
        assert [each.answer for each in one.labels()] == [each.answer for each in two.labels()]


def test_label_exports_the_codebook_which_topics_are_read_from(run: Run, tmp_path: Path) -> None:
    (tmp_path / "topics.csv").write_text("name,description\na,About a\nb,\n")
    command = COMMAND[:-1]
    assert run(*command, "--topics", "topics.csv", "--export-codebook", "c.csv").err.endswith(
        "c.csv: 2 topics\n"
    )
    assert (tmp_path / "c.csv").read_text("utf-8-sig").splitlines() == [
        "name,description",
        "a,About a",
        "b,",
    ]
    result = run(*command, "--export-codebook", "c.xml", "--export-for", "label-studio")
    assert result.err.endswith("c.xml: 2 topics\n")
    assert '<Choice value="a" hint="About a" />' in (tmp_path / "c.xml").read_text("utf-8")


def test_label_imports_a_table_as_labels_of_the_coder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,topic\nWheat rose,grain\n")
    assert run(*COMMAND, "--import", "mine.csv").code == 0
    with LabelStore(tmp_path / "l.db") as store:
        [labels] = store.labels()
        assert labels.decisions[0].assignment.coder.name == "Kim"
        assert (labels.document.key, labels.answer) == ("id 7", ("grain",))


def test_label_imports_the_topics_of_the_texts_from_the_column_that_it_remembers(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("id,body,kind\n7,Wheat rose,a\n8,same,b\n")
    run(*COMMAND, "--topic", "kind", "--export", "out.csv")
    assert run(*COMMAND, "--import", "../" + tmp_path.name + "/t.csv").code == 0
    with LabelStore(tmp_path / "l.db") as store:
        assert [each.answer for each in store.labels()] == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--export", "t.csv"),
            "--export t.csv: would overwrite an input file; choose another one.",
        ),
        (
            ("--export-for", "label-studio"),
            "--export-for requires --export FILE or --export-codebook FILE.",
        ),
        (
            ("--export", "o.json", "--export-for", "excel"),
            "--export-for excel: unknown tool. Use label-studio, or omit the option to write a "
            "file like t.csv.",
        ),
        (
            ("--import-coder", "llm.csv"),
            "--import-coder llm.csv: write a name and a file, such as llm=predictions.csv.",
        ),
    ],
)
def test_label_rejects_invalid_files(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run(*COMMAND, *arguments)
    assert (result.code, result.err) == (2, f"slugline: error: {message}\n")
    assert not (tmp_path / "l.db").exists()


def test_label_imports_the_topic_column_of_the_texts_that_is_named(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("body,about\nWheat rose,grain\nZinc,\n")
    command = (*COMMAND, "--text", "body")
    run(*command, "--topic", "about", "--import", "t.csv")
    with LabelStore(tmp_path / "l.db") as store:
        assert [each.answer for each in store.labels()] == [("grain",)]
    run(*command, "--export", "out.csv")  # the name of the column is stored
    assert (tmp_path / "out.csv").read_text() == "body,about\nWheat rose,grain\nZinc,\n"


def test_label_rejects_a_settler_without_a_token(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("anna 0123456789abcdef\nben fedcba9876543210\n")
    ran = run("label", "t.csv", "-o", "l.db", "--token-file", "tokens", "--settler", "ana")
    assert ran.code == 2
    assert "--settler has 'ana', who is not a coder; choose from anna and ben." in ran.err
    assert not (tmp_path / "l.db").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--import", "t.csv"), "t.csv has no column 'topic'"),
        (("--coder", " ", "--export", "out.csv"), "is blank; pass a coder name."),
    ],
)
def test_label_leaves_no_file_of_labels_behind_if_it_fails(
    run: Run, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "t.csv").write_text("text,nr\nWheat rose,1\nZinc,2\n")
    ran = run("label", "t.csv", "-o", "l.db", *options)
    assert (ran.code != 0, [*tmp_path.glob("l.db*")]) == (True, []), ran.err
    assert message in ran.err, ran.err
