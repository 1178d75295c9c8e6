"""Chooses the word vectors of an exported page.

A page includes only words in the scripts of the training documents: with all scripts, it would be
nearly twice as large as with Latin script alone.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.wording import all_of, join_words
from slugline.learning.encoder.vectors import MIN_KNOWN_FRACTION
from slugline.model.fitted import Fitted
from slugline.text.characters import find_scripts
from slugline.text.terms import COLUMNS
from slugline.text.vector_table import VectorTable

# Minimum fraction of a model's terms for a script to be included: a large collection in a single
# language has a few words in any script.
_MIN_FRACTION = 0.001
# Scripts with fewer words in the table are always included, because they take hardly any bytes.
_FEW_WORDS = 100
_LICENCE_ADDRESS = "www.apache.org/licenses/LICENSE-2.0"


class PageVectors(NamedTuple):
    """Word vectors of a page.

    Attributes
    ----------
    notice : list of str
        Paragraphs on the included words and the origin of the vectors.
    licence : str
        Text of the vectors' licence.
    facts : dict
        Plain data for JSON.
    arrays : dict of str to array
        "vectors.words" contains the words in UTF-8, one per line. "vectors.rows" and
        "vectors.factors" contain their vectors in the format of `slugline.text.vector_table`.
    """

    notice: list[str]
    licence: str
    facts: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]

    @classmethod
    def choose(cls, table: VectorTable, fitted: Fitted) -> PageVectors:
        """Return the vectors of the words needed by a model's page.

        Models with topic descriptions get all words, because they may be meant for texts in
        languages missing from their training data.
        """
        header = table.header
        words = [table.word(row) for row in range(header.n_words)]
        # Sorted words compress better, because most share a prefix with the previous one.
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
        notice = [_describe_words(page_words, len(words)), *_read_notice()]
        return cls(notice, _read_licence(), facts, arrays)


def _choose_rows(words: Sequence[str], fitted: Fitted) -> Sequence[int]:
    """Return the rows of the words needed by a page, given all words of the table."""
    rows = range(len(words))
    if fitted.descriptions:
        return rows
    scripts = _find_model_scripts(fitted)
    scripts |= {script for script, n in _count_scripts(words).items() if n < _FEW_WORDS}
    return [row for row in rows if find_scripts(words[row]) <= scripts]


def _find_model_scripts(fitted: Fitted) -> frozenset[str]:
    """Return the scripts of a model's terms, except very rare ones."""
    terms = [*_text_terms(fitted)]
    min_count = _MIN_FRACTION * len(terms)
    return frozenset(script for script, n in _count_scripts(terms).items() if n >= min_count)


def _count_scripts(words: Iterable[str]) -> Counter[str]:
    """Count the words with letters of each script."""
    return Counter(itertools.chain.from_iterable(map(find_scripts, words)))


def _text_terms(fitted: Fitted) -> Iterator[str]:
    """Yield the terms of texts, excluding terms of other columns."""
    features = fitted.features
    for group, vocabulary in zip(features.feature_groups, features.vocabularies_, strict=True):
        if group.kind != COLUMNS:
            yield from vocabulary.terms


def _describe_words(words: Sequence[str], n_table: int) -> str:
    """Describe the words of a page, given the number of words of the table."""
    if len(words) == n_table:
        return f"This page contains the vectors of {all_of(n_table, 'word')} of the model's table."
    common = [script for script, n in _count_scripts(words).most_common() if n >= _FEW_WORDS]
    scripts = f" ({join_words(common)})" if common else ""
    return (
        f"This page contains the vectors of {len(words):,} of the {n_table:,} words of the model's "
        f"table: those in the scripts of the training documents{scripts}. In other scripts, it "
        "knows only the words of these documents."
    )


def _read_notice() -> list[str]:
    """Return the paragraphs of the notice that must accompany the vectors."""
    text = resources.files("slugline.text").joinpath("NOTICE").read_text("utf-8")
    return text.strip().split("\n\n")


def _read_licence() -> str:
    """Return the text of the vectors' licence, or its address if it isn't installed."""
    from importlib import metadata

    # Slugline has the same licence.
    return metadata.distribution("slugline").read_text("licenses/LICENSE") or _LICENCE_ADDRESS
