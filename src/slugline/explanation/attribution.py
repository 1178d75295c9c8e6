"""Attribute a learner's scores to the columns of a row and to the words of its text.

A row's attributions add up to its score minus the score of a row of zeros, which represents an
empty text. They are linear in the factors of topics' scores, so the difference between two topics'
scores is attributed in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64, I32, Floats, Integers
from slugline.base.checks import short_repr
from slugline.errors import OptionError, Parameter
from slugline.learning.calibration import (
    LEAST_COMPLEMENT,
    AnyCalibration,
    Calibration,
    TopicCalibration,
    sigmoid,
    softmax,
)
from slugline.learning.learner import Learner, LinearModel, is_linear, is_network
from slugline.learning.mixture import Mixture
from slugline.learning.net.layers import MAX_SIGNAL, Dense
from slugline.learning.net.network import Network
from slugline.text.characters import is_unspaced
from slugline.text.features import Features
from slugline.text.sparse import ranges, row_lengths
from slugline.text.terms import KINDS, NGRAM_LENGTHS, GroupedTerms
from slugline.text.tokens import Words

# Accuracy of the score for integrating a mixture's path, and maximum number of intervals. Without a
# limit, intervals would be halved forever for huge scores. At the limit, attributions are
# approximate.
_MAX_ERROR, _MAX_INTERVALS = 1e-7, 500
# Maximum rounding error of a sum in float32, as a fraction of the sum of absolute values.
_ROUNDING = 1e-4
# The same for a mixture's path; its error is larger where a probability vanishes.
_PATH_ERROR = 1e-2
# Minimum probability, as in `Mixture.decision_function`.
_TINY = float(np.finfo(np.float32).tiny)


class Attributor(ABC):
    """Attributes a learner's scores of one row to the columns of the row.

    Attributes
    ----------
    base, top : float64 arrays, shape (n_topics,)
        Scores of a row of zeros, and of the row.
    method : str
        Description of the method for users.
    is_approximate : bool
        True if the returned attributions may be far from exact.
    """

    base: F64
    top: F64
    method: str
    is_approximate = False

    @abstractmethod
    def attributions(self, factors: F64) -> F64:
        """Return the attribution of each column in `(top - base) @ factors`, shape (n_values,).

        `factors`, shape (n_topics,), weight the topics' scores, such as 1 for one topic and -1 for
        another.
        """


def make_attributor(learner: Learner, columns: Integers, values: Floats) -> Attributor:
    """Return the attributor of a learner's scores of one row.

    Parameters
    ----------
    learner : Learner
        A linear learner, a network, or a mixture of these.
    columns, values : arrays, shape (n_values,)
        The entries of the row.

    Raises
    ------
    OptionError : if the learner is of another kind.
    """
    doubles = values.astype(np.float64)
    if is_linear(learner):
        return _LinearAttributor(learner, columns, doubles)
    if is_network(learner):
        return _NetAttributor(learner.network, columns, doubles)
    if isinstance(learner, Mixture):
        parts = [make_attributor(part, columns, values) for part in learner.learners]
        return _MixtureAttributor(learner, parts)
    raise OptionError(
        Parameter("learner"),
        f" is {short_repr(learner)}, which can't be explained; use a linear learner, a net or a "
        "mixture of these.",
    )


class _LinearAttributor(Attributor):
    """The attribution of a term is its weight times its value."""

    method = "each term's weight times its value"

    def __init__(self, learner: LinearModel, columns: Integers, values: F64) -> None:
        self._values = values
        self._weights = learner.weights_of(columns)
        self.base = learner.biases.astype(np.float64)
        self.top = self.base + values @ self._weights

    def attributions(self, factors: F64) -> F64:
        return self._values * (self._weights @ factors)


class _NetAttributor(Attributor):
    """Differences from a row of zeros are propagated back layer by layer.

    A hidden unit divides the difference of its output in proportion to the differences of its
    inputs. With one hidden layer, attributions are exact integrated gradients (Sundararajan, Taly
    and Yan, 2017).

    References
    ----------
    Shrikumar, Greenside and Kundaje (2017), Learning important features through propagating
    activation differences: the Rescale rule of DeepLIFT.
    """

    method = "DeepLIFT's Rescale rule, from an empty text"

    def __init__(self, network: Network, columns: Integers, values: F64) -> None:
        self._values = values
        first, *others = network.weights
        self._first = first[columns].astype(np.float64)
        self._outer = [array.astype(np.float64) for array in others[1::2]]
        biases = [array.astype(np.float64) for array in others[0::2]]
        self._slopes: list[F64] = []
        low, high = biases[0], biases[0] + values @ self._first
        hidden = zip(network.layers[:-1], self._outer, biases[1:], strict=True)
        for layer, weights, bias in hidden:
            before, after = _output(layer, low), _output(layer, high)
            self._slopes.append(_slopes(low, high, before, after))
            low, high = before @ weights + bias, after @ weights + bias
        self.base, self.top = low, high

    def attributions(self, factors: F64) -> F64:
        for weights, slopes in zip(reversed(self._outer), reversed(self._slopes), strict=True):
            factors = (weights @ factors) * slopes
        return self._values * (self._first @ factors)


def _output(layer: Dense, inputs: F64) -> F64:
    """Return the output of a hidden layer, as in `Network.decision_function`."""
    return np.minimum(np.maximum(inputs, 0) if layer.activation == "relu" else inputs, MAX_SIGNAL)


def _slopes(low: F64, high: F64, before: F64, after: F64) -> F64:
    """Return the ratio of the differences of outputs and inputs."""
    differs = high != low
    return np.divide(after - before, high - low, out=np.zeros_like(low), where=differs)


class _MixtureAttributor(Attributor):
    """Integrated gradients over learners' scores, for the log or log-odds of a mean probability.

    Each score of each learner gets the integral of its gradient along a straight path from the
    scores of an empty text to the scores of the row; the learner divides it among the columns.

    References
    ----------
    Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks: integrated
    gradients. The chain rule is DeepLIFT's; see `_NetAttributor`.
    """

    def __init__(self, mixture: Mixture, parts: list[Attributor]) -> None:
        self._parts, self._multilabel = parts, mixture.multilabel
        self._calibrations = [_calibration(learner) for learner in mixture.learners]
        self._weights = np.array(mixture.weights) / sum(mixture.weights)
        self.base, self.top = self._scores(0), self._scores(1)
        kinds = dict.fromkeys(part.method for part in parts)
        self.method = (
            f"integrated gradients over the learners' scores, which are {' or '.join(kinds)}"
        )

    def attributions(self, factors: F64) -> F64:
        from scipy.integrate import quad_vec  # slow to import, and only mixtures need it

        integral, _, details = quad_vec(
            lambda at: self._gradient(factors, at),
            0,
            1,
            epsabs=_MAX_ERROR,
            norm="max",
            limit=_MAX_INTERVALS,
            full_output=True,
        )
        totals = np.split(integral, len(self._parts))
        attributions = sum(
            part.attributions(total) for part, total in zip(self._parts, totals, strict=True)
        )
        self.is_approximate = not details.success or any(p.is_approximate for p in self._parts)
        difference = float((self.top - self.base) @ factors)
        return adjust_to_sum(np.asarray(attributions), difference, tolerance=_PATH_ERROR)

    def _scores(self, at: float) -> F64:
        """Return the mixture's scores at a point of the path, from 0 to 1; shape (n_topics,)."""
        mean = self._mean(self._interpolate(at))
        scores: F64 = np.log(np.maximum(mean, _TINY))
        if self._multilabel:
            scores -= np.log(np.maximum(1 - mean, LEAST_COMPLEMENT))
        return scores[0]

    def _mean(self, scores: list[Any]) -> F64:
        """Return the mean probabilities of a row of scores of each learner."""
        proba = [c.proba(s) for c, s in zip(self._calibrations, scores, strict=True)]
        return np.tensordot(self._weights, np.array(proba), axes=1)

    def _interpolate(self, at: float) -> list[Any]:
        """Return each learner's scores at a point of the path, shape (1, n_topics)."""
        return [(part.base + at * (part.top - part.base))[np.newaxis] for part in self._parts]

    def _gradient(self, factors: F64, at: float) -> F64:
        """Return the gradient w.r.t. all learners' scores, shape (n_learners * n_topics,)."""
        scores = self._interpolate(at)
        mean = self._mean(scores)
        weights = np.where(mean > _TINY, factors / np.maximum(mean, _TINY), 0)
        if self._multilabel:
            complement = 1 - mean
            is_large = complement > LEAST_COMPLEMENT
            weights += np.where(is_large, factors / np.maximum(complement, _TINY), 0)
        learners = zip(self._calibrations, scores, self._weights, strict=True)
        gradients = [
            weight * _gradient(calibration, learner_scores, weights)
            for calibration, learner_scores, weight in learners
        ]
        return np.concatenate(gradients, axis=1)[0]


def _calibration(learner: Any) -> AnyCalibration:
    """Return the calibration that turns the learner's scores into probabilities."""
    if learner.capabilities.is_linear:
        return learner.calibration
    factor = learner.inverse_temperature if isinstance(learner, Mixture) else 1.0
    if learner.multilabel:
        return learner.calibration._replace(slopes=learner.calibration.slopes * np.float32(factor))
    return Calibration(factor)


def _gradient(calibration: Any, scores: Any, weights: F64) -> F64:
    """Return the gradient of each row's sum of probabilities times weights."""
    if isinstance(calibration, TopicCalibration):
        proba, unbent = calibration.proba(scores), sigmoid(calibration.logits(scores))
        low, high, _ = calibration.bend
        # Derivative of the log-odds after the bend w.r.t. the log-odds before it.
        bend_slopes = high * unbent + low * (1 - unbent)
        return weights * proba * (1 - proba) * bend_slopes * calibration.slopes
    total = np.zeros_like(scores)
    for weight, factor in _softmaxes(calibration):
        proba = softmax(scores * factor)
        mean = (proba * weights).sum(axis=1, keepdims=True)
        total += weight * factor * (proba * (weights - mean))
    return total


def _softmaxes(calibration: Calibration) -> list[tuple[float, float]]:
    """Return the weight and inverse temperature of each softmax, rounded as in `Calibration`."""
    factor, flat_weight = calibration.inverse_temperature, calibration.high_temperature_weight
    total = float(np.float32(1 - calibration.uniform_weight))
    if not flat_weight:
        return [(total, float(np.float32(factor)))]
    flat = float(np.float32(factor / 3))
    weights = (float(np.float32(weight)) for weight in (1 - flat_weight, flat_weight))
    return [
        (total * weight, factor) for weight, factor in zip(weights, (3 * flat, flat), strict=True)
    ]


def adjust_to_sum(attributions: F64, total: float, tolerance: float = _ROUNDING) -> F64:
    """Return attributions, adjusted in proportion to their absolute values to sum to the total.

    Differences over `tolerance`, relative to the sum of absolute values, are not adjusted, to avoid
    hiding an error.
    """
    sizes = np.abs(attributions)
    missing = total - attributions.sum()
    if abs(missing) > tolerance * sizes.sum() or not missing:
        return attributions
    return attributions + sizes * (missing / sizes.sum())


# Words --------------------------------------------------------------------------------------------


class SpanAttributions(NamedTuple):
    """Attributions of the words and phrases of a text.

    Attributes
    ----------
    starts, ends : int array, shape (n_places,)
        Offsets in the buffer of the text's `Words`.
    values : float64 array, shape (n_places,)
    """

    starts: Integers
    ends: Integers
    values: F64


def attribute_to_words(
    words: Words, features: Features, columns: Integers, attributions: F64
) -> SpanAttributions:
    """Divide the attributions of columns among the words and phrases of a text.

    A column's attribution is divided evenly among all occurrences of its terms. Character n-grams
    count towards their word, except in scripts without spaces, where they are phrases, like pairs
    of words. Extra table columns come last and are omitted: they have no place in the text.

    Parameters
    ----------
    words : Words
    features : Features
    columns : int array, shape (n_values,)
        The row's columns in ascending order.
    attributions : float64 array, shape (n_values,)
    """
    on_words = np.zeros(len(words))
    parts = [SpanAttributions(words.starts, words.ends, on_words)]
    first = 0
    for group, vocabulary in zip(features.feature_groups, features.vocabularies_, strict=True):
        if group.columns:
            break
        terms = KINDS[group.kind].find(words)
        values = _span_attributions(
            terms, vocabulary.columns_of_spans(terms), first, columns, attributions
        )
        first += vocabulary.n_columns
        if group.kind in NGRAM_LENGTHS:
            word_attributions, phrases = _split_ngrams(words, terms, values)
            on_words += word_attributions
            parts.append(phrases)
        elif group.kind == "bigrams":
            parts.append(SpanAttributions(words.starts[:-1], words.ends[1:], values[terms.groups]))
        else:  # words, or a lead of the first words
            on_words[: len(terms.groups)] += values[terms.groups]
    return merge_attributions(parts)


def _span_attributions(
    terms: GroupedTerms, numbers: I32, first: int, columns: Integers, attributions: F64
) -> F64:
    """Return the attribution of each span per occurrence, shape (n_spans,)."""
    in_vocabulary = np.flatnonzero(numbers >= 0)
    # Each term in the vocabulary has an entry in the row.
    entries = np.searchsorted(columns, numbers[in_vocabulary] + first)
    n_places = np.bincount(entries, weights=terms.counts()[in_vocabulary], minlength=len(columns))
    place_attributions = attributions / np.maximum(n_places, 1)
    values = np.zeros(len(numbers))
    values[in_vocabulary] = place_attributions[entries]
    return values


def _split_ngrams(words: Words, terms: GroupedTerms, values: F64) -> tuple[F64, SpanAttributions]:
    """Return the attributions of n-grams by word, or as phrases in scripts without spaces."""
    distinct, _ = words.distinct
    n_ngrams = row_lengths(terms.spans.indptr)
    owner = np.arange(len(distinct)).repeat(n_ngrams)
    is_phrase = is_unspaced(np.frombuffer(words.buffer, dtype=np.uint8), distinct.starts)
    word_values = values * ~is_phrase[owner]
    word_sums = np.bincount(owner, word_values, len(distinct)).astype(np.float64, copy=False)
    places = np.flatnonzero(is_phrase[terms.groups])
    groups = terms.groups[places]
    ngrams = ranges(terms.spans.indptr[groups], n_ngrams[groups])
    # From the first place of the word to the others.
    offsets = (words.starts[places] - distinct.starts[groups]).repeat(n_ngrams[groups])
    phrases = SpanAttributions(
        terms.spans.starts[ngrams] + offsets, terms.spans.ends[ngrams] + offsets, values[ngrams]
    )
    return word_sums[terms.groups], phrases


def merge_attributions(parts: list[SpanAttributions]) -> SpanAttributions:
    """Return nonzero attributions, summed by place."""
    starts, ends, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    is_nonzero = values != 0
    starts, ends, values = starts[is_nonzero], ends[is_nonzero], values[is_nonzero]
    # A word of one character may also be an n-gram.
    order = np.lexsort((ends, starts))
    starts, ends, values = starts[order], ends[order], values[order]
    is_new = np.ones(len(starts), dtype=bool)
    is_new[1:] = (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
    places = np.flatnonzero(is_new)
    if len(places) < len(values):
        values = np.add.reduceat(values, places)
    return SpanAttributions(starts[places], ends[places], values)
