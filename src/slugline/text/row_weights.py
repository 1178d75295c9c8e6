"""Turns counts of documents' terms into weighted rows: in a compiled kernel, else in NumPy.

Both give the same, bit for bit. The kernel, `_rows.c`, goes over a document's entries twice; NumPy
goes over those of all documents, many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np

from slugline.base.arrays import F32, Mask
from slugline.text.blocks import Block, squares, weigh
from slugline.text.sparse import Entries, has_kernel, kernel

__all__ = ["RowWeights"]


class RowWeights:
    """How counts become weights, in rows where several blocks stand side by side.

    The parts of a row that weigh terms by idf get length 1 together.

    Parameters
    ----------
    blocks : sequence of Block
    widths : sequence of int
        How many columns each block has.
    idf : sequence of float32 array, shape (n_terms,), or None where a block has no idf
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        widths: Sequence[int],
        idf: Sequence[F32 | None],
    ) -> None:
        self.widths, self.idf = list(widths), list(idf)
        self._weightings = [block.weighting for block in blocks]
        self._factors = np.array([block.weight for block in blocks]).astype(np.float32)
        first = accumulate(widths[:-1], initial=0)
        factors, sizes = self._factors.tolist(), [1.0] * len(self.idf)
        plain = [
            None if rarity is None else np.ascontiguousarray(rarity, dtype=np.float32)
            for rarity in self.idf
        ]
        self._for_kernel = tuple(zip(first, plain, factors, sizes, strict=True))

    def weigh(self, counts: Entries) -> None:
        """Turn counts into weights, in place.

        Parameters
        ----------
        counts : Entries
            A row for each block of the first document, then of the second; columns are those of
            rows with all blocks.
        """
        for weighting in set(self._weightings):
            self._weigh_counts(counts, weighting)
        if has_kernel():
            lengths = counts.lengths.astype(np.int64, copy=False)
            kernel.weigh(counts.values, counts.columns, lengths, self._for_kernel, False)
        else:
            self._times_idf(counts)
            self._scale(counts)

    def _weigh_counts(self, counts: Entries, weighting: str) -> None:
        """Turn counts of the blocks of a weighting into what is multiplied by idf."""
        if all(own == weighting for own in self._weightings):
            weigh(counts.values, counts.columns, weighting)
            return
        own = counts.spread(np.array(self._weightings) == weighting)
        part = counts.values[own]
        weigh(part, counts.columns[own], weighting)
        counts.values[own] = part

    def _times_idf(self, counts: Entries) -> None:
        values, columns, _ = counts
        if self._has_idf.all():
            values *= self._joined.take(columns)
        elif self._has_idf.any():
            own = counts.spread(self._has_idf)
            without = np.cumsum(np.where(self._has_idf, 0, self.widths))
            values[own] *= self._joined.take((columns - counts.spread(without))[own])

    def _scale(self, counts: Entries) -> None:
        values, _, lengths = counts
        values *= counts.spread(self._factors)
        sums = squares(values, lengths).reshape(-1, len(self.idf))
        norms = np.sqrt(sum(sums[:, self._has_idf].T, np.zeros(len(sums))))[:, np.newaxis]
        scales = 1 / np.where(self._has_idf & (norms > 0), norms, 1)
        values *= scales.astype(np.float32).ravel().repeat(lengths)

    @cached_property
    def _has_idf(self) -> Mask:
        return np.array([rarity is not None for rarity in self.idf])

    @cached_property
    def _joined(self) -> F32:
        """The idf of all blocks that have one, one after another."""
        return np.concatenate([rarity for rarity in self.idf if rarity is not None])
