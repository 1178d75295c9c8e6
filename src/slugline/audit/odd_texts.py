"""Texts that can't tell their topic well: blank, cut off, boilerplate, of another language."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import bdtr

from slugline.base.arrays import Index, Integers
from slugline.displays import counted
from slugline.ragged import row_lengths

__all__ = ["OddText", "odd_texts", "shared_lines"]


# A text is in another script if fewer of its letters than this share are of the usual one.
_USUAL = 0.1
# Letters of a text that are looked at, and letters that it needs.
_MOST_LETTERS, _FEWEST_LETTERS = 400, 4
# The commonest words of a language tell which it is: how many are looked for, in texts of how many
# different words, and how improbable it must be that a text has so few of them, even if it had half
# as many as is usual for texts of its length, of which there are so many kinds.
_N_COMMON, _FEWEST_WORDS, _IMPROBABLE, _N_LENGTHS = 50, 8, 1e-3, 10
# If more texts than this share have so few, the texts are simply of many kinds.
_MOST_STRANGE = 0.05
# Texts that end at the same longest length were cut, if they are so many and so long, and most
# texts are shorter.
_FEWEST_CUT, _SHORTEST_CUT = 3, 40
# Dots at the end of a text so long stand for the rest of it.
_LONG = 80
# The same text under so many topics says nothing of any, if it has no more words than this.
_MANY_TOPICS, _FEW_WORDS = 3, 10
# A line that begins or ends so many texts, and this share of them, is boilerplate.
_FEWEST_SHARED, _SHARED = 5, 0.02
_LONGEST_LINE = 200


class OddText(NamedTuple):
    """A text that something is wrong with.

    Attributes
    ----------
    row : int
        Which document it is, from 0.
    kind : str
        "blank", "cut off", "boilerplate", "other script" or "other language".
    why : str
    """

    row: int
    kind: str
    why: str


def odd_texts(
    texts: Sequence[str],
    topics: Sequence[str],
    words: sp.csr_array,
    copies: Sequence[Index],
    groups: Index,
) -> list[OddText]:
    """Return texts that are blank, cut off and so on, by row.

    Parameters
    ----------
    texts, topics : sequence of str
    words : CSR array, shape (n_texts, n_words)
        Which words each text has.
    copies : sequence of int arrays
        The rows of each text that occurs several times.
    groups : int array, shape (n_texts,)
        Copies and near copies share a number.
    """
    found = [
        *_blank(words),
        *_cut_off(texts, groups),
        *_of_many_topics(topics, copies, row_lengths(words.indptr)),
        *_of_other_scripts(texts),
        *_of_other_languages(words),
    ]
    return sorted(found)


def shared_lines(texts: Sequence[str]) -> list[tuple[str, int]]:
    """Return first and last lines that many texts share, with how many do, the commonest first."""
    counts: Counter[str] = Counter()
    for text in texts:
        lines = text.strip().split("\n")
        if len(lines) > 1:
            counts.update({line for line in (lines[0].strip(), lines[-1].strip()) if line})
    least = max(_FEWEST_SHARED, int(_SHARED * len(texts)))
    return [
        (line, n) for line, n in counts.most_common(20) if n >= least and len(line) <= _LONGEST_LINE
    ]


def _blank(words: sp.csr_array) -> Iterator[OddText]:
    for row in np.flatnonzero(row_lengths(words.indptr) == 0).tolist():
        yield OddText(row, "blank", "there is no word in it")


def _cut_off(texts: Sequence[str], groups: Index) -> Iterator[OddText]:
    lengths = np.array([len(text) for text in texts])
    # Texts that were made from one template often are of one length, too.
    own = np.bincount(groups)[groups] == 1
    longest = int(lengths[own].max(initial=0))
    cut = np.flatnonzero(own & (lengths == longest)).tolist()
    is_limit = len(cut) >= _FEWEST_CUT and longest >= _SHORTEST_CUT
    if not is_limit or 2 * np.count_nonzero(lengths < longest) <= len(texts):
        cut = []
    for row in cut:
        why = f"it ends after {counted(longest, 'character')}, as {len(cut) - 1:,} others do"
        yield OddText(row, "cut off", why)
    known = set(cut)
    for row in np.flatnonzero(lengths >= _LONG).tolist():
        if texts[row].rstrip().endswith(("…", "...")) and row not in known:
            yield OddText(row, "cut off", "it ends in dots")


def _of_many_topics(
    topics: Sequence[str], copies: Sequence[Index], n_words: Integers
) -> Iterator[OddText]:
    for rows in copies:
        n_topics = len({topics[row] for row in rows.tolist()})
        if n_topics >= _MANY_TOPICS and n_words[rows[0]] <= _FEW_WORDS:
            why = f"the same text stands under {n_topics} topics"
            yield from (OddText(row, "boilerplate", why) for row in rows.tolist())


def _of_other_scripts(texts: Sequence[str]) -> Iterator[OddText]:
    scripts = [_scripts(text) for text in texts]
    counts = Counter(found.most_common(1)[0][0] for found in scripts if found)
    usual = max(counts, key=lambda script: counts[script], default="")
    if 2 * counts[usual] < sum(counts.values()):
        return  # there is no usual one
    for row, found in enumerate(scripts):
        if found and found[usual] < _USUAL * sum(found.values()):
            script = found.most_common(1)[0][0]
            why = f"it is written in {script.title()}, and most texts in {usual.title()}"
            yield OddText(row, "other script", why)


def _scripts(text: str) -> Counter[str]:
    """Return how many letters are of each script; nothing if there are few letters."""
    letters = Counter(text[:_MOST_LETTERS])
    found: Counter[str] = Counter()
    for letter, n in letters.items():
        if letter.isalpha():
            found[_script_of(letter)] += n
    return found if sum(found.values()) >= _FEWEST_LETTERS else Counter()


@functools.lru_cache(maxsize=1 << 16)
def _script_of(letter: str) -> str:
    """Return the first word of a letter's name; what one language mixes counts as one script."""
    name = unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "").split(" ")[0]
    name = name.split("-")[0]
    return "CHINESE OR JAPANESE" if name in ("CJK", "HIRAGANA", "KATAKANA") else name


def _of_other_languages(words: sp.csr_array) -> Iterator[OddText]:
    lengths = row_lengths(words.indptr)
    long = np.flatnonzero(lengths >= _FEWEST_WORDS)
    if len(long) < _N_COMMON:
        return
    frequency = np.bincount(words.indices, minlength=words.shape[1])
    common = np.zeros(words.shape[1], dtype=np.float32)
    common[np.argsort(-frequency, kind="stable")[:_N_COMMON]] = 1
    ones = sp.csr_array((np.ones(words.nnz, np.float32), words.indices, words.indptr), words.shape)
    n_common = (ones @ common)[long]
    share = np.zeros(len(long))
    for rows in np.array_split(np.argsort(lengths[long], kind="stable"), _N_LENGTHS):
        share[rows] = np.median(n_common[rows] / lengths[long][rows]) / 2
    improbable = bdtr(n_common.astype(np.float64), lengths[long].astype(np.int64), share)
    strange = long[improbable < _IMPROBABLE]
    if len(strange) > _MOST_STRANGE * len(long):
        return
    why = "it has hardly any of the words that most texts have"
    yield from (OddText(row, "other language", why) for row in strange.tolist())
