"""Labels that a model of all other labels contradicts, and how they are measured."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from labelled_texts import labelled
from slugline import TopicClassifier
from slugline.labels.contradictions import ContradictedLabels, find_contradictions
from slugline.labels.labelled_texts import LabelledText, read_labelled_texts
from slugline.labels.learner import LabelModel, learn_labels
from slugline.labels.learning_selector import LearningSelector
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable
from slugline.serving.labelling.replies import TextReply
from slugline.serving.labelling.requests import DecideRequest, NextRequest
from slugline.serving.labelling.service import LabelService

N_LABELS = 200
TEXTS, GIVEN, WRONG = labelled(1200, 120)
RIGHT = labelled(1200, 0)[1]


def learn(texts: list[LabelledText]) -> LabelModel:
    model = learn_labels(texts, TEXTS[N_LABELS:500], lambda: TopicClassifier(n_jobs=1))
    assert model is not None
    return model


# The estimate -------------------------------------------------------------------------------------


def test_learn_labels_measures_labels_as_they_were_before_they_were_shown_again() -> None:
    given = [LabelledText(TEXTS[row], (GIVEN[row],), 1.0, document=row) for row in range(N_LABELS)]
    contradictions = find_contradictions(learn(given))
    assert len(contradictions) > 10
    again = [*given]
    for each in contradictions:  # the coder follows the model
        text = given[each.document]
        again[each.document] = text._replace(topics=each.answer.topics, first_topics=text.topics)
    model = learn(again)
    answers = model.fitted.predict_proba(TEXTS[N_LABELS:]).argmax(axis=1)
    names = np.array(model.fitted.topics.names)
    agreement = float((names[answers] == np.array(GIVEN[N_LABELS:])).mean())
    estimate = model.estimate
    assert estimate.low < agreement < estimate.high
    assert abs(estimate.accuracy - agreement) < 0.05
    # Counted as they are now, they would make the model look better than it is.
    naive = learn([each._replace(first_topics=None) for each in again]).estimate
    assert naive.accuracy > agreement + 0.05


def test_find_contradictions_finds_labels_that_are_wrong() -> None:
    given = [LabelledText(TEXTS[row], (GIVEN[row],), 1.0, document=row) for row in range(N_LABELS)]
    found = find_contradictions(learn(given))
    assert {each.document for each in found} <= {*WRONG}
    assert all(each.answer.topics == (RIGHT[each.document],) for each in found)
    assert find_contradictions(learn(given[:40])) == []


# The queue ----------------------------------------------------------------------------------------


class Page:
    """A page on which Kim gives the topics of `GIVEN`, with the labels that come again."""

    def __init__(self, path: Path, fraction: float = 1.0) -> None:
        self.store, table = LabelStore(path), TextTable("t.csv", TEXTS[:300])
        self.table = table
        for name in ("Kim", "Lee"):
            self.store.add_coder(name)
        for topic in sorted({*RIGHT}):
            self.store.add_topic(topic, "Kim")
        self.assignments = RowAssignments.from_store(table, self.store)
        # Only draws at random, so that the labels are the same in each run.
        self.selector = LearningSelector(
            self.store, table, self.assignments, random_fraction=1.0, random_state=0
        )
        contradicted = ContradictedLabels(
            self.store, table, self.assignments, self.selector, fraction, np.random.default_rng(0)
        )
        self.service = LabelService(
            self.store, table, self.assignments, self.selector, "Kim", reviewer=contradicted
        )

    def next_text(self, coder: str = "Kim") -> TextReply:
        text = self.service.texts.next_text(coder, NextRequest()).text
        assert text is not None
        return text

    def decide(self, text: TextReply, topics: list[str] | None = None) -> None:
        request = DecideRequest(
            assignment=text.assignment,
            request=uuid.uuid4().hex,
            kind="label",
            topics=topics or [GIVEN[TEXTS.index(text.text)]],
        )
        self.service.decisions.decide("Kim", request)

    def label(self, n: int) -> list[TextReply]:
        """Label texts; return those that came again, which keep their label."""
        again = []
        for _ in range(n):
            text = self.next_text()
            again += [] if text.review is None else [text]
            self.decide(text)
        return again


@pytest.fixture(scope="module")
def _labels(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a database with 150 labels."""
    path = tmp_path_factory.mktemp("first") / "labels.db"
    first = Page(path, fraction=0.0)
    first.label(150)
    first.service.close()
    return path.read_bytes()


@pytest.fixture
def page(_labels: bytes, tmp_path: Path) -> Iterator[Page]:
    (tmp_path / "labels.db").write_bytes(_labels)
    page = Page(tmp_path / "labels.db")
    assert page.selector.wait(600)
    yield page
    page.service.close()


@pytest.mark.slow
def test_contradicted_label_is_shown_once_with_what_the_model_says(page: Page) -> None:
    first = page.next_text()
    assert first.review is not None
    row = TEXTS.index(first.text)
    assert row in WRONG
    assert (first.review.topics, first.review.proposal) == ([GIVEN[row]], [RIGHT[row]])
    assert first.guess is None
    assert page.next_text() == first  # until it is decided
    page.decide(first)
    again = page.label(40)
    texts = [each.text for each in again]
    assert len({*texts, first.text}) == len(texts) + 1


@pytest.mark.slow
def test_changed_label_is_learned_from_and_measured_as_it_was(page: Page) -> None:
    text = page.next_text()
    assert text.review is not None
    before = {each.text: each for each in read_labelled_texts(page.store, page.table).texts}[
        text.text
    ]
    page.decide(text, text.review.proposal)
    after = {each.text: each for each in read_labelled_texts(page.store, page.table).texts}[
        text.text
    ]
    assert after.topics == tuple(text.review.proposal)
    assert after.measured_topics == before.topics == tuple(text.review.topics)
    assert after.weight == before.weight


@pytest.mark.slow
def test_contradicted_label_is_not_drawn_for_a_second_coder_any_more(page: Page) -> None:
    text = page.next_text()
    row = TEXTS.index(text.text)
    assert row not in page.assignments.drawn_by_others("Lee")
    page.decide(text)
    resumed = RowAssignments.from_store(page.table, page.store)
    assert row not in resumed.drawn_by_others("Lee")


@pytest.mark.slow
def test_label_of_a_text_that_two_coders_have_is_not_shown_again(page: Page) -> None:
    for row in range(300):
        if page.assignments.n_coders(row):
            page.assignments.add(row, "Lee")
    assert page.label(3) == []


@pytest.mark.slow
def test_contradicted_labels_are_a_small_fraction(page: Page) -> None:
    decisions = [*page.store.current_decisions()]
    contradicted = ContradictedLabels(
        page.store, page.table, page.assignments, page.selector, rng=np.random.default_rng(0)
    )
    n_shown = sum(contradicted.draw(decisions) is not None for _ in range(400))
    assert 8 < n_shown < 34
