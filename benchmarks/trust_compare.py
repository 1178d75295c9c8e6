"""Which test of differences between models keeps its word? Prints two tables in Markdown.

Of a set's training documents, some are drawn, many times over. In each draw, models are compared by
five folds. Nothing here reads a test split.

1. Pairs of usual models: the true difference is the mean over all draws. How often does a test's
   95 % interval miss it, which should be 5 %, and how wide is it?
2. Six models that are equal in the long run: each learns from its own random three quarters of the
   documents. How often is at least one of them called worse than the best, which should be 5 % at
   most?
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, ttest_rel
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

from processes import table
from sets import arguments, load
from slugline.compare.results import AccuracyDifference, adjust_p_values, compare_accuracies
from slugline.corpus.splits import make_folds
from slugline.evaluation.intervals import wilson

SETS = ("trec", "webkb", "ag_news", "stackoverflow", "sib200-de")
N_FOLDS, N_EQUAL, LEVEL = 5, 6, 0.05

Flags = npt.NDArray[np.bool_]
Test = Callable[[Flags, Flags, npt.NDArray[np.int64]], AccuracyDifference]


def by_fold(right: Flags, folds: npt.NDArray[np.int64]) -> list[float]:
    """Return the accuracy in each fold."""
    return [float(right[folds == fold].mean()) for fold in range(N_FOLDS)]


def corrected(ours: Flags, theirs: Flags, folds: npt.NDArray[np.int64]) -> AccuracyDifference:
    """The corrected resampled t-test, which `slugline compare` uses."""
    return compare_accuracies(by_fold(ours, folds), by_fold(theirs, folds))


def paired(ours: Flags, theirs: Flags, folds: npt.NDArray[np.int64]) -> AccuracyDifference:
    """Student's paired test over the folds, as if these were independent."""
    accuracies = by_fold(ours, folds), by_fold(theirs, folds)
    if np.ptp(np.subtract(*accuracies)) < 1e-12:
        return compare_accuracies(*accuracies)  # nothing varies, and nothing can be said
    found = ttest_rel(*accuracies)
    low, high = found.confidence_interval(0.95)
    return AccuracyDifference(float(ours.mean() - theirs.mean()), (low, high), float(found.pvalue))


def mcnemar(ours: Flags, theirs: Flags, folds: npt.NDArray[np.int64]) -> AccuracyDifference:  # noqa: ARG001
    """McNemar's exact test (1947) over the answers to all documents, with Wilson's interval."""
    n_ours, n_apart = int((ours & ~theirs).sum()), int((ours ^ theirs).sum())
    if not n_apart:
        return AccuracyDifference(0.0, (0.0, 0.0), 1.0)
    low, high = ((2 * share - 1) * n_apart / len(ours) for share in wilson(n_ours, n_apart))
    accuracy = float(ours.mean() - theirs.mean())
    return AccuracyDifference(accuracy, (low, high), float(binomtest(n_ours, n_apart).pvalue))


TESTS: dict[str, Test] = {
    "corrected resampled t-test (Nadeau and Bengio)": corrected,
    "paired t-test (Student)": paired,
    "McNemar's exact test": mcnemar,
}


class Draws:
    """Draws of a set's training documents, and the answers of models in five folds of each."""

    def __init__(self, name: str, n_documents: int, n_draws: int) -> None:
        train, _ = load(name)
        self.topics = np.array(train.topics, dtype=object)
        self.words = TfidfVectorizer().fit_transform(train.texts)
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 4), sublinear_tf=True)
        self.characters = characters.fit_transform(train.texts)
        rng = np.random.default_rng(0)
        n = min(n_documents, len(train) * 2 // 3)
        self.rows = [rng.permutation(len(train))[:n] for _ in range(n_draws)]
        self.folds = [make_folds(list(self.topics[r]), N_FOLDS, i) for i, r in enumerate(self.rows)]

    def usual(self, draw: int) -> list[Flags]:
        """Return what four usual models have right."""
        models = (
            (self.words, LinearSVC(random_state=0)),
            (self.characters, LinearSVC(random_state=0)),
            (self.words, RidgeClassifier(solver="sparse_cg", random_state=0)),
            (self.words, ComplementNB()),
        )
        return [self._right(draw, X, model) for X, model in models]

    def equal(self, draw: int) -> list[Flags]:
        """Return what models have right that each learned from three quarters at random."""
        rng = np.random.default_rng([1, draw])
        shares = (rng.random(len(self.rows[draw])) < 0.75 for _ in range(N_EQUAL))
        return [
            self._right(draw, self.words, LinearSVC(random_state=0), learned) for learned in shares
        ]

    def _right(self, draw: int, X: Any, model: Any, learned: Flags | None = None) -> Flags:
        rows, folds = self.rows[draw], self.folds[draw]
        X, topics = X[rows], self.topics[rows]
        right = np.zeros(len(rows), dtype=bool)
        for fold in range(N_FOLDS):
            test = folds == fold
            train = ~test if learned is None else ~test & learned
            right[test] = model.fit(X[train], topics[train]).predict(X[test]) == topics[test]
        return right


def missed(draws: Draws, test: Test, usual: Sequence[Sequence[Flags]]) -> Iterator[list[float]]:
    """Give, for each pair of models, the share of intervals that miss, and their mean width."""
    for one, other in itertools.combinations(range(len(usual[0])), 2):
        true = statistics.fmean(float(r[one].mean() - r[other].mean()) for r in usual)
        ends = [
            test(right[one], right[other], folds).interval
            for right, folds in zip(usual, draws.folds, strict=True)
        ]
        known = [end for end in ends if end is not None]
        misses = statistics.fmean(not low <= true <= high for low, high in known)
        yield [misses, statistics.fmean(high - low for low, high in known)]


def false_alarms(
    draws: Draws, test: Test, equal: Sequence[Sequence[Flags]], *, holm: bool
) -> float:
    """Return how often one of several equal models is called worse than the best."""
    alarms = []
    for right, folds in zip(equal, draws.folds, strict=True):
        best = max(range(N_EQUAL), key=lambda i: right[i].sum())
        found = {str(i): test(right[i], right[best], folds) for i in range(N_EQUAL) if i != best}
        found = adjust_p_values(found) if holm else found
        alarms.append(any(d.p_value is not None and d.p_value < LEVEL for d in found.values()))
    return statistics.fmean(alarms)


def main() -> None:
    """Run from the command line."""
    parser = arguments(__doc__)
    parser.set_defaults(sets=list(SETS))
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--documents", type=int, default=500)
    options = parser.parse_args()
    intervals = {name: list[list[float]]() for name in TESTS}
    alarms = {(name, holm): list[float]() for name in TESTS for holm in (True, False)}
    for name in options.sets:
        draws = Draws(name, options.documents, options.draws)
        usual = [draws.usual(draw) for draw in range(options.draws)]
        equal = [draws.equal(draw) for draw in range(options.draws)]
        for label, test in TESTS.items():
            intervals[label] += missed(draws, test, usual)
            for holm in (True, False):
                alarms[label, holm].append(false_alarms(draws, test, equal, holm=holm))
    print(f"{', '.join(options.sets)}: {options.draws} draws of {options.documents} documents\n")
    rows = [["test", "intervals that miss, mean", "worst pair", "mean width, points"]]
    for label, found in intervals.items():
        misses, widths = zip(*found, strict=True)
        shares = [f"{100 * x:.1f} %" for x in (statistics.fmean(misses), max(misses))]
        rows.append([label, *shares, f"{100 * statistics.fmean(widths):.1f}"])
    print(f"{table(rows)}\n")
    rows = [["test", "adjusted (Holm)", "false alarms, mean", "worst set"]]
    for (label, holm), found in alarms.items():
        shares = [f"{100 * x:.1f} %" for x in (statistics.fmean(found), max(found))]
        rows.append([label, "yes" if holm else "no", *shares])
    print(table(rows))


if __name__ == "__main__":
    main()
