"""Extra columns of a table: their kinds, and terms for their cells."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline.base.checks import check_choice, has_surrogates, is_number, option_error, short_repr
from slugline.base.wording import counted, nearest
from slugline.corpus.documents import Topic, Topics, cells_of, is_missing
from slugline.corpus.topic_cells import read_clear_decimal_comma
from slugline.corpus.topic_sets import TopicSet, as_sets, is_multilabel
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.text.hashing import PADDING, hash_spans
from slugline.text.sparse import count_matrix, row_offsets
from slugline.text.tokens import Words

if TYPE_CHECKING:
    import scipy.sparse as sp

#: Kinds of columns.
WORDS, NUMBER, DATE, UNUSED = "words", "number", "date", "unused"
#: Maximum number of columns.
MAX_COLUMNS = 100
#: Maximum number of bins of a column.
MAX_BINS = 64
#: Maximum number of characters of a column's name.
MAX_NAME = 200
# Number of bins of a numeric column.
_N_BINS = 8
# Up to this many distinct numbers are categories, such as priorities.
_FEW_NUMBERS = 12
# Minimum fraction of cells with numbers or dates in a column of that kind.
_MIN_FRACTION = 0.8
# A permutation test decides whether a column is used: with few texts, an uninformative column makes
# a model worse. These are the maximum number of documents, the number of permutations of their
# topics, and the minimum excess of the statistic over its mean in permutations, in standard
# deviations.
_MAX_TESTED = 20_000
_N_PERMUTATIONS = 30
_MIN_DEVIATIONS = 3.0
# In a column with many rare values, most of the statistic is chance, which a learner would overfit.
# At least this fraction must exceed the mean of permutations.
_MIN_EXCESS = 0.75
# Columns of nearly unique values contain text or ids and are rejected: with `_MIN_CELLS` cells or
# more if all values are unique, with `_MANY_CELLS` or more if this fraction is unique.
_MIN_CELLS = 20
_MANY_CELLS = 50
_MAX_UNIQUE = 0.8
# Unique integers are ids if they are spaced more evenly than random numbers: the standard deviation
# of their gaps is less than this fraction of the mean (1 for random numbers).
_MAX_GAP_DEVIATION = 0.7
# Maximum number of characters of a value in its term.
MAX_VALUE = 100
#: Maximum number of values of a list in one cell.
MAX_VALUES = 100
#: The value in the term of a missing cell.
MISSING = "missing"
_DAY_FIRST = r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T,]+(\d.*))?"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple(  # not from `calendar`, whose names depend on the locale
    "January February March April May June July August September "  # noqa: SIM905
    "October November December".split()
)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """An extra column of a table.

    Parameters
    ----------
    name : str
    kind : {"words", "number", "date", "unused"}, default "words"
        Words have a term for each value, numbers for their quantile bin, and dates for weekday,
        month and hour. Unused columns have no terms; they predict topics hardly better than chance.
    bins : tuple of float, default ()
        Ascending bounds between bins of numbers.
    """

    name: str
    kind: str = WORDS
    bins: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        is_name = isinstance(self.name, str) and 0 < len(self.name) <= MAX_NAME
        if not is_name or has_surrogates(self.name):
            raise option_error(
                "name", self.name, f"1 to {MAX_NAME} characters, none of them a surrogate"
            )
        check_choice("kind", self.kind, tuple(_READERS))
        is_ascending = all(first < second for first, second in pairwise(self.bins))
        if len(self.bins) > MAX_BINS or not all(map(is_number, self.bins)) or not is_ascending:
            raise option_error("bins", self.bins, f"at most {MAX_BINS} ascending numbers")

    def __str__(self) -> str:
        if self.kind == UNUSED:
            return f"{self.name} (unused: hardly better than chance)"
        bins = f" in {len(self.bins) + 1} bins" if self.kind == NUMBER else ""
        return f"{self.name} ({self.kind}{bins})"

    @property
    def label(self) -> str:
        """Name on one line; prefix of the column's terms."""
        return " ".join(self.name.split())

    def is_odd(self, cell: Any) -> bool:
        """Return True if a cell contains a value of another kind."""
        is_strict = self.kind in (NUMBER, DATE)
        return is_strict and not _is_blank(cell) and not _READERS[self.kind](cell)

    def terms(self, cell: Any) -> list[str]:
        """Return the terms of a cell; an unreadable cell counts as missing.

        >>> TableColumn("amount", "number", (10.0, 50.0)).terms("12.50")
        ['amount=10 to 50']
        >>> TableColumn("sent", "date").terms("2026-03-02 14:30")
        ['sent=Monday', 'sent=March', 'sent=14 h']
        >>> TableColumn("product").terms(None)
        ['product=missing']
        """
        if self.kind == UNUSED:
            return []
        values = [] if _is_blank(cell) else _READERS[self.kind](cell)
        if self.kind == NUMBER:
            indices = np.searchsorted(self.bins, values, side="right").tolist()
            values = [self.bin_names()[index] for index in indices]
        elif self.kind == DATE:
            values = [part for when in values for part in _date_parts(when)]
        return [f"{self.label}={value}" for value in values or [MISSING]]

    def bin_names(self) -> list[str]:
        """Return the name of each bin.

        >>> TableColumn("amount", "number", (10.0, 50.0)).bin_names()
        ['under 10', '10 to 50', '50 or more']
        """
        if not self.bins:
            return ["a number"]
        bounds = [f"{bound:g}" for bound in self.bins]
        between = [f"{low} to {high}" for low, high in pairwise(bounds)]
        return [f"under {bounds[0]}", *between, f"{bounds[-1]} or more"]


# Cells --------------------------------------------------------------------------------------------


def _is_blank(cell: Any) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return not cell if isinstance(cell, list | tuple) else is_missing(cell)


def _read_words(cell: Any) -> list[str]:
    """Return a value, or each value of a list, as text."""
    cells = cell[:MAX_VALUES] if isinstance(cell, list | tuple) else [cell]
    return [_read_word(item) for item in cells if not _is_blank(item)]


def _read_word(cell: Any) -> str:
    """Return a value as text: "3" for 3.0, and "true" for True."""
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    text = " ".join(str(cell).split())
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _read_numbers(cell: Any) -> list[float]:
    """Return a finite number, which may have a decimal comma, as a list; empty for other cells."""
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, str | int | float | np.number):
        return []
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        clear = read_clear_decimal_comma(cell) if isinstance(cell, str) else None
        return [] if clear is None else [clear]
    return [number] if math.isfinite(number) else []


def _read_dates(cell: Any) -> list[datetime]:
    """Return a date (ISO 8601, RFC 5322 or 31.12.2026) as a list; empty for other cells."""
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, datetime):
        return [cell]
    if isinstance(cell, date):
        return [datetime(cell.year, cell.month, cell.day)]
    if not isinstance(cell, str) or len(cell) > MAX_VALUE:
        return []
    text = cell.strip()
    if match := re.fullmatch(_DAY_FIRST, text):
        day, month, year, clock = match.groups()
        text = f"{year}-{month:0>2}-{day:0>2}" + (f" {clock}" if clock else "")
    from email.utils import parsedate_to_datetime

    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return [read(text)]
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return []


# Functions that read non-blank cells; they return an empty list if a cell can't be read.
_READERS: dict[str, Callable[[Any], list[Any]]] = {
    WORDS: _read_words,
    NUMBER: _read_numbers,
    DATE: _read_dates,
    UNUSED: _read_words,
}


def _date_parts(when: datetime) -> list[str]:
    """Return weekday, month and, if a date has a time, the hour."""
    parts = [WEEKDAYS[when.weekday()], MONTHS[when.month - 1]]
    has_time = any((when.hour, when.minute, when.second, when.microsecond))
    return [*parts, f"{when.hour} h"] if has_time else parts


# Kinds --------------------------------------------------------------------------------------------


def check_column_names(names: Any) -> tuple[str, ...]:
    """Return column names; raise OptionError unless they are a list of distinct names."""
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) and name for name in names):
        raise option_error("columns", names, 'a list of names, such as ["product"]')
    if len(names) > MAX_COLUMNS or len({*names}) < len(names):
        raise OptionError(
            Parameter("columns"),
            f" contains {len(names):,} names; pass each once, and at most {MAX_COLUMNS}.",
        )
    return tuple(names)


def learn_columns(
    texts: Sequence[str], topics: Sequence[Topic] | Sequence[TopicSet], names: Sequence[str]
) -> tuple[TableColumn, ...]:
    """Return the named columns of texts, with their kinds and bins of numbers.

    A column is unused if it is hardly more informative about topics than about permuted topics.

    Parameters
    ----------
    texts : sequence of str
    topics : sequence of str or int, or of tuples of them
        The topic of each text, or all its topics.
    names : sequence of str

    Raises
    ------
    DataError : if no text has cells, a column does not exist, or a column contains text or ids.
    """
    column_names = dict.fromkeys(name for text in texts for name in cells_of(text))
    for name in names:
        if name in column_names:
            continue
        near = nearest(name, column_names)
        advice = Message(
            "pass a data frame, mappings or a dict of columns, and name the text with ",
            Parameter("text"),
            ".",
        )
        if column_names:
            listed = ", ".join(map(short_repr, [*column_names][:20]))
            likely = f"did you mean {short_repr(near)}?" if near else "choose one of them."
            advice = Message(f"found {listed}; {likely}")
        raise DataError(f"the documents have no column {short_repr(name)}; ", advice)
    columns = [_learn_column(name, [cells_of(text).get(name) for text in texts]) for name in names]
    rows = np.random.default_rng(0).permutation(len(texts))[:_MAX_TESTED]
    sample, y = [texts[i] for i in rows.tolist()], _encode(topics)[rows]
    return tuple(
        column if _is_informative(column, sample, y) else replace(column, kind=UNUSED, bins=())
        for column in columns
    )


def _encode(topics: Sequence[Topic] | Sequence[TopicSet]) -> sp.csr_array:
    """Return an indicator array of the topics of each text, shape (n_texts, n_topics)."""
    sets = as_sets(topics) if is_multilabel(topics) else [(topic,) for topic in topics]
    return Topics.fit(chain.from_iterable(sets)).encode_sets(sets)


def _is_informative(column: TableColumn, texts: Sequence[str], y: sp.csr_array) -> bool:
    """Return True if a column is more informative about topics `y` than about permuted topics."""
    words = find_column_terms(texts, [column])
    distinct, numbers = words.distinct
    X = count_matrix(numbers, words.indptr, len(distinct)).astype(np.float64)
    random = np.random.default_rng(0)
    permuted = [
        _half_g_statistic(X, y[random.permutation(len(texts))]) for _ in range(_N_PERMUTATIONS)
    ]
    observed = _half_g_statistic(X, y)
    min_excess = max(_MIN_DEVIATIONS * float(np.std(permuted)), _MIN_EXCESS * observed)
    return observed - float(np.mean(permuted)) > min_excess


def _half_g_statistic(X: sp.csr_array, y: sp.csr_array) -> float:
    """Return half the G statistic of terms and topics.

    With o observed and e expected documents for a term and a topic, it is the sum of o ln(o / e).
    """
    observed = (X.T @ y).tocoo()
    sizes, fractions = X.sum(axis=0), y.mean(axis=0, dtype=np.float64)
    expected = sizes[observed.row] * fractions[observed.col]
    return float(observed.data @ np.log(observed.data / expected))


def _learn_column(name: str, cells: Sequence[Any]) -> TableColumn:
    """Return a column, with the kind of its cells; raise DataError for text or ids."""
    cells = [cell for cell in cells if not _is_blank(cell)]
    numbers = [number for cell in cells for number in _read_numbers(cell)]
    is_numeric = len(numbers) >= _MIN_FRACTION * len(cells)
    if is_numeric and len({*numbers}) > _FEW_NUMBERS:
        _check_not_ids(name, numbers)
        quantiles = np.quantile(numbers, np.arange(1, _N_BINS) / _N_BINS)
        # Rounded as in the names of bins.
        bounds = sorted({float(f"{bound:g}") for bound in quantiles.tolist()})
        return TableColumn(name, NUMBER, tuple(bounds))
    if cells and not is_numeric:
        n_dates = sum(len(_read_dates(cell)) for cell in cells)
        if n_dates >= _MIN_FRACTION * len(cells):
            return TableColumn(name, DATE)
    _check_not_text(name, cells)
    return TableColumn(name)


def _check_not_ids(name: str, numbers: Sequence[float]) -> None:
    if len(numbers) >= _MANY_CELLS and _are_ids(numbers):
        raise DataError(
            f"column {short_repr(name)} has {counted(len(numbers), 'different whole number')} from "
            f"{min(numbers):.0f} to {max(numbers):.0f}, which look like ids; leave it out."
        )


def _check_not_text(name: str, cells: Sequence[Any]) -> None:
    values = Counter(value for cell in cells for value in _read_words(cell))
    n_unique = sum(n == 1 for n in values.values())
    max_unique = _MAX_UNIQUE if len(cells) >= _MANY_CELLS else 1
    if len(cells) >= _MIN_CELLS and n_unique >= max_unique * len(cells):
        raise DataError(
            f"column {short_repr(name)} has {counted(len(values), 'value')} in {len(cells):,} "
            f"documents, such as {short_repr(next(iter(values)))}: it contains text or ids. Add it "
            "to the columns of the ",
            Parameter("text"),
            ", or leave it out.",
        )


def _are_ids(numbers: Sequence[float]) -> bool:
    """Return True if numbers are whole, distinct and evenly spaced, like ticket numbers."""
    values = np.sort(np.asarray(numbers, dtype=np.float64))
    gaps = np.diff(values)
    is_whole = bool((values == np.floor(values)).all())
    return is_whole and bool((gaps > 0).all()) and gaps.std() < _MAX_GAP_DEVIATION * gaps.mean()


def format_columns(columns: Sequence[TableColumn]) -> str:
    """Return the columns and their kinds as text."""
    return ", ".join(map(str, columns))


# Terms --------------------------------------------------------------------------------------------


def find_column_terms(texts: Sequence[str], columns: Sequence[TableColumn]) -> Words:
    """Return the terms of the extra columns of each text as if they were its words.

    >>> terms = find_column_terms(["a", "b"], [TableColumn("product")])
    >>> [terms.word(i) for i in range(len(terms))]
    ['product=missing', 'product=missing']
    """
    numbers: dict[str, int] = {}
    # For each column, the term numbers of each distinct cell.
    caches: list[dict[tuple[type, str], list[int]]] = [{} for _ in columns]
    rows = []
    for cells in map(cells_of, texts):
        row: list[int] = []
        for column, cache in zip(columns, caches, strict=True):
            cell = cells.get(column.name)
            key = (type(cell), str(cell))
            if key not in cache:
                terms = column.terms(cell)
                cache[key] = [numbers.setdefault(term, len(numbers)) for term in terms]
            row += cache[key]
        rows.append(row)
    data = [term.encode("utf-8", "surrogatepass") for term in numbers]
    lengths = np.fromiter(map(len, data), dtype=np.int64, count=len(data))
    buffer, starts = b"".join([*data, PADDING]), row_offsets(lengths)[:-1]
    hashes = hash_spans(np.frombuffer(buffer, dtype=np.uint8), starts, lengths)
    terms_of_rows = np.array(list(chain.from_iterable(rows)), dtype=np.int64)
    n_terms = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    return Words(
        buffer,
        starts[terms_of_rows],
        (starts + lengths)[terms_of_rows],
        row_offsets(n_terms),
        hashes[terms_of_rows],
    )


def describe_odd_cells(texts: Iterable[str], columns: Sequence[TableColumn]) -> dict[str, str]:
    """Return remarks on columns that are missing or contain cells of another kind, by column."""
    remarks: dict[str, str] = {}
    rows = [*map(cells_of, texts)]
    if not rows:
        return remarks
    for column in columns:
        name = short_repr(column.name)
        if not any(column.name in cells for cells in rows):
            remarks[column.name] = f"there is no column {name}"
            continue
        odd_cells = filter(column.is_odd, (cells.get(column.name) for cells in rows))
        odd_cell = next(odd_cells, None)
        if odd_cell is not None:
            remarks[column.name] = f"{short_repr(odd_cell)} in column {name} is not a {column.kind}"
    return remarks


def odd_cells_note(remarks: Iterable[str]) -> str:
    """Return a note from the remarks of `describe_odd_cells`; empty without remarks."""
    summary = "; ".join(remarks)
    return f"{summary}: counted as missing" if summary else ""


def unused_note(names: Iterable[str], columns: Sequence[TableColumn]) -> str:
    """Return a note on the named columns that are unused; empty if there are none."""
    unused = {column.name for column in columns if column.kind == UNUSED}
    listed = ", ".join(short_repr(name) for name in dict.fromkeys(names) if name in unused)
    if not listed:
        return ""
    return f"the model doesn't use {listed}: hardly better than chance in training"
