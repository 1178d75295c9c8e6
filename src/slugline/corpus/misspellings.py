"""Find probable misspellings: rare topics with a name similar to a frequent one."""

from __future__ import annotations

import itertools
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

# Maximum number of documents of a misspelt topic, as a fraction of the intended topic's.
_MAX_FRACTION = 0.2
# Shorter words, such as "type" and "tape", often differ in one letter.
_MIN_LETTERS = 5
# Minimum length of the common stem of names with different endings, as in "Konto" and "Konten".
_MIN_STEM = 4
# Maximum length of such endings.
_MAX_ENDING = 2
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


class Misspelling(NamedTuple):
    """A probably misspelt topic, and the topic probably intended."""

    topic: str
    meant: str


def find_misspellings(
    counts: Mapping[str, int], known_topics: Collection[str] = ()
) -> list[Misspelling]:
    """Find topics that are probably misspelt, in the order of `counts`.

    Parameters
    ----------
    counts : mapping of str to int
        Number of documents of each topic.
    known_topics : collection of str
        Topics known to be spelt correctly, however rare, such as a model's topics.
    """
    by_shorter: defaultdict[str, list[str]] = defaultdict(list)
    for topic in counts.keys() | known_topics:
        for shorter in _shortened(topic):
            by_shorter[shorter].append(topic)
    found = []
    for topic, n in counts.items():
        if topic in known_topics:
            continue
        # Names that differ by a wrong, missing or swapped letter become equal without one letter.
        similar = {
            other
            for shorter in _shortened(topic)
            for other in by_shorter[shorter]
            if (other in known_topics or n <= _MAX_FRACTION * counts[other])
            and _fold(topic) != _fold(other)
            and are_similar(topic, other)
        }
        if similar:
            found.append(Misspelling(topic, max(similar, key=lambda t: (counts.get(t, 0), t))))
    return found


def find_similar_name(name: str, others: Iterable[str]) -> str | None:
    """Return the first of `others` that is similar to a name, or None."""
    return next((other for other in others if are_similar(name, other)), None)


def are_similar(name: str, other: str) -> bool:
    """Return True if two names probably denote the same topic.

    Ignores case, spaces and accents ("ue" matches "ü"). The names may differ in one letter or, like
    singular and plural, in their endings.

    >>> are_similar("Rückgabe", "rueckgabe"), are_similar("Rechnungen", "Rechnung")
    (True, True)
    """
    folded, other_folded = _fold(name), _fold(other)
    return (
        folded.replace(" ", "") == other_folded.replace(" ", "")
        or has_one_letter_wrong(name, other)
        or has_one_letter_wrong(folded, other_folded)
        or _has_other_ending(folded, other_folded)
    )


def _fold(name: str) -> str:
    """Return a name in lower case without accents; "ü" becomes "ue", as in German."""
    composed = unicodedata.normalize("NFC", " ".join(name.casefold().split()))
    letters = unicodedata.normalize("NFKD", composed.translate(_UMLAUTS))
    return "".join(each for each in letters if not unicodedata.combining(each))


def _has_other_ending(name: str, other: str) -> bool:
    """Return True if two names differ only in their last one or two letters.

    >>> _has_other_ending("konto", "konten"), _has_other_ending("rechnung", "rechnungen")
    (True, True)
    >>> _has_other_ending("group a", "group b"), _has_other_ending("topic1", "topic12")
    (False, False)
    """
    stem = _common_prefix(name, other)
    endings = name[len(stem) :], other[len(stem) :]
    return (
        len(stem) >= _MIN_STEM
        and stem[-_MIN_STEM:].isalpha()
        and "".join(endings).isalpha()
        and max(map(len, endings)) <= _MAX_ENDING
    )


def has_one_letter_wrong(topic: str, other: str) -> bool:
    """Return True if a word has a wrong, missing, extra or two swapped letters.

    >>> has_one_letter_wrong("biling", "billing"), has_one_letter_wrong("retrun", "return")
    (True, True)
    >>> has_one_letter_wrong("group a", "group b"), has_one_letter_wrong("topic 1", "topic 2")
    (False, False)
    """
    topic, other = topic.casefold(), other.casefold()
    before = _common_prefix(topic, other)
    topic, other = topic[len(before) :], other[len(before) :]
    after = _common_prefix(topic[::-1], other[::-1])[::-1]
    topic, other = topic.removesuffix(after), other.removesuffix(after)
    is_swapped = len(topic) == 2 and topic == other[::-1]
    if not is_swapped and max(len(topic), len(other)) != 1:
        return False
    around = _count_first_letters(reversed(before)) + _count_first_letters(after)
    n_letters = around + min(len(topic), len(other))
    return (topic + other).isalpha() and n_letters >= _MIN_LETTERS


def _count_first_letters(characters: Iterable[str]) -> int:
    """Count the letters before the first other character."""
    return sum(1 for _ in itertools.takewhile(str.isalpha, characters))


def _common_prefix(first: str, second: str) -> str:
    pairs = zip(first, second, strict=False)
    n_common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return first[:n_common]


def _shortened(topic: str) -> Iterator[str]:
    """Yield the folded name, the name without each of its letters, and without its ending."""
    folded = _fold(topic)
    yield folded
    yield folded[:-_MAX_ENDING]
    for position, character in enumerate(folded):
        if character.isalpha():
            yield folded[:position] + folded[position + 1 :]
