"""Reasons why counts may be wrong, as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64
from slugline.base.wording import counted, join_words, percent
from slugline.counting.estimation import ShareEstimate
from slugline.counting.shares import HeldoutSample
from slugline.text.features import UnknownWordRate, WordCounts

#: A topic with fewer held-out documents is hardly corrected.
MIN_HELDOUT = 10
# Topics that a sentence names.
_MAX_NAMED = 5
# Texts with more unknown words than all but one in a hundred training documents: from this
# fraction on they are named, and from the second on, the language may be another one.
_MANY_UNUSUAL, _MOST_UNUSUAL = 0.05, 0.4
_MIN_UNUSUAL = 5
# A most likely topic with a lower probability is an unsure answer, and such a rise is named.
_UNSURE, _UNSURE_RISE = 0.5, 0.1
# The number of standard errors from which a rise is more than chance.
_Z = 3.0


class TextTotals(NamedTuple):
    """What is summed over texts besides probabilities.

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


def text_concerns(sums: TextTotals, usual: UnknownWordRate | None) -> Iterator[str]:
    """Yield a sentence if many texts have unknown words."""
    if usual is None or sums.n_unusual < _MIN_UNUSUAL or not sums.n_words:
        return
    fraction = sums.n_unusual / sums.n_texts
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
    """Return the groups of texts that may be in another language, so that counts mean nothing."""
    if usual is None:
        return {}
    return {
        name: sums
        for name, sums in groups.items()
        if sums.n_words
        and sums.n_unusual >= min(_MIN_UNUSUAL, sums.n_texts)
        and sums.n_unusual / sums.n_texts >= _MOST_UNUSUAL
    }


def group_concerns(
    unknown_groups: Mapping[str, TextTotals], usual: UnknownWordRate
) -> Iterator[str]:
    """Yield a sentence that names the groups of texts whose counts mean nothing."""
    if not unknown_groups:
        return
    sums = TextTotals()
    for each in unknown_groups.values():
        sums = sums.add(each)
    yield (
        f"Don't believe the counts of {join_words([*unknown_groups], _MAX_NAMED)}: "
        f"{percent(sums.n_unknown / sums.n_words, 0)} of the words are unknown to the model, "
        f"against {percent(usual.rate, 0)} in training. The texts may be in another language, or "
        "about something else. No change from or to these was tested."
    )


def unsure_concerns(sums: TextTotals, sample: HeldoutSample, shares: F64) -> Iterator[str]:
    """Yield a sentence if more answers are unsure than the shares of topics explain."""
    if not len(sample) or not sums.n_texts:
        return
    sizes = sample.topic_sizes
    weights = (shares / np.maximum(sizes, 1))[sample.topics]
    weights = weights / weights.sum()
    expected = float(weights @ (sample.proba.max(axis=1) < _UNSURE))
    n_effective = 1 / float((weights**2).sum())
    found = sums.n_unsure / sums.n_texts
    error = math.sqrt(max(expected * (1 - expected), 0.01) * (1 / n_effective + 1 / sums.n_texts))
    if found > expected + max(_UNSURE_RISE, _Z * error):
        yield (
            f"The model is unsure of {percent(found, 0)} of the texts, and {percent(expected, 0)} "
            "would be usual with these shares: some may have topics that it doesn't know."
        )


def heldout_concerns(samples: Sequence[HeldoutSample], topics: Sequence[str]) -> Iterator[str]:
    """Yield sentences on topics with too few held-out documents."""
    if len(samples) == 1:
        sizes = samples[0].topic_sizes
    else:
        sizes = np.array([sample.topic_sizes[0] for sample in samples])
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
