"""Documents that are too many for one table: learned from in parts, in random order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError
from slugline.experiment.concerns import fit_warnings
from slugline.model import fit as model_fit
from slugline.model.parts import fit as fit_in_parts
from slugline.model.parts import fit as stream_fit
from slugline.model.parts import training
from stream_jobs import learned_bytes

RNG = np.random.default_rng(0)
WORDS = {
    "grain": ["wheat", "corn", "barley", "harvest", "tonnes"],
    "trade": ["tariff", "deficit", "imports", "exports", "quota"],
    "money": ["dollar", "yen", "rates", "bank", "central"],
}
TOPICS = [topic for topic in WORDS for _ in range(100)]
TEXTS = [
    " ".join([*RNG.choice(WORDS[topic], 4), f"filler{n % 40}"]) for n, topic in enumerate(TOPICS)
]
NEW = ["wheat and barley", "a tariff on imports", "the bank and the yen"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_fit, "_MANY_DOCUMENTS", 200)
    monkeypatch.setattr(fit_in_parts, "_BLOCK_SIZE", 70)
    monkeypatch.setattr(training, "_PART_SIZE", 60)


class Steps(SilentProgress):
    """A progress that counts steps, and at one of them gets Ctrl-C."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.interrupt_at, self.parts, self.n_ended = interrupt_at, list[str](), 0
        self.notes = list[str]()

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        if step == "learning":
            self.parts.append(detail)
            if len(self.parts) == self.interrupt_at:
                raise KeyboardInterrupt

    def close(self) -> None:
        self.n_ended += 1

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_fit_in_parts_learns_sorted_documents_in_random_order() -> None:
    steps: Any = Steps()
    classifier = TopicClassifier().fit(TEXTS, TOPICS, progress=steps)
    assert classifier.predict(NEW).tolist() == ["grain", "trade", "money"]
    assert (steps.parts[-1], steps.n_ended) == ("part 6 of 6", 1)
    assert steps.notes == []
    assert (classifier.fitted_.n_learned, classifier.fitted_.n_batches) == (300, 0)
    assert classifier.predict_proba(NEW).max(axis=1).min() > 0.8


def test_fit_in_parts_learns_several_topics_with_thresholds() -> None:
    texts = [f"{text} {TEXTS[n * 7 % 300]}" if n % 3 else text for n, text in enumerate(TEXTS)]
    sets = [{topic, TOPICS[n * 7 % 300]} if n % 3 else {topic} for n, topic in enumerate(TOPICS)]
    steps: Any = Steps()
    classifier = TopicClassifier(min_precision=0.9).fit(texts, sets, progress=steps)
    assert steps.parts[-1] == "part 6 of 6"
    both = classifier.predict(["wheat and barley, the bank and the yen", *NEW])
    assert list(map(set, both)) == [{"grain", "money"}, {"grain"}, {"trade"}, {"money"}]
    decision, heldout = classifier.fitted_.multilabel_rule, classifier.fitted_.heldout_predictions
    assert decision is not None
    assert (decision.at_least_one, decision.max_topics) == (True, 2)
    assert heldout is not None
    assert heldout.n_candidates > 0
    assert classifier.decide(["wheat barley"])[0].topics == ["grain"]


def test_fit_takes_few_documents_at_once() -> None:
    steps: Any = Steps()
    TopicClassifier().fit(TEXTS[::2], TOPICS[::2], progress=steps)
    assert steps.parts == []


def test_fit_in_parts_depends_on_the_seed_and_not_on_threads(tmp_path: Path) -> None:
    def saved(**how: Any) -> bytes:
        TopicClassifier(**how).fit(TEXTS, TOPICS).save(tmp_path / "a.slug")
        return (tmp_path / "a.slug").read_bytes()

    assert saved(n_jobs=1) == saved(n_jobs=3)
    assert saved(random_state=1) != saved(random_state=2)


def test_loaded_model_of_parts_predicts_the_same(tmp_path: Path) -> None:
    classifier = TopicClassifier().fit(TEXTS, TOPICS)
    classifier.save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    assert np.array_equal(again.predict_proba(NEW), classifier.predict_proba(NEW))


def test_fit_in_parts_ignores_documents_of_weight_zero() -> None:
    wrong = [
        "money" if text.startswith("wheat") else topic
        for text, topic in zip(TEXTS, TOPICS, strict=True)
    ]
    weight = [float(one == other) for one, other in zip(wrong, TOPICS, strict=True)]
    classifier = TopicClassifier().fit(TEXTS, wrong, sample_weight=weight)
    assert classifier.predict(["wheat wheat"]).tolist() == ["grain"]
    assert TopicClassifier().fit(TEXTS, wrong).predict(["wheat wheat"]).tolist() == ["money"]


@pytest.mark.parametrize("interrupt_at", [1, 3])
def test_interrupted_fit_in_parts_keeps_whole_parts_and_says_so(
    interrupt_at: int, tmp_path: Path
) -> None:
    steps: Any = Steps(interrupt_at)
    classifier = TopicClassifier().fit(TEXTS, TOPICS, progress=steps)
    n_learned = classifier.fitted_.n_learned
    assert classifier.fitted_.interrupted
    assert 30 * interrupt_at < n_learned < 90 * interrupt_at
    assert steps.n_ended == 1
    assert steps.notes == [
        f"interrupted: keeping what was learned from {n_learned} documents; press Ctrl-C again to "
        "stop now"
    ]
    assert fit_warnings(classifier.fitted_) == [
        f"training was interrupted: the model was trained on {n_learned} of the 300 documents, "
        "drawn at random."
    ]
    classifier.save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    assert np.array_equal(again.predict_proba(NEW), classifier.predict_proba(NEW))
    assert f"from {n_learned} of 300 documents (its training was interrupted" in again.card_


def test_interrupt_within_the_first_part_leaves_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training._PartTraining, "_learn", interrupted)
    classifier = TopicClassifier()
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(TEXTS, TOPICS)
    assert not classifier.__sklearn_is_fitted__()


def test_fit_in_parts_rejects_documents_without_words() -> None:
    with pytest.raises(DataError, match="no document contains a word"):
        TopicClassifier().fit(["..."] * 300, TOPICS)


def test_fit_in_parts_chooses_thresholds_by_its_last_parts() -> None:
    precise = TopicClassifier(min_precision=0.8).fit(TEXTS, TOPICS)
    predictions = precise.fitted_.heldout_predictions
    assert predictions is not None
    assert 0 < predictions.n_candidates < len(TEXTS)
    assert predictions.words is not None
    assert [decision.topic for decision in precise.decide([*TEXTS[:300:100], "zinc tin"])] == [
        *("grain", "trade", "money"),
        None,
    ]


def test_fit_in_parts_learns_the_same_as_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_fit, "default_passes", lambda n: 1)
    fitted = TopicClassifier(encoder=None).fit(TEXTS, TOPICS)
    streamed = TopicClassifier(encoder=None).fit_stream([(TEXTS, TOPICS)])
    assert learned_bytes(fitted) == learned_bytes(streamed)
