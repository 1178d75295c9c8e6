import numpy as np
import pytest

from slugline.errors import DataError
from slugline.learning.labels import Labels
from slugline.model.text_profile import MAX_DOCUMENTS, TextProfile, TextWords

TEXTS = ["the team won the match", "the bank lost", "the team lost the match", "a bank"]


def make_profile() -> TextProfile:
    profile = TextProfile.from_documents(TEXTS, Labels.from_topics(np.array([0, 1, 0, 1])), 2)
    assert profile is not None
    return profile


def restore(**changed: np.ndarray) -> TextProfile:
    arrays = make_profile().to_arrays() | changed
    return TextProfile.from_arrays(arrays, n_topics=2, multilabel=False, table_digest="")


def test_text_words_are_distinct_words_of_each_text() -> None:
    words = TextWords.from_texts(TEXTS[:2])
    found = [words.spellings.word(i) for i in words.first.tolist()]
    assert sorted(found[:4]) == ["match", "team", "the", "won"]
    assert words.texts.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_profile_counts_documents_of_each_topic_that_contain_words() -> None:
    words = TextWords.from_texts(["team", "the", "won", "bank"])
    counts = make_profile().word_counts(words.hashes)
    # A word of one document is left out.
    assert counts.tolist() == [[2, 2, 0, 0], [0, 1, 0, 2]]


def test_profile_counts_a_document_with_several_topics_for_one() -> None:
    labels = Labels(np.array([0, 1, 1, 0, 1]), np.array([0, 2, 3, 5, 5]), multilabel=True)
    profile = TextProfile.from_documents(TEXTS, labels, 2)
    assert profile is not None
    assert profile.sizes.tolist() == [2, 1, 1]
    assert profile.drawn_fractions.tolist() == [1, pytest.approx(1 / 3)]
    fractions = profile.topic_fractions(np.array([0.5, 0.75]))
    assert fractions.tolist() == pytest.approx([0.5, 0.25, 0.25])


def test_profile_has_no_vectors_in_a_language_that_the_table_lacks() -> None:
    texts = ["ውሽጢ ምብራቕ", "ሰብ ዘለዎ"]
    profile = TextProfile.from_documents(texts, Labels.from_topics(np.array([0, 1])), 2)
    assert profile is not None
    assert profile.means.shape == (2, 0)
    assert profile.encode(texts) is None


def test_profile_is_none_with_very_many_topics() -> None:
    labels = Labels.from_topics(np.arange(4))
    assert TextProfile.from_documents(TEXTS, labels, MAX_DOCUMENTS + 1) is None


def test_profile_from_arrays_is_the_same() -> None:
    before, after = make_profile(), restore()
    assert all((after.to_arrays()[n] == array).all() for n, array in before.to_arrays().items())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sizes": np.ones(2)}, "`sizes` of the text profile is of type float64"),
        ({"sizes": np.ones(3, np.float32)}, "`sizes` of the text profile is of shape \\(3,\\)"),
        ({"sizes": np.zeros(2, np.float32)}, "negative numbers of documents, or none"),
        ({"other": np.ones(2)}, "arrays of the text profile are"),
        ({"words": make_profile().words[::-1]}, "not in ascending order"),
        ({"word_topics": make_profile().word_topics + np.uint16(2)}, "topics that do not exist"),
        ({"n_documents": make_profile().n_documents + np.uint16(2)}, "in more documents"),
    ],
    ids=["type", "shape", "empty", "unknown", "order", "topics", "documents"],
)
def test_profile_from_arrays_rejects_invalid_ones(
    changed: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        restore(**changed)
