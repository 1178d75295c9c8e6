"""Search for better feature groups and passes than the defaults, by cross-validation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, Mask
from slugline.base.interruption import catch_interrupt
from slugline.base.progress import SILENT, Progress, announce
from slugline.corpus.splits import make_folds
from slugline.errors import DataError, Message, Parameter
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.linear.problem import default_passes
from slugline.text.feature_groups import DEFAULT_GROUPS, FeatureGroup
from slugline.text.features import Features
from slugline.text.terms import COLUMNS

#: Default budget: multiplications per term of a document.
BUDGET = 200_000

_N_FOLDS = 3
# A candidate is better if its accuracy, or F1, is no lower and its log loss is lower by this many
# standard errors. Otherwise, some of many candidates would win by chance.
_LEAD = 2.0
# Multiplications per nonzero value in one pass, forward and backward.
_PRODUCTS = 2
_PASSES = (2, 6, 10)
# Weights of words and bigrams next to character n-grams.
_WORD_WEIGHTS = (1.0, 3.0)
# Groups that a search adds, or removes if present.
_OPTIONAL_GROUPS = ("lead", "bigrams", "characters")
#: Number of candidates of a search, including the default.
MAX_CANDIDATES = 1 + len(_OPTIONAL_GROUPS) + len(_WORD_WEIGHTS) + len(_PASSES)
# A search takes about as long as this many evaluations of the default: some have more terms.
_N_DEFAULTS = 12


_FoldRows: TypeAlias = tuple[sp.csr_array, sp.csr_array]


@dataclass(frozen=True)
class Candidate:
    """Feature groups and passes of the linear learner.

    Attributes
    ----------
    feature_groups : tuple of FeatureGroup
    passes : int or None
        By default, depends on the number of documents.
    """

    feature_groups: tuple[FeatureGroup, ...]
    passes: int | None = None

    def learner(self) -> LinearLearner:
        """Return the unfitted learner."""
        return LinearLearner(passes=self.passes)

    def __str__(self) -> str:
        groups = " + ".join(
            group.kind if group.weight == 1 else f"{group.weight:g} x {group.kind}"
            for group in self.feature_groups
        )
        return groups if self.passes is None else f"{groups}, {self.passes} passes"


class Metric(NamedTuple):
    """The metric that compares candidates: its name, and a function of scores, labels and weights.

    Scores before softmax or sigmoid have shape (n_documents, n_topics), weights (n_documents,).
    """

    name: str
    function: Callable[[F32, Labels, F32], float]


def _accuracy(scores: F32, labels: Labels, weights: F32) -> float:
    return float(np.average(scores.argmax(axis=1) == labels.topics, weights=weights))


#: The metric of single-label documents.
ACCURACY = Metric("accuracy", _accuracy)


@dataclass(frozen=True)
class SearchResult:
    """The cross-validated results of a candidate; `is_better` if it became the best.

    `log_loss` is in nats; for multilabel documents, it is summed over topics.
    """

    candidate: Candidate
    score: float
    log_loss: float
    is_better: bool

    def to_dict(self, metric: str) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "way": str(self.candidate),
            metric.replace("-", "_").lower(): self.score,
            "log_loss": self.log_loss,
            "is_better": self.is_better,
        }


@dataclass(frozen=True)
class Tuning:
    """Results of a search for better settings.

    Attributes
    ----------
    trials : tuple of SearchResult
        The default comes first.
    interrupted : bool
        True if Ctrl-C ended the search.
    metric : str
        Name of the metric of the trials' scores.
    """

    trials: tuple[SearchResult, ...]
    interrupted: bool
    metric: str = ACCURACY.name

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "trials": [trial.to_dict(self.metric) for trial in self.trials],
            "best": str(self.best.candidate),
            "interrupted": self.interrupted,
        }

    @property
    def best(self) -> SearchResult:
        """The last result that beat the best one before."""
        return [trial for trial in self.trials if trial.is_better][-1]

    @property
    def outcome(self) -> str:
        """The result of the search, as part of a sentence."""
        default, best = self.trials[0], self.best
        if len(self.trials) == 1:
            return f"only the default was tried: {default.candidate}"
        until = " until the interrupt" if self.interrupted else ""
        tried = f"the {len(self.trials)} ways tried{until}"
        if best is default:
            return f"none of {tried} is clearly better than the default: {default.candidate}"
        return f"the best of {tried}: {best.candidate}"


def tune(
    texts: Sequence[str],
    labels: Labels,
    feature_groups: tuple[FeatureGroup, ...],
    context: FitContext,
    *,
    budget: float = BUDGET,
    n_jobs: int | None = None,
    metric: Metric = ACCURACY,
) -> Tuning:
    """Search for the best feature groups, their weights, and the number of passes, in this order.

    The search is deterministic: `budget` counts multiplications per term of a document, not time,
    and candidates that would exceed it are skipped. Ctrl-C ends the search after the current one.
    The search starts from `feature_groups` and compares candidates by `metric` and log loss.
    """
    start = Candidate(feature_groups)
    validation = _CrossValidation(texts, labels, context, n_jobs, start, metric)
    search = _Search(validation, budget, context.progress)
    work = Message(
        Parameter("tune"), f" tries up to {MAX_CANDIDATES} ways to learn from {len(texts):,} texts"
    )
    with catch_interrupt(context.progress, "this candidate") as interrupt:
        started = time.perf_counter()
        search.evaluate(start)
        seconds = _N_DEFAULTS * (time.perf_counter() - started)
        announce(context.progress, work, seconds, "; Ctrl-C stops with the best one so far")
        for candidate in _candidates(search):
            if interrupt.requested:
                break
            search.evaluate(candidate)
    return Tuning(tuple(search.trials), interrupt.requested, metric.name)


class _Search:
    """Tries one candidate after another while the budget lasts."""

    def __init__(self, validation: _CrossValidation, budget: float, progress: Progress) -> None:
        self.best: Candidate
        self._best_score = 0.0
        self._best_losses: F32
        self.trials: list[SearchResult] = []
        self._validation = validation
        self._budget = budget
        self._progress = progress

    def evaluate(self, candidate: Candidate) -> None:
        """Try a candidate, unless it exceeds the budget or has been tried before."""
        if any(trial.candidate == candidate for trial in self.trials):
            return
        work = self._validation.work(candidate)
        if self.trials and work > self._budget:
            return
        self._budget -= work
        score, losses = self._validation.evaluate(self._validation.scores(candidate))
        is_better = not self.trials
        if not is_better and score >= self._best_score:
            lead = (self._best_losses - losses).astype(np.float64)
            is_better = bool(lead.mean() > _LEAD * lead.std() / np.sqrt(len(lead)))
        if is_better:
            self.best, self._best_score, self._best_losses = candidate, score, losses
        log_loss = float(losses.mean(dtype=np.float64))
        result = SearchResult(candidate, score, log_loss, is_better)
        self.trials.append(result)
        mark = "best so far" if is_better else ""
        self._progress.note(f"{score:.4f}  log loss {log_loss:.4f}  {mark:11}  {candidate}")


def _candidates(search: _Search) -> Iterator[Candidate]:
    """Yield candidates, each one step away from the best one so far."""
    for kind in _OPTIONAL_GROUPS:
        others = tuple(
            group for group in search.best.feature_groups if not group.kind.startswith(kind)
        )
        is_present = len(others) < len(search.best.feature_groups)
        groups = others if is_present else (*others, DEFAULT_GROUPS[kind])
        # Extra columns stay behind the terms of the text.
        groups = tuple(sorted(groups, key=lambda group: group.kind == COLUMNS))
        yield replace(search.best, feature_groups=groups)
    for weight in _WORD_WEIGHTS:
        feature_groups = [
            replace(group, weight=weight) if group.kind in ("words", "bigrams") else group
            for group in search.best.feature_groups
        ]
        yield replace(search.best, feature_groups=tuple(feature_groups))
    yield from (replace(search.best, passes=n_passes) for n_passes in _PASSES)


class _CrossValidation:
    """Cross-validated scores of all documents; candidates share the rows of feature groups."""

    def __init__(
        self,
        texts: Sequence[str],
        labels: Labels,
        context: FitContext,
        n_jobs: int | None,
        start: Candidate,
        metric: Metric = ACCURACY,
    ) -> None:
        self._texts, self._labels, self._context, self._n_jobs = texts, labels, context, n_jobs
        self._metric, self._n = metric, len(texts)
        self._label_type = label_type(multilabel=labels.multilabel)
        weights = context.sample_weight
        self._weights = np.ones(self._n, dtype=np.float32) if weights is None else weights
        folds = make_folds(labels.to_topics(), min(_N_FOLDS, self._n), context.seed)
        self._folds = [folds == number for number in range(folds.max() + 1)]
        self._rows: dict[tuple[FeatureGroup, ...], list[_FoldRows]] = {}
        self._n_terms_at_start = self._n_terms(start.feature_groups)

    def scores(self, candidate: Candidate) -> F32:
        """Return held-out scores, shape (n_documents, n_topics)."""
        proba = np.empty((self._n, self._context.n_topics), dtype=np.float32)
        weight = self._context.sample_weight
        rows = self._fold_rows(candidate.feature_groups)
        for (train, test), heldout in zip(rows, self._folds, strict=True):
            context = replace(
                self._context,
                sample_weight=None if weight is None else weight[~heldout],
                progress=SILENT,
            )
            learner = candidate.learner()
            learner.fit(train, self._labels.take(~heldout), context)
            proba[heldout] = learner.predict_proba(test)
        return self._label_type.to_scores(proba)

    def evaluate(self, scores: F32) -> tuple[float, F32]:
        """Return the metric of scores, and the weighted log loss of each document."""
        losses = self._label_type.log_losses(scores, self._labels)
        losses *= self._weights / self._weights.mean()
        return self._metric.function(scores, self._labels, self._weights), losses

    def work(self, candidate: Candidate) -> float:
        """Return a candidate's training cost: multiplications per term of the first candidate."""
        passes = candidate.passes or default_passes(self._n)
        terms = self._n_terms(candidate.feature_groups) / max(self._n_terms_at_start, 1)
        return _PRODUCTS * passes * self._context.n_topics * (len(self._folds) - 1) * terms

    def _n_terms(self, feature_groups: tuple[FeatureGroup, ...]) -> int:
        return self._fold_rows(feature_groups)[0][0].nnz

    def _fold_rows(self, feature_groups: tuple[FeatureGroup, ...]) -> list[_FoldRows]:
        """Return the training and test rows of each fold."""
        if feature_groups not in self._rows:
            self._rows[feature_groups] = [
                self._split(feature_groups, heldout) for heldout in self._folds
            ]
        return self._rows[feature_groups]

    def _split(self, feature_groups: tuple[FeatureGroup, ...], heldout: Mask) -> _FoldRows:
        features = Features(feature_groups, self._n_jobs)
        try:
            train = features.fit_transform(itertools.compress(self._texts, ~heldout))
        except DataError:  # no document has such a term
            sizes = np.count_nonzero(~heldout), np.count_nonzero(heldout)
            train, test = (sp.csr_array((n, 0), dtype=np.float32) for n in sizes)
            return train, test
        return train, features.transform(itertools.compress(self._texts, heldout))
