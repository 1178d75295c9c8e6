"""Searches for better features and learners than the default, by cross-validation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import F32, Mask
from slugline.base.progress import SILENT, Progress
from slugline.base.wording import percent
from slugline.corpus.splits import make_folds
from slugline.errors import DataError
from slugline.learning.label_types import fit_inverse_temperature, label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, Learner
from slugline.learning.linear.fit import default_passes
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.training import catch_interrupt
from slugline.learning.shallow import ShallowLearner
from slugline.text.feature_groups import DEFAULT_GROUPS, FeatureGroup
from slugline.text.features import Features
from slugline.text.terms import COLUMNS

#: Multiplications to spend on each term of a document, by default.
BUDGET = 200_000

_N_FOLDS = 3
# A candidate is better if its accuracy, or F1, is no lower, and its log loss lower by this many
# standard errors: among many, some are just lucky with the documents at hand.
_LEAD = 2.0
# Multiplications of each number in the rows in one pass, forward and backward.
_PRODUCTS = 2
_PASSES = (2, 6, 10)
# Weights of words and bigrams beside character n-grams.
_WORD_WEIGHTS = (1.0, 3.0)
# Texts are short if their median number of words is at most this.
_SHORT, _N_LOOKED_AT = 48, 1000
_NET_WEIGHTS = (0.5, 0.3, 0.7)
_N_NETS = 3
# Linear classifiers in a search, and at most so many epochs of nets, with short texts and others.
_N_LINEAR, _N_EPOCHS = 12, (105, 42)


@dataclass(frozen=True)
class Candidate:
    """Term groups, a linear classifier, and any nets mixed with it.

    Attributes
    ----------
    feature_groups : tuple of FeatureGroup
    passes : int or None
        Passes of the linear classifier over the documents; by default, their number decides.
    net : (epochs, label smoothing) or None
    n_nets : int
        Number of nets, each with another seed.
    net_weight : float
        Weight of all nets together, beside the linear classifier.
    """

    feature_groups: tuple[FeatureGroup, ...]
    passes: int | None = None
    net: tuple[int, float] | None = None
    n_nets: int = 1
    net_weight: float = 0.5

    def learner(self, inverse_temperature: float = 1.0) -> Learner:
        """Return the unfitted learner; `inverse_temperature` applies to a mixture only."""
        linear = LinearLearner(passes=self.passes)
        if self.net is None:
            return linear
        epochs, smoothing = self.net
        net = partial(ShallowLearner, epochs=epochs, label_smoothing=smoothing)
        nets = [net() for _ in range(self.n_nets)]
        weights = [1 - self.net_weight, *[self.net_weight / self.n_nets] * self.n_nets]
        return Mixture([linear, *nets], weights, inverse_temperature)

    def __str__(self) -> str:
        words = " + ".join(map(_describe_group, self.feature_groups))
        if self.passes is not None:
            words += f", {self.passes} passes"
        if self.net is None:
            return words
        epochs, smoothing = self.net
        nets = "a net" if self.n_nets == 1 else f"{self.n_nets} nets"
        words += f", {percent(self.net_weight, 0)} {nets} of {epochs} epochs"
        return f"{words} with labels smoothed by {smoothing:g}" if smoothing else words


class Metric(NamedTuple):
    """What candidates are compared by: its name, and its function of scores, labels and weights.

    Scores, shape (n_documents, n_topics), are those before softmax or sigmoid; weights of
    documents have the shape (n_documents,).
    """

    name: str
    function: Callable[[F32, Labels, F32], float]


def _accuracy(scores: F32, labels: Labels, weights: F32) -> float:
    return float(np.average(scores.argmax(axis=1) == labels.topics, weights=weights))


#: Of documents with one topic each.
ACCURACY = Metric("accuracy", _accuracy)


@dataclass(frozen=True)
class SearchResult:
    """The cross-validated results of a candidate, and whether it became the best.

    `log_loss`, the mean of -log of the right topic's probability, is in nats (natural-log units),
    at the best `inverse_temperature`. Of several topics, it is the sum over all topics.
    """

    candidate: Candidate
    score: float
    log_loss: float
    inverse_temperature: float
    is_better: bool

    def to_dict(self, metric: str) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {
            "way": str(self.candidate),
            metric.replace("-", "_").lower(): self.score,
            "log_loss": self.log_loss,
            "inverse_temperature": self.inverse_temperature,
            "is_better": self.is_better,
        }

    def learner(self) -> Learner:
        """Return the unfitted learner."""
        return self.candidate.learner(self.inverse_temperature)


@dataclass(frozen=True)
class Tuning:
    """Results of a search, of which the first is the default; `interrupted` if Ctrl-C ended it.

    `metric` is the name of what their scores are.
    """

    trials: tuple[SearchResult, ...]
    interrupted: bool
    metric: str = ACCURACY.name

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {
            "trials": [trial.to_dict(self.metric) for trial in self.trials],
            "best": str(self.best.candidate),
            "interrupted": self.interrupted,
        }

    @property
    def best(self) -> SearchResult:
        """The last result that beat the best one before it."""
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
    """Search for the best term groups, regularisation, nets and their weight, in this order.

    The search is deterministic: `budget` counts multiplications for each term of a document, not
    time, and a candidate that would exceed it is skipped. Ctrl-C ends the search after the current
    one. The search starts from `feature_groups`, and compares candidates by `metric` and log loss.
    """
    start = Candidate(feature_groups)
    validation = _CrossValidation(texts, labels, context, n_jobs, start, metric)
    search = _Search(validation, budget, context.progress)
    with catch_interrupt(context.progress, "this candidate") as interrupt:
        search.evaluate(start)
        for candidate in _candidates(search, short=_are_short(texts)):
            if interrupt.requested:
                break
            search.evaluate(candidate)
    return Tuning(tuple(search.trials), interrupt.requested, metric.name)


def estimate_seconds(
    texts: Sequence[str],
    labels: Labels,
    feature_groups: tuple[FeatureGroup, ...],
    context: FitContext,
) -> float:
    """Return at most about how long a search takes, measured with a sample; 0 for few texts."""
    if len(texts) < _N_LOOKED_AT:
        return 0.0
    step = -(-len(texts) // _N_LOOKED_AT)
    context = replace(context, sample_weight=None, progress=SILENT)
    start, net = Candidate(feature_groups), Candidate(feature_groups, net=(2, 0.0))
    sample = labels.take(np.arange(0, len(texts), step))
    validation = _CrossValidation(texts[::step], sample, context, context.n_jobs, start)
    times = [time.perf_counter()]
    for candidate in (start, net):
        validation.scores(candidate)
        times.append(time.perf_counter())
    linear, epochs = np.diff(times).tolist()
    n_epochs = _N_EPOCHS[0] if _are_short(texts) else _N_EPOCHS[1]
    return float(step * (_N_LINEAR * linear + n_epochs * epochs / 2))


class _Search:
    """Tries one candidate after another while the budget lasts."""

    def __init__(self, validation: _CrossValidation, budget: float, progress: Progress) -> None:
        self.best: Candidate
        self._score = 0.0
        self._losses: F32
        self.trials: list[SearchResult] = []
        self._validation = validation
        self._budget = budget
        self._progress = progress

    def evaluate(self, candidate: Candidate) -> None:
        """Try a candidate, unless it exceeds the budget or has been tried before."""
        work = self._validation.work(candidate)
        is_known = any(trial.candidate == candidate for trial in self.trials)
        if (self.trials and work > self._budget) or is_known:
            return
        self._budget -= work
        scores, inverse_temperature = self._validation.scores(candidate)
        scores *= np.float32(inverse_temperature)
        score, losses = self._validation.evaluate(scores)
        is_better = not self.trials or (score >= self._score and self._is_led_by(losses))
        if is_better:
            self.best, self._score, self._losses = candidate, score, losses
        log_loss = float(losses.mean(dtype=np.float64))
        result = SearchResult(candidate, score, log_loss, inverse_temperature, is_better)
        self.trials.append(result)
        mark = "best so far" if is_better else ""
        self._progress.note(f"{score:.4f}  log loss {log_loss:.4f}  {mark:11}  {candidate}")

    def _is_led_by(self, losses: F32) -> bool:
        lead = (self._losses - losses).astype(np.float64)
        return bool(lead.mean() > _LEAD * lead.std() / np.sqrt(len(lead)))


def _candidates(search: _Search, *, short: bool) -> Iterator[Candidate]:
    """Yield candidates, each one step away from the best one so far."""
    for kind in ("lead", "bigrams", "characters"):
        others = tuple(
            group for group in search.best.feature_groups if not group.kind.startswith(kind)
        )
        has_it = len(others) < len(search.best.feature_groups)
        groups = others if has_it else (*others, DEFAULT_GROUPS[kind])
        # Columns beside the text stay behind its terms.
        groups = tuple(sorted(groups, key=lambda group: group.kind == COLUMNS))
        yield replace(search.best, feature_groups=groups)
    for weight in _WORD_WEIGHTS:
        feature_groups = [
            replace(group, weight=weight) if group.kind in ("words", "bigrams") else group
            for group in search.best.feature_groups
        ]
        yield replace(search.best, feature_groups=tuple(feature_groups))
    yield from (replace(search.best, passes=n_passes) for n_passes in _PASSES)
    # Longer texts are easier to memorise, so nets get fewer epochs.
    for net in ((15, 0.0), (30, 0.1)) if short else ((6, 0.1), (12, 0.1)):
        yield from (replace(search.best, net=net, net_weight=w) for w in _NET_WEIGHTS)
    if search.best.net:
        yield from (replace(search.best, n_nets=_N_NETS, net_weight=w) for w in _NET_WEIGHTS)


class _CrossValidation:
    """Cross-validated scores of all documents.

    Candidates share the rows of term groups, linear classifiers and nets.
    """

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
        self._proba: dict[_Key, F32] = {}
        self._n_terms_at_start = self._n_terms(start.feature_groups)

    def scores(self, candidate: Candidate) -> tuple[F32, float]:
        """Return scores, shape (n_documents, n_topics), and the best inverse temperature."""
        mean = np.zeros((self._n, self._context.n_topics), dtype=np.float32)
        for key, learner, weight in _parts(candidate):
            if key not in self._proba:
                self._proba[key] = self._predict(candidate.feature_groups, learner, key)
            mean += np.float32(weight) * self._proba[key]
        scores = self._label_type.to_scores(mean)
        if candidate.net is None:  # a linear classifier's probabilities are calibrated
            return scores, 1.0
        return scores, fit_inverse_temperature(scores, self._labels, self._weights)

    def evaluate(self, scores: F32) -> tuple[float, F32]:
        """Return the metric of scores, and the weighted log loss of each document."""
        losses = self._label_type.log_losses(scores, self._labels)
        losses *= self._weights / self._weights.mean()
        return self._metric.function(scores, self._labels, self._weights), losses

    def work(self, candidate: Candidate) -> float:
        """Return the multiplications that a candidate takes, per term of the first candidate."""
        n_passes = sum(
            _products(learner, self._context.n_topics, self._n)
            for key, learner, _ in _parts(candidate)
            if key not in self._proba
        )
        n_terms = self._n_terms(candidate.feature_groups) if n_passes else 0
        return n_passes * (len(self._folds) - 1) * n_terms / max(self._n_terms_at_start, 1)

    def _n_terms(self, feature_groups: tuple[FeatureGroup, ...]) -> int:
        return self._fold_rows(feature_groups)[0].train.nnz

    def _predict(
        self, feature_groups: tuple[FeatureGroup, ...], learner: Learner, key: _Key
    ) -> F32:
        proba = np.empty((self._n, self._context.n_topics), dtype=np.float32)
        weight = self._context.sample_weight
        for number, heldout in enumerate(self._folds):
            context = replace(
                self._context,
                sample_weight=None if weight is None else weight[~heldout],
                seed=self._context.seed + key.number,
                progress=SILENT,
            )
            rows = self._fold_rows(feature_groups)[number]
            learner.fit(rows.train, self._labels.take(~heldout), context)
            proba[heldout] = learner.predict_proba(rows.test)
        return proba

    def _fold_rows(self, feature_groups: tuple[FeatureGroup, ...]) -> list[_FoldRows]:
        """Return the rows over some term groups for each fold."""
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
            return _FoldRows(*(sp.csr_array((n, 0), dtype=np.float32) for n in sizes))
        return _FoldRows(train, features.transform(itertools.compress(self._texts, heldout)))


class _FoldRows(NamedTuple):
    train: sp.csr_array
    test: sp.csr_array


class _Key(NamedTuple):
    """Determines the probabilities of one learner within a candidate."""

    feature_groups: tuple[FeatureGroup, ...]
    number: int
    kind: type
    options: tuple[tuple[str, float], ...]


def _parts(candidate: Candidate) -> Iterator[tuple[_Key, Learner, float]]:
    """Yield each learner within a candidate, and its weight."""
    learner = candidate.learner()
    mixture = learner if isinstance(learner, Mixture) else Mixture([learner])
    for number, (part, weight) in enumerate(zip(mixture.learners, mixture.weights, strict=True)):
        options = tuple(sorted(vars(part).items()))  # an unfitted learner has nothing else
        yield _Key(candidate.feature_groups, number, type(part), options), part, weight


def _products(learner: Learner, n_topics: int, n_rows: int) -> int:
    """Return roughly how many multiplications fitting takes for each number in the rows."""
    if isinstance(learner, ShallowLearner):
        return _PRODUCTS * learner.epochs * learner.units
    passes = getattr(learner, "passes", None) or default_passes(n_rows)
    return _PRODUCTS * passes * n_topics


def _describe_group(group: FeatureGroup) -> str:
    return group.kind if group.weight == 1 else f"{group.weight:g} x {group.kind}"


def _are_short(texts: Sequence[str]) -> bool:
    """Whether texts are short, by the median number of words in a sample of 1,000 or more."""
    sample = texts[:: max(1, len(texts) // _N_LOOKED_AT)]
    return float(np.median([len(text.split()) for text in sample])) <= _SHORT
