"""How many texts to label."""

from __future__ import annotations

import numpy as np

from slugline.counting.label_plan import PlannedGroup, plan_labels

SHARES, TOPICS = np.array([0.2, 0.8]), ["a", "b"]


def planned(n_texts: int, explained: float = 0, name: str = "", share: float = 0.2) -> PlannedGroup:
    return PlannedGroup(name, n_texts, np.array([share, 1 - share]), np.full(2, explained))


def test_plan_needs_fewer_labels_with_a_good_model() -> None:
    plan = plan_labels(planned(10**7, 0.75), TOPICS, 0.02)
    assert plan.n_without_model == 1537  # 0.2 * 0.8 * (1.96 / 0.02) ** 2
    assert plan.n_texts == 385
    assert plan_labels(planned(10**7, 0.99), TOPICS, 0.05).n_texts == 51
    assert plan_labels(planned(100), TOPICS, 0.02).n_texts <= 100


def test_plan_for_groups_labels_enough_texts_of_the_smallest() -> None:
    groups = [planned(9000, name="x"), planned(1000, name="y")]
    plan = plan_labels(planned(10_000), TOPICS, 0.05, groups=groups, column="shop")
    of_small = plan_labels(planned(1000), TOPICS, 0.05).n_texts
    assert (plan.n_texts, plan.group) == (10 * of_small, "y")
    assert plan.n_for_total == plan_labels(planned(10_000), TOPICS, 0.05).n_texts
    assert plan.describe().startswith(
        "To know each share by shop to within 5 points either way (95 % interval), label "
    )
    assert "in y needs the most" in plan.describe()


def test_plan_says_how_many_labels_are_missing() -> None:
    plan = plan_labels(planned(10**7), TOPICS, 0.02, n_labelled=100)
    assert plan.describe().endswith(" 100 have a label, so 1,437 are missing.")
    assert (
        plan._replace(n_labelled=1537).describe().endswith(" The 1,537 labels at hand are enough.")
    )


def test_plan_for_nearly_all_texts_says_so() -> None:
    plan = plan_labels(planned(1000), TOPICS, 0.001)
    assert "label nearly all texts (999 of 1,000)" in plan.describe()
    assert "Without the model" not in plan.describe()


def test_plan_names_the_topic_nearest_to_one_half() -> None:
    shares = np.array([0.1, 0.4, 0.5])
    total = PlannedGroup("", 100, shares, np.zeros(3))
    plan = plan_labels(total, ["a", "b", "c"], 0.0001)
    assert plan.topic == "c"
