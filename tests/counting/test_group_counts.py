"""Counts of groups of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slugline.classifier import load
from slugline.counting.concerns import CountedTexts, TextTotals
from slugline.counting.count import GroupCounter
from slugline.counting.labelled import MatchedLabels


def test_group_counter_counts_a_topic_of_other_groups_labels_as_rare(news_slug: Path) -> None:
    fitted = load(news_slug).fitted_
    n_topics = len(fitted.topics)
    topics: list[tuple[str, ...]] = [("sport" if i < 20 else "pool",) for i in range(40)]
    labels = MatchedLabels(
        np.full((40, n_topics), 1 / n_topics, dtype=np.float32),
        topics,
        np.ones(40),
        np.repeat(np.array(["January", "April"], dtype=object), 20),
    )
    texts = CountedTexts(
        np.full(n_topics, 100 / n_topics), np.zeros(n_topics, dtype=np.int64), TextTotals(100)
    )
    counter = GroupCounter(fitted, [], None, labels)
    pool = counter.count("January", texts).find("pool")
    assert pool.share == 0
    assert 0.05 < pool.interval.high < 0.2
    assert counter.count("May", texts).find("pool").method == "none"
