"""`fit_stream` beside `fit`: accuracy, log loss, passes, seconds; the same rows in other orders.

With --held-out, a part of the training documents stands for the test, for choices to be made by.
With --tolerances, models of these are held against that of the last one, which should be small.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import sets
from processes import table
from slugline import Corpus, TopicClassifier
from slugline.base.progress import SilentProgress
from slugline.learning.linear.newton import TOLERANCE

# The share of the training documents that is held out.
_SHARE = 0.25


class Passes(SilentProgress):
    """Counts passes."""

    n_passes = 0

    def update(
        self,
        step: str,  # noqa: ARG002
        share: float | None = None,  # noqa: ARG002
        detail: str = "",
    ) -> None:
        """Remember the number of the latest pass."""
        if detail.startswith("pass "):
            self.n_passes = int(detail.split()[1].rstrip(":"))


def main() -> None:
    """Measure, and print a table."""
    parser = sets.arguments(__doc__)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--tolerances", type=float, nargs="+")
    how = parser.parse_args()
    rows = []
    for name in how.sets:
        train, test = sets.load(name)
        if how.held_out:
            train, test = train.split(_SHARE, seed=0)
        if how.tolerances:
            rows.append([name, *by_tolerance(train, test, how.tolerances)])
        else:
            rows.append([name, *measure(train, test)])
        print(*rows[-1], flush=True)
    if how.tolerances:
        print(
            table([["set", *(f"{each:g}: same, %; passes; s" for each in how.tolerances)], *rows])
        )
        return
    head = ["set", "texts", "fit", "stream", "points", "log loss", "stream's"]
    print(table([[*head, "passes", "fit s", "stream s", "sorted", "shuffled"], *rows]))
    points = [float(row[4]) for row in rows]
    print(f"mean: {np.mean(points):+.2f} points")


def measure(train: Corpus, test: Corpus) -> list[str]:
    """Return a row of the table."""
    (fitted, fit_seconds), passes = timed(TopicClassifier(n_jobs=1).fit, train), Passes()
    streamed, seconds = timed(stream, train.texts, train.topics, passes)
    order = np.argsort(np.array(train.topics, dtype=object), kind="stable")
    mixed = np.random.default_rng(1).permutation(len(order))
    answers = streamed.predict(test.texts)
    same = []
    for other in (order, mixed):
        texts, topics = ([them[i] for i in other] for them in (train.texts, train.topics))
        same.append(np.mean(stream(texts, topics).predict(test.texts) == answers))
    accuracy = [100 * clf.score(test.texts, test.topics) for clf in (fitted, streamed)]
    return [
        f"{len(train.texts):,}",
        *(f"{share:.2f}" for share in accuracy),
        f"{accuracy[1] - accuracy[0]:+.2f}",
        *(f"{log_loss(clf, test):.3f}" for clf in (fitted, streamed)),
        str(passes.n_passes),
        f"{fit_seconds:.1f}",
        f"{seconds:.1f}",
        *(f"{100 * share:.2f}" for share in same),
    ]


def by_tolerance(train: Corpus, test: Corpus, tolerances: Sequence[float]) -> list[str]:
    """Return the share of answers that are those of the last tolerance, passes and seconds."""
    answers, about = [], []
    for tolerance in tolerances:
        passes = Passes()
        learned, seconds = timed(stream, train.texts, train.topics, passes, tolerance)
        answers.append(learned.predict(test.texts))
        about.append(f"{passes.n_passes}; {seconds:.1f}")
    return [
        f"{100 * np.mean(own == answers[-1]):.2f}; {more}"
        for own, more in zip(answers, about, strict=True)
    ]


def stream(
    texts: Sequence[str],
    topics: Sequence[str],
    progress: Passes | None = None,
    tolerance: float = TOLERANCE,
) -> TopicClassifier:
    """Learn from batches of a thousand."""
    batches = (
        (texts[first : first + 1000], topics[first : first + 1000])
        for first in range(0, len(texts), 1000)
    )
    return TopicClassifier(n_jobs=1).fit_stream(batches, progress=progress, tolerance=tolerance)


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return what the work returns, and how many seconds it took."""
    if isinstance(arguments[0], Corpus):
        arguments = arguments[0].texts, arguments[0].topics
    start = time.perf_counter()
    return work(*arguments), time.perf_counter() - start


def log_loss(classifier: TopicClassifier, test: Corpus) -> float:
    """Return the mean of -log of the probabilities of right topics, of those it knows."""
    number = {name: column for column, name in enumerate(classifier.classes_)}
    known = [i for i, name in enumerate(test.topics) if name in number]
    proba = classifier.predict_proba([test.texts[i] for i in known])
    own = proba[np.arange(len(known)), [number[test.topics[i]] for i in known]]
    return float(-np.log(np.maximum(own, 1e-30)).mean())


if __name__ == "__main__":
    main()
