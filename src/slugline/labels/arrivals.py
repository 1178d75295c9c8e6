"""When texts were added to the user's file, and the weights of draws that follow from it.

A text that was added later had fewer chances of being drawn. The store holds only texts that were
shown; to recognize new ones, it also holds a checksum of every text of the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F64, Index
from slugline.base.databases import to_cell
from slugline.errors import DataError
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# A checksum has 4 bytes: among a million new texts and a million old ones, about 230 new ones are
# mistaken for old ones.
_CHECKSUM = np.dtype("<u4")
# As base64, 96,000 characters: a setting may have 100,000.
_N_PER_SETTING = 18_000
# Fewest draws from the latest batches for an estimate that includes them.
_MIN_DRAWS = 5


class Draw(NamedTuple):
    """A text of the table that somebody got.

    Attributes
    ----------
    number : int
        The number of its first assignment.
    row : int
    probability : float or None
        The probability with which it was selected; None if that is unknown.
    """

    number: int
    row: int
    probability: float | None


class Arrivals(NamedTuple):
    """The batches in which the texts of a table came.

    Attributes
    ----------
    batches : int array, shape (n_rows,)
        The batch of each row, from 0.
    starts : tuple of int
        For each batch, the number of the last assignment before it came.
    """

    batches: Index
    starts: tuple[int, ...]

    def weights(self, draws: Sequence[Draw], numbers: Sequence[int]) -> F64:
        """Return how many texts without a label each draw stands for; NaN if that is unknown.

        The weight of a draw is f / (p n): p is the probability with which its text was selected, n
        the number of draws since the text's batch came, and f the fraction of the texts without a
        label that the batch had then which have none today. So the texts of a batch that are drawn
        estimate, in each draw since it came, how many texts it has (multiple importance sampling
        with equal weights for these draws).

        Parameters
        ----------
        draws : sequence of Draw
            All texts of the table that somebody got, in order.
        numbers : sequence of int
            The numbers of all draws, those of texts that are gone included, in order.

        References
        ----------
        Veach and Guibas (1995), Optimally combining sampling techniques for Monte Carlo rendering.
        """
        weights = np.full(len(draws), np.nan)
        n_free = self._count_free(draws)
        n_candidates = n_free.copy()
        n_draws = len(numbers) - np.searchsorted(numbers, self.starts, side="right")
        for place in range(len(draws) - 1, -1, -1):
            batch = self.batches[draws[place].row]
            n_candidates[batch] += 1
            probability = draws[place].probability
            if probability is not None and n_draws[batch]:
                # A batch of which no text is left counts as one text, so that weights are above 0.
                fraction_left = max(n_free[batch], 1) / n_candidates[batch]
                weights[place] = fraction_left / (probability * n_draws[batch])
        return weights

    def unmeasured_fraction(self, draws: Sequence[Draw], measured: Sequence[Draw]) -> float:
        """Return the fraction of texts without a label in batches with too few measured draws.

        Parameters
        ----------
        draws : sequence of Draw
            All texts of the table that somebody got.
        measured : sequence of Draw
            Those that count in the estimate.
        """
        n_measured = np.zeros(len(self.starts), dtype=np.intp)
        np.add.at(n_measured, [self.batches[draw.row] for draw in measured], 1)
        # The latest batches together; the first one may have few draws as any other sample has.
        since = np.cumsum(n_measured[::-1])[::-1]
        is_unmeasured = (since < _MIN_DRAWS) & (np.arange(len(self.starts)) > 0)
        n_free = self._count_free(draws)
        return float(n_free[is_unmeasured].sum() / max(n_free.sum(), 1))

    def _count_free(self, draws: Sequence[Draw]) -> Index:
        """Return the number of texts of each batch that nobody got."""
        n_rows = np.bincount(self.batches, minlength=len(self.starts))
        rows = np.array([draw.row for draw in draws], dtype=np.intp)
        return n_rows - np.bincount(self.batches[rows], minlength=len(self.starts))


# Storage ------------------------------------------------------------------------------------------


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Texts that came together, as the store has them; with many texts, in several parts."""

    start: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    checksums: bytes  # in JSON, base64


def record_arrivals(store: LabelStore, table: TextTable) -> Arrivals:
    """Return in which batches the texts of a table came; store those that are new.

    Raises
    ------
    DataError : if what is stored can't be read.
    """
    checksums = _checksums(table)
    parts = [*_read_parts(store)]
    starts = sorted({part.start for part in parts})
    batches = _find_batches(checksums, parts, starts)
    is_new = batches < 0
    if is_new.any() or not starts:
        last = max((each.id for each in store.first_assignments().values()), default=0)
        start = last if starts else 0
        _store_parts(store, len(parts), start, checksums[is_new])
        if start not in starts:
            starts.append(start)
        batches[is_new] = starts.index(start)
    return Arrivals(batches, tuple(starts))


def _find_batches(
    checksums: npt.NDArray[np.uint32], parts: Sequence[_Batch], starts: Sequence[int]
) -> Index:
    """Return the first batch that has each checksum; -1 if none has it."""
    stored = [np.frombuffer(part.checksums, dtype=_CHECKSUM) for part in parts]
    batches = [np.full(len(s), starts.index(p.start)) for s, p in zip(stored, parts, strict=True)]
    all_stored = np.concatenate([checksums[:0], *stored])
    all_batches = np.concatenate([np.zeros(0, dtype=np.intp), *batches])
    order = np.lexsort((all_batches, all_stored))
    all_stored, all_batches = all_stored[order], all_batches[order]
    places = np.searchsorted(all_stored, checksums)
    is_stored = np.zeros(len(checksums), dtype=bool)
    is_inside = places < len(all_stored)
    is_stored[is_inside] = all_stored[places[is_inside]] == checksums[is_inside]
    found: Index = np.full(len(checksums), -1, dtype=np.intp)
    found[is_stored] = all_batches[places[is_stored]]
    return found


def _checksums(table: TextTable) -> npt.NDArray[np.uint32]:
    """Return a checksum of the key and text of each row."""
    pairs = zip(table.keys, table.texts, strict=True)
    sums = (zlib.crc32(to_cell(text), zlib.crc32(to_cell(key))) for key, text in pairs)
    return np.fromiter(sums, dtype=_CHECKSUM, count=len(table))


def _read_parts(store: LabelStore) -> Iterator[_Batch]:
    number = 0
    while (value := store.setting(_setting_name(number))) is not None:
        try:
            part = msgspec.json.decode(value, type=_Batch)
            if len(part.checksums) % _CHECKSUM.itemsize:
                raise ValueError("a checksum is cut off")
        except ValueError as error:  # msgspec's are ValueErrors, too
            raise DataError(
                f"{store.path} is damaged: its setting {_setting_name(number)!r} can't be read; "
                "restore the file from a copy."
            ) from error
        yield part
        number += 1


def _store_parts(
    store: LabelStore, n_parts: int, start: int, checksums: npt.NDArray[np.uint32]
) -> None:
    """Store a batch after so many parts of others."""
    settings: dict[str, str] = {}
    for first in range(0, max(len(checksums), 1), _N_PER_SETTING):
        part = checksums[first : first + _N_PER_SETTING].tobytes()
        value = msgspec.json.encode(_Batch(start, part)).decode()
        settings[_setting_name(n_parts + len(settings))] = value
    store.set_settings(settings)


def _setting_name(number: int) -> str:
    return f"texts that came, part {number}"
