"""Fits one classifier on one data set, tests it, and prints what it took."""

import json
import sys
import time

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from sets import load
from slugline import TopicClassifier


def words_and_characters():
    """Word pairs and character runs: what short texts ask for, at its price."""
    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        LinearSVC(),
    )


CONTENDERS = {
    "a": lambda: make_pipeline(TfidfVectorizer(), LinearSVC()),
    "b": words_and_characters,
    "network": lambda: TopicClassifier(learner="network"),
    "linear": lambda: TopicClassifier(learner="linear"),
}

contender, name = sys.argv[1:]
train, test = load(name)
classifier = CONTENDERS[contender]()
started = time.perf_counter()
classifier.fit(train.texts, train.topics)
fitted = time.perf_counter()
predicted = classifier.predict(test.texts)
done = time.perf_counter()
print(
    json.dumps(
        {
            "accuracy": accuracy_score(test.topics, predicted),
            "macro_f1": f1_score(test.topics, predicted, average="macro"),
            "fit_seconds": fitted - started,
            "documents_per_second": len(test) / (done - fitted),
        }
    )
)
