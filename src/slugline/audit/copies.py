"""Identical and nearly identical texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F64, U64, Index
from slugline.ragged import boundaries, ranges, row_lengths
from slugline.text.hashing import mix

__all__ = ["LIKENESS", "groups_of", "identical", "jaccard", "members_of", "near_pairs"]


#: Two texts are nearly identical if they share this part of the terms that either has.
LIKENESS = 0.8
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


def identical(texts: Sequence[str]) -> Index:
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


def near_pairs(X: sp.csr_array, seed: int, likeness: float = LIKENESS) -> Index:
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


def groups_of(known: Index, pairs: Index) -> Index:
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


def members_of(groups: Index) -> list[Index]:
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
