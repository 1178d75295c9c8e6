"""Documents with several topics: each form in which they are written, and what is wrong in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.corpus.layout import Layout, ReadOptions, TopicForm
from slugline.corpus.loading import load_corpus, read_corpus
from slugline.corpus.tables import table_file
from slugline.corpus.topic_cells import format_topics, read_topics
from slugline.errors import DataError, OptionError

TEXTS = ["wheat and maize", "net profit", "nothing", "only wheat"]
TOPICS = [("grain", "corn"), ("earn",), (), ("grain",)]
ARRAY = TopicForm("array")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str) -> str:
    Path(name).write_text(content, "utf-8")
    return name


def write_jsonl(name: str, topics: list[Any], key: str = "topics") -> str:
    texts = (f"text {n}" for n in range(len(topics)))
    rows = [{"text": text, key: each} for text, each in zip(texts, topics, strict=True)]
    return write(name, "".join(f"{json.dumps(row)}\n" for row in rows))


def test_load_corpus_reads_json_lists_as_several_topics() -> None:
    rows = [{"text": text, "topics": each} for text, each in zip(TEXTS, TOPICS, strict=True)]
    write("a.json", json.dumps(rows))

    corpus = load_corpus("a.json")

    assert (corpus.texts, corpus.topics, corpus.multilabel) == (TEXTS, TOPICS, True)
    assert corpus.layout == Layout(("text",), "topics", topic_form=ARRAY)
    assert corpus.notes[1:] == ("1 document has no topic; it counts, too (item 3)",)
    assert load_corpus(write_jsonl("b.jsonl", [*map(list, TOPICS)])).topics == TOPICS


def test_load_corpus_names_topics_of_lists_like_single_ones() -> None:
    numbers = load_corpus(write_jsonl("a.jsonl", [[3, 3.0, " 4"], [1.5], ["7"]]))
    words = load_corpus(write_jsonl("b.jsonl", [[True, "a"], [False]]))

    assert numbers.topics == [("3", "4"), ("1.5",), ("7",)]
    assert words.topics == [("true", "a"), ("false",)]


def test_load_corpus_gives_tuples_if_one_topic_is_a_list() -> None:
    write_jsonl("a.jsonl", ["x"] * 150 + [["x", "y"]])
    write("b.txt", "__label__z one\n")

    assert load_corpus("a.jsonl").topics[149:] == [("x",), ("x", "y")]
    several = load_corpus(["b.txt", "a.jsonl"])
    assert several.topics[:2] == [("z",), ("x",)]
    assert several.layout is None


def test_load_corpus_reads_parquet_lists_as_several_topics(write_parquet: Any) -> None:
    columns = {
        "text": ("VARCHAR", TEXTS),
        "topics": ("VARCHAR[]", [*map(list, TOPICS)]),
        "words": ("INTEGER[]", [[1, 2]] * 4),
    }
    write_parquet("a.parquet", columns)
    write_parquet(
        "b.parquet", {"text": ("VARCHAR", ["a", "b"]), "labels": ("BIGINT[]", [[3], [1, 3]])}
    )
    write_parquet("c.parquet", columns | {"topics": ("VARCHAR[]", [["a"], None, ["a", None], []])})

    assert load_corpus("a.parquet").topics == TOPICS
    assert load_corpus("b.parquet").topics == [("3",), ("1", "3")]
    with pytest.raises(DataError) as error:
        load_corpus("c.parquet")
    assert str(error.value).startswith(
        "c.parquet: 1 of 4 rows can't be used: an empty topic, or one with a NUL character, in a "
        "list of topics (row 3); fix them."
    )


def test_load_corpus_reads_tuples_sets_and_arrays_of_data_frames() -> None:
    cells = pd.Series([("a", "b"), {"c"}, pd.array(["a", "c"], dtype="string")])

    assert load_corpus(pd.DataFrame({"text": TEXTS[:3], "topics": cells})).topics == [
        ("a", "b"), ("c",), ("a", "c")
    ]  # fmt: skip


def test_load_corpus_rejects_missing_values_in_lists() -> None:
    for missing in (None, float("nan"), pd.NA, pd.NaT):
        frame = pd.DataFrame({"text": ["x", "y"], "topics": [["a"], ["a", missing]]})
        with pytest.raises(DataError, match="1 of 2 rows can't be used: an empty topic"):
            load_corpus(frame)


CSV = "text,topic\nwheat and maize,grain; corn\nnet profit,earn;\nnothing,\nonly wheat,grain\n"


def test_load_corpus_splits_cells_at_the_topic_separator() -> None:
    write("a.csv", CSV)
    Path("a.xlsx").write_bytes(table_file((line.split(",") for line in CSV.splitlines()), None))

    for name in ("a.csv", "a.xlsx"):
        corpus = load_corpus(name, topic_separator=";")
        assert (corpus.texts, corpus.topics) == (TEXTS, TOPICS)
        assert corpus.layout == Layout(("text",), "topic", topic_form=TopicForm("separator", ";"))
    frame = pd.read_csv("a.csv", keep_default_na=False)
    assert load_corpus(frame, topic_separator=";").topics == TOPICS


def test_load_corpus_assumes_no_topic_separator() -> None:
    write("a.csv", CSV.replace("nothing,", "nothing,corn;grain"))

    corpus = load_corpus("a.csv")

    assert corpus.topics == ["grain; corn", "earn;", "corn;grain", "grain"]
    assert 'use `topic_separator=";"`' in corpus.notes[-1]


def test_load_corpus_distinguishes_missing_topics_and_empty_cells() -> None:
    write_jsonl("a.jsonl", ["a;b", None, ""], "topic")

    corpus = load_corpus("a.jsonl", topic_separator=";")
    assert corpus.topics == [("a", "b"), ()]
    assert corpus.n_unlabelled == 1


def test_load_corpus_takes_a_question_mark_for_unlabelled() -> None:
    write("a.csv", "text,topics\none,a;b\ntwo,?\nthree,\nfour, ?\nfive,b;?\n")

    corpus = load_corpus("a.csv", "text", "topics", topic_separator=";")

    assert corpus.topics == [("a", "b"), (), ("b", "?")]
    assert corpus.notes == (
        "1 document has no topic; it counts, too; mark cells that are not labelled yet with ? "
        "(line 4)",
        "left out: 2 of 5 rows are not labelled yet, with ? in column 'topics' (lines 3 and 5)",
    )


def test_load_corpus_takes_empty_topic_columns_for_unlabelled() -> None:
    write("a.csv", "text,x,y\none,1,0\ntwo,,\nthree,0,0\n")

    corpus = load_corpus("a.csv", "text", topic_columns="x,y")

    assert (corpus.topics, corpus.n_unlabelled) == ([("x",), ()], 1)
    assert corpus.notes[1] == (
        "left out: 1 of 3 rows is not labelled yet, with empty topic columns (line 3)"
    )


COLUMNS = "text,grain,corn,earn,rye\n" + "".join(
    f"{text},{','.join(str(int(name in topics)) for name in ('grain', 'corn', 'earn', 'rye'))}\n"
    for text, topics in zip(TEXTS, TOPICS, strict=True)
)


@pytest.mark.parametrize("columns", ["grain, corn,earn,rye", ["grain", "corn", "earn", "rye"]])
def test_load_corpus_reads_topic_columns(columns: Any) -> None:
    corpus = load_corpus(write("a.csv", COLUMNS), topic_columns=columns)

    assert (corpus.texts, corpus.topics) == (TEXTS, TOPICS)
    assert corpus.notes == (
        "read column 'text' as text; choose another with `text`",
        "1 document has no topic; it counts, too (line 4)",
        "no document has these topics, which are left out: 'rye'",
    )
    assert corpus.layout == Layout(
        ("text",),
        "grain,corn,earn,rye",
        topic_form=TopicForm("columns", columns=("grain", "corn", "earn", "rye")),
    )


def test_load_corpus_names_a_topic_column_with_other_values() -> None:
    frame = pd.DataFrame({"text": list("abcd"), "x": [1, 2, None, -1], "y": [0, 1, 0, 0]})

    with pytest.raises(DataError) as error:
        load_corpus(frame, topic_columns=["x", "y"])

    assert str(error.value) == (
        "the DataFrame: 3 of 4 rows can't be used: '2' in column 'x' of 0 and 1 (row 1); no 0 or 1 "
        "in column 'x' of 0 and 1 (row 2); '-1' in column 'x' of 0 and 1 (row 3); fix them. "
        "Slugline read column 'text' as text; choose another with `text`."
    )


def test_load_corpus_reads_texts_and_uris_of_annif() -> None:
    lines = [
        'A "quote, and wheat\t<http://a.org/1> <http://a.org/2>', "No subjects\t",
        "One\thttp://a.org/2",
    ]  # fmt: skip
    write("a.tsv", "".join(f"{line}\n" for line in lines))

    corpus = load_corpus("a.tsv")

    assert corpus.texts == ['A "quote, and wheat', "No subjects", "One"]
    assert corpus.topics == [("http://a.org/1", "http://a.org/2"), (), ("http://a.org/2",)]
    assert corpus.layout == Layout(("text",), "topic", topic_form=TopicForm("uris"))
    with pytest.raises(DataError, match="1 of 2 rows can't be used: no topic \\(line 2\\)"):
        load_corpus(write("b.tsv", f"{lines[0]}\nno tab\n"))


def test_read_rows_keeps_the_header_of_a_table_with_uris() -> None:
    write("a.tsv", "text\ttopic\none\t<http://a.org/1>\ntwo\t<http://a.org/2>\n")

    assert load_corpus("a.tsv").topics == ["<http://a.org/1>", "<http://a.org/2>"]


# Bad input


@pytest.mark.parametrize(
    ("topics", "problem"),
    [
        (["a", ["b"]], "a list in a list of topics"),
        ([["a"]], "a list in a list of topics"),
        (["a", {"b": 1}], "an object in a list of topics"),
        (["a", None], "an empty topic, or one with a NUL character, in a list of topics"),
        (["a", " "], "an empty topic, or one with a NUL character, in a list of topics"),
        (["a\0"], "an empty topic, or one with a NUL character, in a list of topics"),
        (["a", 5], "a number as topic, such as '5', unlike most topics, such as 'x'"),
        ({"a": 1}, "an object instead of a topic"),
    ],
)
def test_load_corpus_rejects_lists_that_hold_no_topics(topics: Any, problem: str) -> None:
    write_jsonl("a.jsonl", [["x", "y"], ["x"], topics])

    with pytest.raises(DataError) as error:
        load_corpus("a.jsonl")

    assert str(error.value).startswith(f"a.jsonl: 1 of 3 rows can't be used: {problem} (line 3); ")


def test_load_corpus_notes_unusual_topics() -> None:
    many = [f"topic {n}" for n in range(500)]
    write_jsonl("a.jsonl", [["x", "y", "x"], many, ["y"]])

    corpus = load_corpus("a.jsonl", text="text", topic="topics")

    assert corpus.topics == [("x", "y"), tuple(many), ("y",)]
    assert corpus.notes == (
        "a duplicate topic, counted once (line 1)",
        "more than 100 topics for one document; check the separator (line 2)",
    )


def test_load_corpus_rejects_a_file_without_any_topic() -> None:
    with pytest.raises(DataError) as error:
        load_corpus(write_jsonl("a.jsonl", [[], []]))

    assert str(error.value) == (
        "a.jsonl has no document with a topic; check how topics are written."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"topic_separator": ""},
            "`topic_separator` is ''; give the topic separator, such as ';'.",
        ),
        (
            {"topic_separator": "and"},
            "`topic_separator` is 'and'; give the topic separator, such as ';'.",
        ),
        (
            {"topic_separator": ";", "topic_columns": "grain"},
            "`topic_separator` and `topic_columns` can't be combined; give only one of them.",
        ),
        (
            {"topic": "grain", "topic_columns": "grain"},
            "`topic` names one column, and `topic_columns` a column for each topic; give only one "
            "of them.",
        ),
        (
            {"topic_columns": "grain,,corn"},
            "`topic_columns` is 'grain,,corn'; name the column of each topic once.",
        ),
        ({"topic_columns": []}, "`topic_columns` is []; name the column of each topic once."),
        (
            {"topic_columns": "grain,crn"},
            "a.csv has no column 'crn'; found 'text', 'grain', 'corn', 'earn', 'rye'; did you "
            "mean 'corn'?",
        ),
    ],
)  # fmt: skip
def test_load_corpus_rejects_invalid_forms_of_topics(options: Any, message: str) -> None:
    write("a.csv", COLUMNS)

    with pytest.raises(OptionError) as error:
        load_corpus("a.csv", **options)

    assert str(error.value) == message


def test_load_corpus_rejects_a_separator_for_a_named_data_set() -> None:
    with pytest.raises(OptionError, match="omit column and format options"):
        load_corpus("tickets", topic_separator=";")


# The form of the training data


def test_read_corpus_uses_the_topic_form_of_the_layout() -> None:
    separated = Layout(("text",), "topic", topic_form=TopicForm("separator", ";"))
    columns = load_corpus(write("a.csv", COLUMNS), topic_columns="grain,corn,earn,rye").layout
    labels = Layout(("text",), "topic", topic_form=TopicForm("label"))
    write("b.csv", CSV)
    write("c.txt", "__label__grain one\n__label__corn two\n")

    assert read_corpus("b.csv", ReadOptions(layout=separated)).topics == TOPICS
    assert read_corpus("a.csv", ReadOptions(layout=columns)).topics == TOPICS
    assert read_corpus("c.txt", ReadOptions(layout=labels)).topics == [("grain",), ("corn",)]
    # Files of other kinds are read as they are.
    assert read_corpus("c.txt", ReadOptions(layout=separated)).topics == ["grain", "corn"]
    write("d.csv", CSV.replace("nothing,", "nothing,rye"))
    assert read_corpus("d.csv", ReadOptions(layout=columns)).topics[1:3] == ["earn;", "rye"]


def test_read_corpus_names_missing_topic_columns() -> None:
    layout = load_corpus(write("a.csv", COLUMNS), topic_columns="grain,corn,earn,rye").layout
    write("b.csv", "text,grain,corn\nwheat,1,0\nprofit,0,0\n")

    with pytest.raises(DataError) as error:
        read_corpus("b.csv", ReadOptions(layout=layout))

    assert str(error.value) == (
        "b.csv has no column 'earn' and 'rye', the topic in the model's training data; found "
        "'text', 'grain', 'corn'; pass the topic column with `topic_columns`."
    )
    options = ReadOptions(layout=layout, topic_columns="grain,corn")
    assert read_corpus("b.csv", options).topics == [("grain",), ()]


NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters=";<>,"), max_size=8
).map("x".__add__)


@given(st.lists(st.lists(NAMES, unique=True, max_size=4), min_size=1, max_size=4).filter(any))
@pytest.mark.parametrize("kind", ["array", "separator", "columns", "label", "uris"])
def test_format_topics_is_the_inverse_of_read_topics(kind: Any, topics: list[list[str]]) -> None:
    names = tuple(dict.fromkeys(name for each in topics for name in each))
    form = TopicForm(kind, ";" if kind == "separator" else "", names if kind == "columns" else ())
    if kind == "label":  # which can't say that there is no topic
        topics = [[*each, "last"] for each in topics]
        topics[0].insert(0, "first")
    if kind == "uris":
        topics = [[f"http://{name}" for name in each] for each in [["x"], *topics]]
    texts = [f"text {n}" for n in range(len(topics))]
    written: list[Any] = [format_topics(each, form) for each in topics]
    options: dict[str, Any] = {"topic_separator": ";"} if kind == "separator" else {}
    if kind == "label":
        write("a.txt", "".join(f"{y} {text}\n" for y, text in zip(written, texts, strict=True)))
    elif kind == "uris":
        write("a.tsv", "".join(f"{text}\t{y}\n" for y, text in zip(written, texts, strict=True)))
    elif kind == "columns":
        rows = [{"the text": text, **y} for text, y in zip(texts, written, strict=True)]
        write("a.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
        options = {"topic_columns": names, "text": "the text"}
    else:
        write_jsonl("a.jsonl", written)
    name = {"label": "a.txt", "uris": "a.tsv"}.get(kind, "a.jsonl")

    corpus = load_corpus(name, **options)

    order = {name: n for n, name in enumerate(names)}
    if kind == "columns":
        topics = [sorted(each, key=order.__getitem__) for each in topics]
    assert corpus.topics == [*map(tuple, topics)]
    assert corpus.layout is not None
    assert corpus.layout.topic_form == form


@pytest.mark.parametrize(
    ("topic", "form", "message"),
    [
        (
            "a;b",
            TopicForm("separator", ";"),
            "topic 'a;b' contains the separator ';'; rename it, or write the "
            "topics as a list, in JSON.",
        ),
        (
            "a b",
            TopicForm("label"),
            "topic 'a b' contains the separator ' '; rename it, or write the "
            "topics as a list, in JSON.",
        ),
        (
            "a",
            TopicForm("columns", columns=("b", "c")),
            "topic 'a' is not among the columns 'b', 'c'; write the topics as a list, in JSON.",
        ),
    ],
)
def test_format_topics_rejects_a_topic_that_the_form_cannot_hold(
    topic: str, form: TopicForm, message: str
) -> None:
    with pytest.raises(DataError) as error:
        format_topics([topic], form)

    assert str(error.value) == message
    assert format_topics([topic], None) == [topic]
    assert read_topics([topic], None) == (topic,)
