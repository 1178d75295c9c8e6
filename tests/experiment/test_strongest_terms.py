"""The terms that count most for each topic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier
from slugline.experiment.evidence import strongest_terms
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.model.fitted import Fitted
from slugline.text.feature_groups import FeatureGroup


def learned(documents: list[tuple[str, str]], **params: Any) -> Fitted:
    texts, topics = zip(*documents, strict=True)
    return TopicClassifier(random_state=0, **params).fit(texts, topics).fitted_


def test_strongest_terms_start_with_words_that_tell_topics_apart(
    news: list[tuple[str, str]],
) -> None:
    found = strongest_terms(learned(news))
    assert [row.topic for row in found] == ["bank", "grain", "sport"]
    own = {
        topic: {word for text, t in news if t == topic for word in text.split()}
        for _, topic in news
    }
    shared = set.intersection(*own.values())
    for topic, terms in found:
        assert len(terms) == 8
        words = {word for term in terms for word in term.split()}
        assert words <= own[topic]
        assert not {*terms} & shared


def test_strongest_terms_share_no_word(news: list[tuple[str, str]]) -> None:
    for _, terms in strongest_terms(learned(news), n_terms=20):
        words = [word for term in terms for word in term.split()]
        assert len(words) == len(set(words))


def test_strongest_terms_are_of_the_topics_asked_for(news: list[tuple[str, str]]) -> None:
    fitted = learned(news)
    bank, _, sport = strongest_terms(fitted)
    assert strongest_terms(fitted, [2, 0]) == [sport, bank]


def test_strongest_terms_prefer_common_terms_to_rare_heavy_ones() -> None:
    documents = [(f"wheat word{n}", "grain") for n in range(20)]
    documents += [(f"loan rate{n}", "bank") for n in range(20)]
    fitted = learned([*documents, ("ostrich ostrich ostrich", "grain")])
    assert strongest_terms(fitted)[1].terms[0] == "wheat"


def test_strongest_terms_of_texts_without_spaces_are_characters() -> None:
    documents = [(f"小麦价格上涨{n}", "grain") for n in range(9)]
    documents += [(f"银行贷款利率{n}", "bank") for n in range(9)]
    bank, grain = strongest_terms(learned(documents))
    assert set("".join(bank.terms)) & set("银行贷款利率")
    assert not set("".join(bank.terms)) & set("小麦价格上涨")
    assert not set("".join(grain.terms)) & set("银行贷款利率")
    assert set("".join(grain.terms)) & set("小麦价格上涨")


def test_strongest_terms_of_a_single_topic_are_few() -> None:
    (only,) = strongest_terms(learned([("wheat", "grain"), ("corn", "grain")]))
    assert only.topic == "grain"
    assert len(only.terms) <= 8


def test_strongest_terms_name_numeric_topics_by_digits() -> None:
    fitted = TopicClassifier().fit(["wheat", "loan"] * 5, [1, 2] * 5).fitted_
    assert [row.topic for row in strongest_terms(fitted)] == ["1", "2"]


@pytest.mark.parametrize(
    "params",
    [
        {"learner": "network"},
        {"learner": Mixture([LinearLearner(), LinearLearner()])},
        {"feature_groups": [FeatureGroup("words", "counts")]},
    ],
    ids=["network", "mixture", "no idf"],
)
def test_strongest_terms_are_empty_if_weights_say_nothing(
    params: dict[str, Any], news: list[tuple[str, str]]
) -> None:
    assert strongest_terms(learned(news, **params)) == []


def test_strongest_terms_of_buckets_without_names_are_empty(news: list[tuple[str, str]]) -> None:
    classifier = TopicClassifier(feature_groups=[FeatureGroup("words", n_buckets=1 << 12)])
    texts, topics = zip(*news, strict=True)
    classifier.partial_fit(texts, topics, classes=np.unique(topics))
    found = strongest_terms(classifier.fitted_)
    assert [row.topic for row in found] == ["bank", "grain", "sport"]
