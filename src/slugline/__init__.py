"""Slugline trains, checks, explains and serves topic classifiers for short documents.

>>> from slugline import TopicClassifier
>>> texts = ["wheat and corn prices rose", "quarterly net profit rose"] * 10
>>> classifier = TopicClassifier().fit(texts, ["grain", "earn"] * 10)
>>> classifier.predict(["corn exports"]).tolist()
['grain']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slugline import reuters
    from slugline.classifier import TopicClassifier, load
    from slugline.corpus import Corpus, load_corpus
    from slugline.errors import SluglineError
    from slugline.learners.network import Dense, Network

__version__ = "0.1.0"

__all__ = [
    "Corpus",
    "Dense",
    "Network",
    "SluglineError",
    "TopicClassifier",
    "load",
    "load_corpus",
    "reuters",
]

# The whole public surface, and where each name lives. Names are loaded on first use, so that
# importing slugline costs next to nothing and predicting never pays for training.
_HOMES = {
    "Corpus": "slugline.corpus",
    "Dense": "slugline.learners.network",
    "Network": "slugline.learners.network",
    "SluglineError": "slugline.errors",
    "TopicClassifier": "slugline.classifier",
    "load": "slugline.classifier",
    "load_corpus": "slugline.corpus",
}


def __getattr__(name: str) -> Any:
    if name == "reuters":
        return importlib.import_module("slugline.reuters")
    if name not in _HOMES:
        raise AttributeError(f"module 'slugline' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
