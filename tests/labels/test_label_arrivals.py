"""Tests of texts that come to the user's file later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from slugline.base.arrays import F64
from slugline.corpus.label_database.records import Selection
from slugline.errors import StoreError
from slugline.labels.accuracy import AccuracyEstimate, MeasuredLabels, estimate_accuracy
from slugline.labels.arrivals import Arrivals, AssignedRow, read_arrivals, record_arrivals
from slugline.labels.labelled_texts import read_labelled_texts
from slugline.labels.selection import SelectionWeights, WeightedSampler
from slugline.labels.storage.reading import Arrival
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

TEXTS = [f"text {row}" for row in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels.db") as store:
        store.add_coder("Kim")
        store.add_topic("grain", "Kim")
        yield store


def label(store: LabelStore, table: TextTable, rows: Sequence[int]) -> None:
    """Label rows as random draws."""
    for row in rows:
        [document] = store.add_documents([table.document(row)])
        assignment = store.assign("Kim", document, Selection("random", 1 / len(table), len(table)))
        assert assignment is not None
        store.label(assignment.id, ["grain"])


# Storage ------------------------------------------------------------------------------------------


def test_record_arrivals_recognizes_new_texts_wherever_they_are(store: LabelStore) -> None:
    first = TextTable("t.csv", TEXTS[:20])
    assert record_arrivals(store, first).last_assignments == (0,)
    label(store, first, [0, 1])
    grown = TextTable("t.csv", [*TEXTS[30:], *TEXTS[:20]])
    for _ in range(2):
        arrivals = record_arrivals(store, grown)
        assert arrivals.last_assignments == (0, 2)
        assert arrivals.batches.tolist() == [1] * 10 + [0] * 20
    complete = record_arrivals(store, TextTable("t.csv", TEXTS))
    assert complete.last_assignments == (0, 2)  # nothing was labelled since the second batch came
    assert complete.batches.tolist() == [0] * 20 + [1] * 20


def test_read_arrivals_recognizes_new_texts_and_stores_nothing(store: LabelStore) -> None:
    first = TextTable("t.csv", TEXTS[:20])
    record_arrivals(store, first)
    label(store, first, [0, 1])
    arrivals = read_arrivals(store, TextTable("t.csv", TEXTS[10:]))
    assert arrivals.last_assignments == (0, 2)
    assert arrivals.batches.tolist() == [0] * 10 + [1] * 20
    assert [each.last_assignment for each in store.arrivals()] == [0]


def test_record_arrivals_stores_many_texts_in_rows(
    store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.labels.storage.writing._MAX_CHECKSUM_BYTES", 40_000)
    table = TextTable("t.csv", [str(row) for row in range(40_000)])
    assert record_arrivals(store, table).last_assignments == (0,)
    arrivals = record_arrivals(store, table)
    assert arrivals.last_assignments == (0,)
    assert not arrivals.batches.any()


def test_record_arrivals_takes_a_changed_text_as_new(store: LabelStore) -> None:
    record_arrivals(store, TextTable("t.csv", ["a", "b"], ids=[1, 2]))
    table = TextTable("t.csv", ["a", "new"], ids=[1, 2])
    label(store, table, [0])
    assert record_arrivals(store, table).batches.tolist() == [0, 1]


def test_record_arrivals_keeps_the_texts_of_two_files_at_once(store: LabelStore) -> None:
    mine = TextTable("t.csv", TEXTS[:20])
    with LabelStore(store.path) as other:
        read = store.arrivals

        def read_late() -> list[Arrival]:
            """Read, and let the other process store its texts before the next write."""
            arrivals = read()
            if not arrivals:
                record_arrivals(other, TextTable("t.csv", TEXTS[10:]))
            return arrivals

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "arrivals", read_late)
            assert record_arrivals(store, mine).last_assignments == (0,)
    label(store, mine, [0])
    arrivals = record_arrivals(store, TextTable("t.csv", TEXTS))
    assert arrivals.last_assignments == (0,)
    assert not arrivals.batches.any()


@pytest.mark.parametrize("cells", ["'?', x'00'", "0, x'000000'", "-1, x''", "0, ''"])
def test_record_arrivals_reports_a_damaged_row(store: LabelStore, cells: str) -> None:
    with sqlite3.connect(store.path) as connection:
        connection.execute(f"INSERT INTO arrivals VALUES (1, '', {cells})")  # noqa: S608
    connection.close()
    with pytest.raises(StoreError, match=r"is damaged: arrival 1 can't be read"):
        record_arrivals(store, TextTable("t.csv", TEXTS))


def test_read_labelled_weighs_late_texts_by_the_draws_since_they_came(store: LabelStore) -> None:
    first = TextTable("t.csv", TEXTS[:20])
    record_arrivals(store, first)
    label(store, first, range(10))
    table = TextTable("t.csv", TEXTS)
    arrivals = record_arrivals(store, table)
    early = read_labelled_texts(store, table, arrivals)
    assert early.unmeasured_fraction == 20 / 30
    label(store, table, range(20, 30))
    labelled = read_labelled_texts(store, table, arrivals)
    assert labelled.unmeasured_fraction == 0
    weights = [each.weight for each in labelled.texts]
    # 20 draws from the early texts, of which 10 of 20 are left; 10 from the late ones.
    assert weights[0] == pytest.approx(10 / 20 * 20 / 20)
    assert weights[9] == pytest.approx(10 / 11 * 20 / 20)
    assert weights[10] == pytest.approx(10 / 20 * 40 / 10)


def test_weights_of_a_batch_without_other_texts_are_above_0() -> None:
    arrivals = Arrivals(np.zeros(2, dtype=np.intp), (0,))
    weights = arrivals.weights(
        [AssignedRow(1, 0, 0.5), AssignedRow(2, 1, 1.0), AssignedRow(3, 1, None)], [1, 2]
    )
    assert (weights[:2] > 0).all()
    assert np.isnan(weights[2])


# Simulations --------------------------------------------------------------------------------------


class GrowingFile:
    """Labels of texts of a file that doubles halfway, and which answers are right.

    Answers to the first texts are right in nine of ten cases, and to the later ones in half.
    """

    n_first, n_texts, n_labels = 1000, 2000, 300

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        probability = np.where(np.arange(self.n_texts) < self.n_first, 0.9, 0.5)
        self.right = rng.uniform(size=self.n_texts) < probability
        selector, rows = WeightedSampler(rng), np.arange(self.n_first)
        # Texts with wrong answers are selected more often.
        weights = np.where(self.right, 1.0, 4.0)
        self.draws = list[AssignedRow]()
        self.naive_weights = list[float]()
        for number in range(1, self.n_labels + 1):
            if number == self.n_labels // 2 + 1:
                rows = np.append(rows, np.arange(self.n_first, self.n_texts))
            selector.set_weights(SelectionWeights(rows, weights[rows], weights.__getitem__))
            selected = selector.select(rows)
            assert selected is not None
            rows = rows[rows != selected.row]
            self.draws.append(AssignedRow(number, selected.row, selected.probability))
            self.naive_weights.append(1 / (selected.probability * selected.n_candidates))

    def starts(self, n_labels: int) -> tuple[int, ...]:
        return (0, self.n_labels // 2) if n_labels >= self.n_labels // 2 else (0,)

    def accuracy(self, n_labels: int) -> float:
        """Return the accuracy on texts without a label after so many labels."""
        is_free = np.arange(self.n_texts) < self.n_first * len(self.starts(n_labels))
        is_free[[draw.row for draw in self.draws[:n_labels]]] = False
        return float(self.right[is_free].mean())

    def estimate(self, n_labels: int) -> AccuracyEstimate:
        """Return the estimate after so many labels."""
        draws = self.draws[:n_labels]
        starts = self.starts(n_labels)
        n_texts = self.n_first * len(starts)
        arrivals = Arrivals(np.arange(n_texts) // self.n_first, starts)
        weights = arrivals.weights(draws, [draw.assignment for draw in draws])
        return self.estimate_with(weights, arrivals.unmeasured_fraction(draws, draws))

    def estimate_with(self, weights: F64, unmeasured_fraction: float = 0.0) -> AccuracyEstimate:
        n_labels = len(weights)
        labels = MeasuredLabels(
            is_right=self.right[[draw.row for draw in self.draws[:n_labels]]],
            is_skipped=np.zeros(n_labels, dtype=bool),
            confidence=np.full(n_labels, 0.5),
            weights=weights,
        )
        return estimate_accuracy(labels, 0.5, unmeasured_fraction=unmeasured_fraction)


def test_interval_of_a_file_that_doubles_holds_at_every_look() -> None:
    n_runs, n_held, errors, naive_errors = 60, 0, [], []
    for seed in range(n_runs):
        file = GrowingFile(seed)
        looks = [(file.estimate(n), file.accuracy(n)) for n in range(20, 301, 20)]
        n_held += all(each.low <= accuracy <= each.high for each, accuracy in looks)
        estimate, accuracy = looks[-1]
        errors.append(estimate.accuracy - accuracy)
        naive_errors.append(file.estimate_with(np.array(file.naive_weights)).accuracy - accuracy)
    assert n_held >= 0.95 * n_runs
    assert np.mean(errors) == pytest.approx(0, abs=0.02)
    assert np.mean(naive_errors) > 0.06
