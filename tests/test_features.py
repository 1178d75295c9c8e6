"""Documents to weighted rows: one family of terms, and several side by side."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from slugline.errors import DataError, NotFittedError, OptionError
from slugline.text import terms
from slugline.text import words as text_words
from slugline.text.block import Block
from slugline.text.features import Features
from slugline.text.weighting import WEIGHTINGS
from slugline.text.words import tokenize

KINDS = ["words", "lead", "bigrams", "characters"]
TEXTS = ["wheat wheat corn", "corn prices rose", "", "the bank's rate rose rose", "zinc"]
FAMILIES = (
    Block("words", "log-tf-idf"),
    Block("lead", "tf-idf", weight=2.0),
    Block("bigrams", "log-tf-idf", weight=0.5),
    Block("characters", "tf-idf", weight=0.25, min_count=2),
)

words = st.sampled_from(["wheat", "Corn", "rate", "don't", "zinc", "é", "straße", "oil-gas"])
documents = st.lists(st.lists(words, max_size=60).map(" ".join), min_size=1, max_size=8)


def reference_terms(kind: str, document: str) -> list[str]:
    """Return the terms of a document, in plain Python."""
    found = tokenize(document)
    if kind == "lead":
        return found[:48]
    if kind == "bigrams":
        return [" ".join(pair) for pair in itertools.pairwise(found)]
    if kind == "characters":
        return [f" {word} "[start : start + 4] for word in found for start in range(len(word) - 1)]
    return found


def reference_rows(texts: list[str], kind: str, weighting: str, terms: list[str]) -> Any:
    """Return the rows that scikit-learn makes of the same terms."""
    options: dict[str, dict[str, Any]] = {
        "multi-hot": {"binary": True, "use_idf": False, "norm": None},
        "counts": {"use_idf": False, "norm": None},
        "tf-idf": {},
        "log-tf-idf": {"sublinear_tf": True},
    }
    analyzer = functools.partial(reference_terms, kind)
    vectorizer = TfidfVectorizer(analyzer=analyzer, vocabulary=terms, **options[weighting])
    return vectorizer.fit_transform(texts).toarray()


def fitted(*blocks: Block) -> Features:
    features = Features(blocks)
    features.fit_transform(TEXTS)
    return features


def parts_of(X: sp.csr_array) -> list[list[float]]:
    """Return all that a CSR array consists of: equal for equal bits alone."""
    return [X.data.tolist(), X.indices.tolist(), X.indptr.tolist(), list(X.shape)]


def lengths(rows: npt.NDArray[Any]) -> Any:
    return np.linalg.norm(rows.astype(np.float64), axis=1)


# One family of terms ----------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", KINDS)
@given(texts=documents)
def test_rows_equal_scikit_learns(kind: str, weighting: str, texts: list[str]) -> None:
    assume(any(reference_terms(kind, document) for document in texts))
    features = Features([Block(kind, weighting)])
    ours = features.fit_transform(texts)
    expected = reference_rows(texts, kind, weighting, list(features.vocabularies_[0].terms))
    assert ours.dtype == np.float32
    assert ours.has_canonical_format
    np.testing.assert_allclose(ours.toarray(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=documents, max_terms=st.none() | st.integers(1, 10), min_count=st.integers(1, 3))
def test_the_terms_are_the_most_frequent_with_ties_in_order_of_appearance(
    kind: str, texts: list[str], max_terms: int | None, min_count: int
) -> None:
    counts = Counter(term for document in texts for term in reference_terms(kind, document))
    expected = [term for term, n in counts.most_common() if n >= min_count][:max_terms]
    assume(expected)
    features = Features([Block(kind, max_terms=max_terms, min_count=min_count)])
    features.fit_transform(texts)
    assert features.vocabularies_[0].terms == expected


def test_multi_hot_marks_presence_only() -> None:
    row = fitted(Block("words", "multi-hot")).transform(["wheat wheat wheat zebra"])
    assert row.data.tolist() == [1.0]
    assert row.dtype == np.float32


def test_words_with_the_logarithm_of_their_idf_count_by_default() -> None:
    assert Features().blocks == (Block("words", "log-tf-idf", 1.0, None, 1),)


@pytest.mark.parametrize(
    ("weighting", "has_idf"),
    [("multi-hot", False), ("counts", False), ("tf-idf", True), ("log-tf-idf", True)],
)
def test_the_idf_is_kept_where_there_is_one(weighting: str, has_idf: bool) -> None:
    block = Block("words", weighting)
    (idf,) = fitted(block).idf_
    assert block.has_idf == has_idf == (idf is not None)
    if idf is not None:
        # "rose" is in two of the five documents, and is the most frequent word.
        assert idf[0] == pytest.approx(math.log(6 / 3) + 1, rel=1e-6)
        assert idf.dtype == np.float32


# Several side by side ---------------------------------------------------------------------------


def test_families_stand_side_by_side_each_weighed_by_its_share() -> None:
    # The rows of one family have length 1, whatever its weight.
    alone = [fitted(block).transform(TEXTS).toarray() for block in FAMILIES]
    total = math.sqrt(1 + 2**2 + 0.5**2 + 0.25**2)
    shares = [1 / total, 2 / total, 0.5 / total, 0.25 / total]
    expected = np.hstack([rows * share for rows, share in zip(alone, shares, strict=True)])
    np.testing.assert_allclose(fitted(*FAMILIES).transform(TEXTS).toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_a_row_with_terms_of_all_families_has_length_1_whatever_their_weights(
    weight: float,
) -> None:
    rows = fitted(Block("words"), Block("bigrams", "tf-idf", weight)).transform(TEXTS).toarray()
    # Of the last text, a single word, only the first family has terms; of the empty one, none.
    own = 1 / math.hypot(1, weight)
    np.testing.assert_allclose(lengths(rows), [1, 1, 0, 1, own], rtol=1e-6)
    np.testing.assert_allclose(lengths(rows[:2, :7]), [own, own], rtol=1e-6)


def test_the_weight_of_a_single_family_changes_nothing() -> None:
    heavy, light = (fitted(Block(weight=weight)).transform(TEXTS) for weight in (7.0, 0.1))
    assert parts_of(heavy) == parts_of(light)


def test_columns_are_named_by_the_terms_of_each_family_in_turn() -> None:
    features = fitted(*FAMILIES)
    terms = [term for vocabulary in features.vocabularies_ for term in vocabulary.terms]
    assert features.n_columns == len(terms) == features.transform([]).shape[1]
    assert [features.term(column) for column in range(len(terms))] == terms
    with pytest.raises(IndexError):
        features.term(len(terms))


def test_a_family_without_terms_takes_no_columns() -> None:
    features = Features([Block("words"), Block("bigrams")])
    rows = features.fit_transform(["oil", "gas"])
    assert rows.shape == (2, 2)
    assert lengths(rows.toarray()).tolist() == pytest.approx([math.sqrt(0.5)] * 2)


# Rows are the same however they are made --------------------------------------------------------


@given(documents.filter(any))
def test_rows_made_while_fitting_are_those_made_afterwards(texts: list[str]) -> None:
    features = Features(FAMILIES)
    assert parts_of(features.fit_transform(texts)) == parts_of(features.transform(texts))


@given(documents)
def test_a_batch_equals_its_rows_one_by_one(texts: list[str]) -> None:
    features = fitted(*FAMILIES)
    rows = [features.transform([document]).toarray()[0].tolist() for document in texts]
    assert features.transform(texts).toarray().tolist() == rows


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
@pytest.mark.parametrize("chunk_characters", [1, 50, 1 << 18])
def test_neither_chunk_size_nor_thread_count_changes_anything(
    chunk_characters: int, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = TEXTS * 20
    features = Features(FAMILIES)
    expected = features.fit_transform(texts)
    monkeypatch.setattr(text_words, "_CHUNK_CHARACTERS", chunk_characters)
    again = Features(FAMILIES, n_jobs=n_jobs)
    assert parts_of(again.fit_transform(texts)) == parts_of(expected)
    assert parts_of(again.transform(texts)) == parts_of(expected)
    assert [v.terms for v in again.vocabularies_] == [v.terms for v in features.vocabularies_]


def test_a_stream_of_texts_is_enough_to_transform() -> None:
    features = fitted(*FAMILIES)
    stream = (document for document in TEXTS)
    assert parts_of(features.transform(stream)) == parts_of(features.transform(TEXTS))


def test_restored_features_give_the_same_rows() -> None:
    features = fitted(*FAMILIES, Block("words", "counts"))
    restored = Features.restore(features.blocks, features.vocabularies_, features.idf_)
    assert parts_of(restored.transform(TEXTS)) == parts_of(features.transform(TEXTS))


# Hash buckets ------------------------------------------------------------------------------------

HASHED = tuple(dataclasses.replace(block, min_count=1, n_buckets=64) for block in FAMILIES)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_where_no_terms_meet_buckets_hold_what_a_vocabulary_has(kind: str, weighting: str) -> None:
    known, hashed = (
        Features([Block(kind, weighting)]),
        Features([Block(kind, weighting, n_buckets=1 << 20)]),
    )
    by_term, by_bucket = known.fit_transform(TEXTS), hashed.fit_transform(TEXTS)
    buckets = terms.KINDS[kind].hash(known.vocabularies_[0].terms) % np.uint64(1 << 20)
    assert by_bucket.shape == (len(TEXTS), 1 << 20)
    assert by_bucket.nnz == by_term.nnz
    np.testing.assert_allclose(
        by_bucket[:, buckets.astype(np.int64)].toarray(), by_term.toarray(), rtol=1e-6
    )


def test_hashed_counts_of_processes_that_share_nothing_agree() -> None:
    block = Block("words", "counts", n_buckets=64)
    one, other = Features([block]), Features([block])
    one.fit_transform(TEXTS)
    other.fit_transform(["something else"])
    assert parts_of(one.transform(TEXTS)) == parts_of(other.transform(TEXTS))


@pytest.mark.parametrize("n_jobs", [1, 4])
@pytest.mark.parametrize("chunk_characters", [1, 50])
def test_hashed_rows_do_not_depend_on_chunks_and_threads(
    chunk_characters: int, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Features(HASHED).fit_transform(TEXTS * 20)
    monkeypatch.setattr(text_words, "_CHUNK_CHARACTERS", chunk_characters)
    again = Features(HASHED, n_jobs=n_jobs)
    assert parts_of(again.fit_transform(TEXTS * 20)) == parts_of(expected)
    assert parts_of(again.transform(TEXTS * 20)) == parts_of(expected)


def test_hashed_families_stand_beside_others_and_have_no_names() -> None:
    features = fitted(Block("words"), Block("bigrams", n_buckets=8), Block("lead"))
    n_words = len(features.vocabularies_[0].terms)
    assert features.n_columns == 2 * n_words + 8
    assert [features.term(n_words + bucket) for bucket in (0, 7)] == [None, None]
    assert features.term(n_words + 8) == features.term(0) == "rose"
    assert features.transform(TEXTS).shape == (len(TEXTS), features.n_columns)


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weighting": "bm25"},
            "unknown weighting 'bm25'; choose one of multi-hot, counts, tf-idf, log-tf-idf.",
        ),
        (
            {"kind": "trigrams"},
            "unknown kind 'trigrams'; choose one of words, lead, bigrams, characters.",
        ),
        ({"weight": 0}, "weight is 0; give a number over 0."),
        ({"weight": -1.0}, "weight is -1.0; give a number over 0."),
        ({"weight": math.inf}, "weight is inf; give a number over 0."),
        ({"weight": math.nan}, "weight is nan; give a number over 0."),
        *[
            (
                {"n_buckets": n_buckets},
                f"n_buckets is {n_buckets!r}; give a power of two up to 16777216, or None to learn "
                "a vocabulary.",
            )
            for n_buckets in (0, -4, 1000, 1 << 25, 64.0)
        ],
        *[
            (
                {"n_buckets": 64} | more,
                "max_terms and min_count choose the terms of a vocabulary, and with n_buckets "
                "there is none; leave them out.",
            )
            for more in ({"max_terms": 10}, {"min_count": 2})
        ],
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_family_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Block(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "use",
    [lambda f: f.transform(TEXTS), lambda f: f.term(0), lambda f: f.n_columns],
    ids=["transform", "term", "n_columns"],
)
def test_use_before_fit_says_so(use: Any) -> None:
    with pytest.raises(NotFittedError) as caught:
        use(Features())
    assert str(caught.value) == "the features have no vocabulary yet; fit them first."


@pytest.mark.parametrize("texts", [["", " - ", "?!"], []], ids=["no words", "no texts"])
def test_texts_without_words_can_teach_nothing(texts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Features().fit_transform(texts)
    assert str(caught.value) == "no document has a word in it; check which column holds the text."
