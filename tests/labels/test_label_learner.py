"""Tests of the model of present labels."""

from __future__ import annotations

import numpy as np

from slugline import TopicClassifier
from slugline.labels.learner import LabelledText, LabelModel, learn_labels
from slugline.labels.selection import TextPool, TextSelector

WORDS = {
    "grain": ["wheat", "maize", "barley", "harvest"],
    "money": ["bank", "loan", "debt", "rate"],
}


def texts_and_topics(n: int) -> tuple[list[str], list[str]]:
    """Return texts of two words of their topic."""
    rng = np.random.default_rng(0)
    topics = [("grain", "money")[row % 2] for row in range(n)]
    return [
        " ".join([*rng.choice(WORDS[topic], 2), f"no{row}"]) for row, topic in enumerate(topics)
    ], topics


def learn(
    n_labels: int, *, skips: int = 0, is_measured: bool = True, several: bool = False
) -> tuple[LabelModel | None, TextSelector]:
    """Return a model of random draws, and the selector."""
    texts, topics = texts_and_topics(120)
    rng = np.random.default_rng(0)
    selector = TextSelector(TextPool(np.arange(120), rng), rng)
    labelled = []
    for number in range(n_labels):
        selected = selector.select()
        assert selected is not None
        topic = topics[selected.row]
        answer = (topic, "all") if several else (topic,)
        labelled.append(
            LabelledText(
                selected.row,
                None if number < skips else answer,
                selected.probability,
                selected.n_candidates,
                is_measured,
            )
        )
    return learn_labels(texts, labelled, selector, TopicClassifier(n_jobs=1)), selector


def test_learn_labels_needs_two_labels_of_two_topics() -> None:
    assert learn(0)[0] is None
    assert learn(2)[0] is None
    assert learn(12, skips=12)[0] is None


def test_learn_labels_guesses_and_knows_its_accuracy() -> None:
    model, _ = learn(40)
    assert model is not None
    assert model.n_labels == 40
    assert model.guess("wheat harvest")[0] == ("grain",)
    assert model.estimate.n_labels == 40
    assert model.estimate.low < model.estimate.accuracy <= model.estimate.high
    assert model.estimate.accuracy > 0.8


def test_learn_labels_prefers_doubtful_texts_from_then_on() -> None:
    _, selector = learn(40)
    assert any(not selected.is_random for _ in range(20) if (selected := selector.select()))


def test_learn_labels_counts_skipped_texts_as_bounds() -> None:
    complete, with_skips = learn(40)[0], learn(40, skips=8)[0]
    assert complete is not None
    assert with_skips is not None
    assert with_skips.n_labels == 32
    assert with_skips.estimate.n_labels == 40
    assert with_skips.estimate.width > complete.estimate.width


def test_learn_labels_leaves_out_what_may_not_be_measured() -> None:
    model, _ = learn(40, is_measured=False)
    assert model is not None
    assert model.estimate.n_labels == 0
    assert np.isnan(model.estimate.accuracy)


def test_learn_labels_measures_several_topics_by_exact_sets() -> None:
    model, _ = learn(60, several=True)
    assert model is not None
    assert {*model.guess("bank debt")[0]} == {"money", "all"}
    assert model.estimate.accuracy > 0.7
