"""Accuracy with 5 to 50 labels a topic: scikit-learn and Slugline on draws of all data sets."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from contenders import CONTENDERS, LABELS
from processes import table
from sets import NAMES, arguments, load
from slugline.corpus.splits import rank_within_topics

LABELS_A_TOPIC = (5, 10, 20, 50)
WHO = tuple(name for name in ("a", "b", "default", "encoder") if name in CONTENDERS)
N_DRAWS = 5
# On long texts (b) would take an hour for more; all contenders are tested on the same ones.
N_TESTED = 1000
HEAD = """\
## Few labels

Accuracy on test documents (at most {n_tested:,}, drawn once), mean of {n_draws} draws of so many
labels a topic from the training documents. A topic with fewer documents than that gives all. The
mean probability of the answers says how sure they are, which should be the accuracy.
"""


class Found(NamedTuple):
    """Means over draws; without probabilities, the second is NaN."""

    accuracy: float
    sureness: float


#: What was found by set, contender and labels a topic.
Means = dict[tuple[str, str, int], Found]


def report(
    sets: Sequence[str] = NAMES,
    contenders: Iterable[str] = WHO,
    labels: Sequence[int] = LABELS_A_TOPIC,
) -> str:
    """Measure, a process for each core, and return a Markdown section."""
    contenders = list(contenders)
    jobs = [(name, contender) for name in sets for contender in contenders]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(partial(_found, labels=labels), *zip(*jobs, strict=True)))
    means: Means = {
        (name, contender, n): found
        for (name, contender), row in zip(jobs, rows, strict=True)
        for n, found in zip(labels, row, strict=True)
    }
    parts = [HEAD.format(n_tested=N_TESTED, n_draws=N_DRAWS), _summary(means, contenders, labels)]
    for n in labels:
        parts += [f"\n### {n} labels a topic\n", _table(means, sets, contenders, n)]
    return "\n".join([*parts, ""])


def draw(topics: Sequence[str], n: int, seed: int) -> np.ndarray:
    """Return the documents of a draw of `n` for each topic, or all where there are fewer."""
    return np.flatnonzero(rank_within_topics(topics, seed) < n)


def _found(name: str, contender: str, labels: Sequence[int]) -> list[Found]:
    train, test = load(name)
    chosen = np.random.default_rng(0).permutation(len(test))[:N_TESTED]
    texts = [test.texts[i] for i in chosen]
    topics = np.array([test.topics[i] for i in chosen])
    means = []
    for n in labels:
        found = []
        for seed in range(N_DRAWS):
            rows = draw(train.topics, n, seed)
            classifier = CONTENDERS[contender]()
            classifier.fit([train.texts[i] for i in rows], [train.topics[i] for i in rows])
            right = np.array(classifier.predict(texts)) == topics
            sure = math.nan
            if hasattr(classifier, "predict_proba"):
                sure = classifier.predict_proba(texts).max(axis=1).mean()
            found.append((right.mean(), sure))
        means.append(Found(*map(float, np.mean(found, axis=0))))
    return means


def _summary(means: Means, contenders: Sequence[str], labels: Sequence[int]) -> str:
    """Return the means over the sets, and the lead over (b)."""
    sets = {name for name, _, _ in means}

    def mean(contender: str, n: int, what: str = "accuracy") -> float:
        return sum(getattr(means[name, contender, n], what) for name in sets) / len(sets)

    rows = [["mean of the sets, labels a topic", *map(str, labels)]]
    rows += [[LABELS[who], *(f"{mean(who, n):.3f}" for n in labels)] for who in contenders]
    rows += [
        [f"{LABELS[who]}, over (b), points"]
        + [f"{100 * (mean(who, n) - mean('b', n)):+.1f}" for n in labels]
        for who in contenders
        if "b" in contenders and who not in ("a", "b")
    ]
    rows += [
        [f"{LABELS[who]}, mean probability", *(f"{mean(who, n, 'sureness'):.3f}" for n in labels)]
        for who in contenders
        if who not in ("a", "b")
    ]
    return table(rows)


def _table(means: Means, sets: Sequence[str], contenders: Sequence[str], n: int) -> str:
    """Return a row for each set; the last column is the default over the best of (a) and (b)."""
    others = [name for name in contenders if name in ("a", "b")]
    compared = bool(others) and "default" in contenders
    rows = [["", *(LABELS[who] for who in contenders), *(["default over best"] * compared)]]
    for name in sets:
        row = [f"{means[name, who, n].accuracy:.3f}" for who in contenders]
        if compared:
            best = max(means[name, who, n].accuracy for who in others)
            row.append(f"{100 * (means[name, 'default', n].accuracy - best):+.1f}")
        rows.append([name, *row])
    return table(rows)


def main() -> None:
    """Run from the command line."""
    parser = arguments(__doc__, WHO)
    parser.add_argument("--labels", nargs="+", type=int, default=list(LABELS_A_TOPIC), metavar="N")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(report(chosen.sets, chosen.contenders, chosen.labels))


if __name__ == "__main__":
    main()
