"""Decisions: a text's topics, or the reason why the model is unsure, and guesses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from slugline.base.arrays import F32, Index
from slugline.base.wording import percent
from slugline.corpus.documents import Topic

#: Number of guesses for a text if the model is unsure.
N_GUESSES = 3

#: Why a text is not answered: it is blank; it has no words; too many of its words are unknown; the
#: probability is below the topic's threshold; the topic has no threshold, so it is never given; or
#: it has more than twice the largest number of topics in any training document.
UnsureKind = Literal[
    "no_text", "no_words", "unknown_words", "low_probability", "no_threshold", "many_topics"
]


class Unsure(NamedTuple):
    """Why the model is unsure of a text; `str` gives the reason in a few words.

    Attributes
    ----------
    kind : UnsureKind
    n_unknown, n_words : int
        Numbers of unknown words and all words; for "unknown_words".
    probability, threshold : float
        Values for the most likely topic; for "low_probability" and (without threshold)
        "no_threshold".

    Examples
    --------
    >>> str(Unsure("unknown_words", n_unknown=5, n_words=6))
    'unknown words: 5 of 6'
    """

    kind: UnsureKind
    n_unknown: int = 0
    n_words: int = 0
    probability: float = 0.0
    threshold: float = 0.0

    @classmethod
    def from_threshold(cls, probability: float, threshold: float) -> Unsure:
        """Return the reason for a probability under a threshold; infinity means no threshold."""
        if math.isinf(threshold):
            return cls("no_threshold", probability=probability)
        return cls("low_probability", probability=probability, threshold=threshold)

    def __str__(self) -> str:
        if self.kind == "unknown_words":
            return f"unknown words: {self.n_unknown} of {self.n_words}"
        if self.kind == "no_threshold":
            return f"probability {self.probability:.2f}; no answer with this topic is sure enough"
        if self.kind == "low_probability":
            return format_under(self.probability, self.threshold)
        if self.kind == "many_topics":
            return "too many topics are likely"
        return self.kind.replace("_", " ")


def format_under(probability: float, threshold: float) -> str:
    """Return "probability ... is under ...", with enough digits to show the difference."""
    gap = np.float32(threshold) - np.float32(probability)
    digits = next((n for n in range(2, 7) if round(gap, n) > 0), 7)
    return f"probability {probability:.{digits}f} is under {threshold:.{digits}f}"


class Decision(NamedTuple):
    """The prediction for one text.

    Attributes
    ----------
    topic : str, int or None
        The topic given, or the most likely of them; None if none is given.
    probability : float
        Probability of the most likely topic, even if the model is unsure.
    reason : Unsure or None
        Why no topic is given. None if the model is sure, even if sure that there is no topic.
    top : list of (topic, probability)
        The best guesses, most likely first, including at least all topics given.
    topics : list of topics, or None
        The topics from a multilabel model, most likely first; only the deepest ones if topics are
        paths. None for other models.
    """

    topic: Topic | None
    probability: float
    reason: Unsure | None
    top: list[tuple[Topic, float]]
    topics: list[Topic] | None = None

    @property
    def probabilities(self) -> list[float]:
        """Probabilities of `topics`, in the same order; empty if no topics are given."""
        return [probability for topic, probability in self.top if topic in (self.topics or ())]


def describe_unsure(decision: Decision) -> str:
    """Describe why a model is unsure of a text, with its best guesses.

    >>> describe_unsure(Decision(None, 0.5, Unsure("no_words"), [("a", 0.5), ("b", 0.25)]))
    'unsure (no words); best guesses: a 50 %, b 25 %'
    """
    guesses = ", ".join(f"{topic} {percent(probability, 0)}" for topic, probability in decision.top)
    return f"unsure ({decision.reason}); best guesses: {guesses}"


# Guesses ------------------------------------------------------------------------------------------


def most_likely(
    proba: F32, n_guesses: int, names: Sequence[Topic]
) -> list[list[tuple[Topic, float]]]:
    """Return the `n_guesses` most likely topics of each text with their probabilities, in order."""
    best = _best(proba, n_guesses)
    highest = proba[np.arange(len(proba))[:, np.newaxis], best]
    topics = [names[number] for number in best.ravel().tolist()]
    guesses = list(zip(topics, highest.ravel().tolist(), strict=True))
    n_each = best.shape[1]
    return [guesses[first : first + n_each] for first in range(0, len(guesses), n_each)]


def _best(proba: F32, n_guesses: int) -> Index:
    """Return the columns of the most likely topics of each row; ties go to the first column."""
    if n_guesses > N_GUESSES:
        return np.argsort(-proba, axis=1, kind="stable")[:, :n_guesses]
    best, remaining, rows = [], proba.copy(), np.arange(len(proba))
    for _ in range(min(n_guesses, proba.shape[1])):  # avoids a full sort
        best.append(remaining.argmax(axis=1))
        remaining[rows, best[-1]] = -1
    return np.array(best).T
