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
    from slugline.api.counting import count
    from slugline.api.deployment import export, serve
    from slugline.api.evaluation import compare, evaluate, explain
    from slugline.api.labelling import (
        export_codebook,
        export_labels,
        import_labels,
        label,
        measure_agreement,
    )
    from slugline.api.training import curve, fit_stream, suggest, train
    from slugline.classifier import TopicClassifier, load, load_questions, save_questions
    from slugline.corpus.corpus import Corpus
    from slugline.corpus.loading import load_corpus
    from slugline.errors import SluglineError
    from slugline.labels.store import LabelStore
    from slugline.learning.linear.learner import LinearLearner
    from slugline.learning.mixture import Mixture
    from slugline.learning.net.layers import Dense
    from slugline.learning.net.learner import NeuralLearner
    from slugline.learning.net.network import Network
    from slugline.model.parts.fit import StreamOptions
    from slugline.prediction.job import predict_files
    from slugline.serving.serve_settings import ServeSettings
    from slugline.text.feature_groups import FeatureGroup

__all__ = [
    "Corpus",
    "Dense",
    "FeatureGroup",
    "LabelStore",
    "LinearLearner",
    "Mixture",
    "Network",
    "NeuralLearner",
    "ServeSettings",
    "SluglineError",
    "StreamOptions",
    "TopicClassifier",
    "__version__",
    "audit",
    "compare",
    "count",
    "curve",
    "evaluate",
    "explain",
    "export",
    "export_codebook",
    "export_labels",
    "fit_stream",
    "import_labels",
    "label",
    "load",
    "load_corpus",
    "load_questions",
    "measure_agreement",
    "predict_files",
    "reuters",
    "save_questions",
    "serve",
    "suggest",
    "train",
]

# All public names, by the module that defines them.
__getattr__ = partial(
    import_name,
    __name__,
    {
        "slugline.api.audit": ["audit"],
        "slugline.api.counting": ["count"],
        "slugline.api.deployment": ["export", "serve"],
        "slugline.api.evaluation": ["compare", "evaluate", "explain"],
        "slugline.api.labelling": [
            "export_codebook",
            "export_labels",
            "import_labels",
            "label",
            "measure_agreement",
        ],
        "slugline.api.training": ["curve", "fit_stream", "suggest", "train"],
        "slugline.classifier": ["TopicClassifier", "load", "load_questions", "save_questions"],
        "slugline.corpus.corpus": ["Corpus"],
        "slugline.corpus.loading": ["load_corpus"],
        "slugline.errors": ["SluglineError"],
        "slugline.labels.store": ["LabelStore"],
        "slugline.learning.linear.learner": ["LinearLearner"],
        "slugline.learning.mixture": ["Mixture"],
        "slugline.learning.net.learner": ["NeuralLearner"],
        "slugline.learning.net.layers": ["Dense"],
        "slugline.learning.net.network": ["Network"],
        "slugline.prediction.job": ["predict_files"],
        "slugline.reuters": ["reuters"],
        "slugline.serving.serve_settings": ["ServeSettings"],
        "slugline.model.parts.fit": ["StreamOptions"],
        "slugline.text.feature_groups": ["FeatureGroup"],
    },
)


def __dir__() -> list[str]:
    return __all__
