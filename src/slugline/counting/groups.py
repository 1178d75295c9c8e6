"""Grouping texts by the values of a column."""

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
    unknown_order_error,
)
from slugline.errors import DataError, Message, Parameter

#: Maximum number of groups.
MAX_GROUPS = 1000
#: Name of the group of rows with an empty cell.
EMPTY = "(empty)"


class Grouping(NamedTuple):
    """Column and period by which rows are grouped.

    Attributes
    ----------
    column : str
    period : Period or None
        Period to group dates by; None to group by the cells themselves.
    reader : DateReader
    is_order_given : bool
        True if the user specified the order of day and month.
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

        Dates are grouped by month unless `by` is a period.

        Parameters
        ----------
        rows : sequence of mapping
            Cells of the first rows.
        by : str
        date : str, optional
            Date column; by default, the only column that contains dates.
        date_order : {"day-first", "month-first"}, optional
            By default, detected from the rows.

        Raises
        ------
        DataError : if there is no such column, or the date format is ambiguous.
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
        """Return the name of a cell's group, or None for an unreadable date.

        Raises DataError if the order of day and month differs from the earlier dates.
        """
        if isinstance(cell, float) and cell.is_integer():  # Excel stores integers as floats
            cell = int(cell)
        text = "" if cell is None else str(cell).strip()
        if self.period is None:
            return text or EMPTY
        if self.reader.contradicts(text):
            raise self._order_error(text)
        day = self.reader.read(text)
        return None if day is None else name_period(day, self.period)

    def _order_error(self, cell: str) -> DataError:
        """Return the error for a date whose order of day and month contradicts the others."""
        column, order = short_repr(self.column), self.reader.order
        if order is None:
            return unknown_order_error(self.column, cell)
        if self.is_order_given:
            return DataError(
                f"column {column} contains {cell}, which contradicts ",
                Parameter("date_order", order),
                "; write dates as 2026-01-31, or use the other order.",
            )
        return DataError(
            f"column {column} mixes dates with the day first and with the month first: the first "
            f"rows are {order.replace('-', ' ')}, and a later one contains {cell}; write dates as "
            "2026-01-31."
        )

    def unreadable_error(self, cell: str, n_unreadable: int, n_rows: int) -> DataError:
        """Return the error for too many cells that aren't dates."""
        return DataError(
            f"column {short_repr(self.column)}: {n_unreadable:,} of {counted(n_rows, 'row')} "
            f"contain no valid date, such as {short_repr(cell)}; write dates as 2026-01-31, or "
            "choose another column with ",
            Parameter("date"),
            ".",
        )

    @property
    def note(self) -> str:
        """Note on the date column and its format; empty for other columns."""
        if self.period is None:
            return ""
        order = self.reader.order
        how = "" if order is None else f", {order.replace('-', ' ')}"
        return f"counted by {self.period} of the dates in column {short_repr(self.column)}{how}"


def sort_groups(names: Iterable[str]) -> list[str]:
    """Return the names of groups in order: numbers by value, then strings, then `EMPTY`.

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
