"""How likely it is that a document's topic is wrong, given what other documents say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

from slugline.base.arrays import F32, F64, I64, Index

__all__ = ["TopicEvidence", "compare_copies", "error_probabilities"]


# How much another topic's score counts beside that of the document's own: it tells which one the
# text belongs to, but texts that belong nowhere, and those of two topics, are told by their own.
_OTHER = 0.25
# How much a topic's share of the nearest documents counts.
_NEAREST = 0.7
# How much it counts that the two topics are taken for each other anyway, and of how many documents
# of no particular topic that is reckoned beside the real ones.
_CONFUSED, _PRIOR = 0.2, 10.0
# A score under -1 or over it tells more the higher it is; how sharp that bend is.
_BEND = 4.0
# In one text out of so many, two topics are both right.
_BOTH_RIGHT = 1 / 20
# The share of wrong topics follows from how many documents lie above each of these quantiles of
# wrong ones. The lowest counts, as hard cases raise the others. And it is no more than this, as
# documents that are too few to learn from would all seem wrong.
_QUANTILES, _MOST_WRONG = (0.5, 0.7, 0.9), 0.2
# On the weights of a logistic regression: it keeps few documents from making sure of anything.
_PENALTY = 1.0
# No probability comes nearer to 0 or 1.
_LEAST = 1e-4


@dataclass(frozen=True)
class TopicEvidence:
    """Against each topic of each document.

    Attributes
    ----------
    scores : float32 array, shape (n_rows, n_topics)
        By what was learned from others.
    shares : float32 array, shape (n_rows, n_topics)
        Each topic's share of the nearest documents.
    y : int array, shape (n_rows,)
        The topics that the documents have.
    """

    scores: F32
    shares: F32
    y: I64

    def likely(self, y: I64) -> I64:
        """Return the topic that each document would have if it were not `y`, shape (n_rows,)."""
        scores = self.scores + np.float32(_NEAREST) * self.shares
        scores[np.arange(len(y)), y] = -np.inf
        return scores.argmax(axis=1)

    def against(self, y: I64) -> F64:
        """Return how much speaks against a topic of each document, shape (n_rows,).

        Of these, only the order and the differences mean anything.
        """
        rows = np.arange(len(y))
        scores = self.scores.copy()
        own = _bent(scores[rows, y])
        scores[rows, y] = -np.inf
        best = scores.argmax(axis=1)
        other = _bent(scores[rows, best])
        return (
            _OTHER * other
            - own
            - _NEAREST * self.shares[rows, y]
            - _CONFUSED * self._confusion(y, best)
        )

    def _confusion(self, y: I64, best: I64) -> F64:
        """Return the log of how much more often than by chance `best` is over `y`, at least 0.

        A document of wheat whose best topic is grain need not be wrong. Each is left out of
        its own count.
        """
        n_rows, n_topics = self.scores.shape
        rows = np.arange(n_rows)
        scores = self.scores.copy()
        own = scores[rows, self.y]
        scores[rows, self.y] = -np.inf
        over = scores.argmax(axis=1)
        is_under = own < scores[rows, over]
        pairs = np.bincount(
            self.y[is_under] * n_topics + over[is_under], minlength=n_topics * n_topics
        ).reshape(n_topics, n_topics)
        itself = is_under & (y == self.y)
        share = (np.bincount(self.y, minlength=n_topics) + 1.0) / (n_rows + n_topics)
        by_chance = share[best] / (1 - share[y])
        together = pairs[y, best] - itself + _PRIOR * by_chance
        of_all = (pairs.sum(axis=1)[y] - itself + _PRIOR) * by_chance
        return np.asarray(np.maximum(np.log(together / of_all), 0))


def _bent(scores: F32) -> F64:
    """Return scores of which those under -1 are nearly equal, as to the learner."""
    return np.logaddexp(0, _BEND * (scores.astype(np.float64) + 1)) / _BEND - 1


def error_probabilities(evidence: TopicEvidence, seed: int) -> F64:
    """Return how likely each document's topic is wrong, shape (n_rows,).

    What speaks against topics is compared with what speaks against wrong ones: those of other
    documents, drawn at random. Where both are equally frequent, all are wrong.

    References
    ----------
    Efron (2004), Large-scale simultaneous hypothesis testing: the local false discovery rate;
    Storey (2002), A direct approach to false discovery rates: the share of wrong ones. The ratio of
    densities is a logistic regression.
    """
    y = evidence.y
    drawn = np.random.default_rng(seed).permutation(y)
    found, wrong = evidence.against(y), evidence.against(drawn)[drawn != y]
    if not len(wrong):
        return np.zeros(len(y))
    n_above = [int(np.sum(found > np.quantile(wrong, q))) + 1 for q in _QUANTILES]
    shares = np.array(n_above) / (1 - np.array(_QUANTILES)) / len(y)
    share = min(_MOST_WRONG, float(shares.min()))
    ratio = _log_ratio(found, wrong)
    return np.clip(share * np.exp(np.minimum(ratio, 20)), _LEAST, 1 - _LEAST)


def _log_ratio(found: F64, wrong: F64) -> F64:
    """Return the log of how much denser `wrong` is than `found` where `found` is."""
    values = np.concatenate([found, wrong])
    is_wrong = np.concatenate([np.zeros(len(found)), np.ones(len(wrong))])
    inputs = np.stack([np.ones_like(values), values], axis=1)
    weights = np.zeros(2)
    for _ in range(30):  # Newton's method
        p = expit(inputs @ weights)
        slope = inputs.T @ (is_wrong - p) - _PENALTY * weights
        curvature = (inputs.T * (p * (1 - p))) @ inputs + _PENALTY * np.eye(2)
        weights += np.clip(np.linalg.solve(curvature, slope), -5, 5)
    odds = weights[0] + weights[1] * found
    return np.asarray(odds + np.log(len(found) / len(wrong)))


def compare_copies(suspicion: F64, y: I64, copies: Sequence[Index]) -> F64:
    """Return the probabilities after identical texts have been compared.

    Two topics of one text are rarely both right: the better supported one probably is. And where
    copies often disagree, texts got to wrong places, some of them under their own topic by
    chance: of copies that agree, too, only one may be right.

    Parameters
    ----------
    suspicion : float array, shape (n_rows,)
        By what documents that are no copies say.
    y : int array, shape (n_rows,)
    copies : sequence of int arrays
        The rows of each text that occurs several times.
    """
    found = suspicion.copy()
    if not copies:
        return found
    misplaced = _misplaced(y, copies)
    for rows in copies:
        numbers, counts = np.unique(y[rows], return_inverse=True, return_counts=True)[1:]
        if len(counts) > 1:
            wrong = np.bincount(numbers, suspicion[rows]) / counts
            found[rows] = _one_right(wrong, counts)[numbers]
        by_chance = misplaced * (1 - 1 / counts[numbers])
        found[rows] = np.maximum(found[rows], by_chance)
    return found


def _misplaced(y: I64, copies: Sequence[Index]) -> float:
    """Return how likely it is that copies with one topic have it by chance.

    As many as expected if topics of misplaced texts were drawn at random, given how many differ.
    """
    shares = np.bincount(y) / len(y)
    agree = float((shares**2).sum())
    of_pairs = [_pairs(np.bincount(y[rows])) / _pairs(len(rows)) for rows in copies]
    differing = 1 - float(np.mean(of_pairs))
    if differing == 1 or agree == 1:
        return 0.0
    return min(1.0, differing * agree / (1 - agree) / (1 - differing))


def _pairs(counts: Index | int) -> float:
    counts = np.asarray(counts)
    return float((counts * (counts - 1)).sum())


def _one_right(wrong: F64, counts: Index) -> F64:
    """Return how likely each topic of a text is wrong, if at most one is right as a rule.

    Parameters
    ----------
    wrong : float array, shape (n_topics,)
        The same before they were compared.
    counts : int array, shape (n_topics,)
        How many copies have each topic.
    """
    is_wrong, is_right = counts * np.log(wrong), counts * np.log1p(-wrong)
    either = np.logaddexp(is_wrong, is_right)
    none = is_wrong.sum()
    alone = none - is_wrong + is_right  # this topic is right, and no other
    with_others = either.sum() - either + is_right
    several = np.log(_BOTH_RIGHT) + _minus(with_others, alone)
    total_several = np.log(_BOTH_RIGHT) + _minus(either.sum(), logsumexp([none, *alone]))
    total = logsumexp([none, *alone, total_several])
    return np.asarray(-np.expm1(np.minimum(np.logaddexp(alone, several) - total, -_LEAST)))


def _minus(more: F64 | float, less: F64 | float) -> F64:
    """Return log(exp(more) - exp(less))."""
    difference = np.minimum(np.asarray(less) - more, 0)
    return np.asarray(more + np.log(np.maximum(-np.expm1(difference), 1e-300)))
