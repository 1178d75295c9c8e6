"""Sentences that say why counts with labels may be wrong."""

from __future__ import annotations

import numpy as np

from slugline.counting.labelled import MatchedLabels
from slugline.counting.labelled_concerns import (
    capitals_concerns,
    few_label_concerns,
    sample_concern,
)
from slugline.counting.results import GroupCount, TopicCount
from slugline.evaluation.intervals import Interval


def test_sample_that_is_not_random_is_named() -> None:
    rng = np.random.default_rng(3)
    proba = rng.dirichlet(np.ones(3), 100).astype(np.float32)
    rows = MatchedLabels(proba, [("a",)] * 100, np.ones(100), np.full(100, None))
    mean = proba.mean(axis=0).astype(np.float64)
    assert sample_concern(rows, mean, ["a", "b", "c"]) is None
    concern = sample_concern(rows, np.array([0.1, 0.2, 0.7]), ["a", "b", "c"])
    assert concern is not None
    assert concern.startswith(
        "Don't believe these counts: the labelled texts don't look like a random sample. The model"
    )


def test_groups_with_few_labels_are_counted() -> None:
    known = TopicCount("a", 0.5, Interval(0.4, 0.6), 100, 50)
    groups = [
        GroupCount("2026-01", 100, (known,)),
        GroupCount("2026-02", 100, (known._replace(method="labels"),)),
        GroupCount("2026-03", 100, (TopicCount.unknown("a", 100, 50),)),
    ]
    by_model, blank = few_label_concerns(groups, "month")
    assert by_model == (
        "1 of 3 months has fewer than 15 labels, and is counted by the model: label more texts, or "
        "count by a longer period."
    )
    assert blank == (
        "1 of 3 months has fewer than 15 labels, and the model has no held-out answers to count "
        "without, so its counts are blank: label more texts, or count by a longer period."
    )
    [concern] = few_label_concerns(groups[:2], None)
    assert concern.startswith("1 of 2 groups has fewer")
    assert concern.endswith("or count by another column.")


def test_topics_of_labels_in_other_capitals_are_named() -> None:
    assert [*capitals_concerns(["Waste", "pool"], ["noise", "waste"])] == [
        "'Waste' in the labels differs only in capitals from the model's 'waste', and is counted "
        "as another topic: write it as the model does."
    ]
