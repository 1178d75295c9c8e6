"""Explanations of scores: highlighted words for and against a topic, with training examples."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.wording import TitledRows, counted
from slugline.corpus.documents import Topic
from slugline.errors import DataError
from slugline.model.decision import format_under

if TYPE_CHECKING:
    from markupsafe import Markup


# Highlighted texts --------------------------------------------------------------------------------

# Words below this fraction of the strongest one, mostly function words, are omitted.
_MIN_STRENGTH = 0.1
# Sums below this fraction of the largest one are rounding errors.
_ROUNDING = 1e-9
# Control characters and lone surrogates: HTML can't contain them, or browsers don't show them.
_INVISIBLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

# Number of distinguishable steps of strength. They are CSS classes: a strict content security
# policy forbids inline styles.
_STEPS = 9
#: Style sheet for `highlight`. A page may set the colours `--for` and `--against`. Words for the
#: topic are underlined with a solid line, words against it with a dashed line.
STYLE = """\
.highlighted { white-space: pre-wrap; overflow-wrap: anywhere; }
.highlighted mark { --own: var(--for, #2f81c8); border-radius: 0.125em; background: color-mix(in srgb, var(--own) calc(6% + 38% * var(--strength)), transparent); color: inherit; text-decoration: underline solid 0.1em color-mix(in srgb, var(--own) calc(25% + 75% * var(--strength)), transparent); text-underline-offset: 0.2em; text-decoration-skip-ink: none; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.highlighted mark.against { --own: var(--against, #d9622b); text-decoration-style: dashed; }
"""  # noqa: E501
STYLE += "".join(
    f".highlighted .s{step} {{ --strength: {step / _STEPS:.2f}; }}\n"
    for step in range(1, _STEPS + 1)
)


def highlight(text: str, spans: Iterable[tuple[int, int, float]]) -> Markup:
    """Return a text with marked words as safe HTML: a `<bdi class="highlighted">`.

    The page must include `STYLE`.

    Parameters
    ----------
    text : str
    spans : iterable of (start, end, attribution)
        Positive attributions are for the topic, negative ones against it. Overlapping spans are
        added. The largest attribution in the text gets the strongest mark.

    Raises
    ------
    DataError : if a span is not within the text, or an attribution is not finite.
    """
    from markupsafe import Markup

    marked = merge_spans(text, spans)
    largest = max((abs(attribution) for *_, attribution in marked), default=0)
    parts, last = [], 0
    for start, end, attribution in marked:
        if abs(attribution) <= _MIN_STRENGTH * largest:
            continue
        parts += [
            _printable(text[last:start]),
            _mark(_printable(text[start:end]), attribution, largest),
        ]
        last = end
    parts.append(_printable(text[last:]))
    return Markup('<bdi class="highlighted">{}</bdi>').format(Markup("").join(parts))


def _mark(word: str, attribution: float, largest: float) -> Markup:
    from markupsafe import Markup

    mark = Markup('<mark class="{} s{}" title="{:+.3g}">{}</mark>')
    side = "for" if attribution > 0 else "against"
    step = math.ceil(_STEPS * abs(attribution) / largest)
    return mark.format(side, step, attribution, word)


def merge_spans(text: str, spans: Iterable[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Return disjoint spans of the text, each with the sum of the attributions there."""
    starts: dict[int, list[float]] = {}
    ends: dict[int, list[float]] = {}
    for start, end, attribution in spans:
        if not 0 <= start < end <= len(text) or not math.isfinite(attribution):
            raise DataError(
                f"span from {start} to {end} with attribution {attribution}, in a text of "
                f"{counted(len(text), 'character')}; pass spans within it and finite attributions."
            )
        starts.setdefault(start, []).append(attribution)
        ends.setdefault(end, []).append(attribution)
    attributions = itertools.chain.from_iterable(starts.values())
    least = _ROUNDING * max(map(abs, attributions), default=0)
    merged, n_open, total = [], 0, 0.0
    for start, end in itertools.pairwise(sorted({*starts, *ends})):
        started, ended = starts.get(start, []), ends.get(start, [])
        n_open += len(started) - len(ended)
        total = total + sum(started) - sum(ended) if n_open else 0.0
        if abs(total) > least:
            merged.append((start, end, total))
    return merged


def _printable(text: str) -> str:
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


# Explanations -------------------------------------------------------------------------------------

# The number of words in the table of a notebook.
_N_WORDS = 12
# The number of characters of its text.
_N_CHARACTERS = 4000


class Reason(NamedTuple):
    """A part of a score.

    Attributes
    ----------
    word : str
        The normalized word or phrase, in lower case, or a description of another part of the score.
    start, end : int or None
        The word is `text[start:end]`; None for other parts.
    attribution : float
        Contribution to the score; negative if it speaks against the topic.
    """

    word: str
    start: int | None
    end: int | None
    attribution: float


class WordAttribution(NamedTuple):
    """Sum of a word's attributions over its places; other parts of a score have no places."""

    word: str
    n_places: int
    attribution: float


class TrainingExample(NamedTuple):
    """A training document.

    Attributes
    ----------
    row : int
        Index of the document.
    text : str
    topic : Topic
    similarity : float
        See `explain`.
    place : str
        Place in the source, such as "line 13".
    """

    row: int
    text: str
    topic: Topic
    similarity: float
    place: str


@dataclass(frozen=True, repr=False)
class Explanation(TitledRows):
    """Explanation of a text's score, the sum of `bias` and the attributions of all `reasons`.

    Attributes
    ----------
    text : str
    topic : str or int
    against : str or int or None
        Topic whose score is subtracted, if any.
    score : float
        As in `decision_function`.
    bias : float
        Score of an empty text.
    probability : float
        Probability of `topic`.
    reasons : tuple of Reason
        Strongest first; the last one sums up unlisted words.
    n_words : int
        Number of words; a run of characters in a script without spaces counts as one.
    n_unlisted : int
        Number of places of words and phrases in the last reason.
    method : str
        Description of the attribution method.
    is_approximate : bool
        True if a mixture's scores were too large for exact attributions.
    examples : tuple of TrainingExample
        Nearest training documents of the topic, if documents were passed.
    threshold : float or None
        Minimum probability at which a multilabel model gives the topic.
    is_given : bool or None
        True if a multilabel model gives the topic; None for other models.
    others : tuple of Explanation
        Explanations of the other given topics, if no topic was named.
    """

    text: str = field(repr=False)
    topic: Topic
    against: Topic | None
    score: float
    bias: float
    probability: float
    reasons: tuple[Reason, ...]
    n_words: int
    n_unlisted: int
    method: str
    is_approximate: bool = False
    examples: tuple[TrainingExample, ...] = ()
    threshold: float | None = None
    is_given: bool | None = None
    others: tuple[Explanation, ...] = ()

    @property
    def title(self) -> str:
        """Return the title, such as "Why sport, not arts"."""
        beginning = "What speaks for" if self.is_given is False else "Why"
        against = "" if self.against is None else f", not {self.against}"
        return f"{beginning} {self.topic}{against}"

    @property
    def verdict(self) -> str:
        """Reason that a multilabel model gives or withholds the topic; empty for other models."""
        if self.is_given is None:
            return ""
        if self.threshold is None:
            return (
                "given: on the most likely path"
                if self.is_given
                else "not given: on no likely path"
            )
        if math.isinf(self.threshold):
            return "not given: no answer with this topic is sure enough"
        is_over = np.float32(self.probability) >= np.float32(self.threshold)
        if self.is_given:
            why = f"from {self.threshold:.2f} on" if is_over else "as the most likely topic"
            return f"given {why}"
        if is_over:
            return "not given: the model is unsure of the text"
        return f"not given: {format_under(self.probability, self.threshold)}"

    def words(self) -> list[WordAttribution]:
        """Return the attribution of each word, strongest first; unlisted words come last."""
        attributions: defaultdict[tuple[str, bool], float] = defaultdict(float)
        places: Counter[tuple[str, bool]] = Counter()
        n_listed = len(self.reasons) - bool(self.n_unlisted)
        for reason in self.reasons[:n_listed]:
            key = reason.word, reason.start is not None
            attributions[key] += reason.attribution
            places[key] += key[1]
        words = [
            WordAttribution(key[0], places[key], attribution)
            for key, attribution in attributions.items()
        ]
        words.sort(key=lambda word: (-abs(word.attribution), word.word))
        return words + [
            WordAttribution(last.word, 0, last.attribution) for last in self.reasons[n_listed:]
        ]

    def to_records(self) -> list[dict[str, Any]]:
        """Return words and phrases with their attributions, strongest first.

        For a multilabel model, each record also contains the topic.
        """
        if self.is_given is None:
            return [word._asdict() for word in self.words()]
        return [
            {"topic": part.topic} | word._asdict()
            for part in (self, *self.others)
            for word in part.words()
        ]

    def spans(self) -> list[tuple[int, int, float]]:
        """Return spans of words with their attributions, for `highlight`."""
        return [
            (reason.start, reason.end, reason.attribution)
            for reason in self.reasons
            if reason.start is not None and reason.end is not None
        ]

    def totals(
        self, max_words: int = _N_WORDS, min_strength: float = _MIN_STRENGTH
    ) -> tuple[list[WordAttribution], list[tuple[str, float]]]:
        """Return the strongest words, and the names and attributions of other parts of the score.

        The other parts are the sum of all other words, the bias, and the total. Words below
        `min_strength` times the strongest attribution count as other words.
        """
        words = self.words()
        strongest = max((abs(word.attribution) for word in words if word.n_places), default=0)
        n = sum(abs(word.attribution) >= min_strength * strongest for word in words[:max_words])
        others = words[n:]
        name = "all others" if self.n_unlisted else counted(len(others), "other")
        rows = [(name, sum(word.attribution for word in others))] if others else []
        return words[:n], [
            *rows,
            ("baseline: an empty text", self.bias),
            ("score: the sum of these", self.score),
        ]

    def summary(self) -> list[tuple[str, str]]:
        """Return pairs of attribution and name: the strongest words, the others, bias and score."""
        words, totals = self.totals()
        rows = [(format_word(word), word.attribution) for word in words]
        return [(format_attribution(attribution), name) for name, attribution in [*rows, *totals]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without the text, which may be long."""
        return {
            "topic": self.topic,
            **({} if self.against is None else {"against": self.against}),
            "probability": self.probability,
            "score": self.score,
            "bias": self.bias,
            "n_words": self.n_words,
            "n_unlisted": self.n_unlisted,
            "method": self.method,
            **({"is_approximate": True} if self.is_approximate else {}),
            "reasons": [reason._asdict() for reason in self.reasons],
            **({"examples": [e._asdict() for e in self.examples]} if self.examples else {}),
            **({} if self.is_given is None else self._decision()),
        }

    def _decision(self) -> dict[str, Any]:
        threshold = self.threshold if np.isfinite(self.threshold or 0) else None
        others = [other.to_dict() for other in self.others]
        return {"given": self.is_given, "threshold": threshold, "others": others}

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        return self.title, self.summary()

    def _repr_html_(self) -> str:
        table = super()._repr_html_()
        return f"<style>{STYLE}</style><p>{self.to_html(_N_CHARACTERS)}</p>{table}"

    def to_html(self, max_characters: int) -> Any:
        """Return the first `max_characters` characters of the text as HTML with marked words."""
        spans = [span for span in self.spans() if span[1] <= max_characters]
        text = self.text if len(self.text) <= max_characters else f"{self.text[:max_characters]}…"
        return highlight(text, spans)


def format_attribution(attribution: float) -> str:
    """Return an attribution with its sign.

    >>> format_attribution(0.25), format_attribution(-0.25), format_attribution(-0.0001)
    ('+0.250', '−0.250', '+0.000')
    """
    return f"{attribution:+z.3f}".replace("-", "−")


def format_word(word: WordAttribution) -> str:
    """Return a word with its number of places, if several.

    >>> format_word(WordAttribution("wheat", 2, 0.5))
    'wheat (2 times)'
    """
    return word.word if word.n_places < 2 else f"{word.word} ({word.n_places:,} times)"
