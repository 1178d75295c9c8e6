"""Documents to weighted rows: one family of terms, and several side by side."""

from __future__ import annotations

import copy
import dataclasses
import functools
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

from reference_terms import reference_terms
from slugline.errors import DataError, NotFittedError, OptionError
from slugline.text import tokens as text_words
from slugline.text.feature_groups import WEIGHTINGS, FeatureGroup
from slugline.text.features import Features

KINDS = ["words", "lead", "bigrams", "characters"]
TEXTS = ["wheat wheat corn", "corn prices rose", "", "the bank's rate rose rose", "zinc"]
FAMILIES = (
    FeatureGroup("words", "log-tf-idf"),
    FeatureGroup("lead", "tf-idf", weight=2.0),
    FeatureGroup("bigrams", "log-tf-idf", weight=0.5),
    FeatureGroup("characters", "tf-idf", weight=0.25, min_count=2),
)

words = st.sampled_from(["wheat", "Corn", "rate", "don't", "é", "straße", "oil-gas", "石油", "5元"])
documents = st.lists(st.lists(words, max_size=60).map(" ".join), min_size=1, max_size=8)


def reference_rows(
    texts: list[str], kind: str, weighting: str, terms: list[str], norm: str | None = "l2"
) -> Any:
    """Return the rows that scikit-learn makes of the same terms."""
    options: dict[str, dict[str, Any]] = {
        "multi-hot": {"binary": True, "use_idf": False, "norm": None},
        "counts": {"use_idf": False, "norm": None},
        "tf-idf": {"norm": norm},
        "log-tf-idf": {"sublinear_tf": True, "norm": norm},
    }
    analyzer = functools.partial(reference_terms, kind)
    vectorizer = TfidfVectorizer(analyzer=analyzer, vocabulary=terms, **options[weighting])
    return vectorizer.fit_transform(texts).toarray()


def fitted(*feature_groups: FeatureGroup) -> Features:
    features = Features(feature_groups)
    features.fit_transform(TEXTS)
    return features


def parts_of(X: sp.csr_array) -> list[list[float]]:
    """Return all that a CSR array consists of: equal for equal bits alone."""
    return [X.data.tolist(), X.indices.tolist(), X.indptr.tolist(), list(X.shape)]


def lengths(rows: npt.NDArray[Any]) -> Any:
    return np.linalg.norm(rows.astype(np.float64), axis=1)


def of_length_1(rows: npt.NDArray[Any]) -> Any:
    norms = lengths(rows)
    return rows / np.where(norms, norms, 1)[:, np.newaxis]


# One family of terms ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(weighting=st.sampled_from(WEIGHTINGS), texts=documents)
def test_features_give_the_rows_of_scikit_learn(
    kind: Any, weighting: Any, texts: list[str]
) -> None:
    assume(any(reference_terms(kind, document) for document in texts))
    features = Features([FeatureGroup(kind, weighting)])
    ours = features.fit_transform(texts)
    expected = reference_rows(texts, kind, weighting, list(features.vocabularies_[0].terms))
    assert ours.dtype == np.float32
    assert ours.has_canonical_format
    np.testing.assert_allclose(ours.toarray(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(texts=documents, max_terms=st.none() | st.integers(1, 10), min_count=st.integers(1, 3))
def test_features_keep_the_most_frequent_terms(
    kind: Any, texts: list[str], max_terms: int | None, min_count: int
) -> None:
    counts = Counter(term for document in texts for term in reference_terms(kind, document))
    expected = [term for term, n in counts.most_common() if n >= min_count][:max_terms]
    assume(expected)
    features = Features([FeatureGroup(kind, max_terms=max_terms, min_count=min_count)])
    features.fit_transform(texts)
    assert features.vocabularies_[0].terms == expected


def test_features_weigh_words_by_log_tf_idf_by_default() -> None:
    assert Features().feature_groups == (FeatureGroup("words", "log-tf-idf", 1.0, None, 1),)


@pytest.mark.parametrize(
    ("weighting", "has_idf"),
    [("multi-hot", False), ("counts", False), ("tf-idf", True), ("log-tf-idf", True)],
)
def test_features_keep_the_idf_of_groups_with_idf(weighting: Any, has_idf: bool) -> None:
    group = FeatureGroup("words", weighting)
    (idf,) = fitted(group).idf_
    assert group.has_idf == has_idf == (idf is not None)
    if idf is not None:
        # "rose" is in two of the five documents, and is the most frequent word.
        assert idf[0] == pytest.approx(math.log(6 / 3) + 1, rel=1e-6)
        assert idf.dtype == np.float32


# Several side by side ---------------------------------------------------------------------------


def test_features_scale_rows_of_several_groups_to_length_1() -> None:
    parts = []
    for group in FAMILIES:
        terms = list(fitted(group).vocabularies_[0].terms)
        rows = reference_rows(TEXTS, group.kind, group.weighting, terms, norm=None)
        parts.append(rows * group.weight)
    expected = of_length_1(np.hstack(parts))
    np.testing.assert_allclose(fitted(*FAMILIES).transform(TEXTS).toarray(), expected, rtol=1e-5)


def test_features_apply_the_weighting_of_each_group() -> None:
    feature_groups = (
        FeatureGroup("words", "counts", weight=2.0),
        FeatureGroup("bigrams", "tf-idf", weight=0.5),
        FeatureGroup("lead", "multi-hot", weight=0.1),
        FeatureGroup("characters", "log-tf-idf"),
    )
    parts = [
        reference_rows(
            TEXTS, b.kind, b.weighting, list(fitted(b).vocabularies_[0].terms), norm=None
        )
        * b.weight
        for b in feature_groups
    ]
    # Those with idf have length 1 together; the others are as long as they are.
    norms = lengths(np.hstack(parts[1::2]))[:, np.newaxis]
    parts[1::2] = [part / np.where(norms, norms, 1) for part in parts[1::2]]
    rows = fitted(*feature_groups).transform(TEXTS).toarray()
    np.testing.assert_allclose(rows, np.hstack(parts), rtol=1e-5)


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_features_scale_rows_that_lack_terms_of_a_group(weight: float) -> None:
    rows = (
        fitted(FeatureGroup("words"), FeatureGroup("bigrams", "tf-idf", weight))
        .transform(TEXTS)
        .toarray()
    )
    # The last text, a single word, has no pair; the empty one has nothing.
    np.testing.assert_allclose(lengths(rows), [1, 1, 0, 1, 1], rtol=1e-6)


def test_features_do_not_scale_a_group_without_idf() -> None:
    both = fitted(FeatureGroup("words", weight=3.0), FeatureGroup("words", "counts", weight=0.5))
    rows, n_words = both.transform(TEXTS).toarray(), both.n_columns // 2
    alone = fitted(FeatureGroup()).transform(TEXTS).toarray()
    np.testing.assert_allclose(rows[:, :n_words], alone, rtol=1e-6)
    counts = fitted(FeatureGroup("words", "counts")).transform(TEXTS).toarray()
    np.testing.assert_array_equal(rows[:, n_words:], counts / 2)


def test_term_names_the_columns_of_each_group() -> None:
    features = fitted(*FAMILIES)
    terms = [term for vocabulary in features.vocabularies_ for term in vocabulary.terms]
    assert features.n_columns == len(terms) == features.transform([]).shape[1]
    assert [features.term(column) for column in range(len(terms))] == terms
    with pytest.raises(IndexError):
        features.term(len(terms))


# Rows are the same however they are made --------------------------------------------------------


@pytest.mark.slow
@given(documents)
def test_transform_gives_the_same_rows_one_by_one(texts: list[str]) -> None:
    features = fitted(*FAMILIES)
    rows = [features.transform([document]).toarray()[0].tolist() for document in texts]
    assert features.transform(texts).toarray().tolist() == rows


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
@pytest.mark.parametrize("chunk_characters", [1, 50, 1 << 18])
def test_transform_does_not_depend_on_chunks_and_threads(
    chunk_characters: int, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = TEXTS * 20
    features = Features(FAMILIES)
    expected = features.fit_transform(texts)
    monkeypatch.setattr(text_words, "CHUNK_SIZES", text_words.ChunkSizes(chunk_characters))
    again = Features(FAMILIES, n_jobs=n_jobs)
    assert parts_of(again.fit_transform(texts)) == parts_of(expected)
    assert parts_of(again.transform(texts)) == parts_of(expected)
    assert [v.terms for v in again.vocabularies_] == [v.terms for v in features.vocabularies_]


def test_restore_gives_the_same_rows() -> None:
    features = fitted(*FAMILIES, FeatureGroup("words", "counts"))
    restored = Features.restore(features.feature_groups, features.vocabularies_, features.idf_)
    assert parts_of(restored.transform(TEXTS)) == parts_of(features.transform(TEXTS))


# Hash buckets ------------------------------------------------------------------------------------

HASHED = tuple(dataclasses.replace(group, min_count=1, n_buckets=64) for group in FAMILIES)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_hashed_group_equals_a_vocabulary_without_collisions(kind: Any, weighting: Any) -> None:
    known = Features([FeatureGroup(kind, weighting)])
    hashed = Features([FeatureGroup(kind, weighting, n_buckets=1 << 20)])
    by_term, by_bucket = known.fit_transform(TEXTS), hashed.fit_transform(TEXTS)
    terms = hashed.vocabularies_[0].terms
    assert by_bucket.shape == by_term.shape
    assert by_bucket.nnz == by_term.nnz
    columns = [list(known.vocabularies_[0].terms).index(term) for term in terms]
    np.testing.assert_allclose(by_bucket.toarray(), by_term[:, columns].toarray(), rtol=1e-6)


def test_hashed_group_names_columns_by_their_first_term() -> None:
    features = fitted(
        FeatureGroup("words", n_buckets=1 << 20), FeatureGroup("bigrams", n_buckets=1 << 20)
    )
    terms = [
        *("wheat", "corn", "prices", "rose", "the", "bank's", "rate", "zinc"),
        *("wheat wheat", "wheat corn", "corn prices", "prices rose", "the bank's"),
        *("bank's rate", "rate rose", "rose rose"),
    ]
    assert [features.term(column) for column in range(features.n_columns)] == terms


@pytest.mark.parametrize("texts", [TEXTS * 20, TEXTS, []], ids=["many", "few", "none"])
def test_read_parts_gives_the_rows_of_transform(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_words, "CHUNK_SIZES", text_words.ChunkSizes(50, texts_per_step=16))
    features = fitted(*HASHED)
    parts = [part.rows.csr() for part in features.read_parts(texts)]
    assert len(parts) == (7 if len(texts) == 100 else 1)
    assert parts_of(sp.vstack(parts, format="csr")) == parts_of(features.transform(texts))


@pytest.mark.parametrize("n_jobs", [1, 4])
@pytest.mark.parametrize("chunk_characters", [1, 50])
def test_hashed_group_does_not_depend_on_chunks_and_threads(
    chunk_characters: int, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = Features(HASHED)
    expected = features.fit_transform(TEXTS * 20)
    monkeypatch.setattr(text_words, "CHUNK_SIZES", text_words.ChunkSizes(chunk_characters))
    again = Features(HASHED, n_jobs=n_jobs)
    assert parts_of(again.fit_transform(TEXTS * 20)) == parts_of(expected)
    assert parts_of(again.transform(TEXTS * 20)) == parts_of(expected)
    assert [v.terms for v in again.vocabularies_] == [v.terms for v in features.vocabularies_]


def test_hashed_group_stands_beside_others() -> None:
    features = fitted(
        FeatureGroup("words"), FeatureGroup("bigrams", n_buckets=1 << 20), FeatureGroup("lead")
    )
    assert features.n_columns == 8 + 8 + 8
    assert features.term(0) == features.term(16) == "rose"
    assert features.term(8) == "wheat wheat"
    assert features.transform(TEXTS).shape == (len(TEXTS), features.n_columns)


def test_without_keeps_the_other_columns() -> None:
    feature_groups = (
        FeatureGroup("words", n_buckets=1 << 20),
        FeatureGroup("bigrams", "counts", n_buckets=1 << 20),
    )
    features = fitted(*feature_groups)
    features.n_jobs = 2
    columns = np.array([1, 3, 7, 8, 12])
    kept, left = features.without(~np.isin(np.arange(16), columns))
    assert left.tolist() == columns.tolist()
    assert (kept.n_columns, kept.n_jobs) == (5, 2)
    assert [kept.term(column) for column in range(5)] == [
        features.term(column) for column in columns.tolist()
    ]
    rarity = features.idf_[0]
    assert rarity is not None
    np.testing.assert_array_equal(kept.idf_[0], rarity[[1, 3, 7]])
    assert kept.idf_[1] is None
    before, after = (f.transform(TEXTS).toarray() for f in (features, kept))
    np.testing.assert_array_equal(after[:, 3:], before[:, columns[3:]])
    expected = of_length_1(before[:, columns[:3]])
    np.testing.assert_allclose(after[:, :3], expected, rtol=1e-6)
    assert features.n_columns == 16  # these have lost none


def test_without_keeps_all_columns_of_a_vocabulary() -> None:
    features = fitted(FeatureGroup("words"), FeatureGroup("bigrams", n_buckets=1 << 20))
    kept, left = features.without(~np.isin(np.arange(16), [0, 9]))
    assert left.tolist() == [*range(8), 9]
    assert kept.vocabularies_[0] is features.vocabularies_[0]
    assert kept.vocabularies_[1].terms == ["wheat corn"]
    everything, _ = features.without(np.zeros(16, dtype=bool))
    assert parts_of(everything.transform(TEXTS)) == parts_of(features.transform(TEXTS))


# Batch after batch -------------------------------------------------------------------------------


def test_partial_fit_transform_returns_where_columns_moved() -> None:
    features = Features(
        [FeatureGroup("words", n_buckets=1 << 20), FeatureGroup("bigrams", n_buckets=1 << 20)]
    )
    rows, moved = features.partial_fit_transform(["wheat corn"], 0)
    assert (rows.shape, moved) == ((1, 3), None)
    before = [features.term(column) for column in range(3)]

    rows, moved = features.partial_fit_transform(["zinc wheat", "corn"], 1)
    assert rows.shape == (2, 5)
    assert moved is not None
    assert moved.tolist() == [0, 1, 3]
    assert [features.term(column) for column in moved.tolist()] == before
    assert [features.term(column) for column in range(5)] == [
        *("wheat", "corn", "zinc"),
        *("wheat corn", "zinc wheat"),
    ]
    assert parts_of(features.transform(["zinc wheat", "corn"])) == parts_of(rows)

    rows, moved = features.partial_fit_transform(["corn", ""], 3)
    assert (rows.shape, moved) == ((2, 5), None)


def test_partial_fit_transform_leaves_earlier_vocabularies_unchanged() -> None:
    features = Features([FeatureGroup("words", n_buckets=1 << 20)])
    features.partial_fit_transform(["wheat corn"], 0)
    before = copy.copy(features)
    rows = before.transform(TEXTS)
    features.partial_fit_transform(["zinc rose"], 1)
    assert (before.n_columns, features.n_columns) == (2, 4)
    assert parts_of(before.transform(TEXTS)) == parts_of(rows)


def test_partial_fit_transform_without_growth_has_a_column_for_each_bucket() -> None:
    features = Features(
        [FeatureGroup("words", "counts", n_buckets=8), FeatureGroup("lead", n_buckets=4)]
    )
    for n_before, batch in enumerate(["wheat corn", "zinc", "rose prices rate"]):
        rows, moved = features.partial_fit_transform([batch], n_before, grow=False)
        assert (rows.shape, moved) == ((1, 12), None)
    assert {features.term(column) for column in range(12)} == {None}


def test_partial_fit_transform_does_not_grow_a_vocabulary() -> None:
    features = fitted(FeatureGroup("words"), FeatureGroup("bigrams", n_buckets=1 << 20))
    terms, rarity = list(features.vocabularies_[0].terms), features.idf_[0]
    _, moved = features.partial_fit_transform(["copper rose"], len(TEXTS))
    assert moved is not None
    assert moved.tolist() == list(range(16))
    assert features.vocabularies_[0].terms == terms
    assert features.idf_[0] is rarity
    assert features.term(16) == "copper rose"


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weighting": "bm25"},
            "`weighting` is 'bm25'; give one of multi-hot, counts, tf-idf, log-tf-idf.",
        ),
        (
            {"kind": "trigrams"},
            "`kind` is 'trigrams'; give one of words, lead, bigrams, characters, characters-2, "
            "characters-3, characters-5.",
        ),
        ({"weight": 0}, "`weight` is 0; give a number over 0 and under 1000000."),
        ({"weight": -1.0}, "`weight` is -1.0; give a number over 0 and under 1000000."),
        ({"weight": math.inf}, "`weight` is inf; give a number over 0 and under 1000000."),
        ({"weight": math.nan}, "`weight` is nan; give a number over 0 and under 1000000."),
        *[
            (
                {"n_buckets": n_buckets},
                f"`n_buckets` is {n_buckets!r}; give a power of two up to 16777216, or None to "
                f"learn "
                "a vocabulary.",
            )
            for n_buckets in (0, -4, 1000, 1 << 25, 64.0)
        ],
        *[
            (
                {"n_buckets": 64} | more,
                "`max_terms` and `min_count` choose the terms of a vocabulary, and with "
                "`n_buckets` "
                "there is none; leave them out.",
            )
            for more in ({"max_terms": 10}, {"min_count": 2})
        ],
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_feature_group_rejects_invalid_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        FeatureGroup(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "use",
    [lambda f: f.transform(TEXTS), lambda f: f.term(0), lambda f: f.n_columns],
    ids=["transform", "term", "n_columns"],
)
def test_features_raise_not_fitted_before_fit(use: Any) -> None:
    with pytest.raises(NotFittedError) as caught:
        use(Features())
    assert str(caught.value) == "the features have no vocabulary yet; fit them first."


@pytest.mark.parametrize("texts", [["", " - ", "?!"], []], ids=["no words", "no texts"])
def test_fit_transform_rejects_texts_without_words(texts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Features().fit_transform(texts)
    assert str(caught.value) == "no document contains a word; check which column contains the text."


def test_without_keeps_at_least_one_hashed_column() -> None:
    features = fitted(
        FeatureGroup("words", n_buckets=1 << 20), FeatureGroup("bigrams", n_buckets=1 << 20)
    )
    kept, left = features.without(np.ones(features.n_columns, dtype=bool))
    assert left.tolist() == [0, 8]
    assert [vocabulary.n_columns for vocabulary in kept.vocabularies_] == [1, 1]
