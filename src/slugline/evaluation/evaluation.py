"""Metrics of a classifier, from counts of right and wrong answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from slugline.base.arrays import F64, I64, Floats
from slugline.displays import as_lines, as_table, counted
from slugline.errors import DataError
from slugline.evaluation.answers import Answers
from slugline.evaluation.coverage import CoverageCurve, coverage_curve
from slugline.evaluation.intervals import Interval, bootstrap, wilson
from slugline.evaluation.reliability import Bin, calibration_error, chance_error, reliability_curve
from slugline.evaluation.topic_figures import (
    TopicFigures,
    macro_f1,
    topic_figures,
    totals_by,
    weighted_f1,
)

__all__ = ["Evaluation"]

#: For how many of the likeliest topics `to_dict` tells how often the true one is among them.
TOP = (2, 3, 5, 10)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a classifier got right on documents it had not seen.

    Attributes
    ----------
    topics : list of str
        Names, in the order of the rows and columns of `confusion`.
    confusion : int64 array, shape (n_topics, n_topics)
        Row: the true topic; column: the predicted one.
    log_loss : float
        Mean of -ln(probability given to the true topic), in nats.
    answers : Answers or None
        What was said of each document. Without them, all that is about probabilities is NaN.
    seed : int
        Of the intervals that come of a bootstrap.
    """

    topics: list[str]
    confusion: I64
    log_loss: float
    answers: Answers | None = field(default=None, compare=False)
    seed: int = 0

    @classmethod
    def of(
        cls,
        topics: Sequence[str],
        y_true: I64,
        proba: Floats,
        *,
        seed: int = 0,
    ) -> Evaluation:
        """Return the evaluation of probabilities.

        Parameters
        ----------
        topics : names of the columns of `proba`
            If there are documents of unknown topics, these become one more, "(unknown)".
        y_true : int array, shape (n_documents,)
            True topics, as column numbers; -1 for a topic that the classifier does not know, which
            it can only get wrong.
        proba : float array, shape (n_documents, n_topics)
        seed : int, default 0
            See the attributes.

        Raises
        ------
        DataError : if there are no documents, shapes differ, or a probability is not from 0 to 1.
        """
        if not len(y_true):
            raise DataError("there are no documents to evaluate; give at least one.")
        answers = Answers.of(y_true, proba)
        n, known = len(topics), answers.true >= 0
        names = list(topics)
        if not known.all():
            names, n = [*names, _unused("(unknown)", names)], n + 1
        pairs = np.where(known, answers.true, n - 1) * n + answers.predicted
        confusion = np.bincount(pairs, minlength=n * n).reshape(n, n)
        # In the precision of the probabilities: model files keep every bit of it.
        given = np.where(known, proba[np.arange(len(y_true)), y_true], 0)
        log_loss = float(np.abs(np.log(np.maximum(given, np.finfo(np.float32).tiny))).mean())
        return cls(names, confusion, log_loss, answers, seed)

    def __repr__(self) -> str:
        return as_lines(*self._shown())

    def _repr_html_(self) -> str:
        return as_table(*self._shown())

    @property
    def n_documents(self) -> int:
        """Number of documents that were classified."""
        return int(self.confusion.sum())

    @property
    def n_known(self) -> int:
        """Number of topics that the classifier knows: all of `topics`, or all but "(unknown)"."""
        has_unknown = self.answers is not None and bool((self.answers.true < 0).any())
        return len(self.topics) - has_unknown

    @property
    def n_right(self) -> int:
        """Number of documents that got their true topic."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of documents that got their true topic."""
        return self.n_right / self.n_documents

    @property
    def predicted(self) -> list[str]:
        """The topic that each document was given; none without answers."""
        if self.answers is None:
            return []
        return [self.topics[number] for number in self.answers.predicted.tolist()]

    @property
    def interval(self) -> Interval:
        """95 % interval of the accuracy, by Wilson."""
        return wilson(self.n_right, self.n_documents)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the topics that occur, as true or as predicted one; each counts the same."""
        # One by one, and not by `macro_f1`: model files keep every bit of it.
        scores = [figures.f1 for figures in self.per_topic() if not math.isnan(figures.f1)]
        return sum(scores) / len(scores)

    @property
    def macro_f1_interval(self) -> Interval:
        """95 % interval of the macro-F1, by `bootstrap`; that of the accuracy if all is right.

        If many topics have a document or two in the test, it is too narrow.
        """
        return self._f1_intervals[0]

    @property
    def weighted_f1(self) -> float:
        """Mean F1 over topics, each of which counts as often as documents have it."""
        return float(weighted_f1(*self._totals()))

    @property
    def weighted_f1_interval(self) -> Interval:
        """95 % interval of the weighted F1, by bootstrap."""
        return self._f1_intervals[1]

    @property
    def brier_score(self) -> float:
        """Mean over documents of the squared errors of all probabilities: 0, the best, to 2.

        References
        ----------
        Brier (1950), Verification of forecasts expressed in terms of probability: his own form,
        which is twice what some libraries give for two topics.
        """
        return math.nan if self.answers is None else float(self.answers.squared_error.mean())

    @property
    def calibration_error(self) -> float:
        """How far probabilities are from the share of right answers; see `calibration_error`."""
        if self.answers is None:
            return math.nan
        return calibration_error(self.answers.probability, self.answers.right)

    @property
    def chance_error(self) -> float:
        """The calibration error that probabilities without any would have; see `chance_error`."""
        return math.nan if self.answers is None else chance_error(self.reliability())

    def reliability(self) -> list[Bin]:
        """Return probability and share of right answers, bin by bin; none without answers."""
        if self.answers is None:
            return []
        return reliability_curve(self.answers.probability, self.answers.right)

    def coverage(self) -> CoverageCurve | None:
        """Return what is right if only sure answers are given; None without answers."""
        if self.answers is None:
            return None
        return coverage_curve(self.answers.probability, self.answers.right)

    def top_k(self, k: int) -> float:
        """Share of documents whose true topic is among the `k` likeliest; NaN without answers."""
        return math.nan if self.answers is None else self.answers.n_in_top(k) / self.n_documents

    @property
    def top_ks(self) -> list[int]:
        """The numbers `k` of which `top_k` says something: 2, 3, 5, 10, under that of topics."""
        return [k for k in TOP if k < self.n_known] if self.answers is not None else []

    def per_topic(self) -> list[TopicFigures]:
        """Metrics of each topic, in the order of `topics`."""
        return topic_figures(self.topics, *self._totals())

    def _totals(self) -> tuple[I64, ...]:
        """Return how many documents of each topic got it, have it, and got it, right or not."""
        return np.diag(self.confusion), self.confusion.sum(axis=1), self.confusion.sum(axis=0)

    @cached_property
    def _f1_intervals(self) -> list[Interval]:
        """Return the intervals of macro-F1 and weighted F1."""
        if self.n_right == self.n_documents:
            # No drawn test set has a mistake either, but that doesn't mean that there are none.
            return [self.interval] * 2
        kinds = np.nonzero(self.confusion)
        # Of thousands of topics, few may occur.
        occurring, places = np.unique(np.concatenate(kinds), return_inverse=True)
        n, (true, predicted) = len(occurring), np.split(places, 2)

        def both(drawn: I64) -> F64:
            totals = (
                totals_by(true, drawn * (true == predicted), n),
                totals_by(true, drawn, n),
                totals_by(predicted, drawn, n),
            )
            return np.stack([macro_f1(*totals), weighted_f1(*totals)], axis=1)

        return bootstrap(self.confusion[kinds], both, seed=self.seed)

    def confusions(self, most: int = 10) -> list[tuple[str, str, int]]:
        """Return the most common mistakes: true topic, predicted topic, how many documents."""
        # Of thousands of topics, most are never taken for most others.
        true, predicted = np.nonzero(self.confusion)
        is_wrong = true != predicted
        true, predicted = true[is_wrong], predicted[is_wrong]
        counts = self.confusion[true, predicted]
        order = np.argsort(-counts, kind="stable")[:most]
        found = zip(true[order], predicted[order], counts[order].tolist(), strict=True)
        return [(self.topics[a], self.topics[b], n) for a, b, n in found]

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain data for JSON; an undefined ratio is None."""
        return {
            "n_documents": self.n_documents,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.interval),
            "macro_f1": self.macro_f1,
            "macro_f1_interval": list(self.macro_f1_interval),
            "weighted_f1": self.weighted_f1,
            "weighted_f1_interval": list(self.weighted_f1_interval),
            "top_k": [{"k": k, "accuracy": self.top_k(k)} for k in self.top_ks],
            "log_loss": self.log_loss,
            "brier_score": _or_none(self.brier_score),
            "calibration_error": _or_none(self.calibration_error),
            "calibration_error_by_chance": _or_none(self.chance_error),
            "reliability": [
                {"n_documents": b.n_documents, "probability": b.probability, "right": b.share}
                for b in self.reliability()
            ],
            "topics": [
                {
                    "topic": figures.topic,
                    "n_documents": figures.n_documents,
                    "precision": _or_none(figures.precision),
                    "recall": _or_none(figures.recall),
                    "f1": _or_none(figures.f1),
                }
                for figures in self.per_topic()
            ],
            "confusions": [
                {"topic": topic, "predicted": predicted, "n_documents": n}
                for topic, predicted, n in self.confusions()
            ],
        }

    def _shown(self) -> tuple[str, list[tuple[str, str]]]:
        low, high = self.interval
        rows = [
            ("accuracy", f"{self.accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}"),
            ("macro-F1", f"{self.macro_f1:.3f}, every topic counts the same"),
            ("log loss", f"{self.log_loss:.3f} nats, lower is better"),
        ]
        n_documents, n_topics = self.n_documents, len(self.topics)
        title = f"{counted(n_documents, 'document')} of {counted(n_topics, 'topic')}"
        return f"Evaluation on {title}", rows


def _unused(name: str, names: Sequence[str]) -> str:
    """Return a name in more brackets, if need be, than any of the others."""
    while name in names:
        name = f"({name})"
    return name


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
