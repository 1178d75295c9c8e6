"""Thresholds of a multilabel rule that maximize the average F1."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64, Mask
from slugline.model.multilabel_rule import Average, MultilabelRule, Parents

#: Default threshold without held-out documents.
USUAL_THRESHOLD = 0.5
# Candidate thresholds, chosen on training splits like the shrinkage below.
_TRIED = np.arange(0.2, 0.81, 0.025, dtype=np.float32)
# Number of true topics at which the best common threshold and the default have equal weight.
_PRIOR_DOCUMENTS = 20
# Number of documents at which a topic's best threshold and the common one have equal weight.
_PRIOR_OF_TOPIC = {"micro": 50, "macro": 20, "samples": 50}
# If more than this fraction of documents has a topic, documents without topics are exceptions.
_NEARLY_ALL = 0.98
# F1 tolerance for ties.
_ROUNDING = 1e-12


def choose_rule(
    proba: F32,
    y: F32,
    sizes: I64,
    average: Average,
    *,
    parents: Parents = (),
    path_ends: tuple[int, ...] = (),
) -> MultilabelRule:
    """Return the rule with the best F1 on held-out documents.

    The common threshold that maximizes the average F1 is chosen first. Then each topic gets the
    threshold that maximizes the average given all other thresholds, shrunk towards the common one:
    the fewer documents, the more. If all documents have a topic, the most likely topic is always
    given, which favours higher thresholds.

    Parameters
    ----------
    proba, y : float32 array, shape (n_heldout, n_topics)
        Probabilities and indicators of topics.
    sizes : int array, shape (n_documents,)
        Number of topics of each training document.
    average : {"micro", "macro", "samples"}
    parents : tuple of (int, int), optional
    path_ends : tuple of int, optional
        See `MultilabelRule`; with parents, `proba` is made consistent in place.

    References
    ----------
    Fan and Lin (2007), A study on threshold selection for multi-label classification: one topic
    after the other. Lewis, Yang, Rose and Li (2004), RCV1: thresholds of rare topics overfit.
    """
    rule = MultilabelRule(
        thresholds=np.full(proba.shape[1], USUAL_THRESHOLD, dtype=np.float32),
        at_least_one=len(sizes) > 0 and bool(sizes.min()),
        max_topics=int(sizes.max(initial=0)),
        average=average,
        parents=parents,
        path_ends=path_ends,
    )
    if path_ends or not y.any():
        return rule
    proba = rule.make_consistent(proba)
    is_topic = y > 0
    _, best = best_common_threshold(rule, proba, is_topic)
    weight = _weight(is_topic.sum(), _PRIOR_DOCUMENTS)
    common = best.with_thresholds(weight * best.thresholds + (1 - weight) * rule.thresholds)
    thresholds = _thresholds_by_topic(common, proba, is_topic)
    return common.with_thresholds(rule.raise_to_parents(thresholds))


def best_common_threshold(
    rule: MultilabelRule, proba: F32, y: Mask
) -> tuple[float, MultilabelRule]:
    """Return the best average F1 with a single threshold for all topics, and its rule."""
    if rule.path_ends:
        return _average_f1(rule.decide(proba), y, rule.average), rule
    choices = [True] if rule.at_least_one else [False, True]
    if y.any(axis=1).mean() > _NEARLY_ALL:
        choices.reverse()  # prefer the first of ties
    rules = [
        replace(rule, at_least_one=always, thresholds=np.full_like(rule.thresholds, threshold))
        for always in choices
        for threshold in _TRIED
    ]
    pairs = ((_average_f1(rule.decide(proba), y, rule.average), rule) for rule in rules)
    return max(pairs, key=lambda pair: pair[0])


def _average_f1(predicted: Mask, y: Mask, average: str) -> float:
    """Return the average F1; a document without true or given topics scores 1."""
    axis = {"micro": None, "macro": 0, "samples": 1}[average]
    right, total = (predicted & y).sum(axis), predicted.sum(axis) + y.sum(axis)
    f1: F64 = np.where(total > 0, 2 * right / np.maximum(total, 1), average == "samples")
    return float(f1.mean())


def _weight(n_documents: int, n_prior: int) -> np.float32:
    """Return the weight of a value from `n_documents` against a prior value from `n_prior`."""
    return np.float32(n_documents / (n_documents + n_prior))


def _thresholds_by_topic(rule: MultilabelRule, proba: F32, y: Mask) -> F32:
    """Return shrunk thresholds from one pass of coordinate ascent on the average F1.

    For the macro average, topics are independent.
    """
    thresholds, likeliest = rule.thresholds.copy(), proba.argmax(axis=1)
    is_likeliest_right = y[np.arange(len(y)), likeliest]
    given = proba >= thresholds
    n_given, n_right = given.sum(axis=1), (given & y).sum(axis=1)
    n_true, is_macro = y.sum(axis=1), rule.average == "macro"
    for topic, n_documents in enumerate(y.sum(axis=0).tolist()):
        of_topic, is_true = proba[:, topic], y[:, topic]
        is_over = of_topic >= thresholds[topic]
        n_others, right_others = n_given - is_over, n_right - (is_over & is_true)
        # The most likely topic is given if no other topic is.
        is_alone = rule.at_least_one & (n_others == 0)
        if is_macro:
            is_alone &= likeliest == topic
            without = _Counts(is_alone & is_true, is_alone, is_true)
            given_too = _Counts(is_true, np.ones_like(is_true), is_true)
        else:
            n_right_alone = is_alone & is_likeliest_right
            without = _Counts(right_others + n_right_alone, n_others + is_alone, n_true)
            given_too = _Counts(right_others + is_true, n_others + 1, n_true)
        # Number of candidate thresholds at which the topic is given.
        level = np.searchsorted(_TRIED, of_topic, side="right")
        f1 = _f1_by_threshold(given_too, without, level, by_document=rule.average == "samples")
        best = _TRIED[f1 >= f1.max() - _ROUNDING].mean()
        weight = _weight(n_documents, _PRIOR_OF_TOPIC[rule.average])
        thresholds[topic] += weight * (best - thresholds[topic])
        is_over = of_topic >= thresholds[topic]
        n_given, n_right = n_others + is_over, right_others + (is_over & is_true)
    return thresholds


class _Counts(NamedTuple):
    """Numbers of right, given and true topics: int or bool arrays, shape (n_documents,)."""

    right: I64 | Mask
    given: I64 | Mask
    true: I64 | Mask

    def f1(self) -> F64:
        """Return the F1 of each document, 2 right / (given + true); 1 if both are 0."""
        total = self.given.astype(np.int64) + self.true
        f1: F64 = np.where(total > 0, 2 * self.right / np.maximum(total, 1), 1.0)
        return f1


def _f1_by_threshold(given: _Counts, without: _Counts, level: I64, *, by_document: bool) -> F64:
    """Return the F1 at each threshold in `_TRIED`, over all decisions or averaged by document.

    `given` and `without` are the counts of each document with and without the topic; the topic is
    given at the first `level` thresholds.
    """
    if by_document:
        return _sums_by_threshold(given.f1(), without.f1(), level) / len(level)
    pairs = zip(given, without, strict=True)
    sums = (
        _sums_by_threshold(one.astype(np.float64), two.astype(np.float64), level)
        for one, two in pairs
    )
    right, n_given, n_true = sums
    return 2 * right / np.maximum(n_given + n_true, 1)


def _sums_by_threshold(given: F64, without: F64, level: I64) -> F64:
    """Return the sum over documents at each threshold, shape (n_thresholds,)."""
    gains = np.bincount(level, given - without, minlength=len(_TRIED) + 1)
    return without.sum() + gains[::-1].cumsum()[::-1][1:]
