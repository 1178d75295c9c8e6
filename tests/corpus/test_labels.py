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


def test_topics_encode_names_an_unknown_topic() -> None:
    with pytest.raises(DataError) as caught:
        Topics(["earn", "grain"]).encode(["earn", "sport"])
    assert str(caught.value) == "unknown topic 'sport'; the known ones are earn, grain."


def test_topics_fit_rejects_words_and_numbers() -> None:
    with pytest.raises(DataError) as caught:
        Topics.fit(["sport", 3])
    assert str(caught.value) == (
        "topics mix strings and numbers, such as 'sport' and 3; make them all strings or all "
        "numbers."
    )


def test_topics_reject_a_repeated_name() -> None:
    with pytest.raises(DataError, match="duplicate topic"):
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
