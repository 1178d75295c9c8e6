"""A table from 64-bit hashes to consecutive numbers, looked up whole arrays at a time."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from slugline.text.hashing import distinct

__all__ = ["HashTable"]

_EMPTY = np.uint64(0)
_MIN_CAPACITY = 64


class HashTable:
    """Numbers distinct non-zero 64-bit hashes 0, 1, 2, ... in order of arrival.

    Open addressing with linear probing, at most a quarter full, so that nearly every look-up ends
    at the first probe: one gather for an array of any size. A slot is the top bits of the hash
    times a random odd number, each table's own: texts made by somebody who knows how words are
    hashed can't send them all to one slot, where each would be compared with all others. No number
    depends on it.

    References
    ----------
    Dietzfelbinger, Hagerup, Katajainen and Penttonen (1997), A reliable randomized algorithm for
    the closest-pair problem, for slots by multiplication.

    >>> table = HashTable()
    >>> table.add(np.array([40, 7, 40, 9], dtype=np.uint64))
    array([0, 1, 0, 2], dtype=int32)
    >>> table.lookup(np.array([9, 8], dtype=np.uint64))
    array([ 2, -1], dtype=int32)
    """

    def __init__(self) -> None:
        self._keys = np.zeros(_MIN_CAPACITY, dtype=np.uint64)
        self._numbers = np.full(_MIN_CAPACITY, -1, dtype=np.int32)
        self._size = 0
        self._multiplier = np.uint64(int.from_bytes(os.urandom(8), "little") | 1)

    def __len__(self) -> int:
        return self._size

    def lookup(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """Return the number of each hash, -1 where it is unknown; shape like `hashes`."""
        mask = len(self._keys) - 1
        slots = self._slots(hashes)
        found = self._keys[slots]
        numbers = self._numbers[slots]
        missed = found != hashes
        numbers[missed] = -1
        pending = np.flatnonzero(missed & (found != _EMPTY))
        while pending.size:
            slots[pending] = (slots[pending] + 1) & mask
            found = self._keys[slots[pending]]
            hit = found == hashes[pending]
            numbers[pending[hit]] = self._numbers[slots[pending[hit]]]
            pending = pending[~hit & (found != _EMPTY)]
        return numbers

    def add(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """Number the hashes not met before, first come first; give the number of each."""
        numbers = self.lookup(hashes)
        unknown = np.flatnonzero(numbers < 0)
        if not unknown.size:
            return numbers
        first, order = distinct(hashes[unknown])
        fresh = hashes[unknown[first]]
        numbers[unknown] = self._size + order
        first_number, self._size = self._size, self._size + len(fresh)
        if 4 * self._size > len(self._keys):
            self._grow()
        self._insert(fresh, np.arange(first_number, self._size, dtype=np.int32))
        return numbers

    def _slots(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the slot where the probes for each hash begin."""
        slots = hashes * self._multiplier
        slots >>= np.uint64(65 - len(self._keys).bit_length())
        return slots.view(np.int64)

    def _grow(self) -> None:
        used = self._keys != _EMPTY
        keys, numbers = self._keys[used], self._numbers[used]
        capacity = 1 << (4 * self._size - 1).bit_length()
        self._keys = np.zeros(capacity, dtype=np.uint64)
        self._numbers = np.full(capacity, -1, dtype=np.int32)
        self._insert(keys, numbers)

    def _insert(self, keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int32]) -> None:
        """Insert distinct `keys`, none of which is in the table."""
        mask = len(self._keys) - 1
        slots = self._slots(keys)
        while keys.size:
            free = self._keys[slots] == _EMPTY
            # Several keys may claim one free slot; the one that is read back has it.
            self._keys[slots[free]] = keys[free]
            placed = self._keys[slots] == keys
            self._numbers[slots[placed]] = numbers[placed]
            keys, numbers = keys[~placed], numbers[~placed]
            slots = (slots[~placed] + 1) & mask
