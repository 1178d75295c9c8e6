"""64-bit hashes of bytes, and tables of them.

Model files with feature hashing depend on these hashes: they are the same on every machine and
must never change.
"""

from __future__ import annotations

import os
import struct

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import I64, U8, U64

_WORD_BYTES = 8
#: Must follow the last span in a buffer, because an 8-byte load may start at any of its bytes.
PADDING = b" " * (_WORD_BYTES + 1)
# _KEEP[n] keeps the first n bytes of a little-endian 8-byte load, and _END[n] appends a byte that
# never occurs in UTF-8. Without it, a word and the same word followed by NUL would be equal.
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(_WORD_BYTES + 1)], dtype=np.uint64)
_END = np.array([*(0xFF << 8 * n for n in range(_WORD_BYTES)), 0], dtype=np.uint64)
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_64_BITS = (1 << 64) - 1
# More spans than this hash faster in array operations than one by one.
_MANY = 32


def hash_spans(array: U8, starts: I64, lengths: I64) -> U64:
    """Return a hash of each span's bytes, 8 bytes a round; never 0, which marks empty slots.

    Parameters
    ----------
    array : uint8 array
        The buffer; `PADDING` follows the last span.
    starts, lengths : int64 arrays, shape (n_spans,)
    """
    # The same bytes, viewed as an (unaligned) 8-byte integer that starts at each position.
    loads = np.ndarray((len(array) - _WORD_BYTES + 1,), "<u8", array, strides=(1,))
    hashes = mix(_masked(loads, starts, lengths))
    longer = np.flatnonzero(lengths > _WORD_BYTES)
    offset = _WORD_BYTES
    # Few spans are very long. For a word of megabytes, array operations on one number each would be
    # slow, so the last few spans are finished one by one.
    while longer.size > min(offset // 4, _MANY):
        remaining = lengths[longer] - offset
        hashes[longer] = mix(hashes[longer] ^ _masked(loads, starts[longer] + offset, remaining))
        offset += _WORD_BYTES
        longer = longer[remaining > _WORD_BYTES]
    for i in longer.tolist():
        tail = array[starts[i] + offset : starts[i] + lengths[i]].tobytes()
        hashes[i] = _continue_hash(int(hashes[i]), tail)
    return np.maximum(hashes, 1, out=hashes)


def _masked(loads: U64, starts: I64, lengths: I64) -> U64:
    lengths = np.minimum(lengths, _WORD_BYTES)
    loaded = loads[starts]
    loaded &= _KEEP[lengths]
    loaded |= _END[lengths]
    return loaded


def _continue_hash(hashed: int, tail: bytes) -> int:
    """Return the hash of a span, given the hash of its beginning and the remaining bytes."""
    first, second = _FACTORS
    n_last = len(tail) % _WORD_BYTES
    padding = b"\xff".ljust(_WORD_BYTES - n_last, b"\0") if n_last else b""
    for (block,) in struct.iter_unpack("<Q", tail + padding):
        hashed ^= block
        hashed ^= hashed >> 30
        hashed = hashed * first & _64_BITS
        hashed ^= hashed >> 27
        hashed = hashed * second & _64_BITS
        hashed ^= hashed >> 31
    return hashed


def mix(hashes: U64) -> U64:
    """Scramble bits in place, one to one, with splitmix64's finaliser (Steele et al., 2014)."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(_FACTORS[0])
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(_FACTORS[1])
    hashes ^= hashes >> np.uint64(31)
    return hashes


def number_distinct(hashes: U64) -> tuple[I64, npt.NDArray[np.int32]]:
    """Number the distinct hashes in order of appearance, in linear time.

    Each hash writes its position into the slot that its low bits choose. If it reads back the
    position of an equal hash, the two share a number; else it tries again with other bits. Hashes
    crafted to share a slot separate at the next try.

    Returns the position where each distinct hash first occurs, and each hash's number.

    >>> first, numbers = number_distinct(np.array([40, 7, 40, 9], dtype=np.uint64))
    >>> first.tolist(), numbers.tolist()
    ([0, 1, 3], [0, 1, 0, 2])
    """
    mask = np.uint64((1 << (2 * len(hashes)).bit_length()) - 1)
    table = np.empty(int(mask) + 1, dtype=np.int32)

    def claim(keys: U64, places: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        slots = (keys & mask).astype(np.intp)
        table[slots[::-1]] = places[::-1]  # the last write stays: that of the first occurrence
        return table[slots]

    places = np.arange(len(hashes), dtype=np.int32)
    owner = claim(hashes, places)
    lost = places[hashes[owner] != hashes]
    keys = hashes[lost]
    while lost.size:
        owner[lost] = claim(mix(keys), lost)
        again = hashes[owner[lost]] != hashes[lost]
        lost, keys = lost[again], keys[again]
    first = np.flatnonzero(owner == places)
    numbers = np.empty_like(places)
    numbers[first] = places[: len(first)]
    return first, numbers[owner]


# Hash table ---------------------------------------------------------------------------------------

_EMPTY = np.uint64(0)
_MIN_CAPACITY = 64


class HashTable:
    """Numbers distinct non-zero 64-bit hashes 0, 1, 2, ... in order of arrival.

    Open addressing with linear probing, at most a quarter full. A slot is the top bits of the hash
    times a random odd number (Dietzfelbinger et al., 1997), so nobody can craft texts whose words
    all share a slot. The numbers do not depend on it.

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
        """Each slot's hash and number, and the multiplier."""
        return self._keys, self._numbers, int(self._multiplier)

    def lookup(self, hashes: U64) -> npt.NDArray[np.int32]:
        """Return the number of each hash, or -1 if it is unknown."""
        mask = len(self._keys) - 1
        slots = self._slots(hashes)
        keys = self._keys[slots]
        numbers = self._numbers[slots]
        missed = keys != hashes
        numbers[missed] = -1
        pending = np.flatnonzero(missed & (keys != _EMPTY))
        while pending.size:
            slots[pending] = (slots[pending] + 1) & mask
            keys = self._keys[slots[pending]]
            hit = keys == hashes[pending]
            numbers[pending[hit]] = self._numbers[slots[pending[hit]]]
            pending = pending[~hit & (keys != _EMPTY)]
        return numbers

    def add(self, hashes: U64) -> npt.NDArray[np.int32]:
        """Number the hashes that are new; return the number of each hash."""
        numbers = self.lookup(hashes)
        unknown = np.flatnonzero(numbers < 0)
        if not unknown.size:
            return numbers
        first, order = number_distinct(hashes[unknown])
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
