"""Fits one classifier on one data set, tests it, and prints accuracy and times."""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import KFold, cross_val_predict

from contenders import CONTENDERS, Diverged
from sets import load
from slugline import Corpus
from slugline.evaluation.probabilities import calibration_error

# Short steps are measured several times, and the median is taken.
N_PREDICTIONS = 5
N_SINGLE = 201
# Draws of what is right, to see what calibration error chance alone makes.
N_DRAWS = 50
METRICS = (
    *("accuracy", "macro_f1", "calibration", "calibration_by_chance", "fit_seconds"),
    *("documents_per_second", "single_ms"),
)


def seconds(function: Callable[[], object], n_runs: int) -> float:
    """Return the median time of several runs."""
    times = []
    for _ in range(n_runs):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def top_probabilities(
    contender: str, classifier: Any, train: Corpus, texts: Sequence[str]
) -> Any | None:
    """Return the probability of each text's answer; None if a contender has no probabilities."""
    if hasattr(classifier, "predict_proba"):
        return classifier.predict_proba(texts).max(axis=1)
    if hasattr(classifier, "top_probabilities"):
        return classifier.top_probabilities(texts)
    # What scikit-learn's users can do: a factor on the scores, found by five folds (temperature
    # scaling). Its time is not counted. For (b), it would take minutes.
    return _scaled(classifier, train, texts) if contender == "a" else None


def by_chance(top: Any) -> float:
    """Return the calibration error that probabilities would have on average if they were true."""
    rng = np.random.default_rng(0)
    drawn = (rng.random(len(top)) < top for _ in range(N_DRAWS))
    return statistics.mean(calibration_error(top, right) for right in drawn)


def _scaled(classifier: Any, train: Corpus, texts: Sequence[str]) -> Any:
    """Return the top probabilities of scores that are scaled by five folds' best factor."""
    topics = np.array(train.topics)
    numbers = np.searchsorted(classifier.classes_, topics)
    folds = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(
        CONTENDERS["a"](), train.texts, topics, cv=folds, method="decision_function"
    )
    scores = np.maximum(scores, -100)  # of a topic that no other fold has

    def loss(log_factor: float) -> float:
        proba = log_softmax(math.exp(log_factor) * scores, axis=1)
        return -float(proba[np.arange(len(numbers)), numbers].mean())

    factor = math.exp(minimize_scalar(loss, bounds=(-3, 4), method="bounded").x)
    return softmax(factor * classifier.decision_function(texts), axis=1).max(axis=1)


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
    right = np.array(predicted) == np.array(test.topics)
    top = top_probabilities(contender, classifier, train, test.texts)
    metrics = (
        accuracy_score(test.topics, predicted),
        f1_score(test.topics, predicted, average="macro"),
        math.nan if top is None else calibration_error(top, right),
        math.nan if top is None else by_chance(top),
        fit_seconds,
        len(test) / seconds(lambda: classifier.predict(test.texts), n_runs),
        1000 * seconds(lambda: classifier.predict([short]), N_SINGLE),
    )
    print(json.dumps(dict(zip(METRICS, metrics, strict=True))))


if __name__ == "__main__":
    main()
