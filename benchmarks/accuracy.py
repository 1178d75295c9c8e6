"""Accuracy, calibration, speed and memory of scikit-learn, fastText and Slugline on all sets.

Libraries are imported where they are used, since they count as memory of what is measured:
scikit-learn with what it imports in turn takes 140 MB, which Slugline and fastText don't need.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data import NAMES, expand, load
from measure import median_seconds, medians, peak_mb, run_child, seconds, table
from slugline import Corpus, TopicClassifier
from slugline.evaluation.probabilities import calibration_error

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# The classifiers ----------------------------------------------------------------------------------


def tfidf_of_words() -> Pipeline:
    """Return the two lines of scikit-learn that many start with."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    return make_pipeline(TfidfVectorizer(), LinearSVC())


def words_and_characters() -> Pipeline:
    """Return a pipeline with word pairs and character n-grams: good for short texts, but slow."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        LinearSVC(),
    )


def stochastic() -> Pipeline:
    """Return the pipeline that scikit-learn's guide suggests for many documents."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0))


class Diverged(Exception):  # noqa: N818
    """Training ended in NaN."""


class FastText:
    """fastText with its tutorial's settings; at a fifth of the learning rate if that diverges."""

    def __init__(self, epoch: int = 25, rates: Sequence[float] = (0.5, 0.1)) -> None:
        self.epoch = epoch
        self.rates = rates

    def fit(self, X: Sequence[str], y: Sequence[str]) -> FastText:
        """Write the file that fastText needs, and train."""
        import fasttext

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            with path.open("w", encoding="utf-8") as file:
                file.writelines(f"__label__{t} {_line(x)}\n" for x, t in zip(X, y, strict=True))
            for rate in self.rates:
                try:
                    self.model = fasttext.train_supervised(
                        str(path), epoch=self.epoch, lr=rate, thread=1, verbose=0
                    )
                except RuntimeError:  # "Encountered NaN."
                    continue
                return self
        raise Diverged

    def predict(self, X: Sequence[str]) -> list[str]:
        """Return the topic of each text."""
        labels, _ = self.model.predict([_line(x) for x in X])
        return [label[0].removeprefix("__label__") for label in labels]

    def top_probabilities(self, X: Sequence[str]) -> Any:
        """Return the probability of each text's most likely topic."""
        _, probabilities = self.model.predict([_line(x) for x in X])
        return np.clip([values[0] for values in probabilities], 0, 1)


def _line(text: str) -> str:
    return " ".join(text.lower().split())


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "a": tfidf_of_words,
    "b": words_and_characters,
    "fasttext": FastText,
    "network": lambda: TopicClassifier(learner="network", n_jobs=1),
    "default": lambda: TopicClassifier(n_jobs=1),
    "words": lambda: TopicClassifier(encoder=None, n_jobs=1),
    "cores": TopicClassifier,
    "encoder": lambda: TopicClassifier(encoder="use", n_jobs=1),
    "tuned": lambda: TopicClassifier(tune=True, n_jobs=1),
}
LABELS = {
    "a": "(a) TfidfVectorizer + LinearSVC",
    "b": "(b) words 1-2, char_wb 2-5, sublinear + LinearSVC",
    "fasttext": "fastText, 25 epochs, rate 0.5",
    "network": "Slugline, the lesson's net",
    "default": "**Slugline, default**",
    "words": "Slugline, words alone",
    "cores": "Slugline, default, a thread for each core",
    "encoder": "Slugline, with the encoder",
    "tuned": "Slugline, tuned",
}

# The comparison -----------------------------------------------------------------------------------

# Of slow classifiers a single run: accuracy is the same every time.
N_RUNS = {"a": 3, "default": 3, "words": 3, "cores": 3}
#: These take long, or are far behind: they are measured on the first six sets alone.
ON_FIRST_SETS, FIRST_SETS = ("fasttext", "network", "tuned"), NAMES[:6]
#: Sets of 1,000 test documents or more; with fewer, a calibration error is mostly chance.
LARGE_TESTS = (
    "reuters",
    "reuters-corrected",
    "banking77",
    "20ng",
    "ag_news",
    "ohsumed",
    "stackoverflow",
    "webkb",
)
# Short steps are measured several times, and the median is taken.
N_PREDICTIONS, N_SINGLE = 5, 201
# Draws of right answers, to see what calibration error chance alone makes.
N_DRAWS = 50
NOTE = """\
All on one thread with default settings, unless a column says otherwise. Of (a) and the default,
medians of three fresh processes each, in turn; the others ran once. fastText gets lower-case text,
and a learning rate of 0.1 where 0.5 ends in NaN; "nan" means that 0.1 did, too. No value: not
measured. The number of threads doesn't show in answers. Memory is that of fitting and of predicting
the test documents, with the texts; a classifier's process imports no other.
"""
TABLES = (
    ("Macro-F1 on test documents", "macro_f1", ".3f", "mean"),
    ("Calibration error of the top answer, 15 bins of equal mass", "calibration", ".3f", "mean"),
    (
        "Calibration error by chance, if probabilities were true",
        "calibration_by_chance",
        ".3f",
        "mean",
    ),
    ("Seconds to fit", "fit_seconds", ".2f", "sum"),
    ("Documents a second", "documents_per_second", ",.0f", "median"),
    ("Milliseconds for one short text", "single_ms", ".2f", "median"),
    ("Peak memory of the process, MB", "memory_mb", ",.0f", "max"),
)
METRICS = (
    "accuracy",
    "macro_f1",
    "calibration",
    "calibration_by_chance",
    "fit_seconds",
    "documents_per_second",
    "single_ms",
    "memory_mb",
)
#: Metrics that depend on the number of threads.
COSTS = ("fit_seconds", "documents_per_second", "single_ms", "memory_mb")

Results = dict[tuple[str, str], dict[str, float]]


def compare(
    sets: Sequence[str] = NAMES, classifiers: Sequence[str] = tuple(CLASSIFIERS), runs: int = 3
) -> str:
    """Fit, test and time all classifiers on all sets, in fresh processes."""
    sets = expand(sets)
    results = _run_all(sets, classifiers, runs)
    shown = [name for name in CLASSIFIERS if any(name == known for known, _ in results)]
    # The number of threads doesn't show in answers.
    different = [name for name in shown if name != "cores"]
    parts = [NOTE, "#### Accuracy on test documents\n"]
    parts += [_accuracy_table(results, sets, different), ""]
    for title, metric, form, total in TABLES:
        columns = shown if metric in COSTS else different
        parts += [f"#### {title}\n", _table(results, sets, columns, (metric, form, total)), ""]
    if {"a", "b", "default"} <= set(shown):
        parts += ["#### Ratios\n", _ratio_table(results, sets, shown), ""]
    return "\n".join(parts)


def _run_all(sets: Sequence[str], classifiers: Sequence[str], n_runs: int) -> Results:
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(n_runs):
        for name in sets:
            for classifier in classifiers:
                is_skipped = classifier in ON_FIRST_SETS and name not in FIRST_SETS
                if not is_skipped and turn < N_RUNS.get(classifier, 1):
                    metrics = run_child(
                        "accuracy", "fit_and_test", classifier, name, OMP_NUM_THREADS="1"
                    )
                    runs.setdefault((classifier, name), []).append(metrics)
    return {key: medians(metrics) for key, metrics in runs.items()}


def fit_and_test(classifier_name: str, name: str) -> dict[str, float]:
    """Return the metrics of one classifier on one set; all NaN if training diverges."""
    train, test = load(name)
    classifier = CLASSIFIERS[classifier_name]()
    try:
        fit_seconds = seconds(classifier.fit, train.texts, train.topics)
    except Diverged:
        return dict.fromkeys(METRICS, math.nan)
    predicted = classifier.predict(test.texts)
    memory_mb = peak_mb()  # before the libraries that compute metrics are imported
    # (b) takes half a minute for the longest set, every time the same.
    n_runs = 1 if classifier_name == "b" else N_PREDICTIONS
    short = min(test.texts, key=lambda text: abs(len(text) - 60))
    is_right = np.array(predicted) == np.array(test.topics)
    top = _top_probabilities(classifier_name, classifier, train, test.texts)
    from sklearn.metrics import f1_score

    metrics = (
        float(is_right.mean()),
        f1_score(test.topics, predicted, average="macro"),
        math.nan if top is None else calibration_error(top, is_right),
        math.nan if top is None else _calibration_by_chance(top),
        fit_seconds,
        len(test) / median_seconds(lambda: classifier.predict(test.texts), n_runs),
        1000 * median_seconds(lambda: classifier.predict([short]), N_SINGLE),
        memory_mb,
    )
    return dict(zip(METRICS, map(float, metrics), strict=True))


def _top_probabilities(
    name: str, classifier: Any, train: Corpus, texts: Sequence[str]
) -> Any | None:
    """Return the probability of each text's answer; None if a classifier has no probabilities."""
    if hasattr(classifier, "predict_proba"):
        return classifier.predict_proba(texts).max(axis=1)
    if hasattr(classifier, "top_probabilities"):
        return classifier.top_probabilities(texts)
    # What scikit-learn's users can do: temperature scaling by five folds. Its time is not counted.
    # For (b), it would take minutes.
    return _scale_by_temperature(classifier, train, texts) if name == "a" else None


def _calibration_by_chance(top: Any) -> float:
    """Return the mean calibration error that true probabilities would have."""
    rng = np.random.default_rng(0)
    draws = (rng.random(len(top)) < top for _ in range(N_DRAWS))
    return statistics.mean(calibration_error(top, is_right) for is_right in draws)


def _scale_by_temperature(classifier: Any, train: Corpus, texts: Sequence[str]) -> Any:
    """Return the top probabilities of scores, scaled by the best factor of five folds."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax, softmax
    from sklearn.model_selection import KFold, cross_val_predict

    topics = np.array(train.topics)
    numbers = np.searchsorted(classifier.classes_, topics)
    folds = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(
        tfidf_of_words(), train.texts, topics, cv=folds, method="decision_function"
    )
    scores = np.maximum(scores, -100)  # of a topic that no other fold has

    def loss(log_factor: float) -> float:
        proba = log_softmax(math.exp(log_factor) * scores, axis=1)
        return -float(proba[np.arange(len(numbers)), numbers].mean())

    factor = math.exp(minimize_scalar(loss, bounds=(-3, 4), method="bounded").x)
    return softmax(factor * classifier.decision_function(texts), axis=1).max(axis=1)


# Tables -------------------------------------------------------------------------------------------


def _values(results: Results, classifier: str, sets: Iterable[str], metric: str) -> list[float]:
    return [results.get((classifier, name), {}).get(metric, math.nan) for name in sets]


def _accuracy_table(results: Results, sets: Sequence[str], shown: Sequence[str]) -> str:
    """Return a row for each set, with the best of (a) and (b) and what the default adds."""
    values = {name: _values(results, name, sets, "accuracy") for name in shown}
    best, leads = _best(results, sets), _leads(results, sets)
    worst = min((lead for lead in leads if lead == lead), default=math.nan)
    rows = []
    for number, name in enumerate(sets):
        cells = [_format(values[classifier][number], ".3f") for classifier in shown]
        mark = " (worst)" if leads[number] == worst else ""
        lead = f"{_format(leads[number], '+.1f')}{mark}"
        rows.append([name, *cells, _format(best[number], ".3f"), lead])
    means = [_format(_mean(values[classifier]), ".3f") for classifier in shown]
    rows.append(["mean", *means, _format(_mean(best), ".3f"), _format(_mean(leads), "+.2f")])
    header = ["", *(LABELS[name] for name in shown), "best of (a), (b)", "default over it"]
    return table(header, rows)


def _best(results: Results, sets: Iterable[str]) -> list[float]:
    pairs = zip(*(_values(results, name, sets, "accuracy") for name in ("a", "b")), strict=True)
    return [max(pair, key=lambda value: (value == value, value)) for pair in pairs]


def _leads(results: Results, sets: Sequence[str], classifier: str = "default") -> list[float]:
    """Return the points that a classifier has over the better of (a) and (b) on each set."""
    accuracies = _values(results, classifier, sets, "accuracy")
    best = _best(results, sets)
    return [100 * (value - other) for value, other in zip(accuracies, best, strict=True)]


def _table(
    results: Results, sets: Sequence[str], shown: Sequence[str], what: tuple[str, str, str]
) -> str:
    metric, form, total = what
    columns = [_values(results, classifier, sets, metric) for classifier in shown]
    rows = [
        [name, *(_format(value, form) for value in values)]
        for name, values in zip(sets, zip(*columns, strict=True), strict=True)
    ]
    rows.append([total, *(_format(_TOTALS[total](column), form) for column in columns)])
    return table(["", *(LABELS[classifier] for classifier in shown)], rows)


def _mean(values: Sequence[float]) -> float:
    """Return the mean; NaN if one is missing, as means over other sets would mislead."""
    return sum(values) / len(values) if values else math.nan


def _median(values: Sequence[float]) -> float:
    if any(value != value for value in values):
        return math.nan
    return sorted(values)[len(values) // 2]


_TOTALS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": _mean,
    "sum": sum,
    "median": _median,
    "max": lambda values: math.nan if any(v != v for v in values) else max(values),
}


def _format(value: float, form: str) -> str:
    return "-" if value != value else f"{value:{form}}"


def _ratio_table(results: Results, sets: Sequence[str], shown: Sequence[str]) -> str:
    """Return what the default has over (a) and (b)."""
    large_tests = [name for name in sets if name in LARGE_TESTS]

    def ratios(metric: str) -> list[float]:
        values = (_values(results, name, sets, metric) for name in ("default", "a"))
        return [value / other for value, other in zip(*values, strict=True)]

    def memory_ratio(classifier: str) -> float:
        most, most_of_a = (
            max(_values(results, name, sets, "memory_mb")) for name in (classifier, "a")
        )
        return most / most_of_a

    def fit_ratio(classifier: str) -> float:
        fit_seconds = (
            sum(_values(results, name, sets, "fit_seconds")) for name in (classifier, "a")
        )
        return next(fit_seconds) / next(fit_seconds)

    leads, speed, latency = (
        _leads(results, sets),
        ratios("documents_per_second"),
        ratios("single_ms"),
    )
    errors, by_chance = (
        _mean(_values(results, "default", sets, metric))
        for metric in ("calibration", "calibration_by_chance")
    )
    worst_error = max(_values(results, "default", large_tests, "calibration"), default=math.nan)
    rows = [
        ["mean accuracy over the better of (a), (b), points", _format(_mean(leads), "+.2f")],
        ["the same, worst set", _format(min(leads, default=math.nan), "+.2f")],
        ["fit time, sum, relative to (a)", _format(fit_ratio("default"), ".2f")],
        ["the same, a thread for each core", _format(fit_ratio("cores"), ".2f")],
        ["largest peak memory, relative to (a)", _format(memory_ratio("default"), ".2f")],
        ["the same, a thread for each core", _format(memory_ratio("cores"), ".2f")],
        ["documents a second, relative to (a), worst set", _format(min(speed), ".2f")],
        ["the same, median", _format(_median(speed), ".2f")],
        ["one short text, relative to (a), worst set", _format(max(latency), ".2f")],
        ["the same, median", _format(_median(latency), ".2f")],
        ["calibration error, mean", _format(errors, ".3f")],
        ["the same by chance, if probabilities were true", _format(by_chance, ".3f")],
        ["the same, worst set of 1,000 test documents or more", _format(worst_error, ".3f")],
    ]
    if "encoder" in shown:
        gain = _mean(_leads(results, sets, "encoder"))
        rows.append(["with the encoder, over the better of (a), (b)", _format(gain, "+.2f")])
    return table(["", "result"], rows)


BENCHMARKS = {"compare": compare}
QUICK = {
    "compare": {"sets": ("trec", "sib200-de"), "classifiers": ("a", "b", "default"), "runs": 1}
}
