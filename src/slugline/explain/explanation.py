"""Why a text gets a score: the words for and against, as a value that shows itself."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64
from slugline.base.words import counted, format_lines
from slugline.corpus.documents import Topic, check_documents
from slugline.errors import DataError
from slugline.model.fitted import Fitted

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "STYLE",
    "Explanation",
    "Reason",
    "TrainingExample",
    "WordShare",
    "highlight",
    "merge_spans",
    "nearest_documents",
]


# A text whose words are marked by how much they speak for something or against it, as HTML --------

# Marks that are fainter than this share of the strongest one are left out: nobody would see them.
_FAINTEST = 0.05
# Sums that are less than this share of the largest span's are what rounding left of nothing.
_ROUNDED = 1e-9
# What HTML can't hold, or a browser would not show: control characters and halves of characters.
_UNSHOWN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

# Steps of strength: more could not be told apart. They are classes, as a page with a strict content
# policy allows no style of a single mark.
_STEPS = 9
#: The rules for what `highlight` returns. A page may say which colours: `--for` and `--against`.
#: Lines under the words tell the two apart as well: solid for, dashed against.
STYLE = """\
.highlighted { white-space: pre-wrap; overflow-wrap: anywhere; }
.highlighted mark { --own: var(--for, #2f81c8); border-radius: 0.125em; background: color-mix(in srgb, var(--own) calc(6% + 38% * var(--strength)), transparent); color: inherit; text-decoration: underline solid 0.1em var(--own); text-underline-offset: 0.2em; text-decoration-skip-ink: none; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.highlighted mark.against { --own: var(--against, #d9622b); text-decoration-style: dashed; }
"""  # noqa: E501
STYLE += "".join(
    f".highlighted .s{step} {{ --strength: {step / _STEPS:.2f}; }}\n"
    for step in range(1, _STEPS + 1)
)


def highlight(text: str, spans: Iterable[tuple[int, int, float]]) -> Markup:
    """Return a text as safe HTML in which words are marked.

    A page needs `STYLE` once. It may stand within a paragraph or a cell; the direction of its
    writing is its own.

    Parameters
    ----------
    text : str
    spans : iterable of (start, end, share)
        `text[start:end]` counts `share`: over 0 if it speaks for something, under 0 if against it.
        Spans may overlap; where they do, their shares are added. The strongest mark is that of the
        largest share in this text, whatever its unit.

    Returns
    -------
    Markup, a `<bdi class="highlighted">`.

    Raises
    ------
    DataError : if a span is not within the text, or a share is not finite.
    """
    from markupsafe import Markup

    marked = merge_spans(text, spans)
    most = max((abs(share) for *_, share in marked), default=0)
    parts, last = [], 0
    for start, end, share in marked:
        if abs(share) <= _FAINTEST * most:
            continue
        parts += [_shown(text[last:start]), _mark(_shown(text[start:end]), share, most)]
        last = end
    parts.append(_shown(text[last:]))
    return Markup('<bdi class="highlighted">{}</bdi>').format(Markup("").join(parts))


def _mark(word: str, share: float, most: float) -> Markup:
    from markupsafe import Markup

    mark = Markup('<mark class="{} s{}" title="{:+.3g}">{}</mark>')
    side, step = "for" if share > 0 else "against", math.ceil(_STEPS * abs(share) / most)
    return mark.format(side, step, share, word)


def merge_spans(text: str, spans: Iterable[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """Return neighbouring pieces of the text, each with the sum of the shares of its spans."""
    beginning: dict[int, list[float]] = {}
    ending: dict[int, list[float]] = {}
    for start, end, share in spans:
        if not 0 <= start < end <= len(text) or not math.isfinite(share):
            raise DataError(
                f"a span from {start} to {end} counts {share}, in a text of "
                f"{counted(len(text), 'character')}; give spans within it and finite shares."
            )
        beginning.setdefault(start, []).append(share)
        ending.setdefault(end, []).append(share)
    shares = itertools.chain.from_iterable(beginning.values())
    least = _ROUNDED * max(map(abs, shares), default=0)
    found, n_open, total = [], 0, 0.0
    for start, end in itertools.pairwise(sorted({*beginning, *ending})):
        begun, ended = beginning.get(start, []), ending.get(start, [])
        n_open += len(begun) - len(ended)
        total = total + sum(begun) - sum(ended) if n_open else 0.0
        if abs(total) > least:
            found.append((start, end, total))
    return found


def _shown(text: str) -> str:
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


# Why a text gets a score: the words for and against, as a value that shows itself -----------------

# Words of which a notebook shows the shares, and characters of which it shows the marks.
_N_WORDS, _N_CHARACTERS = 12, 4000


class Reason(NamedTuple):
    """A part of a score.

    Attributes
    ----------
    word : str
        The word or phrase as the model reads it, in lower case; or what else it is that counts.
    start, end : int or None
        Where it stands in the text, in characters: `text[start:end]`. None for what is no word.
    share : float
        What it adds to the score; under 0 if it speaks against.
    """

    word: str
    start: int | None
    end: int | None
    share: float


class WordShare(NamedTuple):
    """What a word counts at all of its places together.

    Attributes
    ----------
    word : str
    n_places : int
        How often it is among the reasons; 0 for what is no word.
    share : float
    """

    word: str
    n_places: int
    share: float


class TrainingExample(NamedTuple):
    """A document that was learned from.

    Attributes
    ----------
    row : int
        Which of the documents it is, counted from 0.
    text : str
    topic : str or int
    share : float
        How much of what spoke for the topic it has as well; see `slugline.explain.explanation`.
    place : str
        Where it stands in its source, such as "line 13"; see `slugline.corpus.corpus.Corpus`.
    """

    row: int
    text: str
    topic: Topic
    share: float
    place: str


@dataclass(frozen=True, repr=False)
class Explanation:
    """Why a text gets a score: `bias` and the shares of all `reasons` add up to it.

    Attributes
    ----------
    text : str
    topic : str or int
    against : str or int or None
        The other topic, if the score is how far `topic` is above that one.
    score : float
        The model's own, as `decision_function` has it for each topic.
    bias : float
        What an empty text would get.
    probability : float
        Of `topic`.
    reasons : tuple of Reason
        The strongest first, and words that are not listed one by one last, as one reason.
    n_words : int
        How many words the text has; a stretch of a script without spaces is one.
    n_unlisted : int
        How many places of words and phrases are summed up in the last reason.
    method : str
        How the score was shared out.
    examples : tuple of Example
        Documents that spoke most for the topic; empty unless documents were given.
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
    examples: tuple[TrainingExample, ...] = ()

    @property
    def title(self) -> str:
        """What is explained, in words."""
        return f"Why {self.topic}" + ("" if self.against is None else f", not {self.against}")

    def words(self) -> list[WordShare]:
        """Return what each word counts at all of its places together, the strongest first.

        What all those that are not listed count is last.
        """
        shares: Counter[tuple[str, bool]] = Counter()
        places: Counter[tuple[str, bool]] = Counter()
        n_listed = len(self.reasons) - bool(self.n_unlisted)
        for reason in self.reasons[:n_listed]:
            key = reason.word, reason.start is not None
            shares[key] += reason.share  # type: ignore[assignment]
            places[key] += key[1]
        found = [WordShare(key[0], places[key], share) for key, share in shares.items()]
        found.sort(key=lambda each: (-abs(each.share), each.word))
        return found + [WordShare(rest.word, 0, rest.share) for rest in self.reasons[n_listed:]]

    def spans(self) -> list[tuple[int, int, float]]:
        """Return where words stand in the text and what they count, for `highlight`."""
        return [
            (reason.start, reason.end, reason.share)
            for reason in self.reasons
            if reason.start is not None and reason.end is not None
        ]

    def summary(self) -> list[tuple[str, str]]:
        """Return the strongest words, and what adds up to the score, as pairs for a table."""
        words = self.words()
        rest = words[_N_WORDS:]
        rows = [(format_share(each.share), format_word(each)) for each in words[:_N_WORDS]]
        if rest:
            others = "all others" if self.n_unlisted else counted(len(rest), "other")
            rows.append((format_share(sum(each.share for each in rest)), others))
        rows.append((format_share(self.bias), "what an empty text would get"))
        return [*rows, (format_share(self.score), "score: the sum of these")]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; without the text, which may be long."""
        return {
            "topic": self.topic,
            **({} if self.against is None else {"against": self.against}),
            "probability": self.probability,
            "score": self.score,
            "bias": self.bias,
            "n_words": self.n_words,
            "n_unlisted": self.n_unlisted,
            "method": self.method,
            "reasons": [reason._asdict() for reason in self.reasons],
            **({"examples": [e._asdict() for e in self.examples]} if self.examples else {}),
        }

    def __repr__(self) -> str:
        return format_lines(self.title, self.summary())

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td style='text-align: right'>{escape(share)}</td>"
            f"<td style='text-align: left'>{escape(what)}</td></tr>"
            for share, what in self.summary()
        )
        return (
            f"<style>{STYLE}</style><p>{self.marked(_N_CHARACTERS)}</p>"
            f"<table><caption>{escape(self.title)}</caption><tbody>{cells}</tbody></table>"
        )

    def marked(self, most: int) -> Any:
        """Return the text as HTML with its words marked, or its first `most` characters."""
        spans = [span for span in self.spans() if span[1] <= most]
        text = self.text if len(self.text) <= most else f"{self.text[:most]}…"
        return highlight(text, spans)


def format_share(share: float) -> str:
    """Return a share with its sign.

    >>> signed(0.25), signed(-0.25), signed(0.0)
    ('+0.250', '−0.250', '+0.000')
    """
    return f"{share:+.3f}".replace("-", "−")


def format_word(each: WordShare) -> str:
    """Return a word, and how often it is there if it is more than once.

    >>> label(WordShare("wheat", 2, 0.5))
    'wheat (2 times)'
    """
    return each.word if each.n_places < 2 else f"{each.word} ({each.n_places:,} times)"


# The documents that were learned from and spoke most for an answer --------------------------------


def nearest_documents(
    fitted: Fitted,
    texts: Iterable[str],
    topics: Iterable[Topic],
    topic: Topic,
    shares: F64,
    most: int,
    place: Callable[[int], str],
) -> tuple[TrainingExample, ...]:
    """Return the documents of a topic that have most of what spoke for it in a text.

    A document's measure is the sum of its terms' weights in its row, of length 1, times what the
    same terms count in the text: the inner product of both rows in which a term counts the more the
    more the model relies on it. It tells which documents are alike in the model's eyes; it is no
    proof that the model would have said otherwise without them. An encoder's part is left out.

    Parameters
    ----------
    fitted : Fitted
    texts, topics : iterables, a topic for each text
        The documents that it learned from.
    topic : str or int
        Only documents of this topic are looked at.
    shares : float64 array, shape (n_columns,)
        What each column counts in the text.
    most : int
        How many to return.
    place : callable
        Says where a document stands, by its row.

    Raises
    ------
    DataError : if there is not one topic for each text, or no document at all.
    """
    documents, given = check_documents(texts, topics, ("corpus", "corpus"))
    own = [row for row, name in enumerate(given) if str(name) == str(topic)]
    found = [np.zeros(0)]
    for X in fitted.features.transform_parts([documents[row] for row in own]):
        lengths = np.sqrt(np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64)).ravel()
        found.append((X @ shares) / np.where(lengths > 0, lengths, 1))
    measures = np.concatenate(found)
    best = np.argsort(-measures, kind="stable")[:most]
    return tuple(
        TrainingExample(own[i], documents[own[i]], topic, float(measures[i]), place(own[i]))
        for i in best.tolist()
        if measures[i] > 0
    )
