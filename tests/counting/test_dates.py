"""Dates in cells, and their periods."""

from __future__ import annotations

from datetime import date

import pytest

from slugline.counting.dates import (
    DateReader,
    choose_date_column,
    find_date_columns,
    find_date_order,
    name_period,
)
from slugline.counting.groups import Grouping
from slugline.errors import DataError


@pytest.mark.parametrize(
    "cell",
    [
        *("2026-04-03", "2026-04-03T10:15:00Z", "2026-04-03 10:15:00.5", "2026/4/3", "20260403"),
        *("3.4.2026", "03/04/2026", "03/04/26", "03-04-2026 10:15", "3 Apr 2026", "3 April 2026"),
        *("April 3, 2026", "Fri, 03 Apr 2026 10:15:00 +0000", "03-Apr-2026", date(2026, 4, 3)),
        *("03-Apr-26", "3rd of April 2026", "Friday, April 3rd, 2026", "20260403T101500Z"),
        *("3. April 2026", "Freitag, 3. April 2026, 10:15 Uhr", "Fr. 03.04.2026", "3 avril 2026"),
        *("viernes, 3 de abril de 2026", "3 aprile 2026", "vr 3 april 2026", "3º abril 2026"),
        *("Fri Apr  3 10:15:00 2026", "Fri Apr  3 10:15:00 CEST 2026"),
        *("sexta-feira, 3 de abril de 2026", "2026年4月3日", "2026년 4월 3일", "2026. 4. 3."),
    ],
)
def test_date_reader_reads(cell: object) -> None:
    assert DateReader("day-first").read(cell) == date(2026, 4, 3)


@pytest.mark.parametrize(
    ("cell", "month"),
    [
        *(("1. März 2026", 3), ("1. Mrz. 2026", 3), ("1er août 2026", 8), ("1 févr. 2026", 2)),
        *(("1 de março de 2026", 3), ("1 giugno 2026", 6), ("1 mei 2026", 5), ("1 ene 2026", 1)),
        *(("Dezember 2026", 12), ("octobre 2026", 10), ("Ma\u0308rz 2026", 3), ("2026/05", 5)),
        *(("05/2026", 5), ("May-26", 5), ("May 2026", 5)),
    ],
)
def test_date_reader_reads_names_of_months(cell: str, month: int) -> None:
    assert DateReader().read(cell) == date(2026, month, 1)


@pytest.mark.parametrize(
    "cell",
    [
        *("", "soon", "2026-13-01", "31.2.2026", "12345", None, "1.2", 7),
        *("3 Marketing 2026", "Mayor 3, 2026", "3 April 10:15", "2026-04/03"),
        *("13/2026", "Apr 26", "Apr-203", "1/20260"),
    ],
)
def test_date_reader_rejects(cell: object) -> None:
    assert DateReader("day-first").read(cell) is None


def test_date_reader_reads_the_month_first() -> None:
    assert DateReader("month-first").read("03/04/2026") == date(2026, 3, 4)


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["2026-01-02", "Jan 5, 2026"], None),
        (["01/02/2026", "13/02/2026"], "day-first"),
        (["01/02/2026", "02/13/2026", "x"], "month-first"),
        (["01.02.2026", "02.03.2026"], "day-first"),
    ],
)
def test_date_order_is_found(cells: list[str], order: str | None) -> None:
    assert find_date_order("at", cells) == order


def test_date_order_that_is_unclear_is_an_error() -> None:
    with pytest.raises(DataError) as error:
        find_date_order("at", ["04/04/2026", "03/04/2026"])
    assert str(error.value) == (
        "column 'at' contains ambiguous dates such as 03/04/2026: the first rows don't show "
        'whether the day or the month comes first; pass `date_order="day-first"` or '
        '`date_order="month-first"`.'
    )


def test_date_order_that_differs_is_an_error() -> None:
    with pytest.raises(DataError) as error:
        find_date_order("at", ["31/01/2026", "01/31/2026"])
    assert str(error.value) == (
        "column 'at' mixes dates with the day first, such as 31/01/2026, and with the month first, "
        "such as 01/31/2026; write them as 2026-01-31."
    )


def test_date_columns_may_have_blank_cells() -> None:
    rows: list[dict[str, object]] = [
        {"a": "2026-01-01", "b": "x", "c": ""},
        {"a": None, "b": "2026-01-01", "c": ""},
    ]
    assert find_date_columns(rows) == ["a"]


def test_date_columns_are_not_of_numbers() -> None:
    amounts = ["1499.90", "2024.50", "1999.95"]
    assert find_date_columns([{"amount": amount} for amount in amounts]) == []


def test_date_column_is_the_only_one() -> None:
    assert choose_date_column([{"text": "x", "at": "2026-01-01"}], None, "month") == "at"


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (
            {"text": "x"},
            None,
            "no column contains dates to count by month (the only column is 'text'): write dates "
            "as 2026-01-31, or pass their column as `date`.",
        ),
        (
            {"text": "x", "at": ""},
            None,
            "no column contains dates to count by month (the columns are 'text' and 'at'): write "
            "dates as 2026-01-31, or pass their column as `date`.",
        ),
        (
            {"text": "x", "at": 46_023},
            None,
            "no column contains dates to count by month ('at' contains 46023: if that is a date in "
            "Excel, format the column as dates): write dates as 2026-01-31, or pass their column "
            "as `date`.",
        ),
        (
            {"sent": "2026-01-01", "read": "2026-01-02"},
            None,
            "several columns contain dates: 'sent', 'read'; choose one with `date`.",
        ),
        ({"sent": "2026-01-01"}, "at", "there is no column 'at'; the columns are 'sent'."),
    ],
)
def test_date_column_that_is_unclear_is_an_error(
    row: dict[str, object], column: str | None, message: str
) -> None:
    with pytest.raises(DataError) as error:
        choose_date_column([row], column, "month")
    assert str(error.value) == message


def test_weeks_are_those_of_iso_8601() -> None:
    assert name_period(date(2027, 1, 3), "week") == "2026-W53"


def test_grouping_rejects_a_later_date_in_the_other_order() -> None:
    grouping = Grouping.from_rows([{"day": "25/03/2026"}, {"day": "01/02/2026"}], "month")
    with pytest.raises(DataError, match="are day first, and a later one contains 03/25/2026"):
        grouping.group_of("03/25/2026")


def test_grouping_asks_for_the_order_of_later_dates() -> None:
    grouping = Grouping.from_rows([{"day": "2026-03-25"}], "month")
    with pytest.raises(DataError, match="ambiguous dates such as 03/04/2026: the first rows"):
        grouping.group_of("03/04/2026")
