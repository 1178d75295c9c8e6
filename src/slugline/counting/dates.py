"""Parsing dates in cells and grouping them by period."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from slugline.base.checks import short_repr
from slugline.base.wording import join_words
from slugline.errors import DataError, Message, Parameter

Period = Literal["day", "week", "month", "quarter", "year"]
PERIODS: tuple[Period, ...] = ("day", "week", "month", "quarter", "year")
DateOrder = Literal["day-first", "month-first"]
DATE_ORDERS: tuple[DateOrder, ...] = ("day-first", "month-first")

_ISO = re.compile(r"(\d{4})([-/.]) ?(\d{1,2})(?:\2 ?(\d{1,2})\.?)?(?:[T ,].*)?")
_EAST_ASIAN = re.compile(r"(\d{4}) ?[年년] ?(\d{1,2}) ?[月월](?: ?(\d{1,2}) ?[日일])?.*")
_COMPACT = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(?:T\d.*)?")
# An optional weekday before the date, and an optional time after it.
_WEEKDAY, _TIME = r"(?:[^\W\d_][\w-]{0,15}\.?,? +)?", r"(?:[T ,].*)?"
_NUMBERS = re.compile(rf"{_WEEKDAY}(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TIME}")
_MONTH = r"([^\W\d_]{3,10})"
# Such as 3 April 2026, 3. Oktober 2026, 03-Apr-26, 3rd of April 2026 and 3 de abril de 2026.
_DAY_NAME_YEAR = re.compile(
    rf"{_WEEKDAY}(\d{{1,2}})(?:st|nd|rd|th|er|º|ª|\.)?[ -]*(?:of |de )?{_MONTH}[.,]?[ -]"
    rf"(?:de )?(\d{{4}}|\d{{2}}(?!\d|:)){_TIME}"
)
_NAME_DAY_YEAR = re.compile(
    rf"{_WEEKDAY}{_MONTH}\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}}){_TIME}"
)
# As printed by the `date` command: Mon Jan  5 10:00:00 UTC 2026.
_NAME_DAY_TIME_YEAR = re.compile(
    rf"{_WEEKDAY}{_MONTH} +(\d{{1,2}}) \d\d?:\d\d(?::\d\d)?(?: [A-Z]{{3,5}})? (\d{{4}})"
)
# Such as April 2026, abril de 2026 and Excel's Apr-26.
_NAME_YEAR = re.compile(rf"{_MONTH}(?:\.?[ -](?:de )?(?=\d{{4}}$)|-(?=\d\d$))(\d+)")
_MONTH_YEAR = re.compile(r"(\d{1,2})[/-](\d{4})")
# Month names and common abbreviations in English, German, French, Spanish, Italian, Dutch and
# Portuguese, in lower case without accents.
_MONTH_NAMES = (
    "jan january januar janner janv janvier ene enero gen gennaio januari janeiro",
    "feb february februar feber fevr fevrier febrero febbraio februari fev fevereiro",
    "mar march mrz marz maerz mars marzo mrt maart marco",
    "apr april avr avril abr abril aprile",
    "may mai mayo mag maggio mei maio",
    "jun june juni juin junio giu giugno junho",
    "jul july juli juil juillet julio lug luglio julho",
    "aug august aout ago agosto augustus",
    "sep sept september septembre septiembre set setiembre settembre setembro",
    "oct october okt oktober octobre octubre ott ottobre out outubro",
    "nov november novembre noviembre novembro",
    "dec december dez dezember decembre dic diciembre dicembre dezembro",
)
_MONTHS = {name: month for month, names in enumerate(_MONTH_NAMES, 1) for name in names.split()}
# Two-digit years from this one on belong to the 20th century.
_LAST_CENTURY = 70
# Maximum number of columns listed in a message.
_MAX_COLUMNS = 20
# Excel's serial numbers of the days from 2000 to 2050.
_EXCEL_DAYS = (36_526, 55_153)
# Maximum number of days and periods in a chart.
_MAX_DAYS, _MAX_PERIODS = 40_000, 4000


class DateReader(NamedTuple):
    """Reads the dates of a column; `order` is the order of day and month in numeric dates."""

    order: DateOrder | None = None

    def read(self, cell: Any) -> date | None:
        """Return the date in a cell, or None.

        >>> DateReader("day-first").read("03/04/2026 10:15")
        datetime.date(2026, 4, 3)
        >>> DateReader().read("April 3, 2026"), DateReader().read("2026-04")
        (datetime.date(2026, 4, 3), datetime.date(2026, 4, 1))
        >>> DateReader().read("tomorrow")
        """
        parts = _parts(str(cell).strip())
        if parts is None:
            return None
        if isinstance(parts, _NumericDate):
            year, month, day = parts.in_order(self.order or "day-first")
        else:
            year, month, day = parts
        try:
            return date(year, month, day)
        except ValueError:
            return None

    def contradicts(self, cell: Any) -> bool:
        """Return True if a date has day and month in the other order, or the order is unknown.

        >>> reader = DateReader("month-first")
        >>> reader.contradicts("25/04/2026"), reader.contradicts("04/25/2026")
        (True, False)
        >>> reader.contradicts("25/25/2026"), reader.contradicts("2026-04-25")
        (False, False)
        """
        parts = _parts(str(cell).strip())
        if not isinstance(parts, _NumericDate):
            return False
        if self.order is None:
            return parts.separator != "."
        other: DateOrder = "month-first" if self.order == "day-first" else "day-first"
        return self.read(cell) is None and DateReader(other).read(cell) is not None


class _NumericDate(NamedTuple):
    """A numeric date with the year last, and day and month in either order."""

    first: int
    second: int
    year: int
    separator: str

    def in_order(self, order: DateOrder) -> tuple[int, int, int]:
        """Return year, month and day."""
        if order == "day-first":
            return self.year, self.second, self.first
        return self.year, self.first, self.second


@lru_cache(maxsize=4096)  # rows of a day are often consecutive
def _parts(text: str) -> tuple[int, int, int] | _NumericDate | None:
    """Return year, month and day as written; the date may not exist."""
    text = unicodedata.normalize("NFC", text)
    if match := _ISO.fullmatch(text) or _EAST_ASIAN.fullmatch(text):
        year, *_, month, day = match.groups()
        return int(year), int(month), int(day or 1)
    if match := _COMPACT.fullmatch(text):
        return int(match[1]), int(match[2]), int(match[3])
    if match := _MONTH_YEAR.fullmatch(text):
        return int(match[2]), int(match[1]), 1
    if match := _NUMBERS.fullmatch(text):
        return _NumericDate(int(match[1]), int(match[3]), _read_year(match[4]), match[2])
    if match := _DAY_NAME_YEAR.fullmatch(text):
        day, name, year = match.groups()
    elif match := _NAME_DAY_YEAR.fullmatch(text) or _NAME_DAY_TIME_YEAR.fullmatch(text):
        name, day, year = match.groups()
    elif match := _NAME_YEAR.fullmatch(text):
        (name, year), day = match.groups(), "1"
    else:
        return None
    letters = unicodedata.normalize("NFKD", name.casefold())
    number = _MONTHS.get("".join(each for each in letters if not unicodedata.combining(each)))
    return None if number is None else (_read_year(year), number, int(day))


def _read_year(digits: str) -> int:
    """Return the year written with two or four digits."""
    year = int(digits)
    if len(digits) == 2:
        year += 1900 if year >= _LAST_CENTURY else 2000
    return year


def find_date_order(column: str, cells: Iterable[Any]) -> DateOrder | None:
    """Return the order of day and month in a column, or None if it has no numeric dates.

    Raises
    ------
    DataError : if the order is ambiguous or differs between rows.
    """
    dates = [
        parts for cell in cells if isinstance(parts := _parts(str(cell).strip()), _NumericDate)
    ]
    if not dates:
        return None
    day_first = [each for each in dates if each.first > 12]
    month_first = [each for each in dates if each.second > 12]
    if day_first and month_first:
        raise DataError(
            f"column {short_repr(column)} mixes dates with the day first, such as "
            f"{_show(day_first[0])}, and with the month first, such as {_show(month_first[0])}; "
            "write them as 2026-01-31."
        )
    if day_first or month_first:
        return "day-first" if day_first else "month-first"
    if all(each.separator == "." for each in dates):
        return "day-first"
    example = next((each for each in dates if each.first != each.second), dates[0])
    raise unknown_order_error(column, _show(example))


def unknown_order_error(column: str, example: str) -> DataError:
    """Return the error for dates whose order of day and month the first rows don't show."""
    return DataError(
        f"column {short_repr(column)} contains ambiguous dates such as {example}: the first "
        "rows don't show whether the day or the month comes first; pass ",
        Parameter("date_order", "day-first"),
        " or ",
        Parameter("date_order", "month-first"),
        ".",
    )


def _show(numbers: _NumericDate) -> str:
    first, second, year, separator = numbers
    return f"{first:02}{separator}{second:02}{separator}{year}"


def find_date_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns whose non-blank cells are dates."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if _are_dates([row.get(name) for row in rows])]


def _are_dates(cells: Sequence[Any]) -> bool:
    texts = [str(cell).strip() for cell in cells if cell is not None and str(cell).strip()]
    readers = [DateReader(order) for order in DATE_ORDERS]
    n_dates = sum(any(reader.read(text) is not None for reader in readers) for text in texts)
    # Tolerate a few malformed cells.
    return bool(texts) and n_dates >= 0.9 * len(texts)


def name_period(day: date, period: Period) -> str:
    """Return the name of the period that contains a date; names sort by time.

    >>> [name_period(date(2026, 2, 1), period) for period in PERIODS]
    ['2026-02-01', '2026-W05', '2026-02', '2026-Q1', '2026']
    """
    if period == "day":
        return day.isoformat()
    if period == "week":
        year, week, _ = day.isocalendar()
        return f"{year:04}-W{week:02}"
    if period == "month":
        return f"{day.year:04}-{day.month:02}"
    if period == "quarter":
        return f"{day.year:04}-Q{(day.month + 2) // 3}"
    return f"{day.year:04}"


def fill_periods(names: Sequence[str], period: Period) -> list[str]:
    """Return the names of all periods from the first to the last, in order.

    Gaps are not filled if that would add too many periods, for instance after a mistyped year.

    >>> fill_periods(["2025-12", "2026-02"], "month")
    ['2025-12', '2026-01', '2026-02']
    """
    first, last = (first_day(name, period).toordinal() for name in (names[0], names[-1]))
    if last - first > _MAX_DAYS:
        return [*names]
    days = map(date.fromordinal, range(first, last + 1))
    filled = [*dict.fromkeys(name_period(day, period) for day in days)]
    return filled if len(filled) <= _MAX_PERIODS else [*names]


def first_day(name: str, period: Period) -> date:
    """Return the first day of a period; see `name_period`."""
    year = int(name[:4])
    if period == "day":
        return date.fromisoformat(name)
    if period == "week":
        return date.fromisocalendar(year, int(name[6:]), 1)
    if period == "month":
        return date(year, int(name[5:]), 1)
    if period == "quarter":
        return date(year, 3 * int(name[6:]) - 2, 1)
    return date(year, 1, 1)


def choose_date_column(
    rows: Sequence[Mapping[str, Any]], column: str | None, period: Period
) -> str:
    """Return the date column: `column` if given, else the only column that contains dates.

    Raises
    ------
    DataError : if there is no such column, or several contain dates.
    """
    names = [*dict.fromkeys(name for row in rows for name in row)]
    if column is not None:
        if column not in names:
            raise DataError(
                f"there is no column {short_repr(column)}; the columns are "
                f"{', '.join(map(short_repr, names))}."
            )
        return column
    found = find_date_columns(rows)
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(
            f"no column contains dates to count by {period}{_describe_columns(rows)}: write dates "
            "as 2026-01-31, or pass their column as ",
            Parameter("date"),
            ".",
        )
    raise DataError(
        Message(
            f"several columns contain dates: {', '.join(map(short_repr, found))}; choose one with ",
            Parameter("date"),
            ".",
        )
    )


def _describe_columns(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the column names, or the column that may contain Excel's serial dates."""
    for name, cell in rows[0].items() if rows else ():
        if isinstance(cell, int | float) and _EXCEL_DAYS[0] <= cell <= _EXCEL_DAYS[1]:
            return (
                f" ({short_repr(name)} contains {cell:g}: if that is a date in Excel, format the "
                "column as dates)"
            )
    names = [short_repr(name) for name in dict.fromkeys(name for row in rows for name in row)]
    known = "only column is" if len(names) == 1 else "columns are"
    return f" (the {known} {join_words(names, _MAX_COLUMNS)})"
