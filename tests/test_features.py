"""Documents to weighted rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from slugline.errors import DataError, NotFittedError, OptionError
from slugline.features import Features
from slugline.text import tokenize

TEXTS = ["wheat wheat corn", "corn prices rose", "", "the bank's rate rose rose"]
words = st.sampled_from(["wheat", "corn", "rate", "don't", "zinc", "é", "straße"])
documents = st.lists(st.lists(words, max_size=8).map(" ".join), min_size=1, max_size=8).filter(
    lambda texts: any(texts)
)


def sklearn_rows(texts, vocabulary, **options):
    vectorizer = TfidfVectorizer(
        tokenizer=tokenize, token_pattern=None, lowercase=False, vocabulary=vocabulary, **options
    )
    return vectorizer.fit_transform(texts).toarray()


@given(documents)
def test_tf_idf_equals_scikit_learns(texts):
    features = Features("tf-idf", None).fit(texts)
    ours = features.transform(texts).toarray()
    np.testing.assert_allclose(
        ours, sklearn_rows(texts, features.vocabulary_.words), rtol=1e-5, atol=1e-6
    )


@given(documents)
def test_counts_equal_scikit_learns(texts):
    features = Features("counts", None).fit(texts)
    expected = sklearn_rows(texts, features.vocabulary_.words, use_idf=False, norm=None)
    assert np.array_equal(features.transform(texts).toarray(), expected)


@pytest.mark.parametrize("weighting", ["multi-hot", "counts", "tf-idf"])
def test_a_batch_equals_its_rows_one_by_one(weighting):
    features = Features(weighting, None).fit(TEXTS)
    batch = features.transform(TEXTS).toarray()
    rows = np.vstack([features.transform([text]).toarray() for text in TEXTS])
    assert np.array_equal(batch, rows)


def test_multi_hot_marks_presence_only():
    features = Features().fit(TEXTS)
    row = features.transform(["wheat wheat wheat zebra"])
    assert row.data.tolist() == [1.0]
    assert row.dtype == np.float32


def test_num_words_keeps_the_most_frequent():
    assert Features(num_words=2).fit(TEXTS).vocabulary_.words == ["rose", "wheat"]


def test_a_stream_of_texts_is_enough_to_fit():
    once = Features("tf-idf").fit(text for text in TEXTS)
    assert np.array_equal(once.idf_, Features("tf-idf").fit(TEXTS).idf_)


def test_restored_features_give_the_same_rows():
    fitted = Features("tf-idf").fit(TEXTS)
    restored = Features.restore("tf-idf", fitted.vocabulary_, fitted.idf_)
    assert np.array_equal(restored.transform(TEXTS).toarray(), fitted.transform(TEXTS).toarray())


def test_an_unknown_weighting_lists_the_known():
    with pytest.raises(OptionError) as caught:
        Features("bm25")
    assert str(caught.value) == (
        "unknown weighting 'bm25'; choose one of multi-hot, counts, tf-idf."
    )


def test_transform_before_fit_says_so():
    with pytest.raises(NotFittedError) as caught:
        Features().transform(TEXTS)
    assert str(caught.value) == "the features have no vocabulary yet; call fit first."


def test_texts_without_words_can_teach_nothing():
    with pytest.raises(DataError) as caught:
        Features().fit(["", " - ", "?!"])
    assert str(caught.value) == ("no document has a word in it; check which column holds the text.")
