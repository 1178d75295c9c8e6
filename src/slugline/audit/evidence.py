"""Identical and nearly identical texts."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import bdtr

from slugline.base.arrays import F32, F64, I64, U64, Index, Integers, Mask
from slugline.base.words import counted
from slugline.corpus.splits import make_folds
from slugline.learning.learner import FitContext
from slugline.learning.linear.fit import scores_in_folds
from slugline.text.hashing import mix
from slugline.text.sparse import boundaries, ranges, row_lengths

__all__ = [
    "MIN_SIMILARITY",
    "N_FOLDS",
    "N_ROUNDS",
    "Neighbours",
    "OddText",
    "assign_folds",
    "connect_groups",
    "find_near_pairs",
    "find_neighbours",
    "find_odd_texts",
    "find_shared_lines",
    "frequency_scores",
    "group_members",
    "heldout_scores",
    "jaccard",
    "number_identical",
]


#: Two texts are nearly identical if they share this part of the terms that either has.
MIN_SIMILARITY = 0.8
# Signatures of 20 bands with 5 numbers each: of pairs that share 0.8 of their terms, one in 2,900
# is missed; of those that share a half, every second one is compared for nothing.
_N_BANDS, _N_IN_BAND = 20, 5
# A text is compared with so many others of equal band: a page of a thousand copies is one group
# however they are chained.
_MOST_NEIGHBOURS = 3
# Entries of rows whose signatures are made at a time.
_AT_ONCE = 1 << 20
# Terms that a text needs for its share of them to mean something.
_FEWEST_TERMS = 6


def number_identical(texts: Sequence[str]) -> Index:
    """Return a number for each text, equal if letter case and spaces alone differ.

    >>> identical(["Oil up", "oil  UP", "gas"]).tolist()
    [0, 0, 1]
    """
    numbers: dict[str, int] = {}
    return np.fromiter(
        (numbers.setdefault(" ".join(text.casefold().split()), len(numbers)) for text in texts),
        dtype=np.intp,
        count=len(texts),
    )


def find_near_pairs(X: sp.csr_array, seed: int, likeness: float = MIN_SIMILARITY) -> Index:
    """Return pairs of rows that share most of their terms, shape (n_pairs, 2), the lower first.

    Not every pair of a large group: enough to connect it.

    Parameters
    ----------
    X : CSR array, shape (n_rows, n_columns)
        Which columns a row has is all that counts.
    seed : int
        Chooses the hash functions.
    likeness : float, default 0.8
        The least Jaccard index.

    References
    ----------
    Broder (1997), On the resemblance and containment of documents: MinHash; Leskovec, Rajaraman,
    Ullman (2014), Mining of Massive Datasets, 3.4: bands.
    """
    rows = np.flatnonzero(row_lengths(X.indptr) >= _FEWEST_TERMS)
    if not len(rows):
        return np.zeros((0, 2), dtype=np.intp)
    bands = _bands(X, rows, seed)
    found = np.concatenate([_equal_pairs(band, rows) for band in bands.T])
    pairs = np.unique(np.sort(found, axis=1), axis=0)
    return pairs[jaccard(X, pairs) >= likeness]


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


def connect_groups(known: Index, pairs: Index) -> Index:
    """Return the number of each row's group: rows in one group of `known`, or linked by pairs.

    >>> groups_of(np.array([0, 0, 1, 2]), np.array([[1, 2]])).tolist()
    [0, 0, 0, 1]
    """
    first, last = np.unique(known, return_index=True)[1][known], np.arange(len(known))
    start = np.concatenate([first, pairs[:, 0]])
    end = np.concatenate([last, pairs[:, 1]])
    ones, shape = np.ones(len(start), dtype=np.int8), (len(known), len(known))
    links = sp.coo_array((ones, (start, end)), shape=shape)
    return np.asarray(sp.csgraph.connected_components(links, directed=False)[1], dtype=np.intp)


def group_members(groups: Index) -> list[Index]:
    """Return the rows of each group that has several, the first groups first."""
    order = np.argsort(groups, kind="stable")
    ends = boundaries(np.bincount(groups))
    several = np.flatnonzero(row_lengths(ends) > 1)
    return [order[ends[group] : ends[group + 1]] for group in several]


def _bands(X: sp.csr_array, rows: Index, seed: int) -> U64:
    """Return a hash of each band of each row's signature, shape (n_rows, n_bands)."""
    rng = np.random.default_rng(seed)
    columns = np.arange(X.shape[1], dtype=np.uint64)
    salts = rng.integers(1, 1 << 63, (_N_BANDS, _N_IN_BAND), dtype=np.uint64)
    parts = _parts(X, rows)
    bands = np.zeros((len(rows), _N_BANDS), dtype=np.uint64)
    for number, band in enumerate(salts):
        for salt in band:
            # The high half is enough to tell columns apart, and takes half the time.
            hashes = (mix(columns + salt) >> np.uint64(32)).astype(np.uint32)
            least = [_least(hashes, *part) for part in parts]
            bands[:, number] = mix(bands[:, number] * np.uint64(31) + np.concatenate(least))
    return bands


def _parts(X: sp.csr_array, rows: Index) -> list[tuple[Index, Index]]:
    """Return the entries of a few rows at a time, and where each row's begin."""
    lengths = row_lengths(X.indptr)[rows]
    which = np.cumsum(lengths, dtype=np.int64) // _AT_ONCE
    cuts = np.flatnonzero(np.diff(which, prepend=-1))
    parts = []
    for part in np.split(np.arange(len(rows)), cuts[1:]):
        if len(part):
            chosen = ranges(X.indptr[:-1][rows[part]], lengths[part])
            parts.append((X.indices[chosen], boundaries(lengths[part])[:-1]))
    return parts


def _least(hashes: npt.NDArray[np.uint32], entries: Index, starts: Index) -> U64:
    return np.minimum.reduceat(hashes[entries], starts).astype(np.uint64)


def _equal_pairs(band: U64, rows: Index) -> Index:
    """Return pairs of rows with an equal band: each row with a few that follow it."""
    order = np.argsort(band, kind="stable")
    pairs = []
    for gap in range(1, _MOST_NEIGHBOURS + 1):
        same = np.flatnonzero(band[order[gap:]] == band[order[:-gap]])
        pairs.append(np.stack([rows[order[:-gap][same]], rows[order[gap:][same]]], axis=1))
    return np.concatenate(pairs)


# What other documents say of a document's topic: scores, and the nearest ones ---------------------

#: All settings were chosen on training splits of twelve sets with 8 % of the topics changed at
#: random, in nine languages, and on the newswires, a part of which have another wire's text.
N_FOLDS, N_ROUNDS = 5, 3
# A term's weight for a topic is the logarithm of how often it occurs there, this being added.
_SMOOTHING = 0.01
# How much these weights count beside the classifier's.
_FREQUENCY_SHARE = 0.1
# Neighbours of a document, by terms that occur in at most so many documents.
_N_NEAREST, _MOST_DOCUMENTS = 10, 50
_ROWS_AT_ONCE = 1000


class Neighbours(NamedTuple):
    """The documents nearest to each, without copies of it.

    Attributes
    ----------
    rows : int array, shape (n_rows, 10)
        The nearest first; -1 where there are fewer.
    likeness : float32 array, shape (n_rows, 10)
        Cosine, as far as rare terms make it up; 0 where there is no document.
    """

    rows: Index
    likeness: F32

    def shares(self, y: I64, n_topics: int) -> F32:
        """Return each topic's share of the likeness, shape (n_rows, n_topics)."""
        shares = np.zeros((len(self.rows), n_topics), dtype=np.float32)
        owner = np.arange(len(self.rows)).repeat(self.rows.shape[1])
        np.add.at(shares, (owner, y[self.rows].ravel()), self.likeness.ravel())
        total = shares.sum(axis=1, keepdims=True)
        return np.divide(shares, total, out=shares, where=total > 0)


def assign_folds(y: I64, groups: Index, seed: int) -> I64:
    """Return the fold of each row; those of one group share it."""
    return make_folds(y.tolist(), min(N_FOLDS, len(np.unique(groups))), seed, groups)


def heldout_scores(
    X: sp.csr_array,
    leads: sp.csr_array,
    y: I64,
    context: FitContext,
    groups: Index,
    suspects: Callable[[F32], Mask],
    tell: Callable[[int], None] = lambda _: None,
) -> F32:
    """Return scores of each row by what was learned from others, shape (n_rows, n_topics).

    In each of three rounds, with other folds, a classifier goes through the rows of four folds once
    and judges those of the fifth: by the rows, by how the texts begin, and by the rows again. From
    the second round on, it doesn't learn from rows that look wrong so far. The mean counts.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
    leads : float32 CSR array, shape (n_rows, n_other_columns)
        Rows of how the texts begin; of a long one, that often tells the topic best.
    y : int array, shape (n_rows,)
    context : FitContext
    groups : int array, shape (n_rows,)
        Rows of one group don't judge each other.
    suspects : callable
        Given scores, says which rows not to learn from in the next round.
    tell : callable, optional
        Told the number of each round, from 0, before it begins.
    """
    learned = np.ones(len(y), dtype=bool)
    by_frequency = frequency_scores(X, y, context.n_topics, assign_folds(y, groups, context.seed))
    total = np.zeros_like(by_frequency)
    for number, rows in enumerate((X, leads, X)):
        tell(number)
        if number:
            learned = ~suspects(total / np.float32(number) + by_frequency)
        folds = assign_folds(y, groups, context.seed + number)
        total += scores_in_folds(rows, y, context, folds, learned, passes=1)
    total /= N_ROUNDS
    total += by_frequency
    return total


def frequency_scores(X: sp.csr_array, y: I64, n_topics: int, folds: I64) -> F32:
    """Return scores by how often each topic of the other folds has the terms of a row.

    Parameters
    ----------
    X, y, folds : see `heldout_scores`

    Returns
    -------
    float32 array, shape (n_rows, n_topics); 0 on average of each row, and 0.1 apart on the whole.

    References
    ----------
    Multinomial naive Bayes: Manning, Raghavan, Schuetze (2008), Introduction to IR, 13.2;
    with equal priors.
    """
    found = np.zeros((len(y), n_topics), dtype=np.float32)
    for fold in range(N_FOLDS):
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(held) and len(rest):
            found[held] = (X[held] @ _log_odds(X[rest], y[rest], n_topics)).toarray()
            totals = _log_totals(X[rest], y[rest], n_topics)
            found[held] -= X[held].sum(axis=1)[:, np.newaxis] * totals
    found -= found.mean(axis=1, keepdims=True)
    spread = found.std()
    return found * np.float32(_FREQUENCY_SHARE / spread) if spread > 0 else found


def _of_topics(y: I64, n_topics: int) -> sp.csr_array:
    ones = np.ones(len(y), dtype=np.float32)
    return sp.csr_array((ones, y, np.arange(len(y) + 1)), shape=(len(y), n_topics))


def _log_odds(X: sp.csr_array, y: I64, n_topics: int) -> sp.csr_array:
    """Return the weights of terms over those of a term that the topic doesn't have."""
    weights = (X.T.tocsr() @ _of_topics(y, n_topics)).tocsr()
    weights.data = np.log1p(weights.data / np.float32(_SMOOTHING))
    return weights


def _log_totals(X: sp.csr_array, y: I64, n_topics: int) -> F32:
    totals = np.bincount(y, X.sum(axis=1), minlength=n_topics) / _SMOOTHING
    return np.log(totals + X.shape[1]).astype(np.float32)


def find_neighbours(X: sp.csr_array, groups: Index) -> Neighbours:
    """Return the documents nearest to each by the cosine of their rarer terms.

    Parameters
    ----------
    X : float32 CSR array, shape (n_rows, n_columns)
        Rows of length 1. Terms of more than 50 rows are left out: they tell less of which
        documents are alike, and would take nearly all of the time.
    groups : int array, shape (n_rows,)
        Copies of a document have its group, and are none of its neighbours.
    """
    n_rows = X.shape[0]
    frequency = np.bincount(X.indices, minlength=X.shape[1])
    rare = X[:, np.flatnonzero((frequency > 1) & (frequency <= _MOST_DOCUMENTS))]
    by_term = rare.T.tocsr()
    rows = np.full((n_rows, _N_NEAREST), -1, dtype=np.intp)
    likeness = np.zeros((n_rows, _N_NEAREST), dtype=np.float32)
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        found = (rare[start : start + _ROWS_AT_ONCE] @ by_term).tocsr()
        owner = np.repeat(np.arange(found.shape[0]), row_lengths(found.indptr))
        other = groups[start + owner] != groups[found.indices]
        owner, near, cosine = owner[other], found.indices[other], found.data[other]
        order = np.lexsort((near, -cosine, owner))
        owner, near, cosine = owner[order], near[order], cosine[order]
        place = np.arange(len(owner)) - np.searchsorted(owner, np.arange(found.shape[0]))[owner]
        best = place < _N_NEAREST
        rows[start + owner[best], place[best]] = near[best]
        likeness[start + owner[best], place[best]] = cosine[best]
    return Neighbours(rows, likeness)


# Texts that can't tell their topic well: blank, cut off, boilerplate, of another language ---------

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


def find_odd_texts(
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


def find_shared_lines(texts: Sequence[str]) -> list[tuple[str, int]]:
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
