"""Texts of the user's file, who has which, and random draws of the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from random_selector import RandomSelector
from slugline.corpus.label_database.records import Selection
from slugline.errors import DataError, OptionError
from slugline.labels.draws import RepeatedDraws
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable, missing_note, stored_text_columns

TEXTS = ["Wheat rose", "Net profit fell", "Maize", "Zinc"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels.db") as store:
        store.add_coder("Kim")
        store.add_coder("Lee")
        store.add_topic("grain", "Kim")
        yield store


def give(store: LabelStore, table: TextTable, row: int, coder: str = "Kim") -> int:
    """Assign a row to a coder as a random draw; return the number of the assignment."""
    [document] = store.add_documents([table.document(row)])
    assignment = store.assign(coder, document, Selection("random", 0.25, 4))
    assert assignment is not None
    return assignment.id


def free(assignments: RowAssignments, coder: str = "Lee") -> list[int]:
    return [int(row) for row in assignments.free_rows(coder)]


# Texts --------------------------------------------------------------------------------------------


def test_text_table_keeps_all_columns_of_a_text_from_several() -> None:
    cells = {"subject": "a", "body": "b"}
    table = TextTable("t.csv", ["a\nb"], [cells], text_columns=("subject", "body"))
    assert table.document(0).columns == cells


def test_text_table_finds_a_document_after_the_file_was_reordered(store: LabelStore) -> None:
    give(store, TextTable("t", TEXTS), 1)
    document = store.document(1)
    assert TextTable("t", TEXTS[::-1]).find_row(document) == 2
    assert TextTable("t", ["Other", "Net profit fell!"]).find_row(document) is None


def test_text_table_does_not_find_a_document_whose_text_has_changed(store: LabelStore) -> None:
    give(store, TextTable("t", TEXTS, ids=[1, 2, 3, 4]), 1)
    changed = TextTable("t", ["Wheat rose", "Net profit rose"], ids=[1, 2])
    assert changed.find_row(store.document(1)) is None


def test_text_table_rejects_labels_of_other_columns(store: LabelStore) -> None:
    TextTable("t.csv", ["a"], text_columns=("subject", "body")).remember_source(store)
    with pytest.raises(OptionError, match="belong to texts in subject,body; pass that as `text`"):
        TextTable("t.csv", ["a"], text_columns=("body",)).remember_source(store)


def test_stored_text_columns_reports_damage(store: LabelStore) -> None:
    store.set_settings({"text columns": "no list"})
    with pytest.raises(DataError, match="is damaged: its setting 'text columns' can't be read"):
        stored_text_columns(store)


# Who has which ------------------------------------------------------------------------------------


def test_row_assignments_resume_with_labels_and_open_texts(store: LabelStore) -> None:
    table = TextTable("t", TEXTS)
    store.label(give(store, table, 0), ["grain"])
    give(store, table, 3)
    assignments = RowAssignments.from_store(TextTable("t", TEXTS[::-1]), store)
    assert free(assignments) == [1, 2]
    assert missing_note(assignments, table) is None


def test_row_assignments_free_what_a_coder_leaves_to_others(store: LabelStore) -> None:
    table = TextTable("t", TEXTS)
    store.skip(give(store, table, 2), "not for me")
    assignments = RowAssignments.from_store(table, store)
    assert (free(assignments), free(assignments, "Kim")) == ([0, 1, 2, 3], [0, 1, 3])


def test_row_assignments_leave_a_declined_text_to_a_coder_who_has_it() -> None:
    assignments = RowAssignments(2)
    assignments.add(0, "Kim", is_random=True)
    assignments.add(0, "Lee")
    assignments.decline(0, "Lee")
    assert free(assignments, "Max") == [1]
    assignments.decline(0, "Kim")
    assert (free(assignments, "Max"), free(assignments, "Kim")) == ([0, 1], [1])


def test_row_assignments_give_a_reclaimed_text_to_nobody_else() -> None:
    assignments = RowAssignments(2)
    assignments.add(0, "Kim")
    assignments.decline(0, "Kim")
    assignments.reclaim(1, "Kim")
    assert free(assignments, "Lee") == [0, 1]
    assignments.reclaim(0, "Kim")
    assert free(assignments, "Lee") == [1]
    assignments.decline(0, "Kim")
    assert free(assignments, "Lee") == [0, 1]


def test_row_assignments_keep_a_text_that_another_process_has_given() -> None:
    assignments = RowAssignments(2)
    assignments.mark_taken(0)
    assignments.decline(0, "Kim")
    assert (free(assignments, "Lee"), assignments.n_coders(0)) == ([1], 0)


def test_row_assignments_reject_another_file_though_a_text_was_changed(store: LabelStore) -> None:
    table = TextTable("t", ["a", "b"], ids=[1, 2])
    for row in (0, 1):
        store.label(give(store, table, row), ["grain"])
    store.add_documents([TextTable("t", ["new"], ids=[1]).document(0)])
    with pytest.raises(DataError, match="labels of 1 other document, and none of them is in u;"):
        RowAssignments.from_store(TextTable("u", ["Something else"]), store)


def test_row_assignments_free_the_texts_of_withdrawn_labels(store: LabelStore) -> None:
    table = TextTable("t", TEXTS)
    store.label(give(store, table, 0), ["grain"])
    store.withdraw("Kim", "Lee")
    assert free(RowAssignments.from_store(table, store)) == [0, 1, 2, 3]


def test_row_assignments_count_labels_of_texts_that_are_gone(store: LabelStore) -> None:
    table = TextTable("t", TEXTS)
    for row in (0, 1, 2):
        store.label(give(store, table, row), ["grain"])
    shorter = TextTable("t", TEXTS[2:])
    assignments = RowAssignments.from_store(shorter, store)
    assert missing_note(assignments, shorter) == (
        "2 labelled documents are no longer in t, or have a different text there; their labels are "
        "kept"
    )


def test_row_assignments_reject_labels_of_another_file(store: LabelStore) -> None:
    store.label(give(store, TextTable("t", TEXTS), 0), ["grain"])
    with pytest.raises(DataError, match="labels of 1 other document, and none of them is in u;"):
        RowAssignments.from_store(TextTable("u", ["Something else"]), store)


# Draws --------------------------------------------------------------------------------------------


def test_random_selector_draws_free_rows_with_equal_probability() -> None:
    assignments = RowAssignments(4)
    assignments.add(1, "Lee")
    selector = RandomSelector(assignments, random_state=0)
    drawn = [selector.select_next("Kim") for _ in range(600)]
    assert all(each is not None for each in drawn)
    counts = Counter(each.row for each in drawn if each is not None)
    assert {*counts} == {0, 2, 3}
    assert all(150 < n < 250 for n in counts.values())
    assert {each.selection for each in drawn if each is not None} == {
        Selection("random", 1 / 3, n_candidates=3)
    }


def test_random_selector_draws_a_fraction_from_those_of_others() -> None:
    assignments = RowAssignments(10)
    for row in (0, 1):
        assignments.add(row, "Lee", is_random=True)
    assignments.add(2, "Lee")  # no random draw
    selector = RandomSelector(assignments, double_fraction=0.25, random_state=0)
    drawn = [each for _ in range(800) if (each := selector.select_next("Kim")) is not None]
    double = [each for each in drawn if each.selection.reason == "double-coded"]
    assert {each.row for each in double} == {0, 1}
    assert 150 < len(double) < 250
    assert {each.selection.probability for each in double} == {0.125}
    assert {each.selection.probability for each in drawn} == {0.125, 0.75 / 7}
    assert not [*filter(None, (assignments.drawn_by_others("Lee")))]


def test_random_selector_does_not_draw_a_third_time() -> None:
    assignments = RowAssignments(1)
    selector = RandomSelector(assignments, double_fraction=0.5, random_state=0)
    for coder in ("Lee", "Kim"):
        drawn = selector.select_next(coder)
        assert drawn is not None
        assignments.add(drawn.row, coder, is_random=True)
    assert selector.select_next("Ada") is None


# Texts that come again ----------------------------------------------------------------------------


def decide(store: LabelStore, n: int, selection: Selection) -> None:
    """Let Kim label the first texts of a file."""
    table = TextTable("t", [f"Text {number}" for number in range(n)])
    for document in store.add_documents(map(table.document, range(n))):
        assignment = store.assign("Kim", document, selection)
        assert assignment is not None
        store.label(assignment.id, ["grain"])


def test_repeated_draws_repeat_each_earlier_text_once(store: LabelStore) -> None:
    decide(store, 12, Selection("suggested", 0.1))
    draws = RepeatedDraws(1.0, 10, random_state=0)
    found = []
    while (drawn := draws.draw([*store.current_decisions()])) is not None:
        decision, selection = drawn
        assert selection.n_candidates is not None
        assert selection.probability == 1 / selection.n_candidates
        found.append(decision.assignment.document)
        assignment = store.assign("Kim", found[-1], selection)
        assert assignment is not None
        store.label(assignment.id, ["grain"])
        assert len(found) <= 12
    # Each repeated text is one more that lies between.
    assert sorted(found[:3]) == [1, 2, 3]
    assert len({*found}) == len(found)


def test_repeated_draws_repeat_a_fraction(store: LabelStore) -> None:
    decide(store, 30, Selection("random", 0.1))
    draws = RepeatedDraws(0.2, 10, random_state=0)
    decisions = [*store.current_decisions()]
    drawn = [draws.draw(decisions) for _ in range(1000)]
    assert 150 < sum(each is not None for each in drawn) < 250
    assert {each[0].assignment.document for each in drawn if each is not None} == {*range(1, 21)}


@pytest.mark.parametrize("reason", ["near copy", "repeated"])
def test_repeated_draws_repeat_nothing_that_was_not_read(store: LabelStore, reason: Any) -> None:
    decide(store, 12, Selection(reason))
    draws = RepeatedDraws(1.0, 2, random_state=0)
    assert draws.draw([*store.current_decisions()]) is None


# Assignments that change --------------------------------------------------------------------------


def test_row_assignments_release_a_row(store: LabelStore) -> None:
    assignments = RowAssignments(3)
    assignments.add(1, "Kim", is_random=True)
    assert free(assignments) == [0, 2]
    assignments.release(1)
    assert (free(assignments), assignments.n_coders(1)) == ([0, 1, 2], 0)
    assert assignments.drawn_by_others("Lee").tolist() == []


def test_row_assignments_tell_which_of_some_rows_are_free() -> None:
    assignments = RowAssignments(6)
    assignments.add(1, "Kim")
    assignments.add(4, "Lee")
    assignments.decline(4, "Lee")
    rows = np.array([1, 3, 4])
    assert assignments.free_among(rows, "Kim").tolist() == [3, 4]
    assert assignments.free_among(rows, "Lee").tolist() == [3]


def test_row_assignments_refresh_after_a_withdrawal(store: LabelStore) -> None:
    table = TextTable("t", TEXTS)
    store.label(give(store, table, 1), ["grain"])
    give(store, table, 2, "Lee")
    assignments = RowAssignments.from_store(table, store)
    assert free(assignments) == [0, 3]
    withdrawal = store.withdraw("Kim", "Lee")
    assignments.refresh(table, store)
    assert free(assignments) == [0, 1, 3]
    store.restore(withdrawal, "Lee")
    assignments.refresh(table, store)
    assert free(assignments) == [0, 3]


def test_row_assignments_have_the_new_texts_of_a_file_that_grew(store: LabelStore) -> None:
    store.label(give(store, TextTable("t", TEXTS), 1), ["grain"])
    grown = TextTable("t", ["New", *TEXTS[::-1], "Newer"])
    assert free(RowAssignments.from_store(grown, store)) == [0, 1, 2, 4, 5]
    assert free(RowAssignments.from_store(TextTable("t", TEXTS[:2]), store)) == [0]
