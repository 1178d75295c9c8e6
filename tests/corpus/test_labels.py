"""Topic names, integers and one-hot rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slugline.corpus.documents import Topics, one_hot
from slugline.errors import DataError


def test_topics_fit_sorts_and_numbers_topics() -> None:
    topics = Topics.fit(["grain", "earn", "grain", "acq"])
    assert topics.names == ["acq", "earn", "grain"]
    assert topics.encode(["grain", "acq"]).tolist() == [2, 0]
    assert topics.decode([2, 0]) == ["grain", "acq"]


def test_one_hot_has_a_1_in_the_column_of_the_topic() -> None:
    assert one_hot([1, 1]).tolist() == [[0, 1], [0, 1]]
    assert one_hot([1, 1], 3).tolist() == [[0, 1, 0], [0, 1, 0]]


def test_topics_fit_sorts_integers_as_numbers() -> None:
    assert Topics.fit([10, 2, 10]).names == [2, 10]


def test_topics_encode_names_an_unknown_topic() -> None:
    with pytest.raises(DataError) as caught:
        Topics(["earn", "grain"]).encode(["earn", "sport"])
    assert str(caught.value) == "unknown topic 'sport'; the known ones are earn, grain."


def test_topics_encode_lists_some_of_many_topics() -> None:
    with pytest.raises(DataError) as caught:
        Topics(list(range(12))).encode([99])
    assert str(caught.value) == (
        "unknown topic 99; the known ones are 0, 1, 2, 3, 4, 5, 6, 7 and 4 more."
    )


def test_topics_fit_rejects_words_and_numbers() -> None:
    with pytest.raises(DataError) as caught:
        Topics.fit(["sport", 3])
    assert str(caught.value) == (
        "topics are words and numbers, such as 'sport' and 3; make them all words or all numbers."
    )


def test_topics_reject_a_repeated_name() -> None:
    with pytest.raises(DataError, match="a topic is named twice"):
        Topics(["earn", "earn"])


def test_one_hot_equals_the_lessons_own_function() -> None:
    labels = np.random.default_rng(0).integers(0, 46, 200)
    expected = np.zeros((200, 46))
    for i, label in enumerate(labels):
        expected[i, label] = 1.0
    rows = one_hot(labels, 46)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, expected)
    assert np.array_equal(one_hot(labels), expected[:, : labels.max() + 1])


def test_one_hot_of_nothing_has_no_rows() -> None:
    assert one_hot([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("y", "n_topics", "message"),
    [
        ([0, 3], 3, "y runs from 0 to 3, but topics run from 0 to 2; give a larger n_topics."),
        ([-1, 1], 3, "y runs from -1 to 1, but topics run from 0 to 2; give a larger n_topics."),
        ([0.5], 3, "y has shape (1,) and type float64; give one integer per row."),
        ([[0]], 3, "y has shape (1, 1) and type int64; give one integer per row."),
    ],
    ids=["too large", "negative", "fraction", "matrix"],
)
def test_one_hot_rejects_invalid_numbers(y: list[Any], n_topics: int, message: str) -> None:
    with pytest.raises(DataError) as caught:
        one_hot(y, n_topics)
    assert str(caught.value) == message


def test_topics_encode_lists_up_to_eight_topics() -> None:
    with pytest.raises(DataError) as caught:
        Topics(list(range(8))).encode([99])
    assert str(caught.value) == "unknown topic 99; the known ones are 0, 1, 2, 3, 4, 5, 6, 7."


def test_one_hot_of_nothing_has_no_columns_unless_they_are_asked_for() -> None:
    assert one_hot([]).shape == (0, 0)
