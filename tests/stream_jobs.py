"""Batches for `fit_stream`, and what it has learned, for the tests of streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from slugline.classifier import TopicClassifier

# Texts, each with a topic or a tuple of topics.
News = list[tuple[str, Any]]


def pairs(news: News, size: int = 25) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield batches of texts and topics."""
    for first in range(0, len(news), size):
        texts, topics = zip(*news[first : first + size], strict=True)
        yield list(texts), list(topics)


def learned_bytes(classifier: TopicClassifier) -> dict[str, bytes]:
    """Return what was learned, and the probabilities of the held-out answers that are kept."""
    arrays = classifier.fitted_.learner.arrays()
    found = {name: array.tobytes() for name, array in arrays.items()}
    heldout = classifier.fitted_.heldout_predictions
    if heldout is not None:
        found["heldout"] = np.sort(heldout.probabilities).tobytes()
    return {**found, "settings": repr(classifier.fitted_.learner.settings()).encode()}
