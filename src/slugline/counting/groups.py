"""Groups of texts that are counted apart, by the cells of a column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from slugline.base.checks import short_repr
from slugline.base.wording import counted
from slugline.counting.dates import (
    PERIODS,
    DateOrder,
    DateReader,
    Period,
    choose_date_column,
    find_date_columns,
    find_date_order,
    name_period,
)
from slugline.errors import DataError, Message, Parameter

#: The largest number of groups.
MAX_GROUPS = 1000
#: The name of the group of rows with an empty cell.
EMPTY = "(empty)"


class Grouping(NamedTuple):
    """How rows are grouped.

    Attributes
    ----------
    column : str
    period : Period or None
        The periods of dates; None for the cells as they are.
    reader : DateReader
    is_order_given : bool
        Whether the user named the order of day and month.
    """

    column: str
    period: Period | None = None
    reader: DateReader = DateReader()
    is_order_given: bool = False

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Mapping[str, Any]],
        by: str,
        date: str | None = None,
        date_order: DateOrder | None = None,
    ) -> Grouping:
        """Return the grouping by a column, or by a period if no column has its name.

        A column of dates is grouped by month, or by its name if that is a period.

        Parameters
        ----------
        rows : sequence of mapping
            The cells of the first rows.
        by : str
        date : str, optional
            The column of dates; by default, the only one that has dates.
        date_order : {"day-first", "month-first"}, optional
            By default, found in the rows.

        Raises
        ------
        DataError : if there is no such column, or it is unclear how to read dates.
        """
        names = [*dict.fromkeys(name for row in rows for name in row)]
        period: Period = by if by in PERIODS else "month"
        if by in names and date is None:
            if by not in find_date_columns(rows):
                return cls(by)
            column = by
        elif by in PERIODS:
            column = choose_date_column(rows, date, period)
        else:
            known = ", ".join(map(short_repr, names)) or "none"
            raise DataError(
                Message(
                    Parameter("by"),
                    f" is {short_repr(by)}, which is neither a column nor one of "
                    f"{', '.join(PERIODS)}; the columns are {known}.",
                )
            )
        order = date_order or find_date_order(column, [row.get(column) for row in rows])
        return cls(column, period, DateReader(order), date_order is not None)

    def group_of(self, cell: Any) -> str | None:
        """Return the name of the group of a cell; None for a date that can't be read.

        Raises DataError for a date with day and month in another order than the others.
        """
        if isinstance(cell, float) and cell.is_integer():  # as Excel has whole numbers
            cell = int(cell)
        text = "" if cell is None else str(cell).strip()
        if self.period is None:
            return text or EMPTY
        if self.reader.contradicts(text):
            raise self._order_error(text)
        day = self.reader.read(text)
        return None if day is None else name_period(day, self.period)

    def _order_error(self, cell: str) -> DataError:
        """Return the error about a date with day and month in another order than the others."""
        column, order = short_repr(self.column), self.reader.order
        if order is None:
            return DataError(
                f"column {column} has dates such as {cell}, and the first rows have none that says "
                "whether the day or the month comes first; name it with ",
                Parameter("date_order", "day-first"),
                " or ",
                Parameter("date_order", "month-first"),
                ".",
            )
        if self.is_order_given:
            return DataError(
                f"column {column} has {cell}, which doesn't fit ",
                Parameter("date_order", order),
                "; write dates as 2026-01-31, or name the other order.",
            )
        return DataError(
            f"column {column} has dates with the day first and with the month first: in the first "
            f"rows, it is {order.replace('-', ' ')}, and later there is {cell}; write dates as "
            "2026-01-31."
        )

    def unreadable_error(self, cell: str, n_unreadable: int, n_rows: int) -> DataError:
        """Return the error about many cells that are no dates."""
        return DataError(
            f"{n_unreadable:,} of {counted(n_rows, 'row')} have something in column "
            f"{short_repr(self.column)} that is no date, such as {short_repr(cell)}; write dates "
            "as 2026-01-31, or name another column with ",
            Parameter("date"),
            ".",
        )

    @property
    def note(self) -> str:
        """What was decided about dates; empty for other columns."""
        if self.period is None:
            return ""
        order = self.reader.order
        how = "" if order is None else f", {order.replace('-', ' ')}"
        return f"counted by {self.period} of the dates in column {short_repr(self.column)}{how}"


def sort_groups(names: Iterable[str]) -> list[str]:
    """Return the names of groups in order: numbers by value, then texts, then the empty cell.

    >>> sort_groups(["10", "nan", "b", "(empty)", "9", "A"])
    ['9', '10', 'A', 'b', 'nan', '(empty)']
    """

    def key(name: str) -> tuple[int, float, str]:
        try:
            number = float(name)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return 0, number, name
        return (2 if name == EMPTY else 1), 0.0, name.casefold()

    return sorted(names, key=key)
