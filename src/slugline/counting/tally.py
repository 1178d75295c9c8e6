"""Sums over all texts of a file and over groups of them, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, Mask
from slugline.base.checks import short_repr
from slugline.corpus.rows import BadRow, SourceRow
from slugline.counting.concerns import TextTotals
from slugline.counting.groups import MAX_GROUPS, Grouping
from slugline.counting.labelled import FoundText
from slugline.counting.options import CountOptions
from slugline.counting.samples import SampledRows, SampledTexts
from slugline.errors import DataError, Parameter
from slugline.model.fitted import Fitted
from slugline.text.features import UnknownWordRate, WordCounts

# Maximum number of stored probabilities (for all texts, and for all groups together), and of
# stored texts.
_MAX_PROBA, _MAX_ROWS = 1 << 23, 20_000
_MIN_ROWS = 200
# Maximum number of texts to compare with training documents: overall, per group, and in all groups
# together.
_MAX_TEXTS, _MAX_GROUP_TEXTS, _MAX_TEXTS_OF_GROUPS = 1000, 400, 10_000
# A larger fraction of cells that aren't dates is an error.
_MAX_UNREADABLE = 0.1


class AnsweredBatch(NamedTuple):
    """Texts with the model's probabilities.

    Attributes
    ----------
    rows : list of SourceRow or BadRow
        Rows that contain a text.
    texts : list of str
        Text of each row.
    labelled : list of (int, str)
        Index and text key of each labelled row.
    n_bad : int
        Number of rows without a text.
    proba : float32 array, shape (n_texts, n_topics)
    words : WordCounts
    problem : str, default ""
        Description of the first unreadable row, or empty.
    """

    rows: list[SourceRow | BadRow]
    texts: list[str]
    labelled: list[tuple[int, str]]
    n_bad: int
    proba: F32
    words: WordCounts
    problem: str = ""


class GroupTally:
    """Sums over a group of texts.

    Attributes
    ----------
    rows : SampledRows
        Probabilities of the texts.
    texts : SampledTexts
    totals : TextTotals
    """

    def __init__(self, rows: SampledRows, texts: SampledTexts) -> None:
        self.rows, self.texts = rows, texts
        self.totals = TextTotals()

    def __len__(self) -> int:
        return len(self.rows)

    def add(
        self, texts: Sequence[str], proba: F32, words: WordCounts, usual: UnknownWordRate | None
    ) -> None:
        """Add texts with their probabilities, shape (n_texts, n_topics), and word counts."""
        self.rows.add(proba)
        self.texts.add(texts)
        self.totals = self.totals.add(TextTotals.from_words(words, usual))


class Tally:
    """Sums over all texts and over groups of them.

    Parameters
    ----------
    fitted : Fitted
    options : CountOptions
    announce : callable, optional
        Called with a note on the date column.

    Attributes
    ----------
    usual_words : UnknownWordRate or None
        Rate of unknown words in training.
    total : GroupTally
        Sums over all texts, without undated texts if grouped by date.
    groups : dict of str to GroupTally
    grouping : Grouping or None
        None before the first text, or if texts are not grouped.
    labelled : dict of str to FoundText
        Labelled texts found so far.
    n_bad, n_undated, n_unreadable : int
        Number of rows without a text; without a date; and, among the latter, with a malformed date.
    first_problem : str
        Description of the first unreadable row, or empty.
    """

    def __init__(
        self, fitted: Fitted, options: CountOptions, announce: Callable[[str], object] | None = None
    ) -> None:
        self._options, self._announce = options, announce
        self._n_topics = len(fitted.topics)
        heldout = fitted.heldout_predictions
        self.usual_words = None if heldout is None else heldout.words
        self._max_rows = max(_MIN_ROWS, min(_MAX_ROWS, _MAX_PROBA // self._n_topics))
        self.total = self._new_group(self._max_rows, _MAX_TEXTS)
        self.groups: dict[str, GroupTally] = {}
        self.grouping: Grouping | None = None
        self.labelled: dict[str, FoundText] = {}
        self.n_bad = self.n_undated = self.n_unreadable = 0
        self._unreadable_date = ""  # the first one
        self.first_problem = ""

    def add(self, batch: AnsweredBatch) -> None:
        """Add texts to the total and to their groups."""
        self.n_bad += batch.n_bad
        self.first_problem = self.first_problem or batch.problem
        if not batch.rows:
            return
        if self._options.by is None:
            self.total.add(batch.texts, batch.proba, batch.words, self.usual_words)
            self._add_labelled(batch, [None] * len(batch.rows))
            return
        names = self._name_groups(batch)
        is_dated = np.array([name is not None for name in names])
        self.n_undated += int((~is_dated).sum())
        self._add_to(self.total, batch, is_dated)
        self._add_labelled(batch, names)
        group_names = np.array([name or "" for name in names], dtype=object)
        for name in dict.fromkeys(name for name in names if name is not None):
            is_in = group_names == name
            self._add_to(self._group(name), batch, is_in)

    def _add_to(self, group: GroupTally, batch: AnsweredBatch, mask: Mask) -> None:
        """Add the masked texts to a group."""
        texts = [batch.texts[i] for i in np.flatnonzero(mask).tolist()]
        group.add(texts, batch.proba[mask], _take(batch.words, mask), self.usual_words)

    def check_dates(self) -> None:
        """Raise DataError if too many cells of the date column aren't dates."""
        n_rows = len(self.total) + self.n_undated
        if self.grouping is not None and self.n_unreadable > _MAX_UNREADABLE * n_rows:
            raise self.grouping.unreadable_error(self._unreadable_date, self.n_unreadable, n_rows)

    def _name_groups(self, batch: AnsweredBatch) -> list[str | None]:
        """Return the name of each text's group, or None for texts without a date."""
        if self.grouping is None:
            self.grouping = Grouping.from_rows(
                [row.values for row in batch.rows],
                self._options.by or "",
                self._options.date,
                self._options.date_order,
            )
            if self.grouping.note and self._announce is not None:
                self._announce(self.grouping.note)
        cells = [row.values.get(self.grouping.column) for row in batch.rows]
        names = [self.grouping.group_of(cell) for cell in cells]
        for cell, name in zip(cells, names, strict=True):
            if name is None and (date := "" if cell is None else str(cell).strip()):
                self._unreadable_date = self._unreadable_date or date
                self.n_unreadable += 1
        return names

    def _add_labelled(self, batch: AnsweredBatch, names: Sequence[str | None]) -> None:
        for i, text in batch.labelled:
            if self.grouping is not None and names[i] is None:
                continue  # a text without a date
            if text not in self.labelled:
                self.labelled[text] = FoundText(batch.proba[i].copy())
            self.labelled[text].n_by_group[names[i]] += 1

    def _group(self, name: str) -> GroupTally:
        if name not in self.groups:
            if len(self.groups) == MAX_GROUPS:
                column = "" if self.grouping is None else self.grouping.column
                raise DataError(
                    f"column {short_repr(column)} has more than {MAX_GROUPS:,} distinct "
                    "values; choose a column with fewer values for ",
                    Parameter("by"),
                    ", or a longer period.",
                )
            n_groups = len(self.groups) + 1
            n_texts = min(_MAX_GROUP_TEXTS, _MAX_TEXTS_OF_GROUPS // n_groups)
            self.groups[name] = self._new_group(self._capacity(n_groups), n_texts)
            for group in self.groups.values():
                group.rows.limit(self._capacity(n_groups))
                group.texts.limit(n_texts)
        return self.groups[name]

    def _capacity(self, n_groups: int) -> int:
        return max(_MIN_ROWS, min(self._max_rows, _MAX_PROBA // self._n_topics // n_groups))

    def _new_group(self, n_rows: int, n_texts: int) -> GroupTally:
        seed = self._options.seed
        return GroupTally(SampledRows(self._n_topics, n_rows, seed), SampledTexts(n_texts, seed))


def _take(words: WordCounts, mask: Mask) -> WordCounts:
    """Return the word counts of the masked texts."""
    return WordCounts(words.n_known[mask], words.n_words[mask])
