"""The tool that makes the table of word vectors, with a stand-in for the encoder."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slugline.text.vector_table import map_table

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "make_word_vectors.py"))
# From the most frequent piece to the rarest one; ▁ is before pieces with which words begin.
PIECES = [
    "<s>",
    "▁the",
    "▁Oil",
    "ing",
    "▁oil",
    "▁Paris",
    "石油",
    "S",
    "s",
    "▁石",
    "▁في",
    "er",
    "▁,",
]
N_HIDDEN = 24


@pytest.fixture
def encoder() -> Any:
    """Return an encoder with a vocabulary alone."""
    scores = np.log(0.1 / np.arange(1, len(PIECES) + 1))
    return SimpleNamespace(_tokenizer=SimpleNamespace(_pieces=PIECES, _scores=scores.tolist()))


def words(encoder: Any, **choices: Any) -> list[str]:
    found: list[str] = TOOL["make_vocabulary"](encoder, TOOL["Choices"](**choices)).words
    return found


def random_vectors() -> Any:
    rng = np.random.default_rng(0)
    hidden, output = rng.standard_normal((2, len(PIECES), N_HIDDEN)).astype(np.float32)
    return TOOL["PieceVectors"](hidden=hidden, output=output)


def test_make_vocabulary_has_words_and_pieces_from_the_most_frequent_one(encoder: Any) -> None:
    assert words(encoder) == ["the", "ing", "oil", "paris", "石油", "石", "er"]


def test_make_vocabulary_takes_the_piece_of_the_lower_case_word(encoder: Any) -> None:
    vocabulary = TOOL["make_vocabulary"](encoder, TOOL["Choices"]())
    assert [PIECES[piece] for piece in vocabulary.pieces][2:4] == ["▁oil", "▁Paris"]
    np.testing.assert_allclose(vocabulary.probabilities[:2], [0.1 / 2, 0.1 / 4])


def test_make_vocabulary_follows_its_choices(encoder: Any) -> None:
    assert words(encoder, has_names=False) == ["the", "ing", "oil", "石油", "石", "er"]
    assert words(encoder, has_pieces=False) == ["the", "oil", "paris", "石油", "石"]
    assert words(encoder, shortest_piece=3) == ["the", "ing", "oil", "paris", "石油", "石"]
    assert words(encoder, shortest_piece=1)[5] == "s"


@pytest.mark.parametrize("n_words", [2, 4, 5])
def test_make_vocabulary_has_at_most_n_words_and_leaves_out_pieces_first(
    n_words: int, encoder: Any
) -> None:
    expected = {2: ["the", "oil"], 4: ["the", "oil", "paris", "石"]}
    expected[5] = ["the", "ing", "oil", "paris", "石"]
    assert words(encoder, n_words=n_words) == expected[n_words]


def test_make_vectors_returns_components_whose_weighted_mean_is_zero(encoder: Any) -> None:
    choices = TOOL["Choices"](n_columns=8)
    vocabulary = TOOL["make_vocabulary"](encoder, choices)
    vectors = TOOL["make_vectors"](random_vectors(), vocabulary, choices)
    assert vectors.shape == (len(vocabulary.words), 8)
    weight = vocabulary.probabilities**choices.component_power
    np.testing.assert_allclose(np.average(vectors, axis=0, weights=weight), 0, atol=1e-5)
    products = (vectors.T * weight) @ vectors
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-5)
    assert (np.diff(np.diag(products)) <= 1e-6).all()


def test_make_vectors_of_one_layer_do_not_depend_on_the_other(encoder: Any) -> None:
    choices = TOOL["Choices"](n_columns=8, hidden_weight=0.0, length_power=0.0)
    vocabulary, vectors = TOOL["make_vocabulary"](encoder, choices), random_vectors()
    changed = vectors._replace(hidden=vectors.hidden[:, ::-1] * np.float32(2))
    ours, theirs = (TOOL["make_vectors"](each, vocabulary, choices) for each in (vectors, changed))
    np.testing.assert_array_equal(ours, theirs)


def test_make_table_writes_the_same_bytes_again(encoder: Any, tmp_path: Path) -> None:
    choices, paths = TOOL["Choices"](n_columns=8), [tmp_path / "a", tmp_path / "b"]
    digests = {TOOL["make_table"](path, choices, encoder, random_vectors()) for path in paths}
    assert len(digests) == 1
    assert paths[0].read_bytes() == paths[1].read_bytes()
    table = map_table(paths[0])
    assert [*table] == words(encoder)
    assert (table.header.version, table.header.n_columns) == (TOOL["VERSION"], 8)
    assert {table.digest} == digests
