"""Weights per row."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.corpus.documents import Topics
from slugline.corpus.sample_weights import class_weights, row_weights, topic_weights
from slugline.errors import DataError, OptionError


def test_no_weights_are_none() -> None:
    assert row_weights(3, None, None) is None


def test_a_row_counts_its_own_weight_times_its_topics() -> None:
    topic_weight = np.array([1, 2, 2], dtype=np.float32)
    assert row_weights(3, [1, 0.5, 0], topic_weight).tolist() == [1, 1, 0]  # type: ignore[union-attr]
    assert row_weights(3, None, topic_weight).tolist() == [1, 2, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 2], "`sample_weight` has shape (2,); give one weight for each of the 3 rows."),
        (
            [1, -1, 1],
            "`sample_weight` is -1 in row 1, counted from 0; give numbers from 0 to 3e+38.",
        ),
        (
            [1, np.nan, 1],
            "`sample_weight` is nan in row 1, counted from 0; give numbers from 0 to 3e+38.",
        ),
        (
            [0, 0, 0],
            "every row has weight zero by `sample_weight` and `class_weight`; give some rows a "
            "weight over 0.",
        ),
    ],
    ids=["too few", "negative", "NaN", "zeros"],
)
def test_odd_weights_are_refused(weight: list[float], message: str) -> None:
    with pytest.raises(DataError) as caught:
        row_weights(3, weight, None)
    assert str(caught.value) == message


def test_a_weight_a_little_below_0_is_refused_and_0_is_not() -> None:
    assert row_weights(2, [0, 1], None).tolist() == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(DataError):
        row_weights(2, [-0.01, 1], None)


def test_balanced_topics_have_the_same_total_and_the_rows_a_mean_of_1() -> None:
    topics, labels = Topics(["a", "b", "c"]), np.array([0, 0, 0, 1, 2, 2])
    weights = topic_weights("balanced", topics, labels)
    assert weights is not None
    np.testing.assert_allclose(np.bincount(labels, weights), 2)


def test_topics_without_rows_take_no_part_in_the_balance() -> None:
    topics, labels = Topics(["a", "b", "c", "d"]), np.array([1, 1, 1, 3])
    weights = topic_weights("balanced", topics, labels)
    assert weights is not None
    np.testing.assert_allclose(np.bincount(labels, weights), [0, 2, 0, 2])


def test_a_mapping_gives_the_weight_of_each_topic_and_1_to_all_others() -> None:
    topics, labels = Topics(["a", "b", "c"]), np.array([2, 0, 1, 2])
    assert topic_weights(None, topics, labels) is None
    weights = topic_weights({"c": 3, "a": 0.5}, topics, labels)
    assert weights is not None
    assert weights.tolist() == [3, 0.5, 1, 3]
    with pytest.raises(OptionError) as caught:
        topic_weights("equal", topics, labels)
    assert str(caught.value) == (
        "`class_weight` is 'equal'; give None, 'balanced' or a mapping of topic to weight."
    )


@pytest.mark.parametrize("topic", [-1, 3])
def test_a_weight_of_a_topic_that_there_is_none_of_is_refused(topic: int) -> None:
    assert class_weights({0: 2, 2: 3}, 3).tolist() == [2, 1, 3]
    with pytest.raises(DataError) as caught:
        class_weights({topic: 1.0}, 3)
    assert str(caught.value) == (f"`class_weight` names topic {topic}, but topics run from 0 to 2.")
