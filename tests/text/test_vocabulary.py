"""The vocabulary: which words it keeps, in which columns, and what it makes of texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from slugline.errors import DataError, OptionError
from slugline.text import tokens
from slugline.text.columns import Vocabulary, _make_hash_table
from slugline.text.tokens import tokenize
from vocabularies import count_terms, fit_vocabulary

WORDS = st.sampled_from(
    ["oil", "Oil", "grain", "ships", "don't", "straße", "ölpreis", "x" * 20, "7"]
)
DOCUMENTS = st.lists(WORDS | st.text(max_size=5)).map(" ".join)
TEXTS = st.lists(DOCUMENTS, max_size=8)

WIRES = ["Oil prices rose, oil ministers said.", "", "Wheat: 5 mln tonnes", "rose prices ROSE"] * 10

#: Two words with the same 64-bit hash, found by running the hash backwards.
TWINS = ["bljbpfkfaaaaaaad", "wrcderdeiwqhwvfy"]


def count_words(texts: list[str]) -> Counter[str]:
    return Counter(word for document in texts for word in tokenize(document))


# Which words ------------------------------------------------------------------------------------


@pytest.mark.slow
@given(TEXTS, st.none() | st.integers(1, 10), st.integers(1, 3))
def test_vocabulary_orders_words_by_frequency_and_appearance(
    texts: list[str], num_words: int | None, min_count: int
) -> None:
    expected = [w for w, n in count_words(texts).most_common() if n >= min_count][:num_words]
    vocabulary = fit_vocabulary(texts, num_words=num_words, min_count=min_count)
    assert vocabulary.terms == expected
    assert len(vocabulary) == vocabulary.n_columns == len(expected)


def test_vocabulary_fits_a_stream() -> None:
    assert fit_vocabulary(iter(["b a", "a"])).terms == ["a", "b"]


def test_vocabulary_of_no_texts_is_empty() -> None:
    vocabulary = fit_vocabulary([])
    assert count_terms(vocabulary, ["oil", ""]).shape == (2, 0)


def test_vocabulary_can_be_made_again_from_its_words() -> None:
    vocabulary = fit_vocabulary(WIRES)
    again = Vocabulary(vocabulary.terms)
    assert (count_terms(vocabulary, WIRES) != count_terms(again, WIRES)).nnz == 0


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("words", ["oil", "grain", "oil"]),
        ("bigrams", ["oil price", "palm oil", "oil price"]),
        ("words", ["oil", *TWINS]),
    ],
    ids=["words", "bigrams", "words made to share a hash"],
)
def test_vocabulary_rejects_terms_with_the_same_hash(kind: str, terms: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Vocabulary(terms, kind)
    assert str(caught.value) == (
        "the vocabulary contains a duplicate term, or two terms with the same hash; terms must be "
        "unique."
    )


def test_vocabulary_counts_words_with_the_same_hash_as_one() -> None:
    vocabulary = fit_vocabulary([" ".join(TWINS), "oil oil oil"])
    assert vocabulary.terms == ["oil", TWINS[0]]
    assert count_terms(vocabulary, TWINS).toarray().tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("odd", ["", "oil prices", "Oil", "..."])
def test_vocabulary_keeps_the_column_of_an_absent_term(odd: str) -> None:
    vocabulary = Vocabulary([odd, "oil"])
    X = count_terms(vocabulary, ["oil prices", odd, "Oil ... oil"])
    assert X.toarray()[:, 0].tolist() == [0, 0, 0]
    assert X.toarray()[:, 1].tolist()[::2] == [1, 2]
    assert vocabulary.term(0) == odd


@pytest.mark.parametrize("odd", ["", "oil", "oil price rise", "oil  price", " oil", "oil "])
def test_vocabulary_rejects_a_bigram_that_is_no_pair(odd: str) -> None:
    with pytest.raises(DataError) as caught:
        Vocabulary(["oil price", odd], "bigrams")
    assert str(caught.value) == (
        "the vocabulary contains a term that is not of the kind 'bigrams'."
    )


def test_vocabulary_accepts_bigrams_of_words_with_separators() -> None:
    vocabulary = Vocabulary(["öl gas", "“öl gas", "oil –", "my iphone手机"], "bigrams")
    assert count_terms(vocabulary, ["“Öl – gas", "my iPhone手机"]).toarray().tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_vocabulary_fit_rejects_fewer_than_one_word() -> None:
    with pytest.raises(OptionError) as caught:
        fit_vocabulary(["oil"], num_words=0)
    assert str(caught.value) == "`num_words` is 0; give a whole number of at least 1."


# Texts to counts --------------------------------------------------------------------------------


@pytest.mark.slow
@given(TEXTS, TEXTS)
def test_vocabulary_counts_like_a_counter(known: list[str], texts: list[str]) -> None:
    vocabulary = fit_vocabulary(known)
    X = count_terms(vocabulary, texts)
    counters = [count_words([document]) for document in texts]
    expected = [[counter[word] for word in vocabulary.terms] for counter in counters]
    assert X.shape == (len(texts), len(vocabulary))
    assert X.dtype == np.float32
    assert X.toarray().tolist() == expected
    assert X.has_canonical_format


@pytest.mark.slow
@given(TEXTS, TEXTS)
def test_vocabulary_counts_like_scikit_learn(known: list[str], texts: list[str]) -> None:
    vocabulary = fit_vocabulary(known)
    assume(len(vocabulary) and texts)
    sklearn_counts = CountVectorizer(
        tokenizer=tokenize, lowercase=False, token_pattern=None, vocabulary=vocabulary.terms
    ).transform(texts)
    assert (count_terms(vocabulary, texts) != sklearn_counts).nnz == 0


@pytest.mark.slow
@given(TEXTS)
def test_vocabulary_transforms_rows_one_by_one_alike(texts: list[str]) -> None:
    vocabulary = Vocabulary(["oil", "don't", "straße"])
    X = count_terms(vocabulary, texts).toarray()
    assert X.tolist() == [
        count_terms(vocabulary, [document]).toarray()[0].tolist() for document in texts
    ]


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("chunk_characters", [1, 50, 1 << 18])
def test_vocabulary_does_not_depend_on_chunks_and_threads(
    chunk_characters: int, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fit_vocabulary(WIRES, num_words=5)
    monkeypatch.setattr(tokens, "CHUNK_SIZES", tokens.ChunkSizes(chunk_characters))
    vocabulary = fit_vocabulary(WIRES, num_words=5, n_threads=n_threads)
    assert vocabulary.terms == expected.terms
    X, X_expected = count_terms(vocabulary, WIRES), count_terms(expected, WIRES)
    for part in ("data", "indices", "indptr"):
        assert getattr(X, part).tolist() == getattr(X_expected, part).tolist()


def test_vocabulary_names_the_place_of_what_is_no_text() -> None:
    with pytest.raises(DataError, match="document 1 is of type NoneType, not a str;"):
        fit_vocabulary(["oil", None])  # type: ignore[list-item]


@pytest.mark.slow
@pytest.mark.reuters
def test_vocabulary_gives_the_sequences_of_the_newswire_data_set(reuters_data: Path) -> None:
    from slugline import reuters

    word_index = reuters.get_word_index(reuters_data)
    numbers = {word: rank + 3 for word, rank in word_index.items()}
    n_words = len(word_index) + 4
    (x_train, _), (x_test, _) = reuters.load_data(reuters_data, num_words=n_words)
    wires = reuters.load_wires("keras", reuters_data)
    # 1 begins a document, and 2 is a word that the index lacks.
    sequences = [
        [1, *(numbers.get(word, 2) for word in tokenize(text))]
        for text in wires.train.texts + wires.test.texts
    ]
    order = np.arange(len(sequences))
    np.random.RandomState(113).shuffle(order)
    differing = {
        int(order[i]): [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
        for i, (ours, theirs) in enumerate(zip(sequences, [*x_train, *x_test], strict=True))
        if ours != theirs
    }
    # Where the wire of that place in the data set has an "ü", its sequence names the word "?".
    assert differing == {9624: [(2, word_index["?"] + 3)]}


@pytest.mark.parametrize("shift", [20, 0], ids=["low bits", "high bits"])
def test_hash_table_of_a_vocabulary_spreads_crafted_hashes(shift: int) -> None:
    numbers = np.random.default_rng(0).integers(1, 2**44, 5000, dtype=np.uint64)
    hashes = np.unique(numbers) << np.uint64(shift)
    table = _make_hash_table(hashes, np.arange(len(hashes), dtype=np.int32))
    assert table.keys is not None
    assert table.columns is not None
    used = np.flatnonzero(table.keys)
    np.testing.assert_array_equal(hashes[table.columns[used]], table.keys[used])
    assert len(used) == len(hashes)
    # What is looked up is compared with no more hashes than stand in a row.
    in_a_row = np.diff(np.flatnonzero(table.keys == 0), prepend=-1) - 1
    assert in_a_row.max() < 100
