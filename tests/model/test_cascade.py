"""A model whose encoder reads only what words leave in doubt: answers, promises and files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_entries import JSON, rezip, unzip
from slugline.classifier import TopicClassifier, load
from slugline.errors import ModelFileError
from slugline.explanation.explain import explain
from slugline.learning.encoder.head import Cascade
from slugline.model.decider import Decider
from stand_ins import Meanings, register

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_cache")]

SEEN = {"grain": ("wheat", "corn"), "bank": ("loan", "bond"), "sport": ("goal", "match")}
NUMBER = {topic: number for number, topic in enumerate(SEEN)}


def documents(n: int) -> tuple[list[str], list[str]]:
    """Return texts of two words, of which a third has only new words, whose meaning is known."""
    texts, topics = [], []
    for row in range(n):
        topic = list(SEEN)[row % 3]
        word = hashlib.sha256(b"%d" % row).hexdigest()[:8]
        known = word if row % 9 < 3 else SEEN[topic][row % 2]
        texts.append(f"{known} {word[::-1]}")
        topics.append(topic)
    return texts, topics


TEXTS, TOPICS = documents(900)
MEANINGS = {text.split()[0]: NUMBER[topic] for text, topic in zip(TEXTS, TOPICS, strict=True)}
SURE, UNSURE = ["wheat corn", "bond loan"], [TEXTS[756], TEXTS[757]]


@pytest.fixture
def encoder() -> Meanings:
    return Meanings(MEANINGS)


@pytest.fixture
def classifier(encoder: Meanings) -> TopicClassifier:
    return TopicClassifier(encoder=encoder, min_precision=0.9).fit(TEXTS[:750], TOPICS[:750])


def cascade_of(classifier: TopicClassifier) -> Cascade:
    assert classifier.fitted_.dense is not None
    assert classifier.fitted_.dense.cascade is not None
    return classifier.fitted_.dense.cascade


def test_cascade_encodes_only_texts_that_words_leave_unsure(
    classifier: TopicClassifier, encoder: Meanings
) -> None:
    assert cascade_of(classifier).encoded_fraction == pytest.approx(1 / 3, abs=0.03)
    n_before = encoder.n_texts
    assert classifier.score(TEXTS[750:], TOPICS[750:]) == 1
    assert encoder.n_texts - n_before == 48  # of 150
    n_before = encoder.n_texts
    classifier.predict(SURE)
    classifier.predict_proba(SURE)
    assert encoder.n_texts == n_before


def test_cascade_of_a_named_encoder_answers_sure_texts_by_words_and_word_vectors(
    encoder: Meanings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    register(monkeypatch, "use", lambda: encoder)
    encoder.name = "use"
    texts = [text.replace("wheat", "the wheat of parcels") for text in TEXTS]
    classifier = TopicClassifier(encoder="use").fit(texts[:750], TOPICS[:750])
    fitted = classifier.fitted_
    assert fitted.dense is not None
    assert fitted.dense.encoder.name == "vectors,use"
    n_before = encoder.n_texts
    sure = classifier.predict_proba(SURE)
    assert encoder.n_texts == n_before
    np.testing.assert_array_equal(sure, fitted.fast_stage.predict_proba(SURE))
    classifier.save(tmp_path / "a.slug")
    loaded = load(tmp_path / "a.slug")
    np.testing.assert_array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))
    explanation = explain(fitted, SURE[0])
    assert explanation.probability == pytest.approx(sure[0].max(), abs=1e-6)


def test_cascade_answers_sure_texts_as_the_learner_of_words_does(
    classifier: TopicClassifier,
) -> None:
    fitted = classifier.fitted_
    rows = fitted.features.transform(SURE)
    np.testing.assert_array_equal(
        classifier.predict_proba(SURE), fitted.learner.predict_proba(rows)
    )
    np.testing.assert_array_equal(
        classifier.decision_function(SURE), fitted.learner.decision_function(rows)
    )


def test_cascade_predicts_a_text_alone_as_in_a_batch(classifier: TopicClassifier) -> None:
    texts = [*SURE, *UNSURE, *TEXTS[750:]]
    for function in (classifier.predict_proba, classifier.decision_function):
        together, alone = function(texts), [function([text])[0] for text in texts]
        np.testing.assert_array_equal(together, alone)


def test_cascade_measures_heldout_predictions_with_the_encoder(classifier: TopicClassifier) -> None:
    heldout, threshold = classifier.fitted_.heldout_predictions, cascade_of(classifier).threshold
    assert heldout is not None
    decider = Decider.from_fitted(classifier.fitted_)
    decisions = decider.decide(TEXTS[750:])
    assert all(
        decision.topic in (None, t) for decision, t in zip(decisions, TOPICS[750:], strict=True)
    )
    # Above the threshold stand the documents that words answered, with their probabilities.
    assert np.mean(heldout.probabilities >= np.float32(threshold)) >= 0.6


def test_explain_names_only_words_where_words_decided(classifier: TopicClassifier) -> None:
    fitted = classifier.fitted_
    for split in (False, True):
        sure = explain(fitted, SURE[0], split_encoder=split)
        assert not any("encoder" in reason.word for reason in sure.reasons)
        total = sure.bias + sum(reason.attribution for reason in sure.reasons)
        assert total == pytest.approx(sure.score, abs=1e-5)
        assert sure.score == classifier.decision_function(SURE[:1]).max()
        assert sure.probability == classifier.predict_proba(SURE[:1]).max()
    unsure = explain(fitted, UNSURE[0], split_encoder=False)
    assert any("encoder" in reason.word for reason in unsure.reasons)


def test_cascade_is_not_used_with_described_topics(encoder: Meanings) -> None:
    described = TopicClassifier(encoder=encoder, descriptions={"law": "court"})
    described.fit(TEXTS[:750], TOPICS[:750])
    assert described.fitted_.dense is not None
    assert described.fitted_.dense.cascade is None


def test_cascade_survives_saving_and_loading(
    classifier: TopicClassifier, encoder: Meanings, tmp_path: Path
) -> None:
    path = tmp_path / "a.slug"
    classifier.save(path)
    again = load(path, encoder)
    assert cascade_of(again) == cascade_of(classifier)
    texts = [*SURE, *UNSURE]
    np.testing.assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))


def rewritten(path: Path, cascade: Any) -> Path:
    """Return a copy of a model file with another cascade; None for none."""
    entries = unzip(path.read_bytes())
    info = json.loads(entries[JSON])
    info["head"]["cascade"] = cascade
    copy = path.with_name("copy.slug")
    copy.write_bytes(rezip(entries | {JSON: json.dumps(info).encode()}))
    return copy


def test_load_encodes_all_texts_if_the_file_has_no_cascade(
    classifier: TopicClassifier, encoder: Meanings, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "a.slug")
    older = load(rewritten(tmp_path / "a.slug", None), encoder)
    n_before = encoder.n_texts
    older.predict(SURE)
    assert encoder.n_texts == n_before + 2


@pytest.mark.parametrize("cascade", [[2.0, 0.5], [0.5], 0.9, [0.5, -1], ["a", 0.5]])
def test_load_refuses_an_invalid_cascade(
    classifier: TopicClassifier, encoder: Meanings, tmp_path: Path, cascade: Any
) -> None:
    classifier.save(tmp_path / "a.slug")
    with pytest.raises(ModelFileError, match="cascade"):
        load(rewritten(tmp_path / "a.slug", cascade), encoder)
