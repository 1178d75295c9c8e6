"""What the page says of one text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from slugline.explain import explain
from slugline.explain.explanation import WordShare
from slugline.labels import Topic
from slugline.report.words import percent, typeset
from slugline.routing import NO_TEXT, Route
from slugline.served import ServedModel

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Answer", "answer_text"]

#: Topics that are shown at once; the others are behind a click.
N_SHOWN = 5
# Characters of the text that are shown with marks.
_MOST_MARKED = 20_000
# Words that are named on either side, and characters of one of them.
_N_WORDS, _LONGEST_WORD = 6, 40
_UNKNOWN = re.compile(r"unknown words: (\d+) of (\d+)")


class Bar(NamedTuple):
    """A topic, how probable it is, and whether it is the one whose words are marked."""

    topic: Topic
    probability: float
    is_chosen: bool

    @property
    def width(self) -> str:
        """Its share of the widest bar that there can be, for an attribute."""
        return f"{100 * self.probability:.1f}%"


class Answer(NamedTuple):
    """The answer to a text, and why.

    Attributes
    ----------
    text : str
    topic : str, int or None
        None if the model is unsure.
    probability : float
        Of the most likely topic.
    why_unsure : str
        A sentence; empty if there is an answer.
    bars : list of Bar
        Topics, the most likely first; all, unless there are very many.
    chosen : str or int
        The topic whose words are marked.
    marked : Markup
        The text, its words marked.
    is_cut : bool
        Whether it is longer than what is shown of it.
    words_for, words_against : list of str
        The strongest of them.
    """

    text: str
    topic: Topic | None
    probability: float
    why_unsure: str
    bars: list[Bar]
    chosen: Topic
    marked: Markup
    is_cut: bool
    words_for: list[str]
    words_against: list[str]

    @property
    def said(self) -> str:
        """The answer in a few words, for who hears the page."""
        if self.topic is None:
            return f"Unsure. {self.why_unsure}"
        return f"{self.topic}, {typeset(percent(self.probability, 0))}"


def answer_text(model: ServedModel, text: str, route: Route, chosen: str | None = None) -> Answer:
    """Return what to say of a text; takes some milliseconds.

    Parameters
    ----------
    model : ServedModel
    text : str
    route : Route
        The model's answer, with all topics to list as guesses.
    chosen : str, optional
        The topic to mark words for; the most likely one by default, and if there is none of it.
    """
    best = route.top[0][0]
    marked = next((topic for topic in model.fitted.topics.names if str(topic) == chosen), best)
    found = explain(model.fitted, text, marked)
    words = found.words()[: len(found.reasons) - bool(found.n_unlisted)]
    return Answer(
        text=text,
        topic=route.topic,
        probability=route.probability,
        why_unsure=_why(route, model) if route.reason else "",
        bars=[Bar(topic, probability, topic == marked) for topic, probability in route.top],
        chosen=marked,
        marked=found.marked(_MOST_MARKED),
        is_cut=len(text) > _MOST_MARKED,
        words_for=_strongest(words, +1),
        words_against=_strongest(words, -1),
    )


def _strongest(words: Iterable[WordShare], sign: int) -> list[str]:
    """Return the strongest words that stand in the text, for or against."""
    found = [each.word for each in words if each.n_places and each.share * sign > 0]
    return [
        word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}…"
        for word in found[:_N_WORDS]
    ]


def _why(route: Route, model: ServedModel) -> str:
    """Return why a model is unsure, as one would say it."""
    reason, probability = route.reason or "", route.probability
    if reason == NO_TEXT:
        return "There is no text."
    unknown = _UNKNOWN.fullmatch(reason)
    if unknown:
        return f"The model doesn't know {unknown[1]} of the {unknown[2]} words."
    threshold = float(model.router.thresholds[model.fitted.topics.names.index(route.top[0][0])])
    if not reason.startswith("probability"):
        return f"{reason[:1].upper()}{reason[1:]}."
    if math.isinf(threshold):
        return "The best guess is a topic of which the model is never sure enough."
    return (
        f"The best guess has {_digits(probability, threshold)}, "
        f"and the model answers from {_digits(threshold, probability)} on."
    )


def _digits(share: float, other: float) -> str:
    """Return a percentage with as many digits as tell it from another."""
    digits = next((n for n in range(5) if f"{100 * share:.{n}f}" != f"{100 * other:.{n}f}"), 5)
    return typeset(percent(share, digits))
