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


def test_gather_evidence_quotes_most_probable_mistakes_with_places(
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


def test_gather_evidence_gives_words_of_the_wrong_topic_positive_values(
    news: list[tuple[str, str]],
) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, *WRONG]))
    mistake = next(m for m in found.surest if m.place == 30)
    shares = {mistake.quote.text[a:b]: share for a, b, share in mistake.quote.spans}
    assert shares["loan"] > 0
    assert shares["bond"] > 0
    assert shares["wheat"] < 0


def test_gather_evidence_pairs_are_the_confusions_with_documents(
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


def test_gather_evidence_keeps_the_name_of_an_unknown_topic(news: list[tuple[str, str]]) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, *WRONG]))
    (mistake,) = (m for m in found.surest if m.topic == "oats")
    assert mistake.predicted == "bank"
    start, end, _ = max(mistake.quote.spans, key=lambda span: abs(span[2]))
    assert mistake.quote.text[start:end] == "loan"


def test_gather_evidence_shows_other_documents_of_a_common_pair(
    news: list[tuple[str, str]],
) -> None:
    many = [(f"loan and bond {'x' * n}", "grain") for n in range(20)]
    found = gather_evidence(experiment_on(news, [*RIGHT, *many]))
    assert len(found.surest) == 10
    (pair,) = found.pairs
    assert (pair.n_documents, len(pair.examples)) == (20, 2)
    assert not {m.place for m in pair.examples} & {m.place for m in found.surest}


def test_gather_evidence_without_mistakes_has_only_terms(news: list[tuple[str, str]]) -> None:
    found = gather_evidence(experiment_on(news, RIGHT))
    assert (found.pairs, found.surest, found.n_wrong) == ([], [], 0)
    assert [row.topic for row in found.terms] == ["bank", "grain", "sport"]


def test_gather_evidence_limits_topics_to_the_most_common(
    news: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.experiment.evidence.N_TOPICS", 2)
    found = gather_evidence(experiment_on(news, [*RIGHT, ("goal and cup", "sport"), WRONG[0]]))
    assert [row.topic for row in found.terms] == ["grain", "sport"]


def test_gather_evidence_without_answers_quotes_nothing(news: list[tuple[str, str]]) -> None:
    experiment = experiment_on(news, [*RIGHT, *WRONG])
    topics = [str(name) for name in experiment.fitted.topics.names]
    bare = replace(experiment, evaluation=Evaluation(topics, np.diag([1, 2, 3]), 0.0))
    assert gather_evidence(bare) == QualitativeEvidence(
        gather_evidence(experiment).terms, [], [], 0, "line"
    )


@pytest.mark.parametrize(
    "learner", ["network", Mixture([LinearLearner(), LinearLearner()])], ids=["network", "mixture"]
)
def test_gather_evidence_explains_mistakes_of_any_learner(
    learner: object, news: list[tuple[str, str]]
) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, *WRONG], learner=learner))
    assert found.terms == []
    assert any(mistake.quote.spans for mistake in found.surest)


def test_gather_evidence_quotes_a_very_long_text_without_marks(news: list[tuple[str, str]]) -> None:
    found = gather_evidence(experiment_on(news, [*RIGHT, ("loan and bond " * 10_000, "grain")]))
    (mistake,) = found.surest
    assert mistake.quote.spans == []
    assert mistake.quote.text.startswith("loan and bond loan")
    assert len(mistake.quote.text) < 300


def test_gather_evidence_of_one_topic_is_empty() -> None:
    train = Corpus(["wheat", "corn", "oats", "rye"], ["grain"] * 4, "one.csv")
    found = gather_evidence(run_experiment(TopicClassifier().to_settings(), train))
    assert (found.pairs, found.surest) == ([], [])
