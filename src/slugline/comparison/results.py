"""Results of a comparison: one per model, with differences from the best."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from slugline.base.wording import TitledRows, counted
from slugline.comparison.fold import FoldResult
from slugline.comparison.models import Model
from slugline.corpus.documents import Topics
from slugline.evaluation.evaluation import macro_f1
from slugline.evaluation.intervals import adjust_holm, wilson
from slugline.evaluation.multilabel import MultilabelEvaluation, equal_rows, micro_scores

# Paired differences -------------------------------------------------------------------------------

#: Name and authors of the test.
TEST_NAME = "corrected resampled t-test (Nadeau and Bengio, 2003), p-values adjusted by Holm (1979)"

# Names of the F1 scores averaged over decisions, topics and documents.
_F1_NAMES = ("micro_f1", "macro_f1", "f1_per_document")

# Differences in accuracy up to this are rounding errors.
_ROUNDED = 1e-12


@dataclass(frozen=True)
class AccuracyDifference:
    """Difference between two models' accuracies, averaged over the folds."""

    accuracy: float
    # 95 % interval; None, like the p-value, if the difference is the same in all folds
    interval: tuple[float, float] | None
    # The probability of a difference at least this large if both models were equally good.
    p_value: float | None


def difference_record(difference: AccuracyDifference | None) -> dict[str, float | None]:
    """Return a difference, its interval and its p-value as table cells, or None for each."""
    low, high = (None, None) if difference is None else difference.interval or (None, None)
    return {
        "difference": None if difference is None else difference.accuracy,
        "difference_low": low,
        "difference_high": high,
        "p_value": None if difference is None else difference.p_value,
    }


def compare_accuracies(ours: Sequence[float], theirs: Sequence[float]) -> AccuracyDifference:
    """Compare two models' accuracies on the same folds, at least two.

    Uses Student's t-test with k - 1 degrees of freedom. Because the training sets of k folds
    overlap, the variance of the mean is (1/k + 1/(k - 1)) times the variance of the differences
    instead of 1/k times.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52.
    """
    n = len(ours)
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(differences)
    error = math.sqrt((1 / n + 1 / (n - 1)) * statistics.variance(differences))
    if error < _ROUNDED and abs(mean) < _ROUNDED:
        return AccuracyDifference(0.0, (0.0, 0.0), 1.0)
    if error < _ROUNDED:
        return AccuracyDifference(mean, None, None)
    from scipy.stats import t

    half_width = float(t.ppf(0.975, n - 1)) * error
    p_value = float(2 * t.sf(abs(mean) / error, n - 1))
    return AccuracyDifference(mean, (mean - half_width, mean + half_width), p_value)


def adjust_p_values(differences: Mapping[str, AccuracyDifference]) -> dict[str, AccuracyDifference]:
    """Return the differences with p-values adjusted by Holm's method and intervals unchanged."""
    p_values = {name: d.p_value for name, d in differences.items() if d.p_value is not None}
    adjusted = zip(p_values, adjust_holm([*p_values.values()]), strict=True)
    return {**differences, **{n: replace(differences[n], p_value=p) for n, p in adjusted}}


# Results ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelResult:
    """Accuracy of a model on held-out folds, with its time, memory and size.

    Attributes
    ----------
    name, about : str
    right : tuple of bool
        Mask of right answers, fold by fold; if the model failed, only for earlier folds.
    n_documents : tuple of int
        Number of documents in each fold.
    macro_f1 : float or None
        Computed from the answers of all folds; None if the model failed.
    fit_seconds, answer_seconds : tuple of float
        One value per fold.
    peak_mb : float or None
        Peak memory of its process in MB (10^6 bytes), including Python and the documents.
    file_bytes : int or None
        Size of the saved model, or of the pickle of a model that is not Slugline's.
    error : str or None
        The reason for a failure.
    evaluation : MultilabelEvaluation or None
        Computed from the answers of all folds; None for single-label data or if the model failed.
    answers : tuple
        The topic number or numbers of each answer.
    """

    name: str
    about: str
    right: tuple[bool, ...] = field(default=(), repr=False)
    n_documents: tuple[int, ...] = ()
    macro_f1: float | None = None
    fit_seconds: tuple[float, ...] = ()
    answer_seconds: tuple[float, ...] = ()
    peak_mb: float | None = None
    file_bytes: int | None = None
    error: str | None = None
    evaluation: MultilabelEvaluation | None = field(default=None, repr=False, compare=False)
    answers: tuple[Any, ...] = field(default=(), repr=False)

    @property
    def accuracy(self) -> float:
        """Fraction of right answers; for multi-label data, of exact matches."""
        return sum(self.right) / len(self.right)

    @property
    def score(self) -> float:
        """The accuracy, or micro-F1 for multi-label data."""
        return self.accuracy if self.evaluation is None else float(self.evaluation.micro.f1)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the score (Wilson or bootstrap) for the sampling of documents."""
        if self.evaluation is not None:
            return self.evaluation.f1_intervals[0]
        return wilson(sum(self.right), len(self.right))

    @property
    def accuracies(self) -> list[float]:
        """Fraction of right answers in each fold."""
        return [sum(self.right[fold]) / (fold.stop - fold.start) for fold in self._folds]

    @property
    def scores(self) -> list[float]:
        """The score in each fold."""
        if self.evaluation is None:
            return self.accuracies
        pair = self.evaluation.true, self.evaluation.answered
        return [float(micro_scores(*(part[fold] for part in pair)).f1) for fold in self._folds]

    @property
    def _folds(self) -> list[slice]:
        ends = itertools.accumulate(self.n_documents)
        return [slice(end - n, end) for n, end in zip(self.n_documents, ends, strict=True)]

    @property
    def fit_time(self) -> float:
        """Low median of the fit times in seconds; the first fit may include imports."""
        return statistics.median_low(self.fit_seconds)

    @property
    def documents_per_second(self) -> float:
        """Documents answered per second."""
        return len(self.right) / max(sum(self.answer_seconds), 1e-9)


def combine_folds(
    model: Model,
    folds: Sequence[FoldResult],
    topics: Sequence[Any],
    names: Sequence[str],
    error: str | None,
) -> ModelResult:
    """Return a model's result from its fold results and each fold's true topics.

    The topics are numbers, or an indicator for multi-label data.
    """
    evaluation, f1 = None, None
    if len(topics[0].shape) == 2:
        columns = Topics(range(len(names)))
        sets: list[Any] = [fold.answers for fold in folds]
        several = [columns.encode_sets(part, bool) for part in sets]
        right = [equal_rows(*pair) for pair in zip(several, topics, strict=False)]
        if error is None:
            import scipy.sparse as sp

            whole = (sp.vstack(part, format="csr") for part in (topics, several))
            evaluation = MultilabelEvaluation.from_answers(names, *whole)
            f1 = evaluation.macro_f1
    else:
        answers = [np.array(fold.answers, dtype=np.int64) for fold in folds]
        right = [answer == true for answer, true in zip(answers, topics, strict=False)]
        if error is None:
            true, answered = np.concatenate(topics), np.concatenate(answers)
            # An unknown topic (-1) doesn't count for any topic.
            parts = (true[true == answered], true, answered[answered >= 0])
            counts = [np.bincount(part, minlength=len(names)) for part in parts]
            f1 = float(macro_f1(*counts))
    return ModelResult(
        model.name,
        model.about,
        tuple(bool(hit) for fold in right for hit in fold),
        tuple(map(len, right)),
        f1,
        tuple(fold.fit_seconds for fold in folds),
        tuple(fold.answer_seconds for fold in folds),
        max((fold.peak_mb for fold in folds if fold.peak_mb is not None), default=None),
        next((fold.file_bytes for fold in folds if fold.file_bytes is not None), None),
        error,
        evaluation,
        tuple(answer for fold in folds for answer in fold.answers),
    )


@dataclass(frozen=True)
class ModelMark:
    """A model in a chart of scores, such as accuracies."""

    name: str
    seconds: float
    score: float
    interval: tuple[float, float]
    is_best: bool = False


@dataclass(frozen=True, repr=False)
class Comparison(TitledRows):
    """Results of several models on the same folds.

    Attributes
    ----------
    name, digest : str
        Name of the data, and the SHA-256 digest of the texts and topics.
    n_documents, n_topics, n_folds, seed : int
    n_threads : int
        Number of threads per model.
    models : tuple of ModelResult
    notes : tuple of str
        Notes about the data and the models.
    interrupted : bool
        True if Ctrl-C ended the run before all models were measured.
    multilabel : bool
        True for multi-label data.
    baseline : str or None
        The model to compare the others with, if chosen beforehand.
    """

    name: str
    digest: str
    n_documents: int
    n_topics: int
    n_folds: int
    seed: int
    n_threads: int
    models: tuple[ModelResult, ...]
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    multilabel: bool = False
    baseline: str | None = None

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [(m.name, m.error or f"{m.score:.3f}") for m in self.models]
        return f"Comparison on {self.name}: {counted(self.n_folds, 'fold')}", rows

    @property
    def measured(self) -> list[ModelResult]:
        """The models that finished all folds, best first; ties are broken by macro-F1 and speed."""
        measured = [model for model in self.models if model.error is None]
        return sorted(measured, key=lambda m: (-m.score, -(m.macro_f1 or 0), m.fit_time))

    @property
    def best(self) -> ModelResult | None:
        """The best model; None if all failed."""
        return next(iter(self.measured), None)

    @property
    def reference(self) -> ModelResult | None:
        """The model to compare the others with: the baseline or the best; None if it failed."""
        if self.baseline is None:
            return self.best
        return next((model for model in self.measured if model.name == self.baseline), None)

    def differences(self) -> dict[str, AccuracyDifference]:
        """Return the difference between each model's score and the reference's score."""
        reference = self.reference
        if reference is None:
            return {}
        others = [model for model in self.measured if model is not reference]
        differences = {m.name: compare_accuracies(m.scores, reference.scores) for m in others}
        return adjust_p_values(differences)

    def same_answers(self) -> list[str]:
        """Return the names of models with the same answers as the reference."""
        reference = self.reference
        if reference is None:
            return []
        same = [m.name for m in self.measured if m.answers and m.answers == reference.answers]
        return [name for name in same if name != reference.name]

    @property
    def score_name(self) -> str:
        """Name of the metric."""
        return "Micro-F1" if self.multilabel else "Accuracy"

    def marks(self) -> list[ModelMark]:
        """Return the models for a chart of scores, best first."""
        best = self.best
        # The majority model is useless and would squeeze the others into a corner.
        useful = [model for model in self.measured if model.name != "majority"]
        return [
            ModelMark(m.name, m.fit_time, m.score, m.interval, is_best=m is best)
            for m in useful or self.measured
        ]

    def to_records(self) -> list[dict[str, Any]]:
        """Return accuracy or micro-F1, differences, time, memory and size per model.

        Differences are from `reference`, the baseline or else the best model, with 95 % intervals
        and p-values adjusted for the number of models.
        """
        differences = self.differences()
        return [
            {
                "model": model.name,
                "micro_f1" if self.multilabel else "accuracy": model.score,
                "low": model.interval[0],
                "high": model.interval[1],
                **difference_record(differences.get(model.name)),
                "macro_f1": model.macro_f1,
                "fit_seconds": model.fit_time,
                "documents_per_second": model.documents_per_second,
                "peak_memory_mb": model.peak_mb,
                "file_bytes": model.file_bytes,
            }
            for model in self.measured
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON; undefined values are None."""
        best, differences = self.best, self.differences()
        return {
            "data": {
                "name": self.name,
                "sha256": self.digest,
                "n_documents": self.n_documents,
                "n_topics": self.n_topics,
            },
            "folds": self.n_folds,
            "seed": self.seed,
            "threads": self.n_threads,
            "test": TEST_NAME,
            "best": None if best is None else best.name,
            "baseline": self.baseline,
            "same_answers": self.same_answers(),
            "models": [_model_dict(model, differences.get(model.name)) for model in self.models],
            "notes": list(self.notes),
            "interrupted": self.interrupted,
        }


def _model_dict(model: ModelResult, difference: AccuracyDifference | None) -> dict[str, Any]:
    is_whole, evaluation = model.error is None, model.evaluation
    quality: dict[str, Any] = {
        "accuracy": model.accuracy if is_whole else None,
        "accuracy_interval": list(model.interval) if is_whole else None,
        "macro_f1": model.macro_f1,
        "accuracies": model.accuracies,
    }
    if evaluation is not None:
        averages = evaluation.micro, evaluation.macro, evaluation.samples
        for name, scores, interval in zip(
            _F1_NAMES, averages, evaluation.f1_intervals, strict=True
        ):
            quality |= {name: scores.f1, f"{name}_interval": list(interval)}
        quality["accuracy_interval"] = list(evaluation.interval)
        quality["micro_f1_by_fold"] = model.scores
    return {
        "name": model.name,
        "about": model.about,
        "error": model.error,
        **quality,
        "difference": None
        if difference is None
        else {
            "accuracy" if evaluation is None else "micro_f1": difference.accuracy,
            "interval": None if difference.interval is None else list(difference.interval),
            "p_value": difference.p_value,
        },
        "fit_seconds": list(model.fit_seconds),
        "documents_per_second": model.documents_per_second if is_whole else None,
        "peak_memory_mb": model.peak_mb,
        "file_bytes": model.file_bytes,
    }
