"""Vectorized hashes of words.

Model files with feature hashing depend on these hashes. They are the same on every machine and must
never change.
"""

from __future__ import annotations

import struct

import numpy as np

from slugline.base.arrays import I32, I64, U8, U64

_WORD_BYTES = 8
#: Must follow the last span in a buffer, because 8-byte loads may start at any byte of the span.
PADDING = b" " * (_WORD_BYTES + 1)
# _KEEP[n] keeps the first n bytes of a little-endian 8-byte load, and _END[n] appends a byte that
# never occurs in UTF-8. Without it, a word and the same word followed by NUL would collide.
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(_WORD_BYTES + 1)], dtype=np.uint64)
_END = np.array([*(0xFF << 8 * n for n in range(_WORD_BYTES)), 0], dtype=np.uint64)
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_64_BITS = (1 << 64) - 1
# With more spans than this, array operations are faster than a loop.
_MANY_SPANS = 32


def hash_spans(array: U8, starts: I64, lengths: I64) -> U64:
    """Return a hash of the bytes of each span, 8 bytes per round; never 0, which marks empty slots.

    Parameters
    ----------
    array : uint8 array
        The buffer; `PADDING` follows the last span.
    starts, lengths : int64 arrays, shape (n_spans,)
    """
    # View the buffer as unaligned 8-byte integers, one starting at each byte.
    loads = np.ndarray((len(array) - _WORD_BYTES + 1,), "<u8", array, strides=(1,))
    hashes = mix(_masked(loads, starts, lengths))
    longer = np.flatnonzero(lengths > _WORD_BYTES)
    offset = _WORD_BYTES
    # Few spans are very long. Array operations on single numbers would be slow for a word of
    # megabytes, so the last few spans are finished one by one.
    while longer.size > min(offset // 4, _MANY_SPANS):
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
    """Return the hash of a span, given the hash of its first bytes and the remaining bytes."""
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


def number_distinct(hashes: U64) -> tuple[I64, I32]:
    """Return the first position of each distinct hash, and the number of each hash.

    Distinct hashes are numbered in order of appearance.

    >>> first, numbers = number_distinct(np.array([40, 7, 40, 9], dtype=np.uint64))
    >>> first.tolist(), numbers.tolist()
    ([0, 1, 3], [0, 1, 0, 2])
    """
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    numbers = np.empty(len(first), dtype=np.int32)
    numbers[order] = np.arange(len(first), dtype=np.int32)
    return first[order], numbers[inverse]
