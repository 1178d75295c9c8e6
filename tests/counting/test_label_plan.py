"""How many texts to label."""

from __future__ import annotations

import pytest

from slugline.counting.results import LabelPlan


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (LabelPlan(267), "To halve the widest interval, label about 270 texts drawn at random."),
        (
            LabelPlan(267, n_by_group=113, column="month"),
            "To halve the widest interval, label about 270 texts drawn at random; for each month, "
            "about 110 of its texts.",
        ),
        (
            LabelPlan(1537, n_labelled=100),
            "To halve the widest interval, label about 1,400 more texts drawn at random.",
        ),
    ],
    ids=["total", "groups", "labels"],
)
def test_plan_says_how_many_texts_to_label(plan: LabelPlan, sentence: str) -> None:
    assert plan.describe() == sentence
