"""How many texts to label."""

from __future__ import annotations

import numpy as np
import pytest

from slugline.counting.label_plan import PlannedGroup, plan_labels
from slugline.counting.results import LabelPlan


def planned(n_texts: int, margin: float, explained: float = 0, share: float = 0.2) -> PlannedGroup:
    return PlannedGroup(
        n_texts, np.array([share, 1 - share]), np.full(2, margin), np.full(2, explained)
    )


def test_count_labels_needs_fewer_labels_with_a_good_model() -> None:
    assert planned(10**7, 0.04).count_labels(0.02) == 1537  # 0.2 * 0.8 * (1.96 / 0.02) ** 2
    assert planned(10**7, 0.04, 0.75).count_labels(0.02) == 385
    assert planned(10**7, 0.04, 0.99).count_labels(0.05) == 51
    assert planned(100, 0.04).count_labels(0.02) <= 100


def test_plan_halves_the_widest_intervals() -> None:
    plan = plan_labels(planned(10**7, 0.04), [planned(1000, 0.08), planned(900, 0.1)])
    assert plan is not None
    assert plan.n_texts == planned(10**7, 0.04).count_labels(0.02)
    assert plan.n_by_group == planned(1000, 0.08).count_labels(0.05)


def test_plan_is_for_wide_intervals_or_groups_without_changes() -> None:
    narrow, wide = planned(1000, 0.02), planned(1000, 0.05)
    assert plan_labels(narrow) is None
    assert plan_labels(wide) is not None
    assert plan_labels(narrow, [wide], has_changes=True) is None
    assert plan_labels(narrow, [wide]) is not None
    assert plan_labels(narrow, [narrow]) is None


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (
            LabelPlan(267, 1492),
            "To halve the widest interval, label about 270 texts drawn at random.",
        ),
        (
            LabelPlan(267, 1492, n_by_group=113, column="month"),
            "To halve the widest interval, label about 270 texts drawn at random; for each month, "
            "about 110 of its texts.",
        ),
        (
            LabelPlan(1537, 10_000, n_labelled=100),
            "To halve the widest interval, label about 1,400 more texts drawn at random.",
        ),
        (LabelPlan(999, 1000), "To halve the widest interval, label nearly all 1,000 texts."),
    ],
    ids=["total", "groups", "labels", "all"],
)
def test_plan_says_how_many_texts_to_label(plan: LabelPlan, sentence: str) -> None:
    assert plan.describe() == sentence
