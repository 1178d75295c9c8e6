"""Label databases as data: documents with an answer are read, others are counted."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.label_database.records import Selection
from slugline.corpus.label_database.tables import TEXT_COLUMNS, TOPIC_COLUMN
from slugline.corpus.layout import Layout, ReadOptions
from slugline.corpus.loading import load_corpus, read_corpus, read_texts
from slugline.corpus.readers import read_rows
from slugline.errors import DataError
from slugline.labels.cells import NewDocument
from slugline.labels.store import LabelStore

TOPICS = ("grain", "earn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels"


@pytest.fixture
def store(path: Path) -> Iterator[LabelStore]:
    with LabelStore(path) as store:
        for coder in ("Kim", "Lee"):
            store.add_coder(coder)
        for topic in TOPICS:
            store.add_topic(topic, "Kim")
        store.add_documents(
            NewDocument(f"id {n}", f"text {n}", {"subject": f"s{n}", "price": n}) for n in range(8)
        )
        yield store


def label(store: LabelStore, coder: str, document: int, *topics: str) -> None:
    assignment = store.assign(coder, document, Selection("suggested", 0.5))
    assert assignment is not None
    if topics:
        store.label(assignment.id, topics)
    else:
        store.skip(assignment.id, "unclear")


def test_load_corpus_reads_documents_with_an_answer(path: Path, store: LabelStore) -> None:
    label(store, "Kim", 1, "grain")
    label(store, "Kim", 2, "earn")
    label(store, "Kim", 3, "grain")
    label(store, "Lee", 3, "earn")
    label(store, "Kim", 4)
    label(store, "Kim", 5, "earn")
    store.add_documents([NewDocument("id 4", "changed")])
    store.rename_topic("grain", "crops", "Kim")
    corpus = load_corpus(path)
    assert corpus.texts == ["text 0", "text 1"]
    assert corpus.topics == ["crops", "earn"]
    assert corpus.place(1) == "document 2"
    assert corpus.notes == (
        "left out: 1 document on which coders disagree, 1 skipped document, 4 documents without a "
        "label and 1 document with text changed since",
    )


def test_load_corpus_says_that_a_model_doubted_labelled_texts(
    path: Path, store: LabelStore
) -> None:
    for document in range(1, 5):
        label(store, "Kim", document, "grain")
    assert "doubted" not in "".join(load_corpus(path).notes)
    for document in range(5, 9):
        label(store, "Kim", document, "earn")
    note = (
        "8 of 8 labels are for texts that a model doubted, so accuracy on these labels "
        "is usually lower than on all texts"
    )
    assert load_corpus(path).notes == (note,)


def test_load_corpus_reads_several_topics(path: Path, store: LabelStore) -> None:
    store.set_multilabel(True)
    label(store, "Kim", 1, "grain", "earn")
    label(store, "Kim", 2, "earn")
    assert load_corpus(path).topics == [("grain", "earn"), ("earn",)]


def test_load_corpus_names_columns_as_the_users_file_does(path: Path, store: LabelStore) -> None:
    label(store, "Kim", 1, "grain")
    label(store, "Kim", 2, "earn")
    store.set_settings({TEXT_COLUMNS: '["Body"]', TOPIC_COLUMN: "Queue"})
    layout = load_corpus(path).layout
    assert layout is not None
    assert (layout.text, layout.topic) == (("Body",), "Queue")
    corpus = read_corpus(path, ReadOptions(columns=["price"]))
    assert corpus.texts[0] == "text 0"


def test_load_corpus_joins_several_columns_of_text(path: Path, store: LabelStore) -> None:
    document = NewDocument("id 9", "wheat\nrose", {"subject": "wheat", "body": "rose"})
    [number] = store.add_documents([document])
    label(store, "Kim", number, "grain")
    store.set_settings({TEXT_COLUMNS: '["subject", "body"]'})
    assert load_corpus(path).texts == ["wheat\nrose"]


def test_a_models_layout_does_not_change_which_columns_are_read(
    path: Path, store: LabelStore
) -> None:
    label(store, "Kim", 1, "grain")
    layout = Layout(("title",), "queue", format="txt")
    assert read_corpus(path, ReadOptions(layout=layout)).texts == ["text 0"]


def test_load_corpus_lets_users_choose_another_column(path: Path, store: LabelStore) -> None:
    label(store, "Kim", 1, "grain")
    assert load_corpus(path, text="subject").texts == ["s0"]


def test_read_texts_reads_a_label_database(path: Path, store: LabelStore) -> None:
    label(store, "Kim", 1, "grain")
    store.add_documents([NewDocument("id 7", "changed")])
    assert read_texts(read_rows(path)).texts == ["text 0"]
    rows = read_rows(path, fallback="txt")
    assert read_texts(rows).texts == [*(f"text {n}" for n in range(7)), "changed"]


def test_read_rows_gives_the_labels_of_one_moment(path: Path, store: LabelStore) -> None:
    label(store, "Kim", 1, "grain")
    rows = iter(read_rows(path))
    label(store, "Kim", 2, "earn")
    assert [row.values["topic"] for row in rows] == ["grain"]


def test_load_corpus_says_why_a_database_has_no_answer(path: Path, store: LabelStore) -> None:
    label(store, "Kim", 4)
    with pytest.raises(DataError) as caught:
        load_corpus(path)
    assert str(caught.value) == (
        f"{path} contains no labelled documents yet (1 skipped document and 7 documents without a "
        "label); label some."
    )


def test_load_corpus_says_how_to_learn_from_imported_labels(path: Path, store: LabelStore) -> None:
    store.add_coder("llm", "imported")
    label(store, "llm", 1, "grain")
    with pytest.raises(DataError) as caught:
        load_corpus(path)
    assert str(caught.value) == (
        f"{path} contains only labels by imported coders (1 document), which don't count as "
        "answers. Label some documents, or import FILE as answers: slugline labels "
        f"import {path} FILE"
    )


def test_load_corpus_reads_approved_corrections(path: Path, store: LabelStore) -> None:
    fields: dict[str, Any] = {"answer": "earn", "probability": 0.5, "model": "m", "digest": "d"}
    for number in range(3):
        store.add_correction(text=f"Maize {number}", topic="grain", **fields)
    with pytest.raises(DataError, match=r"no labelled documents yet \(11 documents without"):
        load_corpus(path)
    first, second, _ = store.pending_corrections()
    store.approve_correction(first, "Kim")
    store.approve_correction(second, "Kim")
    store.undo_correction(second, "Kim")
    assert (load_corpus(path).texts, load_corpus(path).topics) == (["Maize 0"], ["grain"])


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE users (name)", "it is the file of another program; name the file that"),
        ("PRAGMA user_version = 1", "it is the file of another program; name the file that"),
    ],
)
def test_load_corpus_names_another_programs_database(
    tmp_path: Path, statement: str, message: str
) -> None:
    path = tmp_path / "other.csv"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    with pytest.raises(DataError, match=message):
        load_corpus(path)


def test_load_corpus_names_a_later_version(path: Path, store: LabelStore) -> None:
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="in format 99 of a later Slugline"):
        load_corpus(path)


def test_load_corpus_names_a_damaged_row(path: Path, store: LabelStore) -> None:
    label(store, "Kim", 1, "grain")
    store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE decisions SET topics = x'5b395d'")
    with pytest.raises(DataError, match=r"is damaged: decision 1 can't be read \(9\)"):
        load_corpus(path)
