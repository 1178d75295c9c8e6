"""Replies made from decisions."""

from __future__ import annotations

import numpy as np

from slugline.model.decision import Decision
from slugline.serving.replies import to_results


def test_to_results_rounds_the_numbers_of_one_text_as_those_of_many() -> None:
    likely = 1 - np.random.default_rng(0).random(1000, dtype=np.float32) ** 20
    decisions = [
        Decision("wheat", value, None, [("wheat", value), ("corn", 1 - value)])
        for value in [*likely.tolist(), 0.0000005, 0.0000015, 0.0, 1.0]
    ]
    results = to_results(decisions, 2)
    assert [to_results([decision], 2) for decision in decisions] == [[each] for each in results]
    assert results[-1].probability == 1.0
    assert results[-3].probability == 0.000002
