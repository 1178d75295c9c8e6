"""The encoder that comes with Slugline: where it is left out, and which texts it leaves unsure."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from slugline.classifier import TopicClassifier, load
from slugline.errors import OptionError
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.encoder.vectors import WordVectorEncoder
from slugline.learning.linear.learner import LinearLearner
from slugline.model import dense
from slugline.model.settings import FitSettings

TOPICS = ["bank", "sport"]
# Each word stands in one text, so that words alone know nothing of other texts.
BANK = "loan credit interest debt savings account banker deposit finance currency bond investor"
SPORT = "goal match striker referee player team stadium championship athlete coach league cup"
NEW, UNKNOWN = ["money dividend", "hockey tournament"], "qqxzv zzqkw"
# Sentences in languages that the table doesn't know; it knows some words of the second one.
HINDI = "यह पाठ किसी भी शब्दकोश में नहीं है, और मॉडल ने इसे नहीं सीखा"
SWEDISH = "Min beställning har inte kommit fram ännu, kan ni hjälpa mig"


def documents() -> tuple[list[str], list[str]]:
    """Return texts of one word each, and their topics."""
    texts = [*BANK.split(), *SPORT.split()]
    return texts, [TOPICS[0]] * len(BANK.split()) + [TOPICS[1]] * len(SPORT.split())


def classifier_with(**options: Any) -> TopicClassifier:
    """Return an unfitted classifier with word vectors."""
    return TopicClassifier(encoder="vectors", **options)


def fit(classifier: TopicClassifier) -> TopicClassifier:
    """Fit a classifier to the documents, and check that there is no warning."""
    with warnings.catch_warnings(action="error"):
        return classifier.fit(*documents())


def test_none_is_for_words_alone() -> None:
    assert fit(TopicClassifier(encoder=None)).fitted_.dense is None


def test_grid_search_compares_words_alone_with_vectors() -> None:
    search = GridSearchCV(classifier_with(), {"encoder": [None, "vectors"]}, cv=3)
    search.fit(*documents())
    assert search.best_params_ == {"encoder": "vectors"}


def test_unlabelled_texts_need_a_learner_that_takes_an_encoder() -> None:
    with pytest.raises(OptionError) as raised:
        classifier_with(learner="network").fit(*documents(), X_unlabelled=["money"])
    assert str(raised.value) == (
        "`X_unlabelled` requires the linear learner, and `learner` is a NeuralLearner; leave one "
        "of them out."
    )


def test_vectors_must_help_on_a_sample_of_many_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "MAX_WITHOUT_TRIAL", 10)
    choice = fit(classifier_with()).fitted_.encoder_choice
    assert choice is not None
    assert [trial.name for trial in choice.trials] == ["words alone", "vectors"]
    assert choice.name == "vectors"
    _, topics = documents()
    unknown = [f"{topic[::-1]}qxz" for topic in topics]  # each names its topic
    with warnings.catch_warnings(action="error"):
        fitted = classifier_with().fit(unknown, topics).fitted_
    assert fitted.dense is None


def test_copies_keep_the_name_of_the_encoder(tmp_path: Path) -> None:
    classifier = fit(classifier_with())
    assert clone(classifier).encoder == "vectors"
    assert TopicClassifier.from_fitted(classifier.fitted_).encoder == "vectors"
    fit(TopicClassifier(encoder=None)).save(tmp_path / "words.slug")
    words = load(tmp_path / "words.slug")
    assert words.encoder is None
    assert FitSettings.from_fitted(words.fitted_).encoder is None


def test_texts_with_more_new_words_than_usual_are_unsure_though_vectors_know_them() -> None:
    texts, topics = documents()
    sentences = [f"{a} {b}" for a, b in zip(texts, [texts[-1], *texts[:-1]], strict=True)]
    classifier = classifier_with(min_precision=0.2).fit([*texts, *sentences], [*topics] * 2)
    decisions = classifier.decide([*sentences[:2], *NEW[:2], HINDI, SWEDISH, UNKNOWN])
    assert [d.reason and d.reason.kind for d in decisions[:2]] == [None] * 2
    assert [d.reason and d.reason.kind for d in decisions[2:]] == ["unknown_words"] * 5


def test_fits_that_name_no_encoder_use_vectors() -> None:
    classifier = fit(TopicClassifier())
    assert classifier.encoder == "vectors"
    assert classifier.predict(NEW).tolist() == [*TOPICS]
    encoder = FitSettings(learner=LinearLearner()).encoder
    assert isinstance(encoder, CheckedEncoder)
    assert encoder.is_built_in


def test_documents_in_a_language_that_the_table_does_not_know_are_learned_by_words_alone() -> None:
    hungarian = ["a csomagom még nem érkezett meg", "hibás összeget vontak le a számlámról"] * 6
    for row, (first, second) in enumerate(zip(BANK.split(), SPORT.split(), strict=True)):
        hungarian[row] += f" {first}" if row % 2 == 0 else f" {second}"
    fitted = classifier_with().fit(hungarian, TOPICS * 6).fitted_
    assert fitted.dense is None
    in_parts = classifier_with().partial_fit(hungarian, TOPICS * 6, classes=TOPICS).fitted_
    assert in_parts.dense is None


def test_most_documents_decide_whether_the_table_knows_the_language() -> None:
    encoder = CheckedEncoder(WordVectorEncoder())
    known = "my parcel has not arrived yet and I am still waiting for an answer"
    assert encoder.knows_language([known])
    assert encoder.knows_language([known, UNKNOWN])
    assert not encoder.knows_language([known, UNKNOWN, UNKNOWN, UNKNOWN])
    assert not encoder.knows_language([UNKNOWN])
