"""Which terms count where the user does not say."""

from __future__ import annotations

from slugline.text.blocks import DEFAULT_GROUPS, Block, default_blocks
from slugline.text.terms import KINDS

N_BUCKETS = 1 << 20


def test_words_pairs_and_runs_of_characters_count_in_buckets() -> None:
    assert default_blocks("log-tf-idf") == (
        Block("words", "log-tf-idf", 1.25, n_buckets=N_BUCKETS),
        Block("bigrams", "log-tf-idf", 1.25, n_buckets=N_BUCKETS),
        Block("characters", "log-tf-idf", 1.0, n_buckets=N_BUCKETS),
    )


def test_nets_get_the_words_of_the_newswire_lesson() -> None:
    assert default_blocks("multi-hot") == (Block("words", "multi-hot", max_terms=10_000),)


def test_there_is_a_family_of_every_kind() -> None:
    assert {kind: block.kind for kind, block in DEFAULT_GROUPS.items()} == {
        kind: kind for kind in KINDS
    }
