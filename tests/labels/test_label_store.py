"""Labels in a file: nothing is doubled or deleted, and changes are applied on reading."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.corpus.label_database.records import Assignment, LabelDecision, ModelGuess, Selection
from slugline.corpus.label_database.tables import MAX_TEXT_BYTES
from slugline.errors import DataError, OptionError, StoreError
from slugline.labels.cells import ImportedLabel, NewDocument, document_keys
from slugline.labels.store import LabelStore

TEXTS = ["Wheat rose", "Net profit fell", "Maize and cocoa", "Zinc"]
SUGGESTED = Selection("suggested", 0.25, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.db"


@pytest.fixture
def store(path: Path) -> Iterator[LabelStore]:
    with LabelStore(path) as store:
        store.add_coder("Kim")
        store.add_coder("Lee")
        for topic in ("grain", "earn", "metal"):
            store.add_topic(topic, "Kim")
        store.add_documents(new_documents(TEXTS))
        yield store


def new_documents(texts: list[str], **columns: Any) -> list[NewDocument]:
    keys = document_keys(texts)
    return [NewDocument(key, text, columns) for key, text in zip(keys, texts, strict=True)]


def assign(store: LabelStore, coder: str, document: int, **given: Any) -> Assignment:
    assignment = store.assign(coder, document, given.pop("selection", SUGGESTED), **given)
    assert assignment is not None
    return assignment


def give(store: LabelStore, coder: str, document: int, *topics: str, **given: Any) -> LabelDecision:
    """Store a label of a document that the coder has not decided about."""
    return store.label(assign(store, coder, document, **given).id, topics)


def statuses(store: LabelStore) -> list[str]:
    return [each.status for each in store.labels()]


def answers(store: LabelStore) -> list[tuple[str, ...] | None]:
    return [each.answer for each in store.labels()]


# Documents ----------------------------------------------------------------------------------------


def test_document_keys_do_not_depend_on_the_order_of_a_file() -> None:
    keys = document_keys(["b", "a", "b", "c"])
    assert {*document_keys(["c", "b", "a", "b"])} == {*keys}
    assert len({*keys}) == 4
    assert document_keys(["b", "a"]) == keys[:2], "the file was shortened"


def test_document_keys_use_ids_that_are_unique() -> None:
    keys = document_keys(["x", "x", "x", "y"], [1, 2, 2, None])
    assert keys[0] == "id 1"
    assert keys[1].startswith("id 2 text ")
    assert keys[2] == keys[1][:-1] + "2"
    assert keys[3].startswith("text ")


def test_store_stores_a_document_once(store: LabelStore) -> None:
    again = store.add_documents(new_documents(["Zinc", "new", "Wheat rose"]))
    assert again == [4, 5, 1]
    assert [each.document.text for each in store.labels()] == [*TEXTS, "new"]


@pytest.mark.parametrize(
    "text", ["", "half \ud800 a character", "a NUL \0 within", "😀 שלום", "<b>" * 70_000]
)
def test_store_returns_any_text_and_columns_unchanged(store: LabelStore, text: str) -> None:
    columns = {"n": 1, "list": ["a", {"b": None}], "text": "other"}
    [number] = store.add_documents([NewDocument("id 7", text, columns)])
    document = store.document(number)
    assert (document.text, document.columns, document.key) == (text, columns, "id 7")
    assert store.find_keys(["id 7", "id 8"]) == {"id 7": document.id}


def test_store_finds_documents_by_text_and_key(store: LabelStore) -> None:
    store.add_documents([NewDocument("id 7", "old"), NewDocument("id 8", "Zinc")])
    store.add_documents([NewDocument("id 7", "new")])
    assert store.find_texts(["Zinc", "old", "new", "none"]) == {"Zinc": [4, 6], "new": [7]}
    assert store.find_keys(["id 8", "id 7", "none"]) == {"id 8": 6, "id 7": 7}


def test_store_gives_a_changed_text_no_label_of_the_old_one(store: LabelStore) -> None:
    [old] = store.add_documents([NewDocument("id 7", "old")])
    give(store, "Kim", old, "grain")
    [new] = store.add_documents([NewDocument("id 7", "new")])
    [back] = store.add_documents([NewDocument("id 7", "old")])
    assert len({old, new, back}) == 3
    assert statuses(store)[4:] == ["replaced", "replaced", "unlabelled"]
    assert store.document_labels(old).decisions[0].topics == ("grain",)
    assert store.document(back).replaces == new


def test_store_rejects_invalid_documents(store: LabelStore) -> None:
    for document, message in (
        (NewDocument("k", 7), "`text` is 7; give a string."),  # type: ignore[arg-type]
        (
            NewDocument("k", "x" * (MAX_TEXT_BYTES + 1)),
            "`text` has 16,777,217 characters; the maximum",
        ),
        (NewDocument("k" * 1001, "x"), "`key` is 'kkk"),
        (NewDocument("k", "x", {"c": "y" * MAX_TEXT_BYTES}), "`columns` has 16,777,224 bytes in J"),
    ):
        with pytest.raises(DataError, match=f"^{re.escape(message)}"):
            store.add_documents([document])
    assert len(statuses(store)) == 4


# Decisions ----------------------------------------------------------------------------------------


def test_store_returns_why_a_document_was_selected(path: Path, store: LabelStore) -> None:
    guess = ModelGuess(("grain", "earn"), 0.75)
    selection = Selection("suggested", 0.125, 8, guess, is_guess_shown=True)
    assignment = assign(store, "Kim", 2, selection=selection)
    store.label(assignment.id, ["earn"], note="a note \ud800", is_guess_shown=True)
    with LabelStore(path, is_read_only=True) as other:
        assert other.assignment(assignment.id) == assignment
        [decision] = other.decisions()
    assert decision.assignment.selection == selection
    assert (decision.topics, decision.note, decision.is_guess_shown) == (
        ("earn",),
        "a note \ud800",
        True,
    )


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection("chosen", 0.5), "`reason` is 'chosen'; choose one of random, spread,"),  # type: ignore[arg-type]
        (Selection("random"), "`probability` is missing, but random draws require it"),
        (
            Selection("suggested", 0),
            "`probability` is 0; give a probability: above 0 and at most 1.",
        ),
        (Selection("suggested", float("nan")), "`probability` is nan; give a probability: above 0"),
        (Selection("suggested", 0.5, 0), "`n_candidates` is 0; give a count of at least 1."),
        (
            Selection("double-coded", 0.5, is_guess_shown=True),
            "`is_guess_shown` must be False for a random draw",
        ),
        (
            Selection("suggested", 0.5, guess=ModelGuess(("grain",), float("nan"))),
            "`guess` has the probability nan; give one from 0 to 1.",
        ),
    ],
)
def test_store_rejects_invalid_selections(
    store: LabelStore, selection: Selection, message: str
) -> None:
    with pytest.raises((DataError, OptionError), match=f"^{re.escape(message)}"):
        store.assign("Kim", 1, selection)
    assert store.open_assignments("Kim") == []


def test_store_applies_a_repeated_request_once(store: LabelStore) -> None:
    first = store.assign("Kim", 1, SUGGESTED, request="a")
    assert store.assign("Kim", 1, SUGGESTED, request="a") == first
    assert first is not None
    decision = store.label(first.id, ["grain"], request="b")
    assert store.label(first.id, ["grain"], request="b") == decision
    undone = store.undo(decision.id, request="c")
    assert store.undo(decision.id, request="c") == undone
    settled = store.settle(1, ["earn"], "Lee", request="d")
    assert store.settle(1, ["earn"], "Lee", request="d") == settled
    assert store.withdraw("Kim", "Lee", request="e") == store.withdraw("Kim", "Lee", request="e")
    for _ in range(2):
        store.add_topic("gold", "Kim", request="f")
        store.rename_topic("gold", "zinc", "Kim", request="g")
        store.merge_topic("zinc", "metal", "Kim", request="h")
    assert [each.kind for each in store.decisions()] == ["label", "undo"]
    assert len(store.codebook().changes) == 6


def test_store_rejects_a_request_name_for_another_change(store: LabelStore) -> None:
    assignment = assign(store, "Kim", 1)
    store.label(assignment.id, ["grain"], request="a")
    with pytest.raises(DataError) as caught:
        store.label(assignment.id, ["earn"], request="a")
    assert str(caught.value) == (
        "`request` 'a' was used for another change; use a new name for each change."
    )


def test_store_applies_a_request_once_from_many_threads(path: Path, store: LabelStore) -> None:
    assignment = assign(store, "Kim", 1)
    decisions = []

    def work(other: LabelStore) -> None:
        decisions.append(other.label(assignment.id, ["grain"], request="click"))

    with LabelStore(path, patience=60) as one, LabelStore(path, patience=60) as two:
        threads = [threading.Thread(target=work, args=[each]) for each in (one, two) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(decisions) == 8
    assert len({decision.id for decision in decisions}) == 1
    assert len(list(store.decisions())) == 1


def test_store_label_changes_a_decision_that_it_names(store: LabelStore) -> None:
    first = give(store, "Kim", 1, "grain")
    with pytest.raises(DataError) as caught:
        store.label(first.assignment.id, ["earn"])
    assert str(caught.value) == (
        "assignment 1 now has decision 1, but `supersedes` is None; review it again."
    )
    second = store.label(first.assignment.id, ["earn"], supersedes=first.id)
    with pytest.raises(DataError, match="now has decision 2"):
        store.undo(first.id)
    assert answers(store)[0] == ("earn",)
    assert [(each.id, each.supersedes) for each in store.decisions()] == [(1, None), (2, 1)]
    assert second.supersedes == 1


def test_store_undo_reopens_an_assignment(store: LabelStore) -> None:
    decision = give(store, "Kim", 1, "grain")
    assert store.open_assignments("Kim") == []
    undone = store.undo(decision.id)
    assert (undone.kind, undone.supersedes) == ("undo", decision.id)
    assert store.open_assignments("Kim") == [decision.assignment]
    assert statuses(store)[0] == "unlabelled"
    again = store.skip(decision.assignment.id, "unclear")
    assert (again.kind, again.reason, again.supersedes) == ("skip", "unclear", undone.id)
    assert statuses(store)[0] == "skipped"


def test_store_assign_returns_an_open_assignment(store: LabelStore) -> None:
    first = assign(store, "Kim", 1)
    assert assign(store, "Kim", 1, selection=Selection("random", 0.5)) == first
    assert assign(store, "Lee", 1) != first
    assert store.has_assignments()


def test_store_assign_leaves_a_document_to_its_coder(store: LabelStore) -> None:
    assign(store, "Kim", 1)
    assert store.assign("Lee", 1, SUGGESTED, max_others=0) is None
    assert store.assign("Lee", 1, SUGGESTED, max_others=1) is not None


def test_store_assign_gives_a_document_that_an_imported_coder_labelled(store: LabelStore) -> None:
    store.add_coder("llm", "imported")
    store.import_labels("llm", [ImportedLabel(1, ("grain",))])
    assert store.assign("Kim", 1, SUGGESTED, max_others=0) is not None
    assert store.assign("Lee", 1, SUGGESTED, max_others=0) is None


@pytest.mark.parametrize("topics", [[], ["grain", "earn"]])
def test_store_takes_one_topic_unless_it_is_multilabel(
    store: LabelStore, topics: list[str]
) -> None:
    assignment = assign(store, "Kim", 1)
    with pytest.raises(DataError) as caught:
        store.label(assignment.id, topics)
    assert str(caught.value) == (
        f"`topics` has {len(topics)} topics, but the labels are single-label; give one."
    )
    assert store.setting("multilabel") is None
    store.set_multilabel(True)
    assert store.is_multilabel
    assert store.label(assignment.id, topics).topics == tuple(topics)
    with pytest.raises(DataError, match=r"\(decision 1\), so it can't become single-label"):
        store.set_multilabel(False)


def test_store_becomes_single_label_once_labels_of_two_topics_were_undone(
    store: LabelStore,
) -> None:
    store.set_multilabel(True)
    decision = give(store, "Kim", 1, "grain", "earn")
    with pytest.raises(DataError, match="has a label of several topics, or of none"):
        store.set_multilabel(False)
    store.undo(decision.id)
    store.set_multilabel(False)
    assert not store.is_multilabel


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda store: store.label(1, ["grain"]), "there is no assignment 1; reload the page"),
        (
            lambda store: store.undo(2**70),
            f"there is no decision {2**70}; reload the page, or check the number.",
        ),
        (
            lambda store: store.document(0),
            "there is no document 0; reload the page, or check the number.",
        ),
        (
            lambda store: store.assign("Kim", 9, SUGGESTED),
            "there is no document 9; reload the page",
        ),
        (lambda store: store.assign("Max", 1, SUGGESTED), "labels.db has no coder 'Max'; add it f"),
        (lambda store: give(store, "Kim", 1, "gold"), "the codebook has no topic 'gold'; add it"),
        (lambda store: store.label(1, "grain"), "`topics` is 'grain'; give a list."),
        (lambda store: store.skip(1, "no"), "`reason` is 'no'; choose one of unclear, none of"),
        (lambda store: store.settle(1, ["gold"], "Kim"), "the codebook has no topic 'gold'; add"),
        (lambda store: store.restore(1, "Kim"), "there is no withdrawal 1; reload the page"),
        (lambda store: store.separate_topic(9, "Kim"), "there is no topic 9; reload the page"),
        (lambda store: store.add_coder(" "), "`name` is blank; pass a coder name."),
        (lambda store: store.add_coder("Kim", "imported"), "'Kim' is already used for a person"),
        (lambda store: store.add_topic(" ", "Kim"), "topic ' ' is blank, or contains a NUL"),
    ],
)
def test_store_says_what_does_not_exist(store: LabelStore, use: Any, message: str) -> None:
    before = store.last_change()[1:]
    with pytest.raises((DataError, OptionError), match=re.escape(message)):
        use(store)
    assert store.last_change()[4:] == before[3:]


# Topics -------------------------------------------------------------------------------------------


def test_store_renames_topics_of_earlier_labels(store: LabelStore) -> None:
    give(store, "Kim", 1, "grain")
    store.rename_topic("grain", "crops", "Lee")
    assert answers(store)[0] == ("crops",)
    assert give(store, "Kim", 2, "grain").topics == ("crops",), "a page may still show it"
    assert [(each.kind, each.coder) for each in store.codebook().changes[3:]] == [
        ("renamed", "Lee")
    ]


def test_store_renames_a_topic_of_500_labels(store: LabelStore) -> None:
    texts = [f"text {n}" for n in range(500)]
    documents = store.add_documents(new_documents(texts))
    store.import_labels("Kim", [ImportedLabel(document, ("grain",)) for document in documents])
    store.rename_topic("grain", "cereals", "Lee")
    assert store.counts().by_topic == {"cereals": 500, "earn": 0, "metal": 0}
    assert [each.answer for each in store.labels(documents[0] - 1)] == [("cereals",)] * 500
    give(store, "Kim", 1, "grain")
    assert answers(store)[0] == ("cereals",)


def test_store_merges_topics_and_separates_them_again(store: LabelStore) -> None:
    give(store, "Kim", 1, "grain")
    give(store, "Lee", 1, "earn")
    assert statuses(store)[0] == "open"
    store.merge_topic("grain", "earn", "Kim")
    assert answers(store)[0] == ("earn",)
    assert store.codebook().names() == ["earn", "metal"]
    [merged] = [topic for topic in store.codebook().all_topics() if topic.merged_into]
    assert store.separate_topic(merged.id, "Kim").name == "grain"
    assert statuses(store)[0] == "open"


def test_store_removes_topics_that_no_label_has(store: LabelStore) -> None:
    decision = give(store, "Kim", 1, "grain")
    store.rename_topic("grain", "cereals", "Kim")
    with pytest.raises(DataError, match="topic 'cereals' has labels"):
        store.remove_topic("cereals", "Kim")
    store.undo(decision.id)
    store.merge_topic("metal", "cereals", "Kim")
    with pytest.raises(DataError, match="or another topic was merged into it"):
        store.remove_topic("cereals", "Kim")
    [merged] = [topic for topic in store.codebook().all_topics() if topic.merged_into]
    store.separate_topic(merged.id, "Kim")
    assert store.remove_topic("cereals", "Kim").name == "cereals"
    assert store.codebook().names() == ["earn", "metal"]
    assert (store.codebook().find("grain"), store.codebook().find("cereals")) == (None, None)
    assert next(iter(store.decisions())).topics == ("cereals",)
    added = store.add_topic("cereals", "Kim")
    assert (store.codebook().find("cereals"), added.is_removed) == (added, False)


def test_store_keeps_topics_that_a_settlement_has(store: LabelStore) -> None:
    give(store, "Kim", 1, "grain")
    store.settle(1, ["metal"], "Kim")
    with pytest.raises(DataError, match="topic 'metal' has labels"):
        store.remove_topic("metal", "Kim")


def test_store_rejects_codebook_changes_that_make_names_ambiguous(store: LabelStore) -> None:
    with pytest.raises(DataError) as caught:
        store.rename_topic("grain", "earn", "Kim")
    assert str(caught.value) == (
        "topic 'earn' already exists; merge 'grain' into it, or choose another name."
    )
    with pytest.raises(DataError, match="'grain' and 'grain' are the same topic; choose two"):
        store.merge_topic("grain", "grain", "Kim")
    store.merge_topic("grain", "earn", "Kim")
    store.add_topic("grain", "Kim")
    with pytest.raises(DataError, match="there is another topic 'grain' now; rename that one"):
        store.separate_topic(1, "Kim")


def test_store_keeps_descriptions_with_their_history(store: LabelStore) -> None:
    store.add_topic("oil", "Kim", description="crude", examples=["Brent rose"])
    topic = store.describe_topic("oil", "Lee", description="crude oil, and gas")
    assert (topic.description, topic.examples) == ("crude oil, and gas", ())
    changes = store.codebook().changes[-2:]
    assert [(each.description, each.examples) for each in changes] == [
        ("crude", ("Brent rose",)),
        ("crude oil, and gas", ()),
    ]
    with pytest.raises(DataError, match="`examples` is 'x'; give a list of at most 100 texts"):
        store.describe_topic("oil", "Lee", description="", examples="x")


# Several coders -----------------------------------------------------------------------------------


def test_store_answers_where_persons_agree(store: LabelStore) -> None:
    store.set_multilabel(True)
    give(store, "Kim", 1, "grain", "earn")
    give(store, "Lee", 1, "earn", "grain")
    give(store, "Kim", 2, "earn")
    store.skip(assign(store, "Lee", 2).id, "not for me")
    give(store, "Kim", 3, "grain")
    give(store, "Lee", 3, "earn")
    assert statuses(store) == ["agreed", "agreed", "open", "unlabelled"]
    assert answers(store) == [("grain", "earn"), ("earn",), None, None]


def test_store_settlement_answers_for_the_coders(store: LabelStore) -> None:
    give(store, "Kim", 1, "grain")
    give(store, "Lee", 1, "earn")
    first = store.settle(1, ["metal"], "Lee", note="both")
    assert (answers(store)[0], statuses(store)[0]) == (("metal",), "settled")
    with pytest.raises(
        DataError, match="document 1 now has settlement 1, but `supersedes` is None"
    ):
        store.settle(1, ["grain"], "Kim")
    second = store.settle(1, None, "Kim", supersedes=first.id)
    assert (answers(store)[0], statuses(store)[0]) == (None, "skipped")
    store.undo_settlement(second.id, "Kim")
    assert statuses(store)[0] == "open"
    assert store.settle(1, ["earn"], "Kim").supersedes == 3


def test_store_lets_only_persons_settle(store: LabelStore) -> None:
    store.add_coder("llm", "imported")
    with pytest.raises(DataError, match="'llm' is not a person; only people can settle"):
        store.settle(1, ["grain"], "llm")


def test_store_withdraws_and_restores_the_labels_of_a_coder(store: LabelStore) -> None:
    give(store, "Kim", 1, "grain")
    give(store, "Lee", 1, "earn")
    give(store, "Kim", 2, "grain")
    withdrawal = store.withdraw("Kim", "Lee")
    assert answers(store)[:2] == [("earn",), None]
    give(store, "Kim", 3, "grain")
    assert answers(store)[2] == ("grain",), "later labels count"
    store.restore(withdrawal, "Lee")
    store.restore(withdrawal, "Lee")
    assert statuses(store) == ["open", "agreed", "agreed", "unlabelled"]
    assert len(list(store.decisions())) == 4
    assert len(list(store.decisions(coder="Lee"))) == 1
    with pytest.raises(DataError, match="there is no withdrawal 2"):
        store.restore(2, "Kim")


def test_store_withdraws_again_what_was_restored(store: LabelStore) -> None:
    with pytest.raises(DataError, match="'Kim' has no labels to withdraw"):
        store.withdraw("Kim", "Lee")
    give(store, "Kim", 1, "grain")
    first = store.withdraw("Kim", "Lee", request="click")
    assert store.withdraw("Kim", "Lee", request="click") == first
    with pytest.raises(DataError, match="no labels to withdraw"):
        store.withdraw("Kim", "Lee")
    [withdrawal] = store.withdrawals()
    assert (withdrawal.coder.name, withdrawal.person.name) == ("Kim", "Lee")
    store.restore(first, "Lee")
    assert store.withdrawals() == []
    assert store.withdraw("Kim", "Lee") == 3
    assert statuses(store)[0] == "unlabelled"


def test_store_lists_settlements_that_were_not_undone(store: LabelStore) -> None:
    first = store.settle(1, ["grain"], "Lee")
    second = store.settle(2, None, "Lee", note="unclear")
    assert store.settlements(5) == [second, first]
    assert store.settlements(1) == [second]
    store.undo_settlement(second.id, "Kim")
    assert store.settlements(5) == [first]


def test_store_keeps_a_coders_label_of_a_text_that_came_again(store: LabelStore) -> None:
    give(store, "Kim", 1, "grain")
    give(store, "Kim", 1, "earn", selection=Selection("repeated"))
    assert answers(store)[0] == ("grain",)
    assert len(store.document_labels(1).decisions) == 1
    assert [each.topics for each in store.current_decisions()] == [("grain",), ("earn",)]


# Near copies --------------------------------------------------------------------------------------


COPIES = new_documents(["maize rose", "maize rose.", "Maize rose"])


def test_store_labels_near_copies_once(store: LabelStore) -> None:
    decision = give(store, "Kim", 1, "grain")
    assignment = decision.assignment.id
    for _ in range(2):
        assert store.label_copies(assignment, COPIES, request="click") == 3
    assert store.label_copies(assignment, COPIES, request="another click") == 0
    found = store.copies(assignment)
    assert [each.topics for each in found] == [("grain",)] * 3
    assert {each.assignment.selection for each in found} == {
        Selection("near copy", original=assignment)
    }
    assert answers(store)[4:] == [("grain",)] * 3
    with pytest.raises(DataError, match="was used for another change"):
        store.label_copies(assignment, COPIES[:1], request="click")


def test_store_takes_labels_of_near_copies_back(store: LabelStore) -> None:
    assignment = give(store, "Kim", 1, "grain").assignment.id
    store.label_copies(assignment, COPIES)
    assert [store.undo_copies(assignment, request="undo") for _ in range(2)] == [3, 3]
    assert store.copies(assignment) == []
    assert answers(store)[4:] == [None] * 3
    assert store.open_assignments("Kim") == [], "nobody has them"
    drawn = assign(store, "Kim", 5, selection=Selection("random", 0.5))
    assert store.first_assignments()[5] == drawn
    assert store.label_copies(assignment, COPIES) == 2, "one is being decided"


def test_store_labels_no_near_copy_that_somebody_has(store: LabelStore) -> None:
    numbers = store.add_documents(COPIES)
    give(store, "Lee", numbers[0], "earn")
    assign(store, "Lee", numbers[1])
    assignment = give(store, "Kim", 1, "grain").assignment.id
    assert store.label_copies(assignment, COPIES) == 1
    assert answers(store)[4:] == [("earn",), None, ("grain",)]


def test_store_labels_a_near_copy_that_another_coder_left(store: LabelStore) -> None:
    numbers = store.add_documents(COPIES)
    store.skip(assign(store, "Lee", numbers[0]).id, "not for me")
    store.skip(assign(store, "Lee", numbers[1]).id, "unclear")
    store.skip(assign(store, "Kim", numbers[2]).id, "not for me")
    assignment = give(store, "Kim", 1, "grain").assignment.id
    assert store.label_copies(assignment, COPIES) == 1
    assert answers(store)[4:] == [("grain",), None, None]


def test_store_changes_near_copies_with_their_original(store: LabelStore) -> None:
    decision = give(store, "Kim", 1, "grain")
    assignment = decision.assignment.id
    store.label_copies(assignment, COPIES)
    store.label(assignment, ["earn"], supersedes=decision.id)
    assert answers(store)[4:] == [("grain",)] * 3
    assert store.label_copies(assignment, COPIES[:2]) == 2
    assert answers(store)[4:] == [("earn",)] * 2 + [("grain",)]


def test_store_gives_near_copies_no_label_that_is_missing(store: LabelStore) -> None:
    skipped = assign(store, "Kim", 1)
    for skip in (False, True):
        if skip:
            store.skip(skipped.id, "unclear")
        with pytest.raises(DataError, match="has no label to copy"):
            store.label_copies(skipped.id, COPIES)
    with pytest.raises(DataError, match="there is no assignment 99"):
        store.label_copies(99, COPIES)


def test_store_leaves_open_assignments_of_changed_texts_out(store: LabelStore) -> None:
    [old] = store.add_documents([NewDocument("id 7", "old")])
    assign(store, "Kim", old)
    kept = assign(store, "Kim", 1)
    store.add_documents([NewDocument("id 7", "new")])
    assert store.open_assignments("Kim") == [kept]


# Imports ------------------------------------------------------------------------------------------


def test_store_imports_labels_once(store: LabelStore) -> None:
    store.add_coder("llm", "imported")
    labels = [
        ImportedLabel(1, ("grain",), at="2026-01-31T08:15:00.250Z", note="sure"),
        ImportedLabel(2, ("gold",)),
        ImportedLabel(3, None, reason="none of these"),
    ]
    assert store.import_labels("llm", labels) == 3
    assert store.import_labels("llm", labels) == 0
    assert store.import_labels("llm", [labels[1]._replace(topics=("earn",))]) == 1
    assert store.codebook().names() == ["grain", "earn", "metal", "gold"]
    decisions = [store.document_labels(number).decisions[0] for number in (1, 2, 3)]
    assert [each.topics for each in decisions] == [("grain",), ("earn",), ()]
    assert (decisions[0].at, decisions[0].note) == ("2026-01-31T08:15:00.250Z", "sure")
    assert decisions[2].reason == "none of these"
    assert {each.assignment.selection for each in decisions} == {Selection("imported")}
    assert statuses(store) == ["unlabelled"] * 4, "a model's labels are no answers"


def test_store_imports_withdrawn_labels_again(store: LabelStore) -> None:
    store.add_coder("llm", "imported")
    labels = [ImportedLabel(1, ("grain",))]
    assert store.import_labels("llm", labels) == 1
    store.withdraw("llm", "Kim")
    assert [store.import_labels("llm", labels) for _ in range(2)] == [1, 0]
    assert [each.topics for each in store.document_labels(1).decisions] == [("grain",)]


def test_store_imports_labels_of_merged_topics_once(store: LabelStore) -> None:
    store.add_coder("llm", "imported")
    store.add_topic("corn", "Kim")
    labels = [ImportedLabel(1, ("corn",))]
    store.import_labels("llm", labels)
    store.merge_topic("corn", "grain", "Kim")
    assert store.import_labels("llm", labels) == 0


def test_store_imports_nothing_of_a_batch_with_an_error(store: LabelStore) -> None:
    for label, message in (
        (ImportedLabel(9, ("grain",)), "there is no document 9"),
        (ImportedLabel(1, ("earn",), at="today"), "`at` is 'today'; give a time in UTC."),
        (ImportedLabel(1, ()), "`topics` has 0 topics"),
    ):
        with pytest.raises(DataError, match=message):
            store.import_labels("Kim", [ImportedLabel(1, ("grain",)), label])
    assert list(store.decisions()) == []


# Reading ------------------------------------------------------------------------------------------


def test_store_reads_pages_without_gaps(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slugline.corpus.label_database.reader._PAGE_ROWS", 3)
    monkeypatch.setattr("slugline.labels.storage.writing.MAX_ROWS", 3)
    monkeypatch.setattr("slugline.labels.storage.reading.MAX_ROWS", 3)
    store.add_documents(new_documents([f"{n}" for n in range(10)]))
    for document in range(1, 15):
        give(store, "Kim", document, "grain", selection=Selection("random", 0.5))
    assert [each.document.id for each in store.labels()] == [*range(1, 15)]
    assert [each.document.id for each in store.labels(after=12)] == [13, 14]
    assert [each.id for each in store.decisions()] == [*range(1, 15)]
    assert len(list(store.current_decisions())) == 14


def test_store_returns_a_frame(store: LabelStore) -> None:
    pandas = pytest.importorskip("pandas")
    give(store, "Kim", 1, "grain")
    frame = store.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["status"].tolist() == ["agreed", *["unlabelled"] * 3]
    assert frame["topics of Kim"].tolist()[0] == ["grain"]


def test_store_last_change_differs_after_each_change(store: LabelStore) -> None:
    seen = [store.last_change()]
    decision = give(store, "Kim", 1, "grain")
    for use in (
        lambda: store.undo(decision.id),
        lambda: store.settle(1, ["earn"], "Kim"),
        lambda: store.withdraw("Kim", "Lee"),
        lambda: store.rename_topic("earn", "profit", "Kim"),
        lambda: store.add_documents(new_documents(["new"])),
    ):
        use()
        seen.append(store.last_change())
    assert len({*seen}) == 6


# Files that are none of ours ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER other AFTER INSERT ON decisions BEGIN DELETE FROM decisions; END",
        "CREATE TABLE other (name)",
        "DROP TABLE settlements",
        "DROP INDEX assignments_by_coder",
    ],
)
def test_store_leaves_a_file_with_another_schema_alone(
    path: Path, store: LabelStore, statement: str
) -> None:
    store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is marked as a file of labels, but has unknown tables"):
        LabelStore(path)
    assert path.read_bytes() == before
