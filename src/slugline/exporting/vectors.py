"""Chooses the words of a table of word vectors that a page needs, and packs their vectors.

These are the words in scripts that the model learned from: a page with the words of all scripts
would take nearly twice as many bytes as one with those in Latin script.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.wording import all_of, counted, join_words
from slugline.learning.encoder.vectors import MIN_KNOWN_FRACTION
from slugline.model.fitted import Fitted
from slugline.text.terms import COLUMNS
from slugline.text.vector_table import VectorTable

# The fraction of a model's terms that must be in a script. In a large collection of one language,
# a few words are in any script.
_MIN_FRACTION = 0.001
# A script with fewer words in the table is always included, as it takes hardly any bytes.
_FEW_WORDS = 100
_LICENCE_ADDRESS = "www.apache.org/licenses/LICENSE-2.0"
# By the first word of the names of their letters. Those of Chinese and Japanese count as one, since
# many words have letters of several.
_SCRIPTS = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC"), "Han and kana")


class PageVectors(NamedTuple):
    """The word vectors of a page.

    Attributes
    ----------
    notice : list of str
        Paragraphs on the words in the page, and on where the vectors come from.
    licence : str
        The text of the licence of the vectors.
    facts : dict
        Plain data for JSON.
    arrays : dict of str to array
        "vectors.words" has the words in UTF-8, one on each line. "vectors.rows" and
        "vectors.factors" are sections of the table; see `slugline.text.vector_table`.
    """

    notice: list[str]
    licence: str
    facts: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]

    @classmethod
    def choose(cls, table: VectorTable, fitted: Fitted) -> PageVectors:
        """Return the vectors of the words that the page of a model needs.

        If topics are described, these are all words: the model may have been made for texts in
        languages that it didn't learn from.
        """
        header = table.header
        words = [table.word(row) for row in range(header.n_words)]
        # Sorted words take fewer bytes, as most begin like the one before.
        rows = np.array(sorted(_choose_rows(words, fitted), key=words.__getitem__), dtype=np.int64)
        page_words = [words[row] for row in rows.tolist()]
        facts = {
            "scale": header.scale,
            "shortestPiece": header.shortest_piece,
            "shortestUnspacedPiece": header.shortest_unspaced_piece,
            "longestPiece": header.longest_piece,
            "minKnownFraction": MIN_KNOWN_FRACTION,
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            "vectors.words": np.frombuffer("\n".join(page_words).encode(), dtype=np.uint8),
            "vectors.rows": table.rows[rows].ravel(),
            "vectors.factors": table.factors[rows].astype(np.int64),
        }
        notice = [_describe(page_words, len(words)), *_notice()]
        return cls(notice, _licence(), facts, arrays)


def scripts_of(word: str) -> frozenset[str]:
    """Return the names of the scripts of a word's letters.

    >>> sorted(scripts_of("iphone手机")), scripts_of("1987")
    (['Han and kana', 'Latin'], frozenset())
    """
    return frozenset(filter(None, map(_script, word)))


@functools.cache
def _script(character: str) -> str:
    """Return the name of a letter's script; of other characters, nothing."""
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return _SCRIPTS.get(name, name.capitalize())


def _choose_rows(words: Sequence[str], fitted: Fitted) -> Sequence[int]:
    """Return the rows of the words that a page needs, given all words of the table."""
    rows = range(len(words))
    if fitted.descriptions:
        return rows
    scripts, counts = _model_scripts(fitted), Counter(_script_names(words))
    scripts |= {name for name, n in counts.items() if n < _FEW_WORDS}
    return [row for row in rows if scripts_of(words[row]) <= scripts]


def _model_scripts(fitted: Fitted) -> frozenset[str]:
    """Return the scripts of a model's terms, but for those that hardly occur."""
    terms = [*_terms(fitted)]
    least = _MIN_FRACTION * len(terms)
    counts = Counter(_script_names(terms))
    return frozenset(name for name, n in counts.items() if n >= least)


def _script_names(words: Iterable[str]) -> Iterator[str]:
    """Return the name of each script of each word."""
    return itertools.chain.from_iterable(map(scripts_of, words))


def _terms(fitted: Fitted) -> Iterator[str]:
    """Return the terms of texts, without those of columns beside them."""
    features = fitted.features
    for group, vocabulary in zip(features.feature_groups, features.vocabularies_, strict=True):
        if group.kind != COLUMNS:
            yield from vocabulary.terms


def _describe(words: Sequence[str], n_all: int) -> str:
    """Return a paragraph on the words of a page."""
    if len(words) == n_all:
        return f"This page contains the vectors of {all_of(n_all, 'word')} of Slugline's table."
    common = [name for name, n in Counter(_script_names(words)).most_common() if n >= _FEW_WORDS]
    scripts = f" ({join_words(common)})" if common else ""
    return (
        f"This page contains the vectors of {counted(len(words), 'word')} of the {n_all:,} of "
        "Slugline's table: those in the scripts of the documents that the model learned from"
        f"{scripts}. In texts in other scripts, it knows only the words of these documents."
    )


def _notice() -> list[str]:
    """Return the paragraphs of the notice that must accompany the vectors."""
    text = resources.files("slugline.text").joinpath("NOTICE").read_text("utf-8")
    return text.strip().split("\n\n")


def _licence() -> str:
    """Return the text of the licence of the vectors, or its address if it isn't installed."""
    from importlib import metadata

    # It is also the licence of Slugline.
    return metadata.distribution("slugline").read_text("licenses/LICENSE") or _LICENCE_ADDRESS
