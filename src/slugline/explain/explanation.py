"""Why a text gets a score: the words for and against, as a value that shows itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

from slugline.displays import as_lines, counted
from slugline.labels import Topic
from slugline.marks import STYLE, highlighted

__all__ = ["Example", "Explanation", "Reason", "WordShare"]

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


class Example(NamedTuple):
    """A document that was learned from.

    Attributes
    ----------
    row : int
        Which of the documents it is, counted from 0.
    text : str
    topic : str or int
    share : float
        How much of what spoke for the topic it has as well; see `slugline.explain.examples`.
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
    examples: tuple[Example, ...] = ()

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
        """Return where words stand in the text and what they count, for `highlighted`."""
        return [
            (reason.start, reason.end, reason.share)
            for reason in self.reasons
            if reason.start is not None and reason.end is not None
        ]

    def summary(self) -> list[tuple[str, str]]:
        """Return the strongest words, and what adds up to the score, as pairs for a table."""
        words = self.words()
        rest = words[_N_WORDS:]
        rows = [(signed(each.share), label(each)) for each in words[:_N_WORDS]]
        if rest:
            others = "all others" if self.n_unlisted else counted(len(rest), "other")
            rows.append((signed(sum(each.share for each in rest)), others))
        rows.append((signed(self.bias), "what an empty text would get"))
        return [*rows, (signed(self.score), "score: the sum of these")]

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
        return as_lines(self.title, self.summary())

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
        return highlighted(text, spans)


def signed(share: float) -> str:
    """Return a share with its sign.

    >>> signed(0.25), signed(-0.25), signed(0.0)
    ('+0.250', '−0.250', '+0.000')
    """
    return f"{share:+.3f}".replace("-", "−")


def label(each: WordShare) -> str:
    """Return a word, and how often it is there if it is more than once.

    >>> label(WordShare("wheat", 2, 0.5))
    'wheat (2 times)'
    """
    return each.word if each.n_places < 2 else f"{each.word} ({each.n_places:,} times)"
