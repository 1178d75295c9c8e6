"""Files of Label Studio: nothing is lost or changed by a round trip."""

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
from slugline.labels.formats.importing import ImportReport
from slugline.labels.formats.label_studio import (
    export_label_studio,
    export_setup,
    import_label_studio,
)
from slugline.labels.formats.tables import export_codebook, import_table
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# Files as Label Studio writes them ----------------------------------------------------------------

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


def task(number: int, text: str, *topics: str) -> dict[str, Any]:
    """Return a task with the answer of a user, or without one."""
    result = {"type": "choices", "from_name": "topic", "value": {"choices": [*topics]}}
    annotations = [{"result": [result], "completed_by": 1}] if topics else []
    return {"id": number, "data": {"text": text}, "annotations": annotations}


def write(path: Path, items: list[Any]) -> Path:
    path.write_text(json.dumps(items), "utf-8")
    return path


def read(path: Path) -> list[Any]:
    items: list[Any] = json.loads(path.read_text("utf-8"))
    return items


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


# Reading -------------------------------------------------------------------------------


def test_import_reads_annotations_and_predictions(store: LabelStore, tmp_path: Path) -> None:
    report = import_label_studio(store, write(tmp_path / "a.json", LABEL_STUDIO))
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


def test_files_are_the_same_after_a_round_trip(store: LabelStore, tmp_path: Path) -> None:
    original = write(tmp_path / "a.json", LABEL_STUDIO)
    import_label_studio(store, original)
    exported = tmp_path / "b.json"
    export_label_studio(store, exported)
    with LabelStore(tmp_path / "other.db") as other:
        import_label_studio(other, exported)
        assert contents(other) == contents(store)
        assert [each.document.key for each in other.labels()] == [
            each.document.key for each in store.labels()
        ]
    ids = [item["id"] for item in read(exported)]
    assert ids == [item["id"] for item in LABEL_STUDIO]
    # Without what Slugline adds, the annotations say the same.
    with LabelStore(tmp_path / "third.db") as third:
        import_label_studio(third, write(tmp_path / "c.json", without_extra(read(exported))))
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


def test_label_database_is_the_same_after_a_round_trip(
    labelled: LabelStore, tmp_path: Path
) -> None:
    path = tmp_path / "exported.json"
    report = export_label_studio(labelled, path)
    assert (report.n_documents, report.n_labels, report.n_open) == (7, 11, 1)
    with LabelStore(tmp_path / "other.db") as other:
        import_label_studio(other, path)
        assert contents(other) == contents(labelled)
        assert settled(other) == settled(labelled)
        assert [each.document.key for each in other.labels()] == [
            each.document.key for each in labelled.labels()
        ]
        assert [(c.name, c.kind) for c in other.coders()] == [
            (c.name, c.kind) for c in labelled.coders()
        ]
    report_again = import_label_studio(labelled, path)
    assert report_again.n_new_documents == 0
    assert len([*labelled.labels()]) == 7


def test_several_topics_are_the_same_after_a_round_trip(
    labelled: LabelStore, tmp_path: Path
) -> None:
    labelled.set_multilabel(True)
    give(labelled, "Kim", 6, "grain", "earn")
    path = tmp_path / "exported.json"
    export_label_studio(labelled, path)
    with LabelStore(tmp_path / "other.db") as other:
        import_label_studio(other, path)
        assert other.is_multilabel
        assert contents(other) == contents(labelled)


# Topics that files show as choices ----------------------------------------------------------------


def test_export_setup_lists_topics_as_choices_with_hints(
    labelled: LabelStore, tmp_path: Path
) -> None:
    labelled.describe_topic("grain", "Kim", description='Wheat & "maize"')
    path = tmp_path / "setup.xml"
    assert export_setup(labelled, path) == 3
    assert (
        path.read_text("utf-8")
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
    labelled.set_multilabel(True)
    export_setup(labelled, path)
    assert 'choice="multiple"' in path.read_text("utf-8")


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
# Fields of Label Studio, which a column of the user doesn't replace.
OWN_NAMES = ("text", "meta", "slugline")
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
def test_any_labels_are_the_same_after_a_round_trip(
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
        export_label_studio(store, Path(folder, "file"))
        import_label_studio(other, Path(folder, "file"))
        assert contents(other) == contents(store)
        keys = [
            [each.document.key for each in each_store.labels()] for each_store in (store, other)
        ]
        assert keys[0] == keys[1]


def test_labels_that_were_changed_in_label_studio_count(
    labelled: LabelStore, tmp_path: Path
) -> None:
    path = tmp_path / "exported.json"
    export_label_studio(labelled, path)
    items = read(path)
    number = next(n for n, item in enumerate(items) if '"n":1' in json.dumps(item).replace(" ", ""))
    items[number]["annotations"][0]["result"][0]["value"]["choices"] = ["metal"]
    write(path, items)
    with LabelStore(tmp_path / "other.db") as other:
        import_label_studio(other, path)
        assert other.document_labels(2).answer == ("metal",)
        assert other.document_labels(2).document.key == "id x"


# Coders, settlements and columns ------------------------------------------------------------------


def test_settlements_of_an_imported_coder_are_labels(labelled: LabelStore, tmp_path: Path) -> None:
    export_label_studio(labelled, tmp_path / "a.json")
    with LabelStore(tmp_path / "other.db") as other:
        import_label_studio(other, tmp_path / "a.json", coder="old", kind="imported")
        assert [(coder.name, coder.kind) for coder in other.coders()] == [("old", "imported")]
        assert settled(other) == [None] * 7


def test_settlements_are_imported_once_though_topics_were_renamed(
    labelled: LabelStore, tmp_path: Path
) -> None:
    export_label_studio(labelled, tmp_path / "a.json")
    with LabelStore(tmp_path / "other.db") as other:
        import_label_studio(other, tmp_path / "a.json")
        other.rename_topic("earn", "earnings", "Kim")
        last = other.last_change()
        assert import_label_studio(other, tmp_path / "a.json").n_new_labels == 0
        assert other.last_change() == last
        assert "earn" not in other.codebook().names()


def test_export_hides_the_topic_column_from_coders(labelled: LabelStore, tmp_path: Path) -> None:
    labelled.set_settings({"topic column": "n"})
    assert labelled.setting(TOPIC_COLUMN) == "n"
    path = tmp_path / "a.json"
    export_label_studio(labelled, path)
    assert '"n":' not in path.read_text("utf-8").replace('\\"', "")
    with LabelStore(tmp_path / "b.db") as other:
        import_label_studio(other, path)
        assert contents(other) == contents(labelled)


def test_import_finds_equal_texts_after_documents_that_were_found_by_key(
    store: LabelStore, tmp_path: Path
) -> None:
    table = TextTable("t.csv", ["same", "same"], [{"id": "60"}, {"id": "50"}], ids=[60, 50])
    import_table(
        store, write_csv(tmp_path / "a.csv", "id,topic\n60,grain\n"), "llm", user_file=table
    )
    items = [task(n, "same", "earn") for n in (1, 2)]
    import_label_studio(store, write(tmp_path / "b.json", items), user_file=table)
    assert [each.document.key for each in store.labels()] == ["id 60", "id 50"]


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


# What can't be read -------------------------------------------------------------------------------

CHOICES: dict[str, Any] = {"type": "choices", "from_name": "q", "value": {"choices": ["a"]}}


def task_of(*results: Any, **fields: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": "x"}, "annotations": [{"result": [*results]}], **fields}


ANNOTATION: dict[str, Any] = {"result": [CHOICES]}


def with_annotation(**fields: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": "x"}, "annotations": [ANNOTATION | fields]}


def with_extra(extra: Any) -> dict[str, Any]:
    """Return a skipped task with the field that Slugline adds."""
    skip = {"result": [], "was_cancelled": True}
    return task_of(meta={"slugline": extra}) | {"annotations": [skip]}


BAD: dict[str, tuple[list[Any], str]] = {
    "spans": (
        [task_of({"type": "labels", "value": {"start": 1, "end": 2, "labels": ["A"]}})],
        "item 1: there is a result of type 'labels' about a part of the text; only choices about "
        "the entire text can be read.",
    ),
    "two questions": (
        [task_of(CHOICES, CHOICES | {"from_name": "r"})],
        "item 1: there are choices for several questions ('q', 'r'); keep those of one question.",
    ),
    "old completions": (
        [{"data": {"text": "x"}, "completions": []}],
        "item 1: 'completions' are annotations of Label Studio before 1.0; export it from a later "
        "one.",
    ),
    "a rating": (
        [task_of({"type": "rating", "from_name": "q", "value": {"rating": 4}})],
        "item 1: there is a result of type 'rating', which is not a choice; only choices about the "
        "entire text can be read.",
    ),
    "JSON-MIN": (
        [{"id": 1, "text": "x", "q": "a", "annotator": 1, "annotation_id": 2, "lead_time": 0.5}],
        "item 1: JSON-MIN is unsupported, because it doesn't show which field is the topic; "
        "export JSON.",
    ),
    "no text": (
        [{"data": {"image": 7}, "annotations": []}],
        "item 1: 'data' has 0 texts, and none is called 'text'; rename one of them to text.",
    ),
    "annotations of another type": (
        [task_of(), {"data": {"text": "x"}, "annotations": 7}],
        "item 2: not a valid Label Studio task (Expected `array | null`, got `int` - at "
        "`$.annotations`); correct the file, or export it again.",
    ),
    "a wrong time": (
        [{"data": {"text": "x"}, "annotations": [{"created_at": "today", "result": []}]}],
        "item 1: 'today' is not a time; correct the file, or export it again.",
    ),
    "another object": (
        [task_of(), {"id": 5, "text": "Wheat"}],
        "item 2: not a Label Studio task, although the first item is; remove it.",
    ),
    "an id that is too long": (
        [task_of(), task_of(id="x" * 1001)],
        f"item 2: `key` is {short_repr('label-studio ' + 'x' * 1001)}; give a string of at most "
        "1,000 characters.",
    ),
    "a coder without a name": (
        [with_annotation(completed_by=" ")],
        "item 1: `name` is blank; pass a coder name.",
    ),
    "a person and a model of one name": (
        [
            with_annotation(completed_by="u")
            | {"predictions": [ANNOTATION | {"model_version": "u"}]}
        ],
        "item 1: 'u' is already used for a person; choose another name.",
    ),
    "an invalid topic": (
        [task_of(CHOICES | {"value": {"choices": [" "]}})],
        "item 1: topic ' ' is blank, or contains a NUL character or an unpaired surrogate; rename "
        "it.",
    ),
    "no time": (
        [with_extra('{"version":1,"key":"id 1","labels":[{"at":"2026-99-99T99:99:99.999Z"}]}')],
        "item 1: `at` is '2026-99-99T99:99:99.999Z'; give a time in UTC.",
    ),
    "an empty key": (
        [with_extra('{"version":1,"key":""}')],
        "item 1: the field 'slugline' is not as Slugline writes it (Expected `str` of length >= 1 "
        "- at `$.key`); remove it, or export the file again.",
    ),
    "another field of this name": (
        [with_extra([1])],
        "item 1: the field 'slugline' is not a string, as Slugline writes it; remove it, or export "
        "the file again.",
    ),
    "a later version": (
        [with_extra('{"version":9,"key":"id 1"}')],
        "item 1: the field 'slugline' is of version 9, which a later Slugline wrote; install a "
        "newer Slugline, or remove the field.",
    ),
    "a damaged field": (
        [with_extra("{}")],
        "item 1: the field 'slugline' is not as Slugline writes it (Object missing required field "
        "`version`); remove it, or export the file again.",
    ),
}


@pytest.mark.parametrize(("items", "message"), BAD.values(), ids=BAD)
def test_import_names_the_place_of_what_it_can_not_read(
    store: LabelStore, tmp_path: Path, items: list[Any], message: str
) -> None:
    path = write(tmp_path / "a.json", items)
    with pytest.raises(DataError) as caught:
        import_label_studio(store, path)
    assert str(caught.value) == f"{path}, {message}"
    assert store.last_change() == (0,) * 6, "nothing is stored"


def test_import_names_deep_and_broken_json(store: LabelStore, tmp_path: Path) -> None:
    deep = '[{"id": 1, "data": {"text": "x", "deep": ' + "[" * 5000 + "]" * 5000
    for text, message in (
        (deep + '}, "annotations": []}]', "not valid JSON"),
        ('[{"id": 1, "data": {"text": "x"}, "annotations": []}, {]', "is not valid JSON"),
        ('[{"id": 1, "data": {"text": "x"}, "annotations": []}', "is not valid JSON"),
    ):
        path = tmp_path / "a.json"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            import_label_studio(store, path)
    assert store.last_change() == (0,) * 6


def test_import_names_several_topics_where_documents_have_one(
    labelled: LabelStore, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.json", [task(5, "Wheat rose", "grain"), task(1, "x", "a", "b")])
    before = labelled.last_change()
    with pytest.raises(DataError) as caught:
        import_label_studio(labelled, path)
    assert str(caught.value) == (
        f"{path}, item 2: 2 topics, but {labelled.path} is single-label; "
        "import into another database, or keep one topic."
    )
    assert labelled.last_change() == before


def test_import_matches_documents_by_their_text(store: LabelStore, tmp_path: Path) -> None:
    store.add_documents(
        [NewDocument("id 5", "Maize"), NewDocument("id 6", "same"), NewDocument("id 7", "same")]
    )
    items = [task(5, "same", "a"), task(6, "same", "b"), task(7, "same", "c")]
    report = import_label_studio(store, write(tmp_path / "a.json", items))
    assert report == ImportReport(3, 1, 3, 3)
    assert [(each.document.key, each.answer) for each in store.labels()] == [
        ("id 5", None),
        ("id 6", ("a",)),
        ("id 7", ("b",)),
        ("label-studio 7", ("c",)),
    ]


def test_import_stores_documents_of_the_users_file(store: LabelStore, tmp_path: Path) -> None:
    texts = ["Maize", "same", "same", "Zinc"]
    columns = [{"n": n} for n in range(4)]
    table = TextTable("a.csv", texts, columns, ids=[7, 8, 9, 10])
    store.add_documents([table.document(1)])
    items = [*(task(n, "same", f"{n}") for n in range(4)), task(9, "Zinc", "metal")]
    path = write(tmp_path / "a.json", items)
    report = import_label_studio(store, path, user_file=table)
    assert report == ImportReport(5, 4, 5, 5)
    assert [(each.document.key, each.answer) for each in store.labels()] == [
        ("id 8", ("0",)),
        ("id 9", ("1",)),
        ("label-studio 2", ("2",)),
        ("label-studio 3", ("3",)),
        ("id 10", ("metal",)),
    ]
    assert store.document(2).columns == {"n": 2}


def test_import_leaves_a_document_with_another_text_out(
    labelled: LabelStore, tmp_path: Path
) -> None:
    path = tmp_path / "exported.json"
    export_label_studio(labelled, path)
    items = read(path)
    items[0]["data"]["text"] = "changed"
    report = import_label_studio(labelled, write(path, items))
    assert (report.n_changed, report.n_new_documents) == (1, 0)


def test_export_keeps_an_earlier_file_if_it_fails(labelled: LabelStore, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        export_label_studio(labelled, tmp_path / "missing" / "a.json")
    path = tmp_path / "a.json"
    path.write_text("earlier")
    labelled.close()
    with pytest.raises(OSError, match="was closed"):
        export_label_studio(labelled, path)
    assert path.read_text() == "earlier"


def test_export_replaces_unpaired_surrogates(store: LabelStore, tmp_path: Path) -> None:
    store.add_documents([NewDocument("id 1", "half \ud800 a character", {"n": 1})])
    export_label_studio(store, tmp_path / "a.json")
    [item] = read(tmp_path / "a.json")
    assert item["data"] == {"text": "half \ufffd a character", "n": 1}
