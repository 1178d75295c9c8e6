"""Turns term counts into weighted rows: in a compiled kernel, else in NumPy.

Both give the same, bit for bit. The kernel, `_rows.c`, makes two passes over a document's entries;
NumPy makes many over those of all documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np

from slugline.base.arrays import F32, Mask
from slugline.text.blocks import Block, apply_weighting, sums_of_squares
from slugline.text.sparse import Entries, has_kernel, kernel


class RowWeights:
    """Weights of rows in which several term groups stand side by side.

    The groups of a row with idf get length 1 together.

    Parameters
    ----------
    blocks : sequence of Block
    widths : sequence of int
        Number of columns of each group.
    idf : sequence of float32 array, shape (n_terms,), or None for a group without idf
    """

    def __init__(
        self, blocks: Sequence[Block], widths: Sequence[int], idf: Sequence[F32 | None]
    ) -> None:
        self.widths, self.idf = list(widths), list(idf)
        self._weightings = [block.weighting for block in blocks]
        self._factors = np.array([block.weight for block in blocks]).astype(np.float32)
        first = accumulate(widths[:-1], initial=0)
        plain = [
            None if rarity is None else np.ascontiguousarray(rarity, dtype=np.float32)
            for rarity in self.idf
        ]
        self._for_kernel = tuple(zip(first, plain, self._factors.tolist(), strict=True))

    def weigh(self, counts: Entries) -> None:
        """Turn counts into weights, in place.

        `counts` has one row per document and group; columns are those of whole rows.
        """
        for weighting in set(self._weightings):
            self._weigh_counts(counts, weighting)
        if has_kernel():
            lengths = counts.lengths.astype(np.int64, copy=False)
            kernel.weigh(counts.values, counts.columns, lengths, self._for_kernel)
        else:
            self._apply_idf(counts)
            self._scale(counts)

    def _weigh_counts(self, counts: Entries, weighting: str) -> None:
        """Apply a weighting, idf aside, to the counts of the groups that have it."""
        if all(selected == weighting for selected in self._weightings):
            apply_weighting(counts.values, counts.columns, weighting)
            return
        selected = counts.repeat_for_entries(np.array(self._weightings) == weighting)
        part = counts.values[selected]
        apply_weighting(part, counts.columns[selected], weighting)
        counts.values[selected] = part

    def _apply_idf(self, counts: Entries) -> None:
        values, columns, _ = counts
        if self._has_idf.all():
            values *= self._all_idf.take(columns)
        elif self._has_idf.any():
            is_own = counts.repeat_for_entries(self._has_idf)
            without = np.cumsum(np.where(self._has_idf, 0, self.widths))
            values[is_own] *= self._all_idf.take(
                (columns - counts.repeat_for_entries(without))[is_own]
            )

    def _scale(self, counts: Entries) -> None:
        values, _, lengths = counts
        values *= counts.repeat_for_entries(self._factors)
        sums = sums_of_squares(values, lengths).reshape(-1, len(self.idf))
        norms = np.sqrt(sum(sums[:, self._has_idf].T, np.zeros(len(sums))))[:, np.newaxis]
        scales = 1 / np.where(self._has_idf & (norms > 0), norms, 1)
        values *= scales.astype(np.float32).ravel().repeat(lengths)

    @cached_property
    def _has_idf(self) -> Mask:
        return np.array([rarity is not None for rarity in self.idf])

    @cached_property
    def _all_idf(self) -> F32:
        """The idf of all groups that have one, one after another."""
        return np.concatenate([rarity for rarity in self.idf if rarity is not None])
