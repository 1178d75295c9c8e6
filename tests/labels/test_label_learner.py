"""Tests of the model of present labels."""

from __future__ import annotations

import numpy as np
import pytest

from slugline import TopicClassifier
from slugline.labels.labelled_texts import LabelledText
from slugline.labels.learner import LabelModel, find_known_descriptions, learn_labels, report_labels

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


def labelled_texts(
    n_labels: int, *, skips: int = 0, is_measured: bool = True, several: bool = False
) -> list[LabelledText]:
    """Return random draws, the first ones skipped."""
    return [
        LabelledText(
            text,
            None if row < skips else ((topic, "all") if several else (topic,)),
            1.0 if is_measured else None,
        )
        for row, (text, topic) in enumerate(zip(*texts_and_topics(n_labels), strict=True))
    ]


def make_classifier() -> TopicClassifier:
    return TopicClassifier(n_jobs=1)


def learn(labelled: list[LabelledText], *, is_multilabel: bool = False) -> LabelModel | None:
    """Return a model of labels."""
    sample = texts_and_topics(60)[0]
    return learn_labels(labelled, sample, make_classifier, is_multilabel=is_multilabel)


def learned(labelled: list[LabelledText], *, is_multilabel: bool = False) -> LabelModel:
    model = learn(labelled, is_multilabel=is_multilabel)
    assert model is not None
    return model


def test_learn_labels_needs_two_labels_of_two_topics() -> None:
    assert learn([]) is None
    assert learn(labelled_texts(2)) is None
    assert learn(labelled_texts(12, skips=12)) is None


def test_learn_labels_guesses_and_knows_its_accuracy() -> None:
    model = learned(labelled_texts(40))
    assert model.n_labels == 40
    assert model.guess("wheat harvest")[0] == ("grain",)
    assert model.estimate.n_labels == 40
    assert model.estimate.low < model.estimate.accuracy <= model.estimate.high
    assert model.estimate.accuracy > 0.8


def test_learn_labels_learns_sets_of_topics_though_each_text_has_one() -> None:
    model = learned(labelled_texts(60), is_multilabel=True)
    assert model.fitted.multilabel_rule is not None
    assert model.guess("wheat harvest").topics == ("grain",)
    assert report_labels(model).doubling is not None


def test_learn_labels_weighs_the_sample_by_doubt() -> None:
    model = learned(labelled_texts(40))
    sure, unsure = model.weigh(["wheat harvest", "wheat loan"])
    assert unsure > sure
    assert model.sample_weights == pytest.approx(model.weigh(texts_and_topics(60)[0]))


def test_learn_labels_without_other_texts_has_an_estimate() -> None:
    model = learn_labels(labelled_texts(40), [], make_classifier)
    assert model is not None
    assert model.estimate.accuracy > 0.8
    assert len(model.sample_weights) == 0


def test_learn_labels_counts_skipped_texts_as_bounds() -> None:
    complete, with_skips = learned(labelled_texts(40)), learned(labelled_texts(40, skips=8))
    assert with_skips.n_labels == 32
    assert (with_skips.estimate.n_labels, with_skips.estimate.n_skipped) == (40, 8)
    assert with_skips.estimate.width > complete.estimate.width


def test_learn_labels_leaves_out_what_may_not_be_measured() -> None:
    model = learned(labelled_texts(40, is_measured=False))
    assert model.estimate.n_labels == 0
    assert np.isnan(model.estimate.accuracy)


def test_learn_labels_measures_several_topics_by_exact_sets() -> None:
    model = learned(labelled_texts(60, several=True), is_multilabel=True)
    assert {*model.guess("bank debt")[0]} == {"money", "all"}
    assert model.estimate.accuracy > 0.7


def test_learn_labels_counts_a_topic_with_one_label_as_wrong() -> None:
    alone = LabelledText("zinc", ("metal",), 1.0)
    model = learned([*labelled_texts(40), alone])
    assert model.heldout.is_right.tolist()[-1] is False


def test_learn_labels_measures_every_label_if_a_topic_has_two() -> None:
    """A model that lacks one of the two can still answer the labels of the other topic."""
    labelled = [each for each in labelled_texts(60) if each.topics == ("money",)]
    rare = [each for each in labelled_texts(60) if each.topics == ("grain",)][:2]
    model = learned([*labelled, *rare])
    assert not np.isnan(model.heldout.confidence).any()
    assert model.heldout.is_right[: len(labelled)].mean() > 0.9


def test_guess_has_the_probability_of_the_whole_answer() -> None:
    model = learned(labelled_texts(60, several=True), is_multilabel=True)
    topics, probability = model.guess("bank debt")
    proba = model.fitted.predict_proba(["bank debt"])[0]
    assert {*topics} == {"money", "all"}
    right = [
        p if str(name) in topics else 1 - p
        for name, p in zip(model.fitted.topics.names, proba, strict=True)
    ]
    assert probability == pytest.approx(np.prod(right))


def test_learn_labels_of_topics_with_one_label_each_is_impossible() -> None:
    labelled = [LabelledText(f"text {n}", (f"topic {n}",), 1.0) for n in range(30)]
    assert learn(labelled) is None


def test_learn_labels_of_many_labels_has_answers_held_out_for_all() -> None:
    labelled = labelled_texts(400)
    model = learned(labelled)
    assert not np.isnan(model.heldout.confidence).any()
    assert model.heldout.is_right.mean() > 0.9


# Descriptions -------------------------------------------------------------------------------------

DESCRIPTIONS = {
    "grain": "Wheat, maize, barley and other harvests",
    "money": "Banks, loans, debts and interest rates",
}


def learn_described(n_labels: int, descriptions: dict[str, str] = DESCRIPTIONS) -> LabelModel:
    """Return a model of labels and descriptions."""
    sample = texts_and_topics(60)[0]
    labelled = labelled_texts(n_labels)
    model = learn_labels(labelled, sample, make_classifier, descriptions=descriptions)
    assert model is not None
    return model


@pytest.mark.parametrize("n_labels", [0, 1, 2, 3])
def test_learn_labels_begins_with_descriptions(n_labels: int) -> None:
    model = learn_described(n_labels)
    assert model.n_labels == n_labels
    assert model.guess("a wheat harvest")[0] == ("grain",)
    assert np.isnan(model.estimate.accuracy)
    assert next(report_labels(model).lines()).startswith(f"{n_labels} label")


def test_learn_labels_leaves_out_descriptions_once_there_are_many_labels() -> None:
    assert learn_described(4).fitted.descriptions == DESCRIPTIONS
    assert learn_described(100).fitted.descriptions == {}


def test_learn_labels_leaves_out_descriptions_that_mislead() -> None:
    swapped = {"grain": DESCRIPTIONS["money"], "money": DESCRIPTIONS["grain"]}
    assert learn_described(0, swapped).guess("a wheat harvest")[0] == ("money",)
    model = learn_described(30, swapped)
    assert model.fitted.descriptions == {}
    assert model.guess("a wheat harvest")[0] == ("grain",)


def test_find_known_descriptions_leaves_out_what_word_vectors_do_not_know() -> None:
    texts = texts_and_topics(20)[0]
    unknown = DESCRIPTIONS | {"metal": "", "other": "ხორბალი"}
    assert find_known_descriptions(unknown, texts) == DESCRIPTIONS
    assert find_known_descriptions({"grain": "Wheat"}, texts) == {}
    assert find_known_descriptions(DESCRIPTIONS, []) == {}
    assert find_known_descriptions(DESCRIPTIONS, ["ხორბალი მოსავალი"]) == {}


def test_report_labels_says_that_more_labels_hardly_pay_once_all_are_right() -> None:
    few, many = (report_labels(learned(labelled_texts(n))).doubling for n in (44, 300))
    assert few is not None
    assert many is not None
    assert (few.hardly_pays, many.hardly_pays) == (False, True)
