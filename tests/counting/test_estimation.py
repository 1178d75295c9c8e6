"""Estimates of shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from slugline.counting.concerns import heldout_concerns
from slugline.counting.estimation import (
    estimate_group,
    estimate_texts,
    topic_intervals,
    topic_shares,
)
from slugline.counting.shares import HeldoutSample, binary_proba, estimate_shares


def test_estimate_groups_estimates_the_only_topic_of_a_multilabel_model() -> None:
    rng = np.random.default_rng(0)
    proba = np.repeat([0.9, 0.1], 50)
    has_topic = rng.random(100) < proba
    sample = HeldoutSample(
        binary_proba(proba, 0.1), np.where(has_topic, 0, 1), np.array([50.0, 50.0]), 1, 0.1
    )
    texts = np.repeat([0.9, 0.1], [20, 80])[:, np.newaxis]
    estimates = estimate_texts([sample], texts, np.ones(100), seed=0)
    [share] = topic_shares(estimates)
    [interval] = topic_intervals(estimates)
    assert 0.1 < share < 0.4
    assert interval.low < share < interval.high
    assert [*heldout_concerns([sample], ["noise"])] == []


def test_estimate_group_uses_one_thread_of_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    n_threads: list[int] = []

    def estimate(*arguments: Any, **settings: Any) -> Any:
        pools = threadpool_info()
        n_threads.extend(each["num_threads"] for each in pools if each["user_api"] == "blas")
        return estimate_shares(*arguments, **settings)

    monkeypatch.setattr("slugline.counting.estimation.estimate_shares", estimate)
    proba = np.repeat([[0.9, 0.1], [0.1, 0.9]], 20, axis=0)
    sample = HeldoutSample(proba, np.repeat([0, 1], 20), np.array([20.0, 20.0]))
    estimate_group(sample, proba, np.ones(40), seed=0, n_sets=50)
    assert set(n_threads) == {1}
