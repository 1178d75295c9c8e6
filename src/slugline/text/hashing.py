"""Bytes to 64-bit hashes, and which of many hashes are the same.

Model files with hashed blocks rest on these hashes: they are the same on every machine, and must
stay so.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

__all__ = ["PADDING", "distinct", "hash_spans", "mix"]

_WORD_BYTES = 8
#: What must follow the last span in a buffer: an 8-byte load may start at any of its bytes.
PADDING = b" " * (_WORD_BYTES + 1)
# _KEEP[n] keeps the first n bytes of a little-endian 8-byte load, and _END[n] puts behind them a
# byte that no UTF-8 text has: without it, a word and the same word with a NUL behind would be one.
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(_WORD_BYTES + 1)], dtype=np.uint64)
_END = np.array([*(0xFF << 8 * n for n in range(_WORD_BYTES)), 0], dtype=np.uint64)
Hashes = npt.NDArray[np.uint64]
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_64_BITS = (1 << 64) - 1
# So many spans hash faster in one array operation after another than each on its own.
_MANY = 32


def hash_spans(
    array: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Hashes:
    """Hash the bytes of each span: 8 bytes a round, masked to the span's end.

    Parameters
    ----------
    array : uint8 array
        With `PADDING` behind the last span.
    starts, lengths : int64 arrays, shape (n_spans,)

    Returns
    -------
    uint64 array, shape (n_spans,); never 0, which marks an empty slot in tables.
    """
    # The same bytes seen as one (unaligned) 8-byte integer starting at every position.
    loads = np.ndarray((len(array) - _WORD_BYTES + 1,), "<u8", array, strides=(1,))
    hashes = mix(_masked(loads, starts, lengths))
    longer = np.flatnonzero(lengths > _WORD_BYTES)
    offset = _WORD_BYTES
    # Spans that go on and on are few at last: a word of megabytes, in arrays of one number.
    while longer.size > min(offset // 4, _MANY):
        rest = lengths[longer] - offset
        hashes[longer] = mix(hashes[longer] ^ _masked(loads, starts[longer] + offset, rest))
        offset += _WORD_BYTES
        longer = longer[rest > _WORD_BYTES]
    for i in longer.tolist():
        tail = array[starts[i] + offset : starts[i] + lengths[i]].tobytes()
        hashes[i] = _hash_on(int(hashes[i]), tail)
    return np.maximum(hashes, 1, out=hashes)


def _masked(loads: Hashes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Hashes:
    """Load up to 8 bytes of each span."""
    lengths = np.minimum(lengths, _WORD_BYTES)
    loaded = loads[starts]
    loaded &= _KEEP[lengths]
    loaded |= _END[lengths]
    return loaded


def _hash_on(hashed: int, rest: bytes) -> int:
    """Return the hash of a span from that of its beginning and the bytes of its rest."""
    first, second = _FACTORS
    n_last = len(rest) % _WORD_BYTES
    padding = b"\xff".ljust(_WORD_BYTES - n_last, b"\0") if n_last else b""
    for (block,) in struct.iter_unpack("<Q", rest + padding):
        hashed ^= block
        hashed ^= hashed >> 30
        hashed = hashed * first & _64_BITS
        hashed ^= hashed >> 27
        hashed = hashed * second & _64_BITS
        hashed ^= hashed >> 31
    return hashed


def mix(hashes: Hashes) -> Hashes:
    """Scramble in place, one to one: the finaliser of splitmix64 (Steele et al., 2014)."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(_FACTORS[0])
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(_FACTORS[1])
    hashes ^= hashes >> np.uint64(31)
    return hashes


def distinct(hashes: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Number the distinct hashes in order of appearance, in linear time.

    All write their places into the slots of a table that their low bits choose; who reads back the
    place of an equal one has its number. Those whose slot went to another hash try again with other
    bits. Hashes made to meet in one slot part at the next try; to meet in several tries in a row,
    each one more takes as much search as there are slots.

    Returns
    -------
    first : int64 array, shape (n_distinct,)
        Where each distinct hash is first met.
    numbers : int32 array, shape (n_hashes,)
        Which distinct hash stands at each place.

    >>> first, numbers = distinct(np.array([40, 7, 40, 9], dtype=np.uint64))
    >>> first.tolist(), numbers.tolist()
    ([0, 1, 3], [0, 1, 0, 2])
    """
    mask = np.uint64((1 << (2 * len(hashes)).bit_length()) - 1)
    table = np.empty(int(mask) + 1, dtype=np.int32)

    def claim(keys: Hashes, places: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        slots = (keys & mask).astype(np.intp)
        table[slots[::-1]] = places[::-1]  # the last one written stays, and so the first one met
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
