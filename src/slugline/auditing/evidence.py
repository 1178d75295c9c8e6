"""Find evidence about documents in their texts: copies, neighbours, odd texts."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import bdtr

from slugline.base.arrays import F32, F64, U64, Index
from slugline.base.wording import counted
from slugline.learning.labels import Labels
from slugline.text.hashing import mix
from slugline.text.sparse import ranges, row_lengths, row_offsets

# Copies -------------------------------------------------------------------------------------------

#: Jaccard index from which two texts are nearly identical.
MIN_SIMILARITY = 0.8
# Signatures have 20 bands of 5 numbers: of pairs that share 80 % of their terms, one in 2,900 is
# missed; of pairs that share 50 %, half are compared unnecessarily.
_N_BANDS, _N_IN_BAND = 20, 5
# Number of texts with an equal band to compare with each text; a chain suffices to connect a group.
_MAX_COMPARED = 3
# Number of row entries per batch of signatures.
_BATCH_ENTRIES = 1 << 20
# Minimum number of terms for a meaningful Jaccard index.
_MIN_TERMS = 6


def number_identical(texts: Sequence[str]) -> Index:
    """Return a number for each text, the same for texts that differ only in case or spaces.

    >>> number_identical(["Oil up", "oil  UP", "gas"]).tolist()
    [0, 0, 1]
    """
    return number_equal(" ".join(text.casefold().split()) for text in texts)


def number_equal(texts: Iterable[Any]) -> Index:
    """Return a number for each text, the same for equal texts."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.intp)


def find_near_pairs(X: sp.csr_array, seed: int) -> Index:
    """Return pairs of rows that share most of their terms, shape (n_pairs, 2), the lower row first.

    For a large group, only enough pairs to connect it are returned.

    Parameters
    ----------
    X : CSR array, shape (n_rows, n_columns)
        Only the positions of entries matter, not their values.
    seed : int
        Seed for the hash functions.

    References
    ----------
    Broder (1997), On the resemblance and containment of documents: MinHash; Leskovec, Rajaraman,
    Ullman (2014), Mining of Massive Datasets, 3.4: bands.
    """
    rows = np.flatnonzero(row_lengths(X.indptr) >= _MIN_TERMS)
    if not len(rows):
        return np.zeros((0, 2), dtype=np.intp)
    bands = _bands(X, rows, seed)
    candidates = np.concatenate([_equal_pairs(band, rows) for band in bands.T])
    pairs = _distinct_pairs(np.sort(candidates, axis=1), X.shape[0])
    return pairs[jaccard(X, pairs) >= MIN_SIMILARITY]


def _distinct_pairs(pairs: Index, n_rows: int) -> Index:
    """Return each pair once, sorted."""
    # Unlike np.unique, np.sort of integers lets other threads run, such as those of a server.
    numbers = np.sort(pairs[:, 0] * n_rows + pairs[:, 1])
    numbers = numbers[np.diff(numbers, prepend=-1) > 0]
    return np.stack(np.divmod(numbers, n_rows), axis=1)


def jaccard(X: sp.csr_array, pairs: Index) -> F64:
    """Return the Jaccard index of the columns of each pair of rows, shape (n_pairs,)."""
    first, second = pairs.T
    ones = sp.csr_array((np.ones(X.nnz, dtype=np.float32), X.indices, X.indptr), shape=X.shape)
    lengths = row_lengths(X.indptr)
    shared = np.zeros(len(pairs))
    for start in range(0, len(pairs), 4096):
        part = slice(start, start + 4096)
        shared[part] = ones[first[part]].multiply(ones[second[part]]).sum(axis=1)
    either = lengths[first] + lengths[second] - shared
    return np.asarray(shared / np.maximum(either, 1), dtype=np.float64)


def connect_groups(numbers: Index, pairs: Index) -> Index:
    """Return the group of each row; rows are connected by equal numbers or by pairs.

    >>> connect_groups(np.array([0, 0, 1, 2]), np.array([[1, 2]])).tolist()
    [0, 0, 0, 1]
    """
    first, last = np.unique(numbers, return_index=True)[1][numbers], np.arange(len(numbers))
    start = np.concatenate([first, pairs[:, 0]])
    end = np.concatenate([last, pairs[:, 1]])
    ones, shape = np.ones(len(start), dtype=np.int8), (len(numbers), len(numbers))
    links = sp.coo_array((ones, (start, end)), shape=shape)
    return np.asarray(sp.csgraph.connected_components(links, directed=False)[1], dtype=np.intp)


def group_members(groups: Index) -> list[Index]:
    """Return the rows of each group with at least two rows, in group order."""
    order = np.argsort(groups, kind="stable")
    ends = row_offsets(np.bincount(groups))
    several = np.flatnonzero(row_lengths(ends) > 1)
    return [order[ends[group] : ends[group + 1]] for group in several]


def _bands(X: sp.csr_array, rows: Index, seed: int) -> U64:
    """Return a hash of each band of each row's signature, shape (n_rows, n_bands)."""
    rng = np.random.default_rng(seed)
    columns = np.arange(X.shape[1], dtype=np.uint64)
    most = np.iinfo(np.uint64).max
    salts = rng.integers(most, size=(_N_BANDS, _N_IN_BAND), dtype=np.uint64)
    parts = _parts(X, rows)
    bands = np.zeros((len(rows), _N_BANDS), dtype=np.uint64)
    for number, band in enumerate(salts):
        for salt in band:
            # The high half of a hash distinguishes columns well enough in half the time.
            hashes = (mix(columns + salt) >> np.uint64(32)).astype(np.uint32)
            least = [np.minimum.reduceat(hashes[entries], starts) for entries, starts in parts]
            signature = np.concatenate(least).astype(np.uint64)
            bands[:, number] = mix(bands[:, number] + signature)
    return bands


def _parts(X: sp.csr_array, rows: Index) -> list[tuple[Index, Index]]:
    """Return the entries of a few rows at a time, and the first entry of each row."""
    lengths = row_lengths(X.indptr)[rows]
    batch = np.cumsum(lengths, dtype=np.int64) // _BATCH_ENTRIES
    cuts = np.flatnonzero(np.diff(batch, prepend=-1))
    parts = []
    for part in np.split(np.arange(len(rows)), cuts[1:]):
        chosen = ranges(X.indptr[:-1][rows[part]], lengths[part])
        parts.append((X.indices[chosen], row_offsets(lengths[part])[:-1]))
    return parts


def _equal_pairs(band: U64, rows: Index) -> Index:
    """Return pairs of rows with an equal band: each row with a few of the rows that follow it."""
    order = np.argsort(band, kind="stable")
    pairs = []
    for gap in range(1, _MAX_COMPARED + 1):
        same = np.flatnonzero(band[order[gap:]] == band[order[:-gap]])
        pairs.append(np.stack([rows[order[:-gap][same]], rows[order[gap:][same]]], axis=1))
    return np.concatenate(pairs)


# Neighbours ---------------------------------------------------------------------------------------

# Number of neighbours per document, and maximum document frequency of shared terms.
_N_NEAREST, _MAX_DOCUMENTS = 10, 50
_BATCH_ROWS = 1000


class Neighbours(NamedTuple):
    """The nearest documents of each document, without its copies."""

    rows: Index  # shape (n_rows, 10): the nearest first; -1 where there are fewer
    # shape (n_rows, 10): the part of the cosine from rare terms; 0 where there is no document
    cosine: F32

    def fractions(self, labels: Labels, n_topics: int) -> F32:
        """Return each topic's fraction of the sum of cosines, shape (n_rows, n_topics).

        In multi-label data, fractions may add up to more than 1.
        """
        ends = np.arange(0, self.rows.size + 1, self.rows.shape[1])
        near = (self.cosine.ravel(), self.rows.ravel().clip(0), ends)
        cosines = sp.csr_array(near, shape=(len(self.rows), len(self.rows)))
        sums = (cosines @ labels.to_csr(n_topics)).toarray()
        return np.asarray(sums / np.maximum(self.cosine.sum(axis=1, keepdims=True), 1e-9))


def find_neighbours(X: sp.csr_array, groups: Index) -> Neighbours:
    """Return the nearest documents of each document by the cosine between their rarer terms.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows of unit length. Terms in more than 50 rows are ignored: they are less informative and
        would take nearly all of the time.
    groups : int array, shape (n_rows,)
        Documents in the same group, such as copies, don't count as neighbours.
    """
    n_rows = X.shape[0]
    frequency = np.bincount(X.indices, minlength=X.shape[1])
    rare = X[:, np.flatnonzero((frequency > 1) & (frequency <= _MAX_DOCUMENTS))]
    by_term = rare.T.tocsr()
    rows = np.full((n_rows, _N_NEAREST), -1, dtype=np.intp)
    cosines = np.zeros((n_rows, _N_NEAREST), dtype=np.float32)
    for start in range(0, n_rows, _BATCH_ROWS):
        products = (rare[start : start + _BATCH_ROWS] @ by_term).tocsr()
        owner = np.repeat(np.arange(products.shape[0]), row_lengths(products.indptr))
        other = groups[start + owner] != groups[products.indices]
        owner, near, cosine = owner[other], products.indices[other], products.data[other]
        order = np.lexsort((near, -cosine, owner))
        owner, near, cosine = owner[order], near[order], cosine[order]
        rank = np.arange(len(owner)) - np.searchsorted(owner, np.arange(products.shape[0]))[owner]
        best = rank < _N_NEAREST
        rows[start + owner[best], rank[best]] = near[best]
        cosines[start + owner[best], rank[best]] = cosine[best]
    return Neighbours(rows, cosines)


# Odd texts ----------------------------------------------------------------------------------------

# A text is in another script if the majority script has less than this fraction of its letters.
_USUAL = 0.1
# Maximum number of letters to examine per text, and minimum number needed.
_MAX_LETTERS, _MIN_LETTERS = 400, 4
# Texts in a language contain its most common words. Number of common words; minimum number of
# distinct words in a text; maximum probability of an odd text, which is the probability of so few
# common words if texts had half the average for their length; and number of length bins.
_N_COMMON, _MIN_WORDS, _IMPROBABLE, _N_LENGTHS = 50, 8, 1e-3, 10
# If more than this fraction of texts has so few common words, the data are simply diverse.
_MAX_ODD_SHARE = 0.05
# Texts of the maximum length were truncated if there are at least this many, they are at least
# this long, and most texts are shorter.
_MIN_CUT, _MIN_CUT_LENGTH = 3, 40
# Minimum length at which final dots indicate truncation.
_LONG = 80


class OddText(NamedTuple):
    """An odd text and the reason."""

    row: int
    kind: str  # "blank", "cut off", "other script" or "other language"
    why: str


def find_odd_texts(texts: Sequence[str], words: sp.csr_array, groups: Index) -> list[OddText]:
    """Return texts that are blank, truncated, or in another script or language, ordered by row.

    Parameters
    ----------
    texts : sequence of str
    words : CSR array, shape (n_texts, n_words)
        The words of each text.
    groups : see `slugline.auditing.audit.Copies`
    """
    n_words = row_lengths(words.indptr)
    blank = np.flatnonzero(n_words == 0).tolist()
    odd = [
        *(OddText(row, "blank", "it contains no words") for row in blank),
        *_cut_off(texts, groups),
        *_of_other_scripts(texts),
        *_of_other_languages(words),
    ]
    return sorted(odd)


def _cut_off(texts: Sequence[str], groups: Index) -> Iterator[OddText]:
    lengths = np.array([len(text) for text in texts])
    # Texts from one template often have the same length as well.
    is_unique = np.bincount(groups)[groups] == 1
    longest = int(lengths[is_unique].max(initial=0))
    cut = set(np.flatnonzero(is_unique & (lengths == longest)).tolist())
    is_limit = len(cut) >= _MIN_CUT and longest >= _MIN_CUT_LENGTH
    if not is_limit or 2 * np.count_nonzero(lengths < longest) <= len(texts):
        cut = set()
    for row in cut:
        why = f"it ends after {counted(longest, 'character')}, like {len(cut) - 1:,} others"
        yield OddText(row, "cut off", why)
    for row in np.flatnonzero(lengths >= _LONG).tolist():
        if texts[row].rstrip().endswith(("…", "...")) and row not in cut:
            yield OddText(row, "cut off", "it ends in dots")


def _of_other_scripts(texts: Sequence[str]) -> Iterator[OddText]:
    scripts = [_scripts(text) for text in texts]
    counts = Counter(_most_common(letters) for letters in scripts if letters)
    usual = _most_common(counts)
    if 2 * counts[usual] < sum(counts.values()):
        return  # no majority script
    for row, letters in enumerate(scripts):
        if letters and letters[usual] < _USUAL * sum(letters.values()):
            script = _most_common(letters).title()
            why = f"it is written in {script}, most texts in {usual.title()}"
            yield OddText(row, "other script", why)


def _most_common(counts: Counter[str]) -> str:
    """Return the most common key, the first in case of ties, or ""."""
    return max(counts, key=lambda word: counts[word], default="")


def _scripts(text: str) -> Counter[str]:
    """Return the number of letters per script; empty if there are too few letters."""
    counts: Counter[str] = Counter()
    for letter, n in Counter(text[:_MAX_LETTERS]).items():
        if letter.isalpha():
            counts[_script(letter)] += n
    return counts if sum(counts.values()) >= _MIN_LETTERS else Counter()


@functools.lru_cache(maxsize=1 << 16)
def _script(letter: str) -> str:
    """Return the first word of a letter's name; scripts mixed in one language count as one."""
    name = unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "").split(" ")[0]
    name = name.split("-")[0]
    return "CHINESE OR JAPANESE" if name in ("CJK", "HIRAGANA", "KATAKANA") else name


def _of_other_languages(words: sp.csr_array) -> Iterator[OddText]:
    lengths = row_lengths(words.indptr)
    long = np.flatnonzero(lengths >= _MIN_WORDS)
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
    odd = long[improbable < _IMPROBABLE]
    if len(odd) > _MAX_ODD_SHARE * len(long):
        return
    why = "it contains hardly any common words"
    yield from (OddText(row, "other language", why) for row in odd.tolist())
