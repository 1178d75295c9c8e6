"""Weights per row."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.errors import DataError
from slugline.sample_weights import row_weights


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
