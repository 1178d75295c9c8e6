"""Thresholds of topics: chosen for the average that is named, read, and set by people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import f1_score

import slugline
from slugline import TopicClassifier
from slugline.errors import ModelFileError, OptionError
from slugline.model.f1_thresholds import best_common_threshold, choose_rule
from slugline.model.file import container
from slugline.model.file.content import to_model_file
from slugline.model.multilabel_rule import Average, MultilabelRule

NAMES = ["grain", "oil", "ship", "trade"]
WORDS = {
    "grain": "wheat corn harvest barley",
    "oil": "barrel crude refinery well",
    "ship": "vessel port cargo dock",
    "trade": "tariff export customs import",
}


def documents(n: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Return texts of words of one to three topics, and of others by mistake."""
    rng = np.random.default_rng(seed)
    texts, topics = [], []
    for _ in range(n):
        chosen = rng.choice(NAMES, size=rng.integers(1, 4), replace=False).tolist()
        pools = [*chosen, *chosen, *rng.choice(NAMES, 2)]
        texts.append(" ".join(rng.choice(WORDS[pool].split()) for pool in pools))
        topics.append(sorted(chosen))
    return texts, topics


TEXTS, TOPICS = documents(300, 0)
NEW_TEXTS, _ = documents(100, 1)


@pytest.fixture
def classifier() -> TopicClassifier:
    return TopicClassifier(n_jobs=1).fit(TEXTS, TOPICS)


def mixed(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities of documents of many sure topics, and of one or none.

    Of the topics of the first ones, two are rare. Those of the others are about even.
    """
    rng = np.random.default_rng(seed)
    sure = np.stack([rng.beta(6, 1, n) for _ in range(6)], axis=1)
    rare = np.stack([rng.beta(0.5, 12, n) for _ in range(2)], axis=1)
    proba = np.hstack([sure, rare, rng.uniform(0.35, 0.55, (n, 1))])
    is_first = rng.random(n) < 0.5
    proba[is_first, 8] = proba[~is_first, :8] = 0.001
    return proba.astype(np.float32), rng.random(proba.shape) < proba


def chosen_for(average: Average, proba: np.ndarray, y: np.ndarray) -> MultilabelRule:
    sizes = y.sum(axis=1)
    return choose_rule(proba.copy(), y.astype(np.float32), sizes, average)


@pytest.mark.parametrize("average", ["micro", "macro", "samples"])
def test_thresholds_maximize_the_average_that_is_named(average: Average) -> None:
    rules = {name: chosen_for(name, *mixed()) for name in ("micro", "macro", "samples")}
    proba, y = mixed(seed=1)
    scores = {
        name: f1_score(y, rule.decide(proba), average=average, zero_division=1.0)
        for name, rule in rules.items()
    }
    assert scores[average] >= max(scores.values()) - 0.0005
    assert scores[average] > min(scores.values()) + 0.002
    if average == "samples":
        assert scores["samples"] > scores["micro"] + 0.002


def test_micro_thresholds_of_calibrated_probabilities_are_half_of_f1() -> None:
    proba, y = mixed(20_000)
    rule = chosen_for("micro", proba, y)
    best = f1_score(y, rule.decide(proba), average="micro") / 2
    # Of the last topic, most probabilities are near there, so that its threshold is sure.
    assert rule.thresholds[8] == pytest.approx(best, abs=0.05)
    assert np.median(rule.thresholds) == pytest.approx(best, abs=0.08)
    # Those of each topic's own F1 differ by far more.
    assert np.ptp(chosen_for("macro", proba, y).thresholds) > 0.2


def test_thresholds_are_no_worse_than_a_common_one_in_training() -> None:
    proba, y = mixed(500)
    for average in ("micro", "samples"):
        rule = chosen_for(average, proba, y)
        best, _ = best_common_threshold(rule, proba, y)
        own = f1_score(y, rule.decide(proba), average=average, zero_division=1.0)
        assert own >= best - 0.005


def test_set_thresholds_changes_what_predict_gives(classifier: TopicClassifier) -> None:
    before = classifier.thresholds_
    assert list(before) == NAMES
    assert all(0.1 < threshold < 0.9 for threshold in before.values())
    n_before = sum("oil" in topics for topics in classifier.predict(NEW_TEXTS))
    assert classifier.set_thresholds({"oil": 0.999}) is classifier
    assert classifier.thresholds_ == before | {"oil": 0.999}
    answers = classifier.predict(NEW_TEXTS)
    proba = classifier.predict_proba(NEW_TEXTS)
    given = np.array([["oil" in topics] for topics in answers])[:, 0]
    assert given.sum() < n_before
    # A text without another topic keeps its most likely one.
    assert all(proba[given, 1] >= proba[given].max(axis=1) - 1e-6)


def test_thresholds_parameter_is_applied_by_fit(classifier: TopicClassifier) -> None:
    again = TopicClassifier(n_jobs=1, thresholds={"ship": 0.25}).fit(TEXTS, TOPICS)
    assert again.thresholds_ == classifier.thresholds_ | {"ship": 0.25}
    assert np.array_equal(again.predict_proba(NEW_TEXTS), classifier.predict_proba(NEW_TEXTS))


def test_set_thresholds_is_kept_in_the_file_and_on_the_card(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "chosen.slug")
    assert "set by hand" not in slugline.load(tmp_path / "chosen.slug").card_
    classifier.set_thresholds({"ship": 0.7, "grain": 0.25})
    classifier.save(tmp_path / "own.slug")
    loaded = slugline.load(tmp_path / "own.slug")
    assert loaded.thresholds_ == classifier.thresholds_
    assert loaded.thresholds == {"grain": 0.25, "ship": 0.7}
    assert "but for those that were set by hand: grain 0.25, ship 0.7." in loaded.card_
    again = clone(loaded).fit(TEXTS, TOPICS)
    assert again.thresholds_ == loaded.thresholds_


def test_set_thresholds_outlasts_later_batches() -> None:
    stream = TopicClassifier(n_jobs=1, thresholds={"oil": 0.9})
    stream.partial_fit(TEXTS[:150], TOPICS[:150], classes=NAMES)
    assert stream.thresholds_["oil"] == 0.9
    stream.set_thresholds({"ship": 0.2}).partial_fit(TEXTS[150:], TOPICS[150:])
    assert (stream.thresholds_["oil"], stream.thresholds_["ship"]) == (0.9, 0.2)


def test_thresholds_parameter_is_applied_by_fit_stream() -> None:
    stream = TopicClassifier(n_jobs=1, thresholds={"oil": 0.9}).fit_stream([(TEXTS, TOPICS)])
    assert stream.thresholds_["oil"] == 0.9


def test_set_thresholds_raises_a_subtopic_to_its_parent() -> None:
    paths = [[f"news/{topic}" for topic in topics] for topics in TOPICS]
    tree = TopicClassifier(n_jobs=1, topic_path="/").fit(TEXTS, paths)
    tree.set_thresholds({"news": 0.95})
    assert {*tree.thresholds_.values()} == {0.95}
    with pytest.raises(OptionError, match=r"under the 0\.95 of its parent 'news'"):
        tree.set_thresholds({"news/oil": 0.3})


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        (
            {"oli": 0.5},
            "`thresholds` has 'oli', which is not a topic of the model; did you mean 'oil'",
        ),
        ({"oil": 0}, "`thresholds` has 0 for 'oil'; give a probability over 0 and up to 1"),
        ({"oil": 1.5}, "`thresholds` has 1.5 for 'oil'"),
        ({"oil": float("nan")}, "`thresholds` has nan for 'oil'"),
        ({"oil": "half"}, "`thresholds` has 'half' for 'oil'"),
        ([0.5] * 4, r"`thresholds` is \[0.5, 0.5, 0.5, 0.5\]; give a probability for each topic"),
    ],
    ids=["unknown", "zero", "too high", "nan", "word", "list"],
)
def test_set_thresholds_rejects_invalid_thresholds(
    classifier: TopicClassifier, thresholds: Any, message: str
) -> None:
    before = classifier.thresholds_
    with pytest.raises(OptionError, match=message):
        classifier.set_thresholds(thresholds)
    assert classifier.thresholds_ == before
    with pytest.raises(OptionError, match=message):
        TopicClassifier(n_jobs=1, thresholds=thresholds).fit(TEXTS, TOPICS)


def test_set_thresholds_rejects_one_topic_per_text_and_a_precision(
    classifier: TopicClassifier,
) -> None:
    single = TopicClassifier(n_jobs=1).fit(TEXTS, [topics[0] for topics in TOPICS])
    assert single.thresholds_ == {}
    with pytest.raises(OptionError, match="these are single-label; leave them out"):
        single.set_thresholds({"oil": 0.5})
    with pytest.raises(OptionError, match="these are single-label; leave them out"):
        clone(single).set_params(thresholds={"oil": 0.5}).fit(TEXTS, [t[0] for t in TOPICS])
    with pytest.raises(OptionError, match="`min_precision` chooses thresholds itself"):
        clone(classifier).set_params(thresholds={"oil": 0.5}, min_precision=0.8).fit(TEXTS, TOPICS)
    precise = TopicClassifier(n_jobs=1, min_precision=0.8).fit(TEXTS, TOPICS)
    with pytest.raises(
        OptionError, match=r"follow from its `min_precision` of 0\.8; to set them, fit"
    ):
        precise.set_thresholds({"oil": 0.5})
    path = TopicClassifier(n_jobs=1, topic_path="/").fit(TEXTS, [f"a/{t[0]}" for t in TOPICS])
    assert path.thresholds_ == {}
    with pytest.raises(OptionError, match="each text gets its most likely path"):
        path.set_thresholds({"a/oil": 0.5})


def test_load_refuses_a_manual_threshold_of_an_unknown_topic(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    content = to_model_file(classifier.fitted_)
    decision = content.info.multilabel_rule
    assert decision is not None
    decision = replace(decision, manual_thresholds=(9,))
    info = msgspec.structs.replace(content.info, multilabel_rule=decision)
    container.write(tmp_path / "odd.slug", replace(content, info=info))
    with pytest.raises(ModelFileError, match="a threshold was set by hand for an unknown topic"):
        slugline.load(tmp_path / "odd.slug")
