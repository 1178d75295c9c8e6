"""Arrival of texts in the user's file, and the resulting weights of draws.

A text that was added later had fewer chances of being drawn. The store contains only texts that
were shown; to recognize new texts, it also contains a checksum of every text in the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, Index
from slugline.base.databases import to_cell
from slugline.labels.storage.reading import Arrival
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# With 4 bytes, about 230 of a million new texts are mistaken for one of a million old texts.
_CHECKSUM = np.dtype("<u4")
# Minimum number of measured texts in the latest batches to include them in the estimate.
_MIN_DRAWS = 5


class AssignedRow(NamedTuple):
    """An assigned text of the table.

    Attributes
    ----------
    assignment : int
        Number of its first assignment.
    row : int
    probability : float or None
        Selection probability; None if unknown.
    """

    assignment: int
    row: int
    probability: float | None


class Arrivals(NamedTuple):
    """The batches in which the texts of a table arrived.

    Attributes
    ----------
    batches : int array, shape (n_rows,)
        Batch of each row, from 0.
    last_assignments : tuple of int
        Number of the last assignment before each batch arrived.
    """

    batches: Index
    last_assignments: tuple[int, ...]

    def weights(self, assigned: Sequence[AssignedRow], draws: Sequence[int]) -> F64:
        """Return the number of unlabelled texts that each text represents; NaN if unknown.

        The weight of a text is f / (p n): p is its selection probability, n the number of draws
        since its batch arrived, and f the fraction of the batch's unlabelled texts at that time
        that are still unlabelled. The drawn texts of a batch thus estimate its size in each draw
        since it arrived (multiple importance sampling with equal weights for these draws).

        Parameters
        ----------
        assigned : sequence of AssignedRow
            All assigned texts of the table, in order.
        draws : sequence of int
            Numbers of all assignments drawn with a known probability, in order, including texts
            that are gone.

        References
        ----------
        Veach and Guibas (1995), Optimally combining sampling techniques for Monte Carlo rendering.
        """
        weights = np.full(len(assigned), np.nan)
        n_free = self._count_free(assigned)
        n_draws = len(draws) - np.searchsorted(draws, self.last_assignments, side="right")
        # Number of unlabelled texts in each batch before the latest assignments.
        n_candidates = n_free.copy()
        for place in reversed(range(len(assigned))):
            batch = self.batches[assigned[place].row]
            n_candidates[batch] += 1
            probability = assigned[place].probability
            if probability is not None and n_draws[batch]:
                # An exhausted batch counts as one text, to make weights positive.
                fraction_left = max(n_free[batch], 1) / n_candidates[batch]
                weights[place] = fraction_left / (probability * n_draws[batch])
        return weights

    def unmeasured_fraction(
        self, assigned: Sequence[AssignedRow], measured: Sequence[AssignedRow]
    ) -> float:
        """Return the fraction of unlabelled texts that are in batches with too few measured texts.

        Parameters
        ----------
        assigned : sequence of AssignedRow
            All assigned texts of the table.
        measured : sequence of AssignedRow
            Texts that count in the estimate.
        """
        n_measured = np.zeros(len(self.last_assignments), dtype=np.intp)
        np.add.at(n_measured, [self.batches[each.row] for each in measured], 1)
        # Count the latest batches together; the first batch is always measured.
        since = np.cumsum(n_measured[::-1])[::-1]
        is_unmeasured = (since < _MIN_DRAWS) & (np.arange(len(self.last_assignments)) > 0)
        n_free = self._count_free(assigned)
        return float(n_free[is_unmeasured].sum() / max(n_free.sum(), 1))

    def _count_free(self, assigned: Sequence[AssignedRow]) -> Index:
        """Return the number of unassigned texts of each batch."""
        n_rows = np.bincount(self.batches, minlength=len(self.last_assignments))
        rows = np.array([each.row for each in assigned], dtype=np.intp)
        return n_rows - np.bincount(self.batches[rows], minlength=len(self.last_assignments))


# Storage ------------------------------------------------------------------------------------------


def record_arrivals(store: LabelStore, table: TextTable) -> Arrivals:
    """Return the batches in which the texts of a table arrived, and store new texts.

    Raises
    ------
    StoreError : if the stored checksums can't be read.
    """
    checksums = _checksums(table)
    stored = store.arrivals()
    is_new = _find_starts(checksums, stored) < 0
    if is_new.any() or not stored:
        store.add_arrival(checksums[is_new].tobytes())
        # Another process may have stored some of them at the same time: the first arrival counts.
        stored = store.arrivals()
    return _match_batches(checksums, stored)


def read_arrivals(store: LabelStore, table: TextTable) -> Arrivals:
    """Return the batches of a table's texts like `record_arrivals`, without storing them.

    Raises
    ------
    StoreError : if the stored checksums can't be read.
    """
    checksums, stored = _checksums(table), store.arrivals()
    is_new = _find_starts(checksums, stored) < 0
    if is_new.any():  # new texts arrived after all assignments, unless nothing is stored
        numbers = [each.id for each in store.first_assignments().values()] if stored else []
        last = max(numbers, default=0)
        stored.append(Arrival(last, checksums[is_new].tobytes()))
    return _match_batches(checksums, stored)


def _match_batches(checksums: npt.NDArray[np.uint32], stored: Sequence[Arrival]) -> Arrivals:
    """Return the batches of texts from their checksums, which must be stored."""
    starts = _find_starts(checksums, stored)
    last_assignments = sorted({each.last_assignment for each in stored})
    return Arrivals(np.searchsorted(last_assignments, starts), tuple(last_assignments))


def _find_starts(checksums: npt.NDArray[np.uint32], stored: Sequence[Arrival]) -> Index:
    """Return the last assignment before each checksum first arrived; -1 if not stored."""
    known = [np.frombuffer(each.checksums, dtype=_CHECKSUM) for each in stored]
    all_known = np.concatenate([checksums[:0], *known])
    starts = np.array([each.last_assignment for each in stored], dtype=np.intp)
    all_starts = np.repeat(starts, [len(each) for each in known])
    order = np.lexsort((all_starts, all_known))
    all_known, all_starts = all_known[order], all_starts[order]
    places = np.searchsorted(all_known, checksums)
    is_known = np.zeros(len(checksums), dtype=bool)
    is_inside = places < len(all_known)
    is_known[is_inside] = all_known[places[is_inside]] == checksums[is_inside]
    found: Index = np.full(len(checksums), -1, dtype=np.intp)
    found[is_known] = all_starts[places[is_known]]
    return found


def _checksums(table: TextTable) -> npt.NDArray[np.uint32]:
    """Return a checksum of the key and text of each row."""
    pairs = zip(table.keys, table.texts, strict=True)
    sums = (zlib.crc32(to_cell(text), zlib.crc32(to_cell(key))) for key, text in pairs)
    return np.fromiter(sums, dtype=_CHECKSUM, count=len(table))
