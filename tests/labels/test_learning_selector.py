"""A selector that learns from labels in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slugline import TopicClassifier
from slugline.corpus.label_database import LabelDecision
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.cells import ImportedLabel
from slugline.labels.labelled_texts import LabelledText, read_labelled
from slugline.labels.learning_selector import LatestTask, LearningSelector, choose_random_fraction
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
        return read_labelled(self.store, self.table).texts

    def reasons(self) -> list[str]:
        """Return why each text was selected."""
        return [each.selection.reason for each in self.store.first_assignments().values()]

    def close(self) -> None:
        self.selector.close()
        self.store.close()


def make_classifier() -> TopicClassifier:
    return TopicClassifier(n_jobs=1)


@pytest.fixture
def blind(tmp_path: Path) -> Iterator[Labelling]:
    labelling = Labelling(tmp_path / "labels.db", is_blind=True)
    yield labelling
    labelling.close()


@pytest.fixture
def guessing(tmp_path: Path) -> Iterator[Labelling]:
    labelling = Labelling(tmp_path / "labels.db")
    yield labelling
    labelling.close()


# Selection ----------------------------------------------------------------------------------------


def test_selector_spreads_texts_then_learns_and_knows_its_accuracy(blind: Labelling) -> None:
    blind.label(20)
    assert {*blind.reasons()} == {"random", "spread"}
    assert blind.selector.model is not None
    blind.label(30)
    assert {*blind.reasons()} == {"random", "spread", "suggested"}
    estimate, report = blind.selector.estimate, blind.selector.report
    assert estimate is not None
    assert estimate.n_labels == 50
    assert estimate.low <= estimate.accuracy <= estimate.high
    assert report is not None
    assert report.estimate == estimate
    assert report.doubling is not None


def test_selector_gives_each_text_once(blind: Labelling) -> None:
    rows = [blind.assign()[0] for _ in range(120)]
    assert sorted(rows) == [*range(120)]
    assert blind.selector.select_next("Kim") is None


def test_selector_shows_guesses_of_suggested_texts_only(guessing: Labelling) -> None:
    guessing.label(20)
    guessing.label(30)
    assignments = guessing.store.first_assignments().values()
    shown = [each.selection for each in assignments if each.selection.is_guess_shown]
    assert shown
    assert {each.reason for each in shown} == {"suggested"}
    assert all(each.guess is not None for each in shown)


def test_selector_shows_no_guess_if_it_is_blind(blind: Labelling) -> None:
    blind.label(20)
    blind.label(20)
    selections = [each.selection for each in blind.store.first_assignments().values()]
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
    draws = [each for each in labelling.store.random_draws() if each.decision]
    double = [each.assignment for each in draws if each.assignment.selection.guess is None]
    assert {each.selection.reason for each in double} == {"random", "double-coded"}
    assert len(labelling.labelled()) < 40
    labelling.close()


def test_selector_forgets_the_model_if_labels_are_taken_back(blind: Labelling) -> None:
    decisions = blind.label(20)
    for decision in decisions:
        blind.store.undo(decision.id)
    blind.learn()
    assert (blind.selector.model, blind.selector.report) == (None, None)
    assert blind.selector.select_next("Kim") is not None


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


def test_selector_gives_each_text_once_to_a_coder_who_declines_all(blind: Labelling) -> None:
    rows = []
    for _ in range(120):
        row, assignment = blind.assign()
        blind.store.skip(assignment, "not for me")
        blind.assignments.decline(row, "Kim")
        rows.append(row)
    assert sorted(rows) == [*range(120)]
    assert blind.selector.select_next("Kim") is None
    assert blind.selector.select_next("Lee") is not None
    blind.learn()
    assert blind.selector.estimate is None


def test_selector_has_no_model_of_skipped_texts(blind: Labelling) -> None:
    for _ in range(30):
        blind.store.skip(blind.assign()[1], "unclear")
    blind.learn()
    assert (blind.selector.model, blind.selector.report) == (None, None)
    assert blind.selector.select_next("Kim") is not None


def test_selector_has_no_model_of_one_topic(blind: Labelling) -> None:
    for _ in range(30):
        blind.store.label(blind.assign()[1], ["grain"])
    blind.learn()
    assert (blind.selector.model, blind.selector.report) == (None, None)
    assert blind.selector.select_next("Kim") is not None


def test_selector_of_no_texts_selects_none(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        table = TextTable("t.csv", [])
        selector = LearningSelector(store, table, RowAssignments.from_store(table, store))
        assert selector.wait(60)
        assert (selector.problem, selector.select_next("Kim")) == (None, None)
        selector.close()


# Labels -------------------------------------------------------------------------------------------


def test_read_labelled_returns_answers_with_weights_in_order(blind: Labelling) -> None:
    blind.label(5)
    labelled = blind.labelled()
    assert [each.topics for each in labelled] == [
        (TOPICS[TEXTS.index(each.text) % 2],) for each in labelled
    ]
    selections = [each.selection for each in blind.store.first_assignments().values()]
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


def test_read_labelled_counts_skips_and_disagreements_as_no_answer(blind: Labelling) -> None:
    _, skipped = blind.assign()
    blind.store.skip(skipped, "unclear")
    row, assignment = blind.assign()
    blind.store.label(assignment, ["grain"])
    [document] = blind.store.add_documents([blind.table.document(row)])
    first = blind.store.assignment(assignment).selection
    second = blind.store.assign("Lee", document, first._replace(reason="double-coded"))
    assert second is not None
    blind.store.label(second.id, ["money"])
    labelled = blind.labelled()
    assert [each.topics for each in labelled] == [None, None]
    assert [each.is_measured for each in labelled] == [True, True]
    assert first.probability is not None
    assert labelled[1].weight == pytest.approx(118 / 119 / first.probability / 2)


def test_read_labelled_leaves_near_copies_out_and_does_not_measure_texts_that_are_gone(
    blind: Labelling,
) -> None:
    row, assignment = blind.assign()
    blind.store.label(assignment, ["grain"])
    [document] = blind.store.add_documents([blind.table.document((row + 2) % 120)])
    selection = blind.store.assignment(assignment).selection
    copy = blind.store.assign("Kim", document, selection._replace(reason="near copy"))
    assert copy is not None
    blind.store.label(copy.id, ["grain"])
    assert [each.is_measured for each in blind.labelled()] == [True]
    others = TextTable("t.csv", ["Other"])
    assert [each.is_measured for each in read_labelled(blind.store, others).texts] == [False]


def test_read_labelled_leaves_out_texts_that_were_replaced(blind: Labelling) -> None:
    row, assignment = blind.assign()
    blind.store.label(assignment, ["grain"])
    document = blind.table.document(row)
    blind.store.add_documents([document._replace(text="New")])
    assert blind.labelled() == []


def test_read_labelled_counts_a_text_left_undecided_as_skipped(blind: Labelling) -> None:
    row, _ = blind.assign()
    blind.label(19)
    assert len(blind.labelled()) == 19
    blind.label(1)
    labelled = blind.labelled()
    assert len(labelled) == 21
    assert (labelled[0].text, labelled[0].topics) == (TEXTS[row], None)


def test_read_labelled_waits_for_a_text_while_others_are_imported(blind: Labelling) -> None:
    blind.assign()
    blind.store.add_coder("llm", "imported")
    documents = blind.store.add_documents(map(blind.table.document, range(30)))
    blind.store.import_labels("llm", [ImportedLabel(number, ("grain",)) for number in documents])
    blind.label(1)
    assert len(blind.labelled()) == 1


# The thread ---------------------------------------------------------------------------------------


def test_latest_task_runs_once_for_requests_that_arrive_meanwhile() -> None:
    started, go_on, n_calls = threading.Event(), threading.Event(), 0

    def run() -> None:
        nonlocal n_calls
        n_calls += 1
        started.set()
        go_on.wait(60)

    task = LatestTask(run)
    task.request()
    assert started.wait(60)
    for _ in range(5):
        task.request()
    assert not task.is_latest
    go_on.set()
    assert task.wait(60)
    assert n_calls == 2
    task.close()


def test_latest_task_ends_its_thread_and_ignores_later_requests() -> None:
    task = LatestTask(lambda: None)
    task.close(60)
    task.request()
    assert not task.wait(60)
    assert not any(each.name == "learn-labels" for each in threading.enumerate())
