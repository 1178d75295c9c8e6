"""Files of other labelling tools: nothing is lost or changed by a round trip."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slugline.base.checks import short_repr
from slugline.corpus.label_database.records import DocumentLabels, Selection
from slugline.corpus.label_database.tables import TOPIC_COLUMN
from slugline.corpus.topics import read_descriptions
from slugline.errors import DataError, OutputError
from slugline.labels.cells import ImportedLabel, NewDocument, document_keys
from slugline.labels.formats.files import (
    TOOLS,
    ImportReport,
    export_codebook,
    export_file,
    import_file,
)
from slugline.labels.formats.tables import import_table
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# Files as the tools write them --------------------------------------------------------------------

LABEL_STUDIO: list[dict[str, Any]] = [
    {
        "id": 41,
        "data": {"text": "Wheat rose", "price": 3, "tags": ["a", {"b": None}]},
        "annotations": [
            {
                "id": 1001,
                "completed_by": 10,
                "result": [
                    {
                        "id": "Dx_a",
                        "from_name": "topic",
                        "to_name": "text",
                        "type": "choices",
                        "origin": "manual",
                        "value": {"choices": ["grain"]},
                    }
                ],
                "was_cancelled": False,
                "ground_truth": False,
                "created_at": "2026-03-09T22:16:08.728353Z",
                "updated_at": "2026-03-09T22:16:08.728378Z",
                "lead_time": 4.288,
            },
            {
                "id": 1002,
                "completed_by": {"id": 3, "email": "lee@example.org", "first_name": ""},
                "result": [
                    {
                        "from_name": "topic",
                        "to_name": "text",
                        "type": "choices",
                        "value": {"choices": ["earn"]},
                    },
                    {
                        "from_name": "why",
                        "to_name": "text",
                        "type": "textarea",
                        "value": {"text": ["not sure"]},
                    },
                ],
                "was_cancelled": False,
                "updated_at": "2026-03-10T08:00:00Z",
            },
        ],
        "predictions": [
            {
                "model_version": "m1",
                "score": 0.7,
                "result": [
                    {
                        "from_name": "topic",
                        "to_name": "text",
                        "type": "choices",
                        "value": {"choices": ["earn"]},
                    }
                ],
            }
        ],
        "meta": {"batch": 7},
        "project": 83,
        "created_at": "2026-03-09T21:52:49.513742Z",
    },
    {
        "id": 42,
        "data": {"text": "Maize"},
        "annotations": [{"result": [], "was_cancelled": True, "completed_by": 10}],
        "predictions": [],
    },
    {"id": 43, "data": {"text": "Zinc"}, "annotations": [], "predictions": []},
]
DOCCANO: list[dict[str, Any]] = [
    {"id": 5, "text": "Wheat rose", "price": 3, "label": ["grain"], "Comments": ["not sure"]},
    {"id": 6, "text": "Maize", "label": [], "Comments": []},
]
ARGILLA: list[dict[str, Any]] = [
    {
        "id": "a1",
        "fields": {"text": "Wheat rose", "title": "News"},
        "metadata": {"price": 3},
        "suggestions": {"topic": {"value": "earn", "score": None, "agent": "m1"}},
        "responses": {
            "topic": [{"value": "grain", "user_id": "3e760b76-e19a-480a-b436-a85812b98843"}]
        },
        "vectors": {},
        "status": "completed",
        "_server_id": "b1",
    },
    {
        "id": "a2",
        "fields": {"text": "Maize", "title": ""},
        "metadata": {},
        "suggestions": {},
        "responses": {},
        "vectors": {},
        "status": "pending",
        "_server_id": None,
    },
]
PRODIGY: list[dict[str, Any]] = [
    {
        "text": "Wheat rose",
        "meta": {"id": "p1", "price": 3},
        "_input_hash": 1707856494,
        "_task_hash": -1298236362,
        "options": [{"id": "grain", "text": "Grain"}, {"id": "earn", "text": "Earn"}],
        "_view_id": "choice",
        "accept": ["grain"],
        "config": {"choice_style": "single"},
        "answer": "accept",
        "_timestamp": 1773093368,
        "_annotator_id": "news-kim",
        "_session_id": "news-kim",
    },
    {
        "text": "Wheat rose",
        "meta": {"id": "p1", "price": 3},
        "_input_hash": 1707856494,
        "_task_hash": -1298236362,
        "accept": ["earn"],
        "answer": "accept",
        "_annotator_id": "news-lee",
    },
    {"text": "Zinc", "_input_hash": 5, "_task_hash": 6, "accept": [], "answer": "ignore"},
    {"text": "Maize", "_input_hash": 3, "_task_hash": 4, "label": "earn", "answer": "accept"},
]
FILES = {"label-studio": LABEL_STUDIO, "doccano": DOCCANO, "argilla": ARGILLA, "prodigy": PRODIGY}


def write(path: Path, tool: str, items: list[Any]) -> Path:
    is_array = TOOLS[tool].file_format == "json"
    text = json.dumps(items) if is_array else "".join(json.dumps(item) + "\n" for item in items)
    path.write_text(text, "utf-8")
    return path


def read(path: Path, tool: str) -> list[Any]:
    text = path.read_text("utf-8")
    return (
        json.loads(text)
        if TOOLS[tool].file_format == "json"
        else [*map(json.loads, text.splitlines())]
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels.db") as store:
        yield store


def content(each: DocumentLabels, *, coders: bool = True) -> tuple[Any, ...]:
    """Return what must not change: text, columns, and the labels with coders, times and notes."""
    labels = [
        (
            *((one.assignment.coder.name, one.at) if coders else ()),
            one.kind,
            one.topics,
            one.reason,
            one.note,
        )
        for one in each.decisions
    ]
    return each.document.text, each.document.columns, sorted(labels, key=repr), each.answer


def contents(store: LabelStore) -> list[tuple[Any, ...]]:
    return [content(each) for each in store.labels()]


# Files of the tools -------------------------------------------------------------------------------


def test_import_file_reads_label_studio(store: LabelStore, tmp_path: Path) -> None:
    report = import_file(store, write(tmp_path / "a.json", "label-studio", LABEL_STUDIO))
    assert report == ImportReport(3, 3, 4, 4)
    first, second, third = store.labels()
    assert first.document.columns == {"price": 3, "tags": ["a", {"b": None}], "meta": {"batch": 7}}
    assert [(each.assignment.coder.name, each.topics, each.at) for each in first.decisions] == [
        ("user 10", ("grain",), "2026-03-09T22:16:08.728Z"),
        ("lee@example.org", ("earn",), "2026-03-10T08:00:00.000Z"),
        ("m1", ("earn",), first.decisions[2].at),
    ]
    assert first.decisions[1].note == "not sure"
    assert first.status == "open"
    assert [(each.status, each.document.text) for each in (second, third)] == [
        ("skipped", "Maize"),
        ("unlabelled", "Zinc"),
    ]
    assert [(coder.name, coder.kind) for coder in store.coders()][-1] == ("m1", "imported")


def test_import_file_reads_doccano(store: LabelStore, tmp_path: Path) -> None:
    report = import_file(store, write(tmp_path / "a.jsonl", "doccano", DOCCANO))
    assert report == ImportReport(2, 2, 1, 1)
    first, second = store.labels()
    assert content(first, coders=False) == (
        "Wheat rose",
        {"price": 3},
        [("label", ("grain",), None, "not sure")],
        ("grain",),
    )
    assert first.decisions[0].assignment.coder.name == "doccano"
    assert second.status == "unlabelled"


def test_import_file_reads_argilla(store: LabelStore, tmp_path: Path) -> None:
    report = import_file(store, write(tmp_path / "a.json", "argilla", ARGILLA))
    assert report == ImportReport(2, 2, 2, 2)
    first, second = store.labels()
    assert first.document.columns == {"title": "News", "price": 3}
    assert [(each.assignment.coder.name, each.topics) for each in first.decisions] == [
        ("3e760b76-e19a-480a-b436-a85812b98843", ("grain",)),
        ("m1", ("earn",)),
    ]
    assert (first.answer, second.answer) == (("grain",), None)


def test_import_file_reads_prodigy(store: LabelStore, tmp_path: Path) -> None:
    report = import_file(store, write(tmp_path / "a.jsonl", "prodigy", PRODIGY))
    assert report == ImportReport(4, 3, 4, 4)
    first, second, third = store.labels()
    assert [(each.assignment.coder.name, each.topics) for each in first.decisions] == [
        ("news-kim", ("grain",)),
        ("news-lee", ("earn",)),
    ]
    assert first.decisions[0].at == "2026-03-09T21:56:08.000Z"
    assert (second.status, third.answer) == ("skipped", ("earn",))


def test_import_file_puts_the_labels_together_that_prodigy_asked_about_in_turn(
    store: LabelStore, tmp_path: Path
) -> None:
    answers = [("grain", "accept"), ("earn", "reject"), ("metal", "accept"), ("ship", "ignore")]
    common = {"text": "Wheat and zinc", "_input_hash": 1, "_session_id": "news-kim"}
    items = [
        {**common, "_task_hash": number, "label": label, "spans": [], "answer": answer}
        for number, (label, answer) in enumerate(answers)
    ]
    items.append({"text": "Gold", "_input_hash": 2, "label": "earn", "answer": "reject"})
    import_file(store, write(tmp_path / "a.jsonl", "prodigy", items))
    first, second = store.labels()
    assert (first.answer, second.status) == (("grain", "metal"), "unlabelled")


def test_import_file_names_topics_by_the_texts_of_numbered_options(
    store: LabelStore, tmp_path: Path
) -> None:
    options = [{"id": 1, "text": "grain"}, {"id": 2, "text": "earn"}]
    item = {"text": "Wheat", "options": options, "accept": [2], "answer": "accept"}
    import_file(store, write(tmp_path / "a.jsonl", "prodigy", [item]))
    assert [each.answer for each in store.labels()] == [("earn",)]


def test_import_file_takes_discarded_responses_as_skips_and_pending_ones_as_none(
    store: LabelStore, tmp_path: Path
) -> None:
    statuses = ["discarded", "draft", "pending", "submitted"]
    responses = [
        {"value": None if status == "pending" else "a", "user_id": status, "status": status}
        for status in statuses
    ]
    item = {"fields": {"text": "x"}, "responses": {"topic": responses}}
    import_file(store, write(tmp_path / "a.json", "argilla", [item]))
    [labels] = store.labels()
    assert [(d.assignment.coder.name, d.kind) for d in labels.decisions] == [
        ("discarded", "skip"),
        ("submitted", "label"),
    ]


def test_import_file_keeps_comments_on_documents_without_a_label(
    store: LabelStore, tmp_path: Path
) -> None:
    item = {"id": 1, "text": "x", "label": [], "Comments": ["why?"]}
    import_file(store, write(tmp_path / "a.jsonl", "doccano", [item]))
    export_file(store, tmp_path / "b.jsonl", TOOLS["doccano"])
    assert read(tmp_path / "b.jsonl", "doccano")[0]["Comments"] == ["why?"]


def test_import_file_reads_a_file_of_one_doccano_coder_as_theirs(
    store: LabelStore, tmp_path: Path
) -> None:
    import_file(store, write(tmp_path / "admin.jsonl", "doccano", DOCCANO), coder="admin")
    assert [coder.name for coder in store.coders()] == ["admin"]


@pytest.mark.parametrize("tool", TOOLS)
def test_files_of_tools_are_the_same_after_a_round_trip(
    store: LabelStore, tmp_path: Path, tool: str
) -> None:
    original = write(tmp_path / "a.json", tool, FILES[tool])
    import_file(store, original)
    exported = tmp_path / "b.json"
    export_file(store, exported, TOOLS[tool])
    with LabelStore(tmp_path / "other.db") as other:
        import_file(other, exported)
        assert contents(other) == contents(store)
        assert [each.document.key for each in other.labels()] == [
            each.document.key for each in store.labels()
        ]
    if tool != "prodigy":  # which has no ids of its own
        ids = [item["id"] for item in read(exported, tool)]
        assert ids == [item["id"] for item in FILES[tool]]
    # Without what Slugline adds, the tool's own fields say the same.
    with LabelStore(tmp_path / "third.db") as third:
        import_file(third, write(tmp_path / "c.json", tool, without_extra(read(exported, tool))))
        assert [content(each, coders=False)[0:2] for each in third.labels()] == [
            content(each, coders=False)[0:2] for each in store.labels()
        ]
        assert [each.status for each in third.labels()] == [each.status for each in store.labels()]


def without_extra(value: Any) -> Any:
    """Return decoded JSON without the fields that Slugline adds."""
    if isinstance(value, list):
        return [without_extra(each) for each in value]
    if isinstance(value, dict):
        return {name: without_extra(each) for name, each in value.items() if name != "slugline"}
    return value


@pytest.mark.parametrize("tool", TOOLS)
def test_import_file_can_be_repeated(store: LabelStore, tmp_path: Path, tool: str) -> None:
    path = write(tmp_path / "a.json", tool, FILES[tool])
    import_file(store, path)
    before, last = contents(store), store.last_change()
    report = import_file(store, path)
    assert (report.n_new_documents, report.n_new_labels) == (0, 0)
    assert (contents(store), store.last_change()) == (before, last)


# Label databases ----------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path: Path) -> Iterator[LabelStore]:
    """Yield a store with two coders, a model, notes, skips, disagreements and equal texts."""
    texts = ["Wheat rose", "same", "same", "😀 \u202eשלום\n<b>\t", "", "unlabelled", "Maize"]
    with LabelStore(tmp_path / "labelled.db") as store:
        for coder in ("Kim", "Änne"):
            store.add_coder(coder)
        store.add_coder("llm", "imported")
        for topic in ("grain", "earn", 'a "quoted", topic'):
            store.add_topic(topic, "Kim")
        ids: list[object] = [7, "x", "a text b", None, None, "007", 8]
        keys = document_keys(texts, ids)
        store.add_documents(
            NewDocument(key, text, {"n": n, "none": None, "list": [1, "two"]})
            for n, (key, text) in enumerate(zip(keys, texts, strict=True))
        )
        give(store, "Kim", 1, "grain", note="sure\nvery")
        give(store, "Änne", 1, "earn")
        give(store, "llm", 1, "earn")
        give(store, "Kim", 2, "earn")
        give(store, "Kim", 3, "grain")
        give(store, "Änne", 4, 'a "quoted", topic')
        give(store, "Kim", 4)
        give(store, "Kim", 5)
        give(store, "Kim", 7, "grain")
        give(store, "Änne", 7, "earn")
        store.settle(7, ["earn"], "Änne", note="as usual")
        yield store


def give(
    store: LabelStore, coder: str, document: int, *topics: str, note: str | None = None
) -> None:
    assignment = store.assign(coder, document, Selection("suggested", 0.5))
    assert assignment is not None
    if topics:
        store.label(assignment.id, topics, note=note)
    else:
        store.skip(assignment.id, "none of these", note=note)


def settled(store: LabelStore) -> list[Any]:
    return [
        each.settlement and (each.settlement.topics, each.settlement.person.name)
        for each in store.labels()
    ]


@pytest.mark.parametrize("tool", TOOLS)
def test_label_database_is_the_same_after_a_round_trip(
    labelled: LabelStore, tmp_path: Path, tool: str
) -> None:
    path = tmp_path / "exported.json"
    report = export_file(labelled, path, TOOLS[tool])
    assert (report.n_documents, report.n_labels, report.n_open) == (7, 11, 1)
    with LabelStore(tmp_path / "other.db") as other:
        import_file(other, path)
        assert contents(other) == contents(labelled)
        assert settled(other) == settled(labelled)
        assert [each.document.key for each in other.labels()] == [
            each.document.key for each in labelled.labels()
        ]
        assert [(c.name, c.kind) for c in other.coders()] == [
            (c.name, c.kind) for c in labelled.coders()
        ]
    report_again = import_file(labelled, path)
    assert report_again.n_new_documents == 0
    assert len([*labelled.labels()]) == 7


@pytest.mark.parametrize("tool", TOOLS)
def test_several_topics_are_the_same_after_a_round_trip(
    labelled: LabelStore, tmp_path: Path, tool: str
) -> None:
    labelled.set_multilabel(True)
    give(labelled, "Kim", 6, "grain", "earn")
    path = tmp_path / "exported.json"
    export_file(labelled, path, TOOLS[tool])
    with LabelStore(tmp_path / "other.db") as other:
        import_file(other, path)
        assert other.is_multilabel
        assert contents(other) == contents(labelled)


# Topics that files show as choices ----------------------------------------------------------------


def test_export_file_lists_all_topics_as_options_for_prodigy(
    labelled: LabelStore, tmp_path: Path
) -> None:
    export_file(labelled, tmp_path / "a.jsonl", TOOLS["prodigy"])
    items = read(tmp_path / "a.jsonl", "prodigy")
    names = ["grain", "earn", 'a "quoted", topic']
    assert all([each["id"] for each in item["options"]] == names for item in items)
    [unlabelled] = [item for item in items if item["text"] == "unlabelled"]
    assert "answer" not in unlabelled


@pytest.mark.parametrize("is_multilabel", [False, True])
def test_export_file_writes_lists_for_a_question_of_several_labels_in_argilla(
    labelled: LabelStore, tmp_path: Path, is_multilabel: bool
) -> None:
    labelled.set_multilabel(is_multilabel)
    export_file(labelled, tmp_path / "a.json", TOOLS["argilla"])
    first = read(tmp_path / "a.json", "argilla")[0]
    wanted = ["grain"] if is_multilabel else "grain"
    assert first["responses"]["topic"][0]["value"] == wanted
    assert first["suggestions"]["topic"]["value"] == (["earn"] if is_multilabel else "earn")


def test_export_codebook_writes_the_setup_of_each_tool(
    labelled: LabelStore, tmp_path: Path
) -> None:
    labelled.describe_topic("grain", "Kim", description='Wheat & "maize"')
    files = {name: tmp_path / name for name in TOOLS}
    for name, path in files.items():
        assert export_codebook(labelled, path, TOOLS[name]) == 3
    assert (
        files["label-studio"].read_text("utf-8")
        == """<View>
  <Text name="text" value="$text" />
  <Choices name="topic" toName="text" choice="single">
    <Choice value="grain" hint="Wheat &amp; &quot;maize&quot;" />
    <Choice value="earn" />
    <Choice value="a &quot;quoted&quot;, topic" />
  </Choices>
</View>
"""
    )
    assert files["prodigy"].read_text("utf-8") == 'grain\nearn\na "quoted", topic\n'
    assert [each["text"] for each in json.loads(files["doccano"].read_text("utf-8"))] == [
        "grain",
        "earn",
        'a "quoted", topic',
    ]
    settings = json.loads(files["argilla"].read_text("utf-8"))
    assert settings["guidelines"] == '- grain: Wheat & "maize"'
    [question] = settings["questions"]
    assert question["settings"]["type"] == "label_selection"
    assert [each["value"] for each in question["settings"]["options"]][:2] == ["grain", "earn"]
    labelled.set_multilabel(True)
    export_codebook(labelled, files["label-studio"], TOOLS["label-studio"])
    assert 'choice="multiple"' in files["label-studio"].read_text("utf-8")


def test_export_codebook_writes_a_table_that_topics_are_read_from(
    labelled: LabelStore, tmp_path: Path
) -> None:
    labelled.describe_topic("grain", "Kim", description="Wheat, maize")
    export_codebook(labelled, tmp_path / "topics.csv")
    assert read_descriptions(tmp_path / "topics.csv", may_be_empty=True) == {
        "grain": "Wheat, maize",
        "earn": "",
        'a "quoted", topic': "",
    }


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda name: name.strip() == name
)
# Files of texts can't contain a NUL character.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
CELLS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
# Fields of the tools' own, which a column of the user doesn't replace.
OWN_NAMES = (
    "text",
    "id",
    "label",
    "labels",
    "cats",
    "meta",
    "answer",
    "accept",
    "note",
    "spans",
    "options",
    "slugline",
    "Comments",
    "entities",
    "fields",
    "data",
)
COLUMN_NAMES = TEXT.filter(lambda name: name not in OWN_NAMES)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    topics=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    texts=st.lists(TEXT, min_size=1, max_size=5),
    columns=st.dictionaries(COLUMN_NAMES, CELLS, max_size=3),
    choices=st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=10, max_size=10),
    notes=st.lists(st.none() | TEXT.filter(bool), min_size=10, max_size=10),
    is_multilabel=st.booleans(),
)
@pytest.mark.parametrize("tool", TOOLS)
def test_any_labels_are_the_same_after_a_round_trip(
    tool: str,
    topics: list[str],
    texts: list[str],
    columns: dict[str, Any],
    choices: list[list[int]],
    notes: list[str | None],
    is_multilabel: bool,
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        LabelStore(Path(folder, "a.db")) as store,
        LabelStore(Path(folder, "b.db")) as other,
    ):
        store.set_multilabel(is_multilabel)
        documents = store.add_documents(
            NewDocument(key, text, columns)
            for key, text in zip(document_keys(texts), texts, strict=True)
        )
        for number, coder in enumerate(("Kim", "Änne")):
            store.add_coder(coder)
            for document, chosen, note in zip(
                documents, choices[5 * number :], notes, strict=False
            ):
                given = dict.fromkeys(topics[each % len(topics)] for each in chosen)
                names = tuple(given) if is_multilabel else tuple(given)[:1] or None
                store.import_labels(coder, [ImportedLabel(document, names, note=note)])
        export_file(store, Path(folder, "file"), TOOLS[tool])
        import_file(other, Path(folder, "file"))
        assert contents(other) == contents(store)
        keys = [
            [each.document.key for each in each_store.labels()] for each_store in (store, other)
        ]
        assert keys[0] == keys[1]


def change_doccano(item: dict[str, Any]) -> None:
    item["label"] = ["metal"]


def change_prodigy(item: dict[str, Any]) -> None:
    item["accept"] = ["metal"]


def change_argilla(item: dict[str, Any]) -> None:
    item["responses"]["topic"][0]["value"] = "metal"


def change_label_studio(item: dict[str, Any]) -> None:
    item["annotations"][0]["result"][0]["value"]["choices"] = ["metal"]


CHANGES = {
    "label-studio": change_label_studio,
    "doccano": change_doccano,
    "argilla": change_argilla,
    "prodigy": change_prodigy,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_labels_that_were_changed_in_a_tool_count(
    labelled: LabelStore, tmp_path: Path, tool: str
) -> None:
    path = tmp_path / "exported.json"
    export_file(labelled, path, TOOLS[tool])
    items = read(path, tool)
    number = next(n for n, item in enumerate(items) if '"n":1' in json.dumps(item).replace(" ", ""))
    CHANGES[tool](items[number])
    write(path, tool, items)
    with LabelStore(tmp_path / "other.db") as other:
        import_file(other, path)
        assert other.document_labels(2).answer == ("metal",)
        assert other.document_labels(2).document.key == "id x"


# Coders, settlements and columns ------------------------------------------------------------------


def test_settlements_of_an_imported_coder_are_labels(labelled: LabelStore, tmp_path: Path) -> None:
    export_file(labelled, tmp_path / "a.json", TOOLS["label-studio"])
    with LabelStore(tmp_path / "other.db") as other:
        import_file(other, tmp_path / "a.json", coder="old", kind="imported")
        assert [(coder.name, coder.kind) for coder in other.coders()] == [("old", "imported")]
        assert settled(other) == [None] * 7


def test_settlements_are_imported_once_though_topics_were_renamed(
    labelled: LabelStore, tmp_path: Path
) -> None:
    export_file(labelled, tmp_path / "a.json", TOOLS["label-studio"])
    with LabelStore(tmp_path / "other.db") as other:
        import_file(other, tmp_path / "a.json")
        other.rename_topic("earn", "earnings", "Kim")
        last = other.last_change()
        assert import_file(other, tmp_path / "a.json").n_new_labels == 0
        assert other.last_change() == last
        assert "earn" not in other.codebook().names()


def test_export_file_hides_the_topic_column_from_coders(
    labelled: LabelStore, tmp_path: Path
) -> None:
    labelled.set_settings({"topic column": "n"})
    assert labelled.setting(TOPIC_COLUMN) == "n"
    for name, tool in TOOLS.items():
        path = tmp_path / name
        export_file(labelled, path, tool)
        assert '"n":' not in path.read_text("utf-8")
        with LabelStore(tmp_path / f"{name}.db") as other:
            import_file(other, path)
            assert contents(other) == contents(labelled)


def test_import_file_finds_equal_texts_after_documents_that_were_found_by_key(
    store: LabelStore, tmp_path: Path
) -> None:
    table = TextTable("t.csv", ["same", "same"], [{"id": "60"}, {"id": "50"}], ids=[60, 50])
    import_table(
        store, write_csv(tmp_path / "a.csv", "id,topic\n60,grain\n"), "llm", user_file=table
    )
    items = [{"id": n, "text": "same", "label": ["earn"], "Comments": []} for n in (1, 2)]
    import_file(store, write(tmp_path / "b.jsonl", "doccano", items), user_file=table)
    assert [each.document.key for each in store.labels()] == ["id 60", "id 50"]


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


# What can't be read -------------------------------------------------------------------------------

CHOICES: dict[str, Any] = {"type": "choices", "from_name": "q", "value": {"choices": ["a"]}}


def task(*results: Any, **fields: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": "x"}, "annotations": [{"result": [*results]}], **fields}


BAD: dict[str, tuple[str, list[Any], str]] = {
    "spans": (
        "label-studio",
        [task({"type": "labels", "value": {"start": 1, "end": 2, "labels": ["A"]}})],
        "item 1: there is a result of type 'labels' about a part of the text; only choices about "
        "the entire text can be read.",
    ),
    "two questions": (
        "label-studio",
        [task(CHOICES, CHOICES | {"from_name": "r"})],
        "item 1: there are choices for several questions ('q', 'r'); keep those of one question.",
    ),
    "old completions": (
        "label-studio",
        [{"data": {"text": "x"}, "completions": []}],
        "item 1: 'completions' are annotations of Label Studio before 1.0; export it from a later "
        "one.",
    ),
    "an id that is too long": (
        "doccano",
        [DOCCANO[0], {"id": "x" * 1001, "text": "x", "label": []}],
        f"line 2: `key` is {short_repr('doccano ' + 'x' * 1001)}; give a string of at most 1,000 "
        "characters.",
    ),
    "a coder without a name": (
        "prodigy",
        [{"text": "x", "answer": "ignore", "_annotator_id": " "}],
        "line 1: `name` is blank; name the coder.",
    ),
    "a person and a model of one name": (
        "argilla",
        [
            {
                "fields": {"text": "x"},
                "responses": {"q": [{"value": "a", "user_id": "u"}]},
                "suggestions": {"q": {"value": "a", "agent": "u"}},
            }
        ],
        "item 1: coder 'u' is a person already; choose another name.",
    ),
    "no time": (
        "prodigy",
        [
            {
                "text": "x",
                "answer": "ignore",
                "slugline": '{"version":1,"key":"id 1",'
                '"labels":[{"at":"2026-99-99T99:99:99.999Z"}]}',
            }
        ],
        "line 1: `at` is '2026-99-99T99:99:99.999Z'; give a time in UTC.",
    ),
    "an empty key": (
        "doccano",
        [{"id": 1, "text": "x", "label": [], "slugline": '{"version":1,"key":""}'}],
        "line 1: the field 'slugline' is not as Slugline writes it (Expected `str` of length >= 1 "
        "- at `$.key`); remove it, or export the file again.",
    ),
    "another field of this name": (
        "doccano",
        [{"id": 1, "text": "x", "label": [], "slugline": [1]}],
        "line 1: the field 'slugline' is not a string, as Slugline writes it; remove it, or export "
        "the file again.",
    ),
    "a rating": (
        "label-studio",
        [task({"type": "rating", "from_name": "q", "value": {"rating": 4}})],
        "item 1: there is a result of type 'rating', which is not a choice; only choices about the "
        "entire text can be read.",
    ),
    "JSON-MIN": (
        "label-studio",
        [{"id": 1, "text": "x", "q": "a", "annotator": 1, "annotation_id": 2, "lead_time": 0.5}],
        "item 1: this is JSON-MIN, which doesn't say which field is a topic; export JSON instead.",
    ),
    "Argilla 1": (
        "argilla",
        [{"text": "x", "annotation": "a", "annotation_agent": "kim", "multi_label": False}],
        "item 1: 'annotation' is a field of Argilla 1; export the records with Argilla 2.",
    ),
    "no text": (
        "label-studio",
        [{"data": {"image": 7}, "annotations": []}],
        "item 1: 'data' has 0 texts, and none is called 'text'; rename one of them to text.",
    ),
    "annotations of another type": (
        "label-studio",
        [task(), {"data": {"text": "x"}, "annotations": 7}],
        "item 2: the field 'annotations' is not as expected (Expected `array`, got `int`); correct "
        "the file, or export it again.",
    ),
    "a wrong time": (
        "label-studio",
        [{"data": {"text": "x"}, "annotations": [{"created_at": "today", "result": []}]}],
        "item 1: 'today' is not a time; correct the file, or export it again.",
    ),
    "another tool's item": (
        "label-studio",
        [task(), DOCCANO[0]],
        "item 2: this is not an object of Label Studio, though the first one is; put each tool's "
        "in a file of their own.",
    ),
    "numbers of labels": (
        "doccano",
        [{"id": 1, "text": "x", "annotations": [{"label": 2, "user": 1}]}],
        "line 1: 'annotations' holds numbers of labels, not names of topics; export it from "
        "doccano 1.5 or later, in a project of text classification.",
    ),
    "spans of doccano": (
        "doccano",
        [DOCCANO[1], {"id": 1, "text": "x", "label": [[0, 1, "A"]]}],
        "line 2: a label is of a part of the text, not of all of it; export it from doccano 1.5 or "
        "later, in a project of text classification.",
    ),
    "a number": (
        "doccano",
        [{"id": 1, "text": "x", "label": [7]}],
        "line 1: the label 7 is not a name; export it from doccano 1.5 or later, in a project of "
        "text classification.",
    ),
    "no text of doccano": (
        "doccano",
        [DOCCANO[0], {"id": 1, "label": []}],
        "line 2: this is not an object of doccano, though the first one is; put each tool's in a "
        "file of their own.",
    ),
    "ratings": (
        "argilla",
        [{"fields": {"text": "x"}, "responses": {"stars": [{"value": 4, "user_id": "u"}]}}],
        "item 1: the response 4 is not a label; only questions of one label or several can be "
        "read.",
    ),
    "two questions of Argilla": (
        "argilla",
        [
            {
                "fields": {"text": "x"},
                "responses": {"a": [{"value": "y"}]},
                "suggestions": {"b": {"value": "z"}},
            }
        ],
        "item 1: there are answers to several questions ('a', 'b'); keep those to one question.",
    ),
    "spans of Prodigy": (
        "prodigy",
        [{"text": "x", "answer": "accept", "spans": [{"start": 0, "end": 1, "label": "A"}]}],
        "line 1: 'spans' holds labels of parts of the text; only answers about the entire text "
        "(textcat) can be read.",
    ),
    "another answer": (
        "prodigy",
        [{"text": "x", "answer": "maybe"}],
        "line 1: the answer is 'maybe', not accept, reject or ignore; correct the file, or export "
        "it again.",
    ),
    "an invalid topic": (
        "prodigy",
        [{"text": "x", "answer": "accept", "accept": [" "]}],
        "line 1: topic ' ' is blank, or contains a NUL character or an unpaired surrogate; rename "
        "it.",
    ),
    "a later version": (
        "prodigy",
        [{"text": "x", "answer": "ignore", "slugline": '{"version":9,"key":"id 1"}'}],
        "line 1: the field 'slugline' is of version 9, which a later Slugline wrote; install a "
        "newer Slugline, or remove the field.",
    ),
    "a damaged field": (
        "doccano",
        [{"id": 1, "text": "x", "label": [], "slugline": "{}"}],
        "line 1: the field 'slugline' is not as Slugline writes it (Object missing required field "
        "`version`); remove it, or export the file again.",
    ),
}


@pytest.mark.parametrize(("tool", "items", "message"), BAD.values(), ids=BAD)
def test_import_file_names_the_place_of_what_it_can_not_read(
    store: LabelStore, tmp_path: Path, tool: str, items: list[Any], message: str
) -> None:
    path = write(tmp_path / "a.json", tool, items)
    with pytest.raises(DataError) as caught:
        import_file(store, path)
    assert str(caught.value) == f"{path}, {message}"
    assert store.last_change() == (0,) * 6, "nothing is stored"


def test_import_file_rejects_a_file_of_no_tool(store: LabelStore, tmp_path: Path) -> None:
    for name, text in (("a.csv", "text,topic\nx,y\n"), ("b.json", '[{"text": "x"}]'), ("c", "")):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(DataError) as caught:
            import_file(store, path)
        assert str(caught.value) == (
            f"{path} is not a file of a labelling tool that Slugline knows (Label Studio, Argilla, "
            "Prodigy, doccano); export JSON or JSONL there, or give a table with a column of "
            "topics."
        )


def test_import_file_names_deep_and_broken_json(store: LabelStore, tmp_path: Path) -> None:
    deep = '[{"id": 1, "data": {"text": "x", "deep": ' + "[" * 5000 + "]" * 5000
    for text, message in (
        (deep + '}, "annotations": []}]', "nested too deeply"),
        ('[{"id": 1, "data": {"text": "x"}, "annotations": []}, {]', "item 2: not valid JSON"),
        ('[{"id": 1, "data": {"text": "x"}, "annotations": []}', "item 1: not valid JSON"),
    ):
        path = tmp_path / "a.json"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            import_file(store, path)
    assert store.last_change() == (0,) * 6


def test_import_file_names_several_topics_where_documents_have_one(
    labelled: LabelStore, tmp_path: Path
) -> None:
    item = {"id": 1, "text": "x", "label": ["a", "b"]}
    path = write(tmp_path / "a.jsonl", "doccano", [DOCCANO[0], item])
    before = labelled.last_change()
    with pytest.raises(DataError) as caught:
        import_file(labelled, path)
    assert str(caught.value) == (
        f"{path}, line 2: there are 2 topics, and documents have one each in {labelled.path}; "
        "import the file into another one, or keep one topic."
    )
    assert labelled.last_change() == before


def test_import_file_gives_all_labels_to_a_named_coder(store: LabelStore, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "doccano", DOCCANO)
    import_file(store, path, coder="old system", kind="imported")
    assert [(coder.name, coder.kind) for coder in store.coders()] == [("old system", "imported")]
    assert store.counts().by_status == {"unlabelled": 2}


def test_import_file_matches_documents_by_their_text(store: LabelStore, tmp_path: Path) -> None:
    store.add_documents(
        [NewDocument("id 5", "Maize"), NewDocument("id 6", "same"), NewDocument("id 7", "same")]
    )
    items = [
        {"id": 5, "text": "same", "label": ["a"]},
        {"id": 6, "text": "same", "label": ["b"]},
        {"id": 7, "text": "same", "label": ["c"]},
    ]
    report = import_file(store, write(tmp_path / "a.jsonl", "doccano", items))
    assert report == ImportReport(3, 1, 3, 3)
    assert [(each.document.key, each.answer) for each in store.labels()] == [
        ("id 5", None),
        ("id 6", ("a",)),
        ("id 7", ("b",)),
        ("doccano 7", ("c",)),
    ]


def test_import_file_stores_documents_of_the_users_file(store: LabelStore, tmp_path: Path) -> None:
    texts = ["Maize", "same", "same", "Zinc"]
    columns = [{"n": n} for n in range(4)]
    table = TextTable("a.csv", texts, columns, ids=[7, 8, 9, 10])
    store.add_documents([table.document(1)])
    items = [{"id": n, "text": "same", "label": [f"{n}"]} for n in range(4)]
    items.append({"id": 9, "text": "Zinc", "label": ["metal"]})
    path = write(tmp_path / "a.jsonl", "doccano", items)
    report = import_file(store, path, user_file=table)
    assert report == ImportReport(5, 4, 5, 5)
    assert [(each.document.key, each.answer) for each in store.labels()] == [
        ("id 8", ("0",)),
        ("id 9", ("1",)),
        ("doccano 2", ("2",)),
        ("doccano 3", ("3",)),
        ("id 10", ("metal",)),
    ]
    assert store.document(2).columns == {"n": 2}


def test_import_file_leaves_a_document_with_another_text_out(
    labelled: LabelStore, tmp_path: Path
) -> None:
    path = tmp_path / "exported.json"
    export_file(labelled, path, TOOLS["doccano"])
    items = read(path, "doccano")
    items[0]["text"] = "changed"
    report = import_file(labelled, write(path, "doccano", items))
    assert (report.n_changed, report.n_new_documents) == (1, 0)


def test_import_file_reads_more_than_a_batch(
    store: LabelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.labels.formats.files._BATCH", 2)
    items = [{"id": n, "text": f"{n % 3}", "label": [f"{n}"]} for n in range(7)]
    report = import_file(store, write(tmp_path / "a.jsonl", "doccano", items))
    assert report == ImportReport(7, 7, 7, 7)
    assert [each.answer for each in store.labels()] == [(f"{n}",) for n in range(7)]


def test_export_file_keeps_an_earlier_file_if_it_fails(
    labelled: LabelStore, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        export_file(labelled, tmp_path / "missing" / "a.json", TOOLS["argilla"])
    path = tmp_path / "a.json"
    path.write_text("earlier")
    labelled.close()
    with pytest.raises(OSError, match="was closed"):
        export_file(labelled, path, TOOLS["argilla"])
    assert path.read_text() == "earlier"


def test_export_file_replaces_unpaired_surrogates(store: LabelStore, tmp_path: Path) -> None:
    store.add_documents([NewDocument("id 1", "half \ud800 a character", {"n": 1})])
    export_file(store, tmp_path / "a.json", TOOLS["label-studio"])
    [item] = read(tmp_path / "a.json", "label-studio")
    assert item["data"] == {"text": "half \ufffd a character", "n": 1}


@pytest.mark.parametrize("tool", TOOLS)
def test_export_file_writes_an_empty_store(store: LabelStore, tmp_path: Path, tool: str) -> None:
    path = tmp_path / "a.json"
    assert export_file(store, path, TOOLS[tool]).n_documents == 0
    assert read(path, tool) == []
