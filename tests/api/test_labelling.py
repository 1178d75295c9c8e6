"""Labelling from Python: the page in the background, frames, and files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

import slugline
from slugline import ServeSettings
from slugline.api.labelling import LabelPage, Texts
from slugline.errors import DataError, OptionError, StoreError
from slugline.labels.cells import ImportedLabel, NewDocument

TEXTS = ["My invoice is wrong", "Where is my parcel?", "I forgot my password", "  "]
ANY_PORT = ServeSettings(port=0)


def open_page(
    output: Path | None, data: Texts = TEXTS, *, settings: ServeSettings = ANY_PORT, **options: Any
) -> LabelPage:
    return slugline.label(
        data, output, coder="Kim", settings=settings, announce=lambda _: None, **options
    )


def decide(page: LabelPage, topic: str) -> str:
    """Label the next text on the page; return the text."""
    text: dict[str, Any] = httpx.post(f"{page.url}v1/next", json={}).json()["text"]
    answer = {"assignment": text["assignment"], "kind": "label", "topics": [topic]}
    reply = httpx.post(f"{page.url}v1/decide", json={**answer, "request": text["text"]})
    assert reply.status_code == 200, reply.text
    return str(text["text"])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Return a label database in which two people labelled, and one text is skipped."""
    with slugline.LabelStore(tmp_path / "labels.db") as store:
        documents = store.add_documents(
            NewDocument(f"id {n}", f"Text {n} of {n % 2}", {"id": str(n)}) for n in range(8)
        )
        for name in ("Kim", "Lee"):
            store.add_coder(name)
            given = [("billing",) if n % 2 else ("delivery",) for n in range(7)]
            store.import_labels(name, map(ImportedLabel, documents, given))
        store.import_labels("Kim", [ImportedLabel(documents[7], None)])
        store.describe_topic("billing", "Kim", description="Invoices")
    return store.path


# The page -----------------------------------------------------------------------------------------


def test_label_answers_in_the_background_until_it_is_stopped(tmp_path: Path) -> None:
    with open_page(tmp_path / "labels.db", topics=["billing"]) as page:
        assert "ended" not in repr(page)
        assert httpx.get(page.url, headers={"Accept": "text/html"}).status_code == 200
        text = decide(page, "billing")
        assert page.url in repr(page)
        assert page.url in page._repr_html_()
    assert not page.is_running
    assert "ended" in repr(page)
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.url)
    with slugline.LabelStore(page.path, is_read_only=True) as store:
        assert [(row["text"], row["topics"]) for row in store.to_records()] == [(text, ["billing"])]
    page.stop()


def test_label_ends_the_earlier_page_of_the_same_labels(tmp_path: Path) -> None:
    first = open_page(tmp_path / "labels.db", topics={"billing": "Invoices"})
    port = int(first.url.rstrip("/").rpartition(":")[2])
    decide(first, "billing")
    with open_page(tmp_path / "labels.db", settings=ServeSettings(port=port)) as second:
        assert not first.is_running
        assert second.url == first.url
        decide(second, "billing")
    with slugline.LabelStore(tmp_path / "labels.db") as store:
        assert store.counts().by_topic == {"billing": 2}


def test_label_reads_a_data_frame_with_its_columns(tmp_path: Path) -> None:
    frame = pytest.importorskip("pandas").DataFrame({"id": [7, 8], "text": TEXTS[:2]})
    with open_page(tmp_path / "labels.db", frame, topics={"billing": "Invoices"}) as page:
        decide(page, "billing")
    with slugline.LabelStore(page.path) as store:
        assert next(store.to_records())["key"] in ("id 7", "id 8")


def test_label_reads_a_file_and_says_what_it_left_out(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("nr,body\n1,My invoice is wrong\n2,\n", "utf-8")
    topics = tmp_path / "topics.csv"
    topics.write_text("name,description\nbilling,Invoices\n", "utf-8")
    with open_page(tmp_path / "labels.db", path, topics=topics) as page:
        decide(page, "billing")
    assert page.notes[-1] == "skipped 1 row without text (line 3)"
    assert slugline.export_labels(page.path, tmp_path / "out.csv").n_labelled == 1  # type: ignore[union-attr]
    assert (tmp_path / "out.csv").read_text("utf-8") == (
        "nr,body,topic\n1,My invoice is wrong,billing\n2,,\n"
    )


def test_label_reads_the_columns_and_the_header_row_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("id,text\ncase,body\nA7,My invoice is wrong\n", "utf-8")
    with open_page(
        tmp_path / "labels.db", path, topics=["billing"], text="body", id="case", header_row=2
    ) as page:
        decide(page, "billing")
    with slugline.LabelStore(page.path) as store:
        assert [row["key"] for row in store.to_records()] == ["id A7"]


def test_label_rejects_labels_of_other_texts(tmp_path: Path) -> None:
    with open_page(tmp_path / "labels.db", topics=["billing"]) as page:
        decide(page, "billing")
    with pytest.raises(DataError, match=r"has labels of 1 other document"):
        open_page(tmp_path / "labels.db", ["Another text"])


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"random_fraction": 0}, "random_fraction"),
        ({"double_fraction": 2}, "double_fraction"),
        ({"settings": "8080"}, "settings"),
        ({"topics": [1]}, "topics"),
        ({"data": [" "]}, "data"),
    ],
)
def test_label_rejects_invalid_parameters(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    with pytest.raises((OptionError, DataError), match=name):
        slugline.label(
            **{"data": TEXTS, "output": tmp_path / "labels.db", "settings": ANY_PORT, **options}
        )


def test_label_keeps_other_machines_out_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="anybody could read and label the texts"):
        open_page(tmp_path / "labels.db", settings=ServeSettings(host="0.0.0.0", port=0))


def test_label_leaves_no_file_behind_if_the_texts_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("a,b,c\n1,2,3\n", "utf-8")
    with pytest.raises(DataError):
        open_page(tmp_path / "labels.db", tmp_path / "texts.csv")
    assert not (tmp_path / "labels.db").exists()


def test_label_goes_on_with_a_file_of_labels_alone(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text\nWheat prices rose\nZinc fell again\n", "utf-8")
    with open_page(tmp_path / "labels.db", tmp_path / "texts.csv", topics=["grain"]) as page:
        first = decide(page, "grain")
    with open_page(None, tmp_path / "labels.db") as page:
        assert page.path == tmp_path / "labels.db"
        assert decide(page, "grain") != first
    with pytest.raises(OptionError, match="`output` is missing"):
        open_page(None, tmp_path / "texts.csv")


def test_label_leaves_the_codebook_as_it_was_changed(tmp_path: Path) -> None:
    topics = {"billing": "Invoices", "refund": "Money back", "delivery": ""}
    open_page(tmp_path / "labels.db", topics=topics).stop()
    with slugline.LabelStore(tmp_path / "labels.db") as store:
        store.rename_topic("billing", "invoices", "Kim")
        store.merge_topic("refund", "invoices", "Kim")
        store.describe_topic("invoices", "Kim", description="Bills")
    open_page(tmp_path / "labels.db", topics={**topics, "delivery": "Parcels"}).stop()
    with slugline.LabelStore(tmp_path / "labels.db") as store:
        codebook = {topic.name: topic.description for topic in store.codebook().topics()}
    assert codebook == {"invoices": "Bills", "delivery": "Parcels"}


# Frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "n_rows", "columns"),
    [
        ("documents", 8, {"id", "key", "text", "status", "topics", "topics of Kim"}),
        ("labels", 15, {"document", "coder", "topics", "skip_reason", "selection", "probability"}),
        ("decisions", 15, {"document", "coder", "kind", "supersedes"}),
        ("codebook", 2, {"name", "description", "examples", "merged_into"}),
    ],
)
def test_label_store_gives_frames(labels: Path, table: Any, n_rows: int, columns: set[str]) -> None:
    pytest.importorskip("pandas")
    with slugline.LabelStore(labels, is_read_only=True) as store:
        frame = store.to_frame(table)
    assert len(frame) == n_rows
    assert columns <= {*frame.columns}


def test_a_label_database_is_data(labels: Path) -> None:
    corpus = slugline.load_corpus(labels)
    assert corpus.topic_counts() == {"billing": 3, "delivery": 4}
    assert slugline.train(str(labels)).classifier.classes_.tolist() == ["billing", "delivery"]


# Agreement, import and export ---------------------------------------------------------------------


def test_measure_agreement_takes_a_path_or_a_store(labels: Path) -> None:
    by_path = slugline.measure_agreement(labels)
    with slugline.LabelStore(labels) as store:
        assert slugline.measure_agreement(store) == by_path
    assert by_path.people.exact.value == 1
    assert repr(by_path).startswith("7 texts labelled by two or more people")
    assert "Krippendorff" in by_path._repr_html_()


def test_labels_are_the_same_after_export_and_import(labels: Path, tmp_path: Path) -> None:
    slugline.export_labels(labels, tmp_path / "file.json", tool="label-studio")
    slugline.import_labels(tmp_path / "copy.db", tmp_path / "file.json")
    rows = []
    for path in (labels, tmp_path / "copy.db"):
        with slugline.LabelStore(path) as store:
            documents = {row["id"]: row["key"] for row in store.to_records()}
            rows.append(
                sorted(
                    (documents[row["document"]], row["coder"], str(row["topics"]), row["at"])
                    for row in store.to_records("labels")
                )
            )
    assert rows[0] == rows[1]


def test_import_labels_stores_documents_under_the_keys_of_the_data(tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    data.write_text("id,text\n7,Wheat rose\n", "utf-8")
    answers = tmp_path / "llm.csv"
    answers.write_text("text,answer\nWheat rose,grain\n", "utf-8")
    report = slugline.import_labels(
        tmp_path / "labels.db", answers, coder="llm", kind="imported", data=data, topic="answer"
    )
    assert report.n_new_labels == 1
    with slugline.LabelStore(tmp_path / "labels.db") as store:
        assert [row["key"] for row in store.to_records()] == ["id 7"]
        assert next(store.to_records("labels"))["coder_kind"] == "imported"


def test_import_labels_reads_the_id_column_and_the_header_row_that_are_named(
    tmp_path: Path,
) -> None:
    data, answers = tmp_path / "texts.csv", tmp_path / "llm.csv"
    data.write_text("case,text\nA7,Wheat rose\n", "utf-8")
    answers.write_text("id,topic\ncase,answer\nA7,grain\n", "utf-8")
    report = slugline.import_labels(
        tmp_path / "labels.db",
        answers,
        coder="llm",
        kind="imported",
        data=data,
        topic="answer",
        id="case",
        header_row=2,
    )
    assert report.n_new_labels == 1
    with slugline.LabelStore(tmp_path / "labels.db") as store:
        assert [row["key"] for row in store.to_records()] == ["id A7"]


def test_import_labels_rejects_an_id_column_that_does_not_exist(tmp_path: Path) -> None:
    answers = tmp_path / "llm.csv"
    answers.write_text("id,text,topic\n7,Wheat rose,grain\n", "utf-8")
    with pytest.raises(OptionError, match="no column 'case'"):
        slugline.import_labels(tmp_path / "labels.db", answers, id="case")


def test_export_labels_asks_for_data_that_is_gone(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot find the labelled file; give it as `data`"):
        slugline.export_labels(labels, tmp_path / "out.csv")


def test_functions_reject_what_is_no_label_database(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="`labels` is 7"):
        slugline.measure_agreement(7)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        slugline.measure_agreement(tmp_path / "missing.db")
    with pytest.raises(OptionError, match="`tool` is 'excel'"):
        slugline.export_labels(
            slugline.LabelStore(tmp_path / "a.db"),
            tmp_path / "out",
            tool="excel",  # type: ignore[arg-type]
        )
