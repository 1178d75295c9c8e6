"""`slugline audit`: what it prints, the files that it writes, and what it refuses."""

from __future__ import annotations

import csv
import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelled_texts import labelled, labelled_sets
from slugline import load_corpus

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def wrong(tmp_path: Path) -> list[int]:
    """Write 120 documents to news.csv, 8 of which have a wrong topic; give their lines."""
    texts, topics, wrong = labelled(120, 8)
    with (tmp_path / "news.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "topic"], *zip(texts, topics, strict=True)])
    return [row + 2 for row in wrong]


def review(tmp_path: Path, *decisions: str) -> None:
    """Write decisions into the first rows of review.csv."""
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, decision in zip(rows, decisions, strict=False):
        row["decision: keep, relabel or drop"] = decision
    with (tmp_path / "review.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_audit_review_keeps_the_separator_of_the_data(run: Run, tmp_path: Path) -> None:
    texts, topics, _ = labelled(40, 3)
    rows = "".join(f"{text};{topic}\n" for text, topic in zip(texts, topics, strict=True))
    (tmp_path / "t.csv").write_text("sep=;\ntext;topic\n" + rows)

    assert run("audit", "t.csv", "--review", "review.csv", "-q").code == 0

    table = (tmp_path / "review.csv").read_text("utf-8-sig")
    assert table.startswith("decision: keep, relabel or drop;new_topic: for relabel;topic;")
    assert re.match(r";\w+;\w+;0,\d{4};", table.splitlines()[1])
    (tmp_path / "review.csv").write_text(table.replace("\n;", "\ndrop;", 1), "utf-8-sig")
    assert run("audit", "t.csv", "--decisions", "review.csv", "-o", "new.csv", "-q").code == 0
    assert (tmp_path / "new.csv").read_text().startswith("text;topic\n")
    pytest.importorskip("openpyxl")
    assert run("audit", "t.csv", "--decisions", "review.csv", "-o", "new.xlsx", "-q").code == 0
    new = [load_corpus(tmp_path / name) for name in ("new.csv", "new.xlsx")]
    assert new[0].texts == new[1].texts
    assert new[0].topics == new[1].topics
    assert run("audit", "t.csv", "--review", "r.xlsx", "-q").code == 0
    book = pytest.importorskip("openpyxl").load_workbook("r.xlsx")
    book.active["A2"] = "drop"
    book.save("r.xlsx")
    assert run("audit", "t.csv", "--decisions", "r.xlsx", "-o", "again.csv", "-q").code == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "new.csv").read_bytes()


def test_audit_prints_suspects(run: Run, wrong: list[int]) -> None:
    result = run("audit", "news.csv", "-n", 8, "-q", "--threads", 1)
    assert (result.code, result.err) == (0, "")
    first, head, *rows = result.out.splitlines()
    assert first == "news.csv: 120 documents, 3 topics; 8 probably have a wrong topic"
    assert head.split() == ["line", "suspicion", "topic", "likely", "text"]
    assert {int(row.split()[0]) for row in rows} == set(wrong)


def test_audit_separates_slightly_suspect_documents(run: Run, tmp_path: Path) -> None:
    tickets = Path(__file__).parents[2] / "examples" / "tickets.csv"
    result = run("audit", tickets, "-q", "-o", "page.html")
    headline, _, line, *rows = result.out.splitlines()
    assert headline.endswith("30 documents, 3 topics; no label looks wrong")
    assert line.strip() == "(less suspect: these labels are probably right)"
    suspicions = [float(row.split()[1]) for row in rows[:-1]]
    assert len(suspicions) < 20
    assert min(suspicions) >= 0.1
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("likely wrong: ") == len(suspicions)
    assert "On the left" not in page


def test_audit_json_lists_every_document_once(run: Run, wrong: list[int]) -> None:
    lines = json.loads(run("audit", "news.csv", "--json", "-n", 1000, "-q").out)["suspects"]
    assert [*lines[0]] == ["at", "part", "suspicion", "topic", "likely", "reasons"]
    assert {line["at"] for line in lines[:8]} == set(wrong)
    assert sorted(line["at"] for line in lines) == list(range(2, 122))
    suspicions = [line["suspicion"] for line in lines]
    assert suspicions == sorted(suspicions, reverse=True)
    assert all(line["reasons"] for line in lines[:8])


def test_audit_decisions_repair_what_was_reviewed(
    run: Run, wrong: list[int], tmp_path: Path
) -> None:
    assert run("audit", "news.csv", "--review", "review.csv", "-q").code == 0
    review(tmp_path, *["relabel"] * 6, "drop", "keep")
    result = run("audit", "news.csv", "--decisions", "review.csv", "-o", "new.csv", "-q")
    assert result.out == "6 relabelled, 1 dropped, 1 kept\n119 documents: new.csv\n"
    texts, right, _ = labelled(120, 0)
    with (tmp_path / "new.csv").open(newline="") as file:
        found = {row["text"]: row["topic"] for row in csv.DictReader(file)}
    assert len(found) == 119
    # The one that was kept is still wrong.
    assert (
        sum(found.get(text, topic) != topic for text, topic in zip(texts, right, strict=True)) == 1
    )
    again = run("audit", "new.csv", "-q", "--json")
    assert json.loads(again.out)["probably_wrong"] <= 1


def test_audit_json_holds_all_findings(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "news.csv").open("a") as file:
        file.write("the page has moved,bank\nthe page has moved,sport\n")
    (tmp_path / "test.csv").write_text("text,topic\nthe page has moved,bank\nwheat,grain\n")
    result = run("audit", "news.csv", "--test", "test.csv", "-n", 3, "--json", "-q")
    said = json.loads(result.out)
    assert (said["documents"], said["test_documents"], said["topics"]) == (124, 2, 3)
    assert len(said["suspects"]) == 3
    assert [each["at"] for each in said["copies"][0]] == [122, 123, 2]
    assert said["leaks"] == [{"train": 122, "test": 2, "likeness": 1.0}]


def test_audit_page_shows_copies_and_escapes_texts(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "news.csv").open("a") as file:
        file.write("<script>alert(1)</script> wheat corn crop,grain\n")
        file.write("<script>alert(1)</script> wheat corn crop,sport\n")
    assert run("audit", "news.csv", "-o", "page.html", "-q").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "http" not in page.split("<body>")[1]
    assert "line 123, topic <b>sport</b>" in page
    assert "line 122, topic <b>grain</b>, the same text" in page
    assert "the same text has the topic grain (line 122)" in page


def test_audit_counts_copies_and_other_scripts_in_sentences(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "news.csv").open("a") as file:
        file.write("the page has moved,bank\nthe page has moved,sport\nцены на нефть,bank\n")
    out = run("audit", "news.csv", "-n", 0, "-q").out.splitlines()
    assert out[1:] == [
        "1 text occurs several times, under different topics: line 122 and 123",
        "1 text is in another script: line 124",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.txt"], "--output a.txt: name it a.html."),
        (
            ["-o", "a.jsonl"],
            "--output a.jsonl: repaired documents require --decisions; add it, or write a page: "
            "a.html.",
        ),
        (["--review", "news.csv"], "--review news.csv: would overwrite an input file; choose"),
        (["--review", "no/a.csv"], "--review no/a.csv: can't write a file there"),
        (
            ["--decisions", "r.csv", "--review", "a.csv"],
            "--review cannot be combined with --decisions.",
        ),
        (
            ["--decisions", "r.csv", "-o", "a.html"],
            "--output a.html: name it a.jsonl, a.csv or a.xlsx.",
        ),
        (["--decisions", "r.csv"], "--decisions requires --output FILE."),
        (["--decisions", "r.csv", "-o", "r.csv"], "--output r.csv: would overwrite an input"),
    ],
)
def test_audit_rejects_options_that_do_not_go_together(
    run: Run, options: list[str], message: str
) -> None:
    result = run("audit", "news.csv", *options, "-q")
    assert result.code == 2
    assert result.err.startswith(f"slugline: error: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,topic\nwheat,grain\ncorn,grain\n",
            "bad.csv: every document has the topic 'grain', but an audit requires two "
            "topics. Check which column contains the topic, or add documents of others.",
        ),
        (
            "text,topic\nwheat,grain\nwheat,sport\n",
            "bad.csv: all 2 texts are identical or nearly identical. "
            "Check which column contains the text.",
        ),
    ],
    ids=["one topic", "one text"],
)
def test_audit_rejects_documents_that_it_cannot_compare(
    run: Run, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "bad.csv").write_text(content)
    result = run("audit", "bad.csv", "-q")
    assert (result.code, result.err) == (1, f"slugline: error: {message}\n")


def test_audit_decisions_reject_documents_changed_since_the_review(
    run: Run, tmp_path: Path, wrong: list[int]
) -> None:
    run("audit", "news.csv", "--review", "review.csv", "-q")
    review(tmp_path, *["drop"] * 8)
    path = tmp_path / "news.csv"
    lines = path.read_text().splitlines()
    lines = [f"now {line}" if n in wrong else line for n, line in enumerate(lines, start=1)]
    path.write_text("\n".join(lines) + "\n")
    result = run("audit", "news.csv", "--decisions", "review.csv", "-o", "new.csv", "-q")
    assert result.code == 1
    assert result.err.startswith("slugline: error: review.csv, line 2: line ")
    assert "of news.csv has changed since the review, or is read differently" in result.err
    assert "such as --text, --topic, --fold-topics and --map-topics, audit" in result.err
    assert not (tmp_path / "new.csv").exists()


def test_audit_decisions_leave_out_test_documents_with_a_warning(run: Run, tmp_path: Path) -> None:
    texts, topics, _ = labelled(30, 0, seed=5)
    rows = zip(texts, ["bank" if topic == "grain" else topic for topic in topics], strict=True)
    with (tmp_path / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "topic"], *rows])
    run("audit", "news.csv", "--test", "test.csv", "--review", "review.csv", "-q")
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        parts = [row["part"] for row in csv.DictReader(file)]
    review(tmp_path, *["drop"] * 12)
    result = run("audit", "news.csv", "--decisions", "review.csv", "-o", "new.csv", "-q")
    n_test = parts[:12].count("test")
    assert n_test > 0
    assert result.err == (
        f"warning: review.csv: ignored {n_test} about test documents; pass these as DATA\n"
    )
    assert result.out.startswith(f"0 relabelled, {12 - n_test} dropped, 0 kept\n")


def test_audit_decisions_keep_columns(run: Run, tmp_path: Path) -> None:
    texts, topics, _ = labelled(120, 8)
    rows = [[n, text, topic, ""] for n, (text, topic) in enumerate(zip(texts, topics, strict=True))]
    for name, part in (("a", rows[:70]), ("b", rows[70:])):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["id", "body", "queue", "agent"], *part])
    run("audit", "a.csv", "b.csv", "--review", "review.csv", "-q")
    review(tmp_path, "drop", *["relabel"] * 7)
    decided = ["--decisions", "review.csv", "-q", "-o"]
    assert run("audit", "a.csv", "b.csv", *decided, "new.csv").out.endswith(
        "\n119 documents: new.csv\n"
    )
    with (tmp_path / "new.csv").open(newline="") as file:
        found = list(csv.reader(file))
    assert found[0] == ["id", "body", "queue", "agent"]
    by_id = {row[0]: row for row in found[1:]}
    assert len(by_id) == 119
    given = {str(row[0]): [str(cell) for cell in row] for row in rows}
    _, right, _ = labelled(120, 0)
    for key, row in by_id.items():
        assert row == [*given[key][:2], right[int(key)], ""]
    assert run("audit", "a.csv", "b.csv", *decided, "new.jsonl").code == 0
    lines = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text().splitlines()]
    assert [list(line.values()) for line in lines] == found[1:]


def test_audit_decisions_keep_skipped_rows(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    head, first, *rest = path.read_text().splitlines()
    bad = ["a text without a topic,", ",bank"]
    path.write_text("\n".join([head, bad[0], first, bad[1], *rest, "too,many,cells"]) + "\n")
    read = ["audit", "news.csv", "--skip-bad-rows", "-q"]
    run(*read, "--review", "review.csv")
    review(tmp_path, "drop")
    result = run(*read, "--decisions", "review.csv", "-o", "new.csv")
    assert result.out.endswith("119 documents, 1 unlabelled row and 2 skipped rows: new.csv\n")
    new = (tmp_path / "new.csv").read_text().splitlines()
    assert len(new) == 123
    assert [line for line in new if line in bad] == bad


def test_audit_decisions_warn_of_a_table_without_decisions(run: Run, tmp_path: Path) -> None:
    run("audit", "news.csv", "--review", "review.csv", "-q")
    result = run("audit", "news.csv", "--decisions", "review.csv", "-o", "new.csv", "-q")
    assert result.err == "warning: review.csv: contains no decisions; was the table saved?\n"
    assert (result.code, (tmp_path / "new.csv").is_file()) == (0, True)


def test_audit_decisions_read_tables_of_spreadsheets(run: Run, tmp_path: Path) -> None:
    texts, topics, _ = labelled(120, 8)
    topics = ["Getreidebörse" if topic == "grain" else topic for topic in topics]
    with (tmp_path / "news.csv").open("w", encoding="cp1252", newline="") as file:
        csv.writer(file).writerows([["text", "topic"], *zip(texts, topics, strict=True)])
    read = ["audit", "news.csv", "--encoding", "cp1252", "-q"]
    assert run(*read, "--review", "review.csv").code == 0
    path = tmp_path / "review.csv"
    assert path.read_bytes().startswith(
        b'\xef\xbb\xbf"decision: keep, relabel or drop",new_topic: for relabel,topic,'
    )
    review(tmp_path, *["relabel"] * 8)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert all(row[-1][0] == "d" for row in rows)
    expected = None
    for encoding, delimiter in (("utf-8-sig", ","), ("utf-8", "\t"), ("cp1252", ";")):
        with path.open("w", encoding=encoding, newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows(rows)
        result = run(*read, "--decisions", "review.csv", "-o", "new.csv")
        assert result.out.startswith("8 relabelled, 0 dropped, 0 kept\n"), result.err
        found = (tmp_path / "new.csv").read_bytes()
        expected = expected or found
        assert found == expected
    (tmp_path / "news.csv").write_text(
        (tmp_path / "news.csv").read_text(encoding="cp1252"), encoding="utf-8"
    )
    result = run("audit", "news.csv", "-q", "--decisions", "review.csv", "-o", "new.csv")
    assert result.code == 0
    assert expected is not None
    # Written as the documents now are.
    now = expected.decode("cp1252").replace("\r\n", "\n").encode()
    assert (tmp_path / "new.csv").read_bytes() == now


def test_audit_decisions_warn_of_a_new_topic(run: Run, tmp_path: Path) -> None:
    run("audit", "news.csv", "--review", "review.csv", "-q")
    review(tmp_path, "relabel")
    path = tmp_path / "review.csv"
    head, first, *rest = path.read_text().splitlines()
    for name in ("bank", "grain", "sport"):
        first = first.replace(f"relabel,{name},", "relabel,grian,")
    path.write_text("\n".join([head, first, *rest]) + "\n")
    result = run("audit", "news.csv", "--decisions", "review.csv", "-o", "new.csv", "-q")
    assert result.out == "1 relabelled, 0 dropped, 0 kept\n120 documents: new.csv\n"
    assert result.err == (
        "warning: review.csv: no document had the topic 'grian' before; did you mean grain?\n"
    )


# The newswires ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["separator", "columns", "array"])
def test_audit_decisions_keep_the_form_of_several_topics(
    run: Run, tmp_path: Path, form: str
) -> None:
    texts, sets, changed = labelled_sets(200, 12)
    names = ["bank", "grain", "sport"]
    options = {
        "separator": ["--topic-separator", "|"],
        "columns": ["--topic-columns", ",".join(names)],
        "array": [],
    }[form]
    if form == "array":
        name = "tags.jsonl"
        items = [{"text": t, "topics": s, "n": 1} for t, s in zip(texts, sets, strict=True)]
        (tmp_path / name).write_text("\n".join(map(json.dumps, items)))
    else:
        name, is_cell = "tags.csv", form == "separator"
        cells = [["|".join(s)] if is_cell else [int(n in s) for n in names] for s in sets]
        rows = [[text, *topics] for text, topics in zip(texts, cells, strict=True)]
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([["text", *(["topic"] if is_cell else names)], *rows])

    result = run("audit", name, *options, "--review", "review.csv", "-o", "audit.html", "-q")
    assert result.code == 0
    assert "probably have a wrong topic, or lack one" in result.out
    review(tmp_path, *["relabel"] * 12)
    done = run("audit", name, *options, "--decisions", "review.csv", "-o", f"new-{name}", "-q")
    assert (done.code, done.err) == (0, "")

    again = run("audit", f"new-{name}", *options, "--json", "-n", 1000, "-q")
    assert again.code == 0
    ranking = json.loads(again.out)["suspects"]
    first = 1 if form == "array" else 2
    repaired = {item["at"] - first: {*item["topic"]} for item in ranking}
    expected = [{*topics} ^ {changed.get(row, "")} - {""} for row, topics in enumerate(sets)]
    assert repaired == dict(enumerate(expected))
    if form == "array":
        assert json.loads((tmp_path / f"new-{name}").read_text().splitlines()[0])["n"] == 1


@pytest.mark.usefixtures("reuters_data")
def test_audit_of_reuters_finds_swapped_wires_and_shows_their_twins(
    run: Run, tmp_path: Path
) -> None:
    from slugline.reuters.wires import load_wires

    wires = load_wires("keras")
    every = [*wires.train, *wires.test]
    # Each fourth, and the wires whose own texts the swapped ones of these have.
    swapped = {wire.text for wire in every[::4] if wire.misplaced}
    twins = [
        wire
        for row, wire in enumerate(every)
        if row % 4 and not wire.misplaced and wire.text in swapped
    ]
    some = [*every[::4], *twins]
    lines = [json.dumps({"text": wire.text, "topic": wire.topic}) for wire in some]
    (tmp_path / "wires.jsonl").write_text("\n".join(lines))

    result = run("audit", "wires.jsonl", "--json", "-o", "r.html", "-q", "-n", 100)

    assert result.code == 0
    order = [suspect["at"] - 1 for suspect in json.loads(result.out)["suspects"]]
    assert sum(some[row].misplaced for row in order) / 100 > 0.95
    first = order[0]
    own = next(i for i, w in enumerate(some) if w.text == some[first].text and not w.misplaced)
    page = (tmp_path / "r.html").read_text()
    assert f"line {own + 1}, topic <b>{some[own].topic}</b>, the same text" in page


def test_audit_decisions_keep_dates_of_an_excel_file(run: Run, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    _, *rows = csv.reader((tmp_path / "news.csv").read_text().splitlines())
    book.active.append(["day", "body", "queue"])
    for row in rows:
        book.active.append([datetime.date(2025, 3, 1), *row])
    book.active.freeze_panes = "A2"
    book.create_sheet("notes")
    book.save(tmp_path / "news.xlsx")
    read = ["audit", "news.xlsx", "-q"]
    assert run(*read, "--review", "review.csv").code == 0
    review(tmp_path, "relabel")

    result = run(*read, "--decisions", "review.csv", "-o", "new.xlsx")

    assert result.code == 0
    new = openpyxl.load_workbook(tmp_path / "new.xlsx")
    assert (new.sheetnames, new.active.freeze_panes) == (["Sheet", "notes"], "A2")
    assert new.active["A2"].value == datetime.datetime(2025, 3, 1)
    topics = [cell.value for cell in new.active["C"][1:]]
    assert sum(topic != row[1] for topic, row in zip(topics, rows, strict=True)) >= 1
