from collections.abc import Sequence

import numpy as np

from slugline import TopicClassifier
from slugline.counting.concerns import CountedTexts, TextTotals, drift_concern, model_concerns
from slugline.counting.count import model_samples
from slugline.counting.drift import Drift, FrequentWord, find_drift
from slugline.counting.estimation import estimate_group
from slugline.counting.shares import HeldoutSample, binary_proba

WORDS = {
    "sport": ("goal", "team", "match", "player", "coach", "league", "season", "stadium"),
    "money": ("bank", "loan", "interest", "market", "shares", "profit", "trade", "price"),
    "health": ("doctor", "hospital", "patient", "medicine", "disease", "nurse", "surgery", "pain"),
}


def make_texts(topic: str, n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    common = ("the", "people", "yesterday", "said", "new", "year", "city", "after", "many", "first")
    return [" ".join([*rng.choice(WORDS[topic], 3), *rng.choice(common, 4)]) for _ in range(n)]


def fit(*, multilabel: bool = False) -> TopicClassifier:
    texts = [*make_texts("sport", 200, 0), *make_texts("money", 200, 1)]
    names = ["sport"] * 200 + ["money"] * 200
    topics = [(name,) for name in names] if multilabel else names
    return TopicClassifier(n_jobs=1).fit(texts, topics)


def compare(model: TopicClassifier, texts: Sequence[str]) -> Drift | None:
    fitted = model.fitted_
    proba = fitted.predict_proba(texts).astype(np.float64)
    weights = np.ones(len(texts))
    estimates = [
        estimate_group(
            sample,
            binary_proba(proba[:, topic], sample.low_proba) if sample.is_binary else proba,
            weights,
            seed=0,
            n_sets=50,
        )
        for topic, sample in enumerate(model_samples(fitted))
    ]
    return find_drift(fitted.text_profile, texts, estimates)


def test_find_drift_allows_for_other_shares() -> None:
    drift = compare(fit(), [*make_texts("sport", 180, 2), *make_texts("money", 20, 3)])
    assert drift is not None
    assert not drift.is_significant()
    assert drift.words == ()


def test_find_drift_names_words_of_a_new_topic() -> None:
    known = [*make_texts("sport", 80, 2), *make_texts("money", 80, 3)]
    drift = compare(fit(), [*known, *make_texts("health", 40, 4)])
    assert drift is not None
    assert drift.is_significant()
    assert len(drift.words) == 5
    assert {each.word for each in drift.words} < {*WORDS["health"]}
    assert all(each.fraction > 0.02 > each.expected for each in drift.words)


def test_find_drift_finds_new_topics_of_a_multilabel_model() -> None:
    model = fit(multilabel=True)
    known = [*make_texts("sport", 150, 2), *make_texts("money", 10, 3)]
    drift = compare(model, known)
    assert drift is not None
    assert not drift.is_significant()
    drift = compare(model, [*known, *make_texts("health", 40, 4)])
    assert drift is not None
    assert drift.is_significant()


def test_find_drift_makes_no_test_of_few_texts_or_of_copies() -> None:
    model, new = fit(), make_texts("health", 50, 4)
    assert compare(model, new) is None
    assert compare(model, new[:5] * 40) is None


def test_find_drift_compares_only_the_confidence_without_texts() -> None:
    rng = np.random.default_rng(0)

    def draw(confidence: tuple[float, float], n_each: tuple[int, int]) -> HeldoutSample:
        """Return documents of two topics, with the mean probability of the right answers."""
        topics = np.repeat([0, 1], n_each)
        right = np.clip(rng.normal(np.array(confidence)[topics], 0.1), 0.02, 0.98)
        rows = np.stack([right, 1 - right], axis=1)
        rows[topics == 1] = rows[topics == 1][:, ::-1]
        return HeldoutSample(rows, topics, np.array(n_each, dtype=np.float64))

    def compare_confidence(texts: HeldoutSample) -> Drift | None:
        estimate = estimate_group(heldout, texts.proba, np.ones(len(texts)), seed=0, n_sets=50)
        return find_drift(None, (), [estimate])

    heldout = draw((0.9, 0.7), (200, 100))
    # The topic of which the model is less sure has become common.
    drift = compare_confidence(draw((0.9, 0.7), (50, 250)))
    assert drift is not None
    assert not drift.is_significant()
    drift = compare_confidence(draw((0.7, 0.6), (50, 250)))
    assert drift is not None
    assert drift.is_significant()
    assert compare_confidence(draw((0.7, 0.6), (20, 30))) is None
    assert find_drift(None, (), []) is None


def test_drift_is_significant_less_often_if_more_groups_are_tested() -> None:
    drift = Drift(0.01)
    assert drift.is_significant()
    assert not drift.is_significant(12)


def test_drift_concern_names_words_and_what_to_do() -> None:
    word = FrequentWord("drupal", 0.15, 0.001)
    assert drift_concern(Drift(1e-5, (word, word._replace(word="node")))) == (
        "Not only the topic shares have changed since training: the texts differ from the "
        "training texts of the same topics ('drupal' is in 15 % of them, expected 0 %; "
        "likewise 'node'). There may be new topics, or the texts may come from another source. "
        "Label a random sample of them and count with these labels."
    )


def test_drift_concern_names_significant_groups() -> None:
    zeros = np.zeros(1)
    groups = {
        name: CountedTexts(zeros, zeros.astype(np.int64), TextTotals(100), drift=Drift(p_value))
        for name, p_value in (("March", 1e-5), ("April", 0.015), ("May", 0.6))
    }
    [concern] = model_concerns(None, None, groups)
    assert "the texts of March differ from the training texts of the same topics. " in concern
    del groups["March"]
    assert [*model_concerns(None, None, groups)] == []
