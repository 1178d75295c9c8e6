"""A table that maps 64-bit hashes to consecutive numbers, a whole array at a time."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import I64, U64
from slugline.text.hashing import distinct

__all__ = ["HashTable"]

_EMPTY = np.uint64(0)
_MIN_CAPACITY = 64


class HashTable:
    """Numbers distinct non-zero 64-bit hashes 0, 1, 2, ... in order of arrival.

    Open addressing with linear probing. The table is at most a quarter full, so nearly every
    look-up ends at the first probe, and an array of any size takes one gather. A slot is the top
    bits of the hash times an odd number that each table draws at random. So nobody can craft texts
    whose words all fall into one slot, where each would be compared with all others. The numbers
    that the table assigns do not depend on it.

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

    @property
    def slots(self) -> tuple[U64, npt.NDArray[np.int32], int]:
        """Return each slot's hash and number, and what hashes are multiplied by."""
        return self._keys, self._numbers, int(self._multiplier)

    def lookup(self, hashes: U64) -> npt.NDArray[np.int32]:
        """Return the number of each hash, or -1 if it is unknown; same shape as `hashes`."""
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

    def add(self, hashes: U64) -> npt.NDArray[np.int32]:
        """Number the hashes that are new, in order of arrival; return the number of each hash."""
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

    def _slots(self, hashes: U64) -> I64:
        """Return the slot where probing for each hash begins."""
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

    def _insert(self, keys: U64, numbers: npt.NDArray[np.int32]) -> None:
        """Insert distinct `keys`, none of which is in the table yet."""
        mask = len(self._keys) - 1
        slots = self._slots(keys)
        while keys.size:
            free = self._keys[slots] == _EMPTY
            # Several keys may claim the same free slot; the one that is read back has won it.
            self._keys[slots[free]] = keys[free]
            placed = self._keys[slots] == keys
            self._numbers[slots[placed]] = numbers[placed]
            keys, numbers = keys[~placed], numbers[~placed]
            slots = (slots[~placed] + 1) & mask
