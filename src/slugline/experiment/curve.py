"""Learning curves: accuracy by number of labels, extrapolated to twice as many."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64, Index
from slugline.base.checks import check_whole, short_repr
from slugline.base.progress import Progress, check_progress
from slugline.base.wording import TitledRows, counted, have
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topics
from slugline.corpus.splits import rank_draw
from slugline.corpus.topic_sets import sets_with_parents, to_indicator
from slugline.errors import EncoderWarning
from slugline.evaluation.intervals import Interval, wilson
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.experiment.curve_intervals import DrawScores, curve_intervals, f1_scores
from slugline.experiment.evaluate import check_several_topics, check_some_known
from slugline.experiment.experiment import check_can_set_aside_test
from slugline.learning.encoder.encoder import default_encoder
from slugline.learning.encoder.registry import DEFAULT_ENCODER
from slugline.learning.learner import is_linear
from slugline.model.settings import FitSettings

#: The name of the default classifier's curve.
DEFAULT = "Slugline"
# Name of the classifier without an encoder; others are named after their encoder.
_WORDS = "words alone"

# First digits of the numbers of labels per topic.
_FIRST_DIGITS = (1, 2, 5)
# Default smallest number of labels per topic. Curves with fewer points than `_MIN_SIZES` begin
# at 1.
_USUAL_START, _MIN_SIZES = 5, 3
# Accuracy intervals wider than this, such as from a dozen test documents, are uninformative.
_MAX_WIDTH = 0.5


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy after training on `n_labels` documents per topic.

    For multi-label data, micro-F1 replaces accuracy.

    Attributes
    ----------
    n_labels : int or None
        Labels per topic; None for all.
    n_documents : int
        Number of training documents. Topics with fewer than `n_labels` contribute all of theirs.
    accuracies : tuple of float
        The accuracy of each draw.
    n_test : int
    interval : Interval or None
        The 95 % interval of the mean accuracy, or None with too few draws; see
        `slugline.experiment.curve_intervals`.
    """

    n_labels: int | None
    n_documents: int
    accuracies: tuple[float, ...]
    n_test: int
    interval: Interval | None = None

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the draws."""
        return statistics.fmean(self.accuracies)

    @property
    def accuracy_range(self) -> Interval:
        """The interval; with too few draws, it reflects only the choice of test documents."""
        return self.interval or wilson(self.accuracy * self.n_test, self.n_test)

    @property
    def is_vague(self) -> bool:
        """True if there are too few test documents for an informative accuracy."""
        return self.accuracy_range.high - self.accuracy_range.low > _MAX_WIDTH


@dataclass(frozen=True)
class LearningCurve:
    """The points of one classifier, in ascending order of labels."""

    name: str
    points: tuple[CurvePoint, ...]

    @property
    def forecast_of_doubled(self) -> Forecast | None:
        """Forecast for twice as many labels; None with too few points or test documents."""
        last = self.points[-1] if self.points else None
        if last is None or last.n_labels is not None or last.is_vague:
            return None
        n_documents = [point.n_documents for point in self.points]
        accuracies = [point.accuracy for point in self.points]
        return forecast(n_documents, accuracies, 2 * n_documents[-1], last.accuracy_range)


@dataclass(frozen=True, repr=False)
class LearningCurves(TitledRows):
    """Learning curves of one or more classifiers.

    Attributes
    ----------
    name : str
        Name of the data.
    n_topics, n_train, n_test : int
    curves : tuple of LearningCurve
    notes : tuple of str
        Notes about the data.
    interrupted : bool
        True if Ctrl-C ended the run, so that points or draws are missing.
    multilabel : bool
        True if the data are multi-label, so that points are micro-F1.
    """

    name: str
    n_topics: int
    n_train: int
    n_test: int
    curves: tuple[LearningCurve, ...]
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    multilabel: bool = False

    @property
    def score_name(self) -> str:
        """Name of the metric."""
        return "Micro-F1" if self.multilabel else "Accuracy"

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [
            (f"{curve.name}, {_labels(point)}", f"{point.accuracy:.3f}")
            for curve in self.curves
            for point in curve.points
        ]
        return f"Learning curves of {self.name}: {self.n_topics:,} topics", rows

    def to_dict(self) -> dict[str, Any]:
        """Return all points and forecasts as plain data for JSON."""
        return {
            "data": {
                name: getattr(self, name) for name in ("name", "n_topics", "n_train", "n_test")
            },
            "curves": [
                _curve_dict(curve, "micro_f1" if self.multilabel else "accuracy")
                for curve in self.curves
            ],
            "notes": list(self.notes),
            "interrupted": self.interrupted,
        }


def _labels(point: CurvePoint) -> str:
    return "all" if point.n_labels is None else f"{point.n_labels:,} per topic"


def _curve_dict(curve: LearningCurve, score: str) -> dict[str, Any]:
    doubled = curve.forecast_of_doubled
    twice_the_labels = None
    if doubled is not None:
        twice_the_labels = {
            "n_documents": doubled.n_documents,
            score: doubled.accuracy,
            "range": [doubled.low, doubled.high],
        }
    return {
        "name": curve.name,
        "points": [
            {
                "labels_per_topic": point.n_labels,
                "n_documents": point.n_documents,
                score: point.accuracy,
                f"{score}_interval": None if point.interval is None else list(point.interval),
                "accuracies" if score == "accuracy" else "micro_f1s": list(point.accuracies),
            }
            for point in curve.points
        ],
        "twice_the_labels": twice_the_labels,
    }


def make_multilabel(model: Any) -> Any:
    """Return the model, adapted to multi-label data.

    Wraps the last step of a scikit-learn pipeline in a one-vs-rest classifier. Other models are
    returned unchanged.
    """
    if hasattr(model, "steps"):
        from sklearn.multiclass import OneVsRestClassifier

        step, classifier = model.steps[-1]
        model.steps[-1] = (step, OneVsRestClassifier(classifier))
    return model


def classifiers_to_compare(settings: FitSettings) -> dict[str, Callable[[], Any]]:
    """Return factories by name, for these settings with the default encoder and with their own."""
    settings = replace(settings, min_precision=None)  # accuracy doesn't need thresholds
    make_own = partial(TopicClassifier.from_settings, settings)
    encoder = settings.encoder
    if encoder is None:
        name = _WORDS
    else:
        name = "a chosen encoder" if isinstance(encoder, tuple) else encoder.name
    # Other learners don't use the default encoder.
    is_words = encoder is None and not is_linear(settings.learner)
    if is_words or name == DEFAULT_ENCODER:
        return {DEFAULT: make_own}
    default = replace(settings, encoder=default_encoder(), descriptions={})
    return {
        DEFAULT: partial(TopicClassifier.from_settings, default),
        f"{DEFAULT} with {name}": make_own,
    }


def learning_curves(
    corpus: Corpus,
    test: Corpus | None = None,
    contenders: Mapping[str, Callable[[], Any]] | None = None,
    *,
    test_fraction: float = 0.2,
    n_draws: int = 5,
    random_state: int = 0,
    progress: Progress | None = None,
) -> LearningCurves:
    """Measure the accuracy for increasing numbers of labels per topic.

    Each draw shuffles the documents of every topic and trains on the first ones, so larger sets
    include smaller ones; draws begin with different documents. After Ctrl-C, the points measured so
    far are returned, if any. Intervals need at least three draws; see
    `slugline.experiment.curve_intervals`.

    Parameters
    ----------
    corpus : Corpus
    test : Corpus, optional
        By default, a stratified part of the corpus of size `test_fraction`.
    contenders : mapping of str to callable, optional
        Factories of scikit-learn text classifiers; by default `TopicClassifier()` alone.
    test_fraction : float, over 0 and under 1, default 0.2
    n_draws : int, default 5
    random_state : int, default 0
        Seed for the test documents and the draws.
    progress : Progress, optional

    Raises
    ------
    DataError : if there is only one topic, or no topic has two documents.
    OptionError : if a number is out of range.
    """
    check_whole("n_draws", n_draws, 1)
    check_whole("random_state", random_state, 0, (1 << 32) - 1)
    check_several_topics(corpus)
    train = corpus
    if test is None:
        check_can_set_aside_test(corpus)
        train, test = corpus.split(test_fraction, random_state)
    check_some_known([*train.all_topics()], test)
    factories = contenders or classifiers_to_compare(TopicClassifier().to_settings())
    run = _CurveFits(train, test, factories, n_draws, random_state)
    with closing(check_progress(progress)) as progress:
        interrupted = run.measure(progress)
    return LearningCurves(
        name=corpus.name,
        n_topics=len(set(train.all_topics())),
        n_train=len(train),
        n_test=len(test),
        curves=tuple(LearningCurve(name, run.points(name)) for name in factories),
        notes=tuple(_notes(train, test)),
        interrupted=interrupted,
        multilabel=train.multilabel,
    )


def _notes(train: Corpus, test: Corpus) -> Iterator[str]:
    if test.has_selection_bias:
        yield (
            "many of the test documents were labelled because a model doubted them, so accuracies "
            "on other texts are usually higher."
        )
    counts = train.topic_counts()
    test_topics = set(test.all_topics())
    if untested := sorted(set(counts) - test_topics):
        yield (
            f"{len(untested)} of {len(counts)} topics, such as {short_repr(untested[0])}, "
            f"{have(len(untested))} too few documents to be tested; only training uses them."
        )
    if unlearned := sorted(test_topics - set(counts)):
        yield (
            f"{counted(len(unlearned), 'topic')} of the test documents, such as "
            f"{short_repr(unlearned[0])}, {have(len(unlearned))} no training documents; such "
            + ("topics are missed." if train.multilabel else "documents count as wrong.")
        )
    least, most = min(counts.values()), max(counts.values())
    if least < most:
        yield (
            f"topics have {least:,} to {most:,} training documents: if a topic has fewer than a "
            "row of the table requires, all of them are used."
        )


@dataclass
class _CurveFits:
    """The fits of all curves, ordered by draw so that an interrupted run has complete curves."""

    train: Corpus
    test: Corpus
    contenders: Mapping[str, Callable[[], Any]]
    n_draws: int
    seed: int
    # By classifier name and labels per topic.
    _scores: dict[tuple[str, int | None], DrawScores] = field(init=False, default_factory=dict)
    # Labels per topic of each point; the last point uses all labels.
    _sizes: list[int | None] = field(init=False)

    def __post_init__(self) -> None:
        self._sizes = [*labels_per_topic([*self.train.topic_counts().values()]), None]

    def measure(self, progress: Progress) -> bool:
        """Run all fits; return True if Ctrl-C ended them early, with some results."""
        draws = [(n, 0) for n in self._sizes]
        draws += [(n, draw) for draw in range(1, self.n_draws) for n in self._sizes[:-1]]
        fits = [(n, draw, name) for n, draw in draws for name in self.contenders]
        try:
            for n_done, (n, draw, name) in enumerate(fits):
                step = "all labels" if n is None else f"{counted(n, 'label')} per topic"
                progress.update(f"{name}: {step}, draw {draw + 1}", n_done / len(fits))
                rows = np.arange(len(self.train))
                if n is not None:
                    ranks = rank_draw(self.train.topics, draw, self.n_draws, self.seed)
                    rows = np.flatnonzero(ranks < n)
                scores = self._document_scores(name, rows)
                draws_of_size = self._scores.setdefault((name, n), DrawScores(len(self.train)))
                draws_of_size.add(rows, scores)
        except KeyboardInterrupt:
            if not self._scores:
                raise
            return True
        return False

    def points(self, name: str) -> tuple[CurvePoint, ...]:
        """Return the points of a classifier that have been measured so far."""
        measured = [n for n in self._sizes if (name, n) in self._scores]
        scores = [self._scores[name, n] for n in measured]
        return tuple(
            CurvePoint(
                n, len(draws.drawn[0]), tuple(draws.means.tolist()), len(self.test), interval
            )
            for n, draws, interval in zip(measured, scores, curve_intervals(scores), strict=True)
        )

    def _document_scores(self, name: str, rows: Index) -> F64:
        """Return the scores of test documents after training on `rows`."""
        texts = [self.train.texts[row] for row in rows]
        classifier = self.contenders[name]()
        if self.train.multilabel:
            evaluation = self._evaluate(make_multilabel(classifier), texts, rows)
            true, given = evaluation.true.astype(np.float64), evaluation.answered.astype(np.float64)
            counts = (true.multiply(given), given, true)
            return f1_scores(*(np.asarray(part.sum(axis=1)).ravel() for part in counts))
        # Ignore the warning that the encoder was left out, which is common with few labels.
        with warnings.catch_warnings(action="ignore", category=EncoderWarning):
            classifier.fit(texts, [self.train.topics[row] for row in rows])
        predicted = np.asarray(classifier.predict(self.test.texts), dtype=object)
        return (predicted == np.array(self.test.topics, dtype=object)).astype(np.float64)

    def _evaluate(self, classifier: Any, texts: list[str], rows: Index) -> MultilabelEvaluation:
        """Return the evaluation of a multi-label classifier trained on `rows`."""
        from scipy.sparse import csr_array

        train, test = self.train.topics, self.test.topics
        names = sorted({*self.train.all_topics(), *self.test.all_topics()})
        y: Any = [train[row] for row in rows]
        # Only a `TopicClassifier` of topic paths accepts sets of topics; others need an indicator.
        path = getattr(classifier, "topic_path", None)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # topics without texts
            classifier.fit(texts, y if path else to_indicator(y, names))
            answers: Any = classifier.predict(self.test.texts)
        topics = Topics(names)
        if path:
            answers = topics.encode_sets(sets_with_parents(answers, path))
        truth = topics.encode_sets(test, bool)
        return MultilabelEvaluation.from_answers(names, truth, csr_array(answers, dtype=bool))


def labels_per_topic(counts: Sequence[int]) -> list[int]:
    """Return the numbers of labels per topic to train on: 5, 10, 20, 50 and so on.

    The last one is well below the total number of documents; for small topics, the first is 1.

    >>> labels_per_topic([300, 300]), labels_per_topic([8, 8])
    ([5, 10, 20, 50, 100, 200], [1, 2, 5])
    """
    candidates = [digit * 10**power for power in range(9) for digit in _FIRST_DIGITS]
    max_documents = 0.9 * sum(counts)
    sizes = [n for n in candidates if sum(min(n, count) for count in counts) < max_documents]
    usual = [n for n in sizes if n >= _USUAL_START]
    return usual if len(usual) >= _MIN_SIZES else sizes


# Forecasts ----------------------------------------------------------------------------------------

# With fewer points, the fit of the power law can't be assessed.
_MIN_POINTS = 3


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The error rate `scale * n ** -slope` after training on `n` documents."""

    scale: float
    slope: float

    def error(self, n: float) -> float:
        """Return the error rate after training on `n` documents."""
        return self.scale * n**-self.slope


class ForecastCheck(NamedTuple):
    """A forecast from all points but the last, compared with the last point."""

    n_documents: int
    forecast: float
    measured: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected accuracy with more documents.

    Attributes
    ----------
    n_documents : int
    accuracy : float
    low, high : float
        The range of the accuracy, from leave-one-out forecasts, the error of the `check`, and the
        interval of the last point.
    check : ForecastCheck or None
        None if there are too few points.
    """

    n_documents: int
    accuracy: float
    low: float
    high: float
    check: ForecastCheck | None = None


def fit_power_law(n_documents: Sequence[float], errors: Sequence[float]) -> PowerLaw:
    """Fit a power law to error rates by least squares of logarithms.

    Points are weighted by their number of documents because the first points, where a classifier
    is hardly better than chance, don't follow a power law. Laws with a lower limit on the error
    give worse forecasts.

    Parameters
    ----------
    n_documents : sequence of float, over 0, at least two distinct
    errors : sequence of float

    References
    ----------
    Cortes et al. (1994), Learning curves: asymptotic values and rate of convergence; Hestness et
    al. (2017), Deep learning scaling is predictable, empirically.
    """
    n, logs = np.asarray(n_documents, dtype=np.float64), np.log(np.maximum(errors, 1e-6))
    slope, intercept = np.polyfit(np.log(n), logs, 1, w=np.sqrt(n))
    if slope > 0:
        slope, intercept = 0.0, np.average(logs, weights=n)
    return PowerLaw(math.exp(intercept), -float(slope))


def forecast(
    n_documents: Sequence[int], accuracies: Sequence[float], n_wanted: int, measured: Interval
) -> Forecast | None:
    """Forecast the accuracy with more documents; None if there are too few points.

    The gain predicted by the power law is added to the last measured accuracy. The range is never
    narrower than the interval of that accuracy. On ten of the benchmark data sets, at least 23 of
    25 measured points were within the range forecast from fewer documents.

    Parameters
    ----------
    n_documents : sequence of int, in ascending order
    accuracies : sequence of float
    n_wanted : int
        Number of documents to forecast for.
    measured : Interval
        The 95 % interval of the last accuracy.
    """
    n, accuracy = np.asarray(n_documents, dtype=np.float64), np.asarray(accuracies)
    if len(n) < _MIN_POINTS:
        return None
    last = float(accuracy[-1])
    expected = min(1.0, last + _gain(n, accuracy, n_wanted))
    errors = []
    for point in range(len(n)):
        others = np.delete(np.arange(len(n)), point)
        without_point = last + _gain(n[others], accuracy[others], n_wanted, n_from=n[-1])
        errors.append(abs(without_point - expected))
    check = None
    if len(n) > _MIN_POINTS:
        before = float(accuracy[-2] + _gain(n[:-1], accuracy[:-1], n[-1]))
        check = ForecastCheck(int(n[-1]), before, last)
        # Per doubling, because the forecast is usually for twice as many documents.
        errors.append(abs(before - last) / max(1.0, math.log2(n[-1] / n[-2])))
    low = max(0.0, expected - math.hypot(max(errors), last - measured.low))
    high = min(1.0, expected + math.hypot(max(errors), measured.high - last))
    # If the range is cut off at 1, extend it downwards instead.
    low = max(0.0, min(low, high - (measured.high - measured.low)))
    return Forecast(n_wanted, expected, low, high, check)


def _gain(n: F64, accuracy: F64, n_wanted: float, n_from: float | None = None) -> float:
    """Return the gain from further documents, by a power law fitted to these points."""
    law = fit_power_law(n.tolist(), (1 - accuracy).tolist())
    return law.error(n[-1] if n_from is None else n_from) - law.error(n_wanted)
