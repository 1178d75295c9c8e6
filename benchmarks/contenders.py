"""The classifiers that the benchmarks compare."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.svm import LinearSVC

from slugline import TopicClassifier


def words() -> Pipeline:
    """Return the two lines of scikit-learn that many start with."""
    return make_pipeline(TfidfVectorizer(), LinearSVC())


def words_and_characters() -> Pipeline:
    """Return a pipeline with word pairs and character runs: good for short texts, but slow."""
    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        LinearSVC(),
    )


def stochastic() -> Pipeline:
    """Return the pipeline that scikit-learn's guide suggests for many documents."""
    return make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0))


class Diverged(Exception):  # noqa: N818
    """There is no model, because numbers ran out of range."""


class FastText:
    """fastText with its tutorial's settings; at a fifth of the learning rate if that diverges."""

    def __init__(self, epoch: int = 25, rates: Sequence[float] = (0.5, 0.1)) -> None:
        self.epoch = epoch
        self.rates = rates

    def fit(self, X: Sequence[str], y: Sequence[str]) -> FastText:
        """Write the file that fastText needs, and train."""
        import fasttext

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            with path.open("w", encoding="utf-8") as file:
                file.writelines(f"__label__{t} {_line(x)}\n" for x, t in zip(X, y, strict=True))
            for rate in self.rates:
                try:
                    self.model = fasttext.train_supervised(
                        str(path), epoch=self.epoch, lr=rate, thread=1, verbose=0
                    )
                except RuntimeError:  # "Encountered NaN."
                    continue
                return self
        raise Diverged

    def predict(self, X: Sequence[str]) -> list[str]:
        """Return the topic of each text."""
        labels, _ = self.model.predict([_line(x) for x in X])
        return [label[0].removeprefix("__label__") for label in labels]

    def top_probabilities(self, X: Sequence[str]) -> Any:
        """Return the probability of each text's most likely topic."""
        _, found = self.model.predict([_line(x) for x in X])
        return np.clip([values[0] for values in found], 0, 1)


def _line(text: str) -> str:
    return " ".join(text.lower().split())


def _with_encoder() -> TopicClassifier:
    return TopicClassifier(encoder="use", n_jobs=1)


HAS_ENCODER = "encoder" in inspect.signature(TopicClassifier).parameters

CONTENDERS: dict[str, Callable[[], Any]] = {
    "a": words,
    "b": words_and_characters,
    "fasttext": FastText,
    "network": lambda: TopicClassifier(learner="network", n_jobs=1),
    "default": lambda: TopicClassifier(n_jobs=1),
    "cores": TopicClassifier,
    **({"encoder": _with_encoder} if HAS_ENCODER else {}),
    "tuned": lambda: TopicClassifier(tune=True, n_jobs=1),
}
LABELS = {
    "a": "(a) TfidfVectorizer + LinearSVC",
    "b": "(b) words 1-2, char_wb 2-5, sublinear + LinearSVC",
    "fasttext": "fastText, 25 epochs, rate 0.5",
    "network": "Slugline, the lesson's net",
    "default": "**Slugline, default**",
    "cores": "Slugline, default, a thread for each core",
    "encoder": "Slugline, with the encoder",
    "tuned": "Slugline, tuned",
}
