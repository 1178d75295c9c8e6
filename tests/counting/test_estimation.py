"""Estimates of shares."""

from __future__ import annotations

import numpy as np

from slugline.counting.concerns import heldout_concerns
from slugline.counting.estimation import estimate_groups, topic_intervals, topic_shares
from slugline.counting.rows import SampledRows
from slugline.counting.shares import HeldoutSample, binary_proba


def test_estimate_groups_estimates_the_only_topic_of_a_multilabel_model() -> None:
    rng = np.random.default_rng(0)
    proba = np.repeat([0.9, 0.1], 50)
    has_topic = rng.random(100) < proba
    sample = HeldoutSample(
        binary_proba(proba, 0.1), np.where(has_topic, 0, 1), np.array([50.0, 50.0]), 1, 0.1
    )
    texts = SampledRows(1, 1000, 0)
    texts.add(np.repeat(np.array([0.9, 0.1], dtype=np.float32), [20, 80])[:, np.newaxis])
    estimates = estimate_groups([sample], texts, seed=0)
    [share] = topic_shares(estimates)
    [interval] = topic_intervals(estimates)
    assert 0.1 < share < 0.4
    assert interval.low < share < interval.high
    assert [*heldout_concerns([sample], ["noise"])] == []
