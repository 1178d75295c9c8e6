"""Models that give a text several topics, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score

import slugline
from slugline import LinearLearner, Mixture, NeuralLearner, TopicClassifier
from slugline.errors import DataError, OptionError
from slugline.learning.learner import Capabilities
from slugline.model.decider import Decider
from slugline.model.f1_thresholds import choose_rule

TOPICS = ("grain", "money", "oil")
WORDS = {"grain": "wheat corn harvest", "money": "dollar rates bank", "oil": "crude barrels opec"}


def documents(n: int, seed: int = 0, share: float = 0.4) -> tuple[list[str], list[list[str]]]:
    """Return texts that have words of each of their topics, and common ones."""
    rng = np.random.default_rng(seed)
    texts, topics = [], []
    for _ in range(n):
        chosen = [topic for topic in TOPICS if rng.random() < share]
        words = [word for topic in chosen for word in rng.permutation(WORDS[topic].split())[:2]]
        texts.append(" ".join([*words, *rng.permutation(["the", "a", "of", "said", "today"])[:3]]))
        topics.append(chosen)
    return texts, topics


TEXTS, SETS = documents(240)
NEW_TEXTS, NEW_SETS = documents(120, seed=1)
INDICATOR = np.array([[topic in topics for topic in TOPICS] for topics in SETS]).astype(int)


@pytest.fixture(scope="module")
def several() -> TopicClassifier:
    return TopicClassifier(n_jobs=1).fit(TEXTS, SETS)


def test_predict_gives_all_topics_of_a_text_or_none(several: TopicClassifier) -> None:
    answers = several.predict(NEW_TEXTS)
    assert answers.dtype == object
    right = [set(answer) == set(topics) for answer, topics in zip(answers, NEW_SETS, strict=True)]
    assert np.mean(right) > 0.95
    assert () in answers.tolist()
    assert several.score(NEW_TEXTS, NEW_SETS) == pytest.approx(np.mean(right))


def test_score_takes_topics_in_the_form_of_the_training(several: TopicClassifier) -> None:
    array = TopicClassifier(n_jobs=1).fit(TEXTS, INDICATOR)
    one = TopicClassifier(n_jobs=1).fit(TEXTS[:40], ["a", "b"] * 20)
    several_form = "training documents have a list of topics for each text, but `y` does not"
    one_form = "training documents have one topic for each text, but `y` does not"
    advice = "topic in training documents; pass a column for each topic, or lists of topics."
    words = (
        "`y` has the topic 'grain', but topics of training documents are numbers; give topics "
        "of that kind."
    )
    numbers = (
        "`y` has the topic 1, but topics of training documents are words; give topics of that kind."
    )
    n = len(TEXTS)
    for model, y, message in [
        (several, INDICATOR, f"`y` has no column 'grain', which is a {advice}"),
        (several, [[1]] * n, numbers),
        (array, [["grain"]] * n, words),
        (array, INDICATOR[:, :2], f"`y` has no column 2, which is a {advice}"),
        (array, np.hstack([INDICATOR] * 2), f"`y` has a column 3, which is not a {advice}"),
        (several, ["grain"] * n, several_form),
        (array, [1] * n, several_form),
        (one, [["a"]] * n, one_form),
        (one, INDICATOR, one_form),
    ]:
        with pytest.raises(DataError) as error:
            model.score(TEXTS, y)
        assert str(error.value).startswith(message)
    frame = pd.DataFrame({topic: INDICATOR[:, i] for i, topic in enumerate(TOPICS)})
    assert several.score(TEXTS, frame[[*TOPICS[::-1]]]) == several.score(TEXTS, SETS)
    assert array.score(TEXTS, INDICATOR) == several.score(TEXTS, SETS)
    places = [[TOPICS.index(topic) for topic in topics] for topics in SETS]
    assert array.score(TEXTS, places) == several.score(TEXTS, SETS)
    assert 0 <= several.score(["the a of said"] * 2, [[], []]) <= 1


def test_partial_fit_needs_the_columns_of_earlier_batches() -> None:
    model = TopicClassifier(n_jobs=1).partial_fit(TEXTS, INDICATOR)
    with pytest.raises(DataError, match="`y` has no column 2, which is a topic in earlier batches"):
        model.partial_fit(TEXTS, INDICATOR[:, :2])
    assert model.partial_fit(TEXTS, INDICATOR).fitted_.n_batches == 2


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ([0, 1], "no column 2, which is a topic in"),
        ([0, 1, 2, 0], "a column 3, which is not a topic in"),
    ],
)
def test_partial_fit_needs_a_column_per_class(columns: list[int], found: str) -> None:
    model = TopicClassifier(n_jobs=1)
    with pytest.raises(DataError) as error:
        model.partial_fit(TEXTS, INDICATOR[:, columns], [0, 1, 2])
    assert str(error.value) == (
        f"`y` has {found} `classes`; pass a column for each topic, or lists of topics."
    )
    assert model.partial_fit(TEXTS, INDICATOR, [0, 1, 2]).classes_.tolist() == [0, 1, 2]


def test_fit_shows_missing_cells_of_an_indicator() -> None:
    y = pd.DataFrame(INDICATOR, columns=list(TOPICS)).astype("Int64")
    y.iloc[3, 1] = pd.NA
    with pytest.raises(DataError, match="`y` has two dimensions and contains <NA>; give 1"):
        TopicClassifier().fit(TEXTS, y)
    odd = np.array([[0, True, np.bool_(1)], ["1", 1.0, "x"]], dtype=object)
    with pytest.raises(DataError, match="`y` has two dimensions and contains 'x'; give 1"):
        TopicClassifier().fit(TEXTS[:2], odd)


def test_predict_puts_the_most_likely_topic_first(several: TopicClassifier) -> None:
    proba = several.predict_proba(NEW_TEXTS)
    for answer, row in zip(several.predict(NEW_TEXTS), proba, strict=True):
        likely = [row[TOPICS.index(topic)] for topic in answer]
        assert likely == sorted(likely, reverse=True)


def test_predict_answers_an_indicator_with_an_indicator(several: TopicClassifier) -> None:
    expected = several.predict(NEW_TEXTS)
    kinds: list[Any] = [
        INDICATOR,
        INDICATOR.astype(bool),
        INDICATOR.tolist() and np.array(INDICATOR, dtype=float),
        sp.csr_array(INDICATOR),
        sp.coo_matrix(INDICATOR),
    ]
    for y in kinds:
        model = TopicClassifier(n_jobs=1).fit(TEXTS, y)
        answers = model.predict(NEW_TEXTS)
        assert model.classes_.tolist() == [0, 1, 2]
        assert answers.dtype == np.int64
        for row, topics in zip(answers, expected, strict=True):
            assert {TOPICS[i] for i in np.flatnonzero(row)} == set(topics)


@pytest.mark.parametrize("frames", [pd, pl])
def test_fit_takes_topics_from_the_columns_of_a_data_frame(frames: Any) -> None:
    y = frames.DataFrame({topic: INDICATOR[:, i] for i, topic in enumerate(TOPICS)})
    model = TopicClassifier(n_jobs=1).fit(TEXTS, y)
    assert model.classes_.tolist() == list(TOPICS)
    assert model.predict(NEW_TEXTS).shape == (len(NEW_TEXTS), 3)


def test_predict_never_gives_a_topic_without_documents() -> None:
    y = np.column_stack([INDICATOR, np.zeros(len(TEXTS), dtype=int)])
    model = TopicClassifier(n_jobs=1).fit(TEXTS, y)
    assert model.predict(NEW_TEXTS)[:, 3].sum() == 0
    assert model.predict_proba(NEW_TEXTS)[:, 3].max() < 0.01


def test_predict_gives_each_text_a_topic_if_all_documents_have_one() -> None:
    some = [i for i, topics in enumerate(SETS) if topics]
    model = TopicClassifier(n_jobs=1).fit([TEXTS[i] for i in some], [SETS[i] for i in some])
    assert all(model.predict([*NEW_TEXTS, "quite another thing", ""]).tolist())


def test_indicators_work_with_scores_and_searches_of_scikit_learn() -> None:
    model = TopicClassifier(n_jobs=1)
    scores = cross_val_score(model, TEXTS, INDICATOR, scoring="f1_micro", cv=3)
    assert scores.min() > 0.9
    search = GridSearchCV(model, {"optimize": ["micro", "macro"]}, scoring="f1_macro", cv=2)
    assert search.fit(TEXTS, INDICATOR).best_score_ > 0.9
    predicted = model.fit(TEXTS, INDICATOR).predict(NEW_TEXTS)
    truth = np.array([[topic in topics for topic in TOPICS] for topics in NEW_SETS])
    assert f1_score(truth, predicted, average="micro") > 0.95


def test_loaded_multilabel_model_predicts_the_same(
    several: TopicClassifier, tmp_path: Path
) -> None:
    several.save(tmp_path / "m.slug")
    loaded = slugline.load(tmp_path / "m.slug")
    assert loaded.fitted_.multilabel
    np.testing.assert_array_equal(loaded.predict_proba(NEW_TEXTS), several.predict_proba(NEW_TEXTS))
    assert loaded.predict(NEW_TEXTS).tolist() == several.predict(NEW_TEXTS).tolist()
    loaded.save(tmp_path / "again.slug")
    assert (tmp_path / "again.slug").read_bytes() == (tmp_path / "m.slug").read_bytes()
    assert "several topics" in loaded.card_


def test_multilabel_file_does_not_depend_on_threads(tmp_path: Path) -> None:
    for n_jobs in (1, 2):
        TopicClassifier(n_jobs=n_jobs).fit(TEXTS, SETS).save(tmp_path / f"{n_jobs}.slug")
    assert (tmp_path / "1.slug").read_bytes() == (tmp_path / "2.slug").read_bytes()


def test_predict_proba_gives_the_probability_of_each_topic_alone(several: TopicClassifier) -> None:
    texts, sets = documents(2000, seed=2)
    proba = several.predict_proba(texts)
    truth = np.array([[topic in topics for topic in TOPICS] for topics in sets])
    np.testing.assert_allclose(proba.mean(axis=0), truth.mean(axis=0), atol=0.05)
    assert proba.sum(axis=1).max() > 1.5


# Nets ---------------------------------------------------------------------------------------------

NET = NeuralLearner(hidden=(16,), learning_rate=0.01, batch_size=16, epochs=40)


@pytest.fixture(scope="module")
def net() -> TopicClassifier:
    texts, sets = documents(400)
    return TopicClassifier(learner=NET, n_jobs=1, min_precision=0.8).fit(texts, sets)


def test_network_gives_several_topics_or_none(net: TopicClassifier) -> None:
    assert micro_f1(net) > 0.95
    assert () in net.predict(NEW_TEXTS).tolist()
    assert net.predict_proba(NEW_TEXTS).sum(axis=1).max() > 1.5
    assert net.fitted_.history is not None
    assert net.fitted_.history["val_loss"][0] > net.fitted_.history["val_loss"][-1]
    assert net.fitted_.history["val_accuracy"][-1] > 0.9
    assert net.decide(NEW_TEXTS[:1])[0].topics is not None


def test_network_calibrates_probabilities_on_validation_rows() -> None:
    rng = np.random.default_rng(0)
    texts, sets = documents(1500, seed=5)
    # A fifth of topics is missing: the net is to be no surer than that.
    noisy = [[topic for topic in topics if rng.random() < 0.8] for topics in sets]
    model = TopicClassifier(learner=NET, n_jobs=1).fit(texts[:1200], noisy[:1200])
    proba = model.predict_proba(texts[1200:])
    assert proba[proba > 0.5].mean() == pytest.approx(0.8, abs=0.07)


def test_loaded_multilabel_network_predicts_the_same(net: TopicClassifier, tmp_path: Path) -> None:
    net.save(tmp_path / "m.slug")
    loaded = slugline.load(tmp_path / "m.slug")
    np.testing.assert_array_equal(loaded.predict_proba(NEW_TEXTS), net.predict_proba(NEW_TEXTS))
    assert loaded.predict(NEW_TEXTS).tolist() == net.predict(NEW_TEXTS).tolist()
    loaded.save(tmp_path / "again.slug")
    assert (tmp_path / "again.slug").read_bytes() == (tmp_path / "m.slug").read_bytes()
    learner = loaded.fitted_.learner
    arrays = learner.arrays() | {"slopes": np.ones(2, dtype=np.float32)}
    with pytest.raises(DataError, match="calibration curves"):
        NeuralLearner.restore(learner.settings(), arrays)


def test_network_chooses_its_epoch_on_documents_of_several_topics() -> None:
    model = TopicClassifier(learner=NET, n_jobs=1)
    model.fit(TEXTS, SETS, validation_data=(NEW_TEXTS, NEW_SETS))
    assert micro_f1(model) > 0.95
    with pytest.raises(DataError, match="training documents have a list of topics"):
        model.fit(TEXTS, SETS, validation_data=(["wheat"], ["grain"]))
    with pytest.raises(DataError, match="training documents have one topic"):
        model.fit(["wheat", "oil"] * 9, ["a", "b"] * 9, validation_data=(["wheat"], [["a"]]))


@pytest.mark.parametrize("size", [200, 50])
def test_partial_fit_teaches_a_network_several_topics(size: int, tmp_path: Path) -> None:
    texts, sets = documents(600, seed=7)
    model = TopicClassifier(learner=NET, n_jobs=1)
    for i in range(0, 600, size):
        model.partial_fit(texts[i : i + size], sets[i : i + size], TOPICS)
    assert micro_f1(model) > 0.9
    assert () in model.predict(NEW_TEXTS).tolist()
    truth = np.array([[topic in topics for topic in TOPICS] for topics in NEW_SETS])
    proba = model.predict_proba(NEW_TEXTS)
    np.testing.assert_allclose(proba.mean(axis=0), truth.mean(axis=0), atol=0.1)
    model.save(tmp_path / "m.slug")
    loaded = slugline.load(tmp_path / "m.slug")
    np.testing.assert_array_equal(loaded.predict_proba(NEW_TEXTS), proba)


# Promises -----------------------------------------------------------------------------------------


def test_decide_keeps_the_precision_of_several_topics() -> None:
    texts, sets = documents(1500, seed=3)
    rng = np.random.default_rng(0)
    noisy = [[t for t in topics if rng.random() > 0.1] for topics in sets]
    model = TopicClassifier(encoder=None, n_jobs=1, min_precision=0.85).fit(texts, noisy)
    decisions = model.decide(NEW_TEXTS)
    given = [
        (topic, topics)
        for decision, topics in zip(decisions, NEW_SETS, strict=True)
        for topic in decision.topics or []
    ]
    assert np.mean([topic in topics for topic, topics in given]) >= 0.85
    unsure = [decision for decision in decisions if decision.reason is not None]
    assert unsure
    assert all(decision.reason is not None and len(decision.top) == 3 for decision in unsure)


def test_decide_gives_no_topic_if_that_is_sure() -> None:
    lunches = [f"lunch menu {n}" for n in range(60)]
    model = TopicClassifier(n_jobs=1, min_precision=0.9)
    model.fit([*TEXTS, *lunches], [*SETS, *([[]] * 60)])
    (none,) = model.decide(["lunch menu"])
    assert (none.topics, none.reason) == ([], None)
    decision = model.fitted_.multilabel_rule
    assert decision is not None
    proba = np.array([[0.05, 0.04, 0], [0.05, 0.06, 0]], dtype=np.float32)
    assert decision.is_surely_none(proba, 0.9).tolist() == [True, False]
    always = replace(decision, at_least_one=True)
    assert not always.is_surely_none(proba, 0.9).any()


def test_promise_of_several_topics_speaks_of_likely_topics() -> None:
    fitted = TopicClassifier(n_jobs=1, min_precision=0.5).fit(TEXTS, SETS).fitted_
    left_out = fitted.heldout_predictions
    assert left_out is not None
    assert left_out.n_candidates > 1
    summary = dict(Decider.from_fitted(fitted).summary())
    assert " % given by probability alone, " in summary["on held-out likely topics"]
    about = rf"reaches it on {left_out.n_candidates:,} likely topics of held-out training documents"
    with pytest.raises(OptionError, match=rf"{about}\. .* % of the likely topics; ask"):
        Decider.from_fitted(fitted, 0.9999)
    hopeless = replace(fitted, heldout_predictions=replace(left_out, precision=0.9999))
    decider = Decider.from_fitted(hopeless)
    assert decider.note.endswith(
        "a `min_precision` of 0, the model gives topics without a promise."
    )
    assert dict(decider.summary())["can be promised"].endswith(" % of the likely topics")


def test_decide_returns_the_topics_of_predict_and_the_most_likely(several: TopicClassifier) -> None:
    for decision, answer in zip(several.decide(NEW_TEXTS), several.predict(NEW_TEXTS), strict=True):
        assert decision.topics == list(answer)
        assert decision.topic == (answer[0] if answer else None)
        assert decision.reason is None
        assert decision.probability == decision.top[0][1]


def test_decide_is_unsure_of_a_text_with_too_many_likely_topics() -> None:
    pairs = [i for i, topics in enumerate(SETS) if len(topics) == 1]
    model = TopicClassifier(n_jobs=1).fit([TEXTS[i] for i in pairs], [SETS[i] for i in pairs])
    rule = model.fitted_.multilabel_rule
    assert rule is not None
    assert rule.max_given == 2
    eager = rule.with_thresholds(np.full(3, 0.05, dtype=np.float32))
    decider = Decider.from_fitted(replace(model.fitted_, multilabel_rule=eager))
    (decision,) = decider.decide(["wheat corn harvest crude barrels opec dollar rates bank"])
    assert decision.reason is not None
    assert decision.reason.kind == "many_topics"
    assert decision.topics == []


# Thresholds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", ["micro", "macro", "samples"])
@pytest.mark.parametrize("fewest", [0, 1])
def test_thresholds_maximize_the_average_f1(average: Any, fewest: int) -> None:
    rng = np.random.default_rng(0)
    proba = rng.beta(0.3, 0.6, (20_000, 3)).astype(np.float32)
    y = (rng.random(proba.shape) < proba).astype(np.float32)
    if fewest:
        empty = np.flatnonzero(y.max(axis=1) == 0)
        y[empty, proba[empty].argmax(axis=1)] = 1
    rule = choose_rule(proba, y, np.array([fewest, 3]), average)
    best = f1_score(y, rule.decide(proba), average=average, zero_division=1)
    for move in (-0.25, 0.25):
        other = rule.with_thresholds(rule.thresholds + np.float32(move))
        assert f1_score(y, other.decide(proba), average=average, zero_division=1) < best


# Batches ------------------------------------------------------------------------------------------


def micro_f1(model: TopicClassifier) -> float:
    truth = np.array([[topic in topics for topic in TOPICS] for topics in NEW_SETS])
    answers = [set(topics) for topics in model.fitted_.predict_sets(NEW_TEXTS)]
    predicted = np.array([[topic in answer for topic in TOPICS] for answer in answers])
    return float(f1_score(truth, predicted, average="micro"))


def in_batches(size: int, y: Any = SETS) -> TopicClassifier:
    model = TopicClassifier(n_jobs=1)
    for i in range(0, len(TEXTS), size):
        model.partial_fit(TEXTS[i : i + size], y[i : i + size], TOPICS if y is SETS else None)
    return model


@pytest.mark.parametrize("size", [240, 80, 7])
def test_partial_fit_teaches_several_topics_in_batches_of_any_size(size: int) -> None:
    model = in_batches(size)
    assert micro_f1(model) > 0.95
    assert () in model.predict(NEW_TEXTS).tolist()
    assert model.fitted_.n_learned == 240
    decision = model.fitted_.multilabel_rule
    assert decision is not None
    assert (decision.at_least_one, decision.max_topics) == (False, max(map(len, SETS)))
    truth = np.array([[topic in topics for topic in TOPICS] for topics in NEW_SETS])
    proba = model.predict_proba(NEW_TEXTS)
    np.testing.assert_allclose(proba.mean(axis=0), truth.mean(axis=0), atol=0.08)


def test_partial_fit_with_indicators_predicts_indicators() -> None:
    model = in_batches(80, INDICATOR)
    assert model.classes_.tolist() == [0, 1, 2]
    expected = [
        {TOPICS.index(topic) for topic in answer} for answer in in_batches(80).predict(TEXTS)
    ]
    assert [set(np.flatnonzero(row)) for row in model.predict(TEXTS)] == expected


def test_partial_fit_takes_a_first_batch_without_topics() -> None:
    texts = [text for text, topics in zip(TEXTS, SETS, strict=True) if not topics]
    model = TopicClassifier(n_jobs=1).partial_fit(texts, [[] for _ in texts], TOPICS)
    assert set(model.predict(NEW_TEXTS)) == {()}
    model.partial_fit(TEXTS, SETS)
    assert micro_f1(model) > 0.9


def test_partial_fit_of_a_loaded_model_keeps_its_average(tmp_path: Path) -> None:
    TopicClassifier(n_jobs=1, optimize="macro").fit(TEXTS, SETS).save(tmp_path / "m.slug")
    loaded = slugline.load(tmp_path / "m.slug")
    assert loaded.optimize == "macro"
    loaded.partial_fit(NEW_TEXTS, NEW_SETS)
    assert loaded.fitted_.multilabel_rule is not None
    assert loaded.fitted_.multilabel_rule.average == "macro"


def test_partial_fit_of_a_loaded_multilabel_model_learns_on(
    several: TopicClassifier, tmp_path: Path
) -> None:
    several.save(tmp_path / "m.slug")
    before = several.fitted_.predict_proba(NEW_TEXTS)
    loaded = slugline.load(tmp_path / "m.slug")
    loaded.partial_fit(["brent tanker", "brent cargo", "crude brent"], [["oil"]] * 3)
    # Three documents teach a word, and hardly move curves and thresholds.
    assert loaded.predict_proba(["brent"])[0, 2] > several.predict_proba(["brent"])[0, 2] + 0.1
    np.testing.assert_allclose(loaded.predict_proba(NEW_TEXTS), before, atol=0.15)
    assert several.fitted_.multilabel_rule is not None
    assert loaded.fitted_.multilabel_rule is not None
    old, new = several.fitted_.multilabel_rule.thresholds, loaded.fitted_.multilabel_rule.thresholds
    np.testing.assert_allclose(new, old, atol=0.02)
    assert micro_f1(loaded) > 0.95
    loaded.save(tmp_path / "on.slug")
    again = slugline.load(tmp_path / "on.slug")
    # Weights that are too small to matter are not in the file.
    np.testing.assert_allclose(again.predict_proba(TEXTS), loaded.predict_proba(TEXTS), atol=0.02)


# Mixtures -----------------------------------------------------------------------------------------

MIXTURE = Mixture([LinearLearner(), NeuralLearner(epochs=30)])


@pytest.fixture(scope="module")
def mixture() -> TopicClassifier:
    texts, sets = documents(400)
    return TopicClassifier(learner=MIXTURE, n_jobs=1, min_precision=0.8).fit(texts, sets)


def test_loaded_multilabel_mixture_predicts_the_same(
    mixture: TopicClassifier, tmp_path: Path
) -> None:
    mixture.save(tmp_path / "m.slug")
    loaded = slugline.load(tmp_path / "m.slug")
    expected = mixture.predict_proba(NEW_TEXTS)
    np.testing.assert_array_equal(loaded.predict_proba(NEW_TEXTS), expected)
    assert loaded.predict(NEW_TEXTS).tolist() == mixture.predict(NEW_TEXTS).tolist()
    assert loaded.decide(NEW_TEXTS) == mixture.decide(NEW_TEXTS)
    loaded.save(tmp_path / "again.slug")
    assert (tmp_path / "again.slug").read_bytes() == (tmp_path / "m.slug").read_bytes()
    # A copy learns the same again.
    twin = clone(loaded).fit(*documents(400))
    np.testing.assert_array_equal(twin.predict_proba(NEW_TEXTS), expected)
    mixture.save(tmp_path / "small.slug", quantize="int8")
    small = slugline.load(tmp_path / "small.slug").predict_proba(NEW_TEXTS)
    np.testing.assert_allclose(small, expected, atol=0.05)


def test_mixture_calibrates_probabilities_on_heldout_documents() -> None:
    rng = np.random.default_rng(0)
    texts, sets = documents(900, seed=5)
    # A fifth of topics is missing: nets that have learned which ones are to be no surer than that.
    noisy = [[topic for topic in topics if rng.random() < 0.8] for topics in sets]
    model = TopicClassifier(learner=MIXTURE, n_jobs=1).fit(texts[:600], noisy[:600])
    proba = model.predict_proba(texts[600:])
    truth = np.array([[topic in topics for topic in TOPICS] for topics in noisy[600:]])
    likely = proba > 0.5
    assert proba[likely].mean() == pytest.approx(truth[likely].mean(), abs=0.05)
    assert model.fitted_.heldout_predictions is not None
    assert model.fitted_.heldout_predictions.n_candidates > 400


def test_heldout_documents_include_all_copies_of_a_text() -> None:
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.permutation([*"abcdefghijklmnop"])[:6]) for _ in range(60)] * 3
    noise = [[topic for topic in TOPICS if rng.random() < 0.4] for _ in range(60)] * 3
    model = TopicClassifier(learner=MIXTURE, n_jobs=1).fit(texts, noise)
    # By copies, they would be as good as certain.
    assert np.quantile(model.predict_proba(texts), 0.9) < 0.8


def test_mixture_works_with_paths_and_indicators() -> None:
    paths = [[f"all/{topic}" for topic in topics] for topics in SETS]
    tree = TopicClassifier(learner=MIXTURE, topic_path="/", n_jobs=1).fit(TEXTS, paths)
    proba = tree.predict_proba(NEW_TEXTS)
    assert (proba[:, 1:] <= proba[:, :1]).all()
    array = TopicClassifier(learner=MIXTURE, n_jobs=1).fit(TEXTS, INDICATOR)
    assert f1_score(INDICATOR, array.predict(TEXTS), average="micro") > 0.95


# Bad input ----------------------------------------------------------------------------------------


class OneTopicLearner:
    """A learner of the user's that knows nothing of several topics."""

    weighting, capabilities, multilabel = "counts", Capabilities(), False
    fit = decision_function = predict_proba = settings = arrays = lambda *_: None


ONE_TOPIC: Any = OneTopicLearner()


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.full((2, 2), 2), "contains 2; give 1"),
        (np.array([[0, np.nan], [1, 0]]), "contains nan; give 1"),
        (np.array([["a", "b"], ["c", "d"]]), "contains 'a'; give 1"),
        (np.zeros((2, 0)), "has no column"),
        ([[1, 1, 0], [0, 0, 1]], r"pass an array: np.array\(y\)"),
        ([["a"], "b"], "in row 1, counted from 0, where others are lists"),
        ([["a"], [["b"]]], r"`y\[1\]` has \['b'\] in row 0"),
        ([["a"], [None]], r"`y\[1\]` has None instead of a topic"),
        ([[], []], "no document has a topic"),
        ([["a"], [1]], "strings and numbers"),
        ([["a"], [" "]], "is blank"),
        ([["a"]], "2 texts and 1 topic;"),
        (["a", ["b"]], "topics must be strings or integers"),
    ],
)
def test_fit_rejects_invalid_lists_of_topics(y: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TopicClassifier().fit(["wheat corn", "crude oil"], y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learner": ONE_TOPIC}, "`learner` is a OneTopicLearner, which is single-label"),
        ({"learner": Mixture([LinearLearner(), Mixture([ONE_TOPIC])])}, "`learner` is a Mixture"),
        ({"optimize": "weighted"}, "optimize"),
    ],
)
def test_fit_rejects_options_of_one_topic_for_several(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        TopicClassifier(**options).fit(TEXTS, SETS)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["oil", "oil"], "earlier batches have a list of topics for each text"),
        ([["oil"], ["soy"]], "soy"),
        ([["oil"]], "2 texts and 1 topic;"),
        ([], "2 texts and 0 topics"),
    ],
)
def test_partial_fit_rejects_another_form_or_an_unknown_topic(
    y: Any, words: str, several: TopicClassifier
) -> None:
    model = TopicClassifier.from_fitted(several.fitted_)
    with pytest.raises(DataError, match=words):
        model.partial_fit(["crude oil", "oil"], y)
    assert model.fitted_ is several.fitted_


def test_partial_fit_rejects_several_topics_after_one() -> None:
    model = TopicClassifier().partial_fit(["crude", "wheat"], ["oil", "grain"], ["oil", "grain"])
    with pytest.raises(DataError, match="earlier batches have one topic for each text"):
        model.partial_fit(["crude oil"], [["oil"]])


def test_fit_counts_a_repeated_topic_once(several: TopicClassifier) -> None:
    doubled = [[*topics, *topics] for topics in SETS]
    model = TopicClassifier(n_jobs=1).fit(TEXTS, doubled)
    assert model.predict(NEW_TEXTS).tolist() == several.predict(NEW_TEXTS).tolist()


def test_weights_count_for_rows_and_topics_of_several() -> None:
    has_grain = [("grain" in topics) for topics in SETS]
    light = TopicClassifier(n_jobs=1).fit(TEXTS, SETS, sample_weight=np.where(has_grain, 0.01, 1))
    grain = light.classes_.tolist().index("grain")
    plain = TopicClassifier(n_jobs=1).fit(TEXTS, SETS)
    means = [model.predict_proba(NEW_TEXTS)[:, grain].mean() for model in (light, plain)]
    assert means[0] < means[1]
    without = TopicClassifier(n_jobs=1).fit(TEXTS, SETS, sample_weight=np.where(has_grain, 0, 1))
    assert "grain" not in without.classes_
    balanced = TopicClassifier(n_jobs=1, class_weight="balanced").fit(TEXTS, SETS)
    assert balanced.score(NEW_TEXTS, NEW_SETS) > 0.9
