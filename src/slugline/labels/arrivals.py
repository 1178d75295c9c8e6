"""When texts were added to the user's file, and the weights of draws that follow from it.

A text that was added later had fewer chances of being drawn. The store holds only texts that were
shown; to recognize new ones, it also holds a checksum of every text of the file.
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

# A checksum has 4 bytes: among a million new texts and a million old ones, about 230 new ones are
# mistaken for old ones.
_CHECKSUM = np.dtype("<u4")
# Fewest measured texts of the latest batches for an estimate that includes them.
_MIN_DRAWS = 5


class AssignedRow(NamedTuple):
    """A text of the table that somebody got.

    Attributes
    ----------
    assignment : int
        The number of its first assignment.
    row : int
    probability : float or None
        The probability with which it was selected; None if that is unknown.
    """

    assignment: int
    row: int
    probability: float | None


class Arrivals(NamedTuple):
    """The batches in which the texts of a table came.

    Attributes
    ----------
    batches : int array, shape (n_rows,)
        The batch of each row, from 0.
    last_assignments : tuple of int
        For each batch, the number of the last assignment before it came.
    """

    batches: Index
    last_assignments: tuple[int, ...]

    def weights(self, assigned: Sequence[AssignedRow], draws: Sequence[int]) -> F64:
        """Return how many texts without a label each text stands for; NaN if that is unknown.

        The weight of a text is f / (p n): p is the probability with which it was selected, n the
        number of draws since its batch came, and f the fraction of the texts without a label that
        the batch had then which have none today. So the texts of a batch that are drawn estimate,
        in each draw since it came, how many texts it has (multiple importance sampling with equal
        weights for these draws).

        Parameters
        ----------
        assigned : sequence of AssignedRow
            All texts of the table that somebody got, in order.
        draws : sequence of int
            The numbers of the assignments that were drawn with a known probability, those of texts
            that are gone included, in order.

        References
        ----------
        Veach and Guibas (1995), Optimally combining sampling techniques for Monte Carlo rendering.
        """
        weights = np.full(len(assigned), np.nan)
        n_free = self._count_free(assigned)
        n_draws = len(draws) - np.searchsorted(draws, self.last_assignments, side="right")
        # The texts without a label that each batch had before the latest assignments.
        n_candidates = n_free.copy()
        for place in reversed(range(len(assigned))):
            batch = self.batches[assigned[place].row]
            n_candidates[batch] += 1
            probability = assigned[place].probability
            if probability is not None and n_draws[batch]:
                # A batch of which no text is left counts as one text, so that weights are above 0.
                fraction_left = max(n_free[batch], 1) / n_candidates[batch]
                weights[place] = fraction_left / (probability * n_draws[batch])
        return weights

    def unmeasured_fraction(
        self, assigned: Sequence[AssignedRow], measured: Sequence[AssignedRow]
    ) -> float:
        """Return the fraction of texts without a label in batches with too few measured texts.

        Parameters
        ----------
        assigned : sequence of AssignedRow
            All assigned texts of the table.
        measured : sequence of AssignedRow
            Texts that count in the estimate.
        """
        n_measured = np.zeros(len(self.last_assignments), dtype=np.intp)
        np.add.at(n_measured, [self.batches[each.row] for each in measured], 1)
        # The latest batches together; few draws are no problem in the first one.
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
    StoreError : if what is stored can't be read.
    """
    checksums = _checksums(table)
    stored = store.arrivals()
    is_new = _find_starts(checksums, stored) < 0
    if is_new.any() or not stored:
        store.add_arrival(checksums[is_new].tobytes())
        # Another process may have stored some of them at the same moment: the first one counts.
        stored = store.arrivals()
    return _match_batches(checksums, stored)


def read_arrivals(store: LabelStore, table: TextTable) -> Arrivals:
    """Return the batches of a table's texts like `record_arrivals`, without storing them.

    Raises
    ------
    StoreError : if what is stored can't be read.
    """
    checksums, stored = _checksums(table), store.arrivals()
    is_new = _find_starts(checksums, stored) < 0
    if is_new.any():  # new texts came after all assignments, unless nothing is stored
        numbers = [each.id for each in store.first_assignments().values()] if stored else []
        last = max(numbers, default=0)
        stored.append(Arrival(last, checksums[is_new].tobytes()))
    return _match_batches(checksums, stored)


def _match_batches(checksums: npt.NDArray[np.uint32], stored: Sequence[Arrival]) -> Arrivals:
    """Return the batches of texts from their checksums, all of which are stored."""
    starts = _find_starts(checksums, stored)
    last_assignments = sorted({each.last_assignment for each in stored})
    return Arrivals(np.searchsorted(last_assignments, starts), tuple(last_assignments))


def _find_starts(checksums: npt.NDArray[np.uint32], stored: Sequence[Arrival]) -> Index:
    """Return the last assignment before each checksum first came; -1 if it is not stored."""
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
