"""Fits one classifier on one data set, tests it, and prints accuracy and times."""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from sets import load
from slugline import TopicClassifier

# Short steps are measured several times, and the median is taken.
N_PREDICTIONS = 5
N_SINGLE = 201
METRICS = ("accuracy", "macro_f1", "fit_seconds", "documents_per_second", "single_ms")


def words_and_characters():
    """Return a pipeline with word pairs and character runs: good for short texts, but slow."""
    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        LinearSVC(),
    )


class Diverged(Exception):  # noqa: N818
    """There is no model, because numbers ran out of range."""


class FastText:
    """fastText with its tutorial's settings; at a fifth of the learning rate if that diverges."""

    def fit(self, X: Sequence[str], y: Sequence[str]) -> FastText:
        """Write the file that fastText needs, and train."""
        import fasttext

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            lines = [f"__label__{t} {_line(x)}" for x, t in zip(X, y, strict=True)]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            for rate in (0.5, 0.1):
                try:
                    self.model = fasttext.train_supervised(
                        str(path), epoch=25, lr=rate, thread=1, verbose=0
                    )
                except RuntimeError:  # "Encountered NaN."
                    continue
                return self
        raise Diverged

    def predict(self, X: Sequence[str]) -> list[str]:
        """Return the topic of each text."""
        labels, _ = self.model.predict([_line(x) for x in X])
        return [label[0].removeprefix("__label__") for label in labels]


def _line(text: str) -> str:
    return " ".join(text.lower().split())


CONTENDERS = {
    "a": lambda: make_pipeline(TfidfVectorizer(), LinearSVC()),
    "b": words_and_characters,
    "fasttext": FastText,
    "network": lambda: TopicClassifier(learner="network"),
    "default": TopicClassifier,
    "tuned": lambda: TopicClassifier(tune=True),
}


def seconds(function: Callable[[], object], n_runs: int) -> float:
    """Return the median time of several runs."""
    times = []
    for _ in range(n_runs):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Run from the command line."""
    contender, name = sys.argv[1:]
    train, test = load(name)
    classifier = CONTENDERS[contender]()
    try:
        fit_seconds = seconds(lambda: classifier.fit(train.texts, train.topics), 1)
    except Diverged:
        print(json.dumps(dict.fromkeys(METRICS, math.nan)))
        return
    predicted = classifier.predict(test.texts)
    # (b) takes half a minute for the longest set, every time the same.
    n_runs = 1 if contender == "b" else N_PREDICTIONS
    short = min(test.texts, key=lambda text: abs(len(text) - 60))
    metrics = (
        accuracy_score(test.topics, predicted),
        f1_score(test.topics, predicted, average="macro"),
        fit_seconds,
        len(test) / seconds(lambda: classifier.predict(test.texts), n_runs),
        1000 * seconds(lambda: classifier.predict([short]), N_SINGLE),
    )
    print(json.dumps(dict(zip(METRICS, metrics, strict=True))))


if __name__ == "__main__":
    main()
