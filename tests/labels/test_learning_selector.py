"""A selector that learns from labels in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slugline import TopicClassifier
from slugline.corpus.label_database.records import LabelDecision
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.cells import ImportedLabel
from slugline.labels.labelled_texts import LabelledText, read_labelled_texts
from slugline.labels.learning_selector import LearningSelector, choose_random_fraction
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable

WORDS = ("wheat maize barley harvest", "bank loan debt rate")
TEXTS = [
    f"{WORDS[row % 2].split()[row % 3]} {WORDS[row % 2].split()[row % 4]} no{row}"
    for row in range(120)
]
TOPICS = ("grain", "money")


class Labelling:
    """A store, a selector, and people who answer rightly."""

    def __init__(self, path: Path, **options: object) -> None:
        self.store, self.table = LabelStore(path), TextTable("t.csv", TEXTS)
        for coder in ("Kim", "Lee"):
            self.store.add_coder(coder)
        for topic in TOPICS:
            self.store.add_topic(topic, "Kim")
        self.assignments = RowAssignments.from_store(self.table, self.store)
        self.selector = LearningSelector(
            self.store,
            self.table,
            self.assignments,
            random_state=0,
            **options,  # type: ignore[arg-type]
        )
        assert self.selector.wait(60)

    def assign(self, coder: str = "Kim") -> tuple[int, int]:
        """Assign the next text; return the numbers of its row and assignment."""
        selected = self.selector.select_next(coder)
        assert selected is not None
        [document] = self.store.add_documents([self.table.document(selected.row)])
        assignment = self.store.assign(coder, document, selected.selection)
        assert assignment is not None
        self.assignments.add(selected.row, coder, is_random=selected.selection.is_random)
        return selected.row, assignment.id

    def label(self, n: int, coder: str = "Kim") -> list[LabelDecision]:
        """Label texts; return the decisions once the model has learned from them."""
        decisions = []
        for _ in range(n):
            row, assignment = self.assign(coder)
            decisions.append(self.store.label(assignment, [TOPICS[row % 2]]))
        self.learn()
        return decisions

    def learn(self) -> None:
        self.selector.notice_change()
        assert self.selector.wait(60)
        assert self.selector.problem is None

    def labelled(self) -> list[LabelledText]:
        return read_labelled_texts(self.store, self.table).texts

    def reasons(self) -> list[str]:
        """Return why each text was selected."""
        return [each.selection.reason for each in self.store.first_assignments().values()]

    def close(self) -> None:
        self.selector.close()
        self.store.close()


def make_classifier() -> TopicClassifier:
    return TopicClassifier(n_jobs=1)


@pytest.fixture
def labelling(tmp_path: Path) -> Iterator[Labelling]:
    labelling = Labelling(tmp_path / "labels.db")
    yield labelling
    labelling.close()


@pytest.fixture
def guessing(tmp_path: Path) -> Iterator[Labelling]:
    labelling = Labelling(tmp_path / "labels.db", shows_guesses=True)
    yield labelling
    labelling.close()


# Selection ----------------------------------------------------------------------------------------


def test_selector_spreads_texts_then_learns_and_knows_its_accuracy(labelling: Labelling) -> None:
    labelling.label(20)
    assert {*labelling.reasons()} == {"random", "spread"}
    assert labelling.selector.model is not None
    labelling.label(30)
    assert {*labelling.reasons()} == {"random", "spread", "suggested"}
    estimate, report = labelling.selector.estimate, labelling.selector.report
    assert estimate is not None
    assert estimate.n_labels == 50
    assert estimate.low <= estimate.accuracy <= estimate.high
    assert report is not None
    assert report.estimate == estimate
    assert report.doubling is not None


def test_selector_gives_each_text_once(labelling: Labelling) -> None:
    rows = [labelling.assign()[0] for _ in range(120)]
    assert sorted(rows) == [*range(120)]
    assert labelling.selector.select_next("Kim") is None


def test_selector_shows_guesses_of_suggested_texts_only(guessing: Labelling) -> None:
    guessing.label(20)
    guessing.label(30)
    assignments = guessing.store.first_assignments().values()
    shown = [each.selection for each in assignments if each.selection.is_guess_shown]
    assert shown
    assert {each.reason for each in shown} == {"suggested"}
    assert all(each.guess is not None for each in shown)


def test_selector_shows_no_guess_unless_asked_to(labelling: Labelling) -> None:
    labelling.label(20)
    labelling.label(20)
    selections = [each.selection for each in labelling.store.first_assignments().values()]
    assert not any(each.is_guess_shown for each in selections)
    assert any(each.guess is not None for each in selections)


def test_selector_begins_with_descriptions_of_topics(guessing: Labelling) -> None:
    guessing.store.describe_topic("grain", "Kim", description="Wheat, maize and harvests")
    guessing.store.describe_topic("money", "Kim", description="Banks, loans and interest rates")
    guessing.learn()
    model = guessing.selector.model
    assert model is not None
    assert model.n_labels == 0
    guessing.label(5)
    assert {*guessing.reasons()} <= {"random", "suggested"}
    selections = [each.selection for each in guessing.store.first_assignments().values()]
    assert all(each.guess is not None for each in selections)
    assert not any(each.is_guess_shown for each in selections)


def test_selector_gives_random_draws_to_a_second_coder(tmp_path: Path) -> None:
    labelling = Labelling(tmp_path / "labels.db", double_fraction=0.5)
    labelling.label(20)
    labelling.label(20, "Lee")
    selections = [each.assignment.selection for each in labelling.store.current_decisions()]
    reasons = {each.reason for each in selections if each.is_random and each.guess is None}
    assert reasons == {"random", "double-coded"}
    assert len(labelling.labelled()) < 40
    labelling.close()


def test_selector_forgets_the_model_if_labels_are_taken_back(labelling: Labelling) -> None:
    decisions = labelling.label(20)
    for decision in decisions:
        labelling.store.undo(decision.id)
    labelling.learn()
    assert (labelling.selector.model, labelling.selector.report) == (None, None)
    assert labelling.selector.select_next("Kim") is not None


def test_selector_reports_a_failed_fit_and_goes_on(tmp_path: Path) -> None:
    def fail() -> TopicClassifier:
        raise ValueError("no memory")

    labelling = Labelling(tmp_path / "labels.db", make_classifier=fail)
    for _ in range(20):
        row, assignment = labelling.assign()
        labelling.store.label(assignment, [TOPICS[row % 2]])
    labelling.selector.notice_change()
    assert labelling.selector.wait(60)
    assert labelling.selector.problem == "no memory"
    assert labelling.selector.select_next("Kim") is not None
    labelling.close()


@pytest.mark.parametrize(
    ("width", "fraction"), [(0.5, 1 / 3), (0.1, 1 / 3), (0.08, 0.64 / 3), (0.01, 0.1)]
)
def test_choose_random_fraction_falls_once_the_interval_is_narrow(
    width: float, fraction: float
) -> None:
    estimate = AccuracyEstimate(0.5, 0.5 - width / 2, 0.5 + width / 2, 100, 100.0)
    assert choose_random_fraction(1 / 3, estimate) == pytest.approx(fraction)
    assert choose_random_fraction(1 / 3, None) == 1 / 3


def test_choose_random_fraction_keeps_a_smaller_one_that_is_asked_for() -> None:
    estimate = AccuracyEstimate(0.5, 0.49, 0.51, 100, 100.0)
    assert choose_random_fraction(0.05, estimate) == 0.05


# Bad input ----------------------------------------------------------------------------------------


def test_selector_gives_each_text_once_to_a_coder_who_declines_all(labelling: Labelling) -> None:
    rows = []
    for _ in range(120):
        row, assignment = labelling.assign()
        labelling.store.skip(assignment, "not for me")
        labelling.assignments.decline(row, "Kim")
        rows.append(row)
    assert sorted(rows) == [*range(120)]
    assert labelling.selector.select_next("Kim") is None
    assert labelling.selector.select_next("Lee") is not None
    labelling.learn()
    assert labelling.selector.estimate is None


def test_selector_has_no_model_of_skipped_texts(labelling: Labelling) -> None:
    for _ in range(30):
        labelling.store.skip(labelling.assign()[1], "unclear")
    labelling.learn()
    assert (labelling.selector.model, labelling.selector.report) == (None, None)
    assert labelling.selector.select_next("Kim") is not None


def test_selector_has_no_model_of_one_topic(labelling: Labelling) -> None:
    for _ in range(30):
        labelling.store.label(labelling.assign()[1], ["grain"])
    labelling.learn()
    assert (labelling.selector.model, labelling.selector.report) == (None, None)
    assert labelling.selector.select_next("Kim") is not None


def test_selector_of_no_texts_selects_none(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        table = TextTable("t.csv", [])
        selector = LearningSelector(store, table, RowAssignments.from_store(table, store))
        assert selector.wait(60)
        assert (selector.problem, selector.select_next("Kim")) == (None, None)
        selector.close()


# Labels -------------------------------------------------------------------------------------------


def test_read_labelled_returns_answers_with_weights_in_order(labelling: Labelling) -> None:
    labelling.label(5)
    labelled = labelling.labelled()
    assert [each.topics for each in labelled] == [
        (TOPICS[TEXTS.index(each.text) % 2],) for each in labelled
    ]
    selections = [each.selection for each in labelling.store.first_assignments().values()]
    n_free = 120 - 5
    assert [each.weight for each in labelled] == pytest.approx(
        [n_free / each.n_candidates / each.probability / 5 for each in selections]  # type: ignore[operator]
    )


def test_read_labelled_does_not_measure_texts_with_a_guess(guessing: Labelling) -> None:
    guessing.label(20)
    row, assignment = guessing.assign()
    guessing.store.label(assignment, [TOPICS[0]], is_guess_shown=True)
    [each] = [each for each in guessing.labelled() if each.text == TEXTS[row]]
    assert not each.is_measured


def test_read_labelled_counts_skips_and_disagreements_as_no_answer(labelling: Labelling) -> None:
    _, skipped = labelling.assign()
    labelling.store.skip(skipped, "unclear")
    row, assignment = labelling.assign()
    labelling.store.label(assignment, ["grain"])
    [document] = labelling.store.add_documents([labelling.table.document(row)])
    first = labelling.store.assignment(assignment).selection
    second = labelling.store.assign("Lee", document, first._replace(reason="double-coded"))
    assert second is not None
    labelling.store.label(second.id, ["money"])
    labelled = labelling.labelled()
    assert [each.topics for each in labelled] == [None, None]
    assert [each.is_measured for each in labelled] == [True, True]
    assert first.probability is not None
    assert labelled[1].weight == pytest.approx(118 / 119 / first.probability / 2)


def test_read_labelled_leaves_near_copies_out_and_does_not_measure_texts_that_are_gone(
    labelling: Labelling,
) -> None:
    row, assignment = labelling.assign()
    labelling.store.label(assignment, ["grain"])
    [document] = labelling.store.add_documents([labelling.table.document((row + 2) % 120)])
    selection = labelling.store.assignment(assignment).selection
    copy = labelling.store.assign("Kim", document, selection._replace(reason="near copy"))
    assert copy is not None
    labelling.store.label(copy.id, ["grain"])
    assert [each.is_measured for each in labelling.labelled()] == [True]
    others = TextTable("t.csv", ["Other"])
    assert [each.is_measured for each in read_labelled_texts(labelling.store, others).texts] == [
        False
    ]


def test_read_labelled_leaves_out_texts_that_were_replaced(labelling: Labelling) -> None:
    row, assignment = labelling.assign()
    labelling.store.label(assignment, ["grain"])
    document = labelling.table.document(row)
    labelling.store.add_documents([document._replace(text="New")])
    assert labelling.labelled() == []


def test_read_labelled_counts_a_text_left_undecided_as_skipped(labelling: Labelling) -> None:
    row, _ = labelling.assign()
    labelling.label(19)
    assert len(labelling.labelled()) == 19
    labelling.label(1)
    labelled = labelling.labelled()
    assert len(labelled) == 21
    assert (labelled[0].text, labelled[0].topics) == (TEXTS[row], None)


def test_read_labelled_waits_for_a_text_while_others_are_imported(labelling: Labelling) -> None:
    labelling.assign()
    labelling.store.add_coder("llm", "imported")
    documents = labelling.store.add_documents(map(labelling.table.document, range(30)))
    labelling.store.import_labels(
        "llm", [ImportedLabel(number, ("grain",)) for number in documents]
    )
    labelling.label(1)
    assert len(labelling.labelled()) == 1
