"""Several files that make one corpus."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import load
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import load_corpus, read_corpus
from slugline.errors import DataError, OptionError

Run = Callable[..., Any]
News = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str) -> str:
    Path(name).write_text(content)
    return name


def test_load_corpus_joins_files_of_several_formats() -> None:
    Path("b.csv.gz").write_bytes(gzip.compress(b"label;body\ny;two\n"))
    sources: list[str | Path] = [
        write("a.csv", "text,topic\none,x\n"),
        Path("b.csv.gz"),
        write("c.jsonl", json.dumps({"text": "three", "topic": "x"})),
        write("d.txt", "__label__y four\n"),
    ]

    corpus = load_corpus(sources)

    assert (corpus.texts, corpus.topics) == (["one", "two", "three", "four"], list("xyxy"))
    assert corpus.name == "a.csv, b.csv.gz, c.jsonl and 1 more"
    others = "choose others with `text` and `topic`"
    assert corpus.notes == (
        f"a.csv and c.jsonl: read column 'text' as text and 'topic' as topic; {others}",
        f"b.csv.gz: read column 'body' as text and 'label' as topic; {others}",
    )


def test_load_corpus_names_the_file_in_errors_and_notes() -> None:
    write("a.csv", "text,topic\none,x\n")
    write("b.csv", "text,topic\none,x\nx\n" + "three,x\n" * 8)

    with pytest.raises(DataError) as error:
        load_corpus(["a.csv", "b.csv"])

    assert str(error.value).partition(" Slugline read")[0] == (
        "b.csv: 1 of 10 rows can't be used: 1 cell instead of 2 (line 3); fix them, or "
        "continue without them with `skip_bad_rows`."
    )
    corpus = load_corpus(["a.csv", "b.csv"], "text", "topic", skip_bad_rows=True)
    assert corpus.notes == ("b.csv: skipped 1 of 10 rows: 1 cell instead of 2 (line 3)",)
    assert (len(corpus), corpus.n_skipped) == (10, 1)


def test_load_corpus_rejects_words_and_numbers_as_topics_of_files() -> None:
    write("a.csv", "text,topic\none,3\n")
    write("b.csv", "text,topic\none,x\n")

    with pytest.raises(DataError) as error:
        load_corpus(["a.csv", "b.csv"])

    assert str(error.value) == (
        "topics mix strings and numbers: '3' in a.csv, 'x' in b.csv; "
        "make all topics strings or all numbers."
    )


def test_load_corpus_keeps_the_common_layout_of_files() -> None:
    write("a.csv", "text,topic\none,x\n")
    Path("b.csv").write_bytes("text,topic\nHeizung läuft nicht,Büro\n".encode("cp1252"))
    write("c.csv", "body,topic\none,x\n")
    write("d.txt", "__label__x one\n")
    plain = Layout(("text",), "topic")
    for names, layout in (
        (["a.csv", "a.csv"], plain),
        (["b.csv"], replace(plain, encoding="cp1252")),
        (["a.csv", "b.csv"], plain),
        (["a.csv", "c.csv"], None),
        (["a.csv", "d.txt"], None),
        (["d.txt", "a.csv"], None),
    ):
        assert load_corpus(names).layout == layout
    corpus = load_corpus(["a.csv", "d.txt"])
    assert [corpus.place(row) for row in (0, 1)] == ["a.csv, line 2", "d.txt, line 1"]


def test_collect_skips_bad_rows_as_in_the_layout() -> None:
    write("a.csv", "text,topic\n" + "one,x\n" * 18 + "two\nx\n")
    layout = Layout(("text",), "topic", skip_bad_rows=True)
    corpus = read_corpus("a.csv", ReadOptions(layout=layout))
    assert corpus.notes[-1] == (
        "skipped 2 of 20 rows, as of the model's training data: 1 cell instead of 2 (lines 20, 21)"
    )
    assert (corpus.n_skipped, corpus.layout) == (2, layout)
    with pytest.raises(DataError, match="2 of 20 rows can't be used"):
        read_corpus("a.csv", ReadOptions(layout=replace(layout, skip_bad_rows=False)))


def test_load_corpus_rejects_a_named_data_set_with_files() -> None:
    write("a.csv", "text,topic\none,x\n")

    with pytest.raises(OptionError) as error:
        load_corpus(["a.csv", "bbc"])

    assert str(error.value) == (
        "bbc is a built-in data set and cannot be combined with others; pass it alone."
    )


def test_commands_take_several_files(run: Run, news: News) -> None:
    for name, part in (("a.csv", news[:40]), ("b.csv", news[40:])):
        write(name, "body,queue\n" + "".join(f"{text},{topic}\n" for text, topic in part))

    trained = run("train", "a.csv", "b.csv", "-o", "m.slug", "-q")

    assert trained.out.startswith("a.csv and b.csv: learned 3 topics from 72 documents in ")
    assert load("m.slug").fitted_.n_learned == 72
    evaluated = run("evaluate", "m.slug", "a.csv", "b.csv", "-q", "--json")
    assert json.loads(evaluated.out)["n_documents"] == 90
    assert run("check", "m.slug", "a.csv", "b.csv", "-q").code == 0


def test_train_rejects_an_output_among_several_files(run: Run) -> None:
    write("a.csv", "text,topic\none,x\n")

    result = run("train", "b.csv", "a.csv", "-o", "a.csv")

    assert result.code == 2
    assert "--output a.csv: would overwrite an input file" in result.err
