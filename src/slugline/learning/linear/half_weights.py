"""Weights of a few topics in half precision; negligible ones are not stored.

A compiled kernel, `_descent.c`, or NumPy reads and writes rows; results are bit-identical.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slugline.base.arrays import F32, I32, I64, U16, U32, Index, Mask
from slugline.learning.linear.steps import kernel
from slugline.text.sparse import has_kernel

#: Maximum number of topics: a row's mask has one bit per topic.
MAX_TOPICS = 32
# Rows rewritten at a time, so that few weights are in memory twice.
_BLOCK_ROWS = 1 << 16
_LEAST_NORMAL, _LARGEST = np.float32(2**-14), np.float32(65_504)


class HalfWeights:
    """Weights read and written as float32 rows; nonzero weights are stored in 16 bits.

    Parameters
    ----------
    n_rows : int
    n_topics : int, from 1 to `MAX_TOPICS`
    block_rows : int, optional
        Number of rows stored together.
    """

    def __init__(self, n_rows: int, n_topics: int, block_rows: int = _BLOCK_ROWS) -> None:
        self.n_topics, self._block_rows = n_topics, block_rows
        # A mask per row, with a bit for each topic whose weight is stored. Weights are stored row
        # after row.
        self._blocks: list[tuple[U32, U16]] = [
            (np.zeros(min(block_rows, n_rows - first), np.uint32), np.zeros(0, np.uint16))
            for first in range(0, n_rows, block_rows)
        ]

    def take(self, rows: I32) -> F32:
        """Return some rows, given in ascending order, shape (n_chosen, n_topics)."""
        weights = np.zeros((len(rows), self.n_topics), dtype=np.float32)
        for number, part, chosen in self._parts(rows):
            masks, halves = self._blocks[number]
            if has_kernel():
                kernel.read_halves(masks, halves, chosen, weights[part], self.n_topics)
            else:
                weights[part] = self._dense(masks, halves)[chosen]
        return weights

    def put(self, rows: I32, weights: F32, threshold: float) -> None:
        """Replace some rows, given in ascending order.

        Weights below `threshold` times the root mean square of nonzero weights become 0.
        """
        squares, n_nonzero = _sum_squares(weights)
        least = float(np.float32(threshold * np.sqrt(squares / max(1, n_nonzero))))
        for number, part, chosen in self._parts(rows):
            arguments = (*self._blocks[number], chosen, weights[part])
            if has_kernel():
                masks, halves = kernel.write_halves(*arguments, self.n_topics, least)
                arrays = np.frombuffer(masks, dtype=np.uint32), np.frombuffer(halves, np.uint16)
                self._blocks[number] = arrays
            else:
                self._blocks[number] = self._replace(*arguments, least)

    def drop_small(self, threshold: float) -> None:
        """Drop weights below `threshold` times the root mean square of nonzero weights."""
        squares = n_nonzero = 0.0
        for _, halves in self._blocks:
            values = halves.view(np.float16).astype(np.float64)
            # Don't use BLAS, whose sums depend on its number of threads.
            squares, n_nonzero = squares + float(np.square(values).sum()), n_nonzero + len(values)
        least = threshold * np.sqrt(squares / max(1, n_nonzero))
        for number, (masks, halves) in enumerate(self._blocks):
            bits = self._bits(masks)
            is_large = np.abs(halves.view(np.float16).astype(np.float32)) >= least
            bits[bits] = is_large
            self._blocks[number] = self._pack(bits), halves[is_large]

    def row_lengths(self) -> I64:
        """Return the number of nonzero weights of each row."""
        none = np.zeros(0, dtype=np.int64)
        lengths = [self._bits(masks).sum(axis=1) for masks, _ in self._blocks]
        return np.concatenate([none, *lengths])

    def pop_blocks(self) -> Iterator[tuple[slice, I64, Index, F32]]:
        """Yield some rows, their numbers of nonzero weights, and the topics and values.

        Frees the rows.
        """
        for number in range(len(self._blocks)):
            masks, halves = self._blocks[number]
            self._blocks[number] = masks[:0].copy(), halves[:0].copy()
            rows = slice(number * self._block_rows, number * self._block_rows + len(masks))
            bits = self._bits(masks)
            values = halves.view(np.float16).astype(np.float32)
            yield rows, bits.sum(axis=1), np.nonzero(bits)[1], values

    def _parts(self, rows: I32) -> Iterator[tuple[int, slice, I32]]:
        """Yield each block's number, the slice of its rows in `rows`, and their positions in it."""
        firsts = np.arange(len(self._blocks) + 1) * self._block_rows
        bounds = np.searchsorted(rows, firsts).tolist()
        for number, first in enumerate(firsts[:-1].tolist()):
            part = slice(bounds[number], bounds[number + 1])
            if part.start < part.stop:
                yield number, part, rows[part] - np.int32(first)

    def _bits(self, masks: U32) -> Mask:
        bits = masks[:, np.newaxis] >> np.arange(self.n_topics, dtype=np.uint32)
        return (bits & np.uint32(1)).astype(bool)

    def _pack(self, bits: Mask) -> U32:
        """Return the masks of rows; the inverse of `_bits`."""
        powers = np.left_shift(np.uint32(1), np.arange(self.n_topics, dtype=np.uint32))
        masks: U32 = (bits * powers).sum(axis=1, dtype=np.uint32)
        return masks

    def _dense(self, masks: U32, halves: U16) -> F32:
        dense = np.zeros((len(masks), self.n_topics), dtype=np.float32)
        dense[self._bits(masks)] = halves.view(np.float16)
        return dense

    def _replace(
        self, masks: U32, halves: U16, rows: I32, weights: F32, least: float
    ) -> tuple[U32, U16]:
        dense = self._dense(masks, halves)
        magnitudes = np.abs(weights)
        is_stored = (magnitudes >= np.float32(least)) & (magnitudes >= _LEAST_NORMAL)
        dense[rows] = np.where(is_stored, np.clip(weights, -_LARGEST, _LARGEST), 0)
        bits = dense != 0
        stored = dense[bits].astype(np.float16).view(np.uint16)
        return self._pack(bits), stored


def _sum_squares(weights: F32) -> tuple[float, int]:
    """Return the sum of squares and the number of nonzero weights."""
    if has_kernel():
        return kernel.sum_squares(weights, weights.shape[1])
    # Sum over rows, then over topics, like the kernel.
    sums = np.cumsum(np.square(weights, dtype=np.float64), axis=0)[-1:]
    return float(sum(sums.ravel().tolist())), int(np.count_nonzero(weights))
