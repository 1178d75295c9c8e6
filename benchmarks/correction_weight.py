"""How many documents a correction should count as, by cross-validation on training splits.

    python benchmarks/correction_weight.py [--sets NAME ...] [--json results.json]

In two ways that corrections come about, each on five folds of the training documents of every set:

- new texts: a model learns from three quarters of the documents, and answers the others; those it
  got wrong are corrected, up to 5 % of what it learned from.
- wrong labels: every tenth document has another topic at random, and half of these are corrected.

Then a model learns from all with each weight, and is tested on the fold held out, and asked again
about the corrected texts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from processes import table
from sets import arguments, load
from slugline import Corpus
from slugline.classifier import TopicClassifier
from slugline.corpus.splits import make_folds
from slugline.corrections.learning import merge_corrections

WEIGHTS = (1.0, 2.0, 3.0, 5.0, 8.0)
SETS = (
    *("reuters", "banking77", "trec", "ag_news", "stackoverflow", "webkb", "hint3-powerplay11"),
    *(f"sib200-{language}" for language in ("de", "en", "hi", "zh")),
)
#: Documents of a set that are used, and of them the share that is corrected.
MOST, SHARE = 6000, 0.05
N_FOLDS = 5


class Case(NamedTuple):
    """Documents to learn from, corrections, and documents to test on."""

    data: Corpus
    corrections: Corpus
    test: Corpus


def some(corpus: Corpus, rows: np.ndarray) -> Corpus:
    """Return the documents with these numbers."""
    chosen = rows.tolist()
    return Corpus([corpus.texts[i] for i in chosen], [corpus.topics[i] for i in chosen], "some")


def new_texts(train: Corpus, test: Corpus, rng: np.random.Generator) -> Case:
    """Correct the answers to documents that a model hasn't seen."""
    order = rng.permutation(len(train))
    n_served = len(order) // 4
    data, served = some(train, order[n_served:]), some(train, order[:n_served])
    answers = TopicClassifier(n_jobs=1).fit(data.texts, data.topics).predict(served.texts)
    wrong = np.flatnonzero(answers != np.array(served.topics, dtype=object))
    return Case(data, some(served, wrong[: int(SHARE * len(data))]), test)


def wrong_labels(train: Corpus, test: Corpus, rng: np.random.Generator) -> Case:
    """Correct half of the documents that got another topic."""
    names, topics = sorted(set(train.topics)), list(train.topics)
    wrong = rng.choice(len(train), int(2 * SHARE * len(train)), replace=False)
    for row in wrong.tolist():
        others = [name for name in names if name != topics[row]]
        topics[row] = others[int(rng.integers(len(others)))]
    return Case(Corpus(train.texts, topics, "some"), some(train, wrong[::2]), test)


def measured(case: Case, weight: float | None) -> tuple[float, float]:
    """Return the share of test documents, and of corrections, that are right; None: without any."""
    classifier = TopicClassifier(n_jobs=1)
    if weight is None or not len(case.corrections):
        classifier.fit(case.data.texts, case.data.topics)
    else:
        merged = merge_corrections(case.data, case.test, case.corrections, weight)
        classifier.fit(merged.learned.texts, merged.learned.topics, merged.weights)
    return share_right(classifier, case.test), share_right(classifier, case.corrections)


def share_right(classifier: TopicClassifier, corpus: Corpus) -> float:
    """Return the share of documents that get their topic; NaN of none."""
    if not len(corpus):
        return float("nan")
    right = classifier.predict(corpus.texts) == np.array(corpus.topics, dtype=object)
    return float(right.mean())


def measure(name: str) -> dict[str, list[list[float]]]:
    """Return means over the folds of a set: accuracy and share remembered, for each weight."""
    rng = np.random.default_rng(0)
    train, _ = load(name)
    train = some(train, np.sort(rng.permutation(len(train))[:MOST]))
    folds = make_folds(train.topics, N_FOLDS, seed=0)
    found: dict[str, list[list[float]]] = {}
    for way in WAYS:
        shares = []
        for fold in range(N_FOLDS):
            held = folds == fold
            case = way(some(train, np.flatnonzero(~held)), some(train, np.flatnonzero(held)), rng)
            shares.append([measured(case, weight) for weight in (None, *WEIGHTS)])
        found[way.__name__] = np.nanmean(shares, axis=0).tolist()
    return found


WAYS = (new_texts, wrong_labels)
QUANTITIES = ("accuracy", "corrected texts that are right now")


def main() -> None:
    """Measure, and print a table for each way in which corrections come about."""
    parser = arguments(__doc__)
    parser.set_defaults(sets=list(SETS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    for name in given.sets:
        found[name] = measure(name)
        print(name, found[name], flush=True)
    for way in (way.__name__ for way in WAYS):
        for number, quantity in enumerate(QUANTITIES):
            rows = [["set", "without", *(f"weight {weight:g}" for weight in WEIGHTS)]]
            shares = {name: [pair[number] for pair in found[name][way]] for name in found}
            rows += [[name, *(f"{100 * share:.1f}" for share in shares[name])] for name in found]
            mean = np.mean(list(shares.values()), axis=0)
            rows.append(["mean", *(f"{100 * share:.2f}" for share in mean)])
            print(f"\n{way.replace('_', ' ')}: {quantity}, in %\n\n{table(rows)}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
