"""Learning curves: nested draws, fixed tests, intervals, early ends and odd data."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from labelled_texts import labelled_sets
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corpus.topic_sets import to_indicator
from slugline.errors import DataError, OptionError
from slugline.evaluation.intervals import Interval
from slugline.experiment.curve import (
    CurvePoint,
    LearningCurve,
    LearningCurves,
    classifiers_to_compare,
    labels_per_topic,
    learning_curves,
)


class Recorder:
    """A contender that answers one topic and remembers what it was given."""

    def __init__(self, seen: list[list[str]]) -> None:
        self._seen = seen

    def fit(self, X: list[str], y: list[str]) -> None:
        self._seen.append(list(X))
        self._answer = max(y)

    def predict(self, X: list[str]) -> list[str]:
        return [self._answer] * len(X)


def numbered(**counts: int) -> Corpus:
    """Return a corpus of texts that differ, so many of each topic."""
    topics = [topic for topic, n in counts.items() for _ in range(n)]
    return Corpus([f"{topic} {row}" for row, topic in enumerate(topics)], topics, "numbered")


def recorded(corpus: Corpus, **options: Any) -> tuple[LearningCurves, list[list[str]]]:
    seen: list[list[str]] = []
    curves = learning_curves(corpus, None, {"recorder": lambda: Recorder(seen)}, **options)
    return curves, seen


def per_topic(texts: list[str]) -> dict[str, int]:
    topics = [text.split()[0] for text in texts]
    return {topic: topics.count(topic) for topic in sorted(set(topics))}


def test_learning_curves_go_up_in_steps_to_nearly_all_labels() -> None:
    curves, seen = recorded(numbered(a=100, b=100), n_draws=1)
    points = curves.curves[0].points
    assert [point.n_labels for point in points] == [5, 10, 20, 50, None]
    assert [point.n_documents for point in points] == [10, 20, 40, 100, 160]
    assert per_topic(seen[1]) == {"a": 10, "b": 10}


def test_learning_curves_draw_nested_samples_that_differ_between_draws() -> None:
    _, seen = recorded(numbered(a=100, b=100), n_draws=2)
    first, second = seen[:4], seen[5:]
    assert len(second) == 4  # all labels are the same in every draw
    for draw in (first, second):
        for fewer, more in itertools.pairwise(draw):
            assert set(fewer) < set(more)
    assert set(first[0]) != set(second[0])


def test_learning_curves_never_test_on_training_documents() -> None:
    corpus = numbered(a=50, b=50)
    curves, seen = recorded(corpus)
    assert len(seen[4 - 1]) == curves.n_train == 80
    assert curves.n_test == 20


def test_random_state_decides_the_draws() -> None:
    corpus = numbered(a=50, b=50)
    assert recorded(corpus, random_state=3)[1] == recorded(corpus, random_state=3)[1]
    assert recorded(corpus, random_state=3)[1] != recorded(corpus, random_state=4)[1]


def test_learning_curves_of_several_topics_score_micro_f1() -> None:
    texts, sets, _ = labelled_sets(200, 0)
    seen: list[Any] = []

    class Spy:
        """A contender that gives grain and sport to all texts, and bank to none."""

        def fit(self, X: list[str], y: Any) -> None:
            seen.append(y)

        def predict(self, X: list[str]) -> Any:
            return np.tile([0, 1, 1], (len(X), 1))

    train, test = Corpus(texts[:120], [*sets[:120]], "n"), Corpus(texts[120:], [*sets[120:]], "n")
    contenders: Any = {"spy": Spy, "ours": TopicClassifier, "pipeline": pipeline}
    curves = learning_curves(train, test, contenders, n_draws=3)
    spy, ours, theirs = curves.curves
    names = ["bank", "grain", "sport"]
    true = to_indicator(test.topics, names)
    expected = f1_score(true, np.tile([0, 1, 1], (80, 1)), average="micro", zero_division=0)
    assert [point.accuracy for point in spy.points] == pytest.approx([expected] * len(spy.points))
    for point in spy.points:
        assert point.interval is not None
        assert point.interval.low < expected < point.interval.high
    assert np.array_equal(seen[len(spy.points) - 1], to_indicator(train.topics, names))
    assert ours.points[-1].accuracy > 0.9
    assert theirs.points[-1].accuracy > 0.9
    assert (curves.score_name, curves.n_topics) == ("Micro-F1", 3)
    point = curves.to_dict()["curves"][0]["points"][-1]
    assert (point["micro_f1"], point["micro_f1s"]) == (spy.points[-1].accuracy, [expected])
    assert "accuracy" not in point


def test_learning_curves_note_a_topic_with_too_few_labels() -> None:
    curves, seen = recorded(numbered(a=90, b=5), n_draws=1)
    assert per_topic(seen[1]) == {"a": 10, "b": 4}
    assert curves.notes == (
        "topics have 4 to 72 training documents: if a topic has fewer than a row of the "
        "table requires, all of them are used.",
    )


def test_learning_curves_never_test_a_topic_with_one_text() -> None:
    curves, seen = recorded(numbered(a=20, b=20, c=1), n_draws=1)
    assert per_topic(seen[0])["c"] == 1
    assert curves.notes[0] == (
        "1 of 3 topics, such as 'c', has too few documents to be tested; only training uses them."
    )


def test_learning_curves_take_three_labels_per_topic() -> None:
    points = recorded(numbered(a=4, b=4), n_draws=1)[0].curves[0].points
    assert [point.n_labels for point in points] == [1, 2, None]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([300, 300], [5, 10, 20, 50, 100, 200]), ([8, 8], [1, 2, 5]), ([1, 1], []), ([2, 900], None)],
    ids=["many", "few", "one each", "unbalanced"],
)
def test_labels_per_topic_stop_short_of_all_documents(
    counts: list[int], expected: list[int] | None
) -> None:
    found = labels_per_topic(counts)
    assert found == sorted(found)
    assert all(sum(min(n, count) for count in counts) < 0.9 * sum(counts) for n in found)
    assert expected is None or found == expected


def test_learning_curves_take_a_test_set() -> None:
    corpus, test = numbered(a=20, b=20), numbered(a=3, b=3, d=1)
    curves = learning_curves(corpus, test, {"any": lambda: Recorder([])}, n_draws=1)
    assert (curves.n_train, curves.n_test) == (40, 7)
    assert curves.notes == (
        "1 topic of the test documents, such as 'd', has no training documents; such documents "
        "count as wrong.",
    )


def pipeline() -> Any:
    """Return a classifier of scikit-learn's."""
    return make_pipeline(TfidfVectorizer(), LinearSVC(random_state=0))


def test_learning_curves_compare_a_pipeline_of_scikit_learn(
    texts: list[str], topics: list[str]
) -> None:
    corpus = Corpus(texts, topics, "news")
    curves = learning_curves(
        corpus, contenders={"ours": TopicClassifier, "theirs": pipeline}, n_draws=2
    )
    assert [curve.name for curve in curves.curves] == ["ours", "theirs"]
    for curve in curves.curves:
        assert curve.points[-1].accuracy > 0.9


# Intervals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_draws", "has_intervals"), [(1, False), (2, False), (3, True)])
def test_learning_curves_need_three_draws_for_intervals(n_draws: int, has_intervals: bool) -> None:
    curves, _ = recorded(numbered(a=50, b=50), n_draws=n_draws)
    points = curves.curves[0].points
    assert all((point.interval is not None) == has_intervals for point in points)
    saved = curves.to_dict()["curves"][0]["points"]
    assert all((point["accuracy_interval"] is not None) == has_intervals for point in saved)


def test_learning_curves_start_draws_with_different_documents() -> None:
    _, seen = recorded(numbered(a=100, b=100), n_draws=4)
    firsts = [set(draw) for draw in (seen[2], seen[7], seen[11], seen[15])]
    assert [len(first) for first in firsts] == [40] * 4
    assert len(set.union(*firsts)) == 160


# Early ends, and errors ---------------------------------------------------------------------------


class StopAfter(SilentProgress):
    """Interrupts before the fit after so many."""

    def __init__(self, after: int) -> None:
        self._n_left = after

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        assert step.startswith("Slugline: ")
        assert share is not None
        assert share < 1
        if not self._n_left:
            raise KeyboardInterrupt
        self._n_left -= 1


def test_learning_curves_interrupted_return_the_points_so_far(
    texts: list[str], topics: list[str]
) -> None:
    corpus = Corpus(texts, topics, "news")
    curves = learning_curves(corpus, progress=StopAfter(2))
    assert curves.interrupted
    assert [point.n_labels for point in curves.curves[0].points] == [5, 10]
    assert curves.curves[0].forecast_of_doubled is None


def test_learning_curves_interrupted_in_a_later_draw_return_a_whole_curve(
    texts: list[str], topics: list[str]
) -> None:
    corpus = Corpus(texts, topics, "news")
    curves = learning_curves(corpus, progress=StopAfter(5))
    assert [len(point.accuracies) for point in curves.curves[0].points] == [2, 1, 1, 1]
    assert curves.curves[0].forecast_of_doubled is not None


def test_learning_curves_interrupted_before_a_point_raise(
    texts: list[str], topics: list[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        learning_curves(Corpus(texts, topics, "news"), progress=StopAfter(0))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"a": 5},
            "all 5 documents of numbered have the topic 'a'. Add documents of other topics.",
        ),
        (
            {"a": 1, "b": 1},
            "numbered has no topic with two documents, so none can be set aside to test on; check "
            "which column contains the topics, add documents, or give separate ones with `test`.",
        ),
        ({}, "numbered contains no documents; add labelled documents."),
    ],
    ids=["one topic", "one text each", "nothing"],
)
def test_learning_curves_reject_documents_without_a_curve(
    counts: dict[str, int], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        learning_curves(numbered(**counts))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["Slugline"]),
        ({"encoder": "vectors"}, ["Slugline"]),
        ({"encoder": None}, ["Slugline", "Slugline with words alone"]),
        ({"encoder": "auto"}, ["Slugline", "Slugline with a chosen encoder"]),
        ({"encoder": None, "learner": "network"}, ["Slugline"]),
    ],
    ids=str,
)
def test_classifiers_to_compare_are_the_default_and_another(
    options: dict[str, Any], names: list[str]
) -> None:
    factories = classifiers_to_compare(TopicClassifier(**options, min_precision=0.9).to_settings())
    assert [*factories] == names
    settings = [factory().to_settings() for factory in factories.values()]
    own = TopicClassifier(**options).to_settings().encoder
    assert (settings[-1].encoder is None) == (own is None)
    assert {each.min_precision for each in settings} == {None}


def test_n_draws_must_be_positive() -> None:
    with pytest.raises(OptionError, match=r"^`n_draws` is 0; give a whole number of at least 1\.$"):
        learning_curves(numbered(a=5, b=5), n_draws=0)


# Shown --------------------------------------------------------------------------------------------


@pytest.fixture
def curves() -> LearningCurves:
    points = tuple(
        CurvePoint(n, size, (accuracy, accuracy + 0.02), 500)
        for n, size, accuracy in ((5, 10, 0.2), (50, 100, 0.6), (500, 1000, 0.79))
    )
    whole = LearningCurve(
        "ours", (*points, CurvePoint(None, 2000, (0.84,), 500, Interval(0.8, 0.88)))
    )
    return LearningCurves("data", 2, 2000, 500, (whole, LearningCurve("cut short", points[:1])))


def test_to_dict_returns_plain_data(curves: LearningCurves) -> None:
    data = curves.to_dict()
    assert data["data"] == {"name": "data", "n_topics": 2, "n_train": 2000, "n_test": 500}
    ours, other = data["curves"]
    assert ours["points"][0]["labels_per_topic"] == 5
    assert ours["points"][0]["accuracy_interval"] is None
    assert ours["points"][-1]["labels_per_topic"] is None
    assert ours["points"][-1]["accuracy_interval"] == [0.8, 0.88]
    assert ours["twice_the_labels"]["n_documents"] == 4000
    assert 0.84 < ours["twice_the_labels"]["accuracy"] < 0.9
    assert other["twice_the_labels"] is None


def test_repr_of_curves_lists_points(curves: LearningCurves) -> None:
    assert repr(curves).splitlines()[:2] == [
        "Learning curves of data: 2 topics",
        "  ours, 5 per topic       0.210",
    ]
