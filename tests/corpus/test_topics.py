"""Names of topics: folding their spellings, renaming them, warning of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import load
from slugline.corpus.corpus import Corpus
from slugline.corpus.loading import load_corpus
from slugline.corpus.topics import fold_topics, name_warnings, read_topic_map, rename_topics
from slugline.errors import DataError

Run = Callable[..., Any]

SPELLED = ["Billing", "billing", "Billing", "BILLING", "late  fee", "Late fee", "late  fee", "card"]
WARNING = (
    "2 topics are written in several ways, which differ only in case or spaces and count "
    "as separate topics: 'Billing', 'BILLING', 'billing'; 'late  fee', 'Late fee'. Use "
    "`fold_topics` to merge them under the most common spelling."
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def corpus_of(topics: Sequence[str]) -> Corpus:
    return Corpus([f"text {n}" for n in range(len(topics))], list(topics), "example")


def write_csv(name: str, topics: Sequence[str], texts: Sequence[str] | None = None) -> str:
    texts = texts or [f"text {n}" for n in range(len(topics))]
    rows = [f'{text},"{topic}"\n' for text, topic in zip(texts, topics, strict=True)]
    Path(name).write_text("".join(["text,topic\n", *rows]))
    return name


def test_name_warnings_report_spellings() -> None:
    assert name_warnings(SPELLED) == [WARNING]
    assert load_corpus(write_csv("a.csv", SPELLED), "text", "topic").notes == (WARNING,)


def test_apply_topic_rules_merges_topics_of_a_document() -> None:
    corpus = Corpus(list("abcd"), [("Grain", "wheat", "grain"), (), ("grain",), ("maize",)])

    renamed = rename_topics(corpus, {"wheat": "grain", "rye": "corn", "maize": "corn"})
    folded = fold_topics(renamed)

    assert renamed.topics == [("Grain", "grain"), (), ("grain",), ("corn",)]
    assert renamed.notes == (
        "these topics to rename occur in no document: 'rye'; check their spelling",
    )
    assert folded.topics == [("grain",), (), ("grain",), ("corn",)]
    assert folded.notes[1:] == (
        "changed case or spaces in the topics of 1 document, to match other documents: 'grain'",
    )


@pytest.mark.parametrize("separator", [";", "|", "\t"])
def test_name_warnings_report_a_separator_in_most_topics(separator: str) -> None:
    several = [f"card{separator}fee", f"fee {separator} loan", f"card{separator}fee"]
    ended = [f"{topic}{separator}" for topic in ("card", "fee", "loan")]

    (warning,) = name_warnings([*several, "card", "fee"])

    assert warning.startswith(f"most documents have {separator!r} in their topic: {several[0]!r}")
    assert name_warnings([*several, "card", "fee", "loan"] * 2 + ["x"]) == (
        [] if separator == "\t" else ["6" + warning.removeprefix("most")]
    )
    assert name_warnings(ended) == []


def test_name_warnings_propose_a_separator_of_recurring_parts() -> None:
    topics = ["grain;wheat", "grain;corn", "corn;wheat", *["earn"] * 10]

    (warning,) = name_warnings(topics)

    assert warning == (
        "3 documents have ';' in their topic: 'grain;wheat', 'grain;corn', 'corn;wheat'. Each "
        "combination counts as a separate topic; to split them into topics, use "
        '`topic_separator=";"`, or else keep one topic per document, for example with '
        "`topic_map`, or check the separator of the table."
    )
    assert name_warnings([topic.replace(";", ",") for topic in topics]) == []
    assert name_warnings(["a;b", "c;d", *["earn"] * 10]) == []


def test_name_warnings_report_spellings_of_a_model() -> None:
    (warning,) = name_warnings(["card", "card"], model_topics=["Card", "cash"])

    assert warning.startswith("1 topic is written in several ways")
    assert "'card', 'Card'" in warning


def test_name_warnings_report_misspelt_topics() -> None:
    topics = ["biling", *["billing"] * 9, *["retrun"] * 2, *["return"] * 10]

    assert name_warnings(topics) == [
        "2 topics are probably misspelt: 'biling' (1 document) for 'billing' (9), 'retrun' "
        "(2 documents) for 'return' (10). Correct them in the data, or rename them with "
        "`topic_map`."
    ]


def test_name_warnings_report_topics_with_another_ending_or_accent() -> None:
    topics = [*["Rechnung"] * 9, "Rechnungen", *["Rückgabe"] * 9, "Ruckgabe", "Rückfrage"]
    [warning] = name_warnings(topics)
    assert warning.startswith(
        "2 topics are probably misspelt: 'Rechnungen' (1 document) for 'Rechnung' (9), 'Ruckgabe' "
        "(1 document) for 'Rückgabe' (9)."
    )


def test_name_warnings_report_misspellings_of_a_model_topic() -> None:
    assert name_warnings(["biling"], model_topics=["billing", "card"]) == [
        "1 topic is probably misspelt: 'biling' (1 document) for 'billing'. Correct it in the "
        "data, or rename it with `topic_map`."
    ]
    assert name_warnings(["biling"], model_topics=["billing", "biling"]) == []


@pytest.mark.parametrize(
    ("rare", "frequent"),
    [
        ("topic 1", "topic 2"),
        ("group a", "group b"),
        ("type ii", "type i"),
        ("corn", "coin"),
        ("card_arrival", "card_payment"),
    ],
)
def test_name_warnings_accept_names_that_are_meant(rare: str, frequent: str) -> None:
    assert name_warnings([rare, *[frequent] * 20]) == []


def test_fold_topics_uses_and_notes_the_most_common_spelling() -> None:
    folded = fold_topics(corpus_of(SPELLED))

    assert folded.topics == ["Billing"] * 4 + ["late  fee"] * 3 + ["card"]
    assert folded.notes == (
        "changed case or spaces in the topics of 3 documents, to match other documents: "
        "'Billing', 'late  fee'",
    )
    assert load_corpus(write_csv("a.csv", SPELLED), fold_topics=True).topics == folded.topics


def test_fold_topics_prefers_known_spellings() -> None:
    folded = fold_topics(corpus_of(["billing", "billing", "new", "New", "new"]), ["BILLING"])

    assert folded.topics == ["BILLING", "BILLING", "new", "new", "new"]


def test_load_corpus_renames_topics_by_a_mapping_or_a_file() -> None:
    write_csv("a.csv", ["bill", "invoice", "card"])
    Path("map.tsv").write_text("from\tto\nbill\tBilling\ninvoice\tBilling\n")
    renamed = ["Billing", "Billing", "card"]

    assert load_corpus("a.csv", topic_map={"bill": "Billing", "invoice": "Billing"}).topics == (
        renamed
    )
    assert load_corpus("a.csv", topic_map="map.tsv").topics == renamed


def test_rename_topics_notes_a_topic_without_documents() -> None:
    corpus = rename_topics(corpus_of(["a"]), {"a": "x", "A": "x", "b": "y"})

    assert corpus.notes == (
        "these topics to rename occur in no document: 'A', 'b'; check their spelling",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "old,new\na,b\n",
            "map.csv has the columns 'old', 'new'; begin "
            "it with the line from,to and put a topic and its new name on each further line.",
        ),
        (
            "from,to\n",
            "map.csv has no rows; begin "
            "it with the line from,to and put a topic and its new name on each further line.",
        ),
        (
            "from,to\na,b\nc,\n",
            "map.csv, line 3: an empty topic name; fill the cell, or delete the line.",
        ),
        (
            "from,to\n ,b\n",
            "map.csv, line 2: an empty topic name; fill the cell, or delete the line.",
        ),
        ("from,to\na,b\na ,c\n", "map.csv, line 3: 'a' occurs twice; delete one of its lines."),
        ("from,to\na,b,c\n", "map.csv, line 2: 3 cells instead of 2; fix them."),
    ],
    ids=["other columns", "no rows", "no new name", "no name", "twice", "too many cells"],
)
def test_read_topic_map_rejects_invalid_files(content: str, message: str) -> None:
    Path("map.csv").write_text(content)

    with pytest.raises(DataError) as error:
        read_topic_map("map.csv")

    assert str(error.value) == message


# On the command line ----------------------------------------------------------------------------


def shouted(topics: Sequence[str], every: int) -> list[str]:
    return [topic.upper() if n % every == 0 else topic for n, topic in enumerate(topics)]


def test_train_warns_of_spellings_and_folds_them_on_request(
    run: Run, texts: list[str], topics: list[str]
) -> None:
    write_csv("t.csv", shouted(topics, 4), texts)

    warned = run("train", "t.csv", "--json", "-q")
    folded = run("train", "t.csv", "--json", "-q", "--fold-topics")

    assert json.loads(warned.out)["data"]["n_topics"] == 6
    assert "warning: 3 topics are written in several ways" in warned.err
    assert json.loads(folded.out)["data"]["n_topics"] == 3
    assert folded.err == ""
    assert list(load("model.slug").classes_) == ["bank", "grain", "sport"]
    assert "3 topics are written" not in Path("model.html").read_text("utf-8")


def test_train_folds_test_files_to_learned_spellings(
    run: Run, texts: list[str], topics: list[str]
) -> None:
    write_csv("t.csv", topics, texts)
    write_csv("test.csv", [topic.upper() for topic in topics[:30]], texts[:30])

    result = run("train", "t.csv", "--test", "test.csv", "--fold-topics", "--json")

    assert json.loads(result.out)["evaluation"]["accuracy"] > 0.9


def test_evaluate_folds_topics_to_the_spelling_of_the_model(
    run: Run, news_slug: Path, texts: list[str], topics: list[str]
) -> None:
    write_csv("t.csv", shouted(topics, 2), texts)

    warned = run("evaluate", "news.slug", "t.csv", "--json", "-q")
    folded = run("evaluate", "news.slug", "t.csv", "--json", "-q", "--fold-topics")

    assert "warning: 3 topics are written in several ways" in warned.err
    assert json.loads(warned.out)["accuracy"] < 0.6
    assert json.loads(folded.out)["accuracy"] > 0.9
    assert "written in several ways" not in folded.err


def test_check_accepts_a_model_of_folded_topics(
    run: Run, texts: list[str], topics: list[str]
) -> None:
    write_csv("t.csv", shouted(topics, 4), texts)
    run("train", "t.csv", "--fold-topics", "-q")

    assert run("check", "model.slug", "t.csv", "--fold-topics", "-q").code == 0
