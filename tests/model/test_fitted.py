"""Fitted: one frozen value, replaced in one step or not at all."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, OptionError, SluglineError
from slugline.learning.learner import Learner
from slugline.learning.linear import steps as linear
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.linear.steps import AdaGradDescent
from slugline.learning.net.learner import NeuralLearner
from slugline.model.fitted import Fitted
from slugline.text.feature_groups import FeatureGroup
from slugline.text.tokens import ChunkSizes

News = list[tuple[str, str]]
TEXTS = ["wheat crop", "goal match", "rate bond"]
LEARNERS: dict[str, Callable[[], Learner]] = {
    "linear": LinearLearner,
    "network": lambda: NeuralLearner((8,), epochs=2),
}


def answers(classifier: TopicClassifier) -> tuple[Any, ...]:
    """Everything that a failed fit must leave as it was."""
    return (
        classifier.predict_proba(TEXTS).tolist(),
        classifier.classes_.tolist(),
        classifier.fitted_.n_learned,
        classifier.fitted_.n_batches,
        classifier.fitted_.data_digest,
    )


@pytest.fixture(params=LEARNERS)
def classifier(request: pytest.FixtureRequest, news: News) -> TopicClassifier:
    return TopicClassifier(learner=LEARNERS[request.param](), encoder=None).fit(
        *zip(*news, strict=True)
    )


def test_fitted_is_frozen(classifier: TopicClassifier) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        classifier.fitted_.n_documents = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("refit", "error"),
    [
        (
            lambda c: c.fit(["a b", "c d"], ["x", "y"], validation_data=(["a"], ["z"])),
            SluglineError,
        ),
        (lambda c: c.set_params(n_jobs=0).fit(["a b", "c d"], ["x", "y"]), OptionError),
        (lambda c: c.set_params(tune=True).fit(["a b", "c d"], ["x", "y"]), OptionError),
        (lambda c: c.fit(["...", "!"], ["x", "y"]), DataError),
        (lambda c: c.fit(["a b"], ["x", "y"]), DataError),
        (lambda c: c.partial_fit(["a b"], ["x"]), DataError),
        (lambda c: c.partial_fit(["a b"], ["grain"], sample_weight=[-1]), DataError),
    ],
    ids=["validation", "threads", "tune", "no words", "lengths", "new topic", "weight"],
)
def test_fit_that_fails_keeps_the_fitted_model(
    refit: Callable[[TopicClassifier], object], error: type[Exception], classifier: TopicClassifier
) -> None:
    before = answers(classifier)
    with pytest.raises(error):
        refit(classifier)
    assert answers(classifier) == before


@pytest.mark.parametrize("texts", [TEXTS, ["zinc wheat " * n for n in range(40)], []])
def test_predict_with_words_counts_words_along_with_probabilities(
    texts: list[str], classifier: TopicClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = classifier.predict_proba(texts)
    monkeypatch.setattr("slugline.text.tokens.CHUNK_SIZES", ChunkSizes(50, texts_per_step=16))
    proba, words = classifier.fitted_.predict_with_words(texts)
    np.testing.assert_allclose(proba, expected, atol=1e-6)
    assert words.n_words.tolist() == [len(text.split()) for text in texts]
    assert words.n_unknown.tolist() == [text.count("zinc") for text in texts]


def test_fit_of_a_loaded_model_drops_the_info_and_card_of_the_file(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    assert again.info_.n_documents == classifier.fitted_.n_learned
    again.set_params(learner="linear", feature_groups=None).fit(["a b", "c d"], ["x", "y"])
    assert not hasattr(again, "info_")
    assert not hasattr(again, "card_")


def test_partial_fit_leaves_the_previous_fitted_unchanged(classifier: TopicClassifier) -> None:
    before = classifier.fitted_
    proba = before.predict_proba(TEXTS)
    classifier.partial_fit(["wheat goal"] * 20, ["bank"] * 20)
    assert np.array_equal(before.predict_proba(TEXTS), proba)
    assert not np.array_equal(classifier.predict_proba(TEXTS), proba)


def test_partial_fit_leaves_the_idf_of_the_previous_fitted() -> None:
    stream = TopicClassifier(feature_groups=[FeatureGroup(n_buckets=64)])
    before = stream.partial_fit(["wheat", "goal"], ["a", "b"], ["a", "b"]).fitted_
    rarity = copy.deepcopy(before.features.idf_)
    stream.partial_fit(["wheat", "wheat"], ["a", "b"])
    np.testing.assert_equal(before.features.idf_, rarity)


@pytest.fixture
def stream(news: News) -> TopicClassifier:
    classifier = TopicClassifier(feature_groups=[FeatureGroup(n_buckets=1 << 10)])
    texts, topics = zip(*news, strict=True)
    return classifier.partial_fit(texts[:50], topics[:50], ["bank", "grain", "sport"])


def test_partial_fit_that_fails_between_steps_learns_nothing(
    stream: TopicClassifier, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, texts, topics = answers(stream), *zip(*news[50:] * 4, strict=True)
    step, steps = AdaGradDescent._step, iter(range(3))

    def broken(self: AdaGradDescent, *args: Any, **options: Any) -> Any:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setenv("SLUGLINE_KERNEL", "0")
        patch.setattr(AdaGradDescent, "_step", broken)
        with pytest.raises(KeyboardInterrupt):
            stream.partial_fit(texts, topics)
    assert answers(stream) == before
    # Nor is anything else of it left: what comes next is learned as if it had never begun.
    unbroken = TopicClassifier(feature_groups=stream.feature_groups)
    first, names = zip(*news[:50], strict=True)
    unbroken.partial_fit(first, names, ["bank", "grain", "sport"])
    for classifier in (stream, unbroken):
        classifier.partial_fit(texts, topics)
    assert answers(stream) == answers(unbroken)


@pytest.mark.skipif(linear.kernel is None, reason="the kernel is not built: no compiler")
def test_partial_fit_interrupted_in_the_kernel_learns_nothing(
    stream: TopicClassifier, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, texts, topics = answers(stream), *zip(*news[50:] * 4, strict=True)
    steps, passes = AdaGradDescent._call_kernel, iter(range(2))

    def broken(self: AdaGradDescent, *args: Any, **options: Any) -> Any:
        steps(self, *args, **options)
        if next(passes, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AdaGradDescent, "_call_kernel", broken)
        with pytest.raises(KeyboardInterrupt):
            stream.partial_fit(texts, topics)
    assert answers(stream) == before


@pytest.mark.slow
def test_partial_fit_of_a_network_that_fails_learns_nothing(
    news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, topics = zip(*news, strict=True)
    classifier = TopicClassifier(learner=NeuralLearner((8,), batch_size=8)).fit(texts, topics)
    classifier.partial_fit(texts, topics)
    before = answers(classifier)
    from slugline.learning.net.training import Trainer

    step, steps = Trainer.train_step, iter(range(3))

    def broken(self: Trainer, *args: Any) -> Any:
        if next(steps, None) is None:
            raise MemoryError
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", broken)
        with pytest.raises(MemoryError):
            classifier.partial_fit(texts, topics)
    assert answers(classifier) == before


def test_classes_with_one_long_name_are_stored_as_objects() -> None:
    topics = ["t" * 1000, *(f"t{number}" for number in range(500))]
    classifier = TopicClassifier(feature_groups=[FeatureGroup()]).fit(
        ["a b"] * 2 * len(topics), topics * 2
    )
    # Fixed-width strings would take 2 MB, and 4 MB for each thousand answers.
    assert classifier.classes_.dtype == object


def test_fit_takes_the_smallest_and_largest_64_bit_integers() -> None:
    topics = [-(1 << 63), (1 << 63) - 1]
    classifier = TopicClassifier(feature_groups=[FeatureGroup()]).fit(
        ["a b", "c d"] * 2, topics * 2
    )
    assert classifier.classes_.tolist() == topics


@pytest.mark.parametrize("topic", [1 << 63, -(1 << 63) - 1])
def test_fit_rejects_integers_beyond_64_bits(topic: int) -> None:
    with pytest.raises(DataError, match=f"topic {topic} does not fit into 64 bits"):
        TopicClassifier().fit(["a b", "c d"], [1, topic])


def test_from_fitted_predicts_the_same(classifier: TopicClassifier) -> None:
    again = TopicClassifier.from_fitted(classifier.fitted_)
    assert isinstance(again.fitted_, Fitted)
    assert answers(again) == answers(classifier)
    assert again.fitted_.predict(TEXTS).tolist() == classifier.predict(TEXTS).tolist()


class Interrupted(NeuralLearner):
    """Is interrupted in the search for the best epoch."""

    def _train_anew(self, X: Any, y: Any, history: Any, context: Any) -> None:
        history.stopped_by = "interrupt"


@pytest.mark.parametrize(
    ("weighted", "validated", "n_learned", "n_heldout"),
    [(False, False, 81, 9), (True, False, 84, 6), (False, True, 90, 0)],
    ids=["a tenth is held out", "a topic weighs nothing", "others served to find the epoch"],
)
def test_interrupted_model_counts_the_documents_it_learned_from(
    weighted: bool, validated: bool, n_learned: int, n_heldout: int, news: News, tmp_path: Path
) -> None:
    texts, topics = zip(*news, strict=True)
    classifier = TopicClassifier(
        learner=Interrupted((8,), epochs=2), class_weight={"bank": 0} if weighted else None
    )
    validation = (texts[:9], topics[:9]) if validated else None
    classifier.fit(texts, topics, validation_data=validation).save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    for one in (classifier, again):
        assert (one.fitted_.n_learned, one.fitted_.n_unlearned) == (n_learned, n_heldout)
        assert one.fitted_.n_documents == 90
    if n_heldout:
        assert (
            f"from {n_learned} of 90 documents (its training was interrupted before" in again.card_
        )
    again.partial_fit(texts, topics)
    assert again.fitted_.n_learned == n_learned + 90


def test_complete_model_does_not_mention_heldout_documents(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "a.slug")
    assert b"n_heldout" not in (tmp_path / "a.slug").read_bytes()
    assert "from 90 documents." in load(tmp_path / "a.slug").card_
