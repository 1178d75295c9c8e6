"""What each column of a row adds to a learner's scores: all of it, and nothing more.

A learner scores a row of zeros, too: that is what an empty text would get. What a row's scores are
over that is shared out among its columns, exactly. Sums of scores, such as one topic's less
another's, are shared out by the same arithmetic, as every share is linear in what is asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, Floats, Integers
from slugline.base.checks import short_repr
from slugline.errors import OptionError
from slugline.learning.calibration import Calibration, softmax
from slugline.learning.learner import Learner
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.layers import MAX_SIGNAL, Dense, DenseStack
from slugline.learning.net.learner import NeuralLearner
from slugline.learning.shallow import ShallowLearner
from slugline.text.features import Features
from slugline.text.sparse import ranges, row_lengths
from slugline.text.terms import KINDS, GroupedTerms
from slugline.text.words import Words, is_unspaced

__all__ = [
    "Attribution",
    "WordAttribution",
    "adjust_to_sum",
    "attribute",
    "attribute_to_words",
    "merge_attributions",
]


# A mixture's path from an empty text is cut into panels. Those whose part of the score is off by
# more than this are halved, so many times at most: down to where a probability falls to nothing.
_PANELS, _CLOSE, _MOST_HALVINGS = 4, 1e-9, 40
_NODES = 16
# Probabilities that are looked at at once.
_CELLS = 1 << 20
# What sums may be off by, as a share of the sum of sizes, and still be right: models calculate in
# float32.
_ROUNDING = 1e-4
# And what the steps of a mixture's path may miss, as where a probability falls to nothing.
_STEPS = 1e-2
# Probabilities below this count as this much, as in `Mixture.decision_function`.
_TINY = float(np.finfo(np.float32).tiny)


class Attribution(ABC):
    """A learner's scores of one row, and what they are made of.

    Attributes
    ----------
    base, top : float64 arrays, shape (n_topics,)
        The scores of a row of zeros, and of the row.
    method : str
        How scores are shared out, in words.
    """

    base: F64
    top: F64
    method: str

    @abstractmethod
    def shares(self, wanted: F64) -> F64:
        """Return what each of the row's columns adds, shape (n_values,).

        Parameters
        ----------
        wanted : float64 array, shape (n_topics,)
            A factor for each topic's score, such as 1 for one topic and -1 for another.

        Returns
        -------
        Shares whose sum is `(top - base) @ wanted`.
        """


def attribute(learner: Learner, columns: Integers, values: Floats) -> Attribution:
    """Return what a learner's scores of one row are made of.

    Parameters
    ----------
    learner : LinearLearner, NeuralLearner, ShallowLearner, or a Mixture of these
    columns, values : arrays, shape (n_values,)
        The entries of the row.

    Raises
    ------
    OptionError : if it is a learner of another kind.
    """
    doubles = values.astype(np.float64)
    if isinstance(learner, LinearLearner):
        return _Linear(learner, columns, doubles)
    if isinstance(learner, NeuralLearner | ShallowLearner):
        return _Net(learner.network, columns, doubles)
    if isinstance(learner, Mixture):
        return _Mixed(learner, [attribute(part, columns, values) for part in learner.learners])
    raise OptionError(
        f"`learner` is {short_repr(learner)}, which can't be explained; linear learners, nets and "
        "mixtures of them can."
    )


class _Linear(Attribution):
    """A term adds its weight times its value: there is nothing to choose."""

    method = "each term's weight times its value"

    def __init__(self, learner: LinearLearner, columns: Integers, values: F64) -> None:
        self._values = values
        self._weights = learner.weights_of(columns)
        self.base = learner.biases.astype(np.float64)
        self.top = self.base + values @ self._weights

    def shares(self, wanted: F64) -> F64:
        return self._values * (self._weights @ wanted)


class _Net(Attribution):
    """Differences from a row of zeros are handed back layer by layer.

    A unit of a hidden layer hands on what its output differs by, in proportion to what made its
    input differ. With one hidden layer these are integrated gradients (Sundararajan, Taly and Yan,
    2017), without their approximation.

    References
    ----------
    Shrikumar, Greenside and Kundaje (2017), Learning important features through propagating
    activation differences: the Rescale rule of DeepLIFT.
    """

    method = "DeepLIFT's Rescale rule, from an empty text"

    def __init__(self, network: DenseStack, columns: Integers, values: F64) -> None:
        self._values = values
        first, *rest = network.weights
        self._first = first[columns].astype(np.float64)
        self._outer = [array.astype(np.float64) for array in rest[1::2]]
        biases = [array.astype(np.float64) for array in rest[0::2]]
        self._slopes: list[F64] = []
        low, high = biases[0], biases[0] + values @ self._first
        hidden = zip(network.layers[:-1], self._outer, biases[1:], strict=True)
        for layer, weights, bias in hidden:
            before, after = _output(layer, low), _output(layer, high)
            self._slopes.append(_slopes(low, high, before, after))
            low, high = before @ weights + bias, after @ weights + bias
        self.base, self.top = low, high

    def shares(self, wanted: F64) -> F64:
        for weights, slopes in zip(reversed(self._outer), reversed(self._slopes), strict=True):
            wanted = (weights @ wanted) * slopes
        return self._values * (self._first @ wanted)


def _output(layer: Dense, inputs: F64) -> F64:
    """Return the output of a hidden layer, as `DenseStack.decision_function` has it."""
    return np.minimum(np.maximum(inputs, 0) if layer.activation == "relu" else inputs, MAX_SIGNAL)


def _slopes(low: F64, high: F64, before: F64, after: F64) -> F64:
    """Return by how much outputs differ for a difference of inputs."""
    differs = high != low
    return np.divide(after - before, high - low, out=np.zeros_like(low), where=differs)


class _Mixed(Attribution):
    """The logarithm of a mean of probabilities is shared out among the learners' scores.

    Along a straight line from the scores of an empty text to those of the row, each score of each
    learner gets the sum of the gradients on the way; the learner shares that out among the columns.

    References
    ----------
    Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks: integrated
    gradients. The chain rule is that of DeepLIFT; see `_Net`.
    """

    def __init__(self, mixture: Mixture, parts: list[Attribution]) -> None:
        self._parts = parts
        self._calibrations = [_calibration(learner) for learner in mixture.learners]
        self._weights = np.array(mixture.shares) / sum(mixture.shares)
        self.base, self.top = (self._scores(np.array([[at]]))[0] for at in (0.0, 1.0))
        kinds = dict.fromkeys(part.method for part in parts)
        self.method = (
            f"integrated gradients over the learners' scores, which are {' or '.join(kinds)}"
        )

    def shares(self, wanted: F64) -> F64:
        found = [np.zeros_like(part.base) for part in self._parts]
        edges = np.linspace(0, 1, _PANELS + 1)
        panels = np.stack([edges[:-1], edges[1:]], axis=1)
        for halving in range(_MOST_HALVINGS + 1):
            own = self._gradients(wanted, panels)
            ends = self._scores(panels.reshape(-1, 1)) @ wanted
            missing = self._sums(own) - (ends[1::2] - ends[::2])
            is_off = (np.abs(missing) > _CLOSE) & (halving < _MOST_HALVINGS)
            for sums, gradients in zip(found, own, strict=True):
                sums += gradients[~is_off].sum(axis=0)
            if not is_off.any():
                break
            starts, stops = panels[is_off].T
            middles = (starts + stops) / 2
            panels = np.stack([[starts, middles], [middles, stops]]).transpose(0, 2, 1)
            panels = panels.reshape(-1, 2)
        shares = sum(part.shares(own) for part, own in zip(self._parts, found, strict=True))
        total = float((self.top - self.base) @ wanted)
        return adjust_to_sum(np.asarray(shares), total, most=_STEPS)

    def _sums(self, gradients: list[F64]) -> F64:
        """Return what gradients of panels come to, shape (n_panels,)."""
        pairs = zip(self._parts, gradients, strict=True)
        return np.asarray(sum(own @ (part.top - part.base) for part, own in pairs))

    def _scores(self, at: F64) -> F64:
        return np.log(np.maximum(self._mean(self._on_the_way(at)), _TINY))

    def _mean(self, scores: list[Any]) -> F64:
        """Return mean probabilities of rows of scores of each learner."""
        proba = [c.proba(s) for c, s in zip(self._calibrations, scores, strict=True)]
        return np.tensordot(self._weights, np.array(proba), axes=1)

    def _on_the_way(self, at: F64) -> list[Any]:
        """Return each learner's scores at shares of the way, given as a column."""
        return [part.base + at * (part.top - part.base) for part in self._parts]

    def _gradients(self, wanted: F64, panels: F64) -> list[F64]:
        """Return each panel's part of the mean gradient with respect to each learner's scores.

        Parameters
        ----------
        wanted : float64 array, shape (n_topics,)
        panels : float64 array, shape (n_panels, 2)
            Where each begins and ends, as shares of the way.

        Returns
        -------
        list of float64 array, shape (n_panels, n_topics), one for each learner
        """
        nodes, sizes = np.polynomial.legendre.leggauss(_NODES)
        step = max(1, _CELLS // (_NODES * len(wanted)))
        parts: list[list[F64]] = [[] for _ in self._parts]
        for first in range(0, len(panels), step):
            starts, stops = panels[first : first + step, :, np.newaxis].transpose(1, 0, 2)
            at = starts + (nodes + 1) / 2 * (stops - starts)
            scores = self._on_the_way(at.reshape(-1, 1))
            mean = self._mean(scores)
            pull = np.where(mean > _TINY, wanted / np.maximum(mean, _TINY), 0)
            pull *= (sizes / 2 * (stops - starts)).reshape(-1, 1)
            each = zip(self._calibrations, scores, self._weights, parts, strict=True)
            for calibration, own, weight, found in each:
                pulled = weight * _pulled(calibration, own, pull)
                found.append(pulled.reshape(len(at), _NODES, -1).sum(axis=1))
        return [np.concatenate(found) for found in parts]


def _calibration(learner: Learner) -> Calibration:
    """Return what makes probabilities of the learner's scores."""
    if isinstance(learner, LinearLearner):
        return learner.calibration
    return Calibration(learner.inverse_temperature if isinstance(learner, Mixture) else 1.0)


def _pulled(calibration: Calibration, scores: Any, pull: F64) -> F64:
    """Return the gradient of each row's sum of probabilities times `pull`."""
    total = np.zeros_like(scores)
    for share, factor in _softmaxes(calibration):
        proba = softmax(scores * factor)
        mean = (proba * pull).sum(axis=1, keepdims=True)
        total += share * factor * (proba * (pull - mean))
    return total


def _softmaxes(calibration: Calibration) -> list[tuple[float, float]]:
    """Return the weight and the inverse temperature of each softmax in probabilities.

    They are rounded as `Calibration.proba` has them.
    """
    factor, uniform_weight, flat_weight = calibration
    total = float(np.float32(1 - uniform_weight))
    if not flat_weight:
        return [(total, float(np.float32(factor)))]
    flat = float(np.float32(factor / 3))
    shares = (float(np.float32(share)) for share in (1 - flat_weight, flat_weight))
    return [(total * share, factor) for share, factor in zip(shares, (3 * flat, flat), strict=True)]


def adjust_to_sum(shares: F64, total: float, most: float = _ROUNDING) -> F64:
    """Return shares with what their sum misses the total by added, in proportion to their size.

    If they miss it by more than `most`, a share of the sum of their sizes, they stay as they are:
    this is for rounding, and hides no error.
    """
    sizes = np.abs(shares)
    missing = total - shares.sum()
    if abs(missing) > most * sizes.sum() or not missing:
        return shares
    return shares + sizes * (missing / sizes.sum())


# From columns to words: where in a text the terms of each column stand ----------------------------


class WordAttribution(NamedTuple):
    """What each word and phrase of a text counts.

    Attributes
    ----------
    starts, ends : int arrays, shape (n_places,)
        Where it is in the buffer of the text's `Words`.
    values : float64 array, shape (n_places,)
        None is 0.
    """

    starts: Integers
    ends: Integers
    values: F64


def attribute_to_words(
    words: Words, features: Features, columns: Integers, shares: F64
) -> WordAttribution:
    """Share out what columns count among the places in a text that they were counted at.

    A column's share is split evenly over all places of its terms. What runs of characters count
    goes to their word. In scripts without spaces, where a "word" is a whole stretch, each run stays
    a phrase of its own, and so does each pair of neighbouring words everywhere.

    Parameters
    ----------
    words : Words
        Those of the text.
    features : Features
    columns : int array, shape (n_values,)
        The row's columns in ascending order.
    shares : float64 array, shape (n_values,)
        What each of them counts.

    Returns
    -------
    Shares, whose sum is that of `shares`.
    """
    on_words = np.zeros(len(words))
    parts = [WordAttribution(words.starts, words.ends, on_words)]
    first = 0
    for block, vocabulary in zip(features.blocks, features.vocabularies_, strict=True):
        terms = KINDS[block.kind].find(words)
        values = _on_spans(terms, vocabulary.columns_of_spans(terms), first, columns, shares)
        first += vocabulary.n_columns
        if block.kind == "characters":
            folded, runs = _fold(words, terms, values)
            on_words += folded
            parts.append(runs)
        elif block.kind == "bigrams":
            parts.append(WordAttribution(words.starts[:-1], words.ends[1:], values[terms.groups]))
        else:  # the lead is the first words
            on_words[: len(terms.groups)] += values[terms.groups]
    return merge_attributions(parts)


def _on_spans(
    terms: GroupedTerms, found: npt.NDArray[np.int32], first: int, columns: Integers, shares: F64
) -> F64:
    """Return what each span counts at each place where it stands, shape (n_spans,)."""
    known = np.flatnonzero(found >= 0)
    # Every known term of the text has an entry in its row.
    entries = np.searchsorted(columns, found[known] + first)
    n_places = np.bincount(entries, weights=terms.counts()[known], minlength=len(columns))
    each = shares / np.maximum(n_places, 1)
    values = np.zeros(len(found))
    values[known] = each[entries]
    return values


def _fold(words: Words, terms: GroupedTerms, values: F64) -> tuple[F64, WordAttribution]:
    """Return what runs count for each word, and those of scripts without spaces on their own."""
    distinct, _ = words.distinct
    n_runs = row_lengths(terms.spans.indptr)
    owner = np.arange(len(distinct)).repeat(n_runs)
    is_phrase = is_unspaced(np.frombuffer(words.buffer, dtype=np.uint8), distinct.starts)
    word_values = values * ~is_phrase[owner]
    folded = np.bincount(owner, word_values, len(distinct)).astype(np.float64, copy=False)
    places = np.flatnonzero(is_phrase[terms.groups])
    groups = terms.groups[places]
    runs = ranges(terms.spans.indptr[groups], n_runs[groups])
    # From where the run was first seen to where it stands now.
    moved = (words.starts[places] - distinct.starts[groups]).repeat(n_runs[groups])
    phrases = WordAttribution(
        terms.spans.starts[runs] + moved, terms.spans.ends[runs] + moved, values[runs]
    )
    return folded[terms.groups], phrases


def merge_attributions(parts: list[WordAttribution]) -> WordAttribution:
    """Return all shares that are not 0 as one, each place once."""
    starts, ends, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    kept = values != 0
    starts, ends, values = starts[kept], ends[kept], values[kept]
    # A word of one character is a run as well.
    order = np.lexsort((ends, starts))
    starts, ends, values = starts[order], ends[order], values[order]
    is_new = np.ones(len(starts), dtype=bool)
    is_new[1:] = (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
    places = np.flatnonzero(is_new)
    if len(places) < len(values):
        values = np.add.reduceat(values, places)
    return WordAttribution(starts[places], ends[places], values)
