"""A model is told once how files are read, and later files of that kind need no options."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from model_entries import JSON, unzip
from server import client, make_state
from slugline import TopicClassifier, load, load_corpus
from slugline.cli.train import train
from slugline.cli.train_options import RULES
from slugline.corpus.layout import Layout, TopicForm
from slugline.errors import ModelFileError
from slugline.labels.store import LabelStore
from slugline.model.file import container
from slugline.model.file.schema import ModelInfo

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

WORDS = {
    "Rückgabe": ["zurückschicken", "Umtausch", "Größe", "passt", "Etikett", "Rücksendung"],
    "Zahlung": ["Rechnung", "Überweisung", "Betrag", "Mahnung", "Gebühr", "Währung"],
}
OPTIONS = ("--text", "Überschrift,Mitteilung", "--topic", "Bereich")
NOTE = (
    "read column 'Überschrift' with 'Mitteilung' as text{} as in the model's training data; "
    "choose {} with --text{}"
)
LABELLED = NOTE.format(" and 'Bereich' as topic,", "others", " and --topic")


def write_tickets(name: str, n: int, seed: int, encoding: str = "cp1252") -> None:
    """Write a table as a German spreadsheet does: Windows-1252, semicolons, two columns of text."""
    rng = random.Random(seed)
    with Path(name).open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Nr", "Überschrift", "Mitteilung", "Bereich"])
        for number in range(n):
            topic = [*WORDS][number % 2]
            words = rng.sample(WORDS[topic], 4)
            writer.writerow([f"00{number}", words[0], " ".join(words[1:]) + "; bitte", topic])


@pytest.fixture
def tickets(run: Run) -> Run:
    """Return `run` where a model of tickets is called m.slug."""
    write_tickets("t.csv", 60, 0)
    assert run("train", "t.csv", *OPTIONS, "-o", "m.slug", "-q").code == 0
    write_tickets("neu.csv", 8, 1)
    return run


def test_notes_on_encoding_and_header_name_flags(run: Run) -> None:
    write_tickets("t.csv", 60, 0)
    Path("t.csv").write_bytes(b"Export;;;\n" + Path("t.csv").read_bytes())
    trained = run("train", "t.csv", *OPTIONS, "-o", "m.slug")
    assert trained.code == 0
    note = "reading it as cp1252; choose another with --encoding; read the header in line 2"
    assert note in trained.err


def test_layout_is_used_by_predict_audit_and_the_page(tickets: Run) -> None:
    run = tickets
    predicted = run("predict", "m.slug", "neu.csv", "-o", "antworten.csv")
    assert predicted.code == 0
    assert "neu.csv: not UTF-8; reading it as cp1252" in predicted.err
    assert NOTE.format(",", "another", "") in predicted.err
    lines = Path("antworten.csv").read_bytes().decode("cp1252").split("\r\n")
    header, *rows = csv.reader(lines[:-1], delimiter=";")
    given = ["Nr", "Überschrift", "Mitteilung", "Bereich"]
    assert header == [*given, "topic", "probability", "error"]
    assert [row[4] for row in rows] == [row[3] for row in rows]
    assert run("audit", "t.csv", "--like", "m.slug", "--review", "r.csv", "-q").code == 0
    table = Path("r.csv").read_text("utf-8-sig")
    review = list(csv.reader(table.splitlines(), delimiter=";"))
    review[1][0] = "drop"
    with Path("r.csv").open("w", newline="", encoding="cp1252") as file:  # as a spreadsheet does
        csv.writer(file, delimiter=";").writerows(review)
    repair = ["--like", "m.slug", "--decisions", "r.csv", "-o", "gut.csv", "-q"]
    assert run("audit", "t.csv", *repair).code == 0
    before, after = (Path(name).read_bytes().split(b"\r\n") for name in ("t.csv", "gut.csv"))
    assert set(after) < set(before)
    assert len(after) == len(before) - 1
    assert run("check", "m.slug", "t.csv", "-q").code == 0
    assert run("suggest", "m.slug", "neu.csv", "-n", 2, "-o", "s.csv", "-q").code == 0
    suggested = Path("s.csv").read_bytes().decode("cp1252")
    assert suggested.startswith("Bereich;Nr;Überschrift;Mitteilung;guess;probability\r\n;00")
    Path("s.csv").write_bytes(suggested.replace("\n;", "\nZahlung;").encode("cp1252"))
    assert run("train", "t.csv", "s.csv", *OPTIONS, "-o", "neu.slug", "-q").code == 0
    state = make_state(Path("m.slug"))
    answer = client(state).post(
        "/table/file", content=Path("neu.csv").read_bytes(), params={"name": "neu.csv"}
    )
    state.service.close()
    assert answer.content == Path("antworten.csv").read_bytes()


def test_layout_does_not_replace_a_missing_topic_column(tickets: Run) -> None:
    rows = "Überschrift;Mitteilung;Ticket-Nr\nRechnung;Mahnung;A1\nPaket;Umtausch;A2\n"
    Path("test.csv").write_text(rows, "cp1252")
    found = tickets("evaluate", "m.slug", "test.csv")
    assert found.code == 1
    assert (
        "test.csv has no column 'Bereich', the topic in the model's training data; found "
        "'Überschrift', 'Mitteilung', 'Ticket-Nr'; pass the topic column with --topic." in found.err
    )


def test_layout_gives_way_to_the_file_and_to_options(tickets: Run) -> None:
    Path("other.csv").write_text("text,Mitteilung\nRechnung Mahnung,Umtausch\n")
    found = tickets("predict", "m.slug", "other.csv")
    assert "read column 'text' as text, in place of 'Überschrift' and 'Mitteilung' in" in found.err
    found = tickets("predict", "m.slug", "neu.csv", "--text", "Mitteilung", "--encoding", "cp1252")
    assert found.err == "neu.csv: read column 'Nr' as id; choose another with --id\n"
    write_tickets("utf8.csv", 4, 3, "utf-8")
    found = tickets("predict", "m.slug", "utf8.csv")
    assert "not UTF-8" not in found.err
    assert found.code == 0


def test_layout_is_used_by_train_corrections(tickets: Run) -> None:
    before = load("m.slug").fitted_.layout
    assert before == Layout(("Überschrift", "Mitteilung"), "Bereich", "cp1252", separator=";")
    columns = "- text: Überschrift, Mitteilung\n- topic: Bereich\n- encoding: cp1252\n"
    assert columns in tickets("info", "m.slug").out
    with LabelStore("c.db") as store:
        store.add_correction(
            text="Porto",
            topic="Zahlung",
            answer="Rückgabe",
            probability=0.6,
            model="m",
            digest="",
            is_approved=True,
        )
    found = tickets("train", "t.csv", "-o", "m.slug", "--corrections", "c.db", "--force")
    assert found.code == 0
    assert f"t.csv: {LABELLED}" in found.err
    assert load("m.slug").fitted_.layout == before


def test_layout_keeps_skip_bad_rows(run: Run) -> None:
    write_tickets("t.csv", 60, 0)
    with Path("t.csv").open("a", encoding="cp1252") as file:
        file.write("61;Zahlung\n62;Mahnung\n")
    trained = run("train", "t.csv", *OPTIONS, "--skip-bad-rows", "-o", "m.slug", "-q")
    assert trained.code == 0
    layout = load("m.slug").fitted_.layout
    assert layout == Layout(("Überschrift", "Mitteilung"), "Bereich", "cp1252", True, separator=";")
    note = "skipped 2 of 62 rows, as of the model's training data: "
    with LabelStore("c.db") as store:
        store.add_correction(
            text="Porto",
            topic="Zahlung",
            answer="Rückgabe",
            probability=0.6,
            model="m",
            digest="",
            is_approved=True,
        )
    for command in (
        ("check", "m.slug", "t.csv"),
        ("audit", "t.csv", "--like", "m.slug"),
        ("train", "t.csv", "-o", "m.slug", "--corrections", "c.db", "--force"),
    ):
        found = run(*command)
        assert found.code == 0
        assert note in found.err
    assert load("m.slug").fitted_.layout == layout
    assert run("train", "t.csv", *OPTIONS, "-o", "n.slug", "-q").code == 1


def test_layout_of_several_files_has_their_common_columns(run: Run) -> None:
    for number, encoding in enumerate(("cp1252", "utf-8")):
        write_tickets(f"{number}.csv", 4, 0, encoding)
    Path("2.csv").write_text("body,queue\nRechnung,Zahlung\n")
    shared = load_corpus(["0.csv", "1.csv"], text=("Überschrift", "Mitteilung"), topic="Bereich")
    expected = Layout(("Überschrift", "Mitteilung"), "Bereich", separator=";")
    assert shared.layout == expected
    assert shared.split(0.5, 0)[0].layout == shared.layout
    assert load_corpus(["2.csv", "2.csv"]).layout == Layout(("body",), "queue")
    Path("3.csv").write_text("text,queue\nRechnung,Zahlung\n")
    assert load_corpus(["2.csv", "3.csv"]).layout is None


@pytest.mark.parametrize(
    ("form", "line"),
    [
        (TopicForm("array"), "- several topics: lists\n"),
        (TopicForm("separator", " | "), "- several topics: separated by ' | '\n"),
        (TopicForm("columns", columns=("grain", "corn")), "- several topics: columns of 0 and 1\n"),
        (None, "- topic: Bereich\n- encoding: cp1252\n"),
    ],
)
def test_layout_keeps_the_form_of_several_topics(
    tickets: Run, form: TopicForm | None, line: str
) -> None:
    model = load("m.slug")
    assert model.fitted_.layout is not None
    layout = replace(model.fitted_.layout, topic_form=form)

    model.fitted_ = replace(model.fitted_, layout=layout)
    model.save("n.slug")

    assert load("n.slug").fitted_.layout == layout
    entries = unzip(Path("n.slug").read_bytes())
    assert (b'"topic_form": null' in entries[JSON]) == (form is None)
    assert line in tickets("info", "n.slug").out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": []}, "length >= 1"),
        ({"text": ["a", "b", "a"]}, "duplicate data column"),
        ({"topic": "Mitteilung"}, "duplicate data column"),
        ({"encoding": "rot13"}, "not a Python encoding"),
        ({"topic": "x" * 1001}, "length <= 1000"),
        ({"separator": "ab"}, "length <= 1"),
        ({"separator": "a"}, "give the character between the cells"),
        ({"format": "docx"}, "unknown format 'docx'"),
        ({"topic_map": (("a",),)}, "of length 2"),
        ({"topic_map": (("", "b"),)}, "length >= 1"),
        ({"fold_topics": 1}, "Expected `bool`"),
        ({"topic_form": TopicForm("separator")}, "topic columns don't match the topic format"),
        (
            {"topic_form": TopicForm("array", columns=("a",))},
            "topic columns don't match the topic format",
        ),
        (
            {"topic_form": TopicForm("columns", columns=("a", "Mitteilung"))},
            "duplicate data column",
        ),
    ],
)
def test_layout_in_a_file_is_checked(tickets: Run, change: dict[str, Any], message: str) -> None:
    file = container.read("m.slug")
    assert file.info.layout is not None
    layout = replace(file.info.layout, **change)
    info = msgspec.structs.replace(file.info, layout=layout)

    def forge() -> None:
        container.write("forged.slug", replace(file, info=info))
        load("forged.slug")

    with pytest.raises(ModelFileError, match=message):
        forge()


# All options of `train` -------------------------------------------------------------------------

#: Where a model keeps what an option decided: a field of the layout, or of its settings.
RESTORED = {
    "text": "layout.text",
    "topic": "layout.topic",
    "encoding": "layout.encoding",
    "separator": "layout.separator",
    "format": "layout.format",
    "topic_separator": "layout.topic_form",
    "topic_columns": "layout.topic_form",
    "skip_bad_rows": "layout.skip_bad_rows",
    "fold_topics": "layout.fold_topics",
    "topic_map": "layout.topic_map",
    "test_fraction": "info.test_fraction",
    "quantize": "info.weight_type",
    "learner": "settings.learner",
    "encoder": "settings.encoder",
    "topics": "settings.descriptions",
    "min_precision": "settings.min_precision",
    "optimize": "settings.optimize",
    "balanced": "settings.class_weight",
    "seed": "settings.random_state",
    "tune": "settings.learner",
}
#: Why a model doesn't keep what any other option said.
NOT_RESTORED = {
    "data": "named again by the command, or by --learn-from",
    **dict.fromkeys(("columns", "unlabelled", "topic_path"), "refused with --corrections"),
    "test": "a file, which may be gone; part of the data instead",
    **dict.fromkeys(("output", "report", "mistakes", "as_json", "quiet"), "says what is written"),
    "curve": "measures more, and changes no model",
    "threads": "changes no result",
    **dict.fromkeys(("stream", "workers", "scheduler"), "not with --corrections"),
    **dict.fromkeys(
        ("corrections", "corrections_of", "force"),
        "of one run on corrections, and not of the model",
    ),
    "header_row": "found by the columns of the layout",
    "help_all": "shows the help",
}


def test_train_options_are_all_restored_or_have_a_reason() -> None:
    options = {str(param.name) for param in train.params}
    assert options == {*RESTORED, *NOT_RESTORED}
    assert not {*RESTORED} & {*NOT_RESTORED}
    classifier = TopicClassifier().get_params(deep=False)
    known = {
        "layout": [field.name for field in fields(Layout)],
        "info": ModelInfo.__struct_fields__,
    }
    known["settings"] = (*classifier,)
    for place in RESTORED.values():
        kind, _, name = place.partition(".")
        assert name in known[kind], place
    refused = {name for name, reason in NOT_RESTORED.items() if reason.startswith("refused")}
    excluded = {name for rule in RULES if "corrections" in rule.excludes for name in rule.options}
    assert refused <= excluded


def test_layout_keeps_all_options_that_made_topics(run: Run) -> None:
    """What `train` is told once holds in `train --corrections`, `check` and `evaluate`."""
    rng = random.Random(0)
    lines = ["body\tqueue"]
    for number in range(120):
        topic = [*WORDS][number % 2]
        words = rng.sample(WORDS[topic], 3)
        spelling = [topic, topic.upper(), f"{topic}en"][number % 3]
        lines.append(f"{' '.join(words)} {number}\t{spelling}")
    Path("log.txt").write_text("\n".join(lines) + "\n", "utf-8")
    Path("names.csv").write_text("from,to\nRückgabeen,Rückgabe\nZahlungen,Zahlung\n", "utf-8")
    options = ("--format", "tsv", "--fold-topics", "--map-topics", "names.csv")
    assert run("train", "log.txt", *options, "-o", "m.slug", "-q").code == 0
    Path("names.csv").unlink()

    layout = load("m.slug").fitted_.layout
    names = (("Rückgabeen", "Rückgabe"), ("Zahlungen", "Zahlung"))
    assert layout == Layout(("body",), "queue", fold_topics=True, topic_map=names, format="tsv")
    said = run("info", "m.slug").out
    assert "- topics that differ only in case or spaces are merged" in said
    assert "- topic Zahlungen is renamed Zahlung" in said
    assert run("check", "m.slug", "log.txt").code == 0
    evaluated = json.loads(run("evaluate", "m.slug", "log.txt", "--format", "tsv", "--json").out)
    assert evaluated["accuracy"] > 0.9
    with LabelStore("c.db") as store:
        for number, topic in enumerate(("RÜCKGABE", "Zahlungen", "neu")):
            added = store.add_correction(
                text=f"ein Text {number}",
                topic=topic,
                answer="Zahlung",
                probability=0.5,
                model="m",
                digest="d",
            )
            store.approve_correction(added.id)
    learned = run("train", "log.txt", "-o", "m.slug", "--corrections", "c.db", "-q")
    assert learned.code == 0, learned.err
    again = load("m.slug").fitted_
    assert sorted(again.topics.names) == ["Rückgabe", "Zahlung", "neu"]
    assert again.layout == layout


def test_predict_rejects_a_table_without_the_columns_of_the_model(tickets: Run) -> None:
    Path("nocol.csv").write_text("a;b\nhello there;wo ist mein paket\n")
    found = tickets("predict", "m.slug", "nocol.csv", "-o", "o.csv")
    assert (found.code, Path("o.csv").exists()) == (1, False)
    assert (
        "nocol.csv has no column 'Überschrift' and 'Mitteilung', the text in the model's training "
        "data; found 'a', 'b'; pass the text column with --text."
    ) in found.err
    assert tickets("predict", "m.slug", "nocol.csv", "--text", "b").code == 0
    found = tickets("evaluate", "m.slug", "nocol.csv")
    assert "nocol.csv has no column 'Überschrift' and 'Mitteilung'" in found.err

    Path("one.csv").write_text("a\nRechnung\n")
    assert tickets("predict", "m.slug", "one.csv").code == 0
    Path("lines.txt").write_text("Rechnung\nMahnung\n")
    assert tickets("predict", "m.slug", "lines.txt").out.count("Zahlung") == 2


def test_predict_finds_the_sheet_and_header_of_known_columns(tickets: Run) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Export", "2026-11-29"])
    sheet = book.create_sheet("Mails")
    for row in (
        ["Stand", "heute"],
        ["Nr", "Überschrift", "Mitteilung"],
        [1, "Rechnung", "Mahnung"],
    ):
        sheet.append(row)
    book.save("cover.xlsx")

    found = tickets("predict", "m.slug", "cover.xlsx", "-o", "o.xlsx")

    assert found.code == 0
    assert (
        "cover.xlsx: read sheet 'Mails' of 2, which has columns 'Überschrift' and 'Mitteilung', "
        "the header in row 2"
    ) in found.err
    cover, mails = openpyxl.load_workbook("o.xlsx").worksheets
    assert [*cover.values] == [("Export", "2026-11-29")]
    title, header, answer = mails.values
    assert title == ("Stand", "heute", None, None, None, None)
    assert header == ("Nr", "Überschrift", "Mitteilung", "Bereich", "probability", "error")
    assert answer[:4] == (1, "Rechnung", "Mahnung", "Zahlung")
