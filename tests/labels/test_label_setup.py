"""A file of labels is opened: who is stored as a coder, and whether texts have several topics."""

from __future__ import annotations

from pathlib import Path

import pytest

from slugline.corpus.label_database.records import Selection
from slugline.errors import DataError
from slugline.labels.label_setup import LabelOptions, open_labels
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

TABLE = TextTable("texts.csv", ["Wheat rose", "Net profit fell"])


def opened_notes(path: Path, *, is_multilabel: bool | None = None) -> list[str]:
    """Open a file of labels as Kim; return the remarks on it."""
    options = LabelOptions(coder="Kim", is_multilabel=is_multilabel)
    with open_labels(path, TABLE, options) as labels:
        return [*labels.notes]


def label_text(path: Path, *topics: str) -> None:
    """Let Lee give topics to the first text."""
    with LabelStore(path) as store:
        store.add_coder("Lee")
        for topic in topics:
            store.add_topic(topic, "Lee")
        [document] = store.add_documents([TABLE.document(0)])
        assignment = store.assign("Lee", document, Selection("random", 0.5, 2))
        assert assignment is not None
        store.label(assignment.id, topics)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.db"


def test_open_labels_adds_only_who_labels_without_a_token(path: Path) -> None:
    with open_labels(path, TABLE, LabelOptions(coder="Kim", has_tokens=True)) as labels:
        assert labels.store.coders() == []
    with open_labels(path, TABLE, LabelOptions(coder="Kim")) as labels:
        assert [coder.name for coder in labels.store.coders()] == ["Kim"]


def test_open_labels_adds_who_brings_topics(path: Path) -> None:
    options = LabelOptions(coder="Kim", has_tokens=True, descriptions={"grain": "Cereals"})
    with open_labels(path, TABLE, options) as labels:
        assert [coder.name for coder in labels.store.coders()] == ["Kim"]


def test_open_labels_says_that_texts_with_labels_may_have_several_topics_now(path: Path) -> None:
    opened_notes(path)
    label_text(path, "grain")
    [note] = opened_notes(path, is_multilabel=True)
    assert "may have any number of topics, for all coders" in note
    assert opened_notes(path, is_multilabel=True) == opened_notes(path) == []
    with LabelStore(path) as store:
        assert store.is_multilabel
    [note] = opened_notes(path, is_multilabel=False)
    assert note.endswith("have one topic each")
    with LabelStore(path) as store:
        assert not store.is_multilabel


def test_open_labels_of_a_new_file_says_nothing_of_several_topics(path: Path) -> None:
    assert opened_notes(path, is_multilabel=True) == []


def test_open_labels_keeps_several_topics_that_a_text_has(path: Path) -> None:
    opened_notes(path, is_multilabel=True)
    label_text(path, "grain", "earn")
    with pytest.raises(DataError, match="has a label of several topics"):
        opened_notes(path, is_multilabel=False)


def test_records_have_no_column_of_a_coder_who_labelled_nothing(path: Path) -> None:
    opened_notes(path)
    label_text(path, "grain")
    with LabelStore(path) as store:
        [row] = store.to_records()
        assert [name for name in row if name.startswith("topics of")] == ["topics of Lee"]
