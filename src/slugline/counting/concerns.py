"""Reasons why counts may be wrong, as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import bdtrc, ndtr, ndtri

from slugline.base.arrays import F32, F64
from slugline.base.checks import short_repr
from slugline.base.wording import counted, have, join_words, percent
from slugline.counting.drift import Drift
from slugline.counting.estimation import ShareEstimate
from slugline.counting.shares import HeldoutSample
from slugline.text.features import UnknownWordRate, WordCounts

#: A topic with fewer held-out documents is hardly corrected.
MIN_HELDOUT = 10
# Topics or groups that a sentence names.
_MAX_NAMED = 5
# Texts with more unknown words than all but one in a hundred training documents: from this
# fraction on they are named, and from the second on, the language may be another one.
_MANY_UNUSUAL, _MOST_UNUSUAL = 0.05, 0.4
# Fewer of them, or of unsure answers, may be chance.
_MIN_UNUSUAL = 5
# A group is named if so many unusual texts would have a smaller probability even at twice the usual
# rate of 1 %. In six counts of training documents that the model had not seen, each in 24 groups,
# this named none.
_SIGNIFICANCE, _HIGH_RATE = 0.01, 0.02
# If all texts are named, a group is named only with so many times their fraction, or excess.
_MIN_RATIO = 2.0
#: With fewer texts, shares say hardly more than what the model answers.
FEW_TEXTS = 10
# A most likely topic with a lower probability is an unsure answer, and such an excess is named.
_UNSURE, _MIN_EXCESS = 0.5, 0.1
# The number of standard errors from which an excess is more than chance.
_Z = 3.0
# The largest drop of the model's confidence, in simulated standard errors, that chance explains. On
# training splits of 21 sets, it is larger for 2 % of sets of 60 texts of which only the shares have
# changed, and for 1 % of sets of 400 or 1,500 texts. Of texts cut to a third, it is for a half.
_MAX_CONFIDENCE_DROP = 1.0
# A smaller drop of the mean probability hardly matters, however sure it is. On training splits of
# ten sets, it left out 2 % of the warnings of sets of 60 and 400 texts cut to a third.
_MIN_DROP = 0.03


class TextTotals(NamedTuple):
    """Sums over texts in addition to probabilities.

    Attributes
    ----------
    n_texts, n_words, n_unknown : int
        Number of texts, of their words, and of words that the model doesn't know.
    n_unusual : int
        Number of texts with more unknown words than usual.
    n_unsure : int
        Number of texts whose most likely topic has a probability under one half.
    """

    n_texts: int = 0
    n_words: int = 0
    n_unknown: int = 0
    n_unusual: int = 0
    n_unsure: int = 0

    @property
    def unusual_fraction(self) -> float:
        """Fraction of texts with more unknown words than usual."""
        return self.n_unusual / max(self.n_texts, 1)

    @classmethod
    def from_batch(cls, proba: F32, words: WordCounts, usual: UnknownWordRate | None) -> TextTotals:
        """Return the sums of a batch of texts."""
        return cls(
            n_texts=len(proba),
            n_words=int(words.n_words.sum()),
            n_unknown=int(words.n_unknown.sum()),
            n_unusual=0 if usual is None else int(usual.are_unusual(words).sum()),
            n_unsure=int(np.count_nonzero(proba.max(axis=1, initial=0) < _UNSURE)),
        )

    def add(self, other: TextTotals) -> TextTotals:
        """Return the sums of both."""
        return TextTotals(
            n_texts=self.n_texts + other.n_texts,
            n_words=self.n_words + other.n_words,
            n_unknown=self.n_unknown + other.n_unknown,
            n_unusual=self.n_unusual + other.n_unusual,
            n_unsure=self.n_unsure + other.n_unsure,
        )


def few_text_concerns(n_texts: int, n_by_group: Sequence[int], noun: str) -> Iterator[str]:
    """Yield a sentence if there are few texts, or few in some groups.

    Parameters
    ----------
    n_texts : int
    n_by_group : sequence of int
        Numbers of texts of the groups.
    noun : str
        What a group is, in the singular.
    """
    if n_texts < FEW_TEXTS:
        yield (
            f"{counted(n_texts, 'text')} {'is' if n_texts == 1 else 'are'} too few for shares to "
            "mean much; read them instead."
        )
        return
    n_few = sum(n < FEW_TEXTS for n in n_by_group)
    if n_few:
        yield (
            f"{n_few:,} of {counted(len(n_by_group), noun)} {have(n_few)} fewer than {FEW_TEXTS} "
            "texts, too few for shares to mean much. No change from or to these was tested."
        )


def text_concerns(sums: TextTotals, usual: UnknownWordRate | None) -> Iterator[str]:
    """Yield a sentence if many texts have unknown words."""
    if usual is None or sums.n_unusual < _MIN_UNUSUAL or not sums.n_words:
        return
    fraction = sums.unusual_fraction
    known = (
        f"{percent(sums.n_unknown / sums.n_words, 0)} of the words are unknown to the model, "
        f"against {percent(usual.rate, 0)} in training"
    )
    if fraction >= _MOST_UNUSUAL:
        yield (
            f"Don't believe these counts: {known}. The texts may be in another language, or about "
            "something else; train on texts like these."
        )
    elif fraction >= _MANY_UNUSUAL:
        yield (
            f"{percent(fraction, 0)} of the texts have more unknown words than 99 % of the "
            f"training texts ({known}): topics may be worded differently now, or be new. Label "
            "some of these texts to check."
        )


def find_unknown_groups(
    groups: Mapping[str, TextTotals], usual: UnknownWordRate | None
) -> dict[str, TextTotals]:
    """Return the groups that may be in another language, which makes counts meaningless."""
    if usual is None:
        return {}
    return {
        name: sums
        for name, sums in groups.items()
        if sums.n_unusual >= _MIN_UNUSUAL and sums.unusual_fraction >= _MOST_UNUSUAL
    }


def group_text_concerns(
    groups: Mapping[str, TextTotals], total: TextTotals, usual: UnknownWordRate | None
) -> Iterator[str]:
    """Yield warnings that list the groups of texts with many unknown words.

    Parameters
    ----------
    groups : mapping of str to TextTotals
    total : TextTotals
        The sums of all texts. If these also have many unknown words, only groups with far more are
        listed.
    usual : UnknownWordRate or None
    """
    if usual is None:
        return
    unknown = find_unknown_groups(groups, usual)
    if unknown:
        n_words = sum(each.n_words for each in unknown.values())
        n_unknown = sum(each.n_unknown for each in unknown.values())
        yield (
            f"Don't believe the counts of {join_words([*unknown], _MAX_NAMED)}: "
            f"{percent(n_unknown / n_words, 0)} of the words are unknown to the model, "
            f"against {percent(usual.rate, 0)} in training. The texts may be in another language, "
            "or about something else. No change from or to these was tested."
        )
    limit = _MANY_UNUSUAL
    if total.unusual_fraction >= _MANY_UNUSUAL:
        limit = _MIN_RATIO * total.unusual_fraction
    unusual = {
        name: each
        for name, each in groups.items()
        if name not in unknown
        and each.n_unusual >= _MIN_UNUSUAL
        and each.unusual_fraction >= limit
        # More than chance, although many groups are looked at.
        and bdtrc(each.n_unusual - 1, each.n_texts, _HIGH_RATE) < _SIGNIFICANCE / len(groups)
    }
    if unusual:
        n_texts = sum(each.n_texts for each in unusual.values())
        n_unusual = sum(each.n_unusual for each in unusual.values())
        yield (
            f"Of the texts of {join_words([*unusual], _MAX_NAMED)}, "
            f"{percent(n_unusual / n_texts, 0)} have more unknown words than 99 % of the training "
            "texts: topics may be worded differently there, or be new. Label some of these texts "
            "to check."
        )


class _UnsureExcess(NamedTuple):
    """Fraction of unsure answers, and the fraction expected from the topic shares.

    `z_score` is the difference in standard errors.
    """

    fraction: float
    expected: float
    z_score: float

    @property
    def excess(self) -> float:
        return self.fraction - self.expected

    @classmethod
    def from_totals(cls, sums: TextTotals, sample: HeldoutSample, shares: F64) -> _UnsureExcess:
        if not len(sample) or sums.n_unsure < _MIN_UNUSUAL:
            return cls(0.0, 0.0, 0.0)
        weights = (shares / np.maximum(sample.topic_sizes, 1))[sample.topics]
        weights = weights / weights.sum()
        expected = float(weights @ (sample.proba.max(axis=1) < _UNSURE))
        n_effective = 1 / float((weights**2).sum())
        fraction = sums.n_unsure / sums.n_texts
        variance = max(expected * (1 - expected), 0.01) * (1 / n_effective + 1 / sums.n_texts)
        return cls(fraction, expected, (fraction - expected) / math.sqrt(variance))


def drift_concerns(drift: Drift | None) -> Iterator[str]:
    """Yield a warning if texts differ from training documents of the same topics."""
    if drift is not None and drift.is_significant():
        yield (
            "More than the shares of topics has changed since training: the texts differ from the "
            f"training texts of the same topics{_describe_words(drift)}. There may be new topics, "
            "or the texts come from elsewhere. Label a random sample of them, and count with these "
            "labels."
        )


def group_drift_concerns(drifts: Mapping[str, Drift]) -> Iterator[str]:
    """Yield a warning that lists the groups whose texts differ from training documents."""
    found = {name: each for name, each in drifts.items() if each.is_significant(len(drifts))}
    if found:
        clearest = min(found.values(), key=lambda each: each.p_value)
        yield (
            f"The texts of {join_words([*found], _MAX_NAMED)} differ from the training texts of "
            f"the same topics{_describe_words(clearest)}. Label a random sample of them, and count "
            "with these labels."
        )


def _describe_words(drift: Drift) -> str:
    """Return a phrase about the significant words, or an empty string."""
    if not drift.words:
        return ""
    first = drift.words[0]
    names = [short_repr(each.word) for each in drift.words]
    numbers = f"{percent(first.fraction, 0)} of them, not in {percent(first.expected, 0)}"
    if len(names) == 1:
        return f" ({names[0]} is in {numbers})"
    return f" ({names[0]} is in {numbers}; likewise {join_words(names[1:])})"


def unsure_concerns(sums: TextTotals, sample: HeldoutSample, shares: F64) -> Iterator[str]:
    """Yield a sentence if more answers are unsure than the shares of topics explain."""
    unsure = _UnsureExcess.from_totals(sums, sample, shares)
    if unsure.excess > _MIN_EXCESS and unsure.z_score > _Z:
        yield (
            f"The model is unsure of {percent(unsure.fraction, 0)} of the texts, and "
            f"{percent(unsure.expected, 0)} would be usual with these shares: some may have topics "
            "that it doesn't know."
        )


def confidence_concerns(estimate: ShareEstimate) -> Iterator[str]:
    """Yield a sentence if the model is less sure of the texts than the shares of topics explain."""
    drop = estimate.usual_confidence - estimate.confidence
    if drop >= _MIN_DROP and estimate.confidence_drop > _MAX_CONFIDENCE_DROP:
        yield (
            "The model is less sure of these texts than if only shares had changed: their most "
            f"likely topics have a probability of {percent(estimate.confidence, 0)} on average, "
            f"and {percent(estimate.usual_confidence, 0)} would be usual. They may be worded "
            "differently, or have other topics. Label a random sample of them to check."
        )


def group_unsure_concerns(
    groups: Mapping[str, TextTotals],
    sample: HeldoutSample,
    shares: Mapping[str, F64],
    *,
    total: TextTotals,
    total_shares: F64,
) -> Iterator[str]:
    """Yield a warning that lists the groups with more unsure answers than usual.

    Parameters
    ----------
    groups : mapping of str to TextTotals
    sample : HeldoutSample
    shares : mapping of str to float64 array, shape (n_topics,)
        The shares in the groups to look at.
    total, total_shares : TextTotals, float64 array
        Sums and shares of all texts. If these also have more unsure answers than usual, only groups
        with far more are listed.
    """
    all_texts = _UnsureExcess.from_totals(total, sample, total_shares)
    limit = max(_MIN_EXCESS, _MIN_RATIO * all_texts.excess if all_texts.excess > _MIN_EXCESS else 0)
    # As unlikely by chance as for all texts, although many groups are looked at.
    min_z_score = -float(ndtri(ndtr(-_Z) / max(len(shares), 1)))
    excesses = {
        name: _UnsureExcess.from_totals(groups[name], sample, each) for name, each in shares.items()
    }
    unsure = {
        name: each
        for name, each in excesses.items()
        if each.excess > limit and each.z_score > min_z_score
    }
    if unsure:
        n_texts = np.array([groups[name].n_texts for name in unsure], dtype=np.float64)
        weights = n_texts / n_texts.sum()
        fraction = float(weights @ [each.fraction for each in unsure.values()])
        expected = float(weights @ [each.expected for each in unsure.values()])
        yield (
            f"The model is unsure of {percent(fraction, 0)} of the texts of "
            f"{join_words([*unsure], _MAX_NAMED)}, and {percent(expected, 0)} would be usual with "
            "their shares: some may have topics that it doesn't know."
        )


def heldout_concerns(samples: Sequence[HeldoutSample], topics: Sequence[str]) -> Iterator[str]:
    """Yield sentences on topics with too few held-out documents."""
    sizes = np.concatenate([sample.topic_sizes[: sample.n_model_topics] for sample in samples])
    for few, what in (
        ([t for t, n in zip(topics, sizes, strict=True) if n == 0], "no held-out document"),
        (
            [t for t, n in zip(topics, sizes, strict=True) if 0 < n < MIN_HELDOUT],
            f"fewer than {MIN_HELDOUT} held-out documents",
        ),
    ):
        if few:
            yield (
                f"{counted(len(few), 'topic')} ({join_words(few, _MAX_NAMED)}) had {what} in "
                "training, so that the model's errors there are hardly known: label more texts of "
                f"{'it' if len(few) == 1 else 'them'} before you rely on "
                f"{'its' if len(few) == 1 else 'their'} counts."
            )


def shift_concerns(estimates: Sequence[ShareEstimate], topics: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if two ways to count disagree by more than chance."""
    disagreeing = [i for i, each in enumerate(estimates) if each.disagreement > 1]
    if not disagreeing:
        return
    about = ""
    if len(estimates) > 1:
        about = f" for {join_words([topics[i] for i in disagreeing], _MAX_NAMED)}"
    yield (
        f"Two ways to count disagree by more than chance{about}: more than the shares of topics "
        "has changed since training, such as how people write about them. Label a random sample "
        "of these texts to check."
    )


def group_shift_concerns(
    groups: Mapping[str, Sequence[ShareEstimate]], total: Sequence[ShareEstimate]
) -> Iterator[str]:
    """Yield a sentence that names the groups for which two ways to count disagree.

    Not those that disagree less than all texts do.
    """
    limit = max([1.0, *(each.disagreement for each in total)])
    shifted = [
        name
        for name, estimates in groups.items()
        if any(each.disagreement > limit for each in estimates)
    ]
    if shifted:
        yield (
            f"Two ways to count disagree by more than chance in {join_words(shifted, _MAX_NAMED)}: "
            "more than the shares of topics has changed there since training, such as how people "
            "write about them. Label a random sample of these texts to check."
        )
