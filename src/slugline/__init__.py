"""Slugline trains, checks, explains and serves topic classifiers for short documents.

>>> from slugline import TopicClassifier
>>> texts = ["wheat and corn prices rose", "quarterly net profit rose"] * 10
>>> classifier = TopicClassifier().fit(texts, ["grain", "earn"] * 10)
>>> classifier.predict(["corn exports"]).tolist()
['grain']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline._version import __version__
from slugline.lazy import lazy_names

if TYPE_CHECKING:
    from slugline import reuters
    from slugline.classifier import TopicClassifier, load
    from slugline.corpus.corpus import Corpus
    from slugline.corpus.loading import load_corpus
    from slugline.errors import SluglineError
    from slugline.layers import Dense
    from slugline.learners.linear import LinearLearner
    from slugline.learners.mixture import Mixture
    from slugline.learners.network import Network
    from slugline.learners.neural import NeuralLearner
    from slugline.learners.shallow import ShallowLearner
    from slugline.text.block import Block

__all__ = [
    "Block",
    "Corpus",
    "Dense",
    "LinearLearner",
    "Mixture",
    "Network",
    "NeuralLearner",
    "ShallowLearner",
    "SluglineError",
    "TopicClassifier",
    "__version__",
    "load",
    "load_corpus",
    "reuters",
]

# All public names, and the module that defines each.
__getattr__ = lazy_names(
    __name__,
    {
        "Block": "slugline.text.block",
        "Corpus": "slugline.corpus.corpus",
        "Dense": "slugline.layers",
        "LinearLearner": "slugline.learners.linear",
        "Mixture": "slugline.learners.mixture",
        "Network": "slugline.learners.network",
        "NeuralLearner": "slugline.learners.neural",
        "ShallowLearner": "slugline.learners.shallow",
        "SluglineError": "slugline.errors",
        "TopicClassifier": "slugline.classifier",
        "load": "slugline.classifier",
        "load_corpus": "slugline.corpus.loading",
        "reuters": "slugline.reuters",
    },
)


def __dir__() -> list[str]:
    return __all__
