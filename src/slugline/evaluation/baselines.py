"""What answers without reading are worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["majority_baseline", "shuffled_baseline"]


def majority_baseline(y_train: Sequence[Any], y_test: Sequence[Any]) -> tuple[Any, float]:
    """Return the most common topic of `y_train`, and the accuracy of always answering it."""
    topic = Counter(y_train).most_common(1)[0][0]
    return topic, sum(y == topic for y in y_test) / len(y_test)


def shuffled_baseline(y: Sequence[Any], seed: int) -> float:
    """Return the accuracy of answering with the true topics in random order, as the lesson does."""
    order = np.random.default_rng(seed).permutation(len(y))
    return sum(y[i] == y[j] for i, j in enumerate(order)) / len(y)
