"""Which terms count where the user does not say."""

from __future__ import annotations

import pytest

from slugline.text.feature_groups import (
    DEFAULT_GROUPS,
    FeatureGroup,
    bits_per_character,
    default_feature_groups,
)
from slugline.text.terms import KINDS, NGRAM_LENGTHS

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
def test_words_bigrams_and_characters_count_in_buckets(texts: list[str]) -> None:
    assert default_feature_groups("log-tf-idf", texts) == (
        FeatureGroup("words", "log-tf-idf", 1.25, n_buckets=N_BUCKETS),
        FeatureGroup("bigrams", "log-tf-idf", 1.25, n_buckets=N_BUCKETS),
        FeatureGroup("characters", "log-tf-idf", 1.0, n_buckets=N_BUCKETS),
    )


def test_with_few_documents_short_n_grams_count_the_less_the_fewer_bits_a_character_has() -> None:
    words = {"words": 1.5, "bigrams": 1.5}
    less = {"characters": 1, "characters-2": 0.5, "characters-3": 0.71, "characters-5": 1.41}
    assert weights([BITS_4] * 500) == words | less
    nearly = {"characters": 1, "characters-2": 0.87, "characters-3": 0.93, "characters-5": 1.07}
    assert weights([BITS_5] * 500) == words | nearly
    for n_texts in (1, 501):  # such as syllables: however many documents there are
        assert weights([BITS_6] * n_texts) == words | dict.fromkeys(NGRAM_LENGTHS, 1)


def test_words_of_few_documents_weigh_more_if_there_are_two_topics() -> None:
    expected = {1: 1.5, 2: 2.0, 3: 1.5}
    assert {n: weights([BITS_4] * 500, n)["words"] for n in expected} == expected
    assert {n: weights([BITS_4] * 500, n)["bigrams"] for n in expected} == expected
    assert weights([BITS_4] * 501, 2)["words"] == 1.25
    assert weights([BITS_6] * 501, 2)["words"] == 1.5


def test_documents_before_others_are_many() -> None:
    feature_groups = default_feature_groups("log-tf-idf", [BITS_4], 2, is_complete=False)
    assert feature_groups == default_feature_groups("log-tf-idf", [BITS_4] * 501, 2)
    kinds = {
        group.kind for group in default_feature_groups("log-tf-idf", [BITS_6], is_complete=False)
    }
    assert kinds > NGRAM_LENGTHS.keys()


def test_bits_are_those_of_letters_in_scripts_with_spaces() -> None:
    assert bits_per_character([BITS_4, "MNOP, ijkl: EFGH - abcd!"]) == pytest.approx(4)
    assert bits_per_character(["ab 手机手机 ba", "石油"]) == pytest.approx(1)
    assert bits_per_character(["手机", "", "..."]) == bits_per_character([]) == 0


def test_several_topics_get_the_first_words_too_however_few_documents_there_are() -> None:
    feature_groups = default_feature_groups("log-tf-idf", [BITS_4], multilabel=True)
    assert [group.kind for group in feature_groups] == ["words", "lead", "bigrams", "characters"]


def test_nets_get_the_words_of_the_newswire_lesson() -> None:
    assert default_feature_groups("multi-hot") == (
        FeatureGroup("words", "multi-hot", max_terms=10_000),
    )


def test_there_is_a_family_of_every_kind() -> None:
    assert {kind: group.kind for kind, group in DEFAULT_GROUPS.items()} == {
        kind: kind for kind in KINDS if not kind.startswith("characters-")
    }
    kinds = {group.kind for group in default_feature_groups("log-tf-idf", [BITS_4])}
    assert kinds | set(DEFAULT_GROUPS) == set(KINDS)
