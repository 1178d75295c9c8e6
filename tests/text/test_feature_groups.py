"""Which terms count where the user does not say."""

from __future__ import annotations

import pytest

from slugline.text.feature_groups import FeatureGroup, default_feature_groups
from slugline.text.terms import NGRAM_LENGTHS

N_BUCKETS = 1 << 20
# Texts of 16 letters, all equally frequent; of 32, with Greek ones; and of 64, with Cyrillic ones.
BITS_4 = "abcd efgh ijkl mnop"
BITS_5 = f"{BITS_4} αβγδ εζηθ ικλμ νξοπ"
BITS_6 = f"{BITS_5} абвг дежз иклм нопр стуф хцчш щъыь эюяі"


def weights(texts: list[str], n_topics: int = 0) -> dict[str, float]:
    """Return the weight of each kind of term."""
    return {
        group.kind: group.weight for group in default_feature_groups("log-tf-idf", texts, n_topics)
    }


@pytest.mark.parametrize("texts", [[], [BITS_4] * 501, [BITS_5] * 501], ids=len)
def test_default_groups_are_words_bigrams_and_characters(texts: list[str]) -> None:
    assert default_feature_groups("log-tf-idf", texts) == (
        FeatureGroup("words", "log-tf-idf", 1.25, n_buckets=N_BUCKETS),
        FeatureGroup("bigrams", "log-tf-idf", 1.25, n_buckets=N_BUCKETS),
        FeatureGroup("characters", "log-tf-idf", 1.0, n_buckets=N_BUCKETS),
    )


def test_default_groups_weigh_short_n_grams_by_bits_per_character() -> None:
    words = {"words": 1.5, "bigrams": 1.5}
    less = {"characters": 1, "characters-2": 0.5, "characters-3": 0.71, "characters-5": 1.41}
    assert weights([BITS_4] * 500) == words | less
    nearly = {"characters": 1, "characters-2": 0.87, "characters-3": 0.93, "characters-5": 1.07}
    assert weights([BITS_5] * 500) == words | nearly
    for n_texts in (1, 501):  # such as syllables: however many documents there are
        assert weights([BITS_6] * n_texts) == words | dict.fromkeys(NGRAM_LENGTHS, 1)


def test_default_groups_weigh_words_of_few_documents_more_for_two_topics() -> None:
    expected = {1: 1.5, 2: 2.0, 3: 1.5}
    assert {n: weights([BITS_4] * 500, n)["words"] for n in expected} == expected
    assert {n: weights([BITS_4] * 500, n)["bigrams"] for n in expected} == expected
    assert weights([BITS_4] * 501, 2)["words"] == 1.25
    assert weights([BITS_6] * 501, 2)["words"] == 1.5


def test_default_groups_of_a_first_batch_are_those_of_many_documents() -> None:
    feature_groups = default_feature_groups("log-tf-idf", [BITS_4], 2, is_complete=False)
    assert feature_groups == default_feature_groups("log-tf-idf", [BITS_4] * 501, 2)
    kinds = {
        group.kind for group in default_feature_groups("log-tf-idf", [BITS_6], is_complete=False)
    }
    assert kinds > NGRAM_LENGTHS.keys()


def test_default_groups_of_several_topics_include_first_words() -> None:
    feature_groups = default_feature_groups("log-tf-idf", [BITS_4], multilabel=True)
    assert [group.kind for group in feature_groups] == ["words", "lead", "bigrams", "characters"]


def test_default_groups_of_networks_are_the_10_000_most_frequent_words() -> None:
    assert default_feature_groups("multi-hot") == (
        FeatureGroup("words", "multi-hot", max_terms=10_000),
    )
