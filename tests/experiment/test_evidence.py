"""Documents that were got wrong, with the words that spoke for the wrong topic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.evaluation.evaluation import Evaluation
from slugline.experiment.evidence import QualitativeEvidence, gather_evidence
from slugline.experiment.experiment import Experiment, run_experiment
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture

WRONG = [
    ("the loan and the bond of wheat", "grain"),
    ("loan and bond and credit", "grain"),
    ("goal and match", "grain"),
    ("the wheat harvest of the team", "sport"),
    ("a loan", "oats"),
]
RIGHT = [("wheat and corn", "grain"), ("team and goal", "sport"), ("loan and bond", "bank")]


def experiment_on(
    news: list[tuple[str, str]], documents: list[tuple[str, str]], **params: object
) -> Experiment:
    """Return what learning from the news, and answering the documents, gives."""
    texts, topics = zip(*news, strict=True)
    test = Corpus(
        [text for text, _ in documents],
        [topic for _, topic in documents],
        "test.csv",
        places=[10 * n for n in range(len(documents))],
        unit="line",
    )
    classifier = TopicClassifier(random_state=0, **params)  # type: ignore[arg-type]
    return run_experiment(
        classifier.to_settings(), Corpus(list(texts), list(topics), "news.csv"), test=test
    )


def test_mistakes_are_quoted_the_surest_first_with_their_places(
    news: list[tuple[str, str]],
) -> None:
    experiment = experiment_on(news, [*RIGHT, *WRONG])
    found = gather_evidence(experiment)
    assert (found.n_wrong, found.unit) == (5, "line")
    assert sorted(mistake.place for mistake in found.surest) == [30, 40, 50, 60, 70]
    probabilities = [mistake.probability for mistake in found.surest]
    assert probabilities == sorted(probabilities, reverse=True)
    proba = experiment.fitted.predict_proba([text for text, _ in WRONG]).max(axis=1)
    assert probabilities == pytest.approx(sorted(proba.tolist(), reverse=True))
    by_place = {mistake.place: mistake for mistake in found.surest}
    assert by_place[40].quote.text == "loan and bond and credit"
    assert (by_place[40].topic, by_place[40].predicted) == ("grain", "bank")


def test_words_for_the_wrong_topic_count_over_0_and_those_for_the_right_one_under(
    news: list[tuple[str, str]],
) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, *WRONG]))
    mistake = next(m for m in found.surest if m.place == 30)
    shares = {mistake.quote.text[a:b]: share for a, b, share in mistake.quote.spans}
    assert shares["loan"] > 0
    assert shares["bond"] > 0
    assert shares["wheat"] < 0


def test_pairs_are_those_of_the_confusions_with_their_documents(
    news: list[tuple[str, str]],
) -> None:
    experiment = experiment_on(news, [*RIGHT, *WRONG])
    pairs = gather_evidence(experiment).pairs
    evaluation = experiment.tested.evaluation
    assert isinstance(evaluation, Evaluation)
    assert [tuple(pair[:3]) for pair in pairs] == evaluation.confusions()
    assert [(*pair[:3], sorted(m.place for m in pair.examples)) for pair in pairs] == [
        ("grain", "bank", 2, [30, 40]),
        ("grain", "sport", 1, [50]),
        ("sport", "grain", 1, [60]),
        ("(unknown)", "bank", 1, [70]),
    ]


def test_of_an_unknown_topic_the_document_keeps_its_own_name(news: list[tuple[str, str]]) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, *WRONG]))
    (mistake,) = (m for m in found.surest if m.topic == "oats")
    assert mistake.predicted == "bank"
    assert [mistake.quote.text[a:b] for a, b, _ in mistake.quote.spans] == ["loan"]


def test_many_documents_of_a_pair_are_shown_besides_the_surest_mistakes(
    news: list[tuple[str, str]],
) -> None:
    many = [(f"loan and bond {'x' * n}", "grain") for n in range(20)]
    found = gather_evidence(experiment_on(news, [*RIGHT, *many]))
    assert len(found.surest) == 10
    (pair,) = found.pairs
    assert (pair.n_documents, len(pair.examples)) == (20, 2)
    assert not {m.place for m in pair.examples} & {m.place for m in found.surest}


def test_without_a_mistake_there_are_words_alone(news: list[tuple[str, str]]) -> None:
    found = gather_evidence(experiment_on(news, RIGHT))
    assert (found.pairs, found.surest, found.n_wrong) == ([], [], 0)
    assert [row.topic for row in found.terms] == ["bank", "grain", "sport"]


def test_of_very_many_topics_the_most_common_have_words(
    news: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.experiment.evidence.N_TOPICS", 2)
    found = gather_evidence(experiment_on(news, [*RIGHT, ("goal and cup", "sport"), WRONG[0]]))
    assert [row.topic for row in found.terms] == ["grain", "sport"]


def test_without_answers_there_is_nothing_to_quote(news: list[tuple[str, str]]) -> None:
    experiment = experiment_on(news, [*RIGHT, *WRONG])
    topics = [str(name) for name in experiment.fitted.topics.names]
    bare = replace(experiment, evaluation=Evaluation(topics, np.diag([1, 2, 3]), 0.0))
    assert gather_evidence(bare) == QualitativeEvidence(
        gather_evidence(experiment).terms, [], [], 0, "line"
    )


@pytest.mark.parametrize(
    "learner", ["network", Mixture([LinearLearner(), LinearLearner()])], ids=["network", "mixture"]
)
def test_mistakes_of_any_learner_are_explained(
    learner: object, news: list[tuple[str, str]]
) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, *WRONG], learner=learner))
    assert found.terms == []
    assert any(mistake.quote.spans for mistake in found.surest)


def test_a_very_long_text_is_quoted_without_marks(news: list[tuple[str, str]]) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, ("loan and bond " * 10_000, "grain")]))
    (mistake,) = found.surest
    assert mistake.quote.spans == []
    assert mistake.quote.text.startswith("loan and bond loan")
    assert len(mistake.quote.text) < 300


def test_one_topic_can_only_be_right() -> None:
    train = Corpus(["wheat", "corn", "oats", "rye"], ["grain"] * 4, "one.csv")
    found = gather_evidence(run_experiment(TopicClassifier().to_settings(), train))
    assert (found.pairs, found.surest) == ([], [])
