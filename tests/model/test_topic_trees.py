"""Topics that are paths: a text counts for all parents of its topics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

import slugline
from slugline import Corpus, TopicClassifier
from slugline.corrections.learning import learn_from_corrections
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.learning.net.learner import NeuralLearner
from slugline.model.decider import Decider
from slugline.model.file import container
from slugline.model.file.content import to_model_file
from slugline.model.multilabel_rule import MultilabelRule, find_parents

WORDS = {
    "sport": "athlete stadium medal coach season",
    "sport/football": "goal striker pitch league penalty",
    "sport/tennis": "serve racket court volley set",
    "economy/banks": "loan credit branch interest deposit",
    "economy/trade": "tariff export customs goods import",
    "arts": "painting museum gallery opera novel",
}


def documents(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return texts of few words of their topic, some of its relatives, and of others by mistake."""
    rng = np.random.default_rng(seed)
    texts, topics = [], []
    for _ in range(n):
        topic = rng.choice([*WORDS])
        relatives = [name for name in WORDS if name.split("/")[0] == topic.split("/")[0]]
        pools = [topic, topic, rng.choice(relatives), rng.choice([*WORDS])]
        words = [rng.choice(WORDS[pool].split()) for pool in pools]
        texts.append(" ".join([*words, *rng.choice(["the", "a", "of", "said"], 3)]))
        topics.append(str(topic))
    return texts, topics


TEXTS, PATHS = documents(400)
NEW_TEXTS, NEW_PATHS = documents(200, seed=1)
NAMES = ["arts", "economy", "economy/banks", "economy/trade", "sport", *list(WORDS)[1:3]]


# A third of these texts have two paths.
TWO_TEXTS = [*TEXTS, *(f"{one} {two}" for one, two in zip(TEXTS[:200], TEXTS[200:], strict=True))]
TWO_PATHS = [
    *([path] for path in PATHS),
    *([one, two] for one, two in zip(PATHS[:200], PATHS[200:], strict=True)),
]


@pytest.fixture(scope="module")
def tree() -> TopicClassifier:
    """Return a classifier of texts of one path."""
    return TopicClassifier(topic_path="/", min_precision=0.8, n_jobs=1).fit(TEXTS, PATHS)


@pytest.fixture(scope="module")
def wide() -> TopicClassifier:
    """Return a classifier of texts of one or two paths."""
    return TopicClassifier(topic_path="/", min_precision=0.8, n_jobs=1).fit(TWO_TEXTS, TWO_PATHS)


def columns_of(classifier: TopicClassifier) -> list[tuple[int, int]]:
    names = classifier.classes_.tolist()
    return [(i, names.index(n.rpartition("/")[0])) for i, n in enumerate(names) if "/" in n]


@pytest.mark.parametrize("name", ["tree", "wide"])
def test_predict_proba_gives_no_subtopic_more_than_its_parent(
    name: str, request: pytest.FixtureRequest
) -> None:
    classifier = request.getfixturevalue(name)
    assert classifier.classes_.tolist() == NAMES
    proba = classifier.predict_proba(NEW_TEXTS)
    alone = classifier.fitted_.learner.predict_proba(
        classifier.fitted_.features.transform(NEW_TEXTS)
    )
    pairs = columns_of(classifier)
    assert any((alone[:, child] > alone[:, parent]).any() for child, parent in pairs)
    for child, parent in pairs:
        assert (proba[:, child] <= proba[:, parent]).all()
    assert proba.min() >= 0
    assert proba.max() <= 1


@pytest.mark.parametrize("min_precision", [0, 0.8])
@pytest.mark.parametrize("name", ["tree", "wide"])
def test_decide_gives_no_subtopic_without_its_parent(
    name: str, min_precision: float, request: pytest.FixtureRequest
) -> None:
    classifier = request.getfixturevalue(name)
    decider = Decider.from_fitted(classifier.fitted_, min_precision)
    proba = np.random.default_rng(0).random((500, 7), dtype=np.float32)
    decision = classifier.fitted_.multilabel_rule
    assert decision is not None
    proba = decision.make_consistent(proba)
    given = (
        decision.decide_by(decider.thresholds, proba) if min_precision else decision.decide(proba)
    )
    for child, parent in columns_of(classifier):
        assert decider.thresholds[child] >= decider.thresholds[parent]
        assert not (given[:, child] & ~given[:, parent]).any()


@pytest.mark.parametrize("min_precision", [None, 0, 0.3, 0.8])
def test_decide_gives_at_most_one_path_in_a_tree_of_single_paths(
    tree: TopicClassifier, min_precision: float | None
) -> None:
    decisions = tree.decide(NEW_TEXTS, min_precision=min_precision)
    n_given = [len(decision.topics or ()) for decision in decisions if decision.reason is None]
    assert {*n_given} == {1}
    assert len(n_given) == 200 if min_precision == 0 else len(n_given) > 100


def test_predict_stops_at_a_parent_only_where_documents_did(tree: TopicClassifier) -> None:
    answers = tree.predict(NEW_TEXTS)
    assert all(len(topics) == 1 for topics in answers)
    assert {topic for topics in answers for topic in topics} == {*WORDS}
    between = ["loan export"]
    assert tree.predict(between)[0][0].startswith("economy/")
    [decision] = tree.decide(between, min_precision=0.985)
    assert decision.topics == ["economy"]


def test_tree_of_single_paths_is_as_accurate_as_a_flat_list(tree: TopicClassifier) -> None:
    flat = TopicClassifier(n_jobs=1).fit(TEXTS, PATHS)
    right = (flat.predict(NEW_TEXTS) == NEW_PATHS).mean()
    assert tree.score(NEW_TEXTS, [[path] for path in NEW_PATHS]) > right - 0.03


def test_predict_proba_of_single_paths_sums_over_subtopics(tree: TopicClassifier) -> None:
    proba = tree.predict_proba(NEW_TEXTS)
    assert proba[:, [0, 1, 4]].sum(axis=1) == pytest.approx(np.ones(200))
    assert proba[:, 1] == pytest.approx(proba[:, 2] + proba[:, 3])
    # Some texts are of sport alone.
    assert (proba[:, 4] - proba[:, 5] - proba[:, 6]).max() > 0.3


def test_consistent_makes_single_paths_proportional_to_odds() -> None:
    parents = find_parents(["a", "a/b", "a/c", "d"], "/")
    rule = MultilabelRule(
        np.full(4, 0.5, np.float32), at_least_one=True, max_topics=2, parents=parents
    )
    alone = np.array([[0.9, 0.5, 0.75, 0.2], [0, 0, 0, 0]], np.float32)
    proba = replace(rule, path_ends=(1, 2, 3)).make_consistent(alone.copy())
    assert proba[0] == pytest.approx([4 / 4.25, 1 / 4.25, 3 / 4.25, 0.25 / 4.25])
    assert proba[1] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 1 / 3])
    odds = 0.9 * 0.5 * 0.25 / (1 - 0.9 * 0.5 * 0.25)  # of a text of `a` alone
    whole = 4.25 + odds
    proba = replace(rule, path_ends=(0, 1, 2, 3)).make_consistent(alone.copy())
    assert proba[0] == pytest.approx([1 - 0.25 / whole, 1 / whole, 3 / whole, 0.25 / whole])


def test_decide_may_end_under_a_less_likely_parent() -> None:
    parents = find_parents(["a", "a/b", "a/c", "d"], "/")
    rule = MultilabelRule(
        np.full(4, 0.5, np.float32),
        at_least_one=True,
        max_topics=2,
        parents=parents,
        path_ends=(1, 2, 3),
    )
    proba = np.array([[0.6, 0.3, 0.3, 0.4]], np.float32)
    assert rule.decide(proba).tolist() == [[False, False, False, True]]
    given = rule.decide_by(np.full(4, 0.3, np.float32), proba)
    assert given.tolist() == [[True, True, False, False]]  # the first of equals
    given = rule.decide_by(np.full(4, 0.5, np.float32), proba)
    assert given.tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("ends", [(7,), (1, 1)])
def test_load_refuses_invalid_path_ends(
    tree: TopicClassifier, ends: tuple[int, ...], tmp_path: Path
) -> None:
    content = to_model_file(tree.fitted_)
    decision = content.info.multilabel_rule
    assert decision is not None
    decision = replace(decision, path_ends=ends)
    info = msgspec.structs.replace(content.info, multilabel_rule=decision)
    container.write(tmp_path / "odd.slug", replace(content, info=info))
    with pytest.raises(ModelFileError, match="paths end at unknown"):
        slugline.load(tmp_path / "odd.slug")


def test_consistent_follows_thresholds_and_probabilities_of_parents() -> None:
    parents = find_parents(["a", "a/b", "a/b/c", "d"], "/")
    assert parents == ((1, 0), (2, 1))
    thresholds = np.array([0.6, 0.3, 0.5, 0.2], np.float32)
    rule = MultilabelRule(
        thresholds, at_least_one=True, max_topics=4, separator="/", parents=parents
    )
    assert rule.raise_to_parents(thresholds).tolist() == pytest.approx([0.6, 0.6, 0.6, 0.2])
    proba = rule.make_consistent(np.array([[0.5, 0.9, 0.8, 0.1]], np.float32))
    assert proba.tolist() == [[0.5, 0.5, 0.5, pytest.approx(0.1)]]
    # The parent is given if none reaches its threshold, though all of the branch are as probable.
    rule = rule.with_thresholds(rule.raise_to_parents(thresholds))
    assert rule.decide(proba).tolist() == [[True, False, False, False]]
    every = np.ones((1, 4), dtype=bool)
    assert rule.deepest(every).tolist() == [[False, False, True, True]]


def test_decide_gives_the_deepest_topics_it_is_sure_of(wide: TopicClassifier) -> None:
    tree = wide
    texts = ["goal striker league penalty", "tariff customs export loan credit deposit branch"]
    assert tree.predict(texts)[0] == ("sport/football",)
    proba = tree.predict_proba(["medal coach stadium athlete"])
    assert proba[0, NAMES.index("sport")] > 0.5
    assert tree.predict(["medal coach stadium athlete"]).tolist() == [("sport",)]
    sets = tree.predict(NEW_TEXTS)
    assert not any("sport" in topics and "sport/tennis" in topics for topics in sets)
    [decision] = Decider.from_fitted(tree.fitted_, 0).decide(texts[:1])
    assert (decision.topic, decision.topics) == ("sport/football", ["sport/football"])
    assert [topic for topic, _ in decision.top[:2]] == ["sport", "sport/football"]


def test_topic_path_takes_parents_written_or_not(tree: TopicClassifier) -> None:
    full = [[path.split("/")[0], path] for path in PATHS]
    again = TopicClassifier(topic_path="/", min_precision=0.8, n_jobs=1).fit(TEXTS, full)
    assert np.array_equal(again.predict_proba(NEW_TEXTS), tree.predict_proba(NEW_TEXTS))
    indicator = pd.get_dummies(pd.Series(PATHS))
    again.fit(TEXTS, indicator)
    assert np.array_equal(again.predict_proba(NEW_TEXTS), tree.predict_proba(NEW_TEXTS))
    new = [[path.split("/")[0], path] for path in NEW_PATHS]
    scores = tree.score(NEW_TEXTS, new), tree.score(NEW_TEXTS, [[path] for path in NEW_PATHS])
    assert scores[0] == scores[1] > 0.5


def test_explain_says_that_the_parent_is_given_too(tree: TopicClassifier) -> None:
    parent = tree.explain("goal striker league penalty", "sport")
    assert parent.is_given
    assert parent.probability == tree.predict_proba(["goal striker league penalty"])[0, 4]


def test_explain_takes_examples_of_a_parent_from_its_subtopics(tree: TopicClassifier) -> None:
    corpus = Corpus(TEXTS, PATHS)
    examples = tree.explain("goal striker league penalty", "sport", corpus=corpus).examples
    assert "sport/football" in {PATHS[TEXTS.index(example.text)] for example in examples}


def test_topic_path_is_kept_by_files_and_clones(tree: TopicClassifier, tmp_path: Path) -> None:
    tree.save(tmp_path / "tree.slug")
    loaded = slugline.load(tmp_path / "tree.slug")
    assert loaded.topic_path == "/"
    assert np.array_equal(loaded.predict_proba(NEW_TEXTS), tree.predict_proba(NEW_TEXTS))
    assert loaded.predict(NEW_TEXTS).tolist() == tree.predict(NEW_TEXTS).tolist()
    assert "Topics are paths, with '/' between their parts." in loaded.card_
    several = TopicClassifier(n_jobs=1).fit(TEXTS, [[path] for path in PATHS])
    several.save(tmp_path / "several.slug")
    rule = to_model_file(several.fitted_).info.multilabel_rule
    assert rule is not None
    assert rule.separator is None
    assert slugline.load(tmp_path / "several.slug").topic_path is None


def test_load_refuses_a_threshold_under_that_of_the_parent(
    tree: TopicClassifier, tmp_path: Path
) -> None:
    content = to_model_file(tree.fitted_)
    rule = content.info.multilabel_rule
    assert rule is not None
    thresholds = rule.thresholds.copy()
    thresholds[NAMES.index("sport")] = 0.99
    info = msgspec.structs.replace(content.info, multilabel_rule=rule.with_thresholds(thresholds))
    container.write(tmp_path / "odd.slug", replace(content, info=info))
    with pytest.raises(ModelFileError, match="threshold is below its parent"):
        slugline.load(tmp_path / "odd.slug")


@pytest.mark.parametrize("path", ["sport//football", "/sport", "sport/", "sport/ /x"])
def test_topic_path_rejects_an_empty_part(path: str) -> None:
    with pytest.raises(DataError, match="is a path with an empty part; write a name on each side"):
        TopicClassifier(topic_path="/").fit(TEXTS, [path, *PATHS[1:]])


@pytest.mark.parametrize("separator", ["", "ab", 3])
def test_topic_path_rejects_letters(separator: Any) -> None:
    with pytest.raises(OptionError, match=r"`topic_path` is .* give the path separator"):
        TopicClassifier(topic_path=separator).fit(TEXTS, PATHS)


def test_topic_path_is_rejected_by_partial_fit_and_corrections(tmp_path: Path) -> None:
    classifier = TopicClassifier(topic_path="/")
    with pytest.raises(OptionError, match="`topic_path` requires all documents at once"):
        classifier.partial_fit(TEXTS, PATHS, classes=NAMES)
    pd.DataFrame({"text": TEXTS, "topic": PATHS}).to_csv(tmp_path / "news.csv", index=False)
    with pytest.raises(OptionError, match="`topic_path` requires all documents at once"):
        classifier.fit_stream(tmp_path / "news.csv")
    corpus = Corpus(TEXTS, PATHS)
    with pytest.raises(OptionError, match="corrections don't include parents"):
        learn_from_corrections(classifier.to_settings(), corpus, corpus)


def test_network_learns_paths_with_validation_data() -> None:
    net = NeuralLearner(hidden=(16,), epochs=4)
    fits = [
        TopicClassifier(topic_path="/", learner=net, n_jobs=1).fit(
            TEXTS, PATHS, validation_data=(NEW_TEXTS, [[*path] for path in paths])
        )
        for paths in ([[p] for p in NEW_PATHS], [[p.split("/")[0], p] for p in NEW_PATHS])
    ]
    proba = [fit.predict_proba(NEW_TEXTS) for fit in fits]
    assert np.array_equal(proba[0], proba[1])
    assert all((proba[0][:, i] <= proba[0][:, j]).all() for i, j in columns_of(fits[0]))


def test_train_and_evaluate_measure_each_level() -> None:
    classifier = TopicClassifier(topic_path="/", n_jobs=1)
    result = slugline.train((TEXTS, PATHS), classifier=classifier)
    evaluation = slugline.evaluate(result.classifier, (NEW_TEXTS, NEW_PATHS))
    levels = evaluation.to_dict()["levels"]
    assert [(level["depth"], level["n_topics"]) for level in levels] == [(1, 3), (2, 4)]
    given = classifier.fitted_.multilabel_rule.decide(  # type: ignore[union-attr]
        classifier.predict_proba(NEW_TEXTS)
    )
    roots = [0, 1, 4]
    truth = np.array([[path.split("/")[0] == NAMES[i] for i in roots] for path in NEW_PATHS])
    right, n_given = (truth & given[:, roots]).sum(), given[:, roots].sum()
    assert levels[0]["precision"] == pytest.approx(right / n_given)
    assert levels[0]["recall"] == pytest.approx(right / truth.sum())
    assert levels[0]["f1"] > levels[1]["f1"] > 0.5


def test_curve_counts_parents_of_paths(tree: TopicClassifier) -> None:
    classifier = TopicClassifier(topic_path="/", min_precision=0.8, n_jobs=1)
    test = (NEW_TEXTS, NEW_PATHS)
    curves = slugline.curve((TEXTS, PATHS), test=test, classifier=classifier, n_draws=3)
    last = curves.to_records()[-1]
    measured: Any = slugline.evaluate(tree, test).evaluation
    assert last["labels_per_topic"] is None
    assert last["micro_f1"] == pytest.approx(measured.micro.f1)
    assert last["low"] < measured.micro.f1 < last["high"]
