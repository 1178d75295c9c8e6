"""Estimate the probability that a document's topic is wrong, based on other documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit, logsumexp

from slugline.base.arrays import F32, F64, I64, Index, Mask

# The weight of the best other topic's score; the score of the document's own topic has weight 1.
# The other score shows where a text belongs, but not whether it belongs nowhere, or to two topics.
_OTHER = 0.25
# Weight of a topic's fraction of the nearest documents.
_NEAREST = 0.7
# Weight of the confusion rate of the two topics, and number of pseudo-documents, spread over
# topics, added to the counts.
_CONFUSED, _PRIOR = 0.2, 10.0
# Sharpness of the bend at a score of -1; lower scores hardly differ.
_BEND = 4.0
# Fraction of texts for which two topics are right.
_BOTH_RIGHT = 1 / 20
# The fraction of wrong topics is estimated from the documents above each of these quantiles of
# wrong ones. The lowest estimate is used, because hard cases raise the others. The maximum applies
# if there are too few documents to train on, so that all would seem wrong.
_QUANTILES, _MAX_WRONG = (0.5, 0.7, 0.9), 0.2
# Penalty on the weights of a logistic regression, to avoid overconfidence with few documents.
_PENALTY = 1.0
# Minimum distance of a probability from 0 and 1.
_MIN_PROBABILITY = 1e-4


@dataclass(frozen=True)
class TopicEvidence:
    """Evidence of other documents for each topic of each document."""

    scores: F32  # shape (n_rows, n_topics): held-out scores
    fractions: F32  # shape (n_rows, n_topics): each topic's fraction of the nearest documents
    y: I64  # shape (n_rows,): the topics of the documents

    def likely(self, y: I64) -> I64:
        """Return each document's likeliest topic other than its topic in `y`, shape (n_rows,)."""
        return _best_other(self.scores + np.float32(_NEAREST) * self.fractions, y)

    def against(self, y: I64) -> F64:
        """Return the evidence, without a unit, against each document's topic in `y`."""
        rows, best = np.arange(len(y)), _best_other(self.scores, y)
        lead = _OTHER * _bend(self.scores[rows, best]) - _bend(self.scores[rows, y])
        return lead - _NEAREST * self.fractions[rows, y] - _CONFUSED * self._confusion(y, best)

    def _confusion(self, y: I64, best: I64) -> F64:
        """Return the log lift over chance of `best` outscoring `y`, at least 0.

        For example, a document with topic wheat and best topic grain need not be wrong. Documents
        are excluded from their own counts.
        """
        n_rows, n_topics = self.scores.shape
        rows, over = np.arange(n_rows), _best_other(self.scores, self.y)
        is_under = self.scores[rows, self.y] < self.scores[rows, over]
        pairs = np.bincount(
            self.y[is_under] * n_topics + over[is_under], minlength=n_topics * n_topics
        ).reshape(n_topics, n_topics)
        itself = is_under & (y == self.y)
        prior = (np.bincount(self.y, minlength=n_topics) + 1.0) / (n_rows + n_topics)
        by_chance = prior[best] / (1 - prior[y])
        observed = pairs[y, best] - itself + _PRIOR * by_chance
        expected = (pairs.sum(axis=1)[y] - itself + _PRIOR) * by_chance
        return np.asarray(np.maximum(np.log(observed / expected), 0))


def _best_other(scores: F32, y: I64) -> I64:
    """Return the topic with the highest score other than `y`, shape (n_rows,)."""
    others = scores.copy()
    others[np.arange(len(y)), y] = -np.inf
    return others.argmax(axis=1)


def _bend(scores: F32) -> F64:
    """Compress scores below -1, as in the learner's loss."""
    return np.logaddexp(0, _BEND * (scores.astype(np.float64) + 1)) / _BEND - 1


def error_probabilities(evidence: TopicEvidence, seed: int) -> F64:
    """Return the probability that each document's topic is wrong, shape (n_rows,).

    Compares the distribution of the evidence against topics with the distribution of the evidence
    against wrong topics, which are drawn at random from other documents.

    References
    ----------
    Efron (2004), Large-scale simultaneous hypothesis testing: the local false discovery rate;
    Storey (2002), A direct approach to false discovery rates: the fraction of wrong ones. The ratio
    of densities is a logistic regression.
    """
    y = evidence.y
    drawn = np.random.default_rng(seed).permutation(y)
    against, wrong = evidence.against(y), evidence.against(drawn)[drawn != y]
    if not len(wrong):
        return np.zeros(len(y))
    return _false_discovery_rates(against, wrong, against)


@dataclass(frozen=True)
class SetEvidence:
    """Evidence of other documents for each topic of each document, in multi-label data."""

    scores: F32  # shape (n_rows, n_topics): held-out scores
    fractions: F32  # shape (n_rows, n_topics): each topic's fraction of the nearest documents
    has: Mask  # shape (n_rows, n_topics): mask of the documents' topics
    y: I64  # shape (n_rows,): a number for each set of topics
    can_judge: Mask  # shape (n_topics,): mask of topics with other documents
    seed: int

    @cached_property
    def strength(self) -> F64:
        """The evidence for each topic of each document, without a unit."""
        return _bend(self.scores) + _NEAREST * self.fractions

    @cached_property
    def errors(self) -> F64:
        """Probability that a topic is wrong, or that it is missing, shape (n_rows, n_topics).

        Compares the documents' topics with random topics of other documents, and each document's
        best missing topic with the documents' topics.
        """
        rows, columns = np.nonzero(self.has & self.can_judge)
        drawn = np.random.default_rng(self.seed).permutation(columns)
        is_wrong = ~self.has[rows, drawn]
        right, wrong = self.strength[rows, columns], self.strength[rows, drawn][is_wrong]
        lacks = ~self.has & self.can_judge
        best = np.max(self.strength, axis=1, where=lacks, initial=-np.inf)[lacks.any(axis=1)]
        errors = np.zeros(self.has.shape)
        if len(wrong):
            errors[rows, columns] = _false_discovery_rates(-right, -wrong, -right)
        if len(best) and len(right):
            errors[lacks] = _false_discovery_rates(best, right, self.strength[lacks])
        return errors

    def against(self, _y: I64) -> F64:
        """Return the strongest evidence against each document's topics, shape (n_rows,)."""
        signed = np.where(self.has, -self.strength, self.strength)
        return np.max(signed, axis=1, where=self.can_judge, initial=-1e3)


def _false_discovery_rates(against: F64, wrong: F64, at: F64) -> F64:
    """Return the probability of being wrong at the values `at`.

    Estimated from the evidence against all topics and against wrong ones.
    """
    n_above = [int(np.sum(against > np.quantile(wrong, q))) + 1 for q in _QUANTILES]
    estimates = np.array(n_above) / (1 - np.array(_QUANTILES)) / len(against)
    fraction_wrong = min(_MAX_WRONG, float(estimates.min()))
    ratio = _log_density_ratio(against, wrong, at)
    rates = fraction_wrong * np.exp(np.minimum(ratio, 20))
    return np.clip(rates, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)


def _log_density_ratio(against: F64, wrong: F64, at: F64) -> F64:
    """Return the log ratio of the densities of `wrong` and `against` at the values `at`."""
    values = np.concatenate([against, wrong])
    is_wrong = np.concatenate([np.zeros(len(against)), np.ones(len(wrong))])
    inputs = np.stack([np.ones_like(values), values], axis=1)
    weights = np.zeros(2)
    for _ in range(30):  # Newton's method
        p = expit(inputs @ weights)
        slope = inputs.T @ (is_wrong - p) - _PENALTY * weights
        curvature = (inputs.T * (p * (1 - p))) @ inputs + _PENALTY * np.eye(2)
        weights += np.clip(np.linalg.solve(curvature, slope), -5, 5)
    odds = weights[0] + weights[1] * at
    return np.asarray(odds + np.log(len(against) / len(wrong)))


def compare_copies(suspicion: F64, y: I64, copies: Sequence[Index]) -> F64:
    """Update the probabilities that topics are wrong by comparing identical texts.

    Two topics of the same text are rarely both right; the better supported one probably is. If
    copies often disagree, some texts were misplaced, and a few of these have the right topic by
    chance. So even if copies agree, one of them may have a misplaced text.

    Parameters
    ----------
    suspicion : float array, shape (n_rows,)
        Probabilities based on documents that are not copies.
    y : int array, shape (n_rows,)
    copies : sequence of int arrays
        The rows of each repeated text.
    """
    updated = suspicion.copy()
    if not copies:
        return updated
    misplaced = _chance_agreement(y, copies)
    for rows in copies:
        numbers, counts = np.unique(y[rows], return_inverse=True, return_counts=True)[1:]
        if len(counts) > 1:
            wrong = np.bincount(numbers, suspicion[rows]) / counts
            updated[rows] = _one_right(wrong, counts)[numbers]
        by_chance = misplaced * (1 - 1 / counts[numbers])
        updated[rows] = np.maximum(updated[rows], by_chance)
    return updated


def _chance_agreement(y: I64, copies: Sequence[Index]) -> float:
    """Estimate the probability that copies agree by chance from the number that disagree.

    Topics of misplaced texts are assumed to be drawn at random.
    """
    frequencies = np.bincount(y) / len(y)
    agree = float((frequencies**2).sum())
    agreeing = [_n_pairs(np.bincount(y[rows])) / _n_pairs(len(rows)) for rows in copies]
    differing = 1 - float(np.mean(agreeing))
    if differing == 1 or agree == 1:
        return 0.0
    return min(1.0, differing * agree / (1 - agree) / (1 - differing))


def _n_pairs(counts: Index | int) -> float:
    counts = np.asarray(counts)
    return float((counts * (counts - 1)).sum())


def _one_right(wrong: F64, counts: Index) -> F64:
    """Return the probability that each topic of a text is wrong; two are rarely both right.

    Parameters
    ----------
    wrong : float array, shape (n_topics,)
        The probability before the comparison.
    counts : int array, shape (n_topics,)
        Number of copies with each topic.
    """
    wrong = np.clip(wrong, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    is_wrong, is_right = counts * np.log(wrong), counts * np.log1p(-wrong)
    either = np.logaddexp(is_wrong, is_right)
    none = is_wrong.sum()
    only_one = none - is_wrong + is_right  # this topic is right, and no other
    with_others = either.sum() - either + is_right
    one_of_several = np.log(_BOTH_RIGHT) + _log_difference(with_others, only_one)
    any_several = np.log(_BOTH_RIGHT) + _log_difference(either.sum(), logsumexp([none, *only_one]))
    total = logsumexp([none, *only_one, any_several])
    log_right = np.logaddexp(only_one, one_of_several) - total
    return np.asarray(-np.expm1(np.minimum(log_right, -_MIN_PROBABILITY)))


def _log_difference(more: F64 | float, less: F64 | float) -> F64:
    """Return log(exp(more) - exp(less))."""
    difference = np.minimum(np.asarray(less) - more, 0)
    return np.asarray(more + np.log(np.maximum(-np.expm1(difference), 1e-300)))
