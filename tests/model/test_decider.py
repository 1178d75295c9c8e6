"""Which answers are given alone, and why others are not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest
from scipy.special import bdtrc
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from slugline.classifier import TopicClassifier, load
from slugline.errors import EncoderWarning, ModelFileError, OptionError
from slugline.learning.labels import Labels
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.model.decider import Decider
from slugline.model.decision import Unsure
from slugline.model.file import container
from slugline.model.file.content import to_model_file
from slugline.model.file.schema import ModelFile
from slugline.model.heldout import HeldOutPredictions, SparseProba, to_arrays
from slugline.model.thresholds import CONFIDENCE, _binomial_tail, best_precision, lowest_threshold
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features, UnknownWordRate, WordCounts
from stand_ins import Meanings

News = list[tuple[str, str]]


def answers(seed: int, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Give probabilities that are too high by a tenth of the doubt, and which answers are right."""
    rng = np.random.default_rng(seed)
    probabilities = 1 - rng.random(n) ** 2 / 2
    return probabilities, rng.random(n) < 1 - 1.1 * (1 - probabilities)


# The bound --------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [0.85, 0.95])
@pytest.mark.parametrize("n", [300, 2000])
def test_lowest_threshold_keeps_its_precision_as_often_as_stated(precision: float, n: int) -> None:
    probabilities, right = answers(10_000, 200_000)
    broken = 0
    for seed in range(100):
        threshold = lowest_threshold(*answers(seed, n), precision)
        alone = probabilities >= threshold
        broken += bool(alone.any() and right[alone].mean() < precision)
    assert broken / 100 <= 1 - CONFIDENCE


def test_lowest_threshold_gets_past_a_wrong_topic_at_the_top() -> None:
    probabilities, right = np.linspace(1, 0.5, 1000), np.ones(1000, dtype=bool)
    right[:2] = False
    assert lowest_threshold(probabilities, right, 0.95) == 0.5


def test_lowest_threshold_takes_all_answers_of_a_probability_or_none() -> None:
    probabilities = np.repeat([0.9, 0.8], 500)
    right = np.concatenate([np.ones(500, bool), np.arange(500) < 300])
    assert lowest_threshold(probabilities, right, 0.95) == 0.9
    assert lowest_threshold(probabilities, right, 0.75) == 0.8


@pytest.mark.parametrize("n", [0, 1, 50, 76])
def test_lowest_threshold_is_infinite_for_too_few_answers(n: int) -> None:
    assert lowest_threshold(np.ones(n), np.ones(n, dtype=bool), 0.95) == np.inf


def test_best_precision_is_one_that_lowest_threshold_reaches() -> None:
    probabilities, right = answers(1)
    precision, coverage = best_precision(probabilities, right)
    threshold = lowest_threshold(probabilities, right, precision)
    assert coverage == (probabilities >= threshold).mean() > 0
    assert lowest_threshold(probabilities, right, precision + 0.01) == np.inf
    assert best_precision(probabilities[:1], right[:1]) == (0, 0)


def left_out(
    topics: np.ndarray, probabilities: np.ndarray, right: np.ndarray
) -> HeldOutPredictions:
    n, n_topics = len(topics), int(topics.max()) + 1
    labels = np.where(right, topics, (topics + 1) % n_topics)
    proba = SparseProba(
        topics=topics,
        counts=np.ones(n, dtype=np.int64),
        levels=np.zeros(n, dtype=np.uint8),
        exact=probabilities.astype(np.float32),
        omitted=np.zeros(n_topics, dtype=np.float32),
    )
    return HeldOutPredictions(np.arange(n), Labels.from_topics(labels), proba, precision=0.9)


def test_thresholds_per_topic_set_apart_a_topic_that_is_often_wrong() -> None:
    probabilities, right = answers(2, 3000)
    topics = np.arange(3000) % 3
    right[topics == 2] = np.arange(1000) % 2 == 0
    kept = left_out(topics, probabilities, right)
    together = kept.thresholds(0.9, 3)
    apart = kept.thresholds(0.9, 3, per_topic=True)
    assert len(set(together.tolist())) == 1
    assert apart[2] == np.inf
    assert (apart[:2] < 1).all()
    assert kept.precision_at(apart).precision > 0.9


def test_thresholds_per_topic_are_shared_by_topics_with_few_answers() -> None:
    probabilities, right = answers(3, 1000)
    topics = np.concatenate([np.zeros(850, int), 1 + np.arange(150) % 3])
    apart = left_out(topics, probabilities, right).thresholds(0.85, 4, per_topic=True)
    assert apart[1] == apart[2] == apart[3] != apart[0]


def test_thresholds_are_at_least_one_half_or_the_precision_below_it() -> None:
    probabilities = np.linspace(0.3, 1, 1000)
    kept = left_out(np.zeros(1000, int), probabilities, np.ones(1000, bool))
    assert kept.thresholds(0.9, 1).tolist() == [0.5]
    assert kept.thresholds(0.4, 1).tolist() == [np.float32(0.4)]
    assert kept.best_precision().coverage == pytest.approx(5 / 7, abs=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"min_precision": 0.9},
        {"learner": Mixture([LinearLearner()]), "min_precision": 0.9},
        {"encoder": Meanings({f"w{n}": n for n in range(400)}, width=400)},
    ],
    ids=["plain", "precise", "mixture", "encoder"],
)
@pytest.mark.parametrize("n_copies", [1, 4])
@pytest.mark.usefixtures("empty_cache")
def test_decide_promises_nothing_for_texts_of_random_words(
    options: dict[str, Any], n_copies: int
) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"w{n}" for n in range(400)], 8)) for _ in range(300)]
    topics = rng.choice(list("abc"), 300).tolist()
    with warnings.catch_warnings(action="ignore", category=EncoderWarning):
        classifier = TopicClassifier(**options).fit(texts * n_copies, topics * n_copies)
    predictions = classifier.fitted_.heldout_predictions
    assert predictions is not None
    assert not predictions.n_documents or predictions.right.mean() < 0.5
    with pytest.raises(OptionError, match="but no threshold reaches it on"):
        classifier.decide(texts, 0.9)


@pytest.mark.parametrize(
    ("n_copies", "most_in_folds", "share"),
    [(1, 5000, 1), (3, 5000, 1), (3, 500, 2 / 3)],
    ids=["few", "in folds", "many"],
)
def test_fit_holds_documents_out_once_for_calibration_and_thresholds(
    many: Any, n_copies: int, most_in_folds: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.model.fit._MAX_IN_FOLDS", most_in_folds)
    texts = [f"{text} x{number}" for number in range(n_copies) for text in many[0]]
    topics = many[1] * n_copies
    classifier = TopicClassifier(encoder=None).fit(texts, topics)
    fitted, learner = classifier.fitted_, classifier.fitted_.learner
    assert isinstance(learner, LinearLearner)
    predictions = fitted.heldout_predictions
    assert predictions is not None
    assert learner.heldout_scores_ is not None
    scores = learner.heldout_scores_.scores
    assert predictions.n_documents == len(scores) == pytest.approx(share * len(texts), abs=3)
    proba = learner.calibration.proba(scores)
    probabilities = proba.max(axis=1)
    np.testing.assert_array_equal(np.sort(predictions.probabilities), np.sort(probabilities))
    rows = predictions.rows
    assert rows is not None
    truth = fitted.topics.encode([topics[row] for row in rows.tolist()])
    np.testing.assert_array_equal(predictions.right, predictions.topics == truth)
    # As it is learned for a promise, but with other thresholds.
    precise = (
        TopicClassifier(encoder=None, min_precision=0.8)
        .fit(texts, topics)
        .fitted_.heldout_predictions
    )
    assert precise is not None
    assert precise.words == predictions.words is not None


@pytest.mark.usefixtures("empty_cache")
def test_fit_with_an_encoder_holds_out_sums_without_another_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meanings = {"wheat": 0, "corn": 0, "rye": 0, "goal": 1, "cup": 1, "match": 1}
    rng = np.random.default_rng(0)
    texts = [f"{rng.choice(list(meanings))} {number}" for number in range(300)]
    topics = ["sport" if meanings[text.split()[0]] else "grain" for text in texts]
    fit_linear = Mock(side_effect=LinearLearner.fit, autospec=True)
    monkeypatch.setattr(LinearLearner, "fit", lambda *arguments: fit_linear(*arguments))
    encoder = Meanings(meanings, width=2)
    classifier = TopicClassifier(encoder=encoder, descriptions={"tin": "goal"}, min_precision=0.9)
    classifier.fit([*texts, texts[0]], [*topics, topics[0]])
    assert fit_linear.call_count == 1
    predictions = classifier.fitted_.heldout_predictions
    assert predictions is not None
    assert predictions.n_documents == len(texts) - 1  # the copies have been seen
    assert predictions.right.mean() > 0.95
    assert classifier.predict(["wheat 1"]).tolist() == ["grain"]


# Known words ------------------------------------------------------------------------------------


def features_of(texts: list[str], **options: Any) -> Features:
    features = Features([FeatureGroup("words", **options)])
    features.fit_transform(texts)
    return features


def test_read_counts_no_unknown_words_without_a_group_of_words() -> None:
    features = Features([FeatureGroup("characters")])
    features.fit_transform(["wheat and corn"])
    assert features.read(["zinc tin"])[1].n_unknown.tolist() == [0]
    assert features.unknown_word_rate(np.arange(features.n_columns)) is None


@pytest.mark.parametrize("options", [{}, {"n_buckets": 1 << 16}], ids=["words", "buckets"])
def test_unknown_word_rate_leaves_out_words_of_the_document_itself(options: Any) -> None:
    texts = ["wheat corn", "wheat corn", "wheat tin"]
    features = features_of(texts, **options)
    usual = features.unknown_word_rate(np.arange(features.n_columns))
    assert usual is not None
    assert usual.rate == (1 + 1) / (6 + 2)
    assert usual.max_excess == (1 - 2 * usual.rate) / np.sqrt(2 * usual.rate * 0.75)


def test_are_unusual_flags_one_document_in_a_hundred_and_allows_for_length() -> None:
    rng = np.random.default_rng(0)
    n_words = rng.integers(5, 15, 5000)
    counts = WordCounts(n_words - rng.binomial(n_words, 0.2), n_words)
    usual = UnknownWordRate.from_counts(counts)
    assert usual.are_unusual(counts).mean() == pytest.approx(0.01, abs=0.004)
    some = WordCounts(n_known=np.array([40, 20, 2, 0]), n_words=np.array([50, 50, 5, 5]))
    assert usual.are_unusual(some).tolist() == [False, True, False, True]


# Answers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(news: News) -> tuple[list[str], list[str]]:
    """Return 270 texts of three topics, of which one in thirty has a wrong topic."""
    texts = [f"{text} {number % 4}" for number in range(3) for text, _ in news]
    topics = [topic for _ in range(3) for _, topic in news]
    for number in range(0, len(topics), 30):
        topics[number] = {"bank": "grain", "grain": "sport", "sport": "bank"}[topics[number]]
    return texts, topics


@pytest.fixture(scope="module")
def fitted(many: tuple[list[str], list[str]]) -> TopicClassifier:
    return TopicClassifier(min_precision=0.8).fit(*many)


def test_decide_gives_the_reason_of_each_missing_topic(fitted: TopicClassifier) -> None:
    texts = ["the loan and rate and bond of 1", "यह सब्ज़ी स्वादिष्ट", "!?", " ", "the and of"]
    decisions = fitted.decide(texts)
    assert [decision.topic for decision in decisions[:4]] == ["bank", None, None, None]
    reasons = [None, "unknown words: 3 of 3", "no words", "no text"]
    assert [decision.reason and str(decision.reason) for decision in decisions[:4]] == reasons
    assert decisions[0].top[0] == ("bank", decisions[0].probability)
    assert len(decisions[1].top) == 3


def test_decide_names_both_probabilities_of_an_unsure_text(fitted: TopicClassifier) -> None:
    (decision,) = Decider.from_fitted(fitted.fitted_, 0.9).decide(
        ["the loan and wheat and goal of 1"]
    )
    assert decision.topic is None
    assert decision.reason is not None
    assert decision.reason.kind == "low_probability"
    assert str(decision.reason).startswith(f"probability {decision.probability:.2f} is under 0.")


def test_decide_without_a_precision_answers_every_text_with_words(fitted: TopicClassifier) -> None:
    texts = ["the loan and wheat and goal of 1", "", "Das Kraut", " \n"]
    decisions = fitted.decide(texts, 0)
    first, _, third, _ = fitted.predict(texts).tolist()
    assert [decision.topic for decision in decisions] == [first, None, third, None]
    assert [decision.reason and str(decision.reason) for decision in decisions] == [
        *(None, "no text", None, "no text")
    ]


def test_decide_gives_one_text_the_answer_it_has_among_others(fitted: TopicClassifier) -> None:
    texts = ["the loan and rate and bond of 1", "Das Kraut", "", "corn goal"]
    together = fitted.decide(texts)
    alone = [fitted.decide([text])[0] for text in texts]
    assert [(r.topic, r.reason) for r in together] == [(r.topic, r.reason) for r in alone]
    assert fitted.decide([]) == []


def test_heldout_predictions_do_not_depend_on_threads(many: Any, fitted: TopicClassifier) -> None:
    other = TopicClassifier(n_jobs=1, min_precision=0.8).fit(*many)
    before, after = fitted.fitted_.heldout_predictions, other.fitted_.heldout_predictions
    assert before is not None
    assert after is not None
    for name, array in to_arrays(before).items():
        assert to_arrays(after)[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "learner",
    [NeuralLearner((8,), epochs=15), Mixture([LinearLearner(), NeuralLearner(epochs=5)])],
    ids=["network", "mixture"],
)
def test_min_precision_holds_out_folds_for_other_learners(learner: Any, many: Any) -> None:
    texts, topics = many
    classifier = TopicClassifier(learner=learner, min_precision=0.7).fit(texts, topics)
    plain = TopicClassifier(learner=learner).fit(texts, topics)
    left_out = classifier.fitted_.heldout_predictions
    assert left_out is not None
    assert left_out.n_documents == len(texts)
    np.testing.assert_array_equal(classifier.predict_proba(texts), plain.predict_proba(texts))
    assert any(decision.topic for decision in classifier.decide(texts))


@pytest.mark.usefixtures("empty_cache")
def test_decide_with_an_encoder_is_not_unsure_for_unknown_words(tmp_path: Path) -> None:
    meanings = {"wheat": 0, "corn": 0, "rye": 0, "goal": 1, "cup": 1, "match": 1}
    texts = [f"the {what} of {n}" for n in range(60) for what in ("wheat and corn", "goal and cup")]
    encoder = Meanings(meanings, width=2)
    classifier = TopicClassifier(encoder=encoder, min_precision=0.9)
    classifier.fit(texts, ["grain", "sport"] * 60)
    classifier.save(tmp_path / "a.slug")
    for model in (classifier, load(tmp_path / "a.slug", encoder=encoder)):
        known, unknown = model.decide(["the wheat and corn", "the rye"])
        assert known.topic == unknown.top[0][0] == "grain"
        assert unknown.reason is None or unknown.reason.kind == "low_probability"


def test_sample_weight_counts_in_heldout_folds(many: Any) -> None:
    texts, topics = many
    weight = np.array([topic != "sport" for topic in topics], dtype=float)
    classifier = TopicClassifier(learner=Mixture([LinearLearner()]), min_precision=0.5)
    classifier.fit(texts, topics, weight)
    names = classifier.classes_[classifier.fitted_.heldout_predictions.topics]  # type: ignore[union-attr]
    assert "sport" not in names.tolist()


# Bad input --------------------------------------------------------------------------------------


def test_decide_names_the_precision_that_can_be_reached(fitted: TopicClassifier) -> None:
    best, coverage = fitted.fitted_.heldout_predictions.best_precision()  # type: ignore[union-attr]
    with pytest.raises(OptionError) as caught:
        fitted.decide(["corn"], 0.999)
    n = fitted.fitted_.heldout_predictions.n_documents  # type: ignore[union-attr]
    assert str(caught.value) == (
        "`min_precision` is 0.999, but no threshold reaches it on "
        f"{n} held-out training documents. The best that can be promised is {best:g}, "
        f"for {100 * coverage:.0f} % of the texts; ask for that or less, or give more documents."
    )
    assert fitted.decide(["the loan and rate and bond of 1"], best)[0].topic == "bank"


def test_decide_promises_nothing_with_one_document_per_topic() -> None:
    classifier = TopicClassifier(min_precision=0.9).fit(["wheat", "goal"], ["grain", "sport"])
    with pytest.raises(OptionError, match="Not even half of the answers can be"):
        classifier.decide(["wheat"], 0.9)


@pytest.mark.parametrize("value", [0, 1, -0.5, 1.5, "0.9", float("nan"), True])
def test_min_precision_is_checked_before_the_fit(value: Any, news: News) -> None:
    texts, topics = zip(*news, strict=True)
    with pytest.raises(OptionError, match="give a number over 0 and under 1"):
        TopicClassifier(min_precision=value).fit(texts, topics)


def test_decide_rejects_a_precision_out_of_range(fitted: TopicClassifier) -> None:
    with pytest.raises(OptionError) as caught:
        fitted.decide(["corn"], 1)
    assert str(caught.value) == "`min_precision` is 1; give a number of at least 0 and under 1."


def test_decide_takes_a_precision_after_the_fit(many: Any) -> None:
    classifier = TopicClassifier().fit(*many)
    text = "the loan and rate and bond of 1"
    assert classifier.decide([text, "zinc tin"])[1].topic is not None  # nobody asked for more
    known, unknown = classifier.decide([text, "zinc tin"], 0.5)
    assert (known.topic, unknown.topic) == ("bank", None)


def test_decide_of_a_network_without_heldout_predictions_says_how_to_train(news: News) -> None:
    classifier = TopicClassifier(learner=NeuralLearner((8,), epochs=15))
    classifier.fit(*zip(*news, strict=True))
    message = "its learner makes them only on request, because they take more fits; train it with"
    with pytest.raises(OptionError, match=message):
        classifier.decide(["wheat"], 0.9)


# A promise that can't be made -------------------------------------------------------------------


@pytest.fixture(scope="module")
def hopeless(many: Any) -> TopicClassifier:
    return TopicClassifier(min_precision=0.999).fit(*many)


def test_decide_is_unsure_of_every_text_if_the_precision_is_out_of_reach(
    hopeless: TopicClassifier, many: Any, tmp_path: Path
) -> None:
    hopeless.save(tmp_path / "a.slug")
    text = "the loan and rate and bond of 1"
    for model in (hopeless, load(tmp_path / "a.slug")):
        sure, unknown = model.decide([text, ""])
        assert (sure.topic, sure.reason.kind) == (None, "no_threshold")  # type: ignore[union-attr]
        assert sure.top[0][0] == "bank"
        assert len(sure.top) == 3
        assert unknown.reason == Unsure("no_text")
        assert model.decide([text], 0)[0].topic == "bank"
        with pytest.raises(OptionError, match="but no threshold reaches it on"):
            model.decide([text], 0.999)
    assert model.predict([text]) == ["bank"]


def test_card_names_the_best_precision_if_the_own_one_is_out_of_reach(
    hopeless: TopicClassifier, fitted: TopicClassifier, tmp_path: Path
) -> None:
    predictions = hopeless.fitted_.heldout_predictions
    assert predictions is not None
    best, coverage = predictions.best_precision()
    decider = Decider.from_fitted(hopeless.fitted_)
    assert decider.note == (
        "unsure of every text: no threshold reaches the precision of 0.999 that it was trained "
        f"for. The best that can be promised is {best:g}, for {100 * coverage:.0f} % of the texts; "
        "ask for that or less, or give more documents. Measured on "
        f"{predictions.n_documents} held-out training documents. With a "
        "`min_precision` of 0, the model answers every text."
    )
    assert decider.summary() == [
        ("min precision", "0.999, with 90 % confidence"),
        ("from probability", "none reaches it"),
        ("can be promised", f"{best:g}, for {100 * coverage:.0f} % of the texts"),
    ]
    assert Decider.from_fitted(fitted.fitted_).note == ""
    hopeless.save(tmp_path / "a.slug")
    card = load(tmp_path / "a.slug").card_
    assert card.startswith(f"# Topic classifier\n\n**The model is {decider.note}**\n")
    fitted.save(tmp_path / "b.slug")
    assert "right in 80 of 100 cases" in (card := load(tmp_path / "b.slug").card_)
    assert "unsure of every text" not in card


# As an option of the constructor ----------------------------------------------------------------


def test_min_precision_is_kept_by_clones_and_searches(many: Any) -> None:
    texts, topics = many
    assert clone(TopicClassifier(min_precision=0.7)).get_params()["min_precision"] == 0.7
    search = GridSearchCV(TopicClassifier(), {"min_precision": [None, 0.6]}, cv=2).fit(
        texts, topics
    )
    assert [asked["min_precision"] for asked in search.cv_results_["params"]] == [None, 0.6]
    loaded = TopicClassifier.from_fitted(TopicClassifier(min_precision=0.6).fit(*many).fitted_)
    assert clone(loaded).min_precision == 0.6


def test_decide_after_partial_fit_needs_a_new_fit(fitted: TopicClassifier, many: Any) -> None:
    classifier = TopicClassifier.from_fitted(fitted.fitted_)
    classifier.partial_fit(*(part[:30] for part in many))
    with pytest.raises(OptionError, match="it was last trained on a batch"):
        classifier.decide(["wheat"], 0.8)


# In a file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantize", [None, "float16", "int8"])
def test_saved_model_keeps_its_thresholds(
    fitted: TopicClassifier, tmp_path: Path, quantize: Any
) -> None:
    fitted.save(tmp_path / "a.slug", quantize=quantize)
    loaded = load(tmp_path / "a.slug")
    before, after = fitted.fitted_.heldout_predictions, loaded.fitted_.heldout_predictions
    assert before is not None
    assert after is not None
    for name in ("topics", "probabilities", "right"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.precision, after.words) == (before.precision, before.words)
    assert "right in 80 of 100 cases" in loaded.card_
    loaded.save(tmp_path / "b.slug", quantize=quantize)
    assert (tmp_path / "a.slug").read_bytes() == (tmp_path / "b.slug").read_bytes()


def test_loaded_model_takes_a_precision(many: Any, tmp_path: Path) -> None:
    classifier = TopicClassifier().fit(*many)
    classifier.save(tmp_path / "a.slug")
    loaded = load(tmp_path / "a.slug")
    texts = ["the loan and rate and bond of 1", "zinc tin", "corn goal", ""]
    for options in ({}, {"min_precision": 0.5}):
        assert loaded.decide(texts, **options) == classifier.decide(texts, **options)  # type: ignore[arg-type]
    assert "always names one of its" in loaded.card_


def without_levels(file: ModelFile) -> ModelFile:
    arrays = {name: array for name, array in file.arrays.items() if name != "heldout.levels"}
    return replace(file, arrays=arrays)


def with_info(**changed: Any) -> Callable[[ModelFile], ModelFile]:
    def change(file: ModelFile) -> ModelFile:
        return replace(file, info=msgspec.structs.replace(file.info, **changed))

    return change


def without_predictions(file: ModelFile) -> ModelFile:
    arrays = {n: array for n, array in file.arrays.items() if not n.startswith("heldout.")}
    return replace(file, arrays=arrays)


@pytest.mark.parametrize("change", [without_levels, without_predictions])
def test_load_refuses_decisions_that_do_not_match_the_model(
    fitted: TopicClassifier, tmp_path: Path, change: Callable[[ModelFile], ModelFile]
) -> None:
    container.write(tmp_path / "a.slug", change(to_model_file(fitted.fitted_)))
    with pytest.raises(ModelFileError, match="damaged"):
        load(tmp_path / "a.slug")


@pytest.mark.parametrize(
    "changed",
    [
        {"min_precision": 1.0},
        {"min_precision": 0.0},
        {"unknown_words": UnknownWordRate(rate=1.5, max_excess=1.0)},
        {"unknown_words": UnknownWordRate(rate=0.5, max_excess=-1.0)},
    ],
    ids=str,
)
def test_pack_refuses_a_number_out_of_range(
    fitted: TopicClassifier, changed: dict[str, Any]
) -> None:
    file = with_info(**changed)(to_model_file(fitted.fitted_))
    with pytest.raises(ModelFileError, match="can't hold this model: Expected `float`"):
        container.pack(file)


def test_p_values_are_those_of_the_binomial_distribution() -> None:
    n = np.arange(1, 5001, 50)
    for share in (0.0, 0.6, 0.97, 1.0):
        n_right = (n * share).astype(np.int64)
        for precision in (0.5, 0.95, 0.999):
            expected = np.where(n_right > 0, bdtrc(np.maximum(n_right - 1, 0), n, precision), 1)
            pairs = zip(n_right.tolist(), n.tolist(), strict=True)
            tails = [_binomial_tail(*pair, precision) for pair in pairs]
            np.testing.assert_allclose(tails, expected, atol=1e-10)
