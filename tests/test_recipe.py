"""Which terms count where the user does not say."""

from __future__ import annotations

import pytest

from slugline.text.defaults import FAMILIES, default_blocks, is_short


@pytest.mark.parametrize(
    ("texts", "short"),
    [
        (["word " * 47 + "word"], True),
        (["word " * 48 + "word"], False),
        (["a", "a b", "word " * 500], True),
        (["a", "word " * 500, "word " * 500], False),
        (["word\n" * 49], False),
        ([""], True),
    ],
    ids=["48 words", "49 words", "one of three", "two of three", "lines", "empty"],
)
def test_texts_are_short_if_the_middle_one_is(texts: list[str], short: bool) -> None:
    assert is_short(texts) == short


@pytest.mark.parametrize(
    ("n_words", "kinds"), [(10, ["words", "bigrams", "characters"]), (90, ["words", "lead"])]
)
def test_families_suit_the_length_of_texts(n_words: int, kinds: list[str]) -> None:
    blocks = default_blocks(["word " * n_words] * 3, wants="log-tf-idf")
    assert list(blocks) == [FAMILIES[kind] for kind in kinds]
