"""Slugline trains, checks, explains and serves topic classifiers for short documents.

>>> from slugline import TopicClassifier
>>> texts = ["wheat and corn prices rose", "quarterly net profit rose"] * 10
>>> classifier = TopicClassifier().fit(texts, ["grain", "earn"] * 10)
>>> classifier.predict(["corn exports"]).tolist()
['grain']
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from slugline._version import __version__
from slugline.base.lazy import import_name

if TYPE_CHECKING:
    from slugline import reuters
    from slugline.api.audit import audit
    from slugline.api.deployment import export, serve
    from slugline.api.evaluation import compare, evaluate, explain
    from slugline.api.training import curve, fit_stream, suggest, train
    from slugline.classifier import TopicClassifier, load
    from slugline.corpus.corpus import Corpus
    from slugline.corpus.loading import load_corpus
    from slugline.errors import SluglineError
    from slugline.learning.linear.learner import LinearLearner
    from slugline.learning.mixture import Mixture
    from slugline.learning.net.layers import Dense
    from slugline.learning.net.learner import NeuralLearner
    from slugline.learning.net.network import Network
    from slugline.learning.shallow import ShallowLearner
    from slugline.prediction.job import predict_files
    from slugline.text.blocks import Block

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
    "audit",
    "compare",
    "curve",
    "evaluate",
    "explain",
    "export",
    "fit_stream",
    "load",
    "load_corpus",
    "predict_files",
    "reuters",
    "serve",
    "suggest",
    "train",
]

# All public names, and the module that defines each.
__getattr__ = partial(
    import_name,
    __name__,
    {
        "Block": "slugline.text.blocks",
        "Corpus": "slugline.corpus.corpus",
        "Dense": "slugline.learning.net.layers",
        "LinearLearner": "slugline.learning.linear.learner",
        "Mixture": "slugline.learning.mixture",
        "Network": "slugline.learning.net.network",
        "NeuralLearner": "slugline.learning.net.learner",
        "ShallowLearner": "slugline.learning.shallow",
        "SluglineError": "slugline.errors",
        "TopicClassifier": "slugline.classifier",
        "load": "slugline.classifier",
        "audit": "slugline.api.audit",
        "compare": "slugline.api.evaluation",
        "curve": "slugline.api.training",
        "evaluate": "slugline.api.evaluation",
        "explain": "slugline.api.evaluation",
        "export": "slugline.api.deployment",
        "fit_stream": "slugline.api.training",
        "predict_files": "slugline.prediction.job",
        "serve": "slugline.api.deployment",
        "suggest": "slugline.api.training",
        "train": "slugline.api.training",
        "load_corpus": "slugline.corpus.loading",
        "reuters": "slugline.reuters",
    },
)


def __dir__() -> list[str]:
    return __all__
