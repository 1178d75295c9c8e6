"""Sums over all texts of a file and over groups of them, and samples, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slugline.base.arrays import F32, F64, Mask
from slugline.base.checks import short_repr
from slugline.corpus.rows import BadRow, SourceRow
from slugline.counting.concerns import TextTotals
from slugline.counting.dates import DATE_ORDERS, PERIODS, DateOrder
from slugline.counting.groups import MAX_GROUPS, Grouping
from slugline.counting.labelled import FoundText, LabelledSample
from slugline.counting.shares import LIKELY
from slugline.errors import DataError, OptionError, Parameter
from slugline.model.fitted import Fitted
from slugline.model.text_profile import MAX_CHARACTERS
from slugline.text.features import UnknownWordRate, WordCounts

# Maximum number of stored probabilities, for all texts and for all groups together, and of
# probabilities of stored texts in each.
_MAX_PROBA, _MAX_ROWS = 1 << 23, 20_000
_MIN_ROWS = 200
# Maximum number of texts to compare with training documents, of each group and of all together.
_MAX_TEXTS, _MAX_TEXTS_OF_GROUPS = 1000, 10_000
# Maximum fraction of cells that aren't dates.
_MAX_UNREADABLE = 0.1


@dataclass(frozen=True)
class CountOptions:
    """Options for counting.

    Attributes
    ----------
    text, n_threads
        See `PredictOptions`.
    by : str, optional
        A column, or "day", "week", "month", "quarter" or "year".
    date : str, optional
        Date column; by default, the only column that contains dates.
    date_order : {"day-first", "month-first"}, optional
        Order of day and month in dates such as 03/04/2026; by default, detected from the first
        rows.
    labelled : LabelledSample, optional
        Labels of some of the texts.
    topics : sequence of str, optional
        Topics to show; by default, all.
    seed : int, default 0
    """

    text: str | Sequence[str] | None = None
    n_threads: int = 1
    by: str | None = None
    date: str | None = None
    date_order: DateOrder | None = None
    labelled: LabelledSample | None = None
    topics: Sequence[str] = ()
    seed: int = 0

    @property
    def group_columns(self) -> list[str]:
        """Columns given by `by` and `date`, without names of periods."""
        return [name for name in (self.by, self.date) if name is not None and name not in PERIODS]

    def check(self) -> None:
        """Raise OptionError if options conflict."""
        for name in ("date", "date_order"):
            if getattr(self, name) is not None and self.by is None:
                raise OptionError(
                    Parameter(name),
                    " requires grouping by date; add ",
                    Parameter("by", "month"),
                    ".",
                )
        if self.date_order not in (None, *DATE_ORDERS):
            raise OptionError(
                Parameter("date_order"),
                f" is {short_repr(self.date_order)}; choose {' or '.join(DATE_ORDERS)}.",
            )


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


class Reservoir:
    """Bounded random sample of rows: each gets a random key, and the largest keys are kept.

    Parameters
    ----------
    empty : array, shape (0, ...)
        Shape and type of the rows.
    capacity : int
        Maximum number of rows.
    seed : int
    """

    def __init__(self, empty: NDArray[Any], capacity: int, seed: int) -> None:
        self._rows, self._keys = [empty], [np.zeros(0)]
        self._rng = np.random.default_rng(seed)
        self._capacity = capacity
        self._n_kept, self._least_key = 0, 0.0

    def add(self, rows: NDArray[Any]) -> None:
        """Add rows; the sample doesn't depend on how they are batched."""
        keys = self._rng.random(len(rows))
        is_kept = keys >= self._least_key
        self._rows.append(rows[is_kept])
        self._keys.append(keys[is_kept])
        self._n_kept += int(is_kept.sum())
        if self._n_kept > 2 * self._capacity:
            self._shrink()

    def limit(self, capacity: int) -> None:
        """Reduce the maximum number of rows to `capacity`."""
        self._capacity = min(self._capacity, capacity)
        self._shrink()

    def rows(self) -> NDArray[Any]:
        """Return the sampled rows."""
        self._shrink()
        return np.concatenate(self._rows)

    def _shrink(self) -> None:
        if self._n_kept > self._capacity:
            rows, keys = np.concatenate(self._rows), np.concatenate(self._keys)
            chosen = np.sort(np.argpartition(-keys, self._capacity)[: self._capacity])
            self._rows, self._keys = [rows[chosen]], [keys[chosen]]
            self._n_kept, self._least_key = self._capacity, float(keys[chosen].min())


class GroupTally:
    """Sums over a group of texts, and a random sample of them.

    Parameters
    ----------
    n_topics : int
    n_rows, n_texts : int
        Maximum number of sampled probabilities, and of sampled texts.
    seed : int

    Attributes
    ----------
    n_answers : int64 array, shape (n_topics,)
        Number of texts whose most likely topic is each topic.
    n_likely : int64 array, shape (n_topics,)
        Number of texts with a probability of at least one half, for each topic.
    sums : float64 array, shape (n_topics,)
        Sums of probabilities over all texts.
    totals : TextTotals
    """

    def __init__(self, n_topics: int, n_rows: int, n_texts: int, seed: int) -> None:
        self.n_answers = np.zeros(n_topics, dtype=np.int64)
        self.n_likely = np.zeros(n_topics, dtype=np.int64)
        self.sums = np.zeros(n_topics)
        self.totals = TextTotals()
        self._proba = Reservoir(np.zeros((0, n_topics), dtype=np.float32), n_rows, seed)
        self._texts = Reservoir(np.zeros(0, dtype=object), n_texts, seed)

    def __len__(self) -> int:
        return self.totals.n_texts

    def add(
        self, texts: Sequence[str], proba: F32, words: WordCounts, usual: UnknownWordRate | None
    ) -> None:
        """Add texts with their probabilities, shape (n_texts, n_topics), and word counts."""
        self.n_answers += np.bincount(proba.argmax(axis=1), minlength=len(self.sums))
        self.n_likely += np.count_nonzero(proba >= LIKELY, axis=0)
        self.sums += proba.sum(axis=0, dtype=np.float64)
        self.totals = self.totals.add(TextTotals.from_words(words, usual))
        self._proba.add(proba)
        self._texts.add(np.array([text[:MAX_CHARACTERS] for text in texts], dtype=object))

    def limit(self, n_rows: int, n_texts: int) -> None:
        """Reduce the maximum number of sampled probabilities and texts."""
        self._proba.limit(n_rows)
        self._texts.limit(n_texts)

    def texts(self) -> list[str]:
        """Return the sampled texts, truncated."""
        texts: list[str] = self._texts.rows().tolist()
        return texts

    def rows(self) -> tuple[F64, F64]:
        """Return the sampled probabilities, shape (n_rows, n_topics), and their weights.

        The weights of rows with the same most likely topic sum to the number of such texts.
        """
        rows = self._proba.rows()
        if not len(rows):
            return rows.astype(np.float64), np.zeros(0)
        answers = rows.argmax(axis=1)
        n_kept = np.bincount(answers, minlength=len(self.sums))
        weights = (self.n_answers / np.maximum(n_kept, 1))[answers]
        # Spread answers without a sampled text over the others.
        return rows.astype(np.float64), weights * (len(self) / weights.sum())


class Tally:
    """Sums over all texts and over groups of them.

    Parameters
    ----------
    fitted : Fitted
    options : CountOptions
    announce : callable
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
        self, fitted: Fitted, options: CountOptions, announce: Callable[[str], object]
    ) -> None:
        self._options, self._announce = options, announce
        self._n_topics = len(fitted.topics)
        heldout = fitted.heldout_predictions
        self.usual_words = None if heldout is None else heldout.words
        self.total = GroupTally(self._n_topics, *self._capacity(1), options.seed)
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
        words = WordCounts(batch.words.n_known[mask], batch.words.n_words[mask])
        group.add(texts, batch.proba[mask], words, self.usual_words)

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
            if self.grouping.note:
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
            capacity = self._capacity(len(self.groups) + 1)
            for group in self.groups.values():
                group.limit(*capacity)
            self.groups[name] = GroupTally(self._n_topics, *capacity, self._options.seed)
        return self.groups[name]

    def _capacity(self, n_groups: int) -> tuple[int, int]:
        """Return the maximum number of sampled probabilities and texts of each group."""
        n_rows = _MAX_PROBA // self._n_topics // n_groups
        n_texts = min(_MAX_TEXTS, _MAX_TEXTS_OF_GROUPS // n_groups)
        return max(_MIN_ROWS, min(_MAX_ROWS, n_rows)), n_texts
