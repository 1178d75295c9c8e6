"""TopicClassifier.partial_fit: streams in batches, and more documents for a fitted model."""

from __future__ import annotations

import copy
import gc
import hashlib
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier, load
from slugline.corpus.corpus import Corpus
from slugline.errors import DataError, OptionError
from slugline.learning.labels import Labels
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.text.feature_groups import (
    FeatureGroup,
    default_feature_groups,
    document_frequency,
    idf,
)
from slugline.text.features import Features

News = list[tuple[str, str]]
TOPICS = ["bank", "grain", "sport"]
# Few buckets make tests fast.
GROUPS = [FeatureGroup(n_buckets=1 << 12), FeatureGroup("lead", n_buckets=1 << 12)]
COUNTS = [FeatureGroup("words", "multi-hot", n_buckets=1 << 12)]


def batches(news: News, size: int) -> Iterator[tuple[list[str], list[str]]]:
    for first in range(0, len(news), size):
        texts, topics = zip(*news[first : first + size], strict=True)
        yield list(texts), list(topics)


def streamed(news: News, size: int = 30, **options: Any) -> TopicClassifier:
    classifier = TopicClassifier(**{"feature_groups": GROUPS} | options)
    for texts, topics in batches(news, size):
        assert classifier.partial_fit(texts, topics, TOPICS) is classifier
    return classifier


# Streams ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 30, 90])
def test_partial_fit_learns_topics_in_batches_of_any_size(
    size: int, news: News, texts: list[str], topics: list[str]
) -> None:
    classifier = streamed(news, size)
    assert classifier.predict(texts).tolist() == topics
    assert (classifier.fitted_.n_learned, classifier.fitted_.n_batches) == (90, -(-90 // size))
    assert (classifier.fitted_.history, classifier.fitted_.tuning) == (None, None)


def test_partial_fit_trains_a_network_one_epoch_per_batch(
    news: News, texts: list[str], topics: list[str]
) -> None:
    net = NeuralLearner((16,), batch_size=4, learning_rate=0.01, dropout=0.1)
    classifier = streamed(news * 4, 30, learner=net, feature_groups=COUNTS)
    assert classifier.score(texts, topics) > 0.95
    assert classifier.fitted_.learner.n_epochs == 12  # type: ignore[attr-defined]


def test_partial_fit_takes_the_default_groups_in_hash_buckets() -> None:
    classifier = TopicClassifier().partial_fit(["a few words"], ["a"], ["a", "b"])
    assert classifier.fitted_.features.feature_groups == default_feature_groups("log-tf-idf")


def test_partial_fit_gives_a_network_weights_for_every_bucket() -> None:
    classifier = TopicClassifier(learner=NeuralLearner((2,)))
    classifier.partial_fit(["a few words"], ["a"], ["a", "b"])
    assert classifier.fitted_.features.feature_groups == (
        FeatureGroup("words", "multi-hot", n_buckets=1 << 18),
    )
    assert classifier.fitted_.features.n_columns == 1 << 18


def test_partial_fit_sorts_classes(news: News) -> None:
    classifier = TopicClassifier(feature_groups=GROUPS)
    classifier.partial_fit(["wheat", "goal"], [3, 1], classes=np.array([7, 3, 1]))
    assert classifier.classes_.tolist() == [1, 3, 7]
    proba = classifier.predict_proba(["wheat", "goal", "else"])
    assert proba.argmax(axis=1)[:2].tolist() == [1, 0]
    # A topic without a document yet is never the likeliest.
    assert (proba[:, 2] < 1 / 3).all()


def test_partial_fit_of_one_topic_keeps_the_others(
    news: News, texts: list[str], topics: list[str]
) -> None:
    ordered = sorted(news, key=lambda document: document[1])
    classifier = streamed(ordered, 30)
    assert classifier.score(texts, topics) > 0.9


@pytest.mark.slow
def test_partial_fit_keeps_no_reference_to_a_batch() -> None:
    class Text(str):
        __slots__ = ("__weakref__",)

    classifier = TopicClassifier(feature_groups=GROUPS)
    for number in range(3):
        batch = [Text(f"wheat crop {number}"), Text(f"goal match {number}")]
        held = [weakref.ref(text) for text in batch]
        classifier.partial_fit(batch, ["a", "b"], ["a", "b"])
        del batch
        gc.collect()
        assert [text() for text in held] == [None, None]


def test_partial_fit_gives_the_same_bytes_for_any_number_of_threads(
    news: News, tmp_path: Path
) -> None:
    long = [(text * 300, topic) for text, topic in news]  # several chunks to a batch
    files = []
    for seed, n_jobs in ((0, 1), (0, 3), (1, 1)):
        streamed(long, 30, n_jobs=n_jobs).save(tmp_path / "a.slug")
        files.append((tmp_path / "a.slug").read_bytes())
        streamed(long, 45, random_state=seed).save(tmp_path / "a.slug")
        files.append((tmp_path / "a.slug").read_bytes())
    assert files[0] == files[2] == files[4]
    assert files[1] == files[3] != files[5]


# Document frequencies ---------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(45, 45), (1, 89), (30, 30, 30)], ids=str)
def test_partial_fit_updates_idf_to_that_of_all_documents(
    sizes: tuple[int, ...], texts: list[str]
) -> None:
    feature_groups = [*GROUPS, FeatureGroup("bigrams", "counts", n_buckets=1 << 12)]
    whole, parts = Features(feature_groups), Features(feature_groups)
    whole.fit_transform(texts)
    n_before = 0
    for size in sizes:
        batch = texts[n_before : n_before + size]
        rows, _ = parts.partial_fit_transform(batch, n_before)
        assert (rows != parts.transform(batch)).nnz == 0
        n_before += size
    for one, other in zip(parts.idf_, whole.idf_, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_documents", [0, 1, 1000, 5_000_000])
def test_document_frequency_inverts_idf(n_documents: int) -> None:
    frequency = np.unique(np.linspace(0, n_documents, 1000).astype(np.int64))
    told = document_frequency(idf(frequency, n_documents), n_documents)
    assert np.array_equal(told, frequency)


# Going on ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [False, True], ids=["fitted", "loaded"])
@pytest.mark.parametrize(
    ("learner", "feature_groups"),
    [
        ("linear", [FeatureGroup(), FeatureGroup("lead")]),
        (NeuralLearner((16,), learning_rate=0.01), None),
    ],
    ids=["linear", "network"],
)
def test_partial_fit_of_a_fitted_model_keeps_its_vocabulary(
    learner: Any,
    feature_groups: Any,
    loaded: bool,
    texts: list[str],
    topics: list[str],
    tmp_path: Path,
) -> None:
    classifier = TopicClassifier(learner=learner, feature_groups=feature_groups).fit(texts, topics)
    if loaded:
        classifier.save(tmp_path / "a.slug")
        classifier = load(tmp_path / "a.slug")
    terms = [list(vocabulary.terms) for vocabulary in classifier.fitted_.features.vocabularies_]
    rarity = copy.deepcopy(classifier.fitted_.features.idf_)
    assert classifier.predict(["wheat"]) == "grain"
    for _ in range(20):
        classifier.partial_fit(["wheat zebra"] * 30, ["sport"] * 30)
    assert classifier.predict(["wheat"]) == "sport"
    assert [list(v.terms) for v in classifier.fitted_.features.vocabularies_] == terms
    np.testing.assert_equal(classifier.fitted_.features.idf_, rarity)
    assert (classifier.fitted_.n_learned, classifier.fitted_.n_batches) == (690, 20)


@pytest.mark.parametrize("loaded", [False, True], ids=["fitted", "loaded"])
@pytest.mark.parametrize("started", ["fit", "partial_fit"])
def test_partial_fit_learns_new_words(
    started: str, loaded: bool, texts: list[str], topics: list[str], tmp_path: Path
) -> None:
    classifier = TopicClassifier()
    getattr(classifier, started)(texts, topics, **({"classes": TOPICS} if started != "fit" else {}))
    if loaded:
        classifier.save(tmp_path / "a.slug")
        classifier = load(tmp_path / "a.slug")
    before = classifier.fitted_
    terms = [list(vocabulary.terms) for vocabulary in before.features.vocabularies_]
    answers = before.predict_proba(texts)
    unknown = before.predict_proba(["zebra quokka"])
    for _ in range(3):
        classifier.partial_fit(["zebra quokka"] * 10, ["sport"] * 10)
    assert classifier.predict(["zebra", "quokka", *texts]).tolist() == ["sport"] * 2 + topics
    grown = [list(vocabulary.terms) for vocabulary in classifier.fitted_.features.vocabularies_]
    assert [now[: len(then)] for now, then in zip(grown, terms, strict=True)] == terms
    assert grown[0][len(terms[0]) :] == ["zebra", "quokka"]
    # The value from before knows nothing of it.
    assert np.array_equal(before.predict_proba(texts), answers)
    assert np.array_equal(before.predict_proba(["zebra quokka"]), unknown)


def test_partial_fit_with_few_documents_changes_little(texts: list[str], topics: list[str]) -> None:
    classifier = TopicClassifier(encoder=None).fit(texts, topics)
    before = classifier.decision_function(texts)
    classifier.partial_fit(texts[:6], topics[:6])
    after = classifier.decision_function(texts)
    assert 0 < np.abs(after - before).max() < 0.2
    assert classifier.predict(texts).tolist() == topics


@pytest.mark.parametrize(
    ("learner", "feature_groups"),
    [("linear", GROUPS), (NeuralLearner((16,), batch_size=8, learning_rate=0.01), COUNTS)],
    ids=["linear", "network"],
)
def test_partial_fit_goes_on_after_saving_and_loading(
    learner: Any, feature_groups: list[FeatureGroup], news: News, texts: list[str],
    topics: list[str], tmp_path: Path,
) -> None:  # fmt: skip
    classifier = streamed(news[:60], learner=learner, feature_groups=feature_groups)
    classifier.save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    # Of linear weights, only those are saved that matter.
    np.testing.assert_allclose(
        again.predict_proba(texts), classifier.predict_proba(texts), atol=1e-3
    )
    for batch in batches(news[60:] * 3, 30):
        again.partial_fit(*batch)
        classifier.partial_fit(*batch)
    assert again.score(texts, topics) > 0.95
    np.testing.assert_equal(again.fitted_.features.idf_, classifier.fitted_.features.idf_)
    assert again.fitted_.data_digest == classifier.fitted_.data_digest
    assert again.fitted_.n_batches == classifier.fitted_.n_batches == 5


def test_partial_fit_chains_the_digests_of_batches(news: News) -> None:
    first, second = (Corpus(*batch, "").digest() for batch in batches(news, 45))
    chained = hashlib.sha256(f"{first}{second}".encode()).hexdigest()
    assert streamed(news, 45).fitted_.data_digest == chained


def test_fit_after_partial_fit_starts_anew(news: News, texts: list[str], topics: list[str]) -> None:
    classifier = streamed(news[:30]).fit(texts, topics)
    fresh = TopicClassifier(feature_groups=GROUPS).fit(texts, topics)
    assert np.array_equal(classifier.predict_proba(texts), fresh.predict_proba(texts))
    assert (classifier.fitted_.n_batches, classifier.fitted_.n_learned) == (0, 90)


def test_partial_fit_starts_with_an_unfitted_learner(news: News, texts: list[str]) -> None:
    learner = streamed(news).fitted_.learner
    one, other = streamed(news, learner=learner), streamed(news)
    assert np.array_equal(one.predict_proba(texts), other.predict_proba(texts))


# Weights and sharpness --------------------------------------------------------------------------


def test_partial_fit_ignores_documents_of_weight_zero() -> None:
    rows, y = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    from slugline.learning.learner import FitContext

    weight = np.array([1, 1, 0, 0], dtype=np.float32)
    one, other = LinearLearner(), LinearLearner()
    one.partial_fit(rows, Labels.from_topics(y), FitContext(2, sample_weight=weight, first=True))
    other.partial_fit(rows[:2], Labels.from_topics(y[:2]), FitContext(2, first=True))
    assert np.array_equal(one.predict_proba(rows), other.predict_proba(rows))


@pytest.mark.parametrize("by", ["documents", "topics"])
def test_partial_fit_weights_decide_between_contradicting_documents(by: str) -> None:
    texts, topics = ["wheat rose"] * 40, ["a", "b"] * 20
    for favoured in ("a", "b"):
        weight = np.where(np.array(topics) == favoured, 1, 0.05)
        classifier = TopicClassifier(
            feature_groups=GROUPS,
            class_weight={"a": weight[0], "b": weight[1]} if by == "topics" else None,
        )
        classifier.partial_fit(
            texts, topics, ["a", "b"], sample_weight=weight if by == "documents" else None
        )
        assert classifier.predict(["wheat"]) == favoured


def test_partial_fit_calibrates_probabilities_for_new_documents() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(2, size=3000)
    right = rng.random(3000) < 0.8
    texts = ["wheat" if word else "goal" for word in words]
    topics = [int(word == told) for word, told in zip(words, right, strict=True)]
    classifier = TopicClassifier(feature_groups=COUNTS)
    for first in range(0, 3000, 500):
        batch = slice(first, first + 500)
        classifier.partial_fit(texts[batch], topics[batch], [0, 1])
    assert classifier.predict_proba(["wheat", "goal"]).max(axis=1) == pytest.approx(0.8, abs=0.04)


# What can't be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "classes", "error", "message"),
    [
        (
            {},
            None,
            OptionError,
            "the first call of partial_fit needs `classes`; give a list of all topics that batches "
            "may have.",
        ),
        (
            {},
            [],
            OptionError,
            "the first call of partial_fit needs `classes`; give a list of all topics that batches "
            "may have.",
        ),
        ({}, ["a", "c"], DataError, "unknown topic 'b'; the known ones are a, c."),
        (
            {},
            ["a", "b", 0.5],
            DataError,
            "`classes` has 0.5 in row 2, counted from 0; topics must be strings or integers.",
        ),
        (
            {"tune": True},
            ["a", "b"],
            OptionError,
            "`tune` requires all documents at once; leave it out, or call fit first.",
        ),
        (
            {"class_weight": "balanced"},
            ["a", "b"],
            OptionError,
            "`class_weight` 'balanced' requires all documents at once; give a mapping of topic to "
            "weight.",
        ),
        (
            {"feature_groups": [*GROUPS, FeatureGroup("bigrams")]},
            ["a", "b"],
            OptionError,
            "the group of bigrams has a vocabulary, which can't grow from batch to batch; give it "
            "`n_buckets`, or call fit first.",
        ),
        (
            {"learner": Mixture([LinearLearner()])},
            ["a", "b"],
            OptionError,
            "`learner` is a Mixture, which can't learn from batches; use one of LinearLearner, "
            "NeuralLearner.",
        ),
    ],
    ids=[
        "no classes", "empty classes", "topic outside", "odd class", "tune", "balanced",
        "vocabulary", "mixture",
    ],
)  # fmt: skip
def test_partial_fit_rejects_an_invalid_first_batch(
    options: dict[str, Any], classes: Any, error: type[Exception], message: str
) -> None:
    classifier = TopicClassifier(**options)
    with pytest.raises(error) as caught:
        classifier.partial_fit(["wheat", "goal"], ["a", "b"], classes)
    assert str(caught.value) == message
    assert not classifier.__sklearn_is_fitted__()


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (["farm"], {}, "unknown topic 'farm'; the known ones are bank, grain, sport."),
        (
            ["grain"],
            {"classes": ["grain", "sport"]},
            "`classes` differ from those of the first call; leave them out.",
        ),
        (
            ["grain"],
            {"sample_weight": [0]},
            "every row has zero weight from `sample_weight` and `class_weight`; give some rows a "
            "weight over 0.",
        ),
    ],
    ids=["topic", "classes", "weight"],
)
def test_partial_fit_rejects_an_invalid_later_batch_and_changes_nothing(
    y: list[str], options: dict[str, Any], message: str, news: News, tmp_path: Path
) -> None:
    classifier = streamed(news)
    classifier.save(tmp_path / "before.slug")
    with pytest.raises(DataError) as caught:
        classifier.partial_fit(["wheat"], y, **options)
    assert str(caught.value) == message
    classifier.save(tmp_path / "after.slug")
    assert (tmp_path / "before.slug").read_bytes() == (tmp_path / "after.slug").read_bytes()
